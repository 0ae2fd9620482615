/* One reading of the configuration: models, opened or shared with the reading before, and keys.
 *
 * A model that fails does not take the others down: it stays in the table with its reason,
 * readiness says so, and requests for it are refused, so that an operator sees one bad file and not
 * a silent server. */
#include "fcgi/app.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"

static struct served *served_as(const struct app *a, const char *name)
{
    for (size_t i = 0; a && i < a->n_models; i++)
        if (!strcmp(a->models[i].reader, name))
            return a->models[i].served;
    return NULL;
}

/* Opening checks the file's header and returns; the weights load on the engine's own thread. */
static int open_model(struct app *a, const struct model_config *config, const struct app *earlier,
                      struct err *e)
{
    struct app_model *m = &a->models[a->n_models];
    int rc;

    m->name = config->group;
    m->reader = config->name;
    m->config = config;
    m->metrics = server_model_metrics(a->server, config->name);
    if (!m->metrics)
        return err_set(e, ERR_NOMEM, "no memory for the metrics of model \"%s\"", config->name);
    rc = served_open(&m->served, config, served_as(earlier, config->name), e);
    if (rc)
        return rc;
    a->n_models++;
    m->engine = m->served->engine;
    m->created = m->served->created;
    if (!m->engine)
        log_msg(LOG_ERROR, "model", "model \"%s\": %s", m->reader, m->served->failure.text);
    return 0;
}

int app_create(struct app **out, struct server *s, struct config *config, const struct app *earlier,
               struct err *e)
{
    struct app *a = calloc(1, sizeof *a);
    int rc = 0;

    if (!a) {
        config_free(config);
        return err_set(e, ERR_NOMEM, "no memory for the configuration");
    }
    a->server = s;
    a->config = config;
    a->refs = 1;
    if (config->api_keys)
        rc = auth_open(&a->auth, config->api_keys, e);
    if (!rc) {
        a->models = calloc(config->n_models + 1, sizeof *a->models); /* all may have gone */
        if (!a->models)
            rc = err_set(e, ERR_NOMEM, "no memory for the table of models");
    }
    for (size_t i = 0; !rc && i < config->n_models; i++)
        rc = open_model(a, &config->models[i], earlier, e);
    if (rc) {
        app_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

void app_free(struct app *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_models; i++)
        served_unref(a->models[i].served);
    free(a->models);
    auth_free(a->auth);
    config_free((struct config *)(uintptr_t)a->config);
    free(a);
}

/* None opened: the first one's reason is the one to tell, the log has them all. */
bool app_any_opened(const struct app *a, struct err *e)
{
    for (size_t i = 0; i < a->n_models; i++)
        if (a->models[i].engine)
            return true;
    *e = a->models[0].served->failure;
    err_prefix(e, "no model could be opened; \"%s\": ", a->models[0].reader);
    return false;
}

void app_drain(struct app *a)
{
    for (size_t i = 0; i < a->n_models; i++)
        if (a->models[i].engine)
            engine_drain(a->models[i].engine);
}

/* Jobs for each place; infinite where it cannot take any. */
static double load_of(const struct app_model *m)
{
    struct engine_status s;

    if (!m->engine)
        return INFINITY;
    engine_status(m->engine, &s);
    if (s.state != ENGINE_READY || !s.max_batch)
        return s.state == ENGINE_LOADING ? DBL_MAX : INFINITY;
    return (double)(s.running + s.waiting) / (double)s.max_batch;
}

static size_t group_size(const struct app *a, const char *group)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n_models; i++)
        n += !strcmp(a->models[i].name, group);
    return n;
}

/* The least busy model of m's group, m being its first one; of equally busy ones each in turn. */
static const struct app_model *of_group(const struct app *a, const struct app_model *m)
{
    size_t n = group_size(a, m->name), turn, at = 0, best_place = n;
    const struct app_model *best = m;
    double least = INFINITY;

    if (n == 1)
        return m;
    turn = atomic_fetch_add(&a->server->turn, 1) % n;
    for (size_t i = 0; i < a->n_models; i++) {
        const struct app_model *other = &a->models[i];
        size_t place;
        double load;

        if (strcmp(other->name, m->name) != 0)
            continue;
        place = (at++ + n - turn) % n;
        load = load_of(other);
        if (load < least || (load <= least && place < best_place)) {
            least = load;
            best = other;
            best_place = place;
        }
    }
    return best;
}

/* Order does not matter: config_finish() lets no id mean two groups. */
static const struct app_model *by_name(const struct app *a, const char *name)
{
    if (!name || !*name)
        name = "primary";
    for (size_t i = 0; i < a->n_models; i++)
        if (!strcmp(a->models[i].name, name) || config_has_alias(a->models[i].config, name))
            return of_group(a, &a->models[i]);
    return !strcmp(name, "primary") && a->n_models ? of_group(a, &a->models[0]) : NULL;
}

