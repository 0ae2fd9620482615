/* rope_kv and attend against a plain double reference that keeps its own keys and values, and bit
 * for bit against themselves in other batches. */
#include "battery.h"
#include "kernels/quant/quant.h"

struct shape {
    size_t n_head, n_kv, head_dim, page_tokens;
    enum dtype dtype;
    enum rope_kind kind;
    size_t n_rot, window;
    float softcap;
    bool sinks, norms, slopes;
};

enum { MAX_POS = 550, MAX_SEQS = 3, N_LAYERS = 2, LAYER = 1 };

static const struct shape shapes[] = {
    { 9, 3, 64, 16, DTYPE_F16, ROPE_NORM, 64, 0, 0, false, false, false },
    { 9, 3, 64, 64, DTYPE_F32, ROPE_NEOX, 32, 0, 0, true, true, false },
    { 4, 1, 256, 32, DTYPE_F16, ROPE_NEOX, 256, 100, 0, false, true, false },
    { 4, 4, 80, 16, DTYPE_F32, ROPE_NORM, 80, 1, 20, true, false, false },
    { 10, 2, 128, 64, DTYPE_F16, ROPE_NEOX, 128, 300, 50, true, false, false },
    { 9, 3, 64, 64, DTYPE_BF16, ROPE_NORM, 64, 0, 0, false, false, false },
    { 4, 1, 256, 32, DTYPE_Q8_0, ROPE_NEOX, 256, 100, 0, true, true, false },
    { 16, 2, 64, 16, DTYPE_Q8_0, ROPE_NORM, 64, 0, 0, false, false, false },
    { 3, 1, 40, 64, DTYPE_BF16, ROPE_NEOX, 40, 0, 30, false, false, false },
    { 7, 7, 24, 256, DTYPE_F16, ROPE_NONE, 0, 0, 0, false, false, false },
    { 6, 2, 96, 64, DTYPE_F16, ROPE_NEOX, 96, 0, 30, true, false, false },
    { 40, 1, 40, 32, DTYPE_F16, ROPE_NORM, 20, 64, 0, false, true, false },
    { 6, 6, 48, 16, DTYPE_F16, ROPE_NONE, 0, 0, 0, false, false, true },
    { 9, 3, 64, 64, DTYPE_F32, ROPE_NONE, 0, 100, 0, true, false, true },
};

enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_CASES = 2 * N_SHAPES };

/* Case i is shape i / 2 with generated rows (even) or given ones.  Every type of keys and values is
 * among those of a brief run. */
static const size_t brief_cases[] = { 1, 2, 13, 14, 17, 20, 27 };

static size_t first_case(void)
{
    return brief() ? brief_cases[0] : 0;
}

static size_t next_case(size_t i)
{
    for (size_t k = 0; brief() && k < sizeof brief_cases / sizeof *brief_cases; k++)
        if (brief_cases[k] > i)
            return brief_cases[k];
    return brief() ? N_CASES : i + 1;
}

/* Of a brief run every other one, where a case is evaluated several times. */
static size_t next_but_one(size_t i)
{
    return brief() ? next_case(next_case(i)) : i + 1;
}

/* A model of one layer: inputs of every position of every sequence, and what they must lead to. */
struct world {
    const struct shape *s;
    size_t q_cols, kv_cols;
    size_t reach[MAX_SEQS]; /* of its sequences' spans */
    float *q, *k, *v;       /* [MAX_SEQS, MAX_POS, ...] before norm and rotation */
    double *qr, *kr, *vr;   /* after */
    float *inv_freq, *q_norm, *k_norm, *sinks, *slopes;
};

static double *doubles(size_t n)
{
    double *p = calloc(n, sizeof *p);

    assert_non_null(p);
    return p;
}

