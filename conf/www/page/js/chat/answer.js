/* answer.js - one answer as it comes: events of a stream gathered in a node.
 *
 * What an answer's node has besides content: reasoning; calls [{ id, name, arguments }];
 * tokens [[text, logprob, [[text, logprob], ...]], ...] where probabilities were asked for; finish
 * ("stop", "length", "tool_calls", "stopped" by the person, "broken"); error { title, text };
 * full [used, limit] where the context was;
 * parameters and system as sent; first_ms, all_ms, usage { prompt, cached, completion }. */
import { ApiError, ask } from "../api.js";
import { events } from "../sse.js";

function takeCalls(node, deltas) {
    node.calls ??= [];
    for (const delta of deltas) {
        const call = (node.calls[delta.index ?? 0] ??= { id: "", name: "", arguments: "" });

        if (delta.id) call.id = delta.id;
        call.name += delta.function?.name ?? "";
        call.arguments += delta.function?.arguments ?? "";
    }
}

function takeTokens(node, tokens) {
    node.tokens ??= [];
    for (const token of tokens)
        node.tokens.push([token.token, token.logprob, token.top_logprobs.map((other) => [other.token, other.logprob])]);
}

/* True where the chunk has something of the answer itself. */
function takeChoice(node, { delta = {}, logprobs, finish_reason: finish }) {
    if (delta.reasoning_content) node.reasoning = (node.reasoning ?? "") + delta.reasoning_content;
    if (delta.content) node.content += delta.content;
    if (delta.tool_calls) takeCalls(node, delta.tool_calls);
    if (logprobs?.content) takeTokens(node, logprobs.content);
    if (finish) node.finish = finish;
    return Boolean(delta.reasoning_content || delta.content || delta.tool_calls);
}

function takeUsage(node, usage) {
    node.usage = {
        prompt: usage.prompt_tokens,
        cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
        completion: usage.completion_tokens,
    };
}

/* Fills the node until the answer ends.  onbegin: the server has taken the request; onchange: there
 * is more of it.  Throws ApiError, or AbortError where `signal` ended it; what had come stays. */
export async function answer(node, body, { signal, onbegin, onchange }) {
    const sent = performance.now();
    const response = await ask("v1/chat/completions", { body, signal });

    onbegin();
    for await (const data of events(response)) {
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);

        if (chunk.error) throw new ApiError(200, chunk.error);
        if (chunk.usage) takeUsage(node, chunk.usage);
        const choice = chunk.choices?.find(({ index }) => index === 0); /* n may ask for several; one is shown */
        if (!choice || !takeChoice(node, choice)) continue;
        node.first_ms ??= performance.now() - sent;
        node.all_ms = performance.now() - sent;
        node.pieces = (node.pieces ?? 0) + 1;
        onchange();
    }
    throw new ApiError(0, { message: "The connection ended before the answer did." });
}

/* "42 tokens · 85.3 tokens/s · first token after 0.21 s · 500 tokens of prompt, 480 of them known" */
export function figures(node) {
    const parts = [];
    const count = node.usage?.completion ?? node.pieces ?? 0;

    if (!node.first_ms) return "";
    parts.push(`${node.usage ? "" : "about "}${count} token${count === 1 ? "" : "s"}`);
    if (count > 1 && node.all_ms > node.first_ms)
        parts.push(`${(((count - 1) * 1000) / (node.all_ms - node.first_ms)).toFixed(1)} tokens/s`);
    parts.push(`first token after ${(node.first_ms / 1000).toFixed(2)} s`);
    if (node.usage)
        parts.push(`prompt of ${node.usage.prompt} tokens` + (node.usage.cached ? `, ${node.usage.cached} of them cached` : ""));
    return parts.join(" · ");
}
