/* changes.h - models that somebody wants added or removed while the program runs: from the worker
 * that serves the request to main, and back.
 *
 * A worker asks and waits; main takes one change after the other, makes the configuration with it
 * the one that is served (keeper.c), and answers.  What was changed so counts until the
 * configuration is read anew. */
#ifndef AIRSTRIP_CHANGES_H
#define AIRSTRIP_CHANGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "fcgi/config_keys.h"
#include "kernels/base/err.h"

/* One key of a model, as text. */
struct change_setting {
    const struct config_key *key;
    const char *value;
};

/* The worker's: main does not touch it once it is over. */
struct change {
    const char *name;                      /* the model's, of its section; NULL: one that is free */
    const char *group;                     /* clients' name; settings need not say it */
    const struct change_setting *settings; /* [n_settings] of a model to be added; NULL: it is to be
                                            * removed */
    size_t n_settings;
    char added[CONFIG_MAX_NAME_BYTES + 16]; /* the name that it was added under */

    /* What follows is changes.c's own. */
    struct change *next;
    bool over;
    struct err err;
};

struct changes {
    pthread_mutex_t lock; /* guards all of it, and next, over of each change */
    pthread_cond_t over;
    struct change *first; /* in the order of their coming */
    bool closed;          /* nobody takes any more */
};

void changes_init(struct changes *c);
void changes_done(struct changes *c); /* nobody may be waiting */

/* Waits until main has answered, however long loading takes.  Errors: main's; ERR_CLOSING. */
int changes_ask(struct changes *c, struct change *change, struct err *e) MUST_CHECK;

/* The next one that was not answered yet, or NULL; the same until it is.  Main only, as all below.
 */
struct change *changes_next(struct changes *c);

/* The first is over: e NULL, or why it could not be.  Its memory may be gone afterwards. */
void changes_answer(struct changes *c, const struct err *e);

/* From now on every change is ERR_CLOSING, those that wait too. */
void changes_close(struct changes *c);

/* A configuration in which the change is made: a copy of `now`, to be given to app_create().
 * Errors: ERR_NOTFOUND (nothing to remove), ERR_INVALID, and config.h's. */
int changes_apply(struct config *now, struct change *change, struct config **out,
                  struct err *e) MUST_CHECK;

#endif
