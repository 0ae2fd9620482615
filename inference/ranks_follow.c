/* ranks_follow.c - messages of rank 0 become calls of forward and the backend. */
#include "inference/ranks_follow.h"

#include <stdlib.h>
#include <string.h>

#include "inference/hf.h"
#include "inference/ranks_message.h"
#include "kernels/base/log.h"

enum { MAX_FORWARDS = 4 };

struct pass {
    struct forward *forward;
    struct buf message; /* of the step under way, which borrows from it */
    struct seq_span *spans;
};

struct follower {
    struct ranks *ranks;
    struct weights *weights;
    struct model model;
    const struct backend *backend;
    struct device *device;
    struct kvcache cache; /* kv only: rank 0 keeps the books */
    struct pass passes[MAX_FORWARDS];
    size_t n_passes;
    struct buf heard;
};

static void close_all(struct follower *f)
{
    for (size_t i = 0; i < f->n_passes; i++) {
        forward_close(f->passes[i].forward);
        buf_done(&f->passes[i].message);
        free(f->passes[i].spans);
    }
    if (f->cache.kv)
        f->backend->kv_close(f->device, f->cache.kv);
    model_close(&f->model);
    if (f->device)
        f->backend->close(f->device);
    weights_close(f->weights);
    buf_done(&f->heard);
}

static int load(struct follower *f, const struct engine_config *c, struct err *e)
{
    const struct backend_options o = { .n_threads = c->n_threads,
                                       .isa = c->isa,
                                       .ranks = f->ranks };
    int rc = hf_open(&f->weights, c->model_path, e);

    if (rc == 0)
        rc = model_check(&f->model, f->weights, e);
    if (rc == 0)
        rc = model_slice(&f->model, f->weights, f->ranks->rank, f->ranks->n, e);
    if (rc)
        return rc;
    f->backend = backend_find(c->device ? c->device : "auto", e);
    if (!f->backend)
        return ERR_UNSUPPORTED;
    rc = f->backend->open(&f->device, &o, e);
    return rc ? rc : model_upload(&f->model, f->weights, f->backend, f->device, 0, NULL, NULL, e);
}

static void log_part(const struct follower *f)
{
    const struct model *m = &f->model;
    struct backend_info info;
    struct log_line line;

    f->backend->info(f->device, &info);
    log_begin(&line, LOG_INFO, "rank");
    log_int(&line, "rank", (long long)f->ranks->rank);
    log_int(&line, "ranks", (long long)f->ranks->n);
    log_str(&line, "file", weights_path(f->weights));
    log_int(&line, "heads", m->slice.heads.zeros ? 0 : (long long)m->n_head);
    log_int(&line, "matrix_mb", (long long)(m->matrix_bytes >> 20));
    log_str(&line, "device", info.device);
    log_end(&line);
}

/* --- what is told --- */

static int hello(struct follower *f, struct err *e)
{
    struct backend_info info;
    struct ranks_model m;
    int rc = message_read_hello(&f->heard, &m, e);

    if (rc)
        return rc;
    f->backend->info(f->device, &info);
    if (m.n_params != f->model.n_params || m.file_bytes != weights_file_bytes(f->weights))
        return err_set(e, ERR_INVALID,
                       "%s is not what rank 0 has: %llu parameters in %zu bytes; expected %llu in "
                       "%llu",
                       weights_path(f->weights), (unsigned long long)f->model.n_params,
                       weights_file_bytes(f->weights), (unsigned long long)m.n_params,
                       (unsigned long long)m.file_bytes);
    if (strcmp(m.isa, info.isa) != 0)
        return err_set(e, ERR_INVALID,
                       "this rank computes with %s, rank 0 with %s: set one isa that both have",
                       info.isa, m.isa);
    return 0;
}

static int open_cache(struct follower *f, struct err *e)
{
    struct kv_shape s;
    int rc = message_read_cache(&f->heard, &s, e);

    if (rc)
        return rc;
    if (f->cache.kv)
        return err_set(e, ERR_FORMAT, "rank 0 told of a second cache");
    s.n_kv = f->model.n_kv;
    return f->backend->kv_open(f->device, &s, &f->cache.kv, e);
}

static int open_forward(struct follower *f, struct err *e)
{
    struct ranks_forward s;
    int rc = message_read_forward(&f->heard, &s, e);

    if (rc)
        return rc;
    if (!f->cache.kv || f->n_passes == MAX_FORWARDS)
        return err_set(e, ERR_FORMAT, "rank 0 told of forward pass %zu; expected at most %d",
                       f->n_passes, MAX_FORWARDS);
    rc = forward_open(&f->passes[f->n_passes].forward, &f->model, &f->cache, s.max_rows,
                      s.max_outputs, e);
    f->n_passes += rc == 0;
    return rc;
}

/* Once a step runs, the device keeps all ranks together; whether that went well is seen here. */
static int check(const struct follower *f, struct err *e)
{
    if (weights_lost(f->weights))
        return err_set(e, ERR_INTERNAL, "%s was cut short while it was in use",
                       weights_path(f->weights));
    return f->backend->check ? f->backend->check(f->device, e) : 0;
}

static int step(struct follower *f, struct err *e)
{
    struct ranks_step s;
    struct pass *p;
    size_t which;
    bool begins;
    int rc = message_read_which(&f->heard, &which, &begins, e);

    if (rc)
        return rc;
    if (which >= f->n_passes)
        return err_set(e, ERR_FORMAT, "rank 0 told of a step of forward pass %zu of %zu", which,
                       f->n_passes);
    p = &f->passes[which];
    if (begins) { /* the step before is done, and so is its message */
        struct buf other = p->message;

        p->message = f->heard;
        f->heard = other;
    }
    rc = message_read_step(begins ? &p->message : &f->heard, &s, &p->spans, e);
    if (rc)
        return rc;
    if (begins)
        forward_begin(p->forward, &s.step);
    (void)forward_advance(p->forward, s.n);
    return check(f, e);
}

static int copy(struct follower *f, struct err *e)
{
    struct ranks_copy c;
    int rc = message_read_copy(&f->heard, &c, e);

    if (rc == 0 && !f->cache.kv)
        rc = err_set(e, ERR_FORMAT, "rank 0 told of a page and of no cache");
    if (rc == 0)
        f->backend->kv_copy(f->device, f->cache.kv, c.from, c.to, c.n);
    return rc;
}

/* *end: there is nothing more to come. */
static int obey(struct follower *f, bool *end, struct err *e)
{
    enum ranks_message kind = RANKS_END;
    int rc = f->ranks->ops->hear(f->ranks, &f->heard, e);

    if (rc == 0)
        rc = message_kind(&f->heard, &kind, e);
    if (rc)
        return rc;
    switch (kind) {
    case RANKS_HELLO:
        return hello(f, e);
    case RANKS_CACHE:
        return open_cache(f, e);
    case RANKS_FORWARD:
        return open_forward(f, e);
    case RANKS_STEP:
        return step(f, e);
    case RANKS_COPY:
        return copy(f, e);
    case RANKS_END:
        break;
    }
    *end = true;
    return 0;
}

int ranks_follow(const struct engine_config *c, struct ranks *r, struct err *e)
{
    struct follower f = { .ranks = r };
    bool end = false;
    struct err why = { 0 };
    int rc = load(&f, c, &why);

    if (rc == 0)
        log_part(&f);
    while (rc == 0 && !end)
        rc = obey(&f, &end, &why);
    if (rc) {
        r->ops->quit(r, &why);
        if (e)
            *e = why;
    }
    close_all(&f);
    return rc;
}
