/* store.js - conversations, kept in the browser (IndexedDB); tabs tell each other what changed.
 * Where nothing can be kept (some private windows) they last as long as the page. */
import { merge } from "./tree.js";

const STORE = "conversations";
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("airstrip-conversations") : null;
const memory = new Map();
let database; /* a promise of it, or of null */

function done(request) {
    return new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}

function open() {
    database ??= new Promise((resolve) => {
        try {
            const request = indexedDB.open("airstrip", 1);

            request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
            request.onsuccess = () => resolve(request.result);
            request.onerror = () => resolve(null);
        } catch {
            resolve(null);
        }
    });
    return database;
}

async function table(mode) {
    const db = await open();

    return db && db.transaction(STORE, mode).objectStore(STORE);
}

/* All of them, the last changed first. */
export async function list() {
    const t = await table("readonly");
    const found = t ? await done(t.getAll()) : [...memory.values()];

    return found.sort((a, b) => b.changed - a.changed);
}

export async function load(id) {
    const t = await table("readonly");

    return t ? done(t.get(id)) : memory.get(id);
}

/* One transaction reads and writes, so of two tabs that save at once neither loses a message. */
export async function save(conversation) {
    const t = await table("readwrite");

    if (t) await done(t.put(structuredClone(merge(await done(t.get(conversation.id)), conversation))));
    else memory.set(conversation.id, structuredClone(conversation));
    channel?.postMessage(conversation.id);
}

export async function remove(id) {
    const t = await table("readwrite");

    if (t) await done(t.delete(id));
    else memory.delete(id);
    channel?.postMessage(id);
}

/* Calls back with the id of what another tab has saved or removed. */
export function onOtherTab(callback) {
    channel?.addEventListener("message", (event) => callback(event.data));
}
