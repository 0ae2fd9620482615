/* Nobody may hold this thread for long: what does not come, or is not taken, within a second is
 * given up.  Who has connected and says nothing waits aside, so that a balancer's check is answered
 * at once, whoever else is connected. */
#include "fcgi/sidedoor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "fcgi/api/handlers.h"
#include "fcgi/app.h"
#include "fcgi/handover.h"
#include "fcgi/http_head.h"
#include "fcgi/responder.h"
#include "fcgi/router.h"
#include "fcgi/signals.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum {
    PATIENCE_MS = 1000,
    WAITING_MAX = 64,
    BODY_MAX = 4096,
    FCGI_VERSION_1 = 1,
    ARENA_BYTES = 1 << 20
};

struct sidedoor {
    struct server *server;
    const struct sockets *sockets;
    pthread_t thread;
    int wake_fd;
    int successor_fd; /* connection to the process that has our sockets too; -1: none has */
    struct {
        int fd;
        double since_ms;
    } waiting[WAITING_MAX]; /* [n_waiting] who has said nothing yet, in the order of their coming */
    size_t n_waiting;
};

static const struct route routes[] = {
    { "GET", "/status", status_get, true },    { "GET", "/metrics", metrics_get, true },
    { "GET", "/livez", health_live, true },    { "GET", "/readyz", health_ready, true },
    { "GET", "/health", health_report, true }, { 0 },
};

static void answer(struct sidedoor *d, struct conn *c, char *const *params)
{
    struct app *app = server_enter(d->server);
    const struct route *route;
    struct request r;
    struct reply p;
    struct err e = { 0 };
    int bad = request_init(&r, params, ARENA_BYTES, &e);

    reply_init(&p, c, r.id, !strcmp(r.method, "HEAD"));
    route = bad ? NULL : router_find(routes, NULL, &r, &p);
    if (bad)
        reply_err(&p, &e);
    else if (route)
        route->handler(app, &r, &p);
    (void)reply_send(&p); /* who has left misses nothing */
    request_done(&r);
    reply_done(&p);
    server_leave(d->server, app);
}

/* --- FastCGI --- */

static void serve_fastcgi(struct sidedoor *d, int fd)
{
    double until = clock_ms() + PATIENCE_MS;
    struct intake in;
    struct responder f;
    struct err e;
    char bytes[4096];

    intake_init(&in, BODY_MAX, 1);
    while (in.state != INTAKE_WHOLE) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);

        if (n <= 0 || intake_feed(&in, bytes, (size_t)n, &e) || in.state == INTAKE_ABORTED ||
            clock_ms() > until)
            goto out;
        if (in.owed.len && send(fd, in.owed.data, in.owed.len, MSG_NOSIGNAL) < 0)
            goto out;
        buf_reset(&in.owed);
    }
    if (responder_open(&f, &in, fd, &e))
        goto out;
    answer(d, &f.conn, responder_params(&f));
    responder_close(&f, true);
out:
    intake_done(&in);
}

/* --- HTTP --- */

struct http_conn {
    struct conn conn; /* first, so that the one is the other */
    struct buf out;
};

static long no_body(struct conn *c, void *to, size_t len)
{
    (void)c, (void)to, (void)len;
    return 0;
}

