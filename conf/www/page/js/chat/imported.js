/* imported.js - an exported conversation read again.  A file may hold anything: what is not as it should
 * be is refused, and of a message only what the page knows is taken. */
import { newConversation } from "./tree.js";

const ROLES = ["user", "assistant", "tool"];
const ID = /^[0-9a-f]{24}$/;

const isText = (value) => typeof value === "string";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isScored = ([text, logprob]) => isText(text) && isNumber(logprob);

/* What an answer may have besides its content, and when that is sound. */
const FIELDS = {
    reasoning: isText,
    call: isText,
    system: isText,
    finish: isText,
    first_ms: isNumber,
    all_ms: isNumber,
    pieces: isNumber,
    parameters: (value) => isObject(value) && isText(value.model),
    error: (value) => isObject(value) && isText(value.title) && isText(value.text),
    full: (value) => Array.isArray(value) && value.every(isNumber),
    usage: (value) => isObject(value) && ["prompt", "cached", "completion"].every((name) => isNumber(value[name])),
    calls: (value) => Array.isArray(value) && value.every((one) => isObject(one) && ["id", "name", "arguments"].every((name) => isText(one[name]))),
    tokens: (value) => Array.isArray(value) && value.every((one) => Array.isArray(one) && isScored(one) && Array.isArray(one[2]) &&
        one[2].every((other) => Array.isArray(other) && isScored(other))),
};

function isNode(id, node, nodes) {
    return ID.test(id) && isObject(node) && ROLES.includes(node.role) && isText(node.content) &&
        (node.parent === null || Object.hasOwn(nodes, node.parent));
}

function clean(id, node) {
    const found = { id, parent: node.parent, role: node.role, content: node.content, created: Number(node.created) || 0 };

    for (const [name, isSound] of Object.entries(FIELDS))
        if (Object.hasOwn(node, name) && isSound(node[name])) found[name] = node[name];
    return found;
}

/* No way upwards may be a circle. */
function endsUpwards(node, nodes) {
    const seen = new Set();

    for (let at = node; at; at = nodes[at.parent]) {
        if (seen.has(at.id)) return false;
        seen.add(at.id);
    }
    return true;
}

function parse(text) {
    try {
        return JSON.parse(text)?.conversation;
    } catch {
        throw new Error("This file is not JSON.");
    }
}

/* The text of a file; throws an Error with what is wrong. */
export function imported(text) {
    const found = parse(text);

    if (!isObject(found) || !isObject(found.nodes)) throw new Error("This file is not a conversation that this page has exported.");
    const conversation = newConversation(isObject(found.settings) ? found.settings : {});
    for (const [id, node] of Object.entries(found.nodes)) {
        if (!isNode(id, node, found.nodes)) throw new Error(`A message of this file is damaged: ${id}`);
        conversation.nodes[id] = clean(id, node);
    }
    if (!Object.values(conversation.nodes).every((node) => endsUpwards(node, conversation.nodes)))
        throw new Error("The messages of this file go in a circle.");
    conversation.title = isText(found.title) ? found.title : "Imported";
    conversation.leaf = Object.hasOwn(conversation.nodes, found.leaf) ? found.leaf : Object.keys(conversation.nodes).pop() ?? null;
    return conversation;
}
