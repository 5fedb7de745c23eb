#!/bin/sh
# Shows: the command line, from the engine to the tree of what has happened. An hour takes a second.
#
#     sh examples/18-command-line.sh
#
# In a project of your own it is `npx effect-durable-lambda`.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
export NODE_OPTIONS=--conditions=@effect-durable-lambda/source
edl() { node "$root/src/bin.ts" "$@"; }

folder=$(mktemp -d)
cd "$folder"
node "$root/src/bin.ts" dev "$root/examples/order/handler.ts" --port 0 --time-scale 0.0003 > dev.log &
dev=$!
trap 'kill "$dev" 2> /dev/null || true; wait "$dev" || true; rm -rf "$folder"' EXIT
until grep -q '^ready' dev.log; do
  kill -0 "$dev"
  sleep 0.1
done

edl start process-order --name order-7 --wait \
  --payload '{"id":"7","customer":"ada@example.com","cents":1999,"items":["teapot","cup"]}'
edl tree order-7
edl list process-order --status succeeded --json
