/* All ranks read the same configuration, and come here with it before anything else is opened. */
#include <config.h>

#include "fcgi/launch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/access_log.h"
#include "fcgi/signals.h"
#include "kernels/base/log.h"
#include "kernels/base/pool.h"
#include "kernels/ranks_mpi.h"

enum { LOOK_MS = 500 };

static struct launch {
    struct ranks_world *world; /* NULL: there are no others */
    struct ranks *ranks;       /* of the model */
    struct ranks_mpi_info info;
    bool given; /* to its engine */
} launch;

static struct ranks_mpi_options options_of(const struct config *c)
{
    return (struct ranks_mpi_options){ .timeout_ms = c->ranks_timeout_ms,
                                       .precision = (enum ranks_precision)c->ranks_precision };
}

static void log_launch(void)
{
    const struct ranks_mpi_info *i = &launch.info;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    struct log_line line;

    log_begin(&line, LOG_INFO, "ranks");
    log_int(&line, "ranks", (long long)i->n);
    log_int(&line, "pid", getpid());
    log_str(&line, "mpi", i->library);
    log_int(&line, "processors", (long long)pool_processors());
    log_int(&line, "shared_by", (long long)i->n_beside);
    log_end(&line);
    if (pool_processors() == 1 && online > 1)
        log_msg(LOG_WARN, "ranks",
                "the launcher has bound this process to one of %ld processors: mpirun --bind-to "
                "none, or --map-by with pe=N, gives it more",
                online);
}

/* --- do all have the same? --- */

static int compare(const char *what, const char *text, struct err *e)
{
    size_t other;
    int rc = ranks_mpi_compare(launch.world, text, strlen(text), &other, e);

    return rc == ERR_INVALID ? err_prefix(e, "%s: ", what) : rc;
}

/* Sizes that are a share of the machine's memory may differ: rank 0's counts. */
static void describe(const struct config *c, char *out, size_t size)
{
    const struct model_config *m = &c->models[0];

    snprintf(out, size, "%zu %zu %zu %s %zu %s %s %zu", m->max_sequence_length, m->max_batch_size,
             m->prefill_chunk_size, m->kv_cache_type ? m->kv_cache_type : "", m->prefix_cache,
             m->speculation ? m->speculation : "", m->pooling ? m->pooling : "",
             c->ranks_precision);
}

static int compare_all(const struct config *c, struct err *e)
{
    char text[RANKS_COMPARE_MAX];
    struct engine_config ec;
    struct engine_print print = { 0 };
    int rc;

    rc = compare("the version of the program", PACKAGE_VERSION, e);
    if (rc)
        return rc;
    describe(c, text, sizeof text);
    rc = compare("the configuration of the model", text, e);
    if (rc)
        return rc;
    config_engine(&c->models[0], &ec);
    rc = engine_print(&ec, &print, e);
    if (rc)
        return rc;
    snprintf(text, sizeof text, "%llu %016llx", (unsigned long long)print.bytes,
             (unsigned long long)print.hash);
    return compare("the model's file", text, e);
}

/* --- open and close --- */

static int join(const struct config *c, struct err *e)
{
    const struct ranks_mpi_options o = options_of(c);
    int rc = ranks_mpi_open(&launch.world, &o, e);

    if (rc)
        return rc;
    ranks_mpi_describe(launch.world, &launch.info);
    log_also("rank", (long long)launch.info.rank);
    log_launch();
    rc = compare_all(c, e);
    if (rc == 0)
        rc = ranks_mpi_join(launch.world, &launch.ranks, e);
    if (rc)
        ranks_mpi_fail(launch.world, e);
    return rc;
}

