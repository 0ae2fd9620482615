/* split.c - a device of two sides: its memory, its matrices and caches, and which side is at work.
 */
#include "kernels/split_device.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/cpu/cpu.h"

/* --- opening --- */

int split_create(struct device **out, const struct backend *backend, struct device *device,
                 const struct backend_options *o, struct err *e)
{
    struct device *d = NULL;
    int rc;

    if (o->ranks) {
        backend->close(device);
        return err_set(e, ERR_UNSUPPORTED, "a rank cannot share a device with the host: use more "
                                           "ranks, or a smaller model or cache");
    }
    d = calloc(1, sizeof *d);
    if (!d) {
        backend->close(device);
        return err_set(e, ERR_NOMEM, "no memory for a device");
    }
    d->b[HOST] = &backend_cpu;
    d->b[DEVICE] = backend;
    d->d[DEVICE] = device;
    d->active = DEVICE;
    rc = backend_cpu.open(&d->d[HOST], o, e);
    if (rc) {
        backend_split.close(d);
        return rc;
    }
    *out = d;
    return 0;
}

static void forget_experts(struct device *d)
{
    while (d->experts) {
        struct experts_list *l = d->experts;

        d->experts = l->next;
        free(l->of_side);
        free(l);
    }
}

static void split_close(struct device *d)
{
    if (!d)
        return;
    forget_experts(d);
    for (int s = 0; s < N_SIDES; s++)
        d->b[s]->close(d->d[s]);
    free(d);
}

static void split_info(const struct device *d, struct backend_info *out)
{
    struct backend_info of[N_SIDES];

    for (int s = 0; s < N_SIDES; s++)
        d->b[s]->info(d->d[s], &of[s]);
    *out = of[HOST];
    snprintf(out->device, sizeof out->device, "%.72s and %.48s", of[DEVICE].device,
             of[HOST].device);
}

/* --- memory --- */

static int split_alloc(struct device *d, size_t bytes, void **out, struct err *e)
{
    struct buffer *b = calloc(1, sizeof *b);
    int rc;

    if (!b)
        return err_set(e, ERR_NOMEM, "no memory for a buffer");
    rc = d->b[DEVICE]->alloc(d->d[DEVICE], bytes, out, e);
    if (rc) {
        free(b);
        return rc;
    }
    *b = (struct buffer){ *out, bytes ? bytes : 1, DEVICE, d->buffers };
    d->buffers = b;
    return 0;
}

static void split_free(struct device *d, void *p)
{
    struct buffer **at = &d->buffers, *b;

    while (*at && (*at)->from != p)
        at = &(*at)->next;
    b = *at;
    if (!b)
        return;
    *at = b->next;
    free(b);
    d->b[DEVICE]->free(d->d[DEVICE], p);
}

/* --- sides --- */

static struct buffer *buffer_of(const struct device *d, const void *p)
{
    struct buffer *b = d->buffers;

    while (b && ((const char *)p < b->from || (const char *)p >= b->from + b->bytes))
        b = b->next;
    return b;
}

/* From here on ops are enqueued there. */
void split_enter(struct device *d, enum side s)
{
    if (d->active != s)
        d->b[d->active]->sync(d->d[d->active]);
    d->active = s;
}

enum side split_written_at(const struct device *d, const void *p)
{
    const struct buffer *b = buffer_of(d, p);

    return b ? b->written : DEVICE;
}

/* The active side writes there; NULL is fine. */
void split_writes(struct device *d, const void *p)
{
    struct buffer *b = p ? buffer_of(d, p) : NULL;

    if (b)
        b->written = d->active;
}

/* --- weights and caches --- */

static void split_weight_free(struct device *d, struct weight *w)
{
    if (!w)
        return;
    forget_experts(d);
    for (int s = 0; s < N_SIDES; s++)
        if (w->of[s])
            d->b[s]->weight_free(d->d[s], w->of[s]);
    free(w);
}

static int split_upload(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
                        struct err *e)
{
    struct weight *w = calloc(1, sizeof *w);
    unsigned host = use & WEIGHT_EMBED, device = use & ~(unsigned)(WEIGHT_EMBED | WEIGHT_HOST);
    int rc = 0;

