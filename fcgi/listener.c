/* The listening socket may belong to others as well: systemd keeps it across restarts, spawn-fcgi
 * -F gives it to several processes.  So it is never shut down, and only a socket that we made is
 * unlinked. */
#include "fcgi/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "fcgi/peer.h"

enum { BACKLOG = 1024, SYSTEMD_FD = 3 };

/* Tells a socket that spawn-fcgi handed over from a terminal or /dev/null. */
static bool is_listening(int fd)
{
    int yes = 0;
    socklen_t len = sizeof yes;

    return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) && yes;
}

/* LISTEN_PID is checked because the variables are inherited by children they are not meant for. */
static int take_given(struct listener *l, struct err *e)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

    if (is_listening(STDIN_FILENO)) {
        l->fd = STDIN_FILENO;
    } else if (pid && fds && strtol(pid, NULL, 10) == getpid() && strtol(fds, NULL, 10) >= 1) {
        if (!is_listening(SYSTEMD_FD))
            return err_set(e, ERR_INVALID,
                           "LISTEN_FDS is set, but descriptor 3 is no listening socket");
        l->fd = SYSTEMD_FD;
        l->is_kept = true;
    } else {
        return err_set(e, ERR_INVALID,
                       "no socket to listen on: start airstrip from spawn-fcgi, systemd or a web "
                       "server, or give --listen PATH");
    }
    snprintf(l->name, sizeof l->name, "descriptor %d", l->fd);
    return 0;
}

/* Whether somebody answers at the address: then the socket file is not stale. */
static bool is_answered(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool yes = fd >= 0 && (!connect(fd, (const struct sockaddr *)a, sizeof *a) || errno == EAGAIN);

    if (fd >= 0)
        close(fd);
    return yes;
}

static int make_unix(struct listener *l, const char *path, size_t mode, struct err *e)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct stat st;
    mode_t old;
    int rc;

    if (strlen(path) >= sizeof a.sun_path)
        return err_set(e, ERR_INVALID, "listen: expected a path of at most %zu bytes, found %.120s",
                       sizeof a.sun_path - 1, path);
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (!lstat(path, &st)) {
        if (!S_ISSOCK(st.st_mode))
            return err_set(e, ERR_IO, "listen: %s exists and is no socket", path);
        if (is_answered(&a))
            return err_set(e, ERR_IO, "listen: another program listens on %s", path);
        unlink(path);
    }
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return err_set(e, ERR_IO, "cannot make a socket: %s", strerror(errno));
    old = umask(0777 & ~(mode_t)mode); /* from the first moment on no more than mode allows */
    rc = bind(l->fd, (struct sockaddr *)&a, sizeof a);
    umask(old);
    if (rc)
        return err_set(e, ERR_IO, "cannot make the socket %s: %s", path, strerror(errno));
    memcpy(l->path, path, strlen(path) + 1);
    l->is_ours = true;
    if (listen(l->fd, BACKLOG))
        return err_set(e, ERR_IO, "cannot listen on %s: %s", path, strerror(errno));
    return 0;
}

/* Splits "host:port" or "[address]:port"; false if it is neither. */
static bool split(const char *where, char host[128], const char **port)
{
    const char *colon = strrchr(where, ':');
    size_t len = colon ? (size_t)(colon - where) : 0;

    if (!colon || !colon[1] || colon[1 + strspn(colon + 1, "0123456789")] || len >= 128)
        return false;
    if (*where == '[') {
        if (len < 2 || where[len - 1] != ']')
            return false;
        where++;
        len -= 2;
    } else if (memchr(where, ':', len)) {
        return false; /* an IPv6 address without its brackets */
    }
    memcpy(host, where, len);
    host[len] = '\0';
    *port = colon + 1;
    return true;
}

/* The addresses of "HOST:PORT", to be given to freeaddrinfo(). */
static int resolve(const char *where, struct addrinfo **list, struct err *e)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    char host[128];
    const char *port;
    int rc;

    if (!split(where, host, &port))
        return err_set(e, ERR_INVALID,
                       "listen: expected /PATH, HOST:PORT or [ADDRESS]:PORT, found \"%.120s\"",
                       where);
    rc = getaddrinfo(*host ? host : "127.0.0.1", port, &hints, list);
    if (rc)
        return err_set(e, ERR_INVALID, "listen: \"%.120s\": %s", where, gai_strerror(rc));
    return 0;
}

static int make_tcp(struct listener *l, const char *where, struct err *e)
{
    struct addrinfo *list = NULL;
    int yes = 1, rc = resolve(where, &list, e);

    if (rc)
        return rc;
    l->fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(l->fd, list->ai_addr, list->ai_addrlen) || listen(l->fd, BACKLOG))
        rc = err_set(e, ERR_IO, "cannot listen on %.120s: %s", where, strerror(errno));
    freeaddrinfo(list);
    return rc;
}

