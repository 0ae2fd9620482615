#include "inference/text/strtab.h"

#include <stdlib.h>
#include <string.h>

struct strindex_slot {
    uint32_t tag;  /* upper half of the hash: most misses end here */
    int32_t index; /* -1: free */
};

int strtab_init(struct strtab *t, size_t n, size_t bytes, struct err *e)
{
    *t = (struct strtab){ .cap = n, .bytes_cap = bytes };
    if (bytes > UINT32_MAX || n > INT32_MAX)
        return err_set(e, ERR_LIMIT, "vocabulary of %zu tokens and %zu bytes is too large", n,
                       bytes);
    t->data = malloc(bytes + 1);
    t->start = calloc(n + 1, sizeof *t->start);
    if (!t->data || !t->start)
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary of %zu tokens", n);
    return 0;
}

void strtab_done(struct strtab *t)
{
    free(t->data);
    free(t->start);
    *t = (struct strtab){ 0 };
}

void strtab_next(struct strtab *t)
{
    if (t->n == t->cap)
        return;
    t->n++;
    t->start[t->n] = (uint32_t)t->bytes;
}

void strtab_put(struct strtab *t, const char *bytes, size_t len)
{
    if (len == 0 || len > t->bytes_cap - t->bytes)
        return;
    memcpy(t->data + t->bytes, bytes, len);
    t->bytes += len;
    t->start[t->n] = (uint32_t)t->bytes;
}

/* Eight bytes a step, multiplied and folded; what is left is read as two parts that overlap, since
 * copying an odd number of bytes costs more than all the rest. */
uint64_t strtab_hash(const char *s, size_t len)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = len * k, word = 0;
    size_t left = len;

    for (; left >= 8; s += 8, left -= 8) {
        memcpy(&word, s, 8);
        h = (h ^ word) * k;
        h ^= h >> 32;
    }
    if (left >= 4) {
        uint32_t low, high;

        memcpy(&low, s, 4);
        memcpy(&high, s + left - 4, 4);
        word = (uint64_t)high << 32 | low;
    } else if (left > 0) {
        word = (uint64_t)(unsigned char)s[0] << 16 | (uint64_t)(unsigned char)s[left / 2] << 8 |
               (unsigned char)s[left - 1];
    }
    if (left > 0) {
        h = (h ^ word) * k;
        h ^= h >> 32;
    }
    h *= k;
    return h ^ h >> 29;
}

int strindex_init(struct strindex *x, const struct strtab *t, size_t n, struct err *e)
{
    size_t size = 16;

    while (size < n * 2) /* n is at most INT32_MAX: see strtab_init() */
        size *= 2;
    *x = (struct strindex){ .tab = t, .mask = size - 1 };
    x->slots = malloc(size * sizeof *x->slots);
    if (!x->slots)
        return err_set(e, ERR_NOMEM, "no memory for an index of %zu tokens", n);
    memset(x->slots, 0xff, size * sizeof *x->slots);
    return 0;
}

void strindex_done(struct strindex *x)
{
    free(x->slots);
    *x = (struct strindex){ 0 };
}

/* The slot that holds the string, or the free one where it would go. */
static struct strindex_slot *probe(const struct strindex *x, const char *bytes, size_t len,
                                   uint64_t h)
{
    size_t i = (size_t)h & x->mask;
    uint32_t tag = (uint32_t)(h >> 32);

    for (;; i = (i + 1) & x->mask) {
        struct strindex_slot *s = &x->slots[i];
        struct str have;

        if (s->index < 0)
            return s;
        if (s->tag != tag)
            continue;
        have = strtab_get(x->tab, (size_t)s->index);
        if (have.len == len && memcmp(have.data, bytes, len) == 0)
            return s;
    }
}

void strindex_put(struct strindex *x, size_t i)
{
    struct str s = strtab_get(x->tab, i);
    uint64_t h = strtab_hash(s.data, s.len);

    *probe(x, s.data, s.len, h) = (struct strindex_slot){ (uint32_t)(h >> 32), (int32_t)i };
    if (s.len > x->longest)
        x->longest = s.len;
}

int32_t strindex_find(const struct strindex *x, const char *bytes, size_t len)
{
    return len > x->longest ? -1 : probe(x, bytes, len, strtab_hash(bytes, len))->index;
}

int32_t strindex_find_hashed(const struct strindex *x, const char *bytes, size_t len, uint64_t hash)
{
    return len > x->longest ? -1 : probe(x, bytes, len, hash)->index;
}
