/* Time is kept coarsely: every so often all who wait are looked at, which costs less than a timer
 * for each of tens of thousands of connections a second that never wait. */
#include "fcgi/gate.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernels/base/clock.h"

enum {
    CHUNK_BYTES = 64 * 1024,
    CHUNKS_AT_ONCE = 4,
    ASK_BYTES = 64 * 1024, /* of a body that come in without asking whether it is wanted */
    MIN_BYTES_PER_S = 1000,
    LINGER_MS = 2000,
    SWEEPS = 20, /* in a read_timeout */
    MAX_EVENTS = 64,
};

struct gate {
    size_t body_limit, memory_limit, max_requests;
    double patience_ms; /* read_timeout */
    void (*ready)(void *arg, struct peer *p);
    void *arg;
    int epoll_fd, wake_fd;
    struct peer *first, *last; /* in the order of their coming */
    size_t n_peers;
    double next_sweep_ms;
    atomic_size_t bytes; /* held by the intakes of all peers that were not freed yet */
    atomic_size_t open;  /* peers, wherever they are, that have not had their answer */
    pthread_mutex_t lock;
    struct peer *returned; /* guarded by lock */
    unsigned char chunk[CHUNK_BYTES];
};

/* --- the list --- */

static void enter(struct gate *g, struct peer *p)
{
    p->next = NULL;
    p->prev = g->last;
    if (g->last)
        g->last->next = p;
    else
        g->first = p;
    g->last = p;
    g->n_peers++;
}

/* Out of the list and out of epoll. */
static void leave(struct gate *g, struct peer *p)
{
    if (p->armed)
        epoll_ctl(g->epoll_fd, EPOLL_CTL_DEL, p->fd, NULL);
    p->armed = false;
    if (p->prev)
        p->prev->next = p->next;
    else
        g->first = p->next;
    if (p->next)
        p->next->prev = p->prev;
    else
        g->last = p->prev;
    p->prev = p->next = NULL;
    g->n_peers--;
}

static void give(struct gate *g, struct peer *p)
{
    leave(g, p);
    g->ready(g->arg, p);
}

static void drop(struct gate *g, struct peer *p)
{
    leave(g, p);
    peer_free(p);
}

/* --- what comes; all of these return whether p is still in the gate --- */

static bool arm(struct gate *g, struct peer *p)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };

    if (!p->armed && epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, p->fd, &ev)) {
        drop(g, p); /* no memory for it */
        return false;
    }
    return p->armed = true;
}

/* The last word to the web server, where it takes it. */
static bool see_off(struct gate *g, struct peer *p)
{
    if (!peer_pay(p)) {
        drop(g, p);
        return false;
    }
    peer_see_off(p);
    return true;
}

/* There is no more memory for those who are sending. */
static bool shed(struct gate *g, struct peer *p)
{
    if (p->intake.state == INTAKE_BODY) {
        p->overloaded = true;
        give(g, p);
    } else {
        peer_log(p, "dropped", "upload_memory_limit is taken up by those who are sending");
        drop(g, p);
    }
    return false;
}

/* Looks at what the last bytes made of it. */
static bool judge(struct gate *g, struct peer *p)
{
    const struct intake *in = &p->intake;

    peer_count(p);
    if (in->state == INTAKE_BODY && p->body_ms <= 0)
        p->body_ms = p->last_ms;
    if (in->state == INTAKE_ABORTED)
        return see_off(g, p);
    if (!peer_pay(p)) {
        drop(g, p);
        return false;
    }
    if (in->state == INTAKE_WHOLE ||
        (in->state == INTAKE_BODY && !p->asked && in->body.len >= ASK_BYTES)) {
        p->asked = true;
        give(g, p);
        return false;
    }
    return g->bytes <= g->memory_limit || shed(g, p);
}

/* The web server has closed, or its connection broke, or its time is over. */
static void end(struct gate *g, struct peer *p)
{
    if (!p->lingers && p->intake.state == INTAKE_BODY) {
        p->intake.broken = true;
        give(g, p);
    } else {
        drop(g, p);
    }
}

/* Level-triggered: what is not read now is told again, so that nobody keeps the thread for long. */
static void receive(struct gate *g, struct peer *p)
{
    for (int i = 0; i < CHUNKS_AT_ONCE; i++) {
        ssize_t n = recv(p->fd, g->chunk, sizeof g->chunk, MSG_DONTWAIT);
        struct err e;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            end(g, p);
            return;
        }
        if (p->lingers)
            continue;
        p->last_ms = clock_ms();
        if (intake_feed(&p->intake, g->chunk, (size_t)n, &e)) {
            peer_log(p, "refused", e.text);
            if (!see_off(g, p))
                return;
        } else if (!judge(g, p)) {
            return;
        }
        if ((size_t)n < sizeof g->chunk)
            break;
    }
    arm(g, p);
}

/* --- time --- */

/* A body may take as long as it takes to come at a modest rate. */
static bool is_late(const struct gate *g, const struct peer *p, double now_ms)
{
    if (p->lingers)
        return now_ms - p->since_ms > LINGER_MS;
    if (p->intake.state != INTAKE_BODY)
        return now_ms - p->since_ms > g->patience_ms;
    return now_ms - p->last_ms > g->patience_ms ||
           now_ms - p->body_ms >
               g->patience_ms + (double)p->intake.body.len / MIN_BYTES_PER_S * 1000;
}

