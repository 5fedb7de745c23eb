/** The page of a saved history: no server, nothing to do but to look. */
import { ExecutionView } from "./execution.js"
import { readTimeline } from "./model.js"

const saved = JSON.parse(document.getElementById("history")?.textContent ?? "[]")
const timeline = readTimeline(saved)
const view = new ExecutionView({}, {})
document.getElementById("main")?.replaceChildren(view.element)
document.title = timeline.root.name
view.update(timeline, timeline.to ?? saved.at(-1)?.EventTimestamp ?? timeline.from)
