/* pretok.h - splitting text into the words that byte-level BPE merges within.
 *
 * Each scheme (tokenizer.ggml.pre) is a list of regular expressions.  The first one splits the text
 * into what it matches and what lies between; each of those pieces is split by the next one, as a
 * text of its own (no looking beyond its ends); and so on. Bytes that are not UTF-8 form words of
 * their own. A pretok is read-only once made: any thread, each with its own pretok_run. */
#ifndef AIRSTRIP_PRETOK_H
#define AIRSTRIP_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "inference/weights/weights.h"
#include "kernels/base/err.h"

struct pretok;

/* Errors: ERR_UNSUPPORTED naming a scheme that is not in the table; ERR_INTERNAL. */
int pretok_create(struct pretok **out, struct str name, struct err *e) MUST_CHECK;
void pretok_free(struct pretok *p); /* NULL is fine */

/* Is a word that is a token taken as it is, without merging? */
bool pretok_ignores_merges(const struct pretok *p);

/* Does BOS come first where the file does not say? */
bool pretok_adds_bos(const struct pretok *p);

/* One splitting: what to do with a word (nonzero ends it and is returned), and its scratch memory.
 */
struct pretok_run {
    int (*word)(void *arg, const char *bytes, size_t len, struct err *e);
    void *arg;
    void *match, *context; /* PCRE2's; made by the first pretok_split() */
};

/* Calls run->word for each word of the text, in order; linear in len for any bytes. */
int pretok_split(const struct pretok *p, struct pretok_run *run, const char *text, size_t len,
                 struct err *e) MUST_CHECK;
/* Makes run->match and run->context, for matching in a text of len bytes. */
int pretok_prepare(struct pretok_run *run, size_t len, struct err *e) MUST_CHECK;
void pretok_run_done(struct pretok_run *run);

#endif
