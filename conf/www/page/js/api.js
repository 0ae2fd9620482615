/* api.js - requests to Airstrip, and what went wrong with one as an ApiError.
 *
 * The page lies two folders below the API's root, wherever a web server has put both. */
import { key } from "./key.js";

export const root = new URL("../../", import.meta.url);

/* status 0: no answer at all.  code: as OpenAI's errors have it, or null. */
export class ApiError extends Error {
    constructor(status, { message, code = null, type = null } = {}, retryAfter = 0) {
        super(message || `The server answered with status ${status}.`);
        this.status = status;
        this.code = code;
        this.type = type;
        this.retryAfter = retryAfter; /* seconds; 0: trying again would not help */
    }
}

async function failure(response) {
    let error = {};

    try {
        error = (await response.json()).error || {};
    } catch {
        /* a page of the web server's own; the status has to do */
    }
    return new ApiError(response.status, error, Number(response.headers.get("Retry-After")) || 0);
}

/* A fetch() that throws an ApiError where the answer is none; AbortError passes through. */
export async function ask(path, { body, signal } = {}) {
    const headers = {};
    let response;

    if (key()) headers.Authorization = `Bearer ${key()}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
        response = await fetch(new URL(path, root), {
            method: body === undefined ? "GET" : "POST",
            headers,
            body: body === undefined ? undefined : JSON.stringify(body),
            signal,
            cache: "no-store",
        });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ApiError(0, { message: "The server cannot be reached." });
    }
    if (!response.ok) throw await failure(response);
    return response;
}

/* How far loading is: { ready, percent, message }; needs no key. */
export async function readiness(signal) {
    let response;

    try {
        response = await fetch(new URL("readyz", root), { signal, cache: "no-store" });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        return { ready: false, percent: null, code: "unreachable", message: "The server cannot be reached." };
    }
    const text = await response.json().catch(() => ({}));
    return {
        ready: response.ok,
        percent: text.load_percent ?? null,
        code: text.error?.code ?? null,
        message: text.error?.message ?? "",
    };
}