    if (!w)
        return err_set(e, ERR_NOMEM, "%s: no memory for a matrix", t->name);
    w->side = use & WEIGHT_HOST ? HOST : DEVICE;
    if (w->side == HOST) {
        host |= device;
        device = 0;
    }
    if (host & (WEIGHT_EMBED | WEIGHT_MATMUL))
        rc = d->b[HOST]->upload(d->d[HOST], t, host | (use & WEIGHT_EXACT), &w->of[HOST], e);
    if (rc == 0 && device & WEIGHT_MATMUL)
        rc = d->b[DEVICE]->upload(d->d[DEVICE], t, device, &w->of[DEVICE], e);
    if (rc) {
        split_weight_free(d, w);
        return rc;
    }
    *out = w;
    return 0;
}

static void split_kv_close(struct device *d, struct kv *kv)
{
    if (!kv)
        return;
    for (int s = 0; s < N_SIDES; s++)
        if (kv->of[s])
            d->b[s]->kv_close(d->d[s], kv->of[s]);
    free(kv);
}

static int split_kv_open(struct device *d, const struct kv_shape *s, struct kv **out, struct err *e)
{
    struct kv *kv = calloc(1, sizeof *kv);
    struct kv_shape of[N_SIDES] = { *s, *s };
    int rc = 0;

    if (!kv)
        return err_set(e, ERR_NOMEM, "no memory for a KV cache");
    kv->n_host = s->n_host_layers;
    of[HOST].n_layers = kv->n_host;
    of[DEVICE].n_layers = s->n_layers - kv->n_host;
    for (int i = 0; rc == 0 && i < N_SIDES; i++)
        if (of[i].n_layers)
            rc = d->b[i]->kv_open(d->d[i], &of[i], &kv->of[i], e);
    if (rc) {
        split_kv_close(d, kv);
        return rc;
    }
    *out = kv;
    return 0;
}

static int split_reserve(struct device *d, size_t max_rows, struct err *e)
{
    int rc = d->b[HOST]->reserve(d->d[HOST], max_rows, e);

    return rc ? rc : d->b[DEVICE]->reserve(d->d[DEVICE], max_rows, e);
}

static void split_sync(struct device *d)
{
    d->b[d->active]->sync(d->d[d->active]);
}

/* By the host's threads, which are idle after sync(). */
static void split_each(struct device *d, void (*fn)(void *arg, size_t i, size_t thread), void *arg,
                       size_t n, size_t most)
{
    d->b[HOST]->each(d->d[HOST], fn, arg, n, most);
}

static const void *split_view(struct device *d, const void *p, size_t bytes)
{
    enum side s = split_written_at(d, p);

    return d->b[s]->view(d->d[s], p, bytes);
}

static int split_check(struct device *d, struct err *e)
{
    if (d->no_memory)
        return err_set(e, ERR_INTERNAL, "no memory for lists of experts");
    return d->b[DEVICE]->check ? d->b[DEVICE]->check(d->d[DEVICE], e) : 0;
}

const struct backend backend_split = {
    .name = "split",
    .open = NULL, /* split_create() */
    .close = split_close,
    .info = split_info,
    .alloc = split_alloc,
    .free = split_free,
    .upload = split_upload,
    .weight_free = split_weight_free,
    .kv_open = split_kv_open,
    .kv_close = split_kv_close,
    .reserve = split_reserve,
    .write = split_write,
    .embed = split_embed,
    .gather = split_gather,
    .norm = split_norm,
    .matmul = split_matmul,
    .feed_forward = split_feed_forward,
    .rope_kv = split_rope_kv,
    .attend = split_attend,
    .kv_copy = split_kv_copy,
    .gated_act = split_gated_act,
    .experts = split_experts,
    .softcap = split_softcap,
    .argmax = split_argmax,
    .top = split_top,
    .sync = split_sync,
    .each = split_each,
    .view = split_view,
    .check = split_check,
};
