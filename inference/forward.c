/* forward.c - buffers of a forward pass, and its steps cut into stages.
 *
 * Stages asked for are enqueued and awaited together; what a stage does is in forward_ops.c. */
#include "inference/forward_state.h"
#include "inference/pace.h"
#include "inference/ranks_lead.h"

#include <stdlib.h>
#include <string.h>

/* rows * cols values of 4 bytes each. */
static int buffer(struct forward *f, size_t rows, size_t cols, void **out, struct err *e)
{
    size_t bytes;

    if (__builtin_mul_overflow(rows, cols, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(float), &bytes))
        return err_set(e, ERR_LIMIT, "a step of %zu rows of %zu values is too large", rows, cols);
    return f->m->backend->alloc(f->m->device, bytes, out, e);
}

/* Of the feed-forward part that all rows go through. */
static size_t width_ff(const struct model *m)
{
    return m->n_ff_shared > m->n_ff ? m->n_ff_shared : m->n_ff;
}

/* Everything a step touches, once: forward_run() allocates nothing, so that nothing can fail there.
 * alloc() gives memory that is not resident before it is touched; unused rows cost addresses only.
 */
static int buffers(struct forward *f, struct err *e)
{
    const struct model *m = f->m;
    size_t n = f->max_rows, n_q = m->n_head * m->head_dim, n_k = m->n_kv * m->head_dim;
    const struct rank_slice *s = &m->slice;
    size_t outputs = s->rank == 0 ? f->max_outputs : 0, own = s->n_ranks ? f->max_outputs : 0;
    size_t top = m->backend->top ? outputs : 0;
    const struct {
        void *out; /* address of the pointer */
        size_t rows, cols;
    } want[] = {
        { &f->x, n, m->n_embd },
        { &f->h, n, m->n_embd },
        { &f->y, n, m->n_embd },
        { &f->q, n, n_q },
        { &f->att, n, n_q },
        { &f->k, n, n_k },
        { &f->v, n, n_k },
        { &f->gate, n, width_ff(m) },
        { &f->up, n, width_ff(m) },
        { &f->logits, outputs, m->n_vocab },
        { &f->parts_of_logits, s->n_ranks ? outputs : 0, m->n_vocab },
        { &f->own_logits, own, s->vocab[s->rank + 1] - s->vocab[s->rank] },
        { &f->argmax, outputs, 1 },
        { &f->top_ids, top, TOP_MOST },
        { &f->top_values, top, TOP_MOST + 1 },
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        void *p = NULL;
        int rc = want[i].rows ? buffer(f, want[i].rows, want[i].cols, &p, e) : 0;

        if (rc)
            return rc;
        memcpy(want[i].out, &p, sizeof p);
    }
    return 0;
}

/* A part has a row at least, and every span and every part begins one piece. */
static int lists(struct forward *f, struct err *e)
{
    size_t n_pieces;

    if (!__builtin_mul_overflow(f->max_rows, (size_t)2, &n_pieces)) {
        f->parts = calloc(f->max_rows, sizeof *f->parts);
        f->part_spans = calloc(n_pieces, sizeof *f->part_spans);
        f->out_spans = calloc(f->max_rows, sizeof *f->out_spans);
        if (f->m->positions)
            f->positions = calloc(f->max_rows, sizeof *f->positions);
        if (f->m->types)
            f->types = calloc(f->max_rows, sizeof *f->types);
        f->host.argmax = calloc(f->max_outputs, sizeof *f->host.argmax);
        f->host.top_ids = calloc(f->max_outputs, TOP_MOST * sizeof *f->host.top_ids);
        f->host.top_values = calloc(f->max_outputs, (TOP_MOST + 1) * sizeof *f->host.top_values);
    }
    if (f->parts && f->part_spans && f->out_spans && (f->positions || !f->m->positions) &&
        (f->types || !f->m->types) && f->host.argmax && f->host.top_ids && f->host.top_values)
        return 0;
    return err_set(e, ERR_NOMEM, "no memory for a step of %zu rows", f->max_rows);
}

