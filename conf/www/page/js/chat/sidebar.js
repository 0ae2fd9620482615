/* sidebar.js - the conversations that the browser keeps: choosing, removing, files of them. */
import { byId, el } from "../dom.js";
import { imported } from "./imported.js";
import * as store from "./store.js";
import { write } from "./tree.js";

function download(name, text) {
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const link = el("a", { href: url, download: name });

    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/* deeds: current(), choose(id), begin(), failed(title, text). */
export function sidebar(deeds) {
    const list = byId("conversation-list");

    function item(conversation) {
        const title = conversation.title || "Untitled";
        const isCurrent = conversation.id === deeds.current().id;

        return el("li", {},
            el("button", { type: "button", class: "title", "aria-current": isCurrent ? "true" : null, onclick: () => deeds.choose(conversation.id) },
                title, el("time", { datetime: new Date(conversation.changed).toISOString() }, new Date(conversation.changed).toLocaleDateString())),
            el("button", {
                type: "button", class: "icon quiet", "aria-label": `Delete ${title}`, title: "Delete",
                onclick: async () => {
                    if (!confirm(`Delete “${title}” for good?`)) return;
                    await store.remove(conversation.id);
                    if (conversation.id === deeds.current().id) deeds.begin();
                    refresh();
                },
            }, "✕"));
    }

    async function refresh() {
        const all = await store.list();

        list.replaceChildren(...all.map(item));
        if (!all.length) list.append(el("li", { class: "hint" }, "None yet."));
    }

    byId("new-conversation").addEventListener("click", deeds.begin);
    byId("export").addEventListener("click", () => {
        const name = (deeds.current().title || "conversation").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40);

        download(`airstrip-${name}.json`, write(deeds.current()));
    });
    byId("import").addEventListener("change", async (event) => {
        const [file] = event.target.files;

        event.target.value = "";
        if (!file) return;
        try {
            const conversation = imported(await file.text());

            await store.save(conversation);
            await deeds.choose(conversation.id);
        } catch (error) {
            deeds.failed("This file could not be imported.", error.message);
        }
    });
    store.onOtherTab(refresh);
    return { refresh };
}
