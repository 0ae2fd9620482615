/* ranks.c - a device among those of other ranks: NCCL between them (kernels/ranks.h tells them how
 * to find each other, and who is lost).
 *
 * A sum is a gathering of all ranks' values and then an addition in the order of ranks, by each for
 * itself.  NCCL's own sum begins with another rank in each part of a buffer, so a row's bits would
 * depend on the company it has; a gathering moves as much between two devices, and more between
 * many, in one step less.
 *
 * Nobody waits for ever: who waits for the stream looks whether a rank is lost, and then gives up
 * what NCCL has on the device. */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/cuda/device.h"
#include "kernels/cuda/nccl.h"
#include "kernels/ranks.h"

static int load(struct nccl *n, struct err *e)
{
    const struct {
        void *to;
        const char *name;
    } functions[] = {
        { &n->get_unique_id, "ncclGetUniqueId" },
        { &n->init_rank, "ncclCommInitRank" },
        { &n->destroy, "ncclCommDestroy" },
        { &n->abort, "ncclCommAbort" },
        { &n->error_string, "ncclGetErrorString" },
        { &n->all_gather, "ncclAllGather" },
        { &n->send, "ncclSend" },
        { &n->receive, "ncclRecv" },
        { &n->group_start, "ncclGroupStart" },
        { &n->group_end, "ncclGroupEnd" },
    };
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return err_set(e, ERR_UNSUPPORTED,
                       "several CUDA devices need NCCL, which does not load: %s", dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *f = dlsym(library, functions[i].name);

        if (!f) {
            err_set(e, ERR_UNSUPPORTED, "libnccl.so.2 has no %s, expected NCCL 2.7 or later",
                    functions[i].name);
            dlclose(library);
            return ERR_UNSUPPORTED;
        }
        memcpy(functions[i].to, &f, sizeof f);
    }
    return 0;
}

/* Opened by the first who needs it, for as long as the process lives; NULL and why not. */
static const struct nccl *library(struct err *e)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards both */
    static struct nccl nccl;
    static bool loaded;

    pthread_mutex_lock(&lock);
    if (!loaded)
        loaded = load(&nccl, e) == 0;
    pthread_mutex_unlock(&lock);
    return loaded ? &nccl : NULL;
}

/* Rank 0 makes the name under which all meet, and tells it. */
static int agree(struct ranks *r, const struct nccl *n, struct nccl_id *id, struct err *e)
{
    struct buf heard = { 0 };
    int rc;

    if (r->rank == 0) {
        rc = n->get_unique_id(id);
        if (rc != NCCL_SUCCESS)
            return err_set(e, ERR_INTERNAL, "NCCL does not start: %s", n->error_string(rc));
        return r->ops->tell(r, id, sizeof *id, e);
    }
    rc = r->ops->hear(r, &heard, e);
    if (rc == 0 && heard.len != sizeof *id)
        rc = err_set(e, ERR_INTERNAL, "rank 0 says %zu bytes, expected the %zu of a name of NCCL's",
                     heard.len, sizeof *id);
    if (rc == 0)
        memcpy(id, heard.data, sizeof *id);
    buf_done(&heard);
    return rc;
}

static int join(struct device *d, struct err *e)
{
    struct ranks *r = d->ranks;
    const struct nccl *n = d->nccl;
    struct nccl_id id;
    float here = 1;
    int rc;

    rc = agree(r, n, &id, e);
    if (rc == 0) /* once all have come this far, nobody waits in NCCL for one who will not come */
        rc = r->ops->sum(r, &here, 1, 1, e);
    if (rc)
        return rc;
    rc = n->init_rank(&d->comm, (int)r->n, id, (int)r->rank);
    if (rc != NCCL_SUCCESS) {
        d->comm = NULL;
        return err_set(e, ERR_INTERNAL, "%s: NCCL does not connect it with the others: %s", d->name,
                       n->error_string(rc));
    }
    return 0;
}

int ranks_open(struct device *d, struct ranks *r, struct err *e)
{
    d->ranks = r;
    if (!r || r->n == 1)
        return 0;
    d->nccl = library(e);
    return d->nccl ? 0 : ERR_UNSUPPORTED;
}

/* Without the others what waits for them would wait for ever. */
void ranks_leave(struct device *d)
{
    struct err why;

    if (d->comm && d->broken == cudaSuccess && !d->ranks->ops->failed(d->ranks, &why))
        d->nccl->destroy(d->comm);
    else if (d->comm)
        d->nccl->abort(d->comm);
    d->comm = NULL;
}

