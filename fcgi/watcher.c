/* epoll carries the wait; the list carries the truth.
 *
 * An event names its watch by an id that is never used twice, and is looked up under the lock.  An
 * event that was fetched before watcher_remove() and handled after it therefore finds nothing, even
 * if the socket's number or the watch's memory belongs to another request by then. */
#include "fcgi/watcher.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 64, FCGI_ABORT_REQUEST = 2 };

struct watcher {
    int epoll_fd, wake_fd;
    pthread_t thread;
    pthread_mutex_t lock; /* guards list, next_id, stopping and the callbacks of what is in list */
    struct watch *list;
    uint64_t next_id; /* 0 stands for wake_fd */
    bool stopping;
};

/* Turns one to `code`, once, and tells its owner.  Lock held. */
static void stop(struct watch *one, int code)
{
    int running = 0;

    if (atomic_compare_exchange_strong(&one->stopped, &running, code) && one->fn)
        one->fn(one->arg);
}

/* Whether input that came after the body means the end: end of file, or a record of type ABORT
 * (FastCGI specification 5.4; HAProxy sends it on its own time-out). */
static bool input_says_gone(int fd)
{
    unsigned char head[2];
    ssize_t n = recv(fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0)
        return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
    return n == 0 || (n == 2 && head[1] == FCGI_ABORT_REQUEST);
}

/* The same question without waiting for epoll. */
static bool has_left(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

    if (poll(&p, 1, 0) <= 0)
        return false;
    if (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
        return true;
    return (p.revents & POLLIN) && input_says_gone(fd);
}

/* A late event's id is in no list any more, so that a socket number used again is never mistaken.
 */
static void handle(struct watcher *w, const struct epoll_event *ev)
{
    struct watch *one;

    pthread_mutex_lock(&w->lock);
    for (one = w->list; one && one->id != ev->data.u64; one = one->next)
        ;
    if (one && ((ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) || input_says_gone(one->fd)))
        stop(one, ERR_CANCELLED);
    pthread_mutex_unlock(&w->lock);
}

static void *run(void *arg)
{
    struct watcher *w = arg;
    struct epoll_event events[MAX_EVENTS];

    for (;;) {
        int n = epoll_wait(w->epoll_fd, events, MAX_EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == 0)
                return NULL;
            handle(w, &events[i]);
        }
    }
}

int watcher_create(struct watcher **out, struct err *e)
{
    struct watcher *w = calloc(1, sizeof *w);
    struct epoll_event ev = { .events = EPOLLIN };
    int rc;

    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for the watcher");
    pthread_mutex_init(&w->lock, NULL);
    w->next_id = 1;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (w->epoll_fd < 0 || w->wake_fd < 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev)) {
        rc = err_set(e, ERR_IO, "cannot watch connections: %s", strerror(errno));
        goto fail;
    }
    rc = pthread_create(&w->thread, NULL, run, w);
    if (rc) {
        rc = err_set(e, ERR_IO, "cannot start the watcher's thread: %s", strerror(rc));
        goto fail;
    }
    *out = w;
    return 0;
fail:
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return rc;
}

void watcher_free(struct watcher *w)
{
    uint64_t one = 1;
    ssize_t n;

    if (!w)
        return;
    do
        n = write(w->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    pthread_join(w->thread, NULL);
    close(w->epoll_fd);
    close(w->wake_fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void watcher_add(struct watcher *w, struct watch *one, int fd)
{
    /* Edge-triggered: a stray byte is looked at once and cannot keep the thread spinning. */
    struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };

    pthread_mutex_lock(&w->lock);
    one->fd = fd;
    one->id = w->next_id++;
    one->prev = NULL;
    one->next = w->list;
    if (w->list)
        w->list->prev = one;
    w->list = one;
    ev.data.u64 = one->id;
    if (w->stopping)
        stop(one, ERR_CLOSING);
    else if (fd >= 0 && (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) || has_left(fd)))
        stop(one, ERR_CANCELLED);
    pthread_mutex_unlock(&w->lock);
}

/* Taking the lock is what makes `fn NULL` final: stop() calls fn only while it holds it. */
void watcher_set(struct watcher *w, struct watch *one, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&w->lock);
    one->fn = fn;
    one->arg = arg;
    if (fn && one->stopped)
        fn(arg);
    pthread_mutex_unlock(&w->lock);
}

void watcher_remove(struct watcher *w, struct watch *one)
{
    pthread_mutex_lock(&w->lock);
    if (one->id) {
        if (one->fd >= 0)
            epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, one->fd, NULL);
        if (one->prev)
            one->prev->next = one->next;
        else
            w->list = one->next;
        if (one->next)
            one->next->prev = one->prev;
        one->id = 0;
        one->fn = NULL;
    }
    pthread_mutex_unlock(&w->lock);
}

void watcher_stop_all(struct watcher *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    for (struct watch *one = w->list; one; one = one->next)
        stop(one, ERR_CLOSING);
    pthread_mutex_unlock(&w->lock);
}
