#include "inference/ranks_team.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "inference/ranks_follow.h"
#include "kernels/base/log.h"
#include "kernels/ranks_threads.h"

struct follower_thread {
    struct team *team;
    struct ranks *ranks;
    pthread_t thread;
};

struct team {
    char *path, *device, *isa; /* what config points to */
    struct engine_config config;
    struct ranks *ranks[RANKS_MAX];
    size_t n, n_started; /* started: of the others */
    struct follower_thread threads[RANKS_MAX];
};

/* NULL for NULL; *failed where there is no memory. */
static char *copy(const char *s, bool *failed)
{
    char *to = s ? strdup(s) : NULL;

    *failed |= s && !to;
    return to;
}

int team_create(struct team **out, const struct engine_config *c, size_t n, struct err *e)
{
    struct team *t = calloc(1, sizeof *t);
    bool failed = !t;
    int rc;

    if (t) {
        t->path = copy(c->model_path, &failed);
        t->device = copy(c->device, &failed);
        t->isa = copy(c->isa, &failed);
        t->config = (struct engine_config){
            .model_path = t->path, .device = t->device, .isa = t->isa, .n_threads = c->n_threads
        };
    }
    rc = failed ? err_set(e, ERR_NOMEM, "no memory for %zu ranks", n)
                : ranks_threads_create(t->ranks, n, e);
    if (rc) {
        team_free(t);
        return rc;
    }
    t->n = n;
    *out = t;
    return 0;
}

struct ranks *team_lead(struct team *t)
{
    return t->ranks[0];
}

/* The reason is the lead's to tell: it gets it with its next call. */
static void *follow(void *arg)
{
    struct follower_thread *f = arg;

    pthread_setname_np(pthread_self(), "rank");
    (void)!ranks_follow(&f->team->config, f->ranks, NULL);
    return NULL;
}

int team_start(struct team *t, struct err *e)
{
    sigset_t all, old;
    int rc = 0;

    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* see weights/guard.h and fcgi/sandbox.h */
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (size_t i = 1; rc == 0 && i < t->n; i++) {
        struct follower_thread *f = &t->threads[i];

        *f = (struct follower_thread){ .team = t, .ranks = t->ranks[i] };
        rc = pthread_create(&f->thread, NULL, follow, f);
        t->n_started += rc == 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        return 0;
    rc = err_set(e, ERR_IO, "cannot start the thread of rank %zu of %zu: %s", t->n_started + 1,
                 t->n, strerror(rc));
    if (e)
        t->ranks[0]->ops->quit(t->ranks[0], e);
    return rc;
}

void team_free(struct team *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_started; i++)
        pthread_join(t->threads[i + 1].thread, NULL);
    for (size_t i = 0; i < t->n; i++)
        t->ranks[i]->ops->close(t->ranks[i]);
    free(t->path);
    free(t->device);
    free(t->isa);
    free(t);
}
