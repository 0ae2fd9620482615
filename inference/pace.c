/* pace.c - a median of what must not be delayed, and running means of what delays it. */
#include "inference/pace.h"

enum { ROW_STEP = 32 };

/* Weight of the newest measurement: attention grows from pass to pass, and must be followed. */
static const double NEWEST = 0.5;
static const double SLICE_SHARE = 1.5;

void pace_generated(struct pace *p, double ms)
{
    p->kept[p->next] = ms;
    p->next = (p->next + 1) % PACE_KEPT;
    if (p->n_kept < PACE_KEPT)
        p->n_kept++;
}

static double median(const struct pace *p)
{
    double sorted[PACE_KEPT];

    for (size_t i = 0; i < p->n_kept; i++) {
        size_t at = i;

        for (; at > 0 && sorted[at - 1] > p->kept[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = p->kept[i];
    }
    return sorted[p->n_kept / 2];
}

/* 0: nothing to go by yet. */
static double budget_ms(const struct pace *p, bool others_generate)
{
    if (!others_generate)
        return PACE_ALONE_MS;
    return p->n_kept ? SLICE_SHARE * median(p) : 0;
}

/* Below PACE_MIN_ROWS a stage takes about the same time for any number of rows. */
static double weight_of(size_t n_rows)
{
    return (double)(n_rows > PACE_MIN_ROWS ? n_rows : PACE_MIN_ROWS);
}

/* A time of both kinds of stages is split as they were expected to share it. */
void pace_sliced(struct pace *p, size_t n_rows, size_t stage, size_t n_stages, double ms)
{
    size_t n_of[2] = { (n_stages + 1 - stage % 2) / 2, (n_stages + stage % 2) / 2 };
    double expected = 0, rows = weight_of(n_rows);

    if (n_stages == 0)
        return;
    if (p->row_ms[0] <= 0) {
        p->row_ms[0] = p->row_ms[1] = ms / ((double)n_stages * rows);
        return;
    }
    for (size_t i = 0; i < 2; i++)
        expected += p->row_ms[i] * (double)n_of[i] * rows;
    for (size_t i = 0; i < 2 && expected > 0; i++)
        if (n_of[i])
            p->row_ms[i] *= 1 - NEWEST + NEWEST * ms / expected;
}

size_t pace_rows(const struct pace *p, size_t max_rows, bool others_generate)
{
    double worst = p->row_ms[0] > p->row_ms[1] ? p->row_ms[0] : p->row_ms[1];
    double budget = budget_ms(p, others_generate), rows;

    if (worst <= 0 || budget <= 0)
        return max_rows;
    rows = budget / worst;
    if (rows >= (double)max_rows)
        return max_rows;
    if (rows < PACE_MIN_ROWS)
        return max_rows < PACE_MIN_ROWS ? max_rows : PACE_MIN_ROWS;
    return (size_t)rows / ROW_STEP * ROW_STEP;
}

size_t pace_stages(const struct pace *p, size_t n_rows, size_t stage, size_t n_left,
                   bool others_generate)
{
    double budget = budget_ms(p, others_generate), ms = 0;
    size_t n = 0;

    if (p->row_ms[0] <= 0)
        return n_left < 2 ? n_left : 2; /* to learn from */
    while (n < n_left) {
        ms += p->row_ms[(stage + n) % 2] * weight_of(n_rows);
        if (n > 0 && ms > budget)
            break;
        n++;
    }
    return n;
}
