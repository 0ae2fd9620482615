#include "kernels/base/heap.h"

#include <stddef.h>

/* Small blocks come from each thread's own cache: arenas are asked for what is larger or many. */
enum { ARENAS = 4, ARENA_MAX = -8 /* glibc's M_ARENA_MAX */ };

/* glibc's; other C libraries do not have them. */
extern int mallopt(int param, int value) __attribute__((weak));
extern int malloc_trim(size_t pad) __attribute__((weak));

void heap_share(void)
{
    if (mallopt)
        mallopt(ARENA_MAX, ARENAS);
}

void heap_give_back(void)
{
    if (malloc_trim)
        malloc_trim(0);
}
