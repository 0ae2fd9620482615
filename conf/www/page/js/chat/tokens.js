/* tokens.js - an answer token by token: how sure the model was of each, and what else it might have
 * written.  Hovering or focusing a token shows it; arrow keys go from one to the next. */
import { el } from "../dom.js";

const LEVELS = [0.9, 0.5, 0.2, 0.05]; /* above: class p0, p1, ...; below the last p4 */

/* What cannot be seen gets a sign. */
function visible(text) {
    return text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/^ +| +$/g, (blanks) => "␣".repeat(blanks.length)) || "∅";
}

function percent(logprob) {
    const share = Math.exp(logprob) * 100;

    return share >= 99.95 ? "100 %" : share >= 10 ? `${share.toFixed(1)} %` : `${share.toPrecision(2)} %`;
}

function level(logprob) {
    const found = LEVELS.findIndex((least) => Math.exp(logprob) >= least);

    return found < 0 ? LEVELS.length : found;
}

/* The chosen token is among the likeliest or comes after them. */
function alternatives([text, logprob, others]) {
    const all = others.some(([other]) => other === text) ? others : [...others, [text, logprob]];

    return all.map(([other, value]) => el("tr", { class: other === text ? "chosen" : null },
        el("th", { scope: "row" }, visible(other)),
        el("td", {}, el("meter", { min: 0, max: 1, value: Math.exp(value), "aria-hidden": "true" })),
        el("td", { class: "number" }, percent(value))));
}

/* One box for all tokens of an answer. */
function box() {
    const body = el("tbody");
    const whole = el("div", { class: "alternatives", role: "status", hidden: true },
        el("table", {}, el("caption", { class: "unseen" }, "What the model might have written here"), body));

    return {
        whole,
        show(token, at, within) {
            body.replaceChildren(...alternatives(token));
            whole.hidden = false;
            const area = within.getBoundingClientRect();
            const place = at.getClientRects()[0] ?? at.getBoundingClientRect();
            whole.style.left = `${Math.max(0, Math.min(place.left - area.left, area.width - whole.offsetWidth))}px`;
            whole.style.top = `${place.bottom - area.top + 4}px`;
        },
        hide() {
            whole.hidden = true;
        },
    };
}

const STEPS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 };

export function tokenView(tokens) {
    const shown = box();
    const list = el("div", { class: "tokens", role: "group", "aria-label": "Tokens; arrow keys go from one to the next" });
    const spans = tokens.map((token, i) => el("span", {
        class: `p${level(token[1])}`,
        role: "button",
        tabindex: i ? -1 : 0,
        "aria-label": `${visible(token[0])}, ${percent(token[1])}`,
    }, token[0]));
    const at = (target) => spans.indexOf(target);
    const show = (event) => at(event.target) >= 0 && shown.show(tokens[at(event.target)], event.target, list);

    list.append(...spans, shown.whole);
    list.addEventListener("mouseover", show);
    list.addEventListener("mouseleave", shown.hide);
    list.addEventListener("focusin", show);
    list.addEventListener("focusout", shown.hide);
    list.addEventListener("keydown", (event) => {
        const now = at(event.target);
        const next = spans[Math.max(0, Math.min(spans.length - 1, now + (STEPS[event.key] ?? 0)))];

        if (event.key === "Escape") shown.hide();
        if (now < 0 || !(event.key in STEPS)) return;
        event.preventDefault();
        spans[now].tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
    });
    return list;
}
