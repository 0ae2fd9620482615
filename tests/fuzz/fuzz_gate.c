/* The web server's side of the FastCGI socket: any bytes in any pieces, records put together of any
 * bytes, half-closed, closed early.  Gate, intake, libfcgi and all routes behind them, without a
 * model.  What comes back must be whole records, and END_REQUEST where a request was served. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fcgi/app.h"
#include "fcgi/gate.h"
#include "fcgi/responder.h"
#include "fcgi/secret.h"
#include "fcgi/server.h"
#include "fcgi/worker.h"
#include "tests/fcgi/records.h"

enum { HALF_CLOSE = 1, CLOSE = 2, KEYS = 4, RAW = 8, SMALL_LIMITS = 16, LATE = 32 };

#define KEY "sk-fuzz-0123456789-0123456789" /* as the corpus has it */

static struct {
    struct config config;
    struct app app;
    struct server server;
    struct auth *auth;
    struct gate *gate;
    atomic_size_t unfinished;
    size_t n_served, n_ends;
} f;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_gate: %s\n", what);
        abort();
    }
}

/* As acceptor.c has it. */
static void ready(void *arg, struct peer *p)
{
    (void)arg;
    if (worker_serve(&f.server, &p->intake, p->fd, p->overloaded, &f.unfinished) ==
        WORKER_WANTS_BODY) {
        gate_resume(f.gate, p);
        return;
    }
    f.n_served++;
    if (p->intake.state != INTAKE_WHOLE || p->intake.has_rest)
        gate_linger(f.gate, p);
    else
        peer_free(p);
}

/* A file of one key. */
static void open_keys(void)
{
    char path[] = "/tmp/fuzz-keys-XXXXXX", text[SECRET_TEXT_BYTES];
    int fd = mkstemp(path);
    struct secret secret;
    struct err e;

    check(fd >= 0 && !secret_make(&secret, KEY, &e), "no file of keys");
    secret_write(&secret, text);
    check(dprintf(fd, "fuzz %s\n", text) > 0 && !auth_open(&f.auth, path, &e), "no keys");
    unlink(path);
    close(fd);
}

static void begin(void)
{
    struct err e;

    open_keys();
    check(!log_open("/dev/null", &e) && !responder_init(), "no log or no libfcgi");
    config_init(&f.config);
    f.app = (struct app){ .server = &f.server, .config = &f.config, .refs = 1 };
    pthread_mutex_init(&f.server.lock, NULL);
    f.server.current = &f.app;
    check(!watcher_create(&f.server.watcher, &e) && !limits_create(&f.server.limits, &e),
          "no watcher or no limits");
}

/* Reads what there is, and counts the ends of requests. */
static void read_answers(int fd, struct buf *got)
{
    size_t at = 0;
    ssize_t n;

    do {
        char *to = buf_room(got, 65536);

        n = to ? recv(fd, to, 65536, MSG_DONTWAIT) : 0;
        got->len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    while (got->len - at >= 8) {
        const unsigned char *h = (const unsigned char *)got->data + at;
        size_t all = 8 + (size_t)h[4] * 256 + h[5] + h[6];

        check(h[0] == 1 && (h[1] == STDOUT || h[1] == END || h[1] == GET_VALUES_RESULT ||
                            h[1] == UNKNOWN_TYPE),
              "an answer that is no record");
        if (all > got->len - at)
            break;
        f.n_ends += h[1] == END;
        at += all;
    }
    check(at == got->len, "an answer that is cut off");
    buf_reset(got);
}

/* The bytes to send: as they are, or records with headers that are right. */
static void compose(struct buf *b, const uint8_t *data, size_t size, bool raw)
{
    static const unsigned char types[] = { BEGIN, PARAMS, STDIN, GET_VALUES, ABORT, 8, 55, 1 };

    if (raw) {
        buf_put(b, data, size);
        return;
    }
    while (size >= 2) {
        size_t len = (size_t)data[1] * (data[0] & 8 ? 64 : 1);
        const uint8_t *content = data + 2;

        len = len < size - 2 ? len : size - 2;
        put_record(b, types[data[0] & 7], data[0] >> 4 & 3, content, len);
        data += 2 + len;
        size -= 2 + len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b = { 0 }, got = { 0 };
    struct err e;
    int pair[2];

    if (size < 2)
        return 0;
    if (!f.app.server)
        begin();
    f.config.body_size_limit = data[0] & SMALL_LIMITS ? 100 : 1 << 20;
    f.config.upload_memory_limit = data[0] & SMALL_LIMITS ? 2000 : 1 << 20;
    f.config.read_timeout_ms = data[0] & LATE ? 0 : 10000;
    f.app.auth = data[0] & KEYS ? f.auth : NULL;
    f.n_served = f.n_ends = 0;
    check(!gate_create(&f.gate, ready, NULL, &e), "no gate");
    gate_configure(f.gate, &f.config);
    check(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "no sockets");
    compose(&b, data + 2, size - 2, data[0] & RAW);
    gate_add(f.gate, pair[1]);
    for (size_t at = 0; at < b.len;) {
        size_t piece = data[1] ? (size_t)data[1] * 16 : 4096;
        ssize_t n = send(pair[0], b.data + at, piece < b.len - at ? piece : b.len - at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        gate_run(f.gate);
        read_answers(pair[0], &got);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    if (data[0] & HALF_CLOSE)
        shutdown(pair[0], SHUT_WR);
    gate_run(f.gate);
    gate_run(f.gate);
    read_answers(pair[0], &got);
    check(f.n_ends >= f.n_served, "a request without END_REQUEST");
    if (data[0] & CLOSE)
        close(pair[0]);
    gate_run(f.gate);
    gate_free(f.gate);
    if (!(data[0] & CLOSE))
        close(pair[0]);
    buf_done(&b);
    buf_done(&got);
    return 0;
}
