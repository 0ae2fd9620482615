/* request_dialog.js - "show the request": what was sent, for a terminal and for Python. */
import { byId, el } from "../dom.js";
import { copyButton } from "../clipboard.js";
import { painted } from "./markdown.js";
import { asCurl, asPython } from "./request.js";

function part(id, title, text, language) {
    return el("section", { id }, el("div", { class: "code-head" }, el("h3", {}, title), copyButton(() => text)), painted(text, language));
}

export function showRequest(body) {
    const dialog = byId("request");

    byId("request-body").replaceChildren(
        part("as-curl", "curl", asCurl(body), "bash"),
        part("as-python", "Python", asPython(body), "python"));
    dialog.querySelector(".close").onclick = () => dialog.close();
    dialog.showModal();
}
