/* cpu.c - the CPU backend: opening and memory, and how each op is cut into chunks as it is
 * enqueued.
 *
 * The work itself is in queue.c (plain ops), rope.c, attend.c, experts.c, argmax.c and behind mm.h;
 * the leaf loops are in isa_*.c. */
#include "kernels/cpu/cpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu/device.h"

enum {
    ALIGN = 64,
    MAP_FROM = 1 << 20,  /* larger blocks are mapped, smaller ones come from malloc */
    HUGE_FROM = 4 << 20, /* and from here on in large pages where the system has them */
    /* A chunk should outlast the passing of a gate between processors, about 0.2 us, many times. */
    CHUNK_BYTES = 65536, /* of a write */
    CHUNK_VALUES = 8192, /* of elementwise ops */
    ACT_VALUES = 64,     /* their chunks are multiples of that: whole vectors */
};

/* --- memory --- */

bool scratch_grow(struct scratch *s, size_t bytes)
{
    void *base;

    if (bytes <= s->bytes)
        return true;
    if (bytes > SIZE_MAX - ALIGN)
        return false;
    bytes = ceil_div(bytes, ALIGN) * ALIGN;
    base = aligned_alloc(ALIGN, bytes);
    if (!base)
        return false;
    free(s->base);
    *s = (struct scratch){ base, bytes };
    return true;
}

void scratch_done(struct scratch *s)
{
    free(s->base);
    *s = (struct scratch){ 0 };
}

/* Stands in the ALIGN bytes in front of what cpu_alloc() returns. */
struct block {
    size_t mapped_bytes; /* 0: from aligned_alloc() */
};

/* Fresh mappings are zero and not resident; small blocks are not worth a page each. */
static int cpu_alloc(struct device *d, size_t bytes, void **out, struct err *e)
{
    struct block *b;
    size_t total;

    (void)d;
    if (bytes > SIZE_MAX / 2)
        return err_set(e, ERR_NOMEM, "cannot allocate %zu bytes", bytes);
    total = ceil_div(bytes + ALIGN, ALIGN) * ALIGN;
    if (total >= MAP_FROM) {
        void *p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            return err_set(e, ERR_NOMEM, "cannot map %zu bytes: %s", bytes, strerror(errno));
        if (total >= HUGE_FROM)
            madvise(p, total, MADV_HUGEPAGE);
        b = p;
        b->mapped_bytes = total;
    } else {
        b = aligned_alloc(ALIGN, total);
        if (!b)
            return err_set(e, ERR_NOMEM, "cannot allocate %zu bytes", bytes);
        memset(b, 0, total);
    }
    *out = (char *)b + ALIGN;
    return 0;
}

static void cpu_free(struct device *d, void *p)
{
    struct block *b;

    (void)d;
    if (!p)
        return;
    b = (struct block *)((char *)p - ALIGN);
    if (b->mapped_bytes)
        munmap(b, b->mapped_bytes);
    else
        free(b);
}

/* --- the device --- */

static void cpu_close(struct device *d)
{
    if (!d)
        return;
    queue_close(d);
    free(d->turns);
    mm_scratch_done(&d->mm);
    scratch_done(&d->tiles);
    scratch_done(&d->parts);
    for (size_t i = 0; i < ROPE_SLOTS; i++)
        scratch_done(&d->rope[i]);
    pool_free(d->pool);
    free(d);
}

static int cpu_open(struct device **out, const struct backend_options *o, struct err *e)
{
    const struct isa_ops *ops = isa_pick(o->isa, e);
    struct device *d;
    int rc;

    if (!ops)
        return ERR_UNSUPPORTED;
    d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, ERR_NOMEM, "no memory for the CPU device");
    d->ops = ops;
    d->ranks = o->ranks;
    rc = pool_create(&d->pool, o->n_threads, e);
    if (rc != 0) {
        cpu_close(d);
        return rc;
    }
    d->n_threads = pool_threads(d->pool);
    d->weights.pool = d->pool;
    if ((rc = queue_open(d, e)) != 0 || (rc = experts_open(d, e)) != 0) {
        cpu_close(d);
        return rc;
    }
    *out = d;
    return 0;
}

struct each {
    struct pool_gate gate;
    void (*fn)(void *arg, size_t i, size_t thread);
    void *arg;
    size_t n, most;
};

static void each_member(void *arg, size_t thread)
{
    struct each *e = arg;
    size_t i;

    while (thread < e->most && pool_claim(&e->gate, e->n, &i))
        e->fn(e->arg, i, thread);
}

static void cpu_each(struct device *d, void (*fn)(void *arg, size_t i, size_t thread), void *arg,
                     size_t n, size_t most)
{
    struct each e = { .fn = fn, .arg = arg, .n = n, .most = most };

    pool_run(d->pool, each_member, &e); /* whose end is that of all that came */
}

