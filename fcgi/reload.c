/* Reading the configuration anew makes a second app beside the one that is served.  Models that did
 * not change are shared; the others load while the old ones go on, which takes the memory of both
 * for that time.  When all are ready the new app takes the old one's place; where anything is wrong
 * it is dropped, and the log says why.  A model that is added or removed goes the same way, by a
 * copy of the configuration; whoever asked for it is answered. */
#include "fcgi/reload.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "fcgi/access_log.h"
#include "fcgi/notify.h"
#include "kernels/base/log.h"

static void refuse(struct keeper *k, const char *why)
{
    log_msg(LOG_ERROR, "reload", "the configuration stays as it was: %s", why);
    if (k->coming)
        app_free(k->coming);
    k->coming = NULL;
    notify("READY=1");
}

/* What only a start can change. */
static void warn_of_change(const char *key, const char *was, const char *now)
{
    if (strcmp(was ? was : "", now ? now : ""))
        log_msg(LOG_WARN, "reload", "%s has changed, which takes effect at the next start", key);
}

static void warn_of_number(const char *key, size_t was, size_t now)
{
    warn_of_change(key, "", was == now ? "" : "another");
}

static int use_log(const struct config *now, const struct config *was, struct err *e)
{
    int rc = 0;

    log_set_level(now->log_level);
    if (now->log && (!was->log || strcmp(now->log, was->log)))
        rc = log_open(now->log, e);
    if (!rc && now->access_log && (!was->access_log || strcmp(now->access_log, was->access_log)))
        rc = access_log_open(now->access_log, e);
    return rc;
}

/* A model that can never be opened is known at once. */
void reload_begin(struct keeper *k)
{
    const struct config *was = k->server->current->config;
    enum config_action action;
    struct config *c = config_create();
    struct timespec t;
    struct err e;
    int rc = c ? 0 : err_set(&e, ERR_NOMEM, "no memory for the configuration");

    clock_gettime(CLOCK_MONOTONIC, &t);
    notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
    if (!rc)
        rc = reading_do(k->reading, c, &action, &e);
    if (!rc)
        rc = sockets_check(k->sockets, c, &e);
    if (!rc)
        rc = use_log(c, was, &e);
    if (rc) {
        config_free(c);
        refuse(k, e.text);
        return;
    }
    warn_of_change("listen", was->listen, c->listen);
    warn_of_change("status_listen", was->status_listen, c->status_listen);
    warn_of_number("listen_mode", was->listen_mode, c->listen_mode);
    warn_of_number("seccomp", was->seccomp, c->seccomp);
    if (app_create(&k->coming, k->server, c, k->server->current, &e))
        refuse(k, e.text);
}

/* Whether the model of that name cannot be used now either; a may be NULL. */
static bool has_failed(const struct app *a, const char *name)
{
    struct engine_status s;

    for (size_t i = 0; a && i < a->n_models; i++)
        if (!strcmp(a->models[i].reader, name)) {
            if (!a->models[i].engine)
                return true;
            engine_status(a->models[i].engine, &s);
            return s.state == ENGINE_FAILED;
        }
    return false;
}

/* Whether a model of a failed that `now` (or NULL) serves, or that is new. */
bool reload_any_failed(const struct app *a, const struct app *now, struct err *e)
{
    for (size_t i = 0; i < a->n_models; i++) {
        struct engine_status s = { .state = ENGINE_FAILED };

        s.failure = a->models[i].served->failure;
        if (a->models[i].engine)
            engine_status(a->models[i].engine, &s);
        if (s.state == ENGINE_FAILED && !has_failed(now, a->models[i].reader)) {
            *e = s.failure;
            err_prefix(e, "model \"%s\": ", a->models[i].reader);
            return true;
        }
    }
    return false;
}

static void reload_again(struct keeper *k)
{
    if (!k->again)
        return;
    k->again = false;
    reload_begin(k);
}

static void look_at_coming(struct keeper *k)
{
    size_t n_ready;
    struct err e;

    if (!app_settled(k->coming, &n_ready))
        return;
    if (reload_any_failed(k->coming, k->server->current, &e)) {
        refuse(k, e.text);
    } else {
        server_replace(k->server, k->coming);
        k->coming = NULL;
        log_msg(LOG_INFO, "reload", "the configuration was read anew; %zu models", n_ready);
        notify("READY=1\nSTATUS=%zu models ready", n_ready);
    }
    reload_again(k);
}

/* --- models added and removed --- */

/* Who asked waits for it; e NULL: it is done. */
static void end_change(struct keeper *k, const struct err *e)
{
    const struct change *c = changes_next(&k->server->changes);

    if (e)
        log_msg(LOG_WARN, "reader", "%s of \"%s\" failed: %s",
                c->settings ? "the adding" : "the removal", c->settings ? c->added : c->name,
                e->text);
    else
        log_msg(LOG_INFO, "reader", "\"%s\" was %s", c->settings ? c->added : c->name,
                c->settings ? "added" : "removed");
    k->changing = false;
    changes_answer(&k->server->changes, e);
}

static void begin_change(struct keeper *k, struct change *change)
{
    struct config *c;
    struct err e;

    if (changes_apply((struct config *)(uintptr_t)k->server->current->config, change, &c, &e) ||
        app_create(&k->coming, k->server, c, k->server->current, &e))
        end_change(k, &e);
    else
        k->changing = true;
}

/* Whether what is coming is there, and what became of it. */
static void look_at_change(struct keeper *k)
{
    size_t n_ready;
    struct err e;

    if (!app_settled(k->coming, &n_ready))
        return;
    if (reload_any_failed(k->coming, k->server->current, &e)) {
        app_free(k->coming);
        k->coming = NULL;
        end_change(k, &e);
    } else {
        server_replace(k->server, k->coming);
        k->coming = NULL;
        end_change(k, NULL);
        notify("STATUS=%zu models ready", n_ready);
    }
    reload_again(k);
}

/* One at a time, and none before the start or a reading is done. */
static void look_at_changes(struct keeper *k)
{
    struct change *next;

    while (k->settled && !k->coming && (next = changes_next(&k->server->changes)) != NULL) {
        begin_change(k, next);
        if (k->coming)
            look_at_change(k); /* a removal is done at once */
    }
}

void reload_look(struct keeper *k)
{
    if (k->coming && k->changing)
        look_at_change(k);
    else if (k->coming)
        look_at_coming(k);
    look_at_changes(k);
}