/* One head of the reference: optional RMS norm, then rotation in double from a float32 angle. */
static void ref_turn(double *y, const float *x, const struct world *w, const float *norm,
                     size_t pos)
{
    const struct shape *s = w->s;
    double squares = 0, factor = 1;

    for (size_t i = 0; i < s->head_dim; i++)
        squares += (double)x[i] * (double)x[i];
    if (norm)
        factor = 1 / sqrt(squares / (double)s->head_dim + 1e-6);
    for (size_t i = 0; i < s->head_dim; i++)
        y[i] = (double)x[i] * factor * (norm ? (double)norm[i] : 1);
    for (size_t p = 0; s->kind != ROPE_NONE && p < s->n_rot / 2; p++) {
        size_t i = s->kind == ROPE_NORM ? 2 * p : p,
               j = s->kind == ROPE_NORM ? i + 1 : p + s->n_rot / 2;
        double angle = (double)((float)pos * w->inv_freq[p]), a = y[i], b = y[j];

        y[i] = (a * cos(angle) - b * sin(angle)) * 1.25;
        y[j] = (b * cos(angle) + a * sin(angle)) * 1.25;
    }
}

/* To the nearest E4M3: three bits behind the first, steps of 2^-9 at least, up to 448. */
static double e4m3(double x)
{
    int exponent;
    double step;

    frexp(x, &exponent);
    step = ldexp(1, (exponent < -5 ? -5 : exponent) - 4);
    return fmin(fmax(rint(x / step) * step, -448), 448);
}

