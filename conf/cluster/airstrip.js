// airstrip.js - what nginx.conf of this folder needs beyond nginx's own means (njs: Debian's libnginx-mod-http-js).

// The beginning of a conversation or a text: which prefix cache may know it.
function words(content) {
    if (typeof content === 'string') return content;
    return Array.isArray(content) ? content.map(part => part.text || '').join('') : '';
}

function beginning(body) {
    const turns = body.messages || body.input;
    if (!Array.isArray(turns)) return words(turns || body.prompt || '').slice(0, 256);
    const first = turns[0] || {};
    const shared = first.role === 'system' || first.role === 'developer';     // many conversations begin with the application's
    return words(first.content) + (shared && turns[1] ? words(turns[1].content) : '');
}

// The whole body where it is in memory (client_body_buffer_size), else nothing.
function read(r) {
    try {
        return JSON.parse(r.requestText);
    } catch (e) {
        return {};
    }
}

// To the location that suits a request: streams may be given up sooner, since they say something now and then.
function route(r) {
    const body = r.method === 'POST' ? read(r) || {} : {};
    const key = String(body.prompt_cache_key || body.user || beginning(body));
    r.variables.airstrip_key = key;
    r.variables.airstrip_hosts = key ? 'airstrip_keyed' : 'airstrip_any';
    r.internalRedirect(body.stream === true ? '@stream' : '@answer');
}

// nginx takes the end of a FastCGI connection for the end of an answer.  A stream that was not finished gets an error event.
const END = /data: \[DONE\]|data: \{"error"|event: error|event: response\.(completed|incomplete|failed)/;
const ERROR = '{"error":{"message":"Airstrip ended while answering.","type":"server_error","param":null,"code":"bad_gateway"}}';
let tail = '';      // a request has variables of its own

function finish(r, data, flags) {
    if (String(r.headersOut['Content-Type']).startsWith('text/event-stream')) {
        tail = (tail + data).slice(-16384);
        if (flags.last && !END.test(tail)) data += `\n\ndata: ${ERROR}\n\n`;
    }
    r.sendBuffer(data, flags);
}

export default { route, finish };
