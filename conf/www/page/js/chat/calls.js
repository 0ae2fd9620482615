/* calls.js - the tool calls of an answer, and a form for what the tools found. */
import { el } from "../dom.js";

function pretty(text) {
    try {
        return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
        return text; /* not whole yet */
    }
}

function show(call) {
    return el("div", { class: "call" },
        el("p", {}, "Calls ", el("strong", {}, call.name || "…")),
        el("pre", { tabindex: 0 }, el("code", {}, pretty(call.arguments))));
}

/* onresults: with the contents of one tool message a call; not asked for where it is null. */
export function callsView(node, onresults) {
    const whole = el("div", { class: "calls" }, ...node.calls.filter(Boolean).map(show));

    if (!onresults) return whole;
    const fields = node.calls.map((call, i) => el("textarea", { id: `result-${node.id}-${i}`, rows: 2, class: "code" }));
    const form = el("form", { class: "results" },
        ...node.calls.flatMap((call, i) => [el("label", { for: `result-${node.id}-${i}` }, `Result of ${call.name}`), fields[i]]),
        el("button", { type: "submit" }, "Send results"));

    form.addEventListener("submit", (event) => {
        event.preventDefault();
        onresults(fields.map((field) => field.value));
    });
    whole.append(form);
    return whole;
}
