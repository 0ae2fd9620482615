/* wordpiece.h - a word as the longest tokens that it, and then its rest, begins with (WordPiece, as
 * in BERT: Devlin et al. 2019).
 *
 * Read-only once made: any thread, each with its own encoder. */
#ifndef AIRSTRIP_WORDPIECE_H
#define AIRSTRIP_WORDPIECE_H

#include "inference/text/encoder.h"

struct wordpiece;

enum { WORDPIECE_MAX_CHARS = 1024 };

struct wordpiece_options {
    const char *first, *more; /* how the vocabulary marks tokens that begin a word, and others: ""
                               * and "##", or U+2581 and "".  Static; at most 4 bytes */
    int32_t unknown;          /* what a word becomes that is not made of tokens to its end, ... */
    size_t max_chars;         /* ... and a longer one; 1 to WORDPIECE_MAX_CHARS */
};

/* Tokens of text (vocab_is_text()) are matched.  The vocabulary is borrowed until wordpiece_free().
 */
int wordpiece_create(struct wordpiece **out, const struct vocab *v,
                     const struct wordpiece_options *o, struct err *e) MUST_CHECK;
void wordpiece_free(struct wordpiece *w); /* NULL is fine */

/* Sets enc->run up, so that its words become ids. */
void wordpiece_begin(const struct wordpiece *w, struct encoder *enc);

#endif
