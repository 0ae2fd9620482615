/* Reading the configuration anew makes a second app beside the one that is served.  Models that did
 * not change are shared; the others load while the old ones go on, which takes the memory of both
 * for that time.  When all are ready the new app takes the old one's place; where anything is wrong
 * it is dropped, and the log says why. */
#include "fcgi/keeper.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "fcgi/access_log.h"
#include "fcgi/notify.h"
#include "fcgi/sandbox.h"
#include "fcgi/signals.h"
#include "fcgi/slow_log.h"
#include "kernels/base/clock.h"
#include "kernels/base/heap.h"
#include "kernels/base/log.h"

enum { LOADING_POLL_MS = 100, TICK_MS = 1000, DRAIN_POLL_MS = 20, QUIET_MS = 5000 };

static void reopen_log(void)
{
    struct err e;

    if (log_reopen(&e) || access_log_reopen(&e))
        log_msg(LOG_ERROR, "log", "%s", e.text);
    else
        log_msg(LOG_INFO, "log", "reopened");
}

/* --- reading the configuration anew --- */

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
static void begin_reload(struct keeper *k)
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
static bool any_failed(const struct app *a, const struct app *now, struct err *e)
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

static void look_at_coming(struct keeper *k)
{
    size_t n_ready;
    struct err e;

    if (!app_settled(k->coming, &n_ready))
        return;
    if (any_failed(k->coming, k->server->current, &e)) {
        refuse(k, e.text);
    } else {
        server_replace(k->server, k->coming);
        k->coming = NULL;
        log_msg(LOG_INFO, "reload", "the configuration was read anew; %zu models", n_ready);
        notify("READY=1\nSTATUS=%zu models ready", n_ready);
    }
    if (k->again) {
        k->again = false;
        begin_reload(k);
    }
}

/* --- the loop --- */

/* Who asks /readyz reads the state itself; this is for the log, the service manager, and giving up.
 * False: no model could be loaded. */
static bool look_at_first(struct keeper *k)
{
    size_t n_ready;

    if (!app_settled(k->server->current, &n_ready))
        return true;
    k->settled = true;
    if (n_ready) {
        notify("READY=1\nSTATUS=%zu models ready", n_ready);
    } else {
        err_set(&k->why, ERR_IO, "no model could be loaded");
        log_msg(LOG_ERROR, "stop", "%s", k->why.text);
    }
    return n_ready > 0;
}

static void look_for_stall(struct keeper *k)
{
    struct err e;
    bool stalled = app_stalled(k->server->current, &e);

    if (stalled && !k->stalled)
        log_msg(LOG_ERROR, "stall", "%s", e.text);
    else if (!stalled && k->stalled)
        log_msg(LOG_WARN, "stall", "it goes on");
    k->stalled = stalled;
    if (!stalled)
        notify_alive();
}

/* True: only a new process can help, and the operator wants one.  What failed is in the log
 * already.  A configuration that is on its way may bring another engine for one that has failed,
 * but not end one that hangs. */
static bool wants_restart(struct keeper *k)
{
    const struct app *a = k->server->current;

    if (!a->config->stall_exit)
        return false;
    if (!app_stalled(a, &k->why) && (k->coming || !app_broken(a, &k->why)))
        return false;
    log_msg(LOG_ERROR, "stop", "stall_exit is on: ending, to be started anew");
    return true;
}

/* When nothing has run for a while, what requests have left behind goes back to the system: once.
 */
static void give_back_memory(struct keeper *k)
{
    uint64_t n_ended;
    bool busy = app_works(k->server->current, &n_ended);

    if (busy || n_ended != k->n_ended) {
        k->n_ended = n_ended;
        k->quiet_since_ms = clock_ms();
        k->gave_back = false;
    } else if (!k->gave_back && clock_ms() - k->quiet_since_ms > QUIET_MS) {
        k->gave_back = true;
        heap_give_back();
    }
}

