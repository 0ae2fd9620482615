#include "inference/shares.h"

#include <stdlib.h>
#include <string.h>

/* Owners that are idle are remembered up to so many: one who waits a moment keeps its counter. */
enum { MAX_IDLE = 256, WRITTEN_WEIGHT = 2 };

void shares_done(struct shares *s)
{
    while (s->list) {
        struct share *one = s->list;

        s->list = one->next;
        free(one->owner);
        free(one);
    }
    s->n = 0;
}

struct share *shares_find(const struct shares *s, const char *owner)
{
    struct share *one = owner ? s->list : NULL;

    while (one && strcmp(one->owner, owner))
        one = one->next;
    return one;
}

static struct share *make(struct shares *s, const char *owner)
{
    struct share *one = calloc(1, sizeof *one);

    if (one)
        one->owner = strdup(owner);
    if (!one || !one->owner) {
        free(one);
        return NULL;
    }
    one->next = s->list;
    s->list = one;
    s->n++;
    return one;
}

/* Raises one that was idle to the least of those who are active. */
static void lift(const struct shares *s, struct share *one)
{
    const struct share *least = NULL;

    for (const struct share *p = s->list; p; p = p->next)
        if (p->n_jobs && (!least || p->served < least->served))
            least = p;
    if (least && one->served < least->served)
        one->served = least->served;
}

/* Of the idle, the one that was served least has the least to lose. */
static void forget_one(struct shares *s)
{
    struct share **found = NULL, *gone;

    for (struct share **p = &s->list; *p; p = &(*p)->next)
        if (!(*p)->n_jobs && (!found || (*p)->served < (*found)->served))
            found = p;
    if (!found)
        return;
    gone = *found;
    *found = gone->next;
    free(gone->owner);
    free(gone);
    s->n--;
}

struct share *shares_join(struct shares *s, const char *owner)
{
    struct share *one = shares_find(s, owner);

    if (!owner)
        return NULL;
    if (!one) {
        if (s->n >= MAX_IDLE)
            forget_one(s);
        one = make(s, owner);
    }
    if (!one)
        return NULL;
    if (!one->n_jobs)
        lift(s, one);
    one->n_jobs++;
    return one;
}

void shares_leave(struct share *one)
{
    if (one)
        one->n_jobs--;
}

void shares_charge(struct share *one, size_t prompt, size_t written)
{
    if (one)
        one->served += (double)prompt + WRITTEN_WEIGHT * (double)written;
}
