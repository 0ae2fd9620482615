#include "inference/job_check.h"

#include <math.h>
#include <string.h>

#include "inference/sampler.h"

/* The front door checks as well, but may not be the only caller: a NaN must not reach the sampler.
 */
static int check_number(const char *name, float x, float lo, float hi, struct err *e)
{
    if (x >= lo && x <= hi) /* NaN is not */
        return 0;
    return err_param(e, name, ERR_INVALID, "%s is %g, it must lie between %g and %g", name,
                     (double)x, (double)lo, (double)hi);
}

static int check_breakers(const struct sampling *p, struct err *e)
{
    if (p->n_dry_breakers > DRY_MAX_BREAKERS)
        return err_param(e, "dry_sequence_breakers", ERR_INVALID,
                         "dry_sequence_breakers: %zu strings, the most is %d", p->n_dry_breakers,
                         DRY_MAX_BREAKERS);
    for (size_t i = 0; i < p->n_dry_breakers; i++) {
        size_t len = strnlen(p->dry_breakers[i], DRY_BREAKER_MAX_BYTES + 1);

        if (len == 0 || len > DRY_BREAKER_MAX_BYTES)
            return err_param(e, "dry_sequence_breakers", ERR_INVALID,
                             "dry_sequence_breakers: a string must have 1 to %d bytes",
                             DRY_BREAKER_MAX_BYTES);
    }
    return 0;
}

static int check_sampling(const struct sampling *p, size_t n_vocab, struct err *e)
{
    const struct {
        const char *name;
        float x, lo, hi;
    } rows[] = {
        { "temperature", p->temperature, 0, 2 },
        { "top_p", p->top_p, 0, 1 },
        { "min_p", p->min_p, 0, 1 },
        { "typical_p", p->typical_p, 0, 1 },
        { "top_n_sigma", p->top_n_sigma, 0, 1000 },
        { "xtc_probability", p->xtc_probability, 0, 1 },
        { "xtc_threshold", p->xtc_threshold, 0, 1 },
        { "mirostat", (float)p->mirostat, 0, 2 },
        { "mirostat_tau", p->mirostat_tau, 0, 100 },
        { "mirostat_eta", p->mirostat_eta, 0, 1 },
        { "frequency_penalty", p->frequency_penalty, -2, 2 },
        { "presence_penalty", p->presence_penalty, -2, 2 },
        { "repetition_penalty", p->repetition_penalty, 0.01f, 100 },
        { "dry_multiplier", p->dry_multiplier, 0, 100 },
        { "dry_base", p->dry_base, 1, 100 },
    };
    int rc = check_breakers(p, e);

    for (size_t i = 0; !rc && i < sizeof rows / sizeof *rows; i++)
        rc = check_number(rows[i].name, rows[i].x, rows[i].lo, rows[i].hi, e);
    for (size_t i = 0; !rc && i < p->n_bias; i++) {
        if (p->bias[i].id < 0 || (size_t)p->bias[i].id >= n_vocab)
            rc =
                err_param(e, "logit_bias", ERR_INVALID, "token %d is outside the vocabulary of %zu",
                          (int)p->bias[i].id, n_vocab);
        else if (!isfinite(p->bias[i].bias))
            rc = err_param(e, "logit_bias", ERR_INVALID, "the bias of token %d is not a number",
                           (int)p->bias[i].id);
    }
    return rc;
}

int job_request_check(const struct job_request *r, size_t n_vocab, struct err *e)
{
    for (size_t i = 0; i < r->n_stops; i++) {
        size_t len = strnlen(r->stops[i], STOP_MAX_BYTES + 1);

        if (len == 0 || len > STOP_MAX_BYTES)
            return err_param(e, "stop", ERR_INVALID, "a stop string must have 1 to %d bytes",
                             STOP_MAX_BYTES);
    }
    if (r->top_logprobs < -1 || r->top_logprobs > SAMPLER_MAX_TOP)
        return err_param(e, "top_logprobs", ERR_INVALID, "top_logprobs is %d, the most is %d",
                         r->top_logprobs, SAMPLER_MAX_TOP);
    for (size_t i = 0; i < r->n_stop_ids; i++)
        if (r->stop_ids[i] < 0 || (size_t)r->stop_ids[i] >= n_vocab)
            return err_param(e, "stop_token_ids", ERR_INVALID,
                             "stop_token_ids: token %d is outside the vocabulary of %zu",
                             (int)r->stop_ids[i], n_vocab);
    return check_sampling(&r->sampling, n_vocab, e);
}
