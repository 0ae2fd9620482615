/* pass.c - rows side by side, as struct step wants them. */
#include "inference/pass.h"

#include <stdlib.h>
#include <string.h>

int pass_open(struct pass *p, struct forward *f, bool prompt, size_t max_rows, size_t max_spans,
              size_t max_outputs, struct err *e)
{
    *p = (struct pass){ .forward = f,
                        .prompt = prompt,
                        .max_rows = max_rows,
                        .max_spans = max_spans,
                        .max_outputs = max_outputs };
    p->ids = calloc(max_rows, sizeof *p->ids);
    p->out_rows = calloc(max_outputs, sizeof *p->out_rows);
    p->spans = calloc(max_spans, sizeof *p->spans);
    p->span_jobs = calloc(max_spans, sizeof *p->span_jobs);
    p->out_jobs = calloc(max_outputs, sizeof *p->out_jobs);
    p->hidden_rows = calloc(max_rows, sizeof *p->hidden_rows);
    p->span_hidden = calloc(max_spans, sizeof *p->span_hidden);
    if (p->ids && p->out_rows && p->spans && p->span_jobs && p->out_jobs && p->hidden_rows &&
        p->span_hidden)
        return 0;
    pass_close(p);
    return err_set(e, ERR_NOMEM, "no memory for a pass of %zu rows", max_rows);
}

void pass_close(struct pass *p)
{
    free(p->ids);
    free(p->out_rows);
    free(p->spans);
    free(p->span_jobs);
    free(p->out_jobs);
    free(p->hidden_rows);
    free(p->span_hidden);
    *p = (struct pass){ 0 };
}

void pass_clear(struct pass *p)
{
    p->n_rows = p->n_spans = p->n_outputs = p->n_hidden = 0;
    p->stage = p->n_left = 0;
}

void pass_add(struct pass *p, struct job *j, const int32_t *ids, size_t n, size_t n_outputs)
{
    memcpy(p->ids + p->n_rows, ids, n * sizeof *ids);
    p->spans[p->n_spans] = (struct seq_span){ .row = p->n_rows,
                                              .n = n,
                                              .pos = j->n_done,
                                              .pages = j->table.pages,
                                              .reach = p->encoder ? j->n_prompt : 0,
                                              .far = j->far };
    p->span_hidden[p->n_spans] = 0;
    p->span_jobs[p->n_spans++] = j;
    p->n_rows += n;
    for (size_t i = n_outputs; i > 0; i--) {
        p->out_rows[p->n_outputs] = (int32_t)(p->n_rows - i);
        p->out_jobs[p->n_outputs++] = j;
    }
}

void pass_add_hidden(struct pass *p, size_t first, size_t n)
{
    size_t row = p->spans[p->n_spans - 1].row + first;

    for (size_t i = 0; i < n; i++)
        p->hidden_rows[p->n_hidden++] = (int32_t)(row + i);
    p->span_hidden[p->n_spans - 1] = n;
}

size_t pass_positions(const struct pass *p)
{
    size_t most = 0;

    for (size_t i = 0; i < p->n_spans; i++)
        if (p->spans[i].pos + p->spans[i].n > most)
            most = p->spans[i].pos + p->spans[i].n;
    return most;
}

/* As many of the largest logits as outputs want whose token is the likeliest: for its own
 * log-probability one, at least. */
static size_t most_top(const struct pass *p)
{
    size_t most = 0;

    for (size_t i = 0; i < p->n_outputs; i++) {
        const struct job *j = p->out_jobs[i];
        size_t n = j->top_logprobs > 0 ? (size_t)j->top_logprobs : 1;

        if (j->top_logprobs >= 0 && job_takes_argmax(j) && n > most)
            most = n;
    }
    return most;
}

void pass_begin(struct pass *p, size_t attend_rows)
{
    forward_begin(p->forward, &(struct step){ .prompt = p->prompt,
                                              .attend_rows = attend_rows,
                                              .ids = p->ids,
                                              .n_rows = p->n_rows,
                                              .spans = p->spans,
                                              .n_spans = p->n_spans,
                                              .out_rows = p->out_rows,
                                              .n_outputs = p->n_outputs,
                                              .n_top = most_top(p),
                                              .hidden_rows = p->hidden_rows,
                                              .n_hidden = p->n_hidden });
    p->stage = 0;
    p->n_left = forward_stages(p->forward);
}

struct pace_work pass_slice(const struct pass *p, const struct pace *pace, bool others_generate)
{
    struct pace_work w = { .n_stages = 0 };
    bool fits = true;

    while (fits && w.n_stages < p->n_left) {
        double work;
        enum stage_kind kind = forward_stage(p->forward, p->stage + w.n_stages, &work);

        /* Weights are read whatever the number of rows. */
        if ((kind == STAGE_QKV || kind == STAGE_OUTPUT) && work < PACE_MIN_ROWS)
            work = PACE_MIN_ROWS;
        fits = pace_join(pace, &w, kind, work, others_generate);
    }
    return w;
}

void pass_advance(struct pass *p, size_t n)
{
    size_t left = forward_advance(p->forward, n);

    p->stage += p->n_left - left;
    p->n_left = left;
}
