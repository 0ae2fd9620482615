/* constraint.h - which tokens may come next, so that a text fits a grammar.
 *
 * A position in the text is a number (matcher.h): copy it to come back, one constraint serves any
 * number of sequences.  What was found out about a state of the grammar is kept, so that the second
 * visit costs little.  One thread at a time: the engine's, once it was handed over. */
#ifndef AIRSTRIP_CONSTRAINT_H
#define AIRSTRIP_CONSTRAINT_H

#include "inference/constrain/matcher.h"
#include "inference/constrain/trie.h"

struct constraint;

/* Compiles rule `root` of g.  The trie is borrowed.  Errors: those of network_compile(). */
int constraint_create(struct constraint **out, const struct grammar *g, int32_t root,
                      const struct trie *t, struct err *e) MUST_CHECK;
void constraint_free(struct constraint *c); /* NULL is fine */

/* Where every text begins, >= 0. */
int32_t constraint_start(const struct constraint *c);

/* Words of a mask: bit i % 64 of word i / 64 is token i. */
size_t constraint_mask_words(const struct constraint *c);

/* Sets the bits of all tokens whose bytes may follow at, clears the others.  Tokens without text
 * (end of sequence among them) are clear: see constraint_may_end().  MATCH_FAILED without memory,
 * else 1, or 0 where none is set. */
int constraint_mask(struct constraint *c, int32_t at, uint64_t *mask);

/* After these bytes: the position, MATCH_DEAD where they do not fit, MATCH_FAILED without memory.
 */
int32_t constraint_accept(struct constraint *c, int32_t at, const char *bytes, size_t len);

bool constraint_may_end(const struct constraint *c, int32_t at);
bool constraint_must_end(const struct constraint *c, int32_t at); /* nothing can follow */

/* The bytes that must follow whatever is chosen, up to room of them; returns how many. */
size_t constraint_forced(struct constraint *c, int32_t at, char *out, size_t room);

/* Bytes of memory held; it grows with the texts that were read. */
size_t constraint_bytes(const struct constraint *c);

#endif
