/* words.h - a shell script as commands of words, as far as people write `docker run` in one.
 *
 * Quotes, backslashes, lines that go on, comments, variables, ~ and $(pwd) are the shell's; nothing
 * is ever run.  One thread. */
#ifndef AIRSTRIP_TAKEOFF_WORDS_H
#define AIRSTRIP_TAKEOFF_WORDS_H

#include <stddef.h>

#include "kernels/base/arena.h"
#include "kernels/base/err.h"

struct words {
    char **item; /* [n], in the script's arena */
    size_t n, cap;
};

struct script {
    const char *at; /* what is left of the text */
    size_t line;    /* from 1 */
    struct arena *arena;
    struct words variables; /* NAME=VALUE, assigned so far */
    struct words unset;     /* names that were used and have no value: they are empty */
};

/* Appends a copy of s; ERR_NOMEM. */
int words_add(struct words *w, struct arena *a, const char *s, size_t len,
              struct err *e) MUST_CHECK;

/* text is zero-terminated, and borrowed as the arena is. */
void script_init(struct script *s, const char *text, struct arena *a);

/* The next command's words; none at the end.  Assignments, with or without `export`, are kept and
 * are no words.  Errors: ERR_FORMAT for quotes that never end, ERR_UNSUPPORTED for what would have
 * to be run; ERR_NOMEM. */
int script_next(struct script *s, struct words *out, struct err *e) MUST_CHECK;

/* A variable of the script, or else of the environment; NULL if unset. */
const char *script_variable(const struct script *s, const char *name, size_t len);

#endif
