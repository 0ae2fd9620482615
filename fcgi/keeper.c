#include "fcgi/keeper.h"

#include <signal.h>
#include <string.h>

#include "fcgi/access_log.h"
#include "fcgi/launch.h"
#include "fcgi/notify.h"
#include "fcgi/reload.h"
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

    if (launch_failed(&k->why)) {
        log_msg(LOG_ERROR, "stop", "%s: ending, to be started anew with the others", k->why.text);
        return true;
    }
    if (!a->config->stall_exit)
        return false;
    if (!app_stalled(a, &k->why) && (k->coming || !app_broken(a, &k->why)))
        return false;
    log_msg(LOG_ERROR, "stop", "stall_exit is on: ending, to be started anew");
    return true;
}

/* Who computes with other processes has failed with any of them, also while nothing runs. */
static void look_at_ranks(struct keeper *k)
{
    struct err e;

    if (!k->lost_ranks && launch_failed(&e)) {
        k->lost_ranks = true;
        app_fail(k->server->current, &e);
    }
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
        reload_begin(k);
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
    return reload_any_failed(k->server->current, NULL, e) ? e->code : 0;
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
        reload_look(k);
        sandbox_look();
        slow_log_look(k->server, k->server->current->config->slow_ms);
        give_back_memory(k);
        look_for_stall(k);
        look_at_ranks(k);
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
    const char *why;
    double deadline;

    changes_close(&k->server->changes); /* nobody makes them any more */
    why = give_notice(k);
    deadline = clock_ms() + (double)k->server->current->config->drain_timeout_ms;
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
