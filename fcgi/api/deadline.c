#include "fcgi/api/deadline.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/base/clock.h"

/* An error that arrives after the client has left tells nobody: it is sent a little earlier. */
enum { AHEAD_PART = 20, AHEAD_MAX_MS = 250 };

static const double MOST_S = 30.0 * 24 * 3600; /* above it nobody means it */

/* Seconds as a decimal fraction; 0 where there are none, or something else stands there. */
static double patience_s(const struct request *r)
{
    const char *s = request_header(r, "x-stainless-read-timeout");
    char *end;
    double seconds;

    if (!s || !*s)
        return 0;
    seconds = strtod(s, &end);
    return !*end && isfinite(seconds) && seconds > 0 && seconds <= MOST_S ? seconds : 0;
}

void deadline_init(struct deadline *d, const struct config *c, const struct request *r)
{
    double client_ms = patience_s(r) * 1000;

    *d = (struct deadline){ .limit_ms = c->request_timeout_ms, .client_ms = (size_t)client_ms };
    if (d->limit_ms)
        d->limit_at_ms = r->start_ms + (double)d->limit_ms;
    if (client_ms > 0)
        d->client_at_ms = r->start_ms + client_ms - fmin(client_ms / AHEAD_PART, AHEAD_MAX_MS);
}

void deadline_heard(struct deadline *d)
{
    d->client_at_ms = 0;
}

double deadline_left_ms(const struct deadline *d, double max_ms)
{
    double now_ms = clock_ms(), left_ms = max_ms;

    if (d->limit_at_ms > 0)
        left_ms = fmin(left_ms, d->limit_at_ms - now_ms);
    if (d->client_at_ms > 0)
        left_ms = fmin(left_ms, d->client_at_ms - now_ms);
    return fmax(left_ms, 0);
}

int deadline_check(const struct deadline *d, struct err *e)
{
    double now_ms = clock_ms();

    if (d->limit_at_ms > 0 && now_ms >= d->limit_at_ms)
        return err_set(e, ERR_DEADLINE, "the answer took longer than this server's limit of %zu ms",
                       d->limit_ms);
    if (d->client_at_ms > 0 && now_ms >= d->client_at_ms)
        return err_set(e, ERR_DEADLINE,
                       "the answer took longer than the %zu ms that the client waits for it "
                       "(x-stainless-read-timeout)",
                       d->client_ms);
    return 0;
}
