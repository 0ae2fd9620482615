/* schema_object.h - an object being compiled: what schema_object.c and schema_keys.c share. */
#ifndef AIRSTRIP_CONSTRAIN_SCHEMA_OBJECT_H
#define AIRSTRIP_CONSTRAIN_SCHEMA_OBJECT_H

#include "inference/constrain/schema_work.h"

struct property {
    const char *name;
    size_t len;
    bool required, forbidden;
    int32_t node; /* its value */
};

struct object {
    struct work *w;
    const struct schemas *s;
    struct property *props;
    size_t n, cap;
    size_t min, max, n_counts;
    bool closed;    /* nothing but declared properties and those of patterns */
    int32_t others; /* a key that is not declared, with its value; GRAMMAR_NONE: there are none */
    int32_t *next;  /* [n_counts] the rules K(i + 1, c), while those of i are made */
};

/* Are there keys of this pattern of schema s that are name?  1, 0, or ERR_*. */
int object_pattern_has(struct object *o, const struct value *s, const struct value_pair *pattern,
                       const char *name, size_t len);

/* Keys that no schema declares: those of patternProperties, and others. */
int object_add_others(struct object *o) MUST_CHECK;

/* Does an unevaluatedProperties of schema u apply to properties of which, of all that u brought,
 * only schema m (or none: SIZE_MAX) speaks by name or by pattern? */
bool object_is_unevaluated(const struct object *o, size_t u, size_t m);

#endif
