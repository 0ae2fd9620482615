/* mpi.c - the module: joining the other processes, and leaving them.
 *
 * MPI is asked for calls by several threads at once (MPI_THREAD_MULTIPLE): those that compute, and
 * the heart. */
#include <config.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/mpi/module.h"
#include "kernels/mpi/world.h"

/* Who a rank is, for the others. */
struct card {
    char host[64];
    char boot[40];   /* the same on processes that run on one kernel */
    uint64_t pid_ns; /* a process id means something within one namespace */
    int64_t pid;
    cpu_set_t cpus; /* that it may use */
};

static void fill_card(struct card *c)
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    struct stat st;

    *c = (struct card){ .pid = getpid() };
    if (gethostname(c->host, sizeof c->host - 1))
        snprintf(c->host, sizeof c->host, "a host without a name");
    if (f && !fgets(c->boot, sizeof c->boot, f))
        c->boot[0] = '\0';
    if (f)
        fclose(f);
    sched_getaffinity(0, sizeof c->cpus, &c->cpus);
    if (!stat("/proc/self/ns/pid", &st))
        c->pid_ns = st.st_ino;
}

/* All cards; ranks of this host get a pidfd each.  A kernel without them, or a process of another
 * user, leaves the signs of life. */
static int meet(struct ranks_world *w, struct err *e)
{
    struct card own, *cards = calloc(w->n, sizeof *cards);
    int rc;

    if (!cards)
        return err_set(e, ERR_NOMEM, "no memory for %zu ranks", w->n);
    fill_card(&own);
    rc = mpi_check(w,
                   MPI_Allgather(&own, sizeof own, MPI_BYTE, cards, sizeof own, MPI_BYTE,
                                 MPI_COMM_WORLD),
                   "meeting the others", e);
    for (size_t i = 0; i < w->n && rc == 0; i++) {
        const struct card *c = &cards[i];

        snprintf(w->peers[i].host, sizeof w->peers[i].host, "%.60s", c->host);
        if (strcmp(c->boot, own.boot))
            continue;
        w->n_beside += CPU_EQUAL(&c->cpus, &own.cpus) != 0;
        if (i != w->rank && c->pid_ns == own.pid_ns)
            w->peers[i].pidfd = (int)syscall(SYS_pidfd_open, (pid_t)c->pid, 0);
    }
    free(cards);
    return rc;
}

static void free_world(struct ranks_world *w)
{
    for (size_t i = 0; w->peers && i < w->n; i++)
        if (w->peers[i].pidfd >= 0)
            close(w->peers[i].pidfd);
    if (w->wake >= 0)
        close(w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w->peers);
    free(w);
}

/* What an operator has not set: waiting within MPI gives the processor away; messages between
 * processes of a host go through memory that they share, since reading each other's is forbidden in
 * most containers; and through TCP they are sent without first asking whether they are awaited,
 * which they are, and which would cost a large one the way there and back. */
static void prepare(void)
{
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
    setenv("OMPI_MCA_btl_tcp_eager_limit", "1048576", 0);
    setenv("OMPI_MCA_btl_tcp_max_send_size", "1048576", 0);
}

static int init(struct ranks_world *w, struct err *e)
{
    int level = 0, n = 0, rank = 0;

    prepare();
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level) != MPI_SUCCESS)
        return err_set(e, ERR_IO, "MPI could not be initialised");
    if (level < MPI_THREAD_MULTIPLE)
        return err_set(e, ERR_UNSUPPORTED,
                       "this MPI was built without MPI_THREAD_MULTIPLE, which is needed");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_size(MPI_COMM_WORLD, &n);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (n > RANKS_MAX)
        return err_set(e, ERR_UNSUPPORTED, "%d ranks were started, the most are %d", n, RANKS_MAX);
    w->n = (size_t)n;
    w->rank = (size_t)rank;
    return 0;
}

