/* fetch.h - what a thread will read after the matrix it multiplies with: fetched into its
 * second-level cache line by line meanwhile, so that memory does not idle while tiles multiply.
 *
 * Each thread has one of its own and asks for f->per lines a block of weights.  Only a hint: what
 * is fetched never changes a result. */
#ifndef AIRSTRIP_CPU_FETCH_H
#define AIRSTRIP_CPU_FETCH_H

#include <stdalign.h>
#include <stddef.h>

enum { FETCH_LINE = 64, FETCH_RUNS = 256 };

struct fetch {
    alignas(FETCH_LINE) const char *at; /* the next line */
    size_t left;                        /* lines of the run from there on */
    size_t per;                         /* how many at once; 0: nothing for now */
    size_t run, n_runs;                 /* the next run */
    size_t total;                       /* lines left of all runs */
    size_t op;                          /* the op in the queue that will read them; 0: none */
    struct {
        const char *at;
        size_t lines;
    } runs[FETCH_RUNS];
};

static inline void fetch_some(struct fetch *f)
{
    size_t n = f->per < f->left ? f->per : f->left;

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(f->at + i * FETCH_LINE, 0, 2);
    f->at += n * FETCH_LINE;
    f->left -= n;
    f->total -= n;
    if (f->left == 0 && f->run < f->n_runs) {
        f->at = f->runs[f->run].at;
        f->left = f->runs[f->run++].lines;
    }
}

#endif