static void sweep(struct gate *g, double now_ms)
{
    double pause_ms = g->patience_ms / SWEEPS;

    for (struct peer *p = g->first, *next; p; p = next) {
        next = p->next;
        if (!is_late(g, p, now_ms))
            continue;
        if (p->intake.state == INTAKE_HEAD)
            peer_log(p, "dropped", "read_timeout passed before a request was complete");
        end(g, p);
    }
    g->next_sweep_ms = now_ms + (pause_ms < 5 ? 5 : pause_ms > 500 ? 500 : pause_ms);
}

int gate_wait_ms(const struct gate *g)
{
    double left_ms = g->next_sweep_ms - clock_ms();

    return !g->first ? -1 : left_ms < 0 ? 0 : (int)left_ms + 1;
}

/* --- from outside --- */

int gate_fd(const struct gate *g)
{
    return g->epoll_fd;
}

void gate_add(struct gate *g, int fd)
{
    struct peer *p = calloc(1, sizeof *p);

    if (!p) {
        close(fd);
        return;
    }
    if (g->n_peers >= GATE_MAX && !gate_evict(g))
        drop(g, g->first);
    p->fd = fd;
    p->held = &g->bytes;
    p->open = &g->open;
    g->open++;
    p->since_ms = p->last_ms = clock_ms();
    intake_init(&p->intake, g->body_limit, g->max_requests);
    enter(g, p);
    receive(g, p);
}

/* Those who are being seen off have had their answer; of the rest, whoever began first had the most
 * time. */
bool gate_evict(struct gate *g)
{
    struct peer *found = NULL;

    for (struct peer *p = g->first; p; p = p->next) {
        if (p->lingers) {
            found = p;
            break;
        }
        if (!found && p->intake.state < INTAKE_BODY)
            found = p;
    }
    if (!found)
        return false;
    if (!found->lingers)
        peer_log(found, "dropped", "too many connections are open");
    drop(g, found);
    return true;
}

static void take_back(struct gate *g, struct peer *p)
{
    uint64_t one = 1;
    ssize_t n;

    pthread_mutex_lock(&g->lock);
    p->next = g->returned;
    g->returned = p;
    pthread_mutex_unlock(&g->lock);
    do
        n = write(g->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

size_t gate_open(const struct gate *g)
{
    return g->open;
}

void gate_resume(struct gate *g, struct peer *p)
{
    double now_ms = clock_ms();

    p->body_ms += now_ms - p->last_ms; /* it was not read meanwhile */
    p->last_ms = now_ms;
    take_back(g, p);
}

void gate_linger(struct gate *g, struct peer *p)
{
    peer_see_off(p);
    take_back(g, p);
}

static void receive_returned(struct gate *g)
{
    struct peer *p, *next;
    uint64_t n;

    if (read(g->wake_fd, &n, sizeof n) < 0)
        return;
    pthread_mutex_lock(&g->lock);
    p = g->returned;
    g->returned = NULL;
    pthread_mutex_unlock(&g->lock);
    for (; p; p = next) {
        next = p->next;
        enter(g, p);
        receive(g, p);
    }
}

void gate_run(struct gate *g)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(g->epoll_fd, events, MAX_EVENTS, 0);
    double now_ms;

    for (int i = 0; i < n; i++)
        if (events[i].data.ptr)
            receive(g, events[i].data.ptr);
    receive_returned(g); /* after the events, since it may not end what they speak of */
    now_ms = clock_ms();
    if (now_ms >= g->next_sweep_ms)
        sweep(g, now_ms);
}

void gate_configure(struct gate *g, const struct config *c)
{
    g->body_limit = c->body_size_limit;
    g->memory_limit = c->upload_memory_limit;
    g->max_requests = c->max_connections;
    g->patience_ms = (double)c->read_timeout_ms;
}

int gate_create(struct gate **out, void (*ready)(void *arg, struct peer *p), void *arg,
                struct err *e)
{
    struct gate *g = calloc(1, sizeof *g);
    struct epoll_event ev = { .events = EPOLLIN };

    if (!g)
        return err_set(e, ERR_NOMEM, "no memory for connections");
    g->ready = ready;
    g->arg = arg;
    pthread_mutex_init(&g->lock, NULL);
    g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (g->epoll_fd < 0 || g->wake_fd < 0 ||
        epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, g->wake_fd, &ev)) {
        int rc = err_set(e, ERR_IO, "cannot wait for connections: %s", strerror(errno));

        gate_free(g);
        return rc;
    }
    *out = g;
    return 0;
}

void gate_free(struct gate *g)
{
    if (!g)
        return;
    for (struct peer *p = g->returned, *next; p; p = next) {
        next = p->next;
        peer_free(p);
    }
    while (g->first)
        drop(g, g->first);
    if (g->epoll_fd >= 0)
        close(g->epoll_fd);
    if (g->wake_fd >= 0)
        close(g->wake_fd);
    pthread_mutex_destroy(&g->lock);
    free(g);
}
