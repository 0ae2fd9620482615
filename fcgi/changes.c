#include "fcgi/changes.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/signals.h"

void changes_init(struct changes *c)
{
    *c = (struct changes){ .first = NULL };
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->over, NULL);
}

void changes_done(struct changes *c)
{
    pthread_cond_destroy(&c->over);
    pthread_mutex_destroy(&c->lock);
}

int changes_ask(struct changes *c, struct change *change, struct err *e)
{
    struct change **last;

    change->next = NULL;
    change->over = false;
    change->err = (struct err){ 0 };
    pthread_mutex_lock(&c->lock);
    if (c->closed) {
        err_set(&change->err, ERR_CLOSING, "the server is shutting down");
    } else {
        for (last = &c->first; *last; last = &(*last)->next)
            ;
        *last = change;
        signals_wake();
        while (!change->over)
            pthread_cond_wait(&c->over, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    if (change->err.code)
        *e = change->err;
    return change->err.code;
}

struct change *changes_next(struct changes *c)
{
    struct change *first;

    pthread_mutex_lock(&c->lock);
    first = c->first;
    pthread_mutex_unlock(&c->lock);
    return first;
}

/* With the lock held. */
static void answer(struct changes *c, const struct err *e)
{
    struct change *first = c->first;

    c->first = first->next;
    if (e)
        first->err = *e;
    first->over = true;
}

void changes_answer(struct changes *c, const struct err *e)
{
    pthread_mutex_lock(&c->lock);
    answer(c, e);
    pthread_cond_broadcast(&c->over);
    pthread_mutex_unlock(&c->lock);
}

void changes_close(struct changes *c)
{
    struct err e;

    err_set(&e, ERR_CLOSING, "the server is shutting down");
    pthread_mutex_lock(&c->lock);
    c->closed = true;
    while (c->first)
        answer(c, &e);
    pthread_cond_broadcast(&c->over);
    pthread_mutex_unlock(&c->lock);
}

static bool is_taken(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_models; i++)
        if (!strcmp(c->models[i].name, name) || config_has_alias(&c->models[i], name))
            return true;
    return false;
}

/* Its own name, or the group's with the lowest number that is free. */
static int choose_name(const struct config *c, struct change *change, struct err *e)
{
    const char *name = change->name ? change->name : change->group;

    if (strlen(name) > CONFIG_MAX_NAME_BYTES)
        return err_set(e, ERR_INVALID, "expected a name of at most %d bytes, found %zu",
                       CONFIG_MAX_NAME_BYTES, strlen(name));
    snprintf(change->added, sizeof change->added, "%s", name);
    if (change->name && is_taken(c, name))
        return err_set(e, ERR_INVALID, "there is a reader called \"%s\" already", name);
    for (unsigned n = 2; is_taken(c, change->added); n++)
        snprintf(change->added, sizeof change->added, "%s-%u", name, n);
    return 0;
}

static int add(struct config *c, struct change *change, struct err *e)
{
    struct model_config *m;
    int rc = choose_name(c, change, e);

    if (!rc)
        rc = config_model(c, change->added, &m, e);
    if (!rc)
        rc = config_set(c, m, config_key("group"), change->group, e);
    for (size_t i = 0; !rc && i < change->n_settings; i++)
        rc = config_set(c, m, change->settings[i].key, change->settings[i].value, e);
    return rc ? rc : config_finish_last(c, e);
}

static int drop(struct config *c, const char *name, struct err *e)
{
    for (size_t i = 0; i < c->n_models; i++) {
        if (strcmp(c->models[i].name, name) != 0)
            continue;
        c->n_models--;
        memmove(&c->models[i], &c->models[i + 1], (c->n_models - i) * sizeof *c->models);
        return 0;
    }
    return err_set(e, ERR_NOTFOUND, "There is no reader `%.100s`.", name);
}

int changes_apply(struct config *now, struct change *change, struct config **out, struct err *e)
{
    struct config *c;
    int rc = config_copy(&c, now, e);

    if (rc)
        return rc;
    rc = change->settings ? add(c, change, e) : drop(c, change->name, e);
    if (rc)
        config_free(c);
    else
        *out = c;
    return rc;
}