static bool collect(struct conn *c, const void *bytes, size_t len)
{
    struct buf *b = &((struct http_conn *)(void *)c)->out;

    buf_put(b, bytes, len);
    return !b->failed;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* What reply_send() wrote begins with CGI's "Status: 200 OK"; HTTP has the same without the name.
 */
static bool send_http(struct conn *c)
{
    static const char cgi[] = "Status: ", http[] = "HTTP/1.1 ", end[] = "Connection: close\r\n";
    struct buf *b = &((struct http_conn *)(void *)c)->out;
    const char *line = b->len > sizeof cgi ? memchr(b->data, '\n', b->len) : NULL;
    size_t skip = sizeof cgi - 1;

    if (!line)
        return false;
    line++;
    return send_all(c->fd, http, sizeof http - 1) &&
           send_all(c->fd, b->data + skip, (size_t)(line - b->data) - skip) &&
           send_all(c->fd, end, sizeof end - 1) &&
           send_all(c->fd, line, b->len - (size_t)(line - b->data));
}

static void serve_http(struct sidedoor *d, int fd)
{
    struct http_conn c = { .conn = { fd, no_body, collect, send_http } };
    double until = clock_ms() + PATIENCE_MS;
    char bytes[HTTP_HEAD_MAX];
    struct http_head head;
    size_t len = 0;

    while (!http_head_is_whole(bytes, len)) {
        ssize_t n = len < sizeof bytes ? recv(fd, bytes + len, sizeof bytes - len, 0) : 0;

        if (n <= 0 || clock_ms() > until)
            return;
        len += (size_t)n;
    }
    if (http_head_read(&head, bytes, len))
        answer(d, &c.conn, head.params);
    else
        send_all(fd, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 47);
    buf_done(&c.out);
}

/* --- handing over --- */

/* Whether fd is kept. */
static bool hand_over(struct sidedoor *d, int fd)
{
    struct server *s = d->server;
    struct err e;
    pid_t pid = 0;
    int rc;

    if (d->successor_fd >= 0)
        rc = err_set(&e, ERR_BUSY, "process %d is taking over already", (int)s->successor);
    else if (s->draining || s->leaving)
        rc = err_set(&e, ERR_CLOSING, "it is shutting down; start anew when it has ended");
    else
        rc = handover_give(fd, &d->sockets->listen, &d->sockets->status, &pid, &e);
    if (rc) {
        log_msg(LOG_WARN, "handover", "sockets are not given away: %s", e.text);
        handover_refuse(fd, e.text);
        return false;
    }
    log_msg(LOG_INFO, "handover", "process %d has the sockets too, and loads its models", (int)pid);
    d->successor_fd = fd;
    s->successor = pid;
    s->succession = SUCCESSION_COMING;
    return true;
}

/* The successor has said something, or is gone. */
static void hear(struct sidedoor *d)
{
    struct server *s = d->server;
    enum handover_news news = handover_hear(d->successor_fd);

    if (news == HANDOVER_NOTHING)
        return;
    close(d->successor_fd);
    d->successor_fd = -1;
    if (news == HANDOVER_READY) {
        s->succession = SUCCESSION_DONE;
        signals_wake();
    } else {
        s->succession = SUCCESSION_NONE;
        log_msg(LOG_WARN, "handover", "process %d gave up; serving goes on here",
                (int)s->successor);
    }
}

/* --- the thread --- */

static void serve(struct sidedoor *d, int fd)
{
    struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
    unsigned char first;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (recv(fd, &first, 1, MSG_PEEK) == 1) {
        if (first == HANDOVER_BYTE && hand_over(d, fd))
            return;
        if (first == FCGI_VERSION_1)
            serve_fastcgi(d, fd);
        else if (first != HANDOVER_BYTE)
            serve_http(d, fd);
    }
    shutdown(fd, SHUT_WR);
    close(fd);
}

/* As listener_accept(), by the list of now. */
static int accept_one(struct sidedoor *d)
{
    struct app *app = server_enter(d->server);
    int fd = listener_accept(&d->sockets->status, sockets_status_allow(app->config), PATIENCE_MS);
    int saved = errno;

    d->server->counters.not_allowed += fd < 0 && saved == EACCES;
    server_leave(d->server, app);
    errno = saved;
    return fd;
}

/* Takes the one at index i out of those who wait, with its descriptor. */
static int take(struct sidedoor *d, size_t i)
{
    int fd = d->waiting[i].fd;

    d->n_waiting--;
    memmove(d->waiting + i, d->waiting + i + 1, (d->n_waiting - i) * sizeof *d->waiting);
    return fd;
}

static void let_wait(struct sidedoor *d, int fd)
{
    if (d->n_waiting == WAITING_MAX)
        close(take(d, 0));
    d->waiting[d->n_waiting].fd = fd;
    d->waiting[d->n_waiting++].since_ms = clock_ms();
}

/* Milliseconds until the first one has waited for too long; -1: nobody waits. */
static int wait_ms(const struct sidedoor *d)
{
    double left = d->n_waiting ? d->waiting[0].since_ms + PATIENCE_MS - clock_ms() : 0;

    return !d->n_waiting ? -1 : left < 0 ? 0 : (int)left + 1;
}

/* p: what poll() found out about them, in their order. */
static void serve_waiting(struct sidedoor *d, const struct pollfd *p)
{
    for (size_t i = d->n_waiting; i-- > 0;)
        if (p[i].revents)
            serve(d, take(d, i));
    while (d->n_waiting && clock_ms() - d->waiting[0].since_ms > PATIENCE_MS)
        close(take(d, 0));
}

static void *run(void *arg)
{
    struct sidedoor *d = arg;

    pthread_setname_np(pthread_self(), "sidedoor");
    for (;;) {
        struct pollfd p[3 + WAITING_MAX] = { { .fd = d->wake_fd, .events = POLLIN },
                                             { .fd = d->sockets->status.fd, .events = POLLIN },
                                             { .fd = d->successor_fd, .events = POLLIN } };
        int fd;

        for (size_t i = 0; i < d->n_waiting; i++)
            p[3 + i] = (struct pollfd){ .fd = d->waiting[i].fd, .events = POLLIN };
        if (poll(p, 3 + d->n_waiting, wait_ms(d)) < 0)
            continue;
        if (p[0].revents)
            return NULL;
        if (p[2].revents)
            hear(d);
        serve_waiting(d, p + 3);
        fd = accept_one(d);
        if (fd >= 0)
            let_wait(d, fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            poll(NULL, 0, 100); /* until some are closed */
    }
}

int sidedoor_open(struct sidedoor **out, struct server *server, const struct sockets *s,
                  struct err *e)
{
    struct sidedoor *d = calloc(1, sizeof *d);
    int rc;

    if (!d)
        return err_set(e, ERR_NOMEM, "no memory for the status socket");
    d->server = server;
    d->sockets = s;
    d->successor_fd = -1;
    d->wake_fd = eventfd(0, EFD_CLOEXEC);
    rc = d->wake_fd < 0 ? errno : pthread_create(&d->thread, NULL, run, d);
    if (rc) {
        if (d->wake_fd >= 0)
            close(d->wake_fd);
        free(d);
        return err_set(e, ERR_IO, "cannot start the status socket's thread: %s", strerror(rc));
    }
    *out = d;
    return 0;
}

void sidedoor_close(struct sidedoor *d)
{
    uint64_t one = 1;

    if (!d)
        return;
    while (write(d->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(d->thread, NULL);
    while (d->n_waiting)
        close(take(d, 0));
    close(d->wake_fd);
    if (d->successor_fd >= 0)
        close(d->successor_fd);
    free(d);
}
