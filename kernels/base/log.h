/* log.h - one line an event: time, level, event name, then key=value pairs.
 *
 *   2026-11-22T14:05:06.789Z info request id=chatcmpl-1 queue_ms=0.2 prompt_tokens=31
 *
 * Values with blanks, quotes or control characters are quoted and escaped, so that a line stays one
 * line whatever a client sent.  Any thread; each line is written with a single write(), and where
 * that fails it is lost: the next one that can be written is followed by how many were. */
#ifndef AIRSTRIP_LOG_H
#define AIRSTRIP_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

#include "kernels/base/buf.h"
#include "kernels/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Sends lines to a file (appended to, created 0640) instead of stderr; NULL means stderr. */
int log_open(const char *path, struct err *e) MUST_CHECK;

/* Opens the same file again, after it was rotated. */
int log_reopen(struct err *e) MUST_CHECK;

/* Lines below the level are dropped; starts at LOG_INFO. */
void log_set_level(enum log_level level);

/* 0, or ERR_INVALID when name is not debug, info, warn or error. */
int log_parse_level(const char *name, enum log_level *out) MUST_CHECK;

/* A pair that every line has from now on, behind its event; before threads write lines. */
void log_also(const char *key, long long value);

/* A line being written: log_begin(), any number of pairs, log_end().  If out of memory the line is
 * lost. */
struct log_line {
    struct buf text;
    enum log_level level;
};

void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_str(struct log_line *l, const char *key,
             const char *value); /* NULL value: pair left out */
void log_int(struct log_line *l, const char *key, long long value);
void log_ms(struct log_line *l, const char *key, double value); /* one decimal */
void log_end(struct log_line *l);

/* Lines of one file that could not be written, because the disk is full, say. */
struct log_lost {
    atomic_size_t n;  /* since the last one that could */
    atomic_bool torn; /* of the last one only the beginning was */
};

/* Writes a line, its newline included, to fd; what comes after a torn one begins a line of its own.
 * Returns how many lines were lost before this one, 0 where it is lost itself. */
size_t log_put(int fd, struct log_lost *lost, const char *line, size_t len);

/* A whole line whose only pair is msg="...". */
void log_msg(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
