/* digest.h - the hash that a hub calls a file by: SHA-256, or for small files kept in git the SHA-1
 * of "blob SIZE\0" and the contents (git-hash-object(1)).
 *
 * libcrypto does the sums: libcurl's TLS has it in the process already, and it has code for every
 * processor's own instructions.  One thread. */
#ifndef AIRSTRIP_FETCH_DIGEST_H
#define AIRSTRIP_FETCH_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/err.h"

enum { DIGEST_HEX_BYTES = 65 };

struct digest; /* opaque */

/* size: of the whole file.  ERR_NOMEM, ERR_INTERNAL.  Free it with digest_free(). */
int digest_create(struct digest **out, bool git, size_t size, struct err *e) MUST_CHECK;
void digest_free(struct digest *d); /* NULL is fine */

/* Forgets what it was given. */
int digest_restart(struct digest *d, struct err *e) MUST_CHECK;

int digest_put(struct digest *d, const void *bytes, size_t len, struct err *e) MUST_CHECK;

/* Lower-case digits, 64 or 40.  Call digest_restart() before the next digest_put(). */
int digest_end(struct digest *d, char hex[static DIGEST_HEX_BYTES], struct err *e) MUST_CHECK;

#endif
