/* events.c - whether events come one by one.
 *
 * Airstrip writes into each when it was sent.  Clocks of two machines differ, so the earliest of
 * them is taken for prompt, and the others' lateness counted from it; and since a late network is
 * not a web server that collects, what decides is in how many pieces they come. */
#include "doctor/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"

enum { N_EVENTS = 15, INTERVAL_MS = 100, APART_MS = 25, TRIES = 3, LINE_MOST = 65536 };

struct stream {
    struct buf rest; /* of a line that is not whole */
    size_t n;        /* events so far */
    double came_ms[N_EVENTS], late_ms[N_EVENTS];
    struct answer answer;
};

static void on_line(struct stream *s, const char *line)
{
    const char *sent = strstr(line, "\"sent_ms\":");

    if (strncmp(line, "data: {\"event\"", 14) || !sent || s->n == N_EVENTS)
        return;
    s->came_ms[s->n] = clock_ms();
    s->late_ms[s->n] = s->came_ms[s->n] - strtod(sent + 10, NULL);
    s->n++;
}

static void on_piece(void *arg, const char *bytes, size_t len)
{
    struct stream *s = arg;

    while (len) {
        const char *end = memchr(bytes, '\n', len);
        size_t n = end ? (size_t)(end - bytes) : len;

        buf_put(&s->rest, bytes, n);
        if (end) {
            on_line(s, buf_str(&s->rest));
            buf_reset(&s->rest);
            n++;
        }
        bytes += n;
        len -= n;
    }
}

static void listen_to(const struct site *site, enum ask_http http, struct stream *s)
{
    char path[80];
    const struct ask q = {
        .path = path, .http = http, .timeout_ms = ASK_TIMEOUT_MS, .piece = on_piece, .arg = s
    };

    *s = (struct stream){ .rest.limit = LINE_MOST };
    snprintf(path, sizeof path, "/v1/selftest/events?n=%d&interval_ms=%d", N_EVENTS, INTERVAL_MS);
    ask(site, &q, &s->answer);
    buf_done(&s->rest);
}

static size_t pieces(const struct stream *s)
{
    size_t n = s->n > 0;

    for (size_t i = 1; i < s->n; i++)
        n += s->came_ms[i] - s->came_ms[i - 1] > APART_MS;
    return n;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of the one in the middle, beside the promptest. */
static double lateness(const struct stream *s)
{
    double sorted[N_EVENTS];

    memcpy(sorted, s->late_ms, s->n * sizeof *sorted);
    qsort(sorted, s->n, sizeof *sorted, ascending);
    return s->n ? sorted[s->n / 2] - sorted[0] : 0;
}

static bool came_apart(const struct stream *s)
{
    return pieces(s) * 5 >= (size_t)N_EVENTS * 4;
}

/* A machine that is busy elsewhere delays what nobody collected: only what is so each time is a
 * finding. */
static void listen_patiently(const struct site *site, enum ask_http http, struct stream *s)
{
    for (int i = 0;; i++) {
        listen_to(site, http, s);
        if (s->n < N_EVENTS || came_apart(s) || i + 1 == TRIES)
            return;
        answer_done(&s->answer);
    }
}

static void tell_events(struct report *r, const char *check, enum fault fault, const char *over,
                        const struct stream *s)
{
    char what[240];

    answer_describe(&s->answer, what, sizeof what);
    if (s->n < N_EVENTS)
        report_found(r, check, VERDICT_WRONG, fault, "of %d events%s %zu came: %s", N_EVENTS, over,
                     s->n, what);
    else if (!came_apart(s))
        report_found(r, check, VERDICT_WRONG, fault,
                     "%d events, sent %d ms apart%s, came in %zu heap%s, the middle one %.0f ms "
                     "late: the web server collects the answer before it passes it on",
                     N_EVENTS, INTERVAL_MS, over, pieces(s), pieces(s) == 1 ? "" : "s",
                     lateness(s));
    else
        report_good(r, check, "events come one by one%s, the middle one %.1f ms late", over,
                    lateness(s));
}

void check_events(struct visit *v)
{
    struct stream s;
    char encoding[40];

    listen_patiently(&v->site, ASK_HTTP1, &s);
    v->apart = s.n == N_EVENTS && came_apart(&s);
    tell_events(v->report, "events", FAULT_BUFFERED, "", &s);
    if (answer_header(&s.answer, "content-encoding", encoding, sizeof encoding))
        report_found(v->report, "compression", VERDICT_WRONG, FAULT_COMPRESSED,
                     "events come compressed (%s): each is then held back or grows, and some "
                     "clients cannot read them",
                     encoding);
    else
        report_good(v->report, "compression", "events are not compressed");
    answer_done(&s.answer);
}

/* Over TLS the web server chooses; in the clear it is asked whether it speaks HTTP/2 at all, and
 * many rightly do not. */
void check_http2(struct visit *v)
{
    bool tls = !strncmp(v->site.base, "https", 5);
    enum ask_http http = tls ? ASK_HTTP2_TLS : ASK_HTTP2_CLEAR;
    const struct ask q = { .path = "/v1/selftest", .http = http, .timeout_ms = ASK_TIMEOUT_MS };
    struct answer a;
    struct stream s;

    ask(&v->site, &q, &a);
    if (a.is_http2 && a.status == 200 && v->apart) {
        listen_patiently(&v->site, http, &s);
        tell_events(v->report, "HTTP/2", FAULT_HTTP2, " over HTTP/2", &s);
        answer_done(&s.answer);
    } else if (a.is_http2 && a.status == 200) {
        report_good(v->report, "HTTP/2", "is spoken; events cannot be better there");
    } else if (a.is_http2) {
        char what[240];

        answer_describe(&a, what, sizeof what);
        report_found(v->report, "HTTP/2", VERDICT_WRONG, FAULT_HTTP2,
                     "what is answered over HTTP/1.1 is answered %s over HTTP/2", what);
    } else if (tls) {
        report_found(v->report, "HTTP/2", VERDICT_NOTE, FAULT_HTTP2,
                     "is not offered: a browser then has six connections to this host, and each "
                     "stream holds one");
    } else {
        report_good(v->report, "HTTP/2", "not spoken in the clear, which clients do not expect");
    }
    answer_done(&a);
}
