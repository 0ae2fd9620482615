/* What lives as long as the process: engines, keys, watcher.
 *
 * A model that fails does not take the others down: it stays in the table with its reason,
 * readiness says so, and requests for it are refused, so that an operator sees one bad file and not
 * a silent server. */
#include "fcgi/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/base/log.h"

/* Opening checks the file's header and returns; the weights load on the engine's own thread. */
static void open_model(struct app_model *m, const struct model_config *config)
{
    struct engine_config ec;
    struct stat st;

    m->name = config->name;
    m->config = config;
    m->created = stat(config->path, &st) ? time(NULL) : st.st_mtime;
    config_engine(config, &ec);
    if (engine_open(&m->engine, &ec, &m->failure)) {
        m->engine = NULL;
        log_msg(LOG_ERROR, "model", "model \"%s\": %s", m->name, m->failure.text);
    }
}

int app_open(struct app *a, const struct config *config, struct err *e)
{
    size_t opened = 0;
    int rc = 0;

    memset(a, 0, sizeof *a);
    a->config = config;
    a->started = time(NULL);
    if (config->api_keys)
        rc = auth_open(&a->auth, config->api_keys, e);
    if (!rc)
        rc = watcher_create(&a->watcher, e);
    if (rc)
        goto fail;
    a->models = calloc(config->n_models, sizeof *a->models);
    if (!a->models) {
        rc = err_set(e, ERR_NOMEM, "no memory for the table of models");
        goto fail;
    }
    a->n_models = config->n_models;
    for (size_t i = 0; i < a->n_models; i++) {
        open_model(&a->models[i], &config->models[i]);
        opened += a->models[i].engine != NULL;
    }
    if (opened)
        return 0;
    /* None opened: the first one's reason is the one to tell, the log has them all. */
    *e = a->models[0].failure;
    err_prefix(e, "no model could be opened; \"%s\": ", a->models[0].name);
    rc = e->code;
fail:
    app_close(a);
    return rc;
}

void app_drain(struct app *a)
{
    a->draining = true;
    for (size_t i = 0; i < a->n_models; i++)
        if (a->models[i].engine)
            engine_drain(a->models[i].engine);
}

void app_close(struct app *a)
{
    for (size_t i = 0; i < a->n_models; i++)
        engine_close(a->models[i].engine);
    free(a->models);
    a->models = NULL;
    a->n_models = 0;
    watcher_free(a->watcher);
    a->watcher = NULL;
    auth_free(a->auth);
    a->auth = NULL;
}

/* Order does not matter: config_finish() lets no id mean two models. */
static const struct app_model *by_name(const struct app *a, const char *name)
{
    if (!name || !*name) {
        if (a->n_models == 1)
            return &a->models[0];
        name = "primary";
    }
    for (size_t i = 0; i < a->n_models; i++)
        if (!strcmp(a->models[i].name, name) || config_has_alias(a->models[i].config, name))
            return &a->models[i];
    return NULL;
}

const struct app_model *app_find_model(const struct app *a, const char *name, struct err *e)
{
    const struct app_model *m = by_name(a, name);
    char ids[300] = "";

    if (m && m->engine)
        return m;
    if (m) {
        err_param(e, "model", ERR_LOADING, "The model `%s` could not be loaded.", m->name);
        return NULL;
    }
    for (size_t i = 0; i < a->n_models; i++) {
        size_t used = strlen(ids);

        snprintf(ids + used, sizeof ids - used, "%s`%s`", i ? ", " : "", a->models[i].name);
    }
    err_param(e, "model", ERR_NOTFOUND, "The model `%.100s` does not exist; there is %s.",
              name && *name ? name : "primary", ids);
    return NULL;
}

/* A stalled engine is our own fault (500), everything else will pass or is an operator's to mend
 * (503). */
static int model_ready(const struct app_model *m, double stall_ms, struct err *e)
{
    struct engine_status s;

    if (!m->engine)
        return err_set(e, ERR_LOADING, "model \"%s\" could not be opened: %s", m->name,
                       m->failure.text);
    engine_status(m->engine, &s);
    switch (s.state) {
    case ENGINE_LOADING:
        return err_set(e, ERR_LOADING, "model \"%s\" is loading: %d %%", m->name, s.load_percent);
    case ENGINE_FAILED:
        return err_set(e, ERR_LOADING, "model \"%s\" failed to load: %s", m->name, s.failure.text);
    case ENGINE_CLOSING:
        return err_set(e, ERR_CLOSING, "the server is shutting down");
    case ENGINE_READY:
        break;
    }
    if (s.running && s.last_step_ms_ago > stall_ms)
        return err_set(e, ERR_INTERNAL, "model \"%s\" has made no step for %.0f ms", m->name,
                       s.last_step_ms_ago);
    return 0;
}

int app_ready(const struct app *a, double stall_ms, struct err *e)
{
    if (a->draining)
        return err_set(e, ERR_CLOSING, "the server is shutting down");
    for (size_t i = 0; i < a->n_models; i++) {
        int rc = model_ready(&a->models[i], stall_ms, e);

        if (rc)
            return rc;
    }
    return 0;
}

bool app_settled(struct app *a, size_t *n_ready)
{
    bool settled = true;

    *n_ready = 0;
    for (size_t i = 0; i < a->n_models; i++) {
        struct app_model *m = &a->models[i];
        struct engine_status s;

        if (!m->engine)
            continue;
        engine_status(m->engine, &s);
        if (s.state == ENGINE_LOADING) {
            settled = false;
        } else if (s.state == ENGINE_FAILED && !m->reported) {
            m->reported = true;
            log_msg(LOG_ERROR, "model", "model \"%s\" could not be loaded: %s", m->name,
                    s.failure.text);
        }
        *n_ready += s.state == ENGINE_READY;
    }
    return settled;
}
