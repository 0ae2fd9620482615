#include "inference/penalties.h"

#include "inference/ngrams.h"

/* Each distinct token once: x / r where positive, x * r where negative (Keskar et al. 2019,
 * section 4.1, with the sign rule that Hugging Face added). */
static void penalise_repetition(float *x, uint32_t *counts, float r, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float *v = &x[ids[i]];

        if (counts[ids[i]]++ == 0)
            *v = *v > 0 ? *v / r : *v * r;
    }
    for (size_t i = 0; i < n; i++)
        counts[ids[i]] = 0;
}

/* x -= count * frequency + (count > 0) * presence             (OpenAI API reference). */
static void penalise_frequency(float *x, uint32_t *counts, const struct sampling *p,
                               const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        counts[ids[i]]++;
    for (size_t i = 0; i < n; i++) {
        uint32_t *count = &counts[ids[i]];

        if (*count)
            x[ids[i]] -= (float)*count * p->frequency_penalty + p->presence_penalty;
        *count = 0;
    }
}

static size_t last(size_t n, size_t most)
{
    return n < most ? n : most;
}

bool penalties_wanted(const struct sampling *p)
{
    return p->n_bias || p->frequency_penalty != 0 || p->presence_penalty != 0 ||
           p->repetition_penalty != 1 || dry_wanted(p) || p->no_repeat_ngram;
}

void penalties_apply(float *x, uint32_t *counts, const struct sampling *p, const int32_t *ids,
                     size_t n_prompt, size_t n_ids, struct dry *dry)
{
    const int32_t *end = ids + n_ids;
    size_t n;

    for (size_t i = 0; i < p->n_bias; i++)
        x[p->bias[i].id] += p->bias[i].bias;
    if (p->repetition_penalty != 1) {
        n = last(n_ids, p->repetition_last_n);
        penalise_repetition(x, counts, p->repetition_penalty, end - n, n);
    }
    if (p->frequency_penalty != 0 || p->presence_penalty != 0) {
        n = last(n_ids - n_prompt, p->frequency_last_n);
        penalise_frequency(x, counts, p, end - n, n);
    }
    if (dry_wanted(p))
        dry_penalise(dry, p, ids, x, counts);
    if (p->no_repeat_ngram)
        ngrams_forbid(x, p->no_repeat_ngram, ids, n_ids);
}
