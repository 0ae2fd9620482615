#include "fcgi/peer.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum { LINES_PER_S = 10 };

/* Whoever can connect must not be able to fill the disk. */
static struct {
    pthread_mutex_t lock; /* guards all of it */
    double since_ms;
    int written, unwritten;
} lines = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Whether a line may be written; *more: how many were not, before it. */
static bool is_allowed(int *more)
{
    double now_ms = clock_ms();
    bool allowed;

    pthread_mutex_lock(&lines.lock);
    if (now_ms - lines.since_ms >= 1000) {
        lines.since_ms = now_ms;
        lines.written = 0;
    }
    allowed = lines.written < LINES_PER_S;
    *more = lines.unwritten;
    lines.written += allowed;
    lines.unwritten = allowed ? 0 : lines.unwritten + 1;
    pthread_mutex_unlock(&lines.lock);
    return allowed;
}

static void put_address(struct log_line *l, const struct sockaddr_storage *a, socklen_t len)
{
    char host[64];

    if (!getnameinfo((const struct sockaddr *)a, len, host, sizeof host, NULL, 0, NI_NUMERICHOST))
        log_str(l, "peer", host);
}

/* Process and user of a Unix socket, address of a TCP one. */
static void put_peer(struct log_line *l, int fd)
{
    struct sockaddr_storage a = { 0 };
    socklen_t len = sizeof a;
    struct ucred who = { 0 };

    if (getpeername(fd, (struct sockaddr *)&a, &len))
        return;
    if (a.ss_family == AF_UNIX) {
        len = sizeof who;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
            return;
        log_int(l, "peer_pid", who.pid);
        log_int(l, "peer_uid", who.uid);
    } else {
        put_address(l, &a, len);
    }
}

void peer_log(const struct peer *p, const char *event, const char *why)
{
    struct log_line l;
    int more;

    if (!is_allowed(&more))
        return;
    log_begin(&l, LOG_WARN, event);
    log_str(&l, "msg", why);
    put_peer(&l, p->fd);
    if (more)
        log_int(&l, "more", more);
    log_end(&l);
}

void peer_log_stranger(const struct sockaddr_storage *a, socklen_t len, const char *key)
{
    struct log_line l;
    int more;

    if (!is_allowed(&more))
        return;
    log_begin(&l, LOG_WARN, "refused");
    log_str(&l, "msg", "its address is not on the list");
    log_str(&l, "list", key);
    put_address(&l, a, len);
    if (more)
        log_int(&l, "more", more);
    log_end(&l);
}

void peer_count(struct peer *p)
{
    size_t now = intake_bytes(&p->intake);

    *p->held += now - p->counted; /* wraps round where it shrinks, and comes out right */
    p->counted = now;
}

/* Nothing more is to be done for it. */
static void settle(struct peer *p)
{
    if (p->open)
        --*p->open;
    p->open = NULL;
}

void peer_free(struct peer *p)
{
    settle(p);
    intake_done(&p->intake);
    peer_count(p);
    close(p->fd);
    free(p);
}

bool peer_pay(struct peer *p)
{
    struct buf *owed = &p->intake.owed;
    size_t len = owed->len;
    ssize_t n = 0;

    if (len)
        n = send(p->fd, owed->data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_done(owed);
    return n == (ssize_t)len;
}

void peer_see_off(struct peer *p)
{
    shutdown(p->fd, SHUT_WR);
    p->lingers = true;
    settle(p);
    p->since_ms = clock_ms();
    intake_done(&p->intake);
    peer_count(p);
}
