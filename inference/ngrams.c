#include "inference/ngrams.h"

#include <math.h>
#include <string.h>

void ngrams_forbid(float *x, size_t n, const int32_t *ids, size_t n_ids)
{
    const int32_t *end; /* the last n - 1 tokens, which the next one would complete */

    if (n_ids < n)
        return;
    end = ids + n_ids - (n - 1);
    for (size_t i = 0; i + n <= n_ids; i++)
        if (!memcmp(ids + i, end, (n - 1) * sizeof *ids))
            x[ids[i + n - 1]] = -INFINITY;
}
