/* place.h - how many layers of a model a device has memory for, measured before any is uploaded.
 *
 * The head and the last layers go to the device, with their share of the cache, all that a step
 * works in, and what the device itself needs for that; the first layers stay on the host.
 * The engine's thread. */
#ifndef AIRSTRIP_PLACE_H
#define AIRSTRIP_PLACE_H

#include "inference/model.h"

struct place {
    size_t n_host;      /* layers that stay on the host */
    size_t need_bytes;  /* of the whole model */
    size_t least_bytes; /* of the head, one layer and what is needed beside layers */
    size_t free_bytes;  /* of the device */
};

/* What is to be placed; borrowed. */
struct place_ask {
    const struct model *model; /* checked, not yet uploaded */
    const struct weights *weights;
    const struct backend *backend;
    struct device *device;
    const struct kv_shape *kv;
    size_t kv_bytes;
    size_t max_rows, max_outputs; /* of the two forward passes: of prompts, */
    size_t max_tokens;            /* and of generated rows, all of them outputs */
};

/* n_host is 0 where all fits or the device has no memory of its own; ERR_NOMEM where not even one
 * layer does, with the bytes. */
int place_find(struct place *p, const struct place_ask *ask, struct err *e) MUST_CHECK;

#endif
