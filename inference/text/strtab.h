/* strtab.h - many strings in one piece of memory, and a hash index from string to number.
 *
 * A vocabulary has up to a few hundred thousand strings: one allocation for all of them, one for
 * the index.  Both are filled once and then read-only: any thread. */
#ifndef AIRSTRIP_STRTAB_H
#define AIRSTRIP_STRTAB_H

#include <stdint.h>

#include "inference/weights/weights.h"
#include "kernels/base/err.h"

struct strtab {
    char *data;      /* the strings, one after another */
    uint32_t *start; /* n + 1 offsets into data */
    size_t n, cap;
    size_t bytes, bytes_cap;
};

/* Room for n strings of bytes together, below 4 GiB.  Errors: ERR_LIMIT, ERR_NOMEM. */
int strtab_init(struct strtab *t, size_t n, size_t bytes, struct err *e) MUST_CHECK;
void strtab_done(struct strtab *t);

/* Opens the next string (its number is what t->n was) and appends to it.  The caller
 * keeps to the room it asked for: what does not fit is dropped. */
void strtab_next(struct strtab *t);
void strtab_put(struct strtab *t, const char *bytes, size_t len);

static inline struct str strtab_get(const struct strtab *t, size_t i)
{
    return (struct str){ t->data + t->start[i], t->start[i + 1] - t->start[i] };
}

/* Not meant to withstand crafted collisions: an index holds only the model file's strings, and
 * looking up an outside text cannot lengthen a probe. */
uint64_t strtab_hash(const char *bytes, size_t len);

struct strindex {
    const struct strtab *tab; /* borrowed */
    struct strindex_slot *slots;
    size_t mask;
    size_t longest; /* bytes of the longest string put in */
};

/* Room for n strings. */
int strindex_init(struct strindex *x, const struct strtab *t, size_t n, struct err *e) MUST_CHECK;
void strindex_done(struct strindex *x);

/* Puts string number i in; where an equal string is there already, i takes its place. */
void strindex_put(struct strindex *x, size_t i);

/* The number of the string, or -1. */
int32_t strindex_find(const struct strindex *x, const char *bytes, size_t len);

/* The same where strtab_hash() of the string is known. */
int32_t strindex_find_hashed(const struct strindex *x, const char *bytes, size_t len,
                             uint64_t hash);

#endif
