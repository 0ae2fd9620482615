/* slots.h - the places of those that run: each has one for as long as it does, so that who looks
 * (engine_slots()) finds it where it was.  Under the scheduler's lock. */
#ifndef AIRSTRIP_SLOTS_H
#define AIRSTRIP_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

struct job;

struct slots {
    struct job **jobs; /* [n], borrowed; NULL: free */
    size_t n;
};

bool slots_init(struct slots *s, size_t n); /* false: no memory */
void slots_done(struct slots *s);           /* a zeroed one is fine */

/* j takes the first free one (there is one), and leaves it. */
void slots_take(struct slots *s, struct job *j);
void slots_leave(struct slots *s, const struct job *j);

#endif
