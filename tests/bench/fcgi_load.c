/* fcgi_load - how fast a FastCGI program answers, without a web server between.
 *
 *     tests/bench/fcgi_load -s SOCKET [-c CONNECTIONS] [-n REQUESTS | -d SECONDS] [-k] [-p PATH]
 * [-b FILE] [-j]
 *
 * Keeps CONNECTIONS requests in flight over a Unix socket, each sent as soon as the one before it
 * was answered (a closed loop), by one thread with epoll.  Without -k every request has a
 * connection of its own, as web servers do by default; with -k (FCGI_KEEP_CONN) connections are
 * used again for as long as the program leaves them open.  -b sends FILE as the body of a POST.
 * Prints requests per second, latency from before connect() to the END_REQUEST record, and how many
 * answers were not 200; -j prints it as JSON. Source of the format: FastCGI specification 1.0,
 * sections 3.3 and 8. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kernels/base/buf.h"
#include "kernels/base/clock.h"

enum { BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, RESPONDER = 1, KEEP_CONN = 1 };
enum { HEADER_BYTES = 8, MAX_CONTENT = 65528, MAX_CLIENTS = 4096 };

struct client {
    int fd; /* -1: to be connected */
    size_t sent;
    double start_ms;
    unsigned char header[HEADER_BYTES];
    size_t n_header, left; /* left: of this record's content and padding */
    char status[12];       /* first bytes of the answer: "Status: 200 " */
    size_t n_status;
};

struct load {
    struct sockaddr_un address;
    struct buf raw; /* all records of one request */
    bool keep, json;
    size_t n_clients, max_requests;
    double seconds;
    const char *path;

    struct client clients[MAX_CLIENTS];
    int epoll_fd;
    size_t n_started, n_connects, n_bad;
    double *ms; /* [n_done] latencies */
    size_t n_done, room;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "fcgi_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- the request --- */

static void put_record(struct buf *b, int type, const void *content, size_t n)
{
    const unsigned char head[HEADER_BYTES] = {
        1, (unsigned char)type, 0, 1, (unsigned char)(n >> 8), (unsigned char)n, 0, 0
    };

    buf_put(b, (const char *)head, sizeof head);
    if (n)
        buf_put(b, content, n);
}

static void put_length(struct buf *b, size_t n)
{
    if (n > 127)
        for (int shift = 24; shift > 0; shift -= 8)
            buf_putc(b, (char)((n >> shift) | (shift == 24 ? 0x80 : 0)));
    buf_putc(b, (char)n);
}

static void put_param(struct buf *b, const char *name, const char *value)
{
    put_length(b, strlen(name));
    put_length(b, strlen(value));
    buf_puts(b, name);
    buf_puts(b, value);
}

static void make_request(struct load *l, const struct buf *body)
{
    const unsigned char begin[8] = { 0, RESPONDER, l->keep ? KEEP_CONN : 0 };
    struct buf params = { 0 };
    char length[24];

    snprintf(length, sizeof length, "%zu", body->len);
    put_param(&params, "REQUEST_METHOD", body->len ? "POST" : "GET");
    put_param(&params, "REQUEST_URI", l->path);
    put_param(&params, "SCRIPT_NAME", l->path);
    put_param(&params, "QUERY_STRING", "");
    put_param(&params, "SERVER_PROTOCOL", "HTTP/1.1");
    put_param(&params, "GATEWAY_INTERFACE", "CGI/1.1");
    put_param(&params, "SERVER_SOFTWARE", "fcgi_load");
    put_param(&params, "REMOTE_ADDR", "127.0.0.1");
    put_param(&params, "CONTENT_TYPE", body->len ? "application/json" : "");
    put_param(&params, "CONTENT_LENGTH", length);
    put_param(&params, "HTTP_HOST", "localhost");
    put_param(&params, "HTTP_ACCEPT", "*/*");
    put_record(&l->raw, BEGIN, begin, sizeof begin);
    put_record(&l->raw, PARAMS, params.data, params.len);
    put_record(&l->raw, PARAMS, NULL, 0);
    for (size_t at = 0; at < body->len; at += MAX_CONTENT)
        put_record(&l->raw, STDIN, body->data + at,
                   body->len - at < MAX_CONTENT ? body->len - at : MAX_CONTENT);
    put_record(&l->raw, STDIN, NULL, 0);
    if (params.failed || l->raw.failed)
        die("no memory for the request");
    buf_done(&params);
}

/* --- one client --- */

static void watch(struct load *l, struct client *c, int op, bool writing)
{
    struct epoll_event ev = { .events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c };

    if (epoll_ctl(l->epoll_fd, op, c->fd, &ev))
        die("epoll_ctl");
}

/* Sends what the socket takes; what is left waits for EPOLLOUT. */
static void send_some(struct load *l, struct client *c)
{
    while (c->sent < l->raw.len) {
        ssize_t n = send(c->fd, l->raw.data + c->sent, l->raw.len - c->sent, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EPIPE || errno == ECONNRESET))
            return; /* a closed one shows when it is read */
        if (n < 0)
            die("send");
        c->sent += (size_t)n;
    }
}

