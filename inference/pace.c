/* pace.c - medians of what must not be delayed, and running means of what delays it. */
#include "inference/pace.h"

enum { ROW_STEP = 32 };

static const double NEWEST = 0.5; /* weight of a measurement, once there are some */
static const double GAP_SHARE = 2.2;
static const double MIN_SHARE = 0.4; /* of a quiet pass: prompts get on whatever the streams want */

static size_t size_of(size_t n_rows)
{
    size_t size = 0;

    while (size + 1 < PACE_SIZES && (size_t)1 << size < n_rows)
        size++;
    return size;
}

void pace_generated(struct pace *p, size_t n_rows, bool after_slice, double ms)
{
    struct pace_times *t = after_slice ? &p->beside : &p->quiet[size_of(n_rows)];

    t->ms[t->next] = ms;
    t->next = (t->next + 1) % PACE_KEPT;
    if (t->n < PACE_KEPT)
        t->n++;
    p->n_generating = n_rows;
}

/* 0 without any. */
static double median(const struct pace_times *t)
{
    double sorted[PACE_KEPT] = { 0 };

    for (size_t i = 0; i < t->n; i++) {
        size_t at = i;

        for (; at > 0 && sorted[at - 1] > t->ms[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = t->ms[i];
    }
    return sorted[t->n / 2];
}

/* Of passes as large as the last one; else of the nearest smaller ones, which take less. */
static double quiet_ms(const struct pace *p)
{
    size_t size = size_of(p->n_generating);
    double ms = 0;

    for (size_t i = size + 1; i > 0 && ms <= 0; i--)
        ms = median(&p->quiet[i - 1]);
    for (size_t i = size + 1; i < PACE_SIZES && ms <= 0; i++)
        ms = median(&p->quiet[i]);
    return ms > 0 ? ms : median(&p->beside);
}

bool pace_listens(struct pace *p)
{
    if (++p->n_steps < PACE_LISTEN)
        return false;
    p->n_steps = 0;
    return true;
}

/* 0: nothing to go by yet. */
static double budget_ms(const struct pace *p, bool others_generate)
{
    double quiet = quiet_ms(p), beside = median(&p->beside), ms;

    if (!others_generate)
        return PACE_ALONE_MS;
    ms = GAP_SHARE * quiet - (beside > quiet ? beside : quiet);
    return ms > MIN_SHARE * quiet ? ms : MIN_SHARE * quiet;
}

static double expected_ms(const struct pace *p, const struct pace_work *w)
{
    double ms = 0;

    for (size_t i = 0; i < STAGE_KINDS; i++)
        ms += p->unit_ms[i] * w->of[i];
    return ms;
}

/* A time of several kinds of stages is split as they were expected to share it. */
void pace_sliced(struct pace *p, const struct pace_work *w, double ms)
{
    double expected = expected_ms(p, w);

    for (size_t i = 0; i < STAGE_KINDS; i++)
        if (w->of[i] > 0)
            p->unit_ms[i] = expected > 0 ? p->unit_ms[i] * (1 - NEWEST + NEWEST * ms / expected)
                                         : ms / w->of[i];
}

size_t pace_rows(const struct pace *p, size_t max_rows, bool others_generate)
{
    double qkv = p->unit_ms[STAGE_QKV], output = p->unit_ms[STAGE_OUTPUT];
    double worst = qkv > output ? qkv : output, budget = budget_ms(p, others_generate), rows;

    if (worst <= 0 || budget <= 0)
        return max_rows;
    rows = budget / worst;
    if (rows >= (double)max_rows)
        return max_rows;
    if (rows < PACE_MIN_ROWS)
        return max_rows < PACE_MIN_ROWS ? max_rows : PACE_MIN_ROWS;
    return (size_t)rows / ROW_STEP * ROW_STEP;
}

/* All rows where that is well within a slice: a stage more is a wait for all threads more, and keys
 * and values are taken in once more.  Late in a long prompt even the few rows that are worth that
 * can be more than a slice. */
size_t pace_attend_rows(const struct pace *p, size_t n_rows, size_t n_positions,
                        bool others_generate)
{
    double unit = p->unit_ms[STAGE_ATTEND], budget = budget_ms(p, others_generate), slice, rows;
    size_t few = PACE_ATTEND_ROWS;

    if (unit <= 0 || budget <= 0 || n_rows <= PACE_MIN_ATTEND_ROWS)
        return n_rows;
    slice = budget / (unit * (double)(n_positions ? n_positions : 1));
    rows = slice / 2 - PACE_ATTEND_ONCE;
    if (rows >= (double)n_rows)
        return n_rows;
    if (rows >= (double)few)
        return (size_t)rows / few * few;
    if (slice < (double)few + PACE_ATTEND_ONCE)
        few = PACE_MIN_ATTEND_ROWS;
    return few < n_rows ? few : n_rows;
}

static bool is_new(const struct pace *p, const struct pace_work *w)
{
    for (size_t i = 0; i < STAGE_KINDS; i++)
        if (w->of[i] > 0 && p->unit_ms[i] <= 0)
            return true;
    return false;
}

bool pace_join(const struct pace *p, struct pace_work *w, enum stage_kind kind, double work,
               bool others_generate)
{
    struct pace_work with = *w;

    with.of[kind] += work;
    with.n_stages++;
    /* One that was never timed comes alone, so that its time is known. */
    if (w->n_stages && (is_new(p, &with) || expected_ms(p, &with) > budget_ms(p, others_generate)))
        return false;
    *w = with;
    return true;
}