bool app_is_first_of_group(const struct app *a, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!strcmp(a->models[k].name, a->models[i].name))
            return false;
    return true;
}

bool app_allows_model(const struct request *r, const struct app_model *m)
{
    return !r->admission.key || auth_allows(r->admission.key, m->name);
}

/* The ids that the request may name, for the sentence. */
static void list_ids(const struct app *a, const struct request *r, char *ids, size_t size)
{
    *ids = '\0';
    for (size_t i = 0; i < a->n_models; i++) {
        size_t used = strlen(ids);

        if (app_allows_model(r, &a->models[i]) && app_is_first_of_group(a, i))
            snprintf(ids + used, size - used, "%s`%s`", used ? ", " : "", a->models[i].name);
    }
}

const struct app_model *app_find_model(const struct app *a, const struct request *r,
                                       const char *name, struct err *e)
{
    const struct app_model *m = by_name(a, name);
    char ids[300];

    if (m && !app_allows_model(r, m)) {
        err_param(e, "model", ERR_FORBIDDEN, "This API key does not have access to model `%s`.",
                  m->name);
        return NULL;
    }
    if (m && m->engine)
        return m;
    if (m) {
        err_param(e, "model", ERR_LOADING, "The model `%s` could not be loaded.", m->name);
        return NULL;
    }
    list_ids(a, r, ids, sizeof ids);
    err_param(e, "model", ERR_NOTFOUND, "The model `%.100s` does not exist; there is %s.",
              name && *name ? name : "primary", ids);
    return NULL;
}

static int model_ready(const struct app_model *m, struct err *e)
{
    struct engine_status s;

    if (!m->engine)
        return err_set(e, ERR_LOADING, "model \"%s\" could not be opened: %s", m->reader,
                       m->served->failure.text);
    engine_status(m->engine, &s);
    switch (s.state) {
    case ENGINE_LOADING:
        return err_set(e, ERR_LOADING, "model \"%s\" is loading: %d %%", m->reader, s.load_percent);
    case ENGINE_FAILED:
        return err_set(e, ERR_LOADING, "model \"%s\" %s: %s", m->reader,
                       s.was_ready ? "has failed" : "failed to load", s.failure.text);
    case ENGINE_CLOSING:
        return err_set(e, ERR_CLOSING, "the server is shutting down");
    case ENGINE_READY:
        break;
    }
    return 0;
}

bool app_stalled(const struct app *a, struct err *e)
{
    double limit = (double)a->config->stall_ms;
    struct engine_status s;

    for (size_t i = 0; limit > 0 && i < a->n_models; i++) {
        if (!a->models[i].engine)
            continue;
        engine_status(a->models[i].engine, &s);
        if (s.state != ENGINE_FAILED && s.state != ENGINE_LOADING && (s.running || s.waiting) &&
            s.last_step_ms_ago > limit) {
            err_set(e, ERR_STALLED, "model \"%s\" has work and has made no step for %.0f ms",
                    a->models[i].reader, s.last_step_ms_ago);
            return true;
        }
    }
    return false;
}

bool app_works(const struct app *a, uint64_t *n_ended)
{
    struct engine_status s;
    bool busy = false;

    *n_ended = 0;
    for (size_t i = 0; i < a->n_models; i++) {
        if (!a->models[i].engine)
            continue;
        engine_status(a->models[i].engine, &s);
        *n_ended += s.done;
        busy |= s.running || s.waiting;
    }
    return busy;
}

bool app_broken(const struct app *a, struct err *e)
{
    struct engine_status s;

    for (size_t i = 0; i < a->n_models; i++) {
        if (!a->models[i].engine)
            continue;
        engine_status(a->models[i].engine, &s);
        if (s.state == ENGINE_FAILED && s.was_ready) {
            *e = s.failure;
            err_prefix(e, "model \"%s\" has failed: ", a->models[i].reader);
            return true;
        }
    }
    return false;
}

void app_fail(struct app *a, const struct err *why)
{
    for (size_t i = 0; i < a->n_models; i++)
        if (a->models[i].engine)
            engine_fail(a->models[i].engine, why);
}

int app_ready(const struct app *a, struct err *e)
{
    if (a->server->leaving || a->server->draining)
        return err_set(e, ERR_CLOSING, "the server is shutting down");
    if (!a->n_models)
        return err_set(e, ERR_LOADING, "no model is served");
    for (size_t i = 0; i < a->n_models; i++) {
        int rc = model_ready(&a->models[i], e);

        if (rc)
            return rc;
    }
    return app_stalled(a, e) ? e->code : 0;
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
        } else if (s.state == ENGINE_FAILED && !s.was_ready && !m->reported) {
            m->reported = true;
            log_msg(LOG_ERROR, "model", "model \"%s\" could not be loaded: %s", m->reader,
                    s.failure.text);
        }
        /* One that failed as soon as it was loaded was loaded all the same. */
        *n_ready += s.state == ENGINE_READY || s.was_ready;
    }
    return settled;
}