int forward_open(struct forward **out, const struct model *m, struct kvcache *cache,
                 size_t max_rows, size_t max_outputs, struct err *e)
{
    struct forward *f;
    int rc;

    *out = NULL;
    if (max_rows == 0 || max_rows > INT32_MAX || max_outputs == 0 || max_outputs > max_rows)
        return err_set(e, ERR_INVALID, "steps of up to %zu rows with %zu outputs are out of range",
                       max_rows, max_outputs);
    f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ERR_NOMEM, "no memory for a forward pass");
    f->m = m;
    f->cache = cache;
    f->max_rows = max_rows;
    f->max_outputs = max_outputs;
    rc = lists(f, e);
    if (rc == 0)
        rc = buffers(f, e);
    if (rc == 0)
        rc = forward_experts_open(f, e);
    if (rc == 0 && m->lead)
        f->number = lead_forward(m->lead, max_rows, max_outputs);
    if (rc == 0)
        rc = m->backend->reserve(m->device, max_rows, e);
    if (rc) {
        forward_close(f);
        return rc;
    }
    *out = f;
    return 0;
}

void forward_close(struct forward *f)
{
    if (!f)
        return;
    void *all[] = { f->x,       f->h,          f->y,         f->q,
                    f->att,     f->k,          f->v,         f->gate,
                    f->up,      f->logits,     f->argmax,    f->parts_of_logits,
                    f->top_ids, f->top_values, f->own_logits };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            f->m->backend->free(f->m->device, all[i]);
    forward_experts_close(f);
    free(f->parts);
    free(f->part_spans);
    free(f->out_spans);
    free(f->positions);
    free(f->types);
    free(f->host.argmax);
    free(f->host.top_ids);
    free(f->host.top_values);
    free(f);
}

/* --- stages --- */

/* The pieces of spans that lie in rows row .. row+n-1 of the step. */
static size_t cut_spans(const struct step *s, size_t row, size_t n, struct seq_span *out)
{
    size_t n_out = 0;

    for (size_t i = 0; i < s->n_spans; i++) {
        const struct seq_span *from = &s->spans[i];
        size_t lo = from->row > row ? from->row : row;
        size_t hi = from->row + from->n < row + n ? from->row + from->n : row + n;

        if (lo < hi)
            out[n_out++] = (struct seq_span){ .row = lo - row,
                                              .n = hi - lo,
                                              .pos = from->pos + lo - from->row,
                                              .pages = from->pages,
                                              .reach = from->reach };
    }
    return n_out;
}

void forward_begin(struct forward *f, const struct step *s)
{
    size_t per = s->attend_rows && s->attend_rows < s->n_rows ? s->attend_rows : s->n_rows;
    size_t n_pieces = 0;

    f->step = *s;
    f->stage = f->n_parts = 0;
    f->told = false;
    f->host.has_argmax = f->host.has_top = false;
    for (size_t row = 0; row < s->n_rows; row += per) {
        struct part *p = &f->parts[f->n_parts++];
        size_t n = s->n_rows - row < per ? s->n_rows - row : per;

        *p = (struct part){ .row = row, .n = n, .span = n_pieces };
        p->n_spans = cut_spans(s, row, n, f->part_spans + n_pieces);
        n_pieces += p->n_spans;
    }
}

size_t forward_stages(const struct forward *f)
{
    return f->step.n_rows ? (f->m->n_layers - 1) * (2 + f->n_parts) + 2 : 0;
}

/* In a layer: 0 up to the cache, 1 .. n_parts attention, then the rest.  The last one has but two.
 */
static enum stage_kind kind_of(const struct forward *f, size_t stage, size_t *layer, size_t *part)
{
    size_t within = stage % (2 + f->n_parts);

    *layer = stage / (2 + f->n_parts);
    *part = within - 1;
    if (within == 0)
        return STAGE_QKV;
    if (*layer + 1 == f->m->n_layers)
        return STAGE_FINISH;
    return within <= f->n_parts ? STAGE_ATTEND : STAGE_OUTPUT;
}

enum { ROW_POSITIONS = 128 }; /* what a row costs in attend, beside the positions it sees */

/* PACE_ATTEND_ONCE rows more for each cut: else a small one would look slow, and ask for smaller
 * ones. */

static double attend_work(const struct forward *f, size_t layer, const struct part *p)
{
    size_t window = f->m->layers[layer].window;
    double work = 0;

    for (size_t i = p->span; i < p->span + p->n_spans; i++) {
        const struct seq_span *s = &f->part_spans[i];
        size_t seen = s->reach ? s->reach : s->pos + s->n / 2; /* on average */

        if (window && seen > window)
            seen = window;
        work += (double)s->n * (double)(seen + ROW_POSITIONS) + PACE_ATTEND_ONCE * (double)seen;
    }
    return work;
}

