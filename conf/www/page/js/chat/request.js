/* request.js - what is sent for an answer, and the same for others to send: as curl and as Python. */
import { key } from "../key.js";
import { root } from "../api.js";
import { path } from "./tree.js";

/* Parameters that the openai package knows; others it takes as extra_body. */
const KNOWN = ["model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "response_format", "tools",
    "tool_choice", "parallel_tool_calls", "logprobs", "top_logprobs", "stream", "stream_options", "stop", "n", "presence_penalty",
    "frequency_penalty", "logit_bias", "reasoning_effort", "user"];

function message(node) {
    if (node.role === "tool") return { role: "tool", tool_call_id: node.call, content: node.content };
    if (node.role === "user") return { role: "user", content: node.content };
    const found = { role: "assistant", content: node.content };
    if (node.calls?.length)
        found.tool_calls = node.calls.map((call) => ({
            id: call.id, type: "function", function: { name: call.name, arguments: call.arguments },
        }));
    return found;
}

function isEmpty(node) {
    return node.role === "assistant" && !node.content && !node.calls?.length;
}

/* Many templates want questions and answers in turn: two questions with no answer between become one. */
function join(said) {
    return said.reduce((all, next) => {
        const before = all.at(-1);

        if (before?.role === "user" && next.role === "user") before.content += `\n\n${next.content}`;
        else all.push(next);
        return all;
    }, []);
}

/* Up to the node with this id, its message included; answers that never began are left out. */
export function messages(conversation, last, system) {
    const said = join(path(conversation, last).filter((node) => !isEmpty(node)).map(message));

    return system ? [{ role: "system", content: system }, ...said] : said;
}

/* The request that led to an answer; its node keeps parameters and system prompt. */
export function requestOf(conversation, answer) {
    return { messages: messages(conversation, answer.parent, answer.system), ...answer.parameters };
}

export function asCurl(body) {
    const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const lines = [
        `curl -N ${quote(new URL("v1/chat/completions", root).href)}`,
        "-H 'Content-Type: application/json'",
        key() && '-H "Authorization: Bearer $AIRSTRIP_API_KEY"',
        `-d ${quote(JSON.stringify(body, null, 2))}`,
    ];

    return lines.filter(Boolean).join(" \\\n  ");
}

/* A JSON value as Python writes it.  Strings are the same in both, half a surrogate pair included. */
function literal(value, indent) {
    const inner = indent + "    ";

    if (value === null) return "None";
    if (value === true) return "True";
    if (value === false) return "False";
    if (typeof value !== "object") return JSON.stringify(value);
    const [open, close, parts] = Array.isArray(value)
        ? ["[", "]", value.map((item) => literal(item, inner))]
        : ["{", "}", Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, inner)}`)];
    return parts.length ? `${open}\n${parts.map((part) => inner + part).join(",\n")},\n${indent}${close}` : open + close;
}

export function asPython(body) {
    const own = Object.entries(body).filter(([name]) => KNOWN.includes(name));
    const other = Object.fromEntries(Object.entries(body).filter(([name]) => !KNOWN.includes(name)));
    const given = own.map(([name, value]) => `    ${name}=${literal(value, "    ")},\n`);

    if (Object.keys(other).length) given.push(`    extra_body=${literal(other, "    ")},\n`);
    return (key() ? "import os\n" : "") +
        "from openai import OpenAI\n\n" +
        `client = OpenAI(base_url=${JSON.stringify(new URL("v1", root).href)}, api_key=${key() ? 'os.environ["AIRSTRIP_API_KEY"]' : '"not needed"'})\n` +
        `stream = client.chat.completions.create(\n${given.join("")})\n` +
        "for chunk in stream:\n" +
        "    if chunk.choices:\n" +
        '        print(chunk.choices[0].delta.content or "", end="", flush=True)\n' +
        "print()\n";
}
