/* generation_target.c - whom a request asks, and what the operator says about it. */
#include "fcgi/api/generation.h"
#include "fcgi/api/sampling_fields.h"

const struct app_model *generation_target(struct app *app, struct request *r, struct value **body,
                                          struct params_rules *rules, struct err *e)
{
    const struct app_model *model;
    const char *name;

    if (params_body(r->body, r->body_len, &r->arena, body, e) || params_model(*body, &name, e) ||
        !(model = app_find_model(app, r, name, e)) ||
        generation_rules(app, model, &r->arena, rules, e))
        return NULL;
    return model;
}

int generation_rules(const struct app *app, const struct app_model *model, struct arena *a,
                     struct params_rules *rules, struct err *e)
{
    const struct model_config *c = model->config;

    *rules = (struct params_rules){ .max_choices = app->config->max_choices,
                                    .max_tokens = c->default_max_tokens,
                                    .client_priority = c->client_priority == 1 };
    engine_sampling(model->engine, &rules->sampling);
    if (c->default_temperature >= 0)
        rules->sampling.temperature = c->default_temperature;
    if (c->default_top_p >= 0)
        rules->sampling.top_p = c->default_top_p;
    if (c->default_min_p >= 0)
        rules->sampling.min_p = c->default_min_p;
    if (c->default_top_k != SIZE_MAX)
        rules->sampling.top_k = c->default_top_k;
    return c->default_sampling ? sampling_fields_parse(&rules->sampling, c->default_sampling, a, e)
                               : 0;
}
