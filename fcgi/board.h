/* board.h - the requests in flight, for the status page and the slow log.
 *
 * A slot lies in its request; what it points to stays as it is until board_leave(), which waits for
 * whoever is looking.  Any thread. */
#ifndef AIRSTRIP_BOARD_H
#define AIRSTRIP_BOARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum slot_state { SLOT_WORKING, SLOT_QUEUED, SLOT_PROMPT, SLOT_WRITING };

struct slot {
    const char *id, *method, *path, *address; /* address: "" if it is not known */
    const char *_Atomic model, *_Atomic key;  /* NULL: not known, or none */
    double start_ms;                          /* clock_ms() */
    time_t started;
    size_t body_bytes;
    atomic_int state; /* enum slot_state */
    atomic_size_t prompt_tokens, written_tokens;
    bool told_slow; /* the slow log's */

    struct slot *prev, *next; /* board.c's own */
};

struct board {
    pthread_mutex_t lock;
    struct slot *first, *last; /* in the order of their coming */
};

void board_init(struct board *b);
void board_done(struct board *b);

void board_enter(struct board *b, struct slot *s);
void board_leave(struct board *b, struct slot *s); /* one that was never entered is fine */

/* Calls look(arg, slot) for each, the oldest first, with the lock held: it must be quick. */
void board_each(struct board *b, void (*look)(void *arg, struct slot *s), void *arg);

/* "working", "queued", "prompt", "writing"; static. */
const char *board_state_name(const struct slot *s);

#endif
