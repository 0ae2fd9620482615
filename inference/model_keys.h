/* model_keys.h - numbers of a family out of a model file's metadata, each with its bounds.
 *
 * Private to model_check.c.  Any thread. */
#ifndef AIRSTRIP_MODEL_KEYS_H
#define AIRSTRIP_MODEL_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "inference/weights/weights.h"
#include "kernels/base/err.h"

enum { MAX_KEY_BYTES = 96 };

struct keys {
    const struct weights *w;
    const char *prefix; /* the architecture's name */
};

/* "<prefix>.<suffix>" into buf; returns buf. */
const char *key_name(const struct keys *k, const char *suffix, char buf[static MAX_KEY_BYTES]);

/* An integer key within min .. max.  Absent: *out stays, ERR_FORMAT where it is required. */
int key_size(const struct keys *k, const char *suffix, bool required, size_t min, size_t max,
             size_t *out, struct err *e) MUST_CHECK;

/* A finite number within min .. max; same rule for absent ones. */
int key_real(const struct keys *k, const char *suffix, bool required, double min, double max,
             double *out, struct err *e) MUST_CHECK;

#endif
