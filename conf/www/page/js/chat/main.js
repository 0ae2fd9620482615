/* main.js - the chat page: what is shown, what a person does, and what follows from it.
 *
 * One conversation is shown and at most one answer of it is being written: `run`. */
import { ask, ApiError } from "../api.js";
import { byId, el, tell } from "../dom.js";
import { key, keyIsKept, setKey } from "../key.js";
import { theme } from "../theme.js";
import { answer } from "./answer.js";
import { lacking } from "./markdown.js";
import { notice } from "./notice.js";
import { panel } from "./panel.js";
import { patiently, untilReady } from "./patience.js";
import { messages, requestOf } from "./request.js";
import { showRequest } from "./request_dialog.js";
import * as settings from "./settings.js";
import { sidebar } from "./sidebar.js";
import * as store from "./store.js";
import { transcript } from "./transcript.js";
import * as tree from "./tree.js";
import { words } from "./words.js";

const TOLD_LETTERS = 600; /* of an answer, said to a screen reader when it is done */

let conversation = tree.newConversation(settings.remembered());
let run = null; /* { node, controller } */
let models = [];

const prompt = byId("prompt");
const view = transcript({ ask: send, edit, again, select, branch, results, request: (node) => showRequest(requestOf(conversation, node)) });
const side = sidebar({ current: () => conversation, choose, begin, failed: (title, text) => notice.error({ title, text }) });
const panels = { conversations: panel("conversations", true), settings: panel("settings", true) };

/* --- one answer ------------------------------------------------------------------------------- */

function setRunning(now) {
    const [send, stopper] = [byId("send"), byId("stop")];
    const focused = document.activeElement;

    run = now;
    stopper.hidden = !now;
    send.hidden = Boolean(now);
    if (focused === send && now) stopper.focus();
    if (focused === stopper && !now) prompt.focus();
    byId("transcript").setAttribute("aria-busy", String(Boolean(now)));
}

function endOf(error) {
    if (error.name === "AbortError") return { finish: "stopped" };
    if (error instanceof ApiError) return { finish: "broken", error: words(error) };
    return { finish: "broken", error: { title: "The answer could not be read.", text: String(error.message) } };
}

/* Whether the answer ended since the context is full, and how full that is. */
function fullness(node) {
    const limit = models.find((model) => model.id === node.parameters.model)?.max_model_len;
    const used = node.usage ? node.usage.prompt + node.usage.completion : 0;

    if (node.finish === "length" && limit && used >= limit) node.full = [used, limit];
}

/* What a person can do about it. */
function offer(error, node) {
    if (error.code === "invalid_api_key") {
        panels.settings.open();
        byId("key").focus();
    }
    notice.error(node.error, node.error.again && { label: "Try again", run: () => again(node) });
}

/* An answer to the message `parent`; old: the one it is asked for in place of, or nothing. */
async function write(parent, old) {
    const system = byId("system").value.trim();
    const typed = settings.read();
    const node = tree.addAnswer(conversation, parent, old, { role: "assistant", parameters: settings.parameters(typed), system });
    const own = { node, conversation, controller: new AbortController() };
    const { signal } = own.controller;

    conversation.settings = typed;
    notice.clear();
    setRunning(own);
    view.show(conversation, node);
    tell("The model is answering");
    await keep(own.conversation);
    try {
        const body = { messages: messages(own.conversation, parent, system), ...node.parameters };

        await patiently(() => answer(node, body, { signal, onbegin: notice.clear, onchange: () => run === own && view.grow() }), { signal, notice });
        fullness(node);
        tell(`The answer: ${node.content.slice(0, TOLD_LETTERS)}`);
    } catch (error) {
        Object.assign(node, endOf(error));
        notice.clear();
        if (node.error && run === own) offer(error, node);
        else tell("Stopped");
    }
    await keep(own.conversation);
    if (run !== own) return;
    setRunning(null);
    view.finish();
}

/* Where the browser can keep no more, the conversation goes on all the same. */
async function keep(what) {
    try {
        await store.save(what);
    } catch (error) {
        notice.error({ title: "The browser could not keep this conversation.", text: error.message });
    }
    side.refresh();
}

function stop() {
    run?.controller.abort();
    prompt.focus();
}

