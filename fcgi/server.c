/* One lock, held for a few instructions: a request takes it twice. */
#include "fcgi/server.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/app.h"

struct server_metrics {
    struct metrics metrics; /* first, so that the one is the other */
    char *name;
    struct server_metrics *next;
};

int server_open(struct server *s, struct config *config, struct err *e)
{
    int rc;

    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->started = time(NULL);
    board_init(&s->board);
    changes_init(&s->changes);
    rc = watcher_create(&s->watcher, e);
    if (!rc)
        rc = limits_create(&s->limits, e);
    if (rc)
        config_free(config);
    else
        rc = app_create(&s->current, s, config, NULL, e);
    if (rc == 0 && !app_any_opened(s->current, e))
        rc = e->code;
    if (rc)
        server_close(s);
    return rc;
}

void server_close(struct server *s)
{
    app_free(s->current);
    s->current = NULL;
    watcher_free(s->watcher);
    s->watcher = NULL;
    limits_free(s->limits);
    s->limits = NULL;
    while (s->metrics) {
        struct server_metrics *m = s->metrics;

        s->metrics = m->next;
        free(m->name);
        free(m);
    }
    board_done(&s->board);
    changes_done(&s->changes);
    pthread_mutex_destroy(&s->lock);
}

struct app *server_enter(struct server *s)
{
    struct app *a;

    pthread_mutex_lock(&s->lock);
    a = s->current;
    a->refs++;
    pthread_mutex_unlock(&s->lock);
    return a;
}

void server_leave(struct server *s, struct app *a)
{
    bool last;

    pthread_mutex_lock(&s->lock);
    last = --a->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (last)
        app_free(a); /* closes engines: not with the lock held */
}

void server_replace(struct server *s, struct app *a)
{
    struct app *old;

    pthread_mutex_lock(&s->lock);
    old = s->current;
    s->current = a;
    pthread_mutex_unlock(&s->lock);
    server_leave(s, old); /* the reference of being current */
}

void server_drain(struct server *s)
{
    s->draining = true;
    app_drain(s->current);
}

struct metrics *server_model_metrics(struct server *s, const char *name)
{
    struct server_metrics *m;

    pthread_mutex_lock(&s->lock);
    for (m = s->metrics; m && strcmp(m->name, name); m = m->next)
        ;
    if (!m) {
        m = calloc(1, sizeof *m);
        if (m && !(m->name = strdup(name))) {
            free(m);
            m = NULL;
        }
        if (m) {
            metrics_init(&m->metrics);
            m->next = s->metrics;
            s->metrics = m;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return m ? &m->metrics : NULL;
}

void server_count_answer(struct server *s, int status, const char *code)
{
    struct server_counters *c = &s->counters;

    c->requests++;
    if (status >= 0 && status < SERVER_MAX_STATUS)
        c->statuses[status]++;
    if (status >= 500)
        c->failed++;
    else if (status >= 400)
        c->refused++;
    if (status == 429)
        c->rate_limited++;
    else if (status == 503 && code && !strcmp(code, "server_overloaded"))
        c->overloaded++;
    else if (status == 503)
        c->unavailable++;
}
