/* notice.js - the strip above the message field: loading, waiting, and what went wrong.
 *
 * Screen readers are told once what it is about; numbers that run are left for who looks. */
import { byId, el, tell } from "../dom.js";

function show(kind, ...content) {
    const strip = byId("notice");

    strip.className = `notice ${kind}`;
    strip.replaceChildren(...content);
    strip.hidden = false;
}

function said(text) {
    if (byId("told").textContent !== text) tell(text);
}

export const notice = {
    clear() {
        byId("notice").hidden = true;
        byId("notice").replaceChildren();
    },

    loading(percent) {
        const bar = el("progress", { max: 100, "aria-label": "Loading the model" });

        if (percent !== null) bar.value = percent;
        show("info", el("strong", {}, "The model is being loaded"), " ", el("span", { class: "number" }, percent === null ? "" : `${percent} %`), bar);
        said("The model is being loaded");
    },

    waiting({ title, text }, tries) {
        show("info", el("strong", {}, title), ` ${text} `, el("span", { id: "countdown", class: "number" }),
            tries > 1 ? el("span", { class: "hint" }, ` (tried ${tries} times)`) : null);
        said(`${title} ${text}`);
    },

    seconds(left) {
        byId("countdown").textContent = left ? `Trying again in ${left} s.` : "Trying again now.";
    },

    /* action: { label, run } of a button, or nothing. */
    error({ title, text }, action) {
        const button = action && el("button", { type: "button", onclick: action.run }, action.label);

        show("bad", el("strong", {}, title), ` ${text} `, button, el("button", { type: "button", class: "quiet", onclick: notice.clear }, "Dismiss"));
        said(`${title} ${text}`);
    },
};
