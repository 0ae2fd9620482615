/* app.h - what one reading of the configuration made: its models and its keys.
 *
 * Handlers get it as their first argument, and hold it from a request's beginning to its end (see
 * server.h).  Constant after app_create(), but for what is main's own.  Any thread may call, except
 * where a function says main.
 */
#ifndef AIRSTRIP_APP_H
#define AIRSTRIP_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "fcgi/auth.h"
#include "fcgi/config.h"
#include "fcgi/metrics.h"
#include "fcgi/request.h"
#include "fcgi/served.h"
#include "fcgi/server.h"
#include "inference/engine.h"
#include "kernels/base/err.h"

/* One served model. */
struct app_model {
    const char *name;   /* its group: the id in /v1/models, which several models may share */
    const char *reader; /* no other model's: the name of its section */
    const struct model_config *config;
    struct served *served; /* a reference */
    struct engine *engine; /* of served; NULL when even opening it failed */
    struct metrics *metrics;
    time_t created; /* modification time of the model file, for /v1/models */
    bool reported;  /* main's: that its loading failed was logged */
};

struct app {
    struct server *server;
    const struct config *config; /* its own */
    struct app_model *models;    /* [n_models], in the order of the configuration */
    size_t n_models;
    struct auth *auth; /* NULL: no keys configured */
    size_t refs;       /* guarded by the server's lock; 1: of being current, or coming */
};

/* Opens every model (which go on loading by themselves) or shares it with `earlier` (or NULL), and
 * reads the API keys.  A model that cannot be opened is logged and kept with its failure.  Takes
 * *config, also where it fails.  Main only. */
int app_create(struct app **out, struct server *s, struct config *config, const struct app *earlier,
               struct err *e) MUST_CHECK;
void app_free(struct app *a); /* NULL is fine */

/* Whether any model could be opened; else *e tells why the first could not. */
bool app_any_opened(const struct app *a, struct err *e);

/* Engines refuse new jobs from now on; what runs is finished.  Main only. */
void app_drain(struct app *a);

/* The model that `name` means to this request: a consumer group or one of the aliases; NULL or ""
 * means "primary", which is the first model where none is called so.  Of the models of one group it
 * is the one with the fewest jobs for each of its places.  NULL with ERR_FORBIDDEN where
 * the request's key does not allow it, with ERR_NOTFOUND, param "model", and a sentence that lists
 * the ids there are; or, where its engine could not be opened, ERR_LOADING. So ->engine of what it
 * returns is never NULL. */
const struct app_model *app_find_model(const struct app *a, const struct request *r,
                                       const char *name, struct err *e);

/* Whether no model before models[i] has the same name: of a group only one is listed. */
bool app_is_first_of_group(const struct app *a, size_t i);

/* Whether the request's key allows it. */
bool app_allows_model(const struct request *r, const struct app_model *m);

/* Whether every model can answer now, and at least one exists: 0; ERR_CLOSING while leaving,
 * ERR_LOADING (also for a failed one), ERR_STALLED as app_stalled(). The sentence says which model.
 */
int app_ready(const struct app *a, struct err *e) MUST_CHECK;

/* Whether an engine has work but made no step for the configuration's stall_timeout. */
bool app_stalled(const struct app *a, struct err *e);

/* Whether any engine has jobs, and how many have ended in all. */
bool app_works(const struct app *a, uint64_t *n_ended);

/* Whether an engine that had served can do so no more: its device is lost, or its file was cut
 * short.  Not one that could never be loaded. */
bool app_broken(const struct app *a, struct err *e);

/* What all engines need has failed, so they have.  Main only. */
void app_fail(struct app *a, const struct err *why);

/* Whether no model is loading any more, and how many could be loaded; logs what became of each.
 * Main only. */
bool app_settled(struct app *a, size_t *n_ready);

#endif
