/* settings.js - the form of what a request says besides its messages.
 * Settings are kept as they were typed; parameters() makes of them what is sent. */
import { byId } from "../dom.js";

const PLACE = "airstrip-settings";
const NUMBERS = ["temperature", "top_p", "max_tokens", "seed"];
const DOCUMENTS = { schema: (value) => isObject(value) || typeof value === "boolean", tools: Array.isArray, more: isObject };
const EXPECTED = { schema: "a schema, which is an object or a boolean", tools: "a list of tools", more: "an object of parameters" };
const TOP_LOGPROBS = 5;

function isObject(value) {
    return value !== null && typeof value === "object" && !Array.isArray(value);
}

function form() {
    return byId("settings-form");
}

export function read() {
    const found = { model: byId("model").value };

    for (const field of form().elements)
        if (field.name) found[field.name] = field.type === "checkbox" ? field.checked : field.value;
    return found;
}

export function write(settings) {
    for (const field of form().elements) {
        if (!field.name) continue;
        if (field.type === "checkbox") field.checked = settings[field.name] === true;
        else field.value = typeof settings[field.name] === "string" ? settings[field.name] : "";
    }
    if ([...byId("model").options].some((option) => option.value === settings.model)) byId("model").value = settings.model;
    check();
}

function documentOf(name, text) {
    let value;

    if (!text.trim()) return { value: undefined, error: "" };
    try {
        value = JSON.parse(text);
    } catch (error) {
        return { value: undefined, error: `This is not JSON: ${error.message}` };
    }
    return DOCUMENTS[name](value) ? { value, error: "" } : { value: undefined, error: `Expected ${EXPECTED[name]}.` };
}

/* Says beside each box what is wrong with it; returns the first bad field or null. */
export function check() {
    let bad = null;

    for (const field of form().elements) {
        if (!field.name) continue;
        const isDocument = field.name in DOCUMENTS;
        const error = isDocument ? documentOf(field.name, field.value).error : field.validationMessage;

        if (isDocument) byId(`${field.name}-error`).textContent = error;
        field.setAttribute("aria-invalid", String(error !== ""));
        if (error) bad ??= field;
    }
    return bad;
}

/* The members of a request besides its messages. */
export function parameters(settings) {
    const body = { model: settings.model || "primary" };
    const schema = documentOf("schema", settings.schema || "").value;
    const tools = documentOf("tools", settings.tools || "").value;

    for (const name of NUMBERS)
        if (settings[name]) body[name] = Number(settings[name]);
    if (schema !== undefined) body.response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
    if (tools?.length) body.tools = tools;
    if (settings.logprobs) Object.assign(body, { logprobs: true, top_logprobs: TOP_LOGPROBS });
    Object.assign(body, documentOf("more", settings.more || "").value, { stream: true, stream_options: { include_usage: true } });
    delete body.messages; /* they are the conversation's */
    return body;
}

/* What was typed last is what the next visit begins with. */
export function remember() {
    try {
        localStorage.setItem(PLACE, JSON.stringify(read()));
    } catch {
        /* then it begins with nothing */
    }
}

export function remembered() {
    try {
        return JSON.parse(localStorage.getItem(PLACE)) || {};
    } catch {
        return {};
    }
}
