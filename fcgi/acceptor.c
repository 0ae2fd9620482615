/* The queue between the acceptor and its workers, and who serves what when all are busy.
 *
 * A connection enters the queue when its request is here (gate.h), so workers wait for nobody but
 * the engine and, while they write, for who takes the answer.  n_busy counts requests that are
 * served in full, at most max_connections.  A few workers more exist so that what comes beyond is
 * not left hanging: they answer probes as ever and everything else with 503. */
#include "fcgi/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/app.h"
#include "fcgi/gate.h"
#include "fcgi/secret.h"
#include "fcgi/worker.h"
#include "kernels/base/log.h"

enum {
    STACK_BYTES = 512 * 1024, /* template and JSON run here too, both with bounded depth */
    QUEUE_MAX = 4096,
    SPARE_WORKERS = 4, /* for refusing: more than one, since a peer may be slow to take it */
    PAUSE_MS = 100,    /* when the system has no descriptors left: until some are closed */
};

struct acceptor {
    struct server *server;
    const struct listener *listener;
    struct gate *gate;
    int wake_fd; /* readable: stop, or there is room in the queue again */
    pthread_t thread;
    atomic_size_t unfinished;

    pthread_mutex_t lock;      /* guards all below */
    pthread_cond_t work;       /* queue not empty, or stopping */
    pthread_cond_t ended;      /* a worker ended, or the thread has seen that it is to pause */
    struct peer *first, *last; /* the queue, by their `next` */
    size_t len;
    size_t n_workers, n_idle, n_busy;
    size_t max_connections; /* of the configuration that is served now */
    bool stopping;
    bool pausing, paused; /* to accept no more; the thread has seen it */
};

