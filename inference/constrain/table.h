/* table.h - runs of 32-bit numbers, each kept once and found by content.
 *
 * Number k of a table is the k-th run that was put in.  One thread at a time. */
#ifndef AIRSTRIP_CONSTRAIN_TABLE_H
#define AIRSTRIP_CONSTRAIN_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct run {
    size_t at; /* in table.words */
    uint32_t len, hash;
};

struct table {
    uint32_t *words;
    size_t n_words, cap_words;
    struct run *runs;
    size_t n_runs, cap_runs;
    uint32_t *slots; /* open addressing; run + 1, 0 is free */
    size_t n_slots;  /* a power of two */
};

/* The number of this run, put in if it is new.  -1: no memory. */
int64_t table_put(struct table *t, const uint32_t *words, size_t len);
static inline const uint32_t *table_run(const struct table *t, size_t i)
{
    return t->words + t->runs[i].at;
}
void table_done(struct table *t);

#endif
