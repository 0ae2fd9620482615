/* facts.js - what runs here: model, processor, memory, uptime. */
import { byId, el } from "../dom.js";
import { value } from "./metrics.js";
import { bytes, count, duration, percent, short } from "./units.js";

const STATES = { ready: "ready", loading: "loading", failed: "failed", closing: "closing" };

function rows(status, model, metrics) {
    const weights = [model.architecture, model.quantisation, model.parameters ? `${short(model.parameters)} parameters` : null];
    const loading = model["model state"] === "loading" ? `, ${model["load percent"]} %` : "";
    const pages = model["kv pages"];

    return [
        ["State", `${STATES[model["model state"]]}${loading}${status.state !== "serving" ? ", shutting down" : ""}`],
        ["Model", model["model title"] || model.model],
        ["Weights", weights.filter(Boolean).join(", ")],
        ["Runs on", [model.processor, model.threads ? `${model.threads} thread${model.threads === 1 ? "" : "s"}` : null].filter(Boolean).join(", ")],
        ["Context", model["context tokens"] ? `${count(model["context tokens"])} tokens` : ""],
        ["Memory", bytes(value(metrics, "process_resident_memory_bytes"))],
        ["Keys and values", pages ? `${count(model["kv pages used"])} of ${count(pages)} pages, ${percent((model["kv pages used"] / pages) * 100)}` : ""],
        ["Up for", duration(status["start since"])],
        ["Requests", `${count(status.requests)}, ${count(status.failed)} failed, ${count(status.cancelled)} cancelled`],
        ["Tokens", `${count(model["generated tokens"])} generated, ${count(model["prompt tokens"])} of prompts read`],
    ].filter(([, text]) => text);
}

export function showFacts(status, model, metrics) {
    byId("facts").replaceChildren(...rows(status, model, metrics).map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
}
