/* server.h - what lives as long as the process: watcher, counters, and the app that is served now.
 *
 * A request enters at its beginning and leaves at its end; between the two it sees one app, however
 * often the configuration is read anew.  Any thread, except where a function says main. */
#ifndef AIRSTRIP_SERVER_H
#define AIRSTRIP_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "fcgi/board.h"
#include "fcgi/changes.h"
#include "fcgi/config.h"
#include "fcgi/limits.h"
#include "fcgi/metrics.h"
#include "fcgi/watcher.h"
#include "kernels/base/err.h"

struct app;

enum { SERVER_MAX_STATUS = 600 };

/* Counters since start; relaxed atomics. */
struct server_counters {
    atomic_ullong accepted;    /* connections */
    atomic_ullong not_allowed; /* connections closed at once: listen_allow has not their address */
    atomic_ullong requests;    /* requests answered, whatever the status */
    atomic_ullong failed;      /* of these: status 500 and above */
    atomic_ullong refused;     /* of these: status 400 to 499 */
    atomic_ullong slow;        /* took longer than slow_request */
    atomic_ullong cancelled;   /* the client left first */
    atomic_ullong active;      /* requests being served now */
    atomic_ullong waiting;     /* accepted connections without a worker yet */
    atomic_ullong max_active;  /* the most there were at once */
    atomic_ullong max_waiting;
    atomic_ullong statuses[SERVER_MAX_STATUS];           /* answers by status */
    atomic_ullong overloaded, rate_limited, unavailable; /* answers that say: try again later */
};

/* Whether another process is to serve in this one's place (handover.h). */
enum succession {
    SUCCESSION_NONE,
    SUCCESSION_COMING, /* it has the sockets, and loads its models */
    SUCCESSION_DONE,   /* it serves */
};

struct server_metrics; /* the metrics of a model's name, once there was one */

struct server {
    struct watcher *watcher;
    struct limits *limits;
    struct board board;
    struct server_counters counters;
    atomic_bool leaving;   /* SIGTERM came: readiness is 503, and all is served as ever */
    atomic_bool draining;  /* drain_notice has passed: readiness is 503, engines refuse new jobs */
    atomic_int succession; /* enum succession; the sidedoor's thread writes it */
    atomic_int successor;  /* process id of the one that comes */
    atomic_uint turn;      /* where models of one group are equally busy they take turns by it */
    struct changes changes; /* of the models that are served */
    time_t started;
    pthread_mutex_t lock; /* guards what follows, and the references of apps */
    struct app *current;
    struct server_metrics *metrics;
};

/* Takes *config (heap, from config_create()) also where it fails.  Models go on loading by
 * themselves; those that cannot be opened are logged and kept with their failure.
 * Errors: all models failed; keys or watcher failed.  Main only, as is server_close(). */
int server_open(struct server *s, struct config *config, struct err *e) MUST_CHECK;

/* Closes engines and frees everything; no request may be in flight. */
void server_close(struct server *s);

/* The app that is served now, to be given back with server_leave(); the last one out frees it. */
struct app *server_enter(struct server *s);
void server_leave(struct server *s, struct app *a);

/* From now on `a` (made by app_create(), taken) is served; what runs keeps the app it entered. */
void server_replace(struct server *s, struct app *a);

/* Engines refuse new jobs from now on; what runs is finished.  Main only. */
void server_drain(struct server *s);

/* The metrics of the model called name, which stay until server_close(); NULL without memory. */
struct metrics *server_model_metrics(struct server *s, const char *name);

/* An answer with this status and code (NULL: none) went out. */
void server_count_answer(struct server *s, int status, const char *code);

#endif
