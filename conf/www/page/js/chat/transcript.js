/* transcript.js - the path of a conversation that is shown, and its last answer while it grows. */
import { byId, el } from "../dom.js";
import { messageView } from "./message.js";
import { path } from "./tree.js";

const NEAR_PX = 60;    /* so near to the end, the view follows what comes */
const LEAST_MS = 50;   /* between two drawings of a growing answer, */
const SHARE = 4;       /* and so many times as long as the last one took */

const EXAMPLES = ["What is an inference server?", "Explain recursion with a short Python example.", "Compare tea and coffee in a table."];

export function transcript(deeds) {
    const area = byId("transcript");
    let views = [];
    let timer = null;

    const atEnd = () => area.scrollHeight - area.scrollTop - area.clientHeight < NEAR_PX;
    const toEnd = () => (area.scrollTop = area.scrollHeight);

    function welcome() {
        return el("div", { class: "welcome" },
            el("p", { class: "big" }, "Ask the model something."),
            el("p", {}, "It runs on this server; nothing is sent anywhere else."),
            el("div", { class: "row" }, ...EXAMPLES.map((text) => el("button", { type: "button", onclick: () => deeds.ask(text) }, text))));
    }

    return {
        /* Anew; running: an answer's node that is being written, or null. */
        show(conversation, running) {
            const shown = path(conversation);

            clearTimeout(timer);
            timer = null;
            views = shown.map((node) => messageView(node, conversation, deeds));
            views.forEach((view) => view.update(view.node === running));
            area.replaceChildren(...(views.length ? views.map((view) => view.whole) : [welcome()]));
            toEnd();
        },

        /* The answer has grown: drawn at times, so that a long one does not keep the browser busy. */
        grow() {
            const view = views[views.length - 1];

            if (timer !== null || !view) return;
            const draw = () => {
                const start = performance.now();
                const follow = atEnd();

                view.update(true);
                if (follow) toEnd();
                timer = setTimeout(() => (timer = null), Math.max(LEAST_MS, SHARE * (performance.now() - start)));
            };
            draw();
        },

        /* The answer is there whole; who has scrolled away or unfolded something is left in peace. */
        finish() {
            const follow = atEnd();

            clearTimeout(timer);
            timer = null;
            views.at(-1)?.update(false);
            if (follow) toEnd();
        },
    };
}
