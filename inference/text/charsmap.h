/* charsmap.h - SentencePiece's precompiled normalisation: which bytes become which text.
 *
 * A file's precompiled_charsmap is the length of a table, the table, and texts that end in a NUL.
 * The table is a trie as a double array (darts-clone: Yata 2008; 32 bits a unit): bits 0..7 and 31
 * are the label, bit 8 says that a value is one step further, bits 10..30 are the way to the
 * children, times 256 where bit 9 is set.  Read-only once made: any thread. */
#ifndef AIRSTRIP_CHARSMAP_H
#define AIRSTRIP_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "inference/weights/weights.h"
#include "kernels/base/err.h"

struct charsmap;

/* Copies the data; none makes a map that changes nothing.  ERR_FORMAT where lengths do not fit. */
int charsmap_create(struct charsmap **out, const void *data, size_t len, struct err *e) MUST_CHECK;
void charsmap_free(struct charsmap *m); /* NULL is fine */

/* Looks for entries that text begins with: takes the longest, or the shortest.  Returns how many
 * bytes that has (0: there is none), and sets *to to what they become: borrowed from the map. */
size_t charsmap_match(const struct charsmap *m, const char *text, size_t len, bool longest,
                      struct str *to);

#endif
