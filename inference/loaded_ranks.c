#include "inference/loaded_ranks.h"

#include "kernels/base/pool.h"

size_t loaded_threads(const struct engine_config *c)
{
    size_t n = c->n_threads ? c->n_threads : pool_processors();

    if (c->n_ranks < 2)
        return c->n_threads;
    return n > c->n_ranks ? n / c->n_ranks : 1;
}

int loaded_join(struct loaded *l, const struct engine_config *c, struct err *e)
{
    struct engine_config each = *c;
    int rc = 0;

    l->ranks = c->ranks && c->ranks->n > 1 ? c->ranks : NULL;
    if (c->n_ranks > 1) {
        each.n_threads = loaded_threads(c);
        rc = team_create(&l->team, &each, c->n_ranks, e);
        l->ranks = rc ? NULL : team_lead(l->team);
    }
    if (rc || !l->ranks)
        return rc;
    return model_slice(&l->model, l->weights, l->ranks->rank, l->ranks->n, e);
}

int loaded_lead(struct loaded *l, struct err *e)
{
    int rc = l->team ? team_start(l->team, e) : 0;

    if (rc || !l->ranks)
        return rc;
    lead_open(&l->lead, l->ranks, &l->model, l->weights, l->info.isa);
    l->model.lead = &l->lead;
    return 0;
}

void loaded_lead_cache(struct loaded *l)
{
    if (!l->ranks)
        return;
    lead_cache(&l->lead, &l->kv_shape);
    l->cache.lead = &l->lead;
}
