/* selftest.c - /v1/selftest: what a web server in front makes of requests and answers, without any
 * model.  airstrip-doctor asks these; so can curl -N.
 *
 *   GET, POST /v1/selftest?silence_ms=N     what arrived of the request, as JSON, after N ms
 *   GET /v1/selftest/events?n=N&interval_ms=N&silence_ms=N&pad=N
 *                                           N events, each with the time when it was sent
 *   GET /v1/selftest/path/{any}             as the first, with what {any} was taken for
 *
 * Each holds a worker while it lasts, so few are served at once, and all of it is bounded. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi/api/handlers.h"
#include "fcgi/app.h"
#include "fcgi/sse.h"
#include "kernels/base/clock.h"
#include "kernels/base/crc32.h"
#include "kernels/base/json.h"

enum { AT_ONCE_MAX = 8, STEP_MS = 20 };

static atomic_int running;

static const struct {
    const char *name;
    size_t most;
} known[] = {
    { "n", 1000 },
    { "interval_ms", 10000 },
    { "silence_ms", 600000 },
    { "pad", 65536 },
};
enum { N, INTERVAL, SILENCE, PAD, N_KNOWN };

/* "n=3&pad=10", decimal digits only; out holds the defaults. */
static int read_query(const char *q, size_t out[N_KNOWN], struct err *e)
{
    while (*q) {
        size_t len = strcspn(q, "&"), name = strcspn(q, "=&"), k;
        size_t digits = name < len ? strspn(q + name + 1, "0123456789") : 0;

        for (k = 0; k < N_KNOWN; k++)
            if (strlen(known[k].name) == name && !memcmp(known[k].name, q, name))
                break;
        if (k == N_KNOWN)
            return err_set(e, ERR_INVALID,
                           "expected n, interval_ms, silence_ms or pad, found \"%.*s\"",
                           len < 80 ? (int)len : 80, q);
        if (!digits || digits > 9 || name + 1 + digits != len ||
            (out[k] = strtoul(q + name + 1, NULL, 10)) > known[k].most)
            return err_param(e, known[k].name, ERR_INVALID, "expected a number of 0 to %zu",
                             known[k].most);
        q += len;
        q += *q == '&';
    }
    return 0;
}

/* False once there is no use in going on. */
static bool pause_ms(const struct request *r, size_t ms)
{
    double end = clock_ms() + (double)ms;

    for (double left; (left = end - clock_ms()) > 0;) {
        struct timespec t = { .tv_nsec = (long)((left < STEP_MS ? left : STEP_MS) * 1e6) };

        if (request_stopped(r))
            return false;
        nanosleep(&t, NULL);
    }
    return !request_stopped(r);
}

static bool begin(struct reply *p, const char *query, size_t out[N_KNOWN])
{
    struct err e = { 0 };

    if (read_query(query, out, &e)) {
        reply_err(p, &e);
        return false;
    }
    if (++running <= AT_ONCE_MAX)
        return true;
    running--;
    err_set(&e, ERR_BUSY, "Expected at most %d self-tests at once; try again soon.", AT_ONCE_MAX);
    reply_err(p, &e);
    return false;
}

static void put(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, ",\"%s\":", key);
    if (value)
        json_write_string(b, value, strlen(value));
    else
        buf_puts(b, "null");
}

void selftest_report(struct app *app, struct request *r, struct reply *p)
{
    size_t asked[N_KNOWN] = { 0 };
    const char *authorization = request_header(r, "authorization");

    if (!begin(p, r->query, asked))
        return;
    pause_ms(r, asked[SILENCE]);
    buf_puts(&p->body, "{\"object\":\"selftest\"");
    put(&p->body, "method", r->method);
    put(&p->body, "path", r->path);
    put(&p->body, "tail", r->tail);
    put(&p->body, "protocol", request_param(r, "SERVER_PROTOCOL"));
    put(&p->body, "server_software", request_param(r, "SERVER_SOFTWARE"));
    put(&p->body, "remote_addr", request_param(r, "REMOTE_ADDR"));
    put(&p->body, "content_length", request_param(r, "CONTENT_LENGTH"));
    buf_printf(&p->body,
               ",\"authorization\":%s,\"body_bytes\":%zu,\"body_crc32\":%lu,"
               "\"body_size_limit\":%zu,\"ping_interval_ms\":%zu}",
               authorization && *authorization ? "true" : "false", r->body_len,
               (unsigned long)crc32_of(r->body, r->body_len), app->config->body_size_limit,
               app->config->ping_ms);
    running--;
}

static bool send_event(struct sse *s, const char *pad, size_t i, const size_t asked[N_KNOWN])
{
    struct buf event = { 0 };
    struct timespec now;
    bool ok;

    clock_gettime(CLOCK_REALTIME, &now);
    buf_printf(&event,
               "data: {\"event\":%zu,\"of\":%zu,\"sent_ms\":%lld.%03ld,\"pad\":\"%.*s\"}\n\n", i,
               asked[N], (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
               now.tv_nsec / 1000 % 1000, (int)asked[PAD], pad);
    ok = !event.failed && sse_frames(s, event.data, event.len);
    buf_done(&event);
    return ok;
}

void selftest_events(struct app *app, struct request *r, struct reply *p)
{
    size_t asked[N_KNOWN] = { [N] = 20, [INTERVAL] = 50 };
    static const char last[] = "data: [DONE]\n\n";
    char *pad;
    struct sse s;
    bool ok;

    (void)app;
    if (!begin(p, r->query, asked))
        return;
    pad = arena_alloc(&r->arena, asked[PAD] + 1);
    if (pad)
        memset(pad, '.', asked[PAD]);
    else
        asked[PAD] = 0;
    ok = sse_begin(&s, p);
    if (ok)
        ok = pause_ms(r, asked[SILENCE]);
    for (size_t i = 0; ok && i < asked[N]; i++)
        ok = (!i || pause_ms(r, asked[INTERVAL])) && send_event(&s, pad, i, asked);
    ok = ok && sse_frames(&s, last, strlen(last));
    p->note.cancelled = !ok;
    running--;
}