/* A connect() that would block means a full backlog, which a closed loop should not fill. */
static void begin_request(struct load *l, struct client *c)
{
    bool fresh = c->fd < 0;

    c->start_ms = clock_ms();
    c->sent = c->n_header = c->left = c->n_status = 0;
    if (fresh) {
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&l->address, sizeof l->address))
            die(l->address.sun_path);
        l->n_connects++;
    }
    l->n_started++;
    send_some(l, c);
    if (fresh || c->sent < l->raw.len)
        watch(l, c, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->sent < l->raw.len);
}

static void end_request(struct load *l, struct client *c, bool whole)
{
    if (l->n_done == l->room) {
        l->room = l->room ? 2 * l->room : 1 << 16;
        l->ms = realloc(l->ms, l->room * sizeof *l->ms);
        if (!l->ms)
            die("no memory for latencies");
    }
    l->ms[l->n_done++] = clock_ms() - c->start_ms;
    l->n_bad += !whole || c->n_status < sizeof c->status ||
                memcmp(c->status, "Status: 200 ", sizeof c->status) != 0;
}

static void hang_up(struct client *c)
{
    close(c->fd); /* leaves the epoll set by itself */
    c->fd = -1;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Goes through n bytes that came; true when END_REQUEST is complete. */
static bool take(struct client *c, const unsigned char *p, size_t n)
{
    while (n) {
        size_t part;

        if (c->n_header < HEADER_BYTES) {
            part = smaller(HEADER_BYTES - c->n_header, n);
            memcpy(c->header + c->n_header, p, part);
            c->n_header += part;
            c->left = c->n_header == HEADER_BYTES
                          ? (size_t)c->header[4] * 256 + c->header[5] + c->header[6]
                          : 1;
        } else {
            part = smaller(c->left, n);
            if (c->header[1] == STDOUT && c->n_status < sizeof c->status) {
                size_t more = smaller(sizeof c->status - c->n_status, part);

                memcpy(c->status + c->n_status, p, more);
                c->n_status += more;
            }
            c->left -= part;
        }
        p += part;
        n -= part;
        if (c->n_header == HEADER_BYTES && !c->left) {
            c->n_header = 0;
            if (c->header[1] == END)
                return true;
        }
    }
    return false;
}

/* True when the client is free for the next request. */
static bool serve(struct load *l, struct client *c, uint32_t events)
{
    unsigned char bytes[65536];
    ssize_t n;

    if (events & EPOLLOUT) {
        send_some(l, c);
        if (c->sent == l->raw.len)
            watch(l, c, EPOLL_CTL_MOD, false);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return false;
    n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n > 0 && !take(c, bytes, (size_t)n))
        return false;
    /* A kept connection that the program closed before the first byte of an answer: send it anew.
     */
    if (n > 0 || !l->keep || c->n_header || c->n_status)
        end_request(l, c, n > 0);
    else
        l->n_started--;
    if (n <= 0 || !l->keep)
        hang_up(c);
    return true;
}

/* --- the run --- */

static bool more(const struct load *l, double start_ms)
{
    return l->max_requests ? l->n_started < l->max_requests
                           : clock_ms() - start_ms < l->seconds * 1e3;
}

static double run(struct load *l)
{
    double start_ms = clock_ms();
    size_t n_open = 0;

    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        die("epoll_create1");
    for (size_t i = 0; i < l->n_clients && more(l, start_ms); i++, n_open++) {
        l->clients[i].fd = -1;
        begin_request(l, &l->clients[i]);
    }
    while (n_open) {
        struct epoll_event events[256];
        int n = epoll_wait(l->epoll_fd, events, 256, -1);

        for (int i = 0; i < n; i++) {
            if (!serve(l, events[i].data.ptr, events[i].events))
                continue;
            if (more(l, start_ms))
                begin_request(l, events[i].data.ptr);
            else
                n_open--;
        }
    }
    return clock_ms() - start_ms;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(const struct load *l, double q)
{
    return l->n_done ? l->ms[(size_t)(q * (double)(l->n_done - 1) + 0.5)] : 0;
}

static double mean(const struct load *l)
{
    double sum = 0;

    for (size_t i = 0; i < l->n_done; i++)
        sum += l->ms[i];
    return l->n_done ? sum / (double)l->n_done : 0;
}

static void tell(const struct load *l, double ms)
{
    const char *form = l->json ? "{\"requests\":%zu,\"per_s\":%.0f,\"mean_ms\":%.4f,\"p50_ms\":%."
                                 "4f,\"p99_ms\":%.4f,\"bad\":%zu,"
                                 "\"connects\":%zu,\"connections\":%zu}\n"
                               : "%zu requests, %.0f/s, latency mean %.4f ms, p50 %.4f ms, p99 "
                                 "%.4f ms, %zu not 200, %zu "
                                 "connects by %zu\n";

    printf(form, l->n_done, (double)l->n_done / ms * 1e3, mean(l), quantile(l, 0.5),
           quantile(l, 0.99), l->n_bad, l->n_connects, l->n_clients);
}

static void read_body(struct buf *b, const char *path)
{
    FILE *f = fopen(path, "rb");
    char part[4096];
    size_t n;

    if (!f)
        die(path);
    while ((n = fread(part, 1, sizeof part, f)))
        buf_put(b, part, n);
    fclose(f);
}

int main(int argc, char **argv)
{
    static struct load l = { .n_clients = 16, .seconds = 3, .path = "/livez" };
    struct buf body = { 0 };
    double ms;
    int c;

    while ((c = getopt(argc, argv, "s:c:n:d:p:b:kj")) != -1) {
        if (c == 's' && strlen(optarg) < sizeof l.address.sun_path)
            strcpy(l.address.sun_path, optarg);
        else if (c == 'c')
            l.n_clients = strtoul(optarg, NULL, 10);
        else if (c == 'n')
            l.max_requests = strtoul(optarg, NULL, 10);
        else if (c == 'd')
            l.seconds = strtod(optarg, NULL);
        else if (c == 'p')
            l.path = optarg;
        else if (c == 'b')
            read_body(&body, optarg);
        l.keep |= c == 'k';
        l.json |= c == 'j';
    }
    l.address.sun_family = AF_UNIX;
    if (!*l.address.sun_path || !l.n_clients || l.n_clients > MAX_CLIENTS) {
        fprintf(stderr, "usage: fcgi_load -s SOCKET [-c CONNECTIONS] [-n REQUESTS | -d SECONDS] "
                        "[-k] [-p PATH] [-b FILE] [-j]\n");
        return 2;
    }
    make_request(&l, &body);
    ms = run(&l);
    qsort(l.ms, l.n_done, sizeof *l.ms, ascending);
    tell(&l, ms);
    free(l.ms);
    buf_done(&body);
    buf_done(&l.raw);
    return 0;
}
