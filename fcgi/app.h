/* app.h - the running server: its models, its configuration, and whether it is shutting down.
 *
 * Handlers get it as their first argument.  Any thread may call, except where a function says main.
 */
#ifndef AIRSTRIP_APP_H
#define AIRSTRIP_APP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "fcgi/auth.h"
#include "fcgi/config.h"
#include "fcgi/watcher.h"
#include "inference/engine.h"
#include "kernels/base/err.h"

/* One served model.  Constant after app_open(), but for what is main's own. */
struct app_model {
    const char *name; /* consumer group: the id in /v1/models */
    const struct model_config *config;
    struct engine *engine; /* NULL when even opening it failed: see failure */
    struct err failure;    /* why engine is NULL */
    time_t created;        /* modification time of the model file, for /v1/models */
    bool reported;         /* main's: that its loading failed was logged */
};

/* Counters since start; relaxed atomics. */
struct app_counters {
    atomic_ullong accepted;  /* connections */
    atomic_ullong requests;  /* requests answered, whatever the status */
    atomic_ullong failed;    /* of these: status 500 and above */
    atomic_ullong refused;   /* of these: status 400 to 499 */
    atomic_ullong cancelled; /* the client left first */
    atomic_ullong active;    /* requests being served now */
    atomic_ullong waiting;   /* accepted connections without a worker yet */
};

struct app {
    const struct config *config;
    struct app_model *models; /* [n_models], in the order of the configuration */
    size_t n_models;
    struct auth *auth; /* NULL: no keys configured */
    struct watcher *watcher;
    atomic_bool draining; /* SIGTERM came: readiness is 503, engines refuse new jobs */
    struct app_counters counters;
    time_t started;
};

/* Opens every model (which go on loading by themselves), reads the API keys, starts the watcher.  A
 * model that cannot be opened is logged and kept with its failure.  config is borrowed until
 * app_close(). Errors: all models failed; keys or watcher failed.  Main only. */
int app_open(struct app *a, const struct config *config, struct err *e) MUST_CHECK;

/* Engines refuse new jobs from now on; what runs is finished.  Main only. */
void app_drain(struct app *a);

/* Closes engines and frees everything; no request may be in flight.  Main only. */
void app_close(struct app *a);

/* The model that `name` means: a consumer group or one of the aliases; NULL or "" means "primary",
 * or the only model there is. NULL with ERR_NOTFOUND, param "model", and a sentence that lists the
 * ids there are; or, where its engine could not be opened, ERR_LOADING. So ->engine of what it
 * returns is never NULL. */
const struct app_model *app_find_model(const struct app *a, const char *name, struct err *e);

/* Whether every model can answer now, and at least one exists: 0; ERR_CLOSING while draining,
 * ERR_LOADING (also for a failed one), ERR_INTERNAL for an engine that has work but made no step
 * for stall_ms. The sentence says which model. */
int app_ready(const struct app *a, double stall_ms, struct err *e) MUST_CHECK;

/* Whether no model is loading any more, and how many can answer; logs what became of each. Main
 * only. */
bool app_settled(struct app *a, size_t *n_ready);

#endif