/* The path in "/path", "./path" or "unix:path"; NULL: it speaks of TCP. */
static const char *path_in(const char *where)
{
    if (!strncmp(where, "unix:", 5))
        return where + 5;
    return *where == '/' || *where == '.' ? where : NULL;
}

/* Finds out what it is, and makes it as the acceptor wants it. */
static int finish(struct listener *l, struct err *e)
{
    struct sockaddr_storage a = { 0 };
    socklen_t len = sizeof a;

    if (getsockname(l->fd, (struct sockaddr *)&a, &len))
        return err_set(e, ERR_IO, "the listening socket: %s", strerror(errno));
    l->is_unix = a.ss_family == AF_UNIX;
    fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK);
    fcntl(l->fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

int listener_open(struct listener *l, const char *where, size_t mode, struct err *e)
{
    int rc;

    *l = (struct listener){ .fd = -1 };
    if (where) {
        const char *path = path_in(where);

        snprintf(l->name, sizeof l->name, "%s", where);
        rc = path ? make_unix(l, path, mode, e) : make_tcp(l, where, e);
    } else {
        rc = take_given(l, e);
    }
    if (!rc)
        rc = finish(l, e);
    if (rc)
        listener_done(l);
    return rc;
}

int listener_adopt(struct listener *l, int fd, const char *path, struct err *e)
{
    int rc;

    *l = (struct listener){ .fd = fd };
    snprintf(l->path, sizeof l->path, "%s", path);
    snprintf(l->name, sizeof l->name, "%s", *path ? path : "a socket taken over");
    rc = is_listening(fd)
             ? finish(l, e)
             : err_set(e, ERR_INVALID, "expected a listening socket, found another descriptor");
    if (rc)
        listener_done(l);
    return rc;
}

bool listener_is_at(const struct listener *l, const char *where)
{
    const char *path = path_in(where);
    struct sockaddr_storage a = { 0 };
    socklen_t len = sizeof a;
    struct addrinfo *list = NULL;
    bool yes;

    if (getsockname(l->fd, (struct sockaddr *)&a, &len))
        return false;
    if (path)
        return l->is_unix && !strcmp(((struct sockaddr_un *)(void *)&a)->sun_path, path);
    if (l->is_unix || resolve(where, &list, NULL))
        return false;
    yes = len == list->ai_addrlen && !memcmp(&a, list->ai_addr, len);
    freeaddrinfo(list);
    return yes;
}

void listener_lift(struct listener *l)
{
    enum { HIGHEST = 65536 }; /* the kernel's table grows up to there: 8 bytes each */
    struct rlimit limit = { .rlim_cur = HIGHEST };
    int fd, null;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > HIGHEST)
        limit.rlim_cur = HIGHEST;
    fd = fcntl(l->fd, F_DUPFD_CLOEXEC, (int)limit.rlim_cur - 1);
    if (fd < 0)
        return;
    null = l->fd == STDIN_FILENO ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        close(null);
    } else {
        close(l->fd);
    }
    l->fd = fd;
}

void listener_done(struct listener *l)
{
    if (l->fd >= 0)
        close(l->fd);
    if (l->is_ours)
        unlink(l->path);
    l->fd = -1;
    l->is_ours = false;
}

int listener_check(const struct listener *l, const struct allow *allow, const char *key,
                   struct err *e)
{
    struct sockaddr_storage bound = { 0 };
    socklen_t len = sizeof bound;

    if (getsockname(l->fd, (struct sockaddr *)&bound, &len))
        return err_set(e, ERR_IO, "%s: %s", l->name, strerror(errno));
    return allow_check(allow, &bound, key, l->name, e);
}

int listener_check_at(const char *where, const struct allow *allow, const char *key, struct err *e)
{
    struct sockaddr_storage bound = { 0 };
    struct listener given = { .fd = -1 };
    struct addrinfo *list = NULL;
    int rc;

    if (!where)
        return take_given(&given, NULL) ? 0 : listener_check(&given, allow, key, e);
    if (path_in(where))
        return 0;
    rc = resolve(where, &list, e);
    if (rc)
        return rc;
    memcpy(&bound, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return allow_check(allow, &bound, key, where, e);
}

int listener_accept(const struct listener *l, const struct allow *allow, size_t write_timeout_ms)
{
    /* libfcgi writes without any time-out of its own; the kernel's makes its calls fail. */
    struct timeval t = { .tv_sec = (time_t)(write_timeout_ms / 1000),
                         .tv_usec = (suseconds_t)(write_timeout_ms % 1000 * 1000) };
    struct sockaddr_storage peer = { 0 };
    socklen_t len = sizeof peer;
    int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC), yes = 1;

    if (fd < 0)
        return -1;
    if (!l->is_unix) {
        if (allow && !allow_has(allow, &peer)) {
            close(fd);
            peer_log_stranger(&peer, len, allow_key(allow));
            errno = EACCES;
            return -1;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    return fd;
}
