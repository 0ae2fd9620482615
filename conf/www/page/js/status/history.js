/* history.js - readings of the last minutes, and what follows from two of them. */
import { histogram, percentile, value } from "./metrics.js";

export const KEPT_S = 300;
const WINDOW_S = 60; /* of percentiles and shares */

const TTFT = "vllm:time_to_first_token_seconds";
const GAP = "vllm:inter_token_latency_seconds";

function reading(metrics, model, at) {
    const of = (name) => value(metrics, name, model);

    return {
        at,
        running: of("vllm:num_requests_running"),
        waiting: of("vllm:num_requests_waiting"),
        written: of("vllm:generation_tokens_total"),
        read: of("llamacpp:prompt_tokens_total"),
        asked: of("vllm:prefix_cache_queries_total"),
        hits: of("vllm:prefix_cache_hits_total"),
        kv: of("vllm:kv_cache_usage_perc"),
        ttft: histogram(metrics, TTFT, model),
        gap: histogram(metrics, GAP, model),
    };
}

export class History {
    #readings = [];
    #points = [];

    clear() {
        this.#readings = [];
        this.#points = [];
    }

    /* at: seconds.  Returns all points of the last KEPT_S seconds. */
    add(metrics, model, at) {
        const now = reading(metrics, model, at);
        const last = this.#readings.at(-1);

        if (last && (now.written < last.written || now.read < last.read)) this.clear(); /* the server is another one */
        const before = this.#readings.at(-1) ?? now;
        const window = this.#readings.find((old) => old.at >= at - WINDOW_S) ?? now;
        this.#readings.push(now);
        this.#points.push(this.#point(now, before, window));
        this.#readings = this.#readings.filter((old) => old.at > at - KEPT_S);
        this.#points = this.#points.filter((point) => point.at > at - KEPT_S);
        return this.#points;
    }

    #point(now, before, window) {
        const rate = (name) => (now.at > before.at ? Math.max(0, now[name] - before[name]) / (now.at - before.at) : 0);
        const ms = (name, share) => {
            const seconds = percentile(window[name], now[name], share);

            return seconds === null ? null : seconds * 1000;
        };
        const asked = now.asked - window.asked;

        return {
            at: now.at,
            running: now.running,
            waiting: now.waiting,
            written: rate("written"),
            read: rate("read"),
            ttft50: ms("ttft", 0.5),
            ttft95: ms("ttft", 0.95),
            gap50: ms("gap", 0.5),
            gap95: ms("gap", 0.95),
            kv: now.kv * 100,
            hits: asked > 0 ? ((now.hits - window.hits) / asked) * 100 : null,
        };
    }
}