static void cpu_info(const struct device *d, struct backend_info *out)
{
    memset(out, 0, sizeof *out);
    out->isa = d->ops->name;
    out->n_threads = d->n_threads;
    snprintf(out->device, sizeof out->device, "CPU (%s, %zu thread%s)", d->ops->name, d->n_threads,
             d->n_threads == 1 ? "" : "s");
}

/* Scratch of matrix products depends on both: rows come with reserve(), columns with each upload.
 */
static int reserve_mm(struct device *d, size_t max_rows, size_t max_cols, struct err *e)
{
    int rc = mm_scratch_reserve(&d->mm, max_rows, max_cols, d->n_threads, e);

    if (rc == 0) {
        d->max_rows = max_rows;
        d->max_cols = max_cols;
    }
    return rc;
}

static int cpu_reserve(struct device *d, size_t max_rows, struct err *e)
{
    return reserve_mm(d, max_size(max_rows, d->max_rows), d->max_cols, e);
}

static int cpu_upload(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
                      struct err *e)
{
    int rc = weight_create(out, &d->weights, t, use, e);
    size_t cols;

    if (rc != 0)
        return rc;
    cols = weight_cols(*out);
    if (cols <= d->max_cols)
        return 0;
    if (d->max_rows == 0)
        d->max_cols = cols; /* reserve() comes later, as it should */
    else if ((rc = reserve_mm(d, d->max_rows, cols, e)) != 0)
        weight_free_all(*out);
    return rc;
}

static void cpu_weight_free(struct device *d, struct weight *w)
{
    (void)d;
    weight_free_all(w);
}

/* Attention needs scratch as wide as a head, which is known only now. */
static int cpu_kv_open(struct device *d, const struct kv_shape *s, struct kv **out, struct err *e)
{
    int rc = kv_create(out, s, e);

    if (rc == 0 && (rc = attend_reserve(d, s->head_dim, e)) != 0) {
        kv_free(*out);
        *out = NULL;
    }
    return rc;
}

static void cpu_kv_close(struct device *d, struct kv *kv)
{
    (void)d;
    kv_free(kv);
}

/* --- enqueued: cut into chunks by size alone, so that what is computed never depends on the
 * threads --- */

static void cpu_write(struct device *d, void *dst, const void *src, size_t bytes)
{
    struct op *op;

    if (bytes == 0)
        return;
    op = queue_put(d, OP_WRITE, ceil_div(bytes, CHUNK_BYTES), CHUNK_BYTES);
    op->write.dst = dst;
    op->write.src = src;
    op->write.bytes = bytes;
}

static void cpu_embed(struct device *d, float *y, const struct weight *table, const int32_t *ids,
                      size_t n, float scale)
{
    size_t per = max_size(1, CHUNK_VALUES / max_size(1, weight_cols(table)));
    struct op *op;

    if (n == 0)
        return;
    op = queue_put(d, OP_EMBED, ceil_div(n, per), per);
    op->embed.y = y;
    op->embed.table = table;
    op->embed.ids = ids;
    op->embed.n = n;
    op->embed.scale = scale;
}

static void cpu_gather(struct device *d, float *y, const float *x, const int32_t *rows, size_t n,
                       size_t cols)
{
    size_t per = max_size(1, CHUNK_VALUES / max_size(1, cols));
    struct op *op;

    if (n == 0 || cols == 0)
        return;
    op = queue_put(d, OP_GATHER, ceil_div(n, per), per);
    op->gather.y = y;
    op->gather.x = x;
    op->gather.rows = rows;
    op->gather.n = n;
    op->gather.cols = cols;
}

/* n pieces in chunks of about `per` and all alike: an even number of them, since the last thread to
 * finish is who the others wait for. */
static size_t even_chunks(size_t n, size_t per)
{
    return n <= per ? n : ceil_div(n, ceil_div(n, 2 * per) * 2);
}

static void cpu_norm(struct device *d, const struct norm *norm)
{
    size_t per = max_size(1, CHUNK_VALUES / max_size(1, norm->cols));

    if (norm->n == 0 || norm->cols == 0)
        return;
    per = even_chunks(norm->n, per);
    queue_put(d, OP_NORM, ceil_div(norm->n, per), per)->norm = *norm;
}

/* Rows are quantised by all threads together where that is work enough for a gate of its own; else
 * each thread does it for itself (mm_begin). */
static void put_prepare(struct device *d, const struct matmul *op)
{
    size_t prepare = mm_prepare_chunks(d->ops->mm, op);

    if (prepare > 0)
        queue_put(d, OP_MM_PREPARE, prepare, 0)->matmul = *op;
}

