/* tree.js - a conversation: a tree of messages, of which one path is shown.
 *
 * An edited question or an answer asked for anew is a sibling of the old one, so nothing is lost.
 * { id, title, created, changed, settings, nodes: { id: node }, leaf: id of the path's last node }
 * node: { id, parent, role, content, created, ... } and what an answer has besides (answer.js).
 * Nodes are made once and never move, so two tabs' copies of a conversation can be put together. */

export function newId() {
    /* not randomUUID(), which pages over plain HTTP do not have */
    return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function newConversation(settings) {
    const now = Date.now();

    return { id: newId(), title: "", created: now, changed: now, settings, nodes: {}, leaf: null };
}

/* From the first message to the leaf. */
export function path(conversation, leaf = conversation.leaf) {
    const found = [];

    for (let node = conversation.nodes[leaf]; node; node = conversation.nodes[node.parent]) found.unshift(node);
    return found;
}

export function children(conversation, parent) {
    return Object.values(conversation.nodes)
        .filter((node) => node.parent === parent)
        .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

export function add(conversation, parent, fields) {
    const node = { id: newId(), parent, created: Date.now(), content: "", ...fields };

    conversation.nodes[node.id] = node;
    conversation.leaf = node.id;
    conversation.changed = node.created;
    if (!conversation.title && node.role === "user") conversation.title = titleOf(node.content);
    return node;
}

function titleOf(text) {
    const line = text.trim().replace(/\s+/g, " ");

    return line.length > 60 ? line.slice(0, 59) + "…" : line;
}

export function siblings(conversation, node) {
    return children(conversation, node.parent);
}

/* An answer that never began makes room for another try; any other stays, beside the new one. */
export function addAnswer(conversation, parent, old, fields) {
    const isEmpty = old && !old.content && !old.reasoning && !old.calls;

    if (!isEmpty) return add(conversation, parent, fields);
    conversation.nodes[old.id] = { id: old.id, parent, created: old.created, content: "", ...fields };
    conversation.leaf = old.id;
    conversation.changed = Date.now();
    return conversation.nodes[old.id];
}

/* The path then goes through this node, and on to the latest of what followed it. */
export function select(conversation, node) {
    let at = node;

    for (let next = children(conversation, at.id); next.length; next = children(conversation, at.id)) at = next[next.length - 1];
    conversation.leaf = at.id;
}

/* What was said up to this node, as a conversation of its own. */
export function branch(conversation, node) {
    const copy = newConversation({ ...conversation.settings });

    for (const old of path(conversation, node.id)) copy.nodes[old.id] = structuredClone(old);
    copy.leaf = node.id;
    copy.title = conversation.title;
    return copy;
}

/* What another tab has added meanwhile, and what this one has; this one's path stays. */
export function merge(kept, own) {
    return kept ? { ...own, nodes: { ...kept.nodes, ...own.nodes } } : own;
}

export function write(conversation) {
    return JSON.stringify({ airstrip: 1, conversation }, null, 1);
}
