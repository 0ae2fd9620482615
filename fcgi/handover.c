/* What is sent, as it stands in memory: both ends are this program, on one machine, and of the same
 * user; another version has another word in its question. */
#include "fcgi/handover.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static const char question[] = "\0airstrip take-over 1\n"; /* begins with HANDOVER_BYTE */

enum { QUESTION_BYTES = sizeof question - 1, N_SOCKETS = 2, PATIENCE_S = 10, READY = 'R' };

struct answer {
    char is_given; /* else `why` says why not */
    char is_kept;  /* listener.is_kept of the first */
    char why[160];
    int pid;
    /* Of Unix sockets that were made by name, to be removed in the end; else "". */
    char paths[N_SOCKETS][sizeof((struct listener *)0)->path];
};

/* Room for the descriptors, aligned as the kernel wants it. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(N_SOCKETS * sizeof(int))];
};

/* --- the old process --- */

/* False where the bytes end, or do not come. */
static bool receive_all(int fd, void *to, size_t len)
{
    char *p = to;

    while (len) {
        ssize_t n = recv(fd, p, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static int check_asker(int fd, pid_t *pid, struct err *e)
{
    struct ucred who = { 0 };
    socklen_t len = sizeof who;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) || who.pid <= 0)
        return err_set(e, ERR_FORBIDDEN, "who asks for the sockets is not to be found out");
    *pid = who.pid;
    if (who.uid != geteuid())
        return err_set(e, ERR_FORBIDDEN,
                       "expected a process of user %u, found process %d of user %u",
                       (unsigned)geteuid(), (int)who.pid, (unsigned)who.uid);
    return 0;
}

static int send_answer(int fd, const struct answer *a, const int *fds, struct err *e)
{
    struct iovec io = { .iov_base = (void *)(uintptr_t)a, .iov_len = sizeof *a };
    union control control = { 0 };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

    if (fds) {
        struct cmsghdr *c;

        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(N_SOCKETS * sizeof *fds);
        memcpy(CMSG_DATA(c), fds, N_SOCKETS * sizeof *fds);
    }
    if (sendmsg(fd, &m, MSG_NOSIGNAL) != (ssize_t)sizeof *a)
        return err_set(e, ERR_IO, "the sockets could not be sent: %s", strerror(errno));
    return 0;
}

int handover_give(int fd, const struct listener *listen, const struct listener *status, pid_t *pid,
                  struct err *e)
{
    const int fds[N_SOCKETS] = { listen->fd, status->fd };
    struct answer a = { .is_given = 1, .is_kept = listen->is_kept, .pid = getpid() };
    char asked[QUESTION_BYTES];
    int rc = check_asker(fd, pid, e);

    if (rc)
        return rc;
    if (!receive_all(fd, asked, sizeof asked) || memcmp(asked, question, sizeof asked) != 0)
        return err_set(e, ERR_INVALID, "another version of this program asks for the sockets");
    memcpy(a.paths[0], listen->path, sizeof a.paths[0]);
    memcpy(a.paths[1], status->path, sizeof a.paths[1]);
    return send_answer(fd, &a, fds, e);
}

void handover_refuse(int fd, const char *why)
{
    struct answer a = { .pid = getpid() };

    snprintf(a.why, sizeof a.why, "%s", why);
    (void)send_answer(fd, &a, NULL, NULL); /* who has left need not know */
}

enum handover_news handover_hear(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return HANDOVER_NOTHING;
    return n == 1 && byte == READY ? HANDOVER_READY : HANDOVER_OVER;
}

/* --- the new process --- */

/* A connection, or -1 with errno; ENOENT and ECONNREFUSED: nobody is there. */
static int call(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct timeval patience = { .tv_sec = PATIENCE_S };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), saved;

    if (fd < 0)
        return -1;
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (!connect(fd, (struct sockaddr *)&a, sizeof a) &&
        !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* The descriptors that came along, at most N_SOCKETS; how many. */
static size_t descriptors_of(struct msghdr *m, int *fds)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    size_t n;

    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    n = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
    memcpy(fds, CMSG_DATA(c), n * sizeof *fds); /* the control buffer holds no more than these */
    return n;
}

static int receive_answer(int fd, struct answer *a, int *fds, struct err *e)
{
    struct iovec io = { .iov_base = a, .iov_len = sizeof *a };
    union control control = { 0 };
    struct msghdr m = { .msg_iov = &io,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof control.bytes };
    size_t n = 0, n_fds = 0;
    bool is_whole;

    if (send(fd, question, QUESTION_BYTES, MSG_NOSIGNAL) == QUESTION_BYTES) {
        ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

        if (got > 0) {
            n_fds = descriptors_of(&m, fds);
            n = (size_t)got;
        }
    }
    is_whole = n && n <= sizeof *a && receive_all(fd, (char *)a + n, sizeof *a - n);
    a->why[sizeof a->why - 1] = '\0';
    for (size_t i = 0; i < N_SOCKETS; i++)
        a->paths[i][sizeof a->paths[i] - 1] = '\0';
    if (is_whole && a->is_given && n_fds == N_SOCKETS)
        return 0;
    while (n_fds)
        close(fds[--n_fds]);
    if (is_whole && !a->is_given)
        return err_set(e, ERR_IO, "process %d keeps its sockets: %s", a->pid, a->why);
    return err_set(e, ERR_IO, "who listens there does not answer as this program does");
}

int handover_ask(const char *where, struct listener *listen, struct listener *status, int *channel,
                 pid_t *pid, struct err *e)
{
    const char *path = strncmp(where, "unix:", 5) ? where : where + 5;
    struct answer a = { 0 };
    int fds[N_SOCKETS], fd, rc;

    *channel = -1;
    if ((*path != '/' && *path != '.') || strlen(path) >= sizeof a.paths[0])
        return err_set(e, ERR_INVALID, "expected the path of a Unix socket, found %.120s", where);
    fd = call(path);
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED))
        return 0;
    if (fd < 0)
        return err_set(e, ERR_IO, "%.120s: %s", where, strerror(errno));
    rc = receive_answer(fd, &a, fds, e);
    if (!rc)
        rc = listener_adopt(listen, fds[0], a.paths[0], e);
    if (!rc)
        rc = listener_adopt(status, fds[1], a.paths[1], e);
    if (rc) {
        close(fd);
        return rc;
    }
    listen->is_kept = a.is_kept;
    *pid = a.pid;
    *channel = fd;
    return 0;
}

void handover_tell(int channel)
{
    const char byte = READY;
    ssize_t n = send(channel, &byte, 1, MSG_NOSIGNAL);

    (void)n; /* it may have ended meanwhile, which is as good */
}
