/* auth.h - API keys: who may ask.
 *
 * Keys come from a file, one a line, never from the command line, and are never logged.  Immutable
 * after auth_open(); any thread may check. */
#ifndef AIRSTRIP_AUTH_H
#define AIRSTRIP_AUTH_H

#include <stdbool.h>

#include "kernels/base/err.h"

struct auth;

/* Reads keys: one a line, blanks around it ignored, empty lines and lines that begin with '#'
 * skipped. Errors: ERR_IO; ERR_INVALID for a file without any key (it would lock everybody out). */
int auth_open(struct auth **out, const char *path, struct err *e) MUST_CHECK;
void auth_free(struct auth *a); /* NULL is fine */

/* Whether an Authorization header ("Bearer KEY"; NULL if none came) holds one of the keys.  Takes
 * the same time whichever key it is and however much of it is right. */
bool auth_check(const struct auth *a, const char *authorization);

#endif