static void wake(struct acceptor *a)
{
    uint64_t one = 1;
    ssize_t n;

    do
        n = write(a->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

/* Lock held; the queue is not empty. */
static struct peer *take(struct acceptor *a)
{
    struct peer *p = a->first;

    a->first = p->next;
    if (!a->first)
        a->last = NULL;
    if (a->len-- == QUEUE_MAX)
        wake(a);
    a->server->counters.waiting = a->len;
    return p;
}

/* Answers, and passes the connection on to whoever has to do with it next. */
static void serve(struct acceptor *a, struct peer *p, bool overloaded)
{
    enum worker_result found =
        worker_serve(a->server, &p->intake, p->fd, overloaded || p->overloaded, &a->unfinished);

    if (found == WORKER_WANTS_BODY)
        gate_resume(a->gate, p);
    else if (p->intake.state != INTAKE_WHOLE || p->intake.has_rest)
        gate_linger(a->gate, p);
    else
        peer_free(p);
}

static void *run_worker(void *arg)
{
    struct acceptor *a = arg;

    pthread_mutex_lock(&a->lock);
    for (;;) {
        struct peer *p;
        bool overloaded;

        a->n_idle++;
        while (!a->len && !a->stopping)
            pthread_cond_wait(&a->work, &a->lock);
        a->n_idle--;
        if (!a->len)
            break;
        p = take(a);
        overloaded = a->n_busy >= a->max_connections;
        a->n_busy += !overloaded;
        pthread_mutex_unlock(&a->lock);
        serve(a, p, overloaded);
        pthread_mutex_lock(&a->lock);
        a->n_busy -= !overloaded;
    }
    pthread_mutex_unlock(&a->lock);
    secret_thread_end();
    pthread_mutex_lock(&a->lock);
    a->n_workers--;
    pthread_cond_signal(&a->ended);
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* Lock held.  Where the system gives no more threads, the workers there are take the connection
 * later. */
static void add_worker(struct acceptor *a)
{
    pthread_attr_t attr;
    pthread_t t;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&t, &attr, run_worker, a);
    pthread_attr_destroy(&attr);
    if (rc) {
        log_msg(LOG_WARN, "acceptor", "cannot start worker %zu: %s", a->n_workers + 1,
                strerror(rc));
        return;
    }
    a->n_workers++;
}

/* The gate's: a request is here. */
static void push(void *arg, struct peer *p)
{
    struct acceptor *a = arg;

    pthread_mutex_lock(&a->lock);
    p->next = NULL;
    if (a->last)
        a->last->next = p;
    else
        a->first = p;
    a->last = p;
    a->len++;
    a->server->counters.waiting = a->len;
    if (a->len > a->server->counters.max_waiting)
        a->server->counters.max_waiting = a->len;
    /* Workers that were woken but do not run yet still count as idle, and their connection still
     * stands in the queue: comparing the two lengths is therefore right at any moment. */
    if (a->len > a->n_idle && a->n_workers < a->max_connections + SPARE_WORKERS)
        add_worker(a);
    pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
}

/* Takes every connection there is.  False when the queue is full. */
static bool accept_all(struct acceptor *a, const struct config *c)
{
    for (;;) {
        bool full;
        int fd;

        pthread_mutex_lock(&a->lock);
        full = a->len >= QUEUE_MAX;
        pthread_mutex_unlock(&a->lock);
        if (full)
            return false;
        fd = listener_accept(a->listener, c->listen_allow, c->write_timeout_ms);
        if (fd >= 0) {
            a->server->counters.accepted++;
            gate_add(a->gate, fd);
        } else if (errno == EACCES) {
            a->server->counters.not_allowed++;
        } else if ((errno == EMFILE || errno == ENFILE) && gate_evict(a->gate)) {
            continue;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            struct timespec pause = { .tv_nsec = PAUSE_MS * 1000 * 1000 };

            log_msg(LOG_WARN, "acceptor", "cannot accept: %s", strerror(errno));
            nanosleep(&pause, NULL);
            return true;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return true;
        }
    }
}

/* What is there to be read, and who has come, by the configuration of now.  False when the queue is
 * full. */
static bool take_in(struct acceptor *a, bool room)
{
    struct app *app = server_enter(a->server);

    pthread_mutex_lock(&a->lock);
    a->max_connections = app->config->max_connections;
    pthread_mutex_unlock(&a->lock);
    gate_configure(a->gate, app->config);
    gate_run(a->gate);
    room = room && accept_all(a, app->config);
    server_leave(a->server, app);
    return room;
}

/* Whether nobody is to be accepted any more; whoever asked for it is told that it is so. */
static bool see_pause(struct acceptor *a, bool *stopping)
{
    bool pausing;

    pthread_mutex_lock(&a->lock);
    *stopping = a->stopping;
    pausing = a->paused = a->pausing;
    if (pausing)
        pthread_cond_broadcast(&a->ended);
    pthread_mutex_unlock(&a->lock);
    return pausing;
}

/* The listening socket is not polled while the queue is full: its backlog then holds who comes.
 * Those in the gate may make it longer, by no more than they are. */
static void *run(void *arg)
{
    struct acceptor *a = arg;
    bool room = true, pausing = false, stopping = false;

    while (!stopping) {
        struct pollfd p[3] = { { .fd = a->wake_fd, .events = POLLIN },
                               { .fd = room && !pausing ? a->listener->fd : -1, .events = POLLIN },
                               { .fd = gate_fd(a->gate), .events = POLLIN } };
        uint64_t n;

        if (poll(p, 3, gate_wait_ms(a->gate)) < 0)
            continue;
        if (p[0].revents && read(a->wake_fd, &n, sizeof n) > 0)
            room = true;
        room = take_in(a, room && !pausing) || pausing;
        pausing = see_pause(a, &stopping);
    }
    return NULL;
}

int acceptor_create(struct acceptor **out, struct server *server, const struct listener *l,
                    struct err *e)
{
    struct acceptor *a = calloc(1, sizeof *a);
    pthread_condattr_t attr;
    int rc;

    if (!a)
        return err_set(e, ERR_NOMEM, "no memory for the acceptor");
    a->server = server;
    a->listener = l;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    pthread_cond_init(&a->ended, &attr);
    pthread_condattr_destroy(&attr);
    a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = gate_create(&a->gate, push, a, e);
    if (rc) {
        acceptor_free(a);
        return rc;
    }
    rc = a->wake_fd < 0 ? errno : pthread_create(&a->thread, NULL, run, a);
    if (rc) {
        rc = err_set(e, ERR_IO, "cannot start the acceptor: %s", strerror(rc));
        acceptor_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

void acceptor_pause(struct acceptor *a)
{
    pthread_mutex_lock(&a->lock);
    a->pausing = true;
    wake(a);
    while (!a->paused)
        pthread_cond_wait(&a->ended, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

size_t acceptor_open(const struct acceptor *a)
{
    return gate_open(a->gate);
}

size_t acceptor_unfinished(const struct acceptor *a)
{
    return a->unfinished;
}

bool acceptor_stop(struct acceptor *a, int timeout_ms)
{
    struct timespec end;
    bool all;

    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->lock);
    wake(a);
    pthread_join(a->thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_nsec -= 1000000000L;
        end.tv_sec++;
    }
    pthread_mutex_lock(&a->lock);
    while (a->n_workers && pthread_cond_timedwait(&a->ended, &a->lock, &end) != ETIMEDOUT)
        ;
    all = !a->n_workers;
    pthread_mutex_unlock(&a->lock);
    return all;
}

void acceptor_free(struct acceptor *a)
{
    if (!a)
        return;
    gate_free(a->gate);
    if (a->wake_fd >= 0)
        close(a->wake_fd);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->work);
    pthread_cond_destroy(&a->ended);
    free(a);
}
