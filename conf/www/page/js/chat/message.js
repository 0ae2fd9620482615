/* message.js - one message of the conversation as an element that follows its node.
 *
 * `deeds` are what a person can do with it: edit(node, text), again(node), select(node),
 * branch(node), results(node, texts), request(node). */
import { el } from "../dom.js";
import { copyButton } from "../clipboard.js";
import { callsView } from "./calls.js";
import { figures } from "./answer.js";
import { markdown } from "./markdown.js";
import { tokenView } from "./tokens.js";
import { siblings } from "./tree.js";

const WHO = { user: "You", tool: "Tool" };
const ENDS = {
    length: "The answer was cut: it reached the limit of tokens.",
    stopped: "You stopped this answer.",
    broken: "This answer broke off.",
};

function button(label, run, name = label) {
    return el("button", { type: "button", class: "quiet", "aria-label": name === label ? null : name, onclick: run }, label);
}

function siblingButtons(node, conversation, deeds) {
    const all = siblings(conversation, node);
    const at = all.indexOf(node);

    if (all.length < 2) return null;
    const go = (to, sign, name) => {
        const b = button(sign, () => deeds.select(all[to]), name);

        b.disabled = !all[to];
        return b;
    };
    return el("span", { class: "versions" }, go(at - 1, "‹", "Version before"), el("span", {}, `${at + 1} of ${all.length}`),
        go(at + 1, "›", "Version after"));
}

/* In place of the text; closes itself. */
function editor(node, body, deeds) {
    const field = el("textarea", { "aria-label": "Edit the message", rows: Math.min(12, node.content.split("\n").length + 1) });
    const old = [...body.childNodes];
    const close = () => body.replaceChildren(...old);
    const form = el("form", { class: "editor" }, field, el("div", { class: "row" },
        el("button", { type: "submit", class: "primary" }, node.role === "user" ? "Send" : "Save"), button("Cancel", close)));

    field.value = node.content;
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        if (field.value.trim()) deeds.edit(node, field.value);
    });
    form.addEventListener("keydown", (event) => {
        if (event.key === "Escape") close();
    });
    body.replaceChildren(form);
    field.focus();
}

function reasoningView(node, running) {
    const thinking = running && !node.content && !node.calls;

    return el("details", { class: "reasoning" }, el("summary", {}, thinking ? "Reasoning …" : "Reasoning"),
        el("div", { class: "plain" }, node.reasoning));
}

function endView(node) {
    if (node.error) return el("p", { class: "end bad" }, node.error.title);
    if (node.full)
        return el("p", { class: "end" }, `The conversation is full: ${node.full[0]} of the ${node.full[1]} tokens that the model can read. Begin a new one to go on.`);
    return ENDS[node.finish] ? el("p", { class: "end" }, ENDS[node.finish]) : null;
}

export function messageView(node, conversation, deeds) {
    const body = el("div", { class: "body" });
    const foot = el("footer");
    const name = node.role === "assistant" ? node.parameters?.model ?? "Answer" : WHO[node.role];
    const whole = el("article", { class: `message ${node.role}`, "data-id": node.id }, el("header", {}, el("h3", {}, name)), body, foot);
    let folded = true;
    let byToken = false;

    function fillAnswer(running) {
        const isLast = conversation.leaf === node.id;

        folded = !(body.querySelector("details")?.open ?? !folded);
        body.replaceChildren();
        if (node.reasoning) {
            body.append(reasoningView(node, running));
            body.firstChild.open = !folded;
        }
        if (byToken && node.tokens) body.append(tokenView(node.tokens));
        else if (node.content) body.append(markdown(node.content));
        if (node.calls?.length) body.append(callsView(node, isLast && !running && node.finish === "tool_calls" ? (texts) => deeds.results(node, texts) : null));
        if (running && !node.content && !node.reasoning && !node.calls) body.append(el("p", { class: "dots", "aria-hidden": "true" }, "…"));
        if (!running) body.append(endView(node) ?? "");
    }

    function tokensButton() {
        const b = button("Tokens", () => {
            byToken = !byToken;
            b.setAttribute("aria-pressed", String(byToken));
            fillAnswer(false);
        });

        b.setAttribute("aria-pressed", String(byToken));
        return b;
    }

    function fillFoot() {
        const isAnswer = node.role === "assistant";

        foot.replaceChildren(el("div", { class: "deeds" },
            copyButton(() => node.content),
            node.role === "tool" ? null : button("Edit", () => editor(node, body, deeds)),
            isAnswer && button("Regenerate", () => deeds.again(node)),
            button("Branch", () => deeds.branch(node), "Branch into a new conversation"),
            isAnswer && node.parameters && button("Request", () => deeds.request(node), "Show the request"),
            isAnswer && node.tokens?.length && tokensButton(),
            siblingButtons(node, conversation, deeds) || null));
        if (figures(node)) foot.append(el("p", { class: "figures" }, figures(node)));
    }

    const view = {
        node,
        whole,
        update(running) {
            if (node.role === "assistant") fillAnswer(running);
            else body.replaceChildren(el("div", { class: "plain" }, node.content));
            whole.setAttribute("aria-busy", String(running));
            foot.hidden = running;
            if (!running) fillFoot();
        },
    };
    return view;
}
