/* shares.h - who has been served how much, and so who comes next among jobs of equal priority.
 *
 * Each owner of jobs (an API key) has a counter of the tokens that it was given; the waiting job
 * whose owner has the least is let in first, so that one who sends a hundred requests does not make
 * one who sends two wait for them all.  Who comes back from idleness starts at the least counter of
 * those who are active: nobody saves up (virtual token counters; Sheng et al. 2024, "Fairness in
 * Serving Large Language Models", algorithm 2).  Under the scheduler's lock. */
#ifndef AIRSTRIP_SHARES_H
#define AIRSTRIP_SHARES_H

#include <stddef.h>

struct share {
    char *owner;
    double served;
    size_t n_jobs;    /* waiting and running */
    size_t n_waiting; /* of those, in the queue */
    struct share *next;
};

struct shares {
    struct share *list;
    size_t n;
};

void shares_done(struct shares *s);

/* One more job of that owner; NULL for an owner NULL, or without memory: then it counts as one whom
 * nobody knows, and is served in turn. */
struct share *shares_join(struct shares *s, const char *owner);
void shares_leave(struct share *one); /* NULL is fine */

/* What is known of that owner; NULL for one that is not known, and for NULL. */
struct share *shares_find(const struct shares *s, const char *owner);

/* prompt: tokens of a prompt; written: of an answer, which count double since they cost more. */
void shares_charge(struct share *one, size_t prompt, size_t written); /* NULL is fine */

#endif
