#include "fcgi/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/admission.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

#define LETTERS "RutmrqsdlMpgQfIT%"

enum { HEADER_MAX = 64, PATH_BYTES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards path and changes of fd */
static char path[PATH_BYTES];
static atomic_int fd = -1;
static struct log_lost lost;

/* Keeps the number, so that a writer in another thread never holds a closed one. */
static int open_path(struct err *e)
{
    int now = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640), was = fd;

    if (now < 0)
        return err_set(e, ERR_IO, "cannot open access log %s: %s", path, strerror(errno));
    if (was >= 0) {
        dup3(now, was, O_CLOEXEC);
        close(now);
    } else {
        fd = now;
    }
    return 0;
}

int access_log_open(const char *new_path, struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (new_path && strlen(new_path) >= sizeof path)
        rc = err_set(e, ERR_INVALID, "access_log: expected a name of less than %zu bytes",
                     sizeof path);
    else if (new_path) {
        strcpy(path, new_path);
        rc = open_path(e);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int access_log_reopen(struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (*path)
        rc = open_path(e);
    pthread_mutex_unlock(&lock);
    return rc;
}

int access_log_check(const char *format, struct err *e)
{
    for (const char *p = format; *p; p++) {
        if (*p != '%')
            continue;
        p++;
        if (*p == '{') {
            size_t n = strcspn(p + 1, "}");

            if (!n || n >= HEADER_MAX || p[n + 1] != '}' || p[n + 2] != 'i')
                return err_param(e, "access_format", ERR_INVALID,
                                 "access_format: expected %%{HEADER}i, found \"%.40s\"", p - 1);
            p += n + 2;
        } else if (!*p || !strchr(LETTERS, *p)) {
            return err_param(
                e, "access_format", ERR_INVALID,
                "access_format: expected one of %s or {HEADER}i after %%, found \"%.10s\"", LETTERS,
                p);
        }
    }
    return 0;
}

static void put_safe(struct buf *b, const char *s)
{
    if (!s || !*s)
        buf_putc(b, '-');
    for (; s && *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_printf(b, "\\%c", *s);
        else if ((unsigned char)*s < ' ' || *s == 0x7f)
            buf_printf(b, "\\x%02x", (unsigned char)*s);
        else
            buf_putc(b, *s);
    }
}

static void put_time(struct buf *b)
{
    time_t now = time(NULL);
    char text[64];
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%d/%b/%Y:%H:%M:%S +0000", &tm);
    buf_puts(b, text);
}

static void put_letter(struct buf *b, char letter, const struct request *r, const struct reply *p)
{
    const struct reply_note *n = &p->note;

    switch (letter) {
    case 'R':
        put_safe(b, request_param(r, "REMOTE_ADDR"));
        break;
    case 'u':
        put_safe(b, admission_name(r));
        break;
    case 't':
        put_time(b);
        break;
    case 'm':
        put_safe(b, r->method);
        break;
    case 'r':
        put_safe(b, r->path);
        break;
    case 'q':
        if (*r->query) {
            buf_putc(b, '?');
            put_safe(b, r->query);
        }
        break;
    case 's':
        buf_printf(b, "%d", p->status);
        break;
    case 'd':
        buf_printf(b, "%.3f", (clock_ms() - r->start_ms) / 1000);
        break;
    case 'l':
        buf_printf(b, "%zu", p->body.len);
        break;
    case 'M':
        put_safe(b, n->model);
        break;
    case 'p':
        buf_printf(b, "%zu", n->prompt_tokens);
        break;
    case 'g':
        buf_printf(b, "%zu", n->completion_tokens);
        break;
    case 'Q':
        buf_printf(b, "%.1f", n->queue_ms);
        break;
    case 'f':
        put_safe(b, n->finish);
        break;
    case 'I':
        put_safe(b, r->id);
        break;
    case 'T':
        put_safe(b, r->trace.id);
        break;
    default:
        buf_putc(b, letter);
    }
}

static const char *put_header(struct buf *b, const char *format, const struct request *r)
{
    char name[HEADER_MAX];
    size_t n = strcspn(format, "}");

    memcpy(name, format, n);
    name[n] = '\0';
    /* A key never gets into a log, whatever the format says. */
    put_safe(b, strcasecmp(name, "authorization") ? request_header(r, name) : NULL);
    return format + n + 1;
}

void access_log_write(const char *format, const struct request *r, const struct reply *p)
{
    struct buf b = { 0 };
    size_t n_lost = 0;

    if (fd < 0)
        return;
    for (; *format; format++) {
        if (*format != '%') {
            buf_putc(&b, *format);
        } else if (*++format == '{') {
            format = put_header(&b, format + 1, r);
        } else {
            put_letter(&b, *format, r, p);
        }
    }
    buf_putc(&b, '\n');
    if (!b.failed)
        n_lost = log_put(fd, &lost, b.data, b.len);
    buf_done(&b);
    if (n_lost)
        log_msg(LOG_WARN, "log", "%zu lines of the access log could not be written", n_lost);
}