int launch_open(const struct config *c, struct err *e)
{
    size_t rank, n;

    if (c->launcher == LAUNCHER_OFF)
        return 0;
    if (!ranks_mpi_launched(&rank, &n))
        return c->launcher == LAUNCHER_AUTO
                   ? 0
                   : err_param(e, "mpi", ERR_INVALID,
                               "mpi is on, and no launcher of MPI has started this process as one "
                               "of several: start it with mpirun -n 2 or more, or srun");
    if (c->n_models != 1)
        return err_set(e, ERR_UNSUPPORTED,
                       "%zu models are configured, and %zu processes that were started together "
                       "compute one: give each model a launch of its own, or set mpi = off",
                       c->n_models, n);
    return join(c, e);
}

void launch_refuse(const struct config *c, const struct err *why)
{
    size_t rank, n;

    if (!launch.world && c && c->launcher != LAUNCHER_OFF && ranks_mpi_launched(&rank, &n)) {
        const struct ranks_mpi_options o = options_of(c);

        if (ranks_mpi_open(&launch.world, &o, NULL))
            launch.world = NULL;
    }
    if (launch.world)
        ranks_mpi_fail(launch.world, why);
}

bool launch_on(void)
{
    return launch.world != NULL;
}

bool launch_follows(void)
{
    return launch.world && launch.info.rank > 0;
}

int launch_failed(struct err *e)
{
    return launch.world ? ranks_mpi_failed(launch.world, e) : 0;
}

bool launch_close(void)
{
    bool in_peace;

    if (launch.ranks)
        launch.ranks->ops->close(launch.ranks);
    in_peace = ranks_mpi_close(launch.world);
    launch = (struct launch){ 0 };
    return in_peace;
}

/* --- the model --- */

/* Processes that share processors share them out. */
static void prepare(struct engine_config *ec)
{
    ec->ranks = launch.ranks;
    ec->n_ranks = 0; /* the launcher says how many there are */
    if (ec->n_threads == 0 && launch.info.n_beside > 1) {
        ec->n_threads = pool_processors() / launch.info.n_beside;
        if (ec->n_threads == 0)
            ec->n_threads = 1;
    }
}

int launch_engine(struct engine_config *ec, struct err *e)
{
    if (!launch.world)
        return 0;
    if (launch.given)
        return err_set(e, ERR_UNSUPPORTED,
                       "the %zu ranks have their model, and cannot load another one: start them "
                       "anew",
                       launch.info.n);
    prepare(ec);
    launch.given = true;
    return 0;
}

/* A follower's engine, on a thread of its own: main waits for signals. */
struct follower {
    struct engine_config ec;
    struct err e;
    int rc;
    atomic_bool is_over;
};

static void *follow(void *arg)
{
    struct follower *f = arg;

    pthread_setname_np(pthread_self(), "engine");
    f->rc = engine_follow(&f->ec, &f->e);
    atomic_store(&f->is_over, true);
    signals_wake();
    return NULL;
}

static void reopen_log(void)
{
    struct err e;

    if (log_reopen(&e))
        log_msg(LOG_ERROR, "log", "%s", e.text);
    else
        log_msg(LOG_INFO, "log", "reopened");
}

/* Rank 0 finishes what runs, for which it needs the others: when they end is for it to say. */
int launch_follow(const struct config *c, struct err *e)
{
    struct follower f = { .rc = 0 };
    pthread_t thread;
    int rc = signals_catch(e);

    if (rc)
        return rc;
    config_engine(&c->models[0], &f.ec);
    rc = launch_engine(&f.ec, e);
    if (rc)
        return rc;
    rc = pthread_create(&thread, NULL, follow, &f);
    if (rc)
        return err_set(e, ERR_IO, "starting the engine's thread: %s", strerror(rc));
    while (!atomic_load(&f.is_over)) {
        int number = signals_next(LOOK_MS);

        if (signals_stop(number))
            log_msg(LOG_INFO, "stop", "%s: when rank 0 is done", strsignal(number));
        else if (number && number != SIGNALS_WAKE)
            reopen_log();
    }
    pthread_join(thread, NULL);
    if (f.rc == 0)
        log_msg(LOG_INFO, "stop", "ended");
    *e = f.e;
    return f.rc;
}
