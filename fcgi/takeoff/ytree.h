/* ytree.h - YAML text as a tree with places, read by libyaml.
 *
 * Bounded for outside bytes: size, depth, number of nodes.  An alias is a second reference to the
 * node, never a copy, so that "billion laughs" is as small as it was written; who walks the tree
 * knows how deep it goes.  A key twice in one map, a second document, a zero byte and tags of one's
 * own are errors.  Merge keys (<<) are keys like others.  Any thread. */
#ifndef AIRSTRIP_TAKEOFF_YTREE_H
#define AIRSTRIP_TAKEOFF_YTREE_H

#include <stddef.h>

#include "fcgi/takeoff/settings.h"
#include "kernels/base/arena.h"
#include "kernels/base/err.h"

struct ytree {
    enum takeoff_kind kind;   /* plain scalars by YAML 1.2's core schema, quoted ones are texts */
    size_t line, column;      /* from 1 */
    const char *text;         /* of a scalar as it is written, zero-terminated */
    const char *value;        /* the same as true or false, or as decimal digits, '-' before */
    char number[24];          /* which are here, where it is written otherwise */
    struct ytree_pair *pairs; /* of a map; [n] */
    size_t n;                 /* of a map or a list, whose items are not kept */
};

struct ytree_pair {
    const char *key;
    struct ytree *value;
    size_t line, column; /* of the key */
};

/* Reads one document; *out is NULL where there is none.  name is for messages, which read
 * "NAME:LINE:COLUMN: ...".  Errors: ERR_FORMAT; ERR_LIMIT; ERR_NOMEM; ERR_UNSUPPORTED where this
 * program was built without libyaml. */
int ytree_parse(const char *name, const char *text, size_t len, struct arena *a, struct ytree **out,
                struct err *e) MUST_CHECK;

#endif