static void handle(struct keeper *k, int number)
{
    if (number == SIGUSR1 || number == SIGHUP)
        reopen_log();
    if (number != SIGHUP)
        return;
    if (k->coming)
        k->again = true;
    else
        begin_reload(k);
}

int keeper_await(struct keeper *k, struct err *e)
{
    size_t n_ready;

    while (!app_settled(k->server->current, &n_ready)) {
        int number = signals_next(LOADING_POLL_MS);

        if (signals_stop(number))
            return err_set(e, ERR_CLOSING, "%s before the sockets were taken over",
                           strsignal(number));
        if (number == SIGHUP || number == SIGUSR1)
            reopen_log();
    }
    return any_failed(k->server->current, NULL, e) ? e->code : 0;
}

int keeper_serve(struct keeper *k)
{
    for (;;) {
        int number = signals_next(k->settled && !k->coming ? TICK_MS : LOADING_POLL_MS);

        if (signals_stop(number)) {
            log_msg(LOG_INFO, "stop", "%s: finishing what runs", strsignal(number));
            return 0;
        }
        if (k->server->succession == SUCCESSION_DONE) {
            log_msg(LOG_INFO, "stop", "process %d serves now: finishing what runs",
                    (int)k->server->successor);
            return 0;
        }
        handle(k, number);
        if (!k->settled && !look_at_first(k))
            return 1;
        if (k->coming)
            look_at_coming(k);
        sandbox_look();
        slow_log_look(k->server, k->server->current->config->slow_ms);
        give_back_memory(k);
        look_for_stall(k);
        if (wants_restart(k))
            return 1;
    }
}

/* A reason to end at once, or NULL. */
static const char *give_notice(struct keeper *k)
{
    double until = clock_ms() + (double)k->server->current->config->drain_notice_ms;

    if (k->server->succession != SUCCESSION_NONE || k->stalled)
        return NULL;
    k->server->leaving = true;
    notify("STOPPING=1");
    while (clock_ms() < until) {
        int number = signals_next(DRAIN_POLL_MS);

        if (signals_stop(number))
            return "a second signal came";
        if (number == SIGUSR1 || number == SIGHUP)
            reopen_log();
        sandbox_look();
        slow_log_look(k->server, k->server->current->config->slow_ms);
    }
    return NULL;
}

/* Where the socket stays open elsewhere, who was accepted is served, whatever came of the request
 * so far; else new requests are refused at once. */
static void begin_drain(struct keeper *k, struct acceptor *a, bool is_kept)
{
    if (is_kept) {
        acceptor_pause(a);
        /* Only the status socket is still asked, if nobody else serves that too. */
        k->server->draining = k->server->succession == SUCCESSION_NONE;
    } else {
        server_drain(k->server);
    }
    if (k->server->succession == SUCCESSION_DONE)
        notify("MAINPID=%d", (int)k->server->successor);
    else
        notify("STOPPING=1");
}

void keeper_drain(struct keeper *k, struct acceptor *a, bool is_kept)
{
    const char *why = give_notice(k);
    double deadline = clock_ms() + (double)k->server->current->config->drain_timeout_ms;

    begin_drain(k, a, is_kept);
    if (k->stalled)
        why = "an engine hangs";
    while (!why && (is_kept ? acceptor_open(a) : acceptor_unfinished(a))) {
        int number = signals_next(DRAIN_POLL_MS);

        if (signals_stop(number))
            why = "a second signal came";
        else if (number == SIGUSR1)
            reopen_log();
        else if (clock_ms() > deadline)
            why = "drain_timeout passed";
    }
    if (why)
        log_msg(LOG_WARN, "stop", "%s with %zu requests running: they end now", why,
                is_kept ? acceptor_open(a) : acceptor_unfinished(a));
    server_drain(k->server);
    watcher_stop_all(k->server->watcher);
    if (k->coming)
        app_free(k->coming);
    k->coming = NULL;
    sandbox_look();
}
