/* matcher.h - reading a text with a network: all ways at once.
 *
 * A way of reading is a state and a frame, the stack of what to go on with after the rule; the set
 * of all ways is a number, and equal sets have equal numbers, so that a position in a text is one
 * integer that can be kept, copied and gone back to.  Frames, sets and where bytes lead are
 * remembered for the life of the matcher.  One thread at a time. */
#ifndef AIRSTRIP_MATCHER_H
#define AIRSTRIP_MATCHER_H

#include <stdbool.h>

#include "inference/constrain/network.h"
#include "inference/constrain/table.h"

enum {
    MATCH_DEAD = -1,   /* no way goes on with this byte */
    MATCH_FAILED = -2, /* no memory, or more ways than MATCH_MAX_WAYS */
};

enum { MATCH_MAX_WAYS = 2048 };

enum { FRAME_ROOT = 0, FRAME_LOCAL = 1 };

enum {
    SET_COMPLETE = 1, /* the text may end here */
    SET_ESCAPED = 2,  /* a way left the rule in which a local walk began: see mask.c */
};

struct way {
    uint32_t state, frame;
};

struct matcher {
    struct network net;
    struct table frames; /* { state to go on in, parent } */
    struct table sets;   /* { flags, then ways } */
    int32_t *popped;     /* [frames] the set after a frame is popped, or UNKNOWN */
    size_t cap_popped;
    struct set_memory {
        int32_t *next; /* [256], once the set has been used a few times */
        uint32_t uses;
    } * memory; /* [sets] */
    size_t cap_memory;
    struct way *ways; /* the set being made */
    size_t n_ways, cap_ways;
    uint32_t flags;
    uint64_t *seen;    /* open addressing: ways of the set being made ... */
    uint32_t *seen_in; /* ... where this is its round */
    uint32_t round;
    size_t n_seen, n_slots;
};

/* Takes the network. */
int matcher_init(struct matcher *m, struct network *n, struct err *e) MUST_CHECK;
void matcher_done(struct matcher *m);

/* The set from which rule `rule` is read, nothing after it. */
int32_t matcher_start(struct matcher *m, uint32_t rule);
/* One state alone, with what follows it unknown. */
int32_t matcher_local(struct matcher *m, uint32_t state);
/* After a byte: a set, MATCH_DEAD or MATCH_FAILED. */
int32_t matcher_step(struct matcher *m, int32_t set, uint8_t byte);
/* After the rule that stands above frame has ended. */
int32_t matcher_popped(struct matcher *m, uint32_t frame);

static inline uint32_t set_flags(const struct matcher *m, int32_t set)
{
    return table_run(&m->sets, (size_t)set)[0];
}

static inline size_t set_ways(const struct matcher *m, int32_t set)
{
    return (m->sets.runs[set].len - 1) / 2;
}

static inline struct way set_way(const struct matcher *m, int32_t set, size_t i)
{
    const uint32_t *run = table_run(&m->sets, (size_t)set);

    return (struct way){ run[1 + 2 * i], run[2 + 2 * i] };
}

/* Bytes held. */
size_t matcher_bytes(const struct matcher *m);

#endif