enum stage_kind forward_stage(const struct forward *f, size_t i, double *work)
{
    size_t layer, part;
    enum stage_kind kind = kind_of(f, i, &layer, &part);

    if (kind == STAGE_ATTEND)
        *work = attend_work(f, layer, &f->parts[part]);
    else
        *work =
            (double)(kind == STAGE_FINISH ? f->step.n_outputs + f->step.n_hidden : f->step.n_rows);
    return kind;
}

static void enqueue_stage(struct forward *f, size_t stage)
{
    size_t layer, part;

    switch (kind_of(f, stage, &layer, &part)) {
    case STAGE_QKV:
        forward_qkv(f, layer);
        break;
    case STAGE_ATTEND:
        forward_attend(f, layer, &f->parts[part]);
        break;
    case STAGE_OUTPUT:
        forward_output(f, layer);
        break;
    case STAGE_FINISH:
        forward_finish(f);
        break;
    case STAGE_KINDS:
        break;
    }
}

/* Before anything is enqueued: the ranks' devices meet in it. */
static void tell_ranks(struct forward *f, size_t n)
{
    if (!f->m->lead || n == 0)
        return;
    lead_step(f->m->lead, f->number, f->told ? NULL : &f->step, n);
    f->told = true;
}

size_t forward_advance(struct forward *f, size_t n)
{
    size_t end = forward_stages(f);

    if (n > end - f->stage)
        n = end - f->stage;
    tell_ranks(f, n);
    for (; f->stage < end && n > 0; f->stage++, n--)
        enqueue_stage(f, f->stage);
    f->m->backend->sync(f->m->device);
    return end - f->stage;
}

void forward_run(struct forward *f, const struct step *s)
{
    forward_begin(f, s);
    (void)forward_advance(f, SIZE_MAX);
}

int forward_check(const struct forward *f, struct err *e)
{
    const struct backend *b = f->m->backend;

    return b->check ? b->check(f->m->device, e) : 0;
}

/* Of all outputs at once: a copy from the device costs as much as many bytes of it. */
static void fetch(const struct forward *f, void *to, const void *from, size_t bytes)
{
    memcpy(to, f->m->backend->view(f->m->device, from, bytes), bytes);
}

int32_t forward_argmax(struct forward *f, size_t i)
{
    if (!f->host.has_argmax)
        fetch(f, f->host.argmax, f->argmax, f->step.n_outputs * sizeof *f->argmax);
    f->host.has_argmax = true;
    return f->host.argmax[i];
}

bool forward_top(struct forward *f, size_t i, struct top_logits *out)
{
    size_t n = f->step.n_top, n_outputs = f->step.n_outputs;

    if (n == 0 || !f->top_ids)
        return false;
    if (!f->host.has_top) {
        fetch(f, f->host.top_ids, f->top_ids, n_outputs * n * sizeof *f->top_ids);
        fetch(f, f->host.top_values, f->top_values, n_outputs * (n + 1) * sizeof *f->top_values);
    }
    f->host.has_top = true;
    *out = (struct top_logits){ f->host.top_ids + i * n, f->host.top_values + i * (n + 1), n,
                                f->host.top_values[i * (n + 1) + n] };
    return true;
}

size_t forward_threads(const struct forward *f)
{
    struct backend_info info;

    f->m->backend->info(f->m->device, &info);
    return f->m->backend->each ? info.n_threads : 1;
}

void forward_each(const struct forward *f, void (*fn)(void *arg, size_t i, size_t thread),
                  void *arg, size_t n, size_t most)
{
    const struct model *m = f->m;

    if (m->backend->each && n > 1 && most > 1) {
        m->backend->each(m->device, fn, arg, n, most);
        return;
    }
    for (size_t i = 0; i < n; i++)
        fn(arg, i, 0);
}

const float *forward_logits(const struct forward *f, size_t i)
{
    const struct model *m = f->m;

    return m->backend->view(m->device, f->logits + i * m->n_vocab, m->n_vocab * sizeof *f->logits);
}

const float *forward_hidden(const struct forward *f, size_t i)
{
    const struct model *m = f->m;

    return m->backend->view(m->device, f->hidden + i * m->n_embd, m->n_embd * sizeof *f->hidden);
}
