/* libfcgi wants a descriptor to read a head from, so it gets a pipe that already holds one.  A pipe
 * takes and gives these bytes in two calls, half the time of a pair of sockets. */
#include "fcgi/responder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    BEGIN = 1,
    PARAMS = 4,
    PIPE_BYTES = 2 * 64 * 1024, /* more than the largest head with its record headers */
};

/* One for all: it is held only while a head passes through, and nothing is left in it after. */
static struct {
    pthread_mutex_t lock; /* guards the descriptors */
    int read_fd, write_fd;
} head_pipe = { .lock = PTHREAD_MUTEX_INITIALIZER, .read_fd = -1, .write_fd = -1 };

static int open_pipe(void)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
        return -1;
    head_pipe.read_fd = fds[0];
    head_pipe.write_fd = fds[1];
    return fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES) < 0 ? -1 : 0;
}

int responder_init(void)
{
    if (FCGX_Init() || open_pipe())
        return -1;
    /* libfcgi installs handlers of its own; here signals are blocked and main waits for them. */
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static long conn_read(struct conn *c, void *to, size_t len)
{
    return intake_read(((struct responder *)(void *)c)->intake, to, len);
}

static bool conn_write(struct conn *c, const void *bytes, size_t len)
{
    FCGX_Stream *out = ((struct responder *)(void *)c)->fcgx.out;

    for (const char *p = bytes; len;) {
        int part = len > INT_MAX ? INT_MAX : (int)len;

        if (FCGX_PutStr(p, part, out) < 0)
            return false;
        p += part;
        len -= (size_t)part;
    }
    return true;
}

static bool conn_flush(struct conn *c)
{
    return FCGX_FFlush(((struct responder *)(void *)c)->fcgx.out) == 0;
}

/* Lock held. */
static bool put_head(const struct intake *in)
{
    unsigned char id_high = (unsigned char)(in->id >> 8), id_low = (unsigned char)in->id;
    size_t len = in->head.len; /* at most INTAKE_HEAD_MAX: one record */
    unsigned char before[24] = { 1,
                                 BEGIN,
                                 id_high,
                                 id_low,
                                 0,
                                 8,
                                 0,
                                 0,
                                 0,
                                 (unsigned char)in->role,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 0,
                                 1,
                                 PARAMS,
                                 id_high,
                                 id_low,
                                 (unsigned char)(len >> 8),
                                 (unsigned char)len };
    unsigned char after[8] = { 1, PARAMS, id_high, id_low };
    struct iovec parts[3] = { { before, sizeof before },
                              { in->head.data, len },
                              { after, len ? sizeof after : 0 } };
    size_t all = sizeof before + len + parts[2].iov_len;

    return writev(head_pipe.write_fd, parts, 3) == (ssize_t)all;
}

int responder_open(struct responder *r, struct intake *in, int fd, struct err *e)
{
    int rc = 0;

    *r = (struct responder){
        .conn = { .fd = fd, .read = conn_read, .write = conn_write, .flush = conn_flush },
        .intake = in,
    };
    FCGX_InitRequest(&r->fcgx, -1, 0);
    pthread_mutex_lock(&head_pipe.lock);
    if (head_pipe.read_fd < 0 && open_pipe())
        rc = err_set(e, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    if (!rc) {
        /* libfcgi takes a connection that is there already for one that was kept alive, and reads
         * the next request from it.  If that fails it closes it. */
        r->fcgx.ipcFd = head_pipe.read_fd;
        r->fcgx.keepConnection = 1;
        if (!put_head(in) || FCGX_Accept_r(&r->fcgx) < 0) {
            close(head_pipe.write_fd);
            if (r->fcgx.ipcFd >= 0)
                close(r->fcgx.ipcFd);
            head_pipe.read_fd = head_pipe.write_fd = -1;
            rc = err_set(e, ERR_FORMAT, "libfcgi does not take a head of %zu bytes", in->head.len);
        }
    }
    pthread_mutex_unlock(&head_pipe.lock);
    r->fcgx.ipcFd = fd; /* where answers go */
    return rc;
}

char *const *responder_params(const struct responder *r)
{
    return r->fcgx.envp;
}

/* FCGX_Finish_r() would wait for the web server to close first, and then close itself. */
void responder_close(struct responder *r, bool finish)
{
    if (finish) {
        FCGX_FClose(r->fcgx.err);
        FCGX_FClose(r->fcgx.out);
    }
    r->fcgx.ipcFd = -1;
    FCGX_Free(&r->fcgx, 0);
}
