#include "inference/text/wordcache.h"

#include <stdlib.h>
#include <string.h>

struct wordcache {
    struct wordcache_slot slots[WORDCACHE_SLOTS];
};

struct wordcache *wordcache_create(void)
{
    return calloc(1, sizeof(struct wordcache));
}

struct wordcache_slot *wordcache_find(struct wordcache *c, const char *bytes, size_t len,
                                      uint64_t hash, bool *hit)
{
    struct wordcache_slot *s;

    *hit = false;
    if (!c || len > WORDCACHE_BYTES || len == 0)
        return NULL;
    s = &c->slots[hash % WORDCACHE_SLOTS];
    *hit = s->len == len && memcmp(s->bytes, bytes, len) == 0;
    return s;
}

void wordcache_put(struct wordcache_slot *slot, const char *bytes, size_t len, const int32_t *ids,
                   size_t n)
{
    if (!slot || n > WORDCACHE_IDS)
        return;
    slot->len = (uint8_t)len;
    slot->n = (uint8_t)n;
    memcpy(slot->bytes, bytes, len);
    if (n > 0)
        memcpy(slot->ids, ids, n * sizeof *ids);
}
