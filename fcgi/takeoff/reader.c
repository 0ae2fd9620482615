/* reader.c - whom a request means, and what it may bring. */
#include <stdio.h>
#include <string.h>

#include "fcgi/takeoff/generate_request.h"
#include "fcgi/takeoff/handlers.h"

void takeoff_limits_of(const struct app *app, struct takeoff_limits *out)
{
    *out = (struct takeoff_limits){ .texts = app->config->max_user_batch_size,
                                    .text_bytes = app->config->max_prompt_string_bytes };
}

const struct app_model *takeoff_model(const struct app *app, const struct request *r,
                                      const char *group, struct err *e)
{
    const struct app_model *m = app_find_model(app, r, group, e);

    if (!m && !strcmp(e->param, "model"))
        snprintf(e->param, sizeof e->param, "consumer_group");
    return m;
}

const struct app_model *takeoff_reader_of_id(const struct app *app, const char *id)
{
    for (size_t i = 0; i < app->n_models; i++)
        if (!strcmp(app->models[i].reader, id))
            return &app->models[i];
    for (size_t i = 0; i < app->n_models; i++)
        if (config_has_alias(app->models[i].config, id))
            return &app->models[i];
    return NULL;
}

const struct app_model *takeoff_reader(const struct app *app, const struct request *r,
                                       struct err *e)
{
    const struct app_model *m = takeoff_reader_of_id(app, r->tail);

    if (!m) {
        err_set(e, ERR_NOTFOUND, "There is no reader `%.100s`; GET /status lists them.", r->tail);
        return NULL;
    }
    if (!app_allows_model(r, m)) {
        err_set(e, ERR_FORBIDDEN, "This API key does not have access to reader `%.100s`.", r->tail);
        return NULL;
    }
    if (!m->engine) {
        err_set(e, ERR_LOADING, "The reader `%.100s` could not be loaded.", r->tail);
        return NULL;
    }
    return m;
}
