#include "inference/dry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int dry_init(struct dry *d, const struct sampling *p, size_t max_ids, struct err *e)
{
    *d = (struct dry){ .max_ids = max_ids };
    if (!dry_wanted(p))
        return 0;
    d->breaks = calloc(max_ids / 64 + 1, sizeof *d->breaks);
    d->runs = malloc((max_ids + 1) * sizeof *d->runs);
    if (d->breaks && d->runs)
        return 0;
    dry_done(d);
    return err_set(e, ERR_NOMEM, "no memory to look for repetitions in %zu tokens", max_ids);
}

void dry_done(struct dry *d)
{
    free(d->breaks);
    free(d->runs);
    *d = (struct dry){ 0 };
}

static bool contains(struct str text, const char *breaker)
{
    size_t len = strlen(breaker);

    for (size_t i = 0; i + len <= text.len; i++)
        if (text.data[i] == *breaker && !memcmp(text.data + i, breaker, len))
            return true;
    return false;
}

/* Does one that began in the tail end in the text? */
static bool ends_in(const struct dry *d, const char *breaker, struct str text)
{
    size_t len = strlen(breaker);

    for (size_t k = 1; k < len && k <= text.len; k++)
        if (len - k <= d->n_tail && !memcmp(breaker + len - k, text.data, k) &&
            !memcmp(breaker, d->tail + d->n_tail - (len - k), len - k))
            return true;
    return false;
}

static void remember(struct dry *d, struct str text)
{
    size_t room = sizeof d->tail, kept;

    if (text.len >= room) {
        memcpy(d->tail, text.data + text.len - room, room);
        d->n_tail = room;
        return;
    }
    kept = d->n_tail < room - text.len ? d->n_tail : room - text.len;
    memmove(d->tail, d->tail + d->n_tail - kept, kept);
    if (text.len)
        memcpy(d->tail + kept, text.data, text.len);
    d->n_tail = kept + text.len;
}

void dry_push(struct dry *d, const struct sampling *p, struct str text)
{
    size_t at = d->n_seen++;

    for (size_t i = 0; i < p->n_dry_breakers; i++) {
        const char *breaker = p->dry_breakers[i];

        if (contains(text, breaker))
            d->breaks[at / 64] |= 1ull << at % 64;
        else if (!ends_in(d, breaker, text))
            continue;
        d->since = d->n_seen;
    }
    remember(d, text);
}

/* runs[k], 0 < k < n: how many tokens before the last k are those at the end, from the last on.
 * The Z-algorithm (Gusfield 1997, 1.3), read backwards: linear, since each box found is used again.
 */
static void find_runs(const int32_t *ids, size_t n, uint32_t *runs)
{
    const int32_t *last = ids + n - 1;
    size_t left = 0, right = 0; /* the box that reaches furthest: last[-left .. -right) */

    for (size_t k = 1; k < n; k++) {
        size_t run = 0;

        if (k < right) {
            run = runs[k - left];
            run = run < right - k ? run : right - k;
        }
        while (k + run < n && last[-(ptrdiff_t)run] == last[-(ptrdiff_t)(k + run)])
            run++;
        if (k + run > right) {
            left = k;
            right = k + run;
        }
        runs[k] = (uint32_t)run;
    }
}

void dry_penalise(struct dry *d, const struct sampling *p, const int32_t *ids, float *x,
                  uint32_t *counts)
{
    size_t n = d->n_seen < p->dry_last_n ? d->n_seen : p->dry_last_n;
    size_t first = d->n_seen - n, longest = d->n_seen - d->since, most = 0;

    if (n <= p->dry_allowed_length || longest < p->dry_allowed_length)
        return;
    if (p->dry_base > 1.000001f) /* a power that floats can hold */
        most = (size_t)(88.7228391f / logf(p->dry_base));
    find_runs(ids + first, n, d->runs);
    for (size_t k = 1; k < n; k++) {
        size_t run = d->runs[k] < longest ? d->runs[k] : longest, at = d->n_seen - k;

        if (run >= p->dry_allowed_length && !(d->breaks[at / 64] >> at % 64 & 1) &&
            counts[ids[at]] < run + 1)
            counts[ids[at]] = (uint32_t)run + 1;
    }
    for (size_t at = first; at < d->n_seen; at++) {
        size_t run = counts[ids[at]], power;

        if (!run)
            continue;
        power = run - 1 - p->dry_allowed_length;
        power = most && power > most ? most : power;
        x[ids[at]] -= p->dry_multiplier * powf(p->dry_base, (float)power);
        counts[ids[at]] = 0;
    }
}
