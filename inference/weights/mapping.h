/* mapping.h - a file's bytes, mapped read-only.
 *
 * Truncating a file while it is mapped is beyond what can be checked beforehand: guard.h says what
 * comes of it.  One thread opens and closes; reading: any thread. */
#ifndef AIRSTRIP_MAPPING_H
#define AIRSTRIP_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/err.h"

struct mapping {
    const unsigned char *base; /* NULL: nothing is mapped */
    size_t bytes;
};

/* A pipe or device is refused without waiting for it.  Errors: ERR_NOTFOUND where there is no such
 * file, ERR_IO, ERR_FORMAT where it is empty; none has the path in its sentence. */
int mapping_open(struct mapping *m, const char *path, struct err *e) MUST_CHECK;
void mapping_close(struct mapping *m); /* a zeroed one is fine */

/* Whether the file was cut short since, so that some of its bytes read as zeros. */
bool mapping_lost(const struct mapping *m);

/* Puts the end of the path, where the name is, in front of e's sentence; returns code. */
int mapping_blame(const char *path, int code, struct err *e);

#endif
