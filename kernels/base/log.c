#include "kernels/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards path and changes of fd */
static char path[4096];
static atomic_int fd = STDERR_FILENO;
static atomic_int threshold = LOG_INFO;
static struct log_lost lost;
static char also[48]; /* " rank=1", on every line */

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static int open_path(struct err *e)
{
    int new_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    int cur = fd;

    if (new_fd < 0)
        return err_set(e, ERR_IO, "cannot open log file %s: %s", path, strerror(errno));
    if (cur != STDERR_FILENO) {
        /* Keep the number, so that a writer in another thread never holds a closed one. */
        dup3(new_fd, cur, O_CLOEXEC);
        close(new_fd);
    } else {
        fd = new_fd;
    }
    return 0;
}

int log_open(const char *new_path, struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (!new_path) {
        path[0] = '\0';
    } else if (strlen(new_path) >= sizeof path) {
        rc = err_set(e, ERR_INVALID, "log file name is longer than %zu bytes", sizeof path - 1);
    } else {
        memcpy(path, new_path, strlen(new_path) + 1);
        rc = open_path(e);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int log_reopen(struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (path[0])
        rc = open_path(e);
    pthread_mutex_unlock(&lock);
    return rc;
}

void log_set_level(enum log_level level)
{
    threshold = (int)level;
}

int log_parse_level(const char *name, enum log_level *out)
{
    for (int i = 0; i < (int)(sizeof level_names / sizeof *level_names); i++)
        if (!strcmp(name, level_names[i])) {
            *out = (enum log_level)i;
            return 0;
        }
    return ERR_INVALID;
}

void log_also(const char *key, long long value)
{
    snprintf(also, sizeof also, " %.16s=%lld", key, value);
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
    struct timespec now;
    struct tm tm;
    char stamp[32];

    *l = (struct log_line){ .level = level };
    if ((int)level < threshold)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(&l->text, "%s.%03ldZ %s %s%s", stamp, now.tv_nsec / 1000000, level_names[level],
               event, also);
}

static bool is_plain(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == '"' || *s == '\\' || *s == '=' || *s == 0x7f)
            return false;
    return true;
}

void log_str(struct log_line *l, const char *key, const char *value)
{
    if (!l->text.data || !value)
        return;
    buf_printf(&l->text, " %s=", key);
    if (is_plain(value)) {
        buf_puts(&l->text, value);
        return;
    }
    buf_putc(&l->text, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_printf(&l->text, "\\%c", *value);
        else if ((unsigned char)*value < ' ' || *value == 0x7f)
            buf_printf(&l->text, "\\x%02x", (unsigned char)*value);
        else
            buf_putc(&l->text, *value);
    }
    buf_putc(&l->text, '"');
}

void log_int(struct log_line *l, const char *key, long long value)
{
    if (l->text.data)
        buf_printf(&l->text, " %s=%lld", key, value);
}

void log_ms(struct log_line *l, const char *key, double value)
{
    if (l->text.data)
        buf_printf(&l->text, " %s=%.2f", key, value);
}

static ssize_t write_all(int to, const char *bytes, size_t len)
{
    ssize_t n;

    do
        n = write(to, bytes, len);
    while (n < 0 && errno == EINTR);
    return n;
}

size_t log_put(int to, struct log_lost *l, const char *line, size_t len)
{
    ssize_t n;

    if (atomic_exchange(&l->torn, false) && write_all(to, "\n", 1) < 1)
        l->torn = true;
    n = l->torn ? -1 : write_all(to, line, len);
    if (n >= 0 && (size_t)n == len)
        return atomic_exchange(&l->n, 0);
    if (n > 0)
        l->torn = true;
    l->n++;
    return 0;
}

void log_end(struct log_line *l)
{
    size_t n_lost = 0;

    if (l->text.data) {
        buf_putc(&l->text, '\n');
        if (!l->text.failed)
            n_lost = log_put(fd, &lost, l->text.data, l->text.len);
    }
    buf_done(&l->text);
    if (n_lost)
        log_msg(LOG_WARN, "log", "%zu lines before the last one could not be written", n_lost);
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
    struct log_line l;
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_begin(&l, level, event);
    log_str(&l, "msg", text);
    log_end(&l);
}