static void cpu_matmul(struct device *d, const struct matmul *op)
{
    if (op->n == 0 || op->n_out == 0)
        return;
    put_prepare(d, op);
    queue_put(d, OP_MATMUL, mm_chunks(d->ops->mm, op, d->n_threads), 0)->matmul = *op;
}

static void cpu_gated_act(struct device *d, float *y, const float *gate, const float *up,
                          size_t count, enum act_kind kind)
{
    size_t per = even_chunks(ceil_div(count, ACT_VALUES), CHUNK_VALUES / ACT_VALUES) * ACT_VALUES;
    struct op *op;

    if (count == 0)
        return;
    op = queue_put(d, OP_GATED_ACT, ceil_div(count, per), per);
    op->act.y = y;
    op->act.gate = gate;
    op->act.up = up;
    op->act.count = count;
    op->act.kind = kind;
}

/* Matrix products and what stands between them, one after the other. */
static void put_feed_forward(struct device *d, const struct feed_forward *op, struct matmul *in,
                             const struct matmul *out)
{
    float *y = op->hidden[0];

    if (!op->gate) {
        in->n_out = 1;
        in->w[0] = op->up;
        in->bias[0] = op->up_bias;
    }
    cpu_matmul(d, in);
    cpu_gated_act(d, y, y, op->gate ? op->hidden[1] : NULL, op->n * weight_rows(op->up), op->act);
    cpu_matmul(d, out);
}

/* On rows of a prompt, where the instruction set can, the first half's results stay in its
 * scratch, in the order that the second half reads. */
static void cpu_feed_forward(struct device *d, const struct feed_forward *op)
{
    const struct mm_ops *mm = d->ops->mm;
    struct matmul in = { .n_out = 2,
                         .w = { op->gate, op->up },
                         .y = { op->hidden[0], op->hidden[1] },
                         .bias = { op->gate_bias, op->up_bias },
                         .x = op->x,
                         .n = op->n,
                         .prompt = op->prompt };
    const struct matmul out = { .n_out = 1,
                                .w = { op->down },
                                .y = { op->y },
                                .bias = { op->down_bias },
                                .x = op->hidden[0],
                                .n = op->n,
                                .prompt = op->prompt };
    struct op *join;

    if (op->n == 0)
        return;
    if (!op->gate || !mm_joins(mm, &in, &out)) {
        put_feed_forward(d, op, &in, &out);
        return;
    }
    put_prepare(d, &in);
    join = queue_put(d, OP_MM_JOIN, mm_join_chunks(mm, &in, d->n_threads), 0);
    join->join.in = in;
    join->join.act = op->act;
    queue_put(d, OP_MM_HIDDEN, mm_chunks(mm, &out, d->n_threads), 0)->matmul = out;
}

/* A chunk is a layer.  What stands behind the n positions is copied too, and read by nobody. */
static void cpu_kv_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n)
{
    struct op *op;

    if (n == 0)
        return;
    op = queue_put(d, OP_KV_COPY, kv->shape.n_layers, 1);
    op->kv_copy.kv = kv;
    op->kv_copy.from = (size_t)from;
    op->kv_copy.to = (size_t)to;
}

static void cpu_softcap(struct device *d, float *x, size_t count, float cap)
{
    struct op *op;

    if (count == 0)
        return;
    op = queue_put(d, OP_SOFTCAP, ceil_div(count, CHUNK_VALUES), CHUNK_VALUES);
    op->softcap.x = x;
    op->softcap.count = count;
    op->softcap.cap = cap;
}

/* Device memory is host memory. */
static const void *cpu_view(struct device *d, const void *p, size_t bytes)
{
    (void)d;
    (void)bytes;
    return p;
}

/* Nothing of the CPU itself breaks. */
static int cpu_check(struct device *d, struct err *e)
{
    if (d->lost.code && e)
        *e = d->lost;
    return d->lost.code;
}

const struct backend backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .info = cpu_info,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_upload,
    .weight_free = cpu_weight_free,
    .kv_open = cpu_kv_open,
    .kv_close = cpu_kv_close,
    .reserve = cpu_reserve,
    .write = cpu_write,
    .embed = cpu_embed,
    .gather = cpu_gather,
    .norm = cpu_norm,
    .matmul = cpu_matmul,
    .feed_forward = cpu_feed_forward,
    .rope_kv = rope_enqueue,
    .attend = attend_enqueue,
    .kv_copy = cpu_kv_copy,
    .gated_act = cpu_gated_act,
    .experts = experts_enqueue,
    .softcap = cpu_softcap,
    .argmax = argmax_enqueue,
    .reduce = reduce_enqueue,
    .reduce_later = reduce_later_enqueue,
    .collect = collect_enqueue,
    .sync = queue_run,
    .each = cpu_each,
    .view = cpu_view,
    .check = cpu_check,
};
