/* unigram.h - the way of cutting a word into tokens whose scores add up to most (Kudo 2018).
 *
 * A Viterbi search over the characters: the best way to the end of each token that fits is kept.
 * Read-only once made: any thread, each with its own encoder. */
#ifndef AIRSTRIP_UNIGRAM_H
#define AIRSTRIP_UNIGRAM_H

#include "inference/text/encoder.h"

struct unigram;

struct unigram_options {
    size_t n;             /* the tokens below it are the model's; others it never gives */
    const double *scores; /* [n_vocab], copied */
    double unknown_score; /* of a character that no token begins and ends with */
    int32_t unknown;      /* what such become; -1: they are left out */
    bool byte_fallback;   /* or <0xXX> tokens, where there are all of them; then the texts of those
                           * tokens are matched too */
    bool as_text;         /* several in a row that are a token's text become it */
};

/* Tokens of text (vocab_is_text()) are matched.  The vocabulary is borrowed until unigram_free().
 */
int unigram_create(struct unigram **out, const struct vocab *v, const struct unigram_options *o,
                   struct err *e) MUST_CHECK;
void unigram_free(struct unigram *u); /* NULL is fine */

/* Sets enc->run up, so that its words become ids. */
void unigram_begin(const struct unigram *u, struct encoder *enc);

/* One word, which may be a whole text; arg is the encoder. */
int unigram_word(void *arg, const char *bytes, size_t len, struct err *e) MUST_CHECK;

#endif
