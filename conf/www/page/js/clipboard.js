/* clipboard.js - copying, also where the page came over plain HTTP and navigator.clipboard is not to be had. */
import { el, tell } from "./dom.js";

function copyBySelection(text) {
    const field = el("textarea", { class: "unseen", readonly: true });

    field.value = text;
    (document.querySelector("dialog[open]") || document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
}

export function copyButton(what, label = "Copy") {
    const button = el("button", { type: "button", class: "quiet" }, label);

    button.addEventListener("click", async () => {
        const text = what();
        let done = false;

        try {
            await navigator.clipboard.writeText(text);
            done = true;
        } catch {
            done = copyBySelection(text);
            button.focus();
        }
        button.textContent = done ? "Copied" : "Not copied";
        tell(done ? "Copied" : "The browser does not allow copying");
        setTimeout(() => (button.textContent = label), 1500);
    });
    return button;
}
