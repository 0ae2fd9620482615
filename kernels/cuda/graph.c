/* graph.c - steps of generated rows as CUDA graphs: one launch in place of hundreds.
 *
 * A step is known by its key: everything that its launches depend on, that is, all arguments but
 * what stands in small arrays of the host (ids, positions, pages).  Those reach the device through
 * the stage, whose places depend on the key alone: numbers of pages and of splits are rounded up to
 * powers of two, so that a sequence can grow for long under one key.  So there is a graph for each
 * number of rows, as long as its sequences stay below such a border.
 *
 * The first time a step runs as it is, and whatever is made when it is first asked for is made.
 * The second time it is captured.  From then on the small arrays are filled and the graph is
 * launched.  The bits are the same each time: a graph holds the same launches. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/queue.h"

enum { MAX_GRAPHS = 96 }; /* each takes some hundred KiB of the device */

struct graph {
    unsigned char *key;
    size_t key_bytes;
    uint64_t hash, used;  /* used: when last, by a count of steps */
    cudaGraphExec_t exec; /* NULL: not yet captured */
    bool refused;         /* it cannot be */
    struct graph *next;
};

static bool wanted(void)
{
    const char *value = getenv("AIRSTRIP_CUDA_GRAPHS");

    return !value || strcmp(value, "0") != 0;
}

static uint64_t hash_of(const struct key *k)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a, eight bytes at a time */

    for (size_t i = 0; i + 8 <= k->used; i += 8) {
        uint64_t v;

        memcpy(&v, k->bytes + i, sizeof v);
        h = (h ^ v) * 1099511628211u;
    }
    return h;
}

static struct graph *find(struct device *d, const struct key *k)
{
    uint64_t hash = hash_of(k);
    struct graph *g = d->graphs;

    while (g &&
           (g->hash != hash || g->key_bytes != k->used || memcmp(g->key, k->bytes, k->used) != 0))
        g = g->next;
    return g;
}

static void drop(struct graph *g)
{
    if (g->exec)
        cudaGraphExecDestroy(g->exec);
    free(g->key);
    free(g);
}

void graph_forget(struct device *d)
{
    while (d->graphs) {
        struct graph *g = d->graphs;

        d->graphs = g->next;
        drop(g);
    }
    d->n_graphs = 0;
}

static void drop_oldest(struct device *d)
{
    struct graph **oldest = &d->graphs, *g;

    for (struct graph **at = &d->graphs; *at; at = &(*at)->next)
        if ((*at)->used < (*oldest)->used)
            oldest = at;
    g = *oldest;
    *oldest = g->next;
    d->n_graphs--;
    drop(g);
}

/* Without memory for it the step is simply met for the first time again. */
static void remember(struct device *d, const struct key *k, bool refused)
{
    struct graph *g = calloc(1, sizeof *g);

    if (g)
        g->key = malloc(k->used);
    if (!g || !g->key) {
        free(g);
        return;
    }
    if (d->n_graphs == MAX_GRAPHS)
        drop_oldest(d);
    memcpy(g->key, k->bytes, k->used);
    g->key_bytes = k->used;
    g->hash = hash_of(k);
    g->used = d->n_steps;
    g->refused = refused;
    g->next = d->graphs;
    d->graphs = g;
    d->n_graphs++;
}

static void issue(struct device *d, const struct op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        op_issue(d, &ops[i]);
}

/* Small arrays into the places where the graph copies them from. */
static void refill(struct device *d, const struct op *ops, size_t n)
{
    d->replaying = true;
    for (size_t i = 0; i < n; i++)
        if (ops[i].kind == OP_EMBED || ops[i].kind == OP_GATHER || ops[i].kind == OP_ROPE_KV ||
            ops[i].kind == OP_ATTEND)
            op_issue(d, &ops[i]);
    d->replaying = false;
}

/* Fills them as well; nothing has run. */
static bool capture(struct device *d, struct graph *g, const struct op *ops, size_t n)
{
    cudaGraph_t graph = NULL;
    cudaError_t r = cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal);

    if (r == cudaSuccess) {
        issue(d, ops, n);
        r = cudaStreamEndCapture(d->stream, &graph);
    }
    if (r == cudaSuccess)
        r = cudaGraphInstantiate(&g->exec, graph, 0);
    if (graph)
        cudaGraphDestroy(graph);
    if (r == cudaSuccess)
        return true;
    (void)cudaGetLastError();
    g->exec = NULL;
    return false;
}

void graph_run(struct device *d, const struct op *ops, size_t n)
{
    struct graph *g;

    d->n_steps++;
    if (!wanted() || d->broken != cudaSuccess || !key_make(&d->key, ops, n)) {
        issue(d, ops, n);
        return;
    }
    g = find(d, &d->key);
    if (!g) {
        d->stage.rewound = false;
        issue(d, ops, n);
        remember(d, &d->key, d->stage.rewound);
        return;
    }
    g->used = d->n_steps;
    if (!g->refused && g->exec) {
        refill(d, ops, n);
    } else if (!g->refused && !capture(d, g, ops, n)) {
        g->refused = true;
        stage_forget(d);
    }
    if (g->refused)
        issue(d, ops, n);
    else
        device_ok(d, cudaGraphLaunch(g->exec, d->stream));
}
