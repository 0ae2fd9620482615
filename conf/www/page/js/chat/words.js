/* words.js - what went wrong, in plain words: { title, text, again }.
 * again: trying the same once more may help. */

const BY_CODE = {
    context_length_exceeded: (e) => ({
        title: "The conversation is longer than the model can read.",
        text: `${sentence(e.message)} Begin a new conversation, or shorten an earlier message by editing it.`,
    }),
    invalid_api_key: () => ({
        title: "The server asks for an API key.",
        text: "Enter it in the settings, then send again. If you have entered one, it is not one that the server knows.",
        again: true,
    }),
    permission_denied: (e) => ({ title: "This API key may not do that.", text: sentence(e.message) }),
    model_not_found: (e) => ({ title: "The server has no such model.", text: sentence(e.message) }),
    server_overloaded: (e) => ({ title: "The server is busy.", text: sentence(e.message), again: true }),
    model_loading: () => ({ title: "The model is still loading.", text: "Your message is sent as soon as it is ready.", again: true }),
    shutting_down: () => ({ title: "The server is shutting down.", text: "It may come back in a moment.", again: true }),
    engine_stalled: (e) => ({ title: "The model hangs.", text: sentence(e.message), again: true }),
    rate_limit_exceeded: (e) => ({ title: "That was more than you may ask in so short a time.", text: sentence(e.message), again: true }),
    request_too_large: (e) => ({ title: "The message is too large for the server.", text: sentence(e.message) }),
};

const BY_STATUS = {
    0: (e) => ({ title: "The connection is gone.", text: `${sentence(e.message)} Is the server running, and the network up?`, again: true }),
    400: (e) => ({ title: "The server refuses this request.", text: sentence(e.message) }),
    502: () => ({ title: "The web server cannot reach Airstrip.", text: "It is not running, or it ended while answering.", again: true }),
    504: () => ({ title: "The web server has stopped waiting.", text: "Airstrip took longer than it allows.", again: true }),
};

/* Errors of the server begin with a small letter and have no full stop. */
export function sentence(text) {
    const whole = text.charAt(0).toUpperCase() + text.slice(1);

    return /[.!?]$/.test(whole) ? whole : whole + ".";
}

export function words(error) {
    const make = BY_CODE[error.code] ?? BY_STATUS[error.status];

    return make ? make(error) : { title: "The server had an error.", text: sentence(error.message), again: true };
}