/* What is still enqueued among the ranks ends at once, void. */
static void give_up(struct device *d)
{
    if (d->comm)
        d->nccl->abort(d->comm);
    d->comm = NULL;
}

static bool nccl_ok(struct device *d, int result)
{
    if (result == NCCL_SUCCESS)
        return true;
    if (!d->lost.code)
        err_set(&d->lost, ERR_INTERNAL, "%s: NCCL fails: %s", d->name,
                d->nccl->error_string(result));
    return false;
}

bool device_wait(struct device *d)
{
    enum { LOOK = 32 }; /* so many questions between two looks at the others */
    cudaError_t r;

    if (!d->comm)
        return device_ok(d, cudaStreamSynchronize(d->stream));
    for (unsigned asked = 0; (r = cudaStreamQuery(d->stream)) == cudaErrorNotReady; asked++) {
        if (asked % LOOK == LOOK - 1 && d->ranks->ops->failed(d->ranks, &d->lost)) {
            give_up(d);
            return device_ok(d, cudaStreamSynchronize(d->stream));
        }
        sched_yield();
    }
    return device_ok(d, r);
}

/* The others need not wait for a device that is broken. */
void ranks_look(struct device *d)
{
    struct err why = { 0 };

    if (d->left || !d->nccl || (d->broken == cudaSuccess && !d->lost.code))
        return;
    d->left = true;
    if (d->broken != cudaSuccess)
        err_set(&why, ERR_INTERNAL, "%s has failed: %s", d->name, cudaGetErrorString(d->broken));
    else
        why = d->lost;
    d->ranks->ops->quit(d->ranks, &why);
    give_up(d);
}

/* --- ops --- */

/* Finds the others when it is first asked: by then all have opened their devices, and say the same
 * things in the same order.  A device that has left out one thing must not take part in the next.
 */
static bool together(struct device *d)
{
    if (!d->met && d->broken == cudaSuccess && !d->lost.code)
        (void)!join(d, &d->lost);
    d->met = true;
    return d->comm && d->broken == cudaSuccess && !d->lost.code;
}

void cuda_reduce(struct device *d, float *x, size_t rows, size_t cols)
{
    size_t left = rows * cols, at_once = PARTS_BYTES / sizeof(float) / d->ranks->n;

    for (size_t count; left > 0 && together(d) && device_parts(d); left -= count, x += count) {
        count = left < at_once ? left : at_once;
        if (!nccl_ok(d, d->nccl->all_gather(x, d->parts, count, NCCL_FLOAT32, d->comm, d->stream)))
            return;
        launch_add_up(x, d->parts, (unsigned)count, (unsigned)d->ranks->n, d->stream);
    }
}

static void receive_all(struct device *d, const struct collect *c)
{
    size_t n = d->ranks->n, cols = c->first[n];
    float *all = c->n == 1 ? c->y : c->parts; /* the parts of a single row are the row */

    if (n > 1 && !nccl_ok(d, d->nccl->group_start()))
        return;
    for (size_t r = 1; r < n; r++) {
        size_t count = c->n * (c->first[r + 1] - c->first[r]);

        if (count > 0)
            nccl_ok(d, d->nccl->receive(all + c->n * c->first[r], count, NCCL_FLOAT32, (int)r,
                                        d->comm, d->stream));
    }
    if (n > 1 && !nccl_ok(d, d->nccl->group_end()))
        return;
    for (size_t r = 0; r < n; r++) {
        const float *part = r == 0 ? c->x : all + c->n * c->first[r];
        size_t from = c->first[r], to = c->first[r + 1];

        if (to > from && part != c->y + from)
            launch_place(c->y + from, part, (unsigned)c->n, (unsigned)(to - from), (unsigned)cols,
                         d->stream);
    }
}

void cuda_collect(struct device *d, const struct collect *op)
{
    size_t rank = d->ranks->rank, count = op->n * (op->first[rank + 1] - op->first[rank]);

    if (op->n == 0 || (d->ranks->n > 1 && !together(d)))
        return;
    if (rank == 0)
        receive_all(d, op);
    else if (count > 0)
        nccl_ok(d, d->nccl->send(op->x, count, NCCL_FLOAT32, 0, d->comm, d->stream));
}
