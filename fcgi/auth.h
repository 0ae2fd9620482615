/* auth.h - API keys: who may ask, for which models, and how much.
 *
 * Keys come from a file that holds their salted hashes (secret.h), never from the command line, and
 * are never logged; their names are.  One line a key:
 *
 *   NAME $hmac-sha256$SALT$HASH [models=A,B] [concurrency=N] [requests_per_minute=N]
 *                               [tokens_per_minute=N] [manage=yes]
 *
 * Immutable after auth_open(); any thread may check. */
#ifndef AIRSTRIP_AUTH_H
#define AIRSTRIP_AUTH_H

#include <stdbool.h>

#include "fcgi/limits.h"
#include "fcgi/secret.h"
#include "kernels/base/err.h"

struct auth;

enum { AUTH_NAME_BYTES = 64 };

struct auth_key {
    char name[AUTH_NAME_BYTES];
    struct secret secret;
    char *models; /* names separated by commas; NULL: all */
    bool manage;  /* models may be added and removed with it, see fcgi/takeoff/door.h */
    struct limit_rule rule;
};

/* Reads the file; empty lines and lines that begin with '#' are skipped.  Errors, with the line:
 * ERR_IO; ERR_FORMAT; ERR_INVALID for a file without any key (it would lock everybody out). */
int auth_open(struct auth **out, const char *path, struct err *e) MUST_CHECK;
void auth_free(struct auth *a); /* NULL is fine */

/* The key that an Authorization header holds ("Bearer KEY"; NULL if none came); NULL: none of them.
 * Lives as long as *a.  Takes the same time whichever key it is and however much of it is right. */
const struct auth_key *auth_check(const struct auth *a, const char *authorization);

/* Whether it may ask the model of that name (its consumer group). */
bool auth_allows(const struct auth_key *k, const char *model);

/* Letters, digits and . _ @ -, so that a name stands plainly in the log and in the file. */
bool auth_is_name(const char *s);

#endif
