/* make_key.h - airstrip --make-key and --hash-key: a line for the file of API keys. */
#ifndef AIRSTRIP_MAKE_KEY_H
#define AIRSTRIP_MAKE_KEY_H

#include <stdbool.h>

#include "kernels/base/err.h"

/* Writes the line of the key called name to standard output.  The key itself is drawn and shown on
 * standard error (fresh), or is the one line on standard input.  ERR_INVALID, ERR_IO. */
int make_key(const char *name, bool fresh, struct err *e) MUST_CHECK;

#endif
