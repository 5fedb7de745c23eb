/**
 * Stands in for `node:http` in the bundle. A module that imports it makes Node.js read all that it exports, `WebSocket`
 * among it, for which it loads undici: 20 ms of a cold start. AWS's client imports it for endpoints without TLS (a local
 * engine, a test), and to look for credentials in places that a function does not need.
 */
const http = process.getBuiltinModule("node:http")

export const { Agent, request } = http
export default http
