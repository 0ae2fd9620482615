/* markdown.js - an answer's text as elements.
 *
 * What a model writes is not trusted.  HTML in it is shown as it stands, as text (marked's renderer);
 * what marked makes goes through DOMPurify with a list of the few elements that Markdown has; and the
 * Content-Security-Policy lets no script run that is not a file of this page.  Pictures become links,
 * so that no answer makes a browser ask another host for something.
 * Prism only cuts code into tokens here; the elements are made by hand. */
import { el } from "../dom.js";
import { copyButton } from "../clipboard.js";

const { marked, DOMPurify: purify, Prism: prism } = globalThis;

const TAGS = ["p", "br", "hr", "h4", "h5", "h6", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "table", "thead",
    "tbody", "tr", "th", "td", "a"];
const ATTRIBUTES = ["href", "title", "align", "class", "start"];
const FIRST_HEADING = 3; /* message headers are h3 */

/* What the page lacks, in words; "" where it has all of it. */
export const lacking = [
    (!marked || !purify) && "Answers are shown as plain text: the server's page was installed without libjs-marked or node-dompurify.",
    !prism && "Code has no colours: the server's page was installed without node-prismjs.",
].filter(Boolean).join(" ");

function escape(text) {
    return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

marked?.use({
    gfm: true,
    headerIds: false,
    mangle: false,
    renderer: {
        html: (text) => escape(text),
        image: (href, title, text) => `<a href="${escape(href ?? "")}">${text || escape(href ?? "")}</a>`,
        heading: (text, level) => `<h${Math.min(6, level + FIRST_HEADING)}>${text}</h${Math.min(6, level + FIRST_HEADING)}>`,
        checkbox: (checked) => (checked ? "☑ " : "☐ "),
    },
});

function nodes(tokens) {
    return [tokens].flat().map((token) => {
        if (typeof token === "string") return token;
        return el("span", { class: ["token", token.type, ...[token.alias ?? []].flat()].join(" ") }, ...nodes(token.content));
    });
}

function paint(code, language) {
    const env = { code: code.textContent, language, grammar: prism?.languages[language] };

    if (typeof env.grammar !== "object") return;
    prism.hooks.run("before-tokenize", env);
    env.tokens = prism.tokenize(env.code, env.grammar);
    prism.hooks.run("after-tokenize", env);
    code.replaceChildren(...nodes(env.tokens));
}

/* A block of code with its language and a button that copies it. */
function dressCode(pre) {
    const code = pre.querySelector("code");
    const language = /(?:^|\s)language-(\S+)/.exec(code?.className ?? "")?.[1]?.toLowerCase() ?? "";
    const text = pre.textContent;

    if (!code) return;
    paint(code, language);
    pre.tabIndex = 0;
    const box = el("div", { class: "code-block" }, el("div", { class: "code-head" }, el("span", {}, language || "code"), copyButton(() => text)));
    pre.replaceWith(box);
    box.append(pre);
}

function dressTable(table) {
    const box = el("div", { class: "table-block", tabindex: 0, role: "region", "aria-label": "Table" });

    table.replaceWith(box);
    box.append(table);
}

function dressLink(link) {
    if (!link.hasAttribute("href")) return;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
}

/* A fragment. */
export function markdown(text) {
    const whole = document.createDocumentFragment();

    if (!marked || !purify) {
        whole.append(el("p", { class: "plain" }, text));
        return whole;
    }
    whole.append(purify.sanitize(marked.parse(text), {
        ALLOWED_TAGS: TAGS,
        ALLOWED_ATTR: ATTRIBUTES,
        ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
        RETURN_DOM_FRAGMENT: true,
    }));
    whole.querySelectorAll("pre").forEach(dressCode);
    whole.querySelectorAll("table").forEach(dressTable);
    whole.querySelectorAll("a").forEach(dressLink);
    return whole;
}

/* Code alone, such as the request's. */
export function painted(text, language) {
    const code = el("code", {}, text);

    paint(code, language);
    return el("pre", { tabindex: 0 }, code);
}