/* n values of a head, as the cache keeps them. */
static void store(double *x, size_t n, enum dtype t)
{
    for (size_t i = 0; t == DTYPE_F8_E4M3 && i < n; i++)
        x[i] = e4m3(x[i]);
    for (size_t i = 0; t != DTYPE_Q8_0 && t != DTYPE_F8_E4M3 && i < n; i++) {
        float v = (float)x[i];
        uint32_t bits;

        if (t == DTYPE_F16)
            v = quant_f16(quant_to_f16(v));
        memcpy(&bits, &v, sizeof bits);
        if (t == DTYPE_BF16)
            v = quant_bf16((uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
        x[i] = (double)v;
    }
    for (size_t b = 0; t == DTYPE_Q8_0 && b < n; b += KV_Q8) {
        double top = 0, scale;

        for (size_t i = b; i < b + KV_Q8; i++)
            top = fmax(top, fabs(x[i]));
        scale = (double)quant_f16(quant_to_f16((float)(top / 127)));
        for (size_t i = b; i < b + KV_Q8; i++)
            x[i] = fmin(fmax(rint(x[i] / scale), -127), 127) * scale;
    }
}

static void world_open(struct world *w, const struct shape *s, const struct rig *r)
{
    size_t n = MAX_SEQS * MAX_POS, dim = s->head_dim;

    *w = (struct world){ .s = s, .q_cols = s->n_head * dim, .kv_cols = s->n_kv * dim };
    w->q = rig_floats(r, n * w->q_cols);
    w->k = rig_floats(r, n * w->kv_cols);
    w->v = rig_floats(r, n * w->kv_cols);
    w->inv_freq = rig_floats(r, s->n_rot / 2 + 1);
    w->q_norm = s->norms ? rig_floats(r, dim) : NULL;
    w->k_norm = s->norms ? rig_floats(r, dim) : NULL;
    w->sinks = s->sinks ? rig_floats(r, s->n_head) : NULL;
    w->slopes = s->slopes ? rig_floats(r, s->n_head) : NULL;
    w->qr = doubles(n * w->q_cols);
    w->kr = doubles(n * w->kv_cols);
    w->vr = doubles(n * w->kv_cols);
    fill(w->q, n * w->q_cols, 2, 11);
    fill(w->k, n * w->kv_cols, 2, 12);
    fill(w->v, n * w->kv_cols, 1, 13);
    for (size_t i = 0; i < s->n_rot / 2; i++)
        w->inv_freq[i] = powf(10000.0f, -2.0f * (float)i / (float)s->n_rot);
    for (size_t i = 0; s->norms && i < dim; i++) {
        w->q_norm[i] = 0.5f + 0.01f * (float)i;
        w->k_norm[i] = 1.5f - 0.01f * (float)i;
    }
    if (s->sinks)
        fill(w->sinks, s->n_head, 3, 14);
    for (size_t h = 0; s->slopes && h < s->n_head; h++)
        w->slopes[h] = quant_round_bf16(exp2f(-0.7f * (float)h));
    for (size_t i = 0; i < n; i++) {
        for (size_t h = 0; h < s->n_head; h++)
            ref_turn(w->qr + i * w->q_cols + h * dim, w->q + i * w->q_cols + h * dim, w, w->q_norm,
                     i % MAX_POS);
        for (size_t h = 0; h < s->n_kv; h++)
            ref_turn(w->kr + i * w->kv_cols + h * dim, w->k + i * w->kv_cols + h * dim, w,
                     w->k_norm, i % MAX_POS);
        for (size_t c = 0; c < w->kv_cols; c++)
            w->vr[i * w->kv_cols + c] = (double)w->v[i * w->kv_cols + c];
        for (size_t h = 0; h < s->n_kv; h++) {
            store(w->kr + i * w->kv_cols + h * dim, dim, s->dtype);
            store(w->vr + i * w->kv_cols + h * dim, dim, s->dtype);
        }
    }
}

static void world_close(struct world *w, const struct rig *r)
{
    float *all[] = { w->q, w->k, w->v, w->inv_freq, w->q_norm, w->k_norm, w->sinks, w->slopes };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        r->b->free(r->d, all[i]);
    free(w->qr);
    free(w->kr);
    free(w->vr);
}

/* To 8 significant bits, the even one of two. */
static double bf16(double x)
{
    int exponent;

    x = frexp(x, &exponent);
    return ldexp(rint(ldexp(x, 8)), exponent - 8);
}

/* The row of sequence seq at pos, all heads. */
static void ref_attend(double *y, const struct world *w, size_t seq, size_t pos)
{
    const struct shape *s = w->s;
    size_t dim = s->head_dim, first = s->window && pos + 1 > s->window ? pos + 1 - s->window : 0;
    size_t end = w->reach[seq] ? w->reach[seq] : pos + 1;
    double score[MAX_POS];

    if (s->window && end > pos + s->window)
        end = pos + s->window;
    for (size_t h = 0; h < s->n_head; h++) {
        size_t kv_at = h / (s->n_head / s->n_kv) * dim;
        const double *q = w->qr + (seq * MAX_POS + pos) * w->q_cols + h * dim;
        double max = w->sinks ? (double)w->sinks[h] : -INFINITY, sum = 0;

        for (size_t p = first; p < end; p++) {
            const double *k = w->kr + (seq * MAX_POS + p) * w->kv_cols + kv_at;

            score[p] = 0;
            for (size_t i = 0; i < dim; i++)
                score[p] += q[i] * k[i] * 0.25;
            if (s->softcap != 0)
                score[p] = (double)s->softcap * tanh(score[p] / (double)s->softcap);
            if (s->slopes)
                score[p] += 0.25 * bf16((double)w->slopes[h] * bf16((double)p));
            max = score[p] > max ? score[p] : max;
        }
        if (w->sinks)
            sum = exp((double)w->sinks[h] - max);
        memset(y + h * dim, 0, dim * sizeof *y);
        for (size_t p = first; p < end; p++) {
            const double *v = w->vr + (seq * MAX_POS + p) * w->kv_cols + kv_at;

            sum += exp(score[p] - max);
            for (size_t i = 0; i < dim; i++)
                y[h * dim + i] += exp(score[p] - max) * v[i];
        }
        for (size_t i = 0; i < dim; i++)
            y[h * dim + i] /= sum;
    }
}

/* Runs positions from[i] .. to[i]-1 of sequence i as one batch; the rows' outputs go to
 * out[seq, pos, :], in which they are compared later. */
static void run_spans(const struct rig *r, const struct world *w, struct kv *kv,
                      int32_t *const *pages, const size_t *from, const size_t *to, float *out,
                      bool prompt)
{
    const struct shape *s = w->s;
    struct seq_span spans[MAX_SEQS];
    size_t n = 0, n_spans = 0;
    float *q, *k, *v, *y;

    for (size_t i = 0; i < MAX_SEQS; i++) {
        if (from[i] == to[i])
            continue;
        spans[n_spans++] = (struct seq_span){
            .row = n, .n = to[i] - from[i], .pos = from[i], .pages = pages[i], .reach = w->reach[i]
        };
        n += to[i] - from[i];
    }
    q = rig_floats(r, n * w->q_cols);
    k = rig_floats(r, n * w->kv_cols);
    v = rig_floats(r, n * w->kv_cols);
    y = rig_floats(r, n * w->q_cols);
    for (size_t i = 0, row = 0; i < MAX_SEQS; i++)
        for (size_t p = from[i]; p < to[i]; p++, row++) {
            size_t at = i * MAX_POS + p;

            memcpy(q + row * w->q_cols, w->q + at * w->q_cols, w->q_cols * sizeof *q);
            memcpy(k + row * w->kv_cols, w->k + at * w->kv_cols, w->kv_cols * sizeof *k);
            memcpy(v + row * w->kv_cols, w->v + at * w->kv_cols, w->kv_cols * sizeof *v);
        }
    r->b->rope_kv(r->d, &(struct rope_kv){ .q = q,
                                           .k = k,
                                           .v = v,
                                           .n = n,
                                           .n_head = s->n_head,
                                           .q_norm = w->q_norm,
                                           .k_norm = w->k_norm,
                                           .eps = 1e-6f,
                                           .kind = s->kind,
                                           .n_rot = s->n_rot,
                                           .inv_freq = w->inv_freq,
                                           .mscale = 1.25f,
                                           .kv = kv,
                                           .layer = LAYER,
                                           .spans = spans,
                                           .n_spans = n_spans });
    r->b->attend(r->d, &(struct attend){ .y = y,
                                         .q = q,
                                         .n = n,
                                         .n_head = s->n_head,
                                         .scale = 0.25f,
                                         .window = s->window,
                                         .softcap = s->softcap,
                                         .sinks = w->sinks,
                                         .slopes = w->slopes,
                                         .kv = kv,
                                         .layer = LAYER,
                                         .spans = spans,
                                         .n_spans = n_spans,
                                         .prompt = prompt });
    r->b->sync(r->d);
    for (size_t i = 0, row = 0; i < MAX_SEQS; i++)
        for (size_t p = from[i]; p < to[i]; p++, row++)
            memcpy(out + (i * MAX_POS + p) * w->q_cols, y + row * w->q_cols, w->q_cols * sizeof *y);
    r->b->free(r->d, q);
    r->b->free(r->d, k);
    r->b->free(r->d, v);
    r->b->free(r->d, y);
}

static struct kv *open_kv(const struct rig *r, const struct shape *s, int32_t **pages)
{
    size_t per_seq = (MAX_POS + s->page_tokens - 1) / s->page_tokens;
    struct kv_shape shape = { N_LAYERS, s->n_kv, s->head_dim, MAX_SEQS * per_seq, s->page_tokens,
                              s->dtype, 0 };
    struct kv *kv;

    assert_int_equal(r->b->kv_open(r->d, &shape, &kv, NULL), 0);
    for (size_t i = 0; i < MAX_SEQS; i++) {
        pages[i] = calloc(per_seq, sizeof **pages);
        for (size_t p = 0; p < per_seq; p++) /* sequences interleaved, backwards */
            pages[i][p] = (int32_t)((per_seq - 1 - p) * MAX_SEQS + i);
    }
    return kv;
}

/* Factors of 8 bits move scores of up to 20 by some 0.02, and values of up to 1 by as much; a key
 * of fewer bits than a float may be rounded the other way when what it is made from differs in its
 * last bit. */
static void compare(const struct world *w, const float *got, size_t seq, size_t pos, bool rough)
{
    double want[40 * 288];

    ref_attend(want, w, seq, pos);
    for (size_t c = 0; c < w->q_cols; c++)
        assert_near(got[(seq * MAX_POS + pos) * w->q_cols + c], want[c], 1e-5,
                    rough                                                       ? 5e-2
                    : w->s->dtype == DTYPE_Q8_0 || w->s->dtype == DTYPE_F8_E4M3 ? 1e-2
                    : w->s->dtype == DTYPE_F32                                  ? 3e-4
                                                                                : 5e-4);
}

/* Given tokens may be multiplied in BF16, where keys and values are not kept exactly anyway. */
static bool is_rough(void **state, const struct shape *s, bool prompt)
{
    return prompt && s->dtype != DTYPE_F32 && strcmp(*state, "amx") == 0;
}

/* Prompts in uneven pieces beside each other, then tokens one by one; all compared. */
static void attends(void **state)
{
    static const size_t cuts[][MAX_SEQS] = { { 0, 0, 0 },      { 100, 0, 1 },    { 117, 0, 2 },
                                             { 300, 31, 3 },   { 301, 32, 40 },  { 302, 33, 41 },
                                             { 303, 33, 520 }, { 303, 34, 521 }, { 320, 35, 522 },
                                             { 540, 36, 523 }, { 541, 36, 523 }, { 541, 37, 523 } };
    static const size_t few[][MAX_SEQS] = {
        { 0, 0, 0 }, { 40, 0, 1 }, { 57, 0, 2 }, { 260, 31, 3 }, { 261, 32, 4 }
    };
    const size_t(*to)[MAX_SEQS] = brief() ? few : cuts;
    const size_t n_pieces = (brief() ? sizeof few : sizeof cuts) / sizeof *cuts - 1;

    for (size_t i = first_case(); i < N_CASES; i = next_case(i)) {
        const struct shape *s = &shapes[i / 2];
        bool prompt = i % 2;
        struct rig r = rig_open(state, battery_threads[i % N_THREADS]);
        struct world w;
        int32_t *pages[MAX_SEQS];
        struct kv *kv = open_kv(&r, s, pages);
        float *out;

        world_open(&w, s, &r);
        out = calloc(MAX_SEQS * MAX_POS * w.q_cols, sizeof *out);
        assert_int_equal(r.b->reserve(r.d, 512, NULL), 0);
        for (size_t c = 0; c < n_pieces; c++)
            run_spans(&r, &w, kv, pages, to[c], to[c + 1], out, prompt);
        for (size_t seq = 0; seq < MAX_SEQS; seq++) {
            size_t end = to[n_pieces][seq];

            for (size_t p = 0; p < end; p += p < 20 || p + 20 > end ? 1 : 17)
                compare(&w, out, seq, p, is_rough(state, s, prompt));
        }
        free(out);
        for (size_t n = 0; n < MAX_SEQS; n++)
            free(pages[n]);
        world_close(&w, &r);
        r.b->kv_close(r.d, kv);
        rig_close(&r);
    }
}

/* The ends of the next pieces of three sequences, which step and t make up. */
static void next_pieces(size_t *to, const size_t *from, const size_t *all, size_t step, size_t t)
{
    for (size_t q = 0; q < MAX_SEQS; q++) {
        size_t n = step * (q + 3) % 9 < 4 ? 1 : (step * 37 + q * 11 + t) % 90;

        to[q] = from[q] + n > all[q] ? all[q] : from[q] + n;
    }
}

/* The same rows, whatever stands beside them and whoever does the work, bit for bit. */
static void rows_do_not_see_their_batch(void **state)
{
    static const size_t zero[MAX_SEQS] = { 0 };
    const size_t all[MAX_SEQS] = { brief() ? 290 : 530, 30, brief() ? 70 : 270 };

    for (size_t i = first_case(); i < N_CASES; i = next_but_one(i)) {
        const struct shape *s = &shapes[i / 2];
        bool prompt = i % 2;
        float *first = NULL;

        for (size_t t = 0; t < (brief() ? 2 : 3); t++) {
            struct rig r = rig_open(state, t == 0 ? 1 : t == 1 ? 2 : 5);
            struct world w;
            int32_t *pages[MAX_SEQS];
            struct kv *kv = open_kv(&r, s, pages);
            size_t bytes, from[MAX_SEQS] = { 0 }, to[MAX_SEQS];
            float *out;

            world_open(&w, s, &r);
            bytes = MAX_SEQS * MAX_POS * w.q_cols * sizeof *out;
            out = calloc(1, bytes);
            if (t == 0) {
                run_spans(&r, &w, kv, pages, zero, all, out, prompt); /* all at once */
                first = out;
            } else {
                for (size_t step = 0; memcmp(from, all, sizeof from) != 0; step++) {
                    next_pieces(to, from, all, step, t);
                    run_spans(&r, &w, kv, pages, from, to, out, prompt);
                    memcpy(from, to, sizeof from);
                }
                assert_memory_equal(out, first, bytes);
                free(out);
            }
            for (size_t n = 0; n < MAX_SEQS; n++)
                free(pages[n]);
            world_close(&w, &r);
            r.b->kv_close(r.d, kv);
            rig_close(&r);
        }
        free(first);
    }
}

/* Rows that see a whole sequence, which is in the cache before any of them looks: right, and bit
 * for bit the same when they are evaluated anew in pieces. */
static void rows_see_both_ways(void **state)
{
    static const size_t zero[MAX_SEQS] = { 0 };
    const size_t all[MAX_SEQS] = { brief() ? 290 : 530, 30, brief() ? 70 : 270 };

    for (size_t i = first_case(); i < N_CASES; i = next_but_one(i)) {
        const struct shape *s = &shapes[i / 2];
        bool prompt = i % 2;
        float *first = NULL;

        for (size_t t = 0; t < (brief() ? 2 : 3); t++) {
            struct rig r = rig_open(state, t == 0 ? 2 : t == 1 ? 1 : 5);
            struct world w;
            int32_t *pages[MAX_SEQS];
            struct kv *kv = open_kv(&r, s, pages);
            size_t bytes, from[MAX_SEQS] = { 0 }, to[MAX_SEQS];
            float *out;

            world_open(&w, s, &r);
            memcpy(w.reach, all, sizeof all);
            bytes = MAX_SEQS * MAX_POS * w.q_cols * sizeof *out;
            out = calloc(1, bytes);
            run_spans(&r, &w, kv, pages, zero, all, out, prompt);
            if (t == 0) {
                first = out;
                for (size_t seq = 0; seq < MAX_SEQS; seq++)
                    for (size_t p = 0; p < all[seq]; p += p < 5 || p + 5 > all[seq] ? 1 : 23)
                        compare(&w, out, seq, p, is_rough(state, s, prompt));
            } else {
                memset(out, 0, bytes);
                for (size_t step = 0; memcmp(from, all, sizeof from) != 0; step++) {
                    next_pieces(to, from, all, step, t);
                    run_spans(&r, &w, kv, pages, from, to, out, prompt);
                    memcpy(from, to, sizeof from);
                }
                assert_memory_equal(out, first, bytes);
                free(out);
            }
            for (size_t n = 0; n < MAX_SEQS; n++)
                free(pages[n]);
            world_close(&w, &r);
            r.b->kv_close(r.d, kv);
            rig_close(&r);
        }
        free(first);
    }
}

/* A page that another sequence used, with huge values in it, does not shine through. */
static void stale_pages_do_not_matter(void **state)
{
    static const size_t from[MAX_SEQS] = { 0 }, to[MAX_SEQS] = { 70, 0, 0 },
                        again[MAX_SEQS] = { 3, 0, 0 };

    for (size_t i = first_case(); i < N_CASES; i = next_case(i)) {
        const struct shape *s = &shapes[i / 2];
        bool prompt = i % 2;
        struct rig r = rig_open(state, 2);
        struct world w;
        int32_t *pages[MAX_SEQS];
        struct kv *kv = open_kv(&r, s, pages);
        float *v;
        float *out;

        world_open(&w, s, &r);
        out = calloc(MAX_SEQS * MAX_POS * w.q_cols, sizeof *out);
        v = malloc(70 * w.kv_cols * sizeof *v);
        memcpy(v, w.v, 70 * w.kv_cols * sizeof *v);
        for (size_t c = 0; c < 70 * w.kv_cols; c++)
            w.v[c] = c % 2 ? INFINITY : NAN;
        run_spans(&r, &w, kv, pages, from, to, out, prompt);
        memcpy(w.v, v, 70 * w.kv_cols * sizeof *v);
        run_spans(&r, &w, kv, pages, from, again, out, prompt);
        for (size_t p = 0; p < 3; p++)
            compare(&w, out, 0, p, is_rough(state, s, prompt));
        free(v);
        free(out);
        for (size_t n = 0; n < MAX_SEQS; n++)
            free(pages[n]);
        world_close(&w, &r);
        r.b->kv_close(r.d, kv);
        rig_close(&r);
    }
}

/* Rows at both sides of position 256, which see 20 positions each: with many of them a row is
 * walked in one go on a GPU, with few in two parts, by the same arithmetic; read again from copies
 * of the pages. */
static void check_kernel(void **state, const struct shape *s, bool prompt)
{
    enum { FIRST = 236, FEW = 281, LAST = 300 };
    static const size_t first[MAX_SEQS] = { FIRST }, few[MAX_SEQS] = { FEW },
                        last[MAX_SEQS] = { LAST };
    struct rig r = rig_open(state, 2);
    struct world w;
    int32_t *pages[MAX_SEQS], *own;
    struct kv *kv = open_kv(&r, s, pages);
    size_t bytes;
    float *out, *again;

    world_open(&w, s, &r);
    bytes = MAX_SEQS * MAX_POS * w.q_cols * sizeof *out;
    out = calloc(1, bytes);
    again = calloc(1, bytes);
    run_spans(&r, &w, kv, pages, first, last, out, prompt);
    for (size_t p = FIRST + s->window - 1; p < LAST; p += p < 256 + s->window ? 3 : 9)
        compare(&w, out, 0, p, is_rough(state, s, prompt));
    for (size_t k = FIRST / s->page_tokens; k <= LAST / s->page_tokens; k++)
        r.b->kv_copy(r.d, kv, pages[0][k], pages[1][k], s->page_tokens);
    r.b->sync(r.d);
    own = pages[0];
    pages[0] = pages[1];
    run_spans(&r, &w, kv, pages, few, last, again, prompt);
    pages[0] = own;
    for (size_t p = FEW; p < LAST; p++)
        assert_memory_equal(out + p * w.q_cols, again + p * w.q_cols, w.q_cols * sizeof *out);
    free(out);
    free(again);
    for (size_t n = 0; n < MAX_SEQS; n++)
        free(pages[n]);
    world_close(&w, &r);
    r.b->kv_close(r.d, kv);
    rig_close(&r);
}

/* A GPU has a kernel for each type of keys and values and some sizes of heads, alone or several of
 * one kv head: all of them.  The CPU has none of them, and is shown the largest heads alone. */
static void every_size_of_head(void **state)
{
    static const size_t dims[] = { 64, 96, 160, 1024 };
    static const enum dtype types[] = { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0,
                                        DTYPE_F8_E4M3 };
    const bool cuda = strcmp(*state, "cuda") == 0;

    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            struct shape s = { .n_head = dims[d] > 256 ? 2 : 8,
                               .n_kv = dims[d] > 256 ? 1 : 8,
                               .head_dim = dims[d],
                               .page_tokens = 32,
                               .dtype = types[t],
                               .kind = ROPE_NEOX,
                               .n_rot = 32,
                               .window = 20,
                               .sinks = t == 1 };

            if (!cuda && (dims[d] <= 256 || types[t] == DTYPE_F8_E4M3)) /* refused: test_kv.c */
                continue;
            check_kernel(state, &s, false);
            if (dims[d] > 256)
                continue;
            s.n_kv = 2;
            check_kernel(state, &s, false);
            s.n_head = 2;
            check_kernel(state, &s, true);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_of_head),          cmocka_unit_test(attends),
        cmocka_unit_test(rows_do_not_see_their_batch), cmocka_unit_test(rows_see_both_ways),
        cmocka_unit_test(stale_pages_do_not_matter),
    };

    brief_begin("7 of 28 cases");
    return run_battery("attend", tests, sizeof tests / sizeof *tests);
}
