#include "kernels/cpu/slab.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What is never touched is never resident, but a large page is as a whole, and of each slab the
 * last one is in use in part: the more there are already, the larger the next, so that this stays
 * little. */
enum { LARGE_PAGE = 2 << 20, FIRST_BYTES = 32 << 20, MOST_BYTES = 256 << 20 };

struct weight_slab {
    struct weight_store *store;
    unsigned char *mapping, *base; /* base: the first large page in the mapping */
    size_t mapped, bytes, used;
    size_t live; /* allocations not yet released */
};

static int slab_create(struct weight_slab **out, size_t bytes, struct err *e)
{
    struct weight_slab *s = calloc(1, sizeof *s);

    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for weights");
    s->bytes = (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    s->mapped = s->bytes + LARGE_PAGE;
    s->mapping = mmap(NULL, s->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s->mapping == MAP_FAILED) {
        free(s);
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes of weights: %s", bytes,
                       strerror(errno));
    }
    s->base = s->mapping + (-(uintptr_t)s->mapping & (LARGE_PAGE - 1));
    madvise(s->base, s->bytes, MADV_HUGEPAGE); /* a wish: small pages only cost speed */
    *out = s;
    return 0;
}

int slab_alloc(struct weight_slab **slab, void **memory, struct weight_store *store, size_t bytes,
               struct err *e)
{
    struct weight_slab *s = store->open;

    if (bytes > SIZE_MAX / 2)
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes of weights", bytes);
    bytes = (bytes + 63) / 64 * 64;
    if (!s || s->bytes - s->used < bytes) {
        size_t usual = s && s->bytes < MOST_BYTES ? 2 * s->bytes : s ? MOST_BYTES : FIRST_BYTES;
        int r = slab_create(&s, bytes > usual ? bytes : usual, e);

        if (r < 0)
            return r;
        s->store = store;
        store->open = s;
    }
    *memory = s->base + s->used;
    *slab = s;
    s->used += bytes;
    s->live++;
    return 0;
}

void slab_release(struct weight_slab *s)
{
    if (!s || --s->live > 0)
        return;
    if (s->store->open == s)
        s->store->open = NULL;
    munmap(s->mapping, s->mapped);
    free(s);
}
