/* wordcache.h - what words became when they were met last: text is made of few different ones.
 *
 * A table without collisions: a word takes the place of another of the same slot.  One thread at a
 * time. */
#ifndef AIRSTRIP_WORDCACHE_H
#define AIRSTRIP_WORDCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORDCACHE_SLOTS = 8192, WORDCACHE_BYTES = 22, WORDCACHE_IDS = 10 };

struct wordcache_slot {
    uint8_t len, n; /* len 0: free */
    char bytes[WORDCACHE_BYTES];
    int32_t ids[WORDCACHE_IDS];
};

struct wordcache; /* 512 kB; free() ends it */

/* NULL where there is no memory: everything works without one. */
struct wordcache *wordcache_create(void);

/* The slot of a word, NULL where it is too long for any (or c is NULL); *hit: it has the word.
 * hash: strtab_hash() of it. */
struct wordcache_slot *wordcache_find(struct wordcache *c, const char *bytes, size_t len,
                                      uint64_t hash, bool *hit);

/* Makes a slot hold the word, where its ids are few enough.  slot may be NULL. */
void wordcache_put(struct wordcache_slot *slot, const char *bytes, size_t len, const int32_t *ids,
                   size_t n);

#endif
