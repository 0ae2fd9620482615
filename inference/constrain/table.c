#include "inference/constrain/table.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a over words. */
static uint32_t hash(const uint32_t *words, size_t len)
{
    uint64_t h = 0xcbf29ce484222325;

    for (size_t i = 0; i < len; i++)
        h = (h ^ words[i]) * 0x100000001b3;
    return (uint32_t)(h ^ h >> 32);
}

static int enlarge(void *items, size_t *cap, size_t want, size_t size)
{
    void **array = items;
    size_t n = 2 * *cap > want ? 2 * *cap : want + 64;
    void *p = want > *cap ? realloc(*array, n * size) : *array;

    if (!p)
        return -1;
    *cap = want > *cap ? n : *cap;
    *array = p;
    return 0;
}

static int rehash(struct table *t)
{
    size_t n = t->n_slots ? 2 * t->n_slots : 256;
    uint32_t *slots = calloc(n, sizeof *slots);

    if (!slots)
        return -1;
    for (size_t i = 0; i < t->n_runs; i++) {
        size_t at = t->runs[i].hash & (n - 1);

        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n;
    return 0;
}

int64_t table_put(struct table *t, const uint32_t *words, size_t len)
{
    uint32_t h = hash(words, len);
    size_t at;

    if (2 * (t->n_runs + 1) > t->n_slots && rehash(t) < 0)
        return -1;
    for (at = h & (t->n_slots - 1); t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
        const struct run *r = &t->runs[t->slots[at] - 1];

        if (r->hash == h && r->len == len &&
            (len == 0 || memcmp(t->words + r->at, words, len * sizeof *words) == 0))
            return t->slots[at] - 1;
    }
    if (enlarge(&t->words, &t->cap_words, t->n_words + len, sizeof *t->words) < 0 ||
        enlarge(&t->runs, &t->cap_runs, t->n_runs + 1, sizeof *t->runs) < 0)
        return -1;
    if (len)
        memcpy(t->words + t->n_words, words, len * sizeof *words);
    t->runs[t->n_runs] = (struct run){ t->n_words, (uint32_t)len, h };
    t->n_words += len;
    t->slots[at] = (uint32_t)++t->n_runs;
    return (int64_t)t->n_runs - 1;
}

void table_done(struct table *t)
{
    free(t->words);
    free(t->runs);
    free(t->slots);
    *t = (struct table){ 0 };
}
