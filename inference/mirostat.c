#include "inference/mirostat.h"

#include <math.h>
#include <stdlib.h>

#include "inference/softmax.h"

enum { LOOKED_AT = 100 }; /* llama.cpp's m */

/* Lists the k best, or all that there are. */
static void list_best(struct candidates *s, double k)
{
    size_t most = k < (double)s->n_vocab ? (size_t)k : s->n_vocab;

    candidates_list_best(s, most);
    if (most < s->n) {
        candidates_best(s->c, s->n, most);
        s->n = most;
    }
    s->whole = true;
}

static int by_rank(const void *a, const void *b)
{
    return candidate_better(a, b) ? -1 : 1;
}

/* Version 1, equations 26 and 30 of the paper: s by least squares over the best tokens, k by mu. */
static double best_to_keep(struct candidates *s, const struct sampling *p, double mu)
{
    double tb = 0, tt = 0, zipf, epsilon, share, k;

    list_best(s, LOOKED_AT);
    qsort(s->c, s->n, sizeof *s->c, by_rank);
    for (size_t i = 0; i + 1 < s->n; i++) {
        double t = log((double)(i + 2) / (double)(i + 1));

        tb += t * (double)((s->c[i].key - s->c[i + 1].key) / p->temperature);
        tt += t * t;
    }
    if (tt <= 0)
        return 1;
    zipf = tb / tt;
    epsilon = zipf - 1;
    share = fabs(epsilon) < 1e-9 ? 1 / log((double)s->n_vocab)
                                 : epsilon / (1 - pow((double)s->n_vocab, -epsilon));
    k = pow(share * exp2(mu), 1 / zipf);
    return k >= 1 ? floor(k) : 1; /* NaN too */
}

/* Version 2: -log2 of the probability is at most mu. */
static void list_expected(struct candidates *s, const struct sampling *p, double mu)
{
    double total = softmax_sum(s->x, s->n_vocab, s->max, 1 / p->temperature, s->tops, NULL);
    double depth = (double)p->temperature * (mu * M_LN2 - log(total));

    candidates_list(s, depth > 0 ? (float)depth : 0);
    if (depth < 0)
        s->n = 1; /* of several alike the lowest id, they are listed in order */
    s->whole = true;
}

void mirostat_narrow(struct candidates *s, const struct sampling *p, double mu)
{
    if (p->mirostat == 1)
        list_best(s, best_to_keep(s, p, mu));
    else
        list_expected(s, p, mu);
}

void mirostat_learn(const struct sampling *p, double *mu, double probability)
{
    *mu -= (double)p->mirostat_eta * (-log2(probability) - (double)p->mirostat_tau);
}
