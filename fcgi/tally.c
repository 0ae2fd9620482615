#include "fcgi/tally.h"

#include "kernels/base/clock.h"

static void count_end(struct tally *t, enum metric_end end)
{
    atomic_fetch_add_explicit(&t->metrics->ends[end], 1, memory_order_relaxed);
}

/* Tokens that came in one event share its gap evenly: what was held back (half a character, the
 * beginning of a stop string) was drawn in between. */
static void take_text(struct tally *t, const struct event *ev, double *last_ms)
{
    size_t n = ev->n_tokens ? ev->n_tokens : 1;

    if (!t->begun)
        metrics_observe(t->metrics, METRIC_TTFT, (ev->at_ms - t->start_ms) / 1e3, 1);
    t->begun = true;
    if (*last_ms > 0)
        metrics_observe(t->metrics, METRIC_GAP, (ev->at_ms - *last_ms) / 1e3 / (double)n, n);
    *last_ms = ev->at_ms;
}

void tally_event(struct tally *t, const struct event *ev, double *last_ms)
{
    if (ev->kind == EVENT_TEXT)
        take_text(t, ev, last_ms);
    else if (ev->kind == EVENT_DONE)
        count_end(t, ev->finish == FINISH_STOP ? END_STOP : END_LENGTH);
}

void tally_done(struct tally *t, const struct usage *of, size_t written)
{
    metrics_observe(t->metrics, METRIC_TOTAL, (clock_ms() - t->start_ms) / 1e3, 1);
    metrics_observe(t->metrics, METRIC_QUEUE, of->queue_ms / 1e3, 1);
    metrics_observe(t->metrics, METRIC_PROMPT, of->prompt_ms / 1e3, 1);
    metrics_observe(t->metrics, METRIC_DECODE, of->generate_ms / 1e3, 1);
    metrics_observe(t->metrics, METRIC_GIVEN, (double)of->prompt_tokens, 1);
    metrics_observe(t->metrics, METRIC_WRITTEN, (double)written, 1);
}

void tally_broken(struct tally *t, bool cancelled)
{
    count_end(t, cancelled ? END_ABORT : END_ERROR);
}
