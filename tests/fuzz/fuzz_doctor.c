/* A web server that answers airstrip-doctor with anything at all: whatever it says, there is a
 * verdict on each thing, in sentences, and nothing breaks. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "doctor/checks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *left;
static size_t n_left;

static uint8_t next(void)
{
    if (!n_left)
        return 0;
    n_left--;
    return *left++;
}

static size_t take(size_t n)
{
    n = n < n_left ? n : n_left;
    left += n;
    n_left -= n;
    return n;
}

/* In place of libcurl's: the status, the head's length and the body's out of the input, then they.
 */
void ask(const struct site *s, const struct ask *q, struct answer *a)
{
    static const long statuses[] = { 0, 200, 200, 204, 301, 400, 401, 404, 405, 413, 502, 504 };
    uint8_t how = next();
    size_t n_head = next(), n_body = (size_t)next() * 8;
    const char *body;

    (void)s;
    *a = (struct answer){ .status = statuses[how % (sizeof statuses / sizeof *statuses)],
                          .is_ours = how & 0x40,
                          .is_http2 = how & 0x80 };
    a->code = a->status ? CURLE_OK : CURLE_COULDNT_CONNECT;
    strcpy(a->said, "made up");
    n_head = take(n_head);
    buf_put(&a->head, left - n_head, n_head);
    n_body = take(n_body);
    body = (const char *)left - n_body;
    buf_put(&a->body, body, n_body);
    for (size_t i = 0, n; q->piece && i < n_body; i += n) {
        n = n_body - i < 7 ? n_body - i : 7;
        q->piece(q->arg, body + i, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report r = { .server = SERVER_UNKNOWN };
    struct visit v = { .site = { .base = size % 2 ? "https://x" : "http://x", .key = "k" },
                       .report = &r };
    struct err e = { 0 };
    int rc;

    left = data;
    n_left = size;
    rc = check_first(&v, &e);
    assert(!rc || e.code == rc);
    if (rc && rc != ERR_CANCELLED)
        assert(*e.text);
    v.body_limit = 100; /* quick ones */
    check_events(&v);
    check_bodies(&v);
    check_paths(&v);
    check_errors(&v);
    check_methods(&v);
    check_http2(&v);
    assert(r.n >= 10 && r.n < REPORT_MAX);
    for (size_t i = 0; i < r.n; i++) {
        assert(*r.list[i].text && (r.list[i].verdict == VERDICT_GOOD) == !r.list[i].fault);
        for (const char *p = r.list[i].text; *p; p++)
            assert((unsigned char)*p >= ' ' && *p != 0x7f);
        for (int s = 0; r.list[i].fault && s < N_SERVERS; s++)
            assert(*advice_for(r.list[i].fault, (enum server)s).lines);
    }
    return 0;
}
