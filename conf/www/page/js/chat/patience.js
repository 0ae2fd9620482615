/* patience.js - trying again where the server says that it will have time, or is still loading. */
import { ApiError, readiness } from "../api.js";
import { words } from "./words.js";

const TRIES = 30;
const LOOK_MS = 400; /* between looks at how far loading is */

function pause(ms, signal) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, ms);

        signal.addEventListener("abort", () => {
            clearTimeout(timer);
            reject(new DOMException("stopped", "AbortError"));
        }, { once: true });
    });
}

async function countDown(seconds, signal, show) {
    for (let left = seconds; left > 0; left--) {
        show(left);
        await pause(1000, signal);
    }
    show(0);
}

/* Until the models are loaded; false where they never will be. */
export async function untilReady(signal, notice) {
    for (;;) {
        const now = await readiness(signal);

        if (now.ready) return true;
        if (now.code !== "model_loading") return false;
        notice.loading(now.percent);
        await pause(LOOK_MS, signal);
    }
}

/* Calls attempt() until it succeeds, fails for good, or has been tried often enough. */
export async function patiently(attempt, { signal, notice }) {
    for (let tries = 1; ; tries++) {
        try {
            return await attempt();
        } catch (error) {
            if (!(error instanceof ApiError) || !error.retryAfter || tries >= TRIES) throw error;
            if (error.code === "model_loading") {
                if (!(await untilReady(signal, notice))) throw error;
            } else {
                notice.waiting(words(error), tries);
                await countDown(error.retryAfter, signal, notice.seconds);
            }
        }
    }
}
