/* slots.js - who is in the batch: one box a place, and behind them those who wait. */
import { byId, el } from "../dom.js";
import { count, duration } from "./units.js";

const SHOWN = 64; /* boxes; servers with more places have more alike */
const WORDS = { prompt: "reads its prompt", writing: "generates", queued: "waits", free: "free", busy: "in use" };

function box(state, process) {
    const who = process && [process.key ?? process.address, duration(process["request duration"] / 1e6)].filter(Boolean);
    const tokens = process && `${count(process["prompt tokens"])} + ${count(process["written tokens"])} tokens`;

    return el("li", { class: `slot ${state}`, title: process ? `Request ${process.id}` : null },
        el("span", { class: process ? "state" : "unseen" }, WORDS[state]),
        process && el("span", { class: "about" }, tokens),
        process && el("span", { class: "about" }, who.join(" · ")));
}

/* model: its part of /status; processes: those in flight for it. */
export function showSlots(model, processes) {
    const by = (state) => processes.filter((process) => process.state === state);
    const running = [...by("prompt"), ...by("writing")];
    const boxes = running.map((process) => box(process.state, process));

    /* one request with several choices has several places */
    for (let i = boxes.length; i < model.running; i++) boxes.push(box("busy"));
    for (let i = boxes.length; i < model.slots; i++) boxes.push(box("free"));
    byId("slots").replaceChildren(...boxes.slice(0, SHOWN), ...by("queued").slice(0, SHOWN).map((process) => box("queued", process)));
    byId("slots-text").textContent = `${model.running} of ${model.slots} in use, ${model.waiting} waiting.`;
}