/* --- what a person does ----------------------------------------------------------------------- */

function mayAsk() {
    const bad = settings.check();

    if (run) notice.error({ title: "An answer is being written.", text: "Stop it, or wait until it is there." });
    if (bad) {
        panels.settings.open();
        bad.focus();
        tell("A setting is not as it should be");
    }
    return !run && !bad;
}

function send(text) {
    if (!text.trim() || !mayAsk()) return;
    const question = tree.add(conversation, conversation.leaf, { role: "user", content: text });

    prompt.value = "";
    fit();
    write(question.id);
}

function edit(node, text) {
    if (!mayAsk()) return;
    if (node.role === "assistant") {
        tree.add(conversation, node.parent, { ...structuredClone(node), id: tree.newId(), content: text, created: Date.now(), tokens: undefined });
        keep(conversation);
        view.show(conversation, null);
    } else {
        write(tree.add(conversation, node.parent, { role: "user", content: text }).id);
    }
}

function again(node) {
    if (mayAsk()) write(node.parent, node);
}

function results(node, texts) {
    let parent = node.id;

    if (!mayAsk()) return;
    node.calls.forEach((call, i) => (parent = tree.add(conversation, parent, { role: "tool", call: call.id, content: texts[i] }).id));
    write(parent);
}

function select(node) {
    if (run) return;
    tree.select(conversation, node);
    keep(conversation);
    view.show(conversation, null);
}

async function branch(node) {
    if (run) return;
    const copy = tree.branch(conversation, node);

    await keep(copy);
    show(copy);
}

function show(other) {
    stop();
    setRunning(null);
    notice.clear();
    conversation = other;
    settings.write(conversation.settings);
    view.show(conversation, null);
    side.refresh();
    panels.conversations.closeIfOver();
    prompt.focus();
}

function begin() {
    show(tree.newConversation(settings.read()));
}

async function choose(id) {
    const found = await store.load(id);

    if (found) show(found);
}

/* Another tab has gone on with the same conversation: its messages are beside this tab's from now on. */
async function adopt(id) {
    const found = id === conversation.id && (await store.load(id));

    if (found && id === conversation.id) conversation.nodes = { ...found.nodes, ...conversation.nodes };
}

/* As high as its text, up to what the style allows. */
function fit() {
    prompt.style.height = "auto";
    prompt.style.height = `${prompt.scrollHeight + prompt.offsetHeight - prompt.clientHeight}px`; /* with its border */
}

/* --- the server ------------------------------------------------------------------------------- */

async function listModels() {
    const chosen = conversation.settings.model || byId("model").value;

    try {
        models = (await (await ask("v1/models")).json()).data;
    } catch (error) {
        models = [];
        if (error.code === "invalid_api_key") {
            panels.settings.open();
            byId("key").focus();
        }
        notice.error(words(error), error.code === "invalid_api_key" ? null : { label: "Try again", run: greet });
        return;
    }
    byId("model").replaceChildren(...models.map((model) => el("option", { value: model.id }, model.id)));
    if (models.some((model) => model.id === chosen)) byId("model").value = chosen;
}

/* What the page does first, and again where that failed. */
async function greet() {
    notice.clear();
    await listModels();
    if (!byId("notice").hidden) return;
    if (await untilReady(new AbortController().signal, notice)) notice.clear();
}

/* --- wiring ----------------------------------------------------------------------------------- */

byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send(prompt.value);
});
prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send(prompt.value);
});
prompt.addEventListener("input", fit);
byId("stop").addEventListener("click", stop);
byId("settings-form").addEventListener("submit", (event) => event.preventDefault());
byId("settings-form").addEventListener("input", () => {
    settings.check();
    settings.remember();
});
byId("model").addEventListener("change", settings.remember);
store.onOtherTab(adopt);
for (const id of ["key", "keep-key"])
    byId(id).addEventListener("change", () => {
        setKey(byId("key").value, byId("keep-key").checked);
        greet();
    });
byId("key").value = key();
byId("keep-key").checked = keyIsKept();
byId("lacking").textContent = lacking;
fit();
theme();
settings.write(conversation.settings);
view.show(conversation, null);
side.refresh();
greet();
prompt.focus();
performance.mark("airstrip-ready");
document.documentElement.dataset.ready = "true";