static int mpi_open(struct ranks_world **out, const struct ranks_mpi_options *o, struct err *e)
{
    struct ranks_world *w = calloc(1, sizeof *w);
    int rc;

    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for the ranks");
    w->wake = -1;
    w->options = *o;
    pthread_mutex_init(&w->lock, NULL);
    rc = init(w, e);
    if (rc == 0) {
        w->peers = calloc(w->n, sizeof *w->peers);
        rc = w->peers ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu ranks", w->n);
    }
    for (size_t i = 0; rc == 0 && i < w->n; i++)
        w->peers[i].pidfd = -1;
    if (rc == 0)
        rc = mpi_check(w, MPI_Comm_dup(MPI_COMM_WORLD, &w->heart_comm), "a communicator", e);
    if (rc == 0)
        rc = mpi_check(w, MPI_Comm_set_errhandler(w->heart_comm, MPI_ERRORS_RETURN),
                       "a communicator", e);
    if (rc == 0)
        rc = meet(w, e);
    if (rc == 0)
        rc = heart_start(w, e);
    if (rc) {
        free_world(w);
        return rc;
    }
    *out = w;
    return 0;
}

static int mpi_join(struct ranks_world *w, struct ranks **out, struct err *e)
{
    struct lane *l;
    int rc = lane_create(&l, w, e);

    if (rc == 0)
        *out = &l->ranks;
    return rc;
}

static void mpi_describe(const struct ranks_world *w, struct ranks_mpi_info *out)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int len = 0;

    *out = (struct ranks_mpi_info){ .rank = w->rank, .n = w->n, .n_beside = w->n_beside };
    MPI_Get_library_version(text, &len);
    text[strcspn(text, ",\n")] = '\0'; /* Open MPI goes on with who built it */
    snprintf(out->library, sizeof out->library, "%.120s", text);
}

static void mpi_fail(struct ranks_world *w, const struct err *why)
{
    char sentence[sizeof why->text];

    snprintf(sentence, sizeof sentence, "rank %zu of %zu, on %s, has failed: %.300s", w->rank, w->n,
             w->peers[w->rank].host, why->text);
    world_fail(w, sentence);
}

/* By a gather and a wait of our own: the others may take long to come here, or never do. */
static int mpi_compare(struct ranks_world *w, const void *bytes, size_t n, size_t *other,
                       struct err *e)
{
    char own[RANKS_COMPARE_MAX] = "", *all = calloc(w->n, sizeof own);
    struct lane l = { .ranks = { NULL, w->rank, w->n }, .world = w };
    MPI_Request request;
    int rc = all && n <= sizeof own ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu ranks", w->n);

    if (rc == 0) {
        memcpy(own, bytes, n);
        rc = mpi_check(w,
                       MPI_Iallgather(own, sizeof own, MPI_BYTE, all, sizeof own, MPI_BYTE,
                                      MPI_COMM_WORLD, &request),
                       "comparing", e);
    }
    if (rc == 0)
        rc = wait_all(&l, &request, 1, WAIT_MESSAGE, e);
    for (size_t i = 1; i < w->n && rc == 0; i++)
        if (memcmp(all, all + i * sizeof own, sizeof own)) {
            *other = i;
            rc = err_set(e, ERR_INVALID, "rank %zu, on %s, has something else than rank 0, on %s",
                         i, w->peers[i].host, w->peers[0].host);
        }
    free(all);
    return rc;
}

/* What failed is left as it is: MPI might still write into it. */
static bool mpi_close(struct ranks_world *w)
{
    if (!w)
        return true;
    if (!heart_stop(w))
        return false;
    MPI_Comm_free(&w->heart_comm);
    MPI_Finalize();
    free_world(w);
    return true;
}

const struct mpi_module airstrip_mpi = {
    .abi = MPI_MODULE_ABI,
    .ops_bytes = sizeof(struct ranks_ops),
    .options_bytes = sizeof(struct ranks_mpi_options),
    .open = mpi_open,
    .join = mpi_join,
    .describe = mpi_describe,
    .failed = world_failed,
    .fail = mpi_fail,
    .compare = mpi_compare,
    .close = mpi_close,
};
