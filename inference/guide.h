/* guide.h - a sequence that is kept within a grammar: where it stands, and what may come next.
 *
 * Its tokens are chosen among those that fit, and the tokens that end a text only where it may end;
 * where nothing more can follow it ends by itself.  A zeroed guide lets everything through.  The
 * engine thread's, but for guide_done(). */
#ifndef AIRSTRIP_GUIDE_H
#define AIRSTRIP_GUIDE_H

#include "inference/constraints.h"

struct guide {
    struct shape *shape; /* a reference of its own; NULL: any text */
    int32_t at;          /* position (constrain/matcher.h) */
    unsigned n_taken;    /* tokens */
};

/* Takes the reference. */
void guide_init(struct guide *g, struct shape *s);
void guide_done(struct guide *g);

/* The tokens that end a text, for guide_allow(). */
struct end_tokens {
    int32_t *ids;
    size_t n;
};
int end_tokens_find(struct end_tokens *e, const struct tokenizer *t, size_t n_vocab,
                    struct err *err) MUST_CHECK;
void end_tokens_done(struct end_tokens *e);

/* Sets the bits of all tokens that may come next in mask, clears the others.  ends: NULL where the
 * text shall go on as long as it can.  Errors: ERR_NOMEM; ERR_LIMIT where the grammar is too
 * ambiguous, or the vocabulary has no token that fits. */
int guide_allow(struct guide *g, const struct end_tokens *ends, uint64_t *mask,
                struct err *e) MUST_CHECK;

/* Moves on behind a token.  Errors as above. */
int guide_take(struct guide *g, struct str piece, struct err *e) MUST_CHECK;

/* Can nothing follow? */
bool guide_is_complete(const struct guide *g);

/* How many of the n ids may follow one after the other; all of them without a shape. */
size_t guide_fits(struct guide *g, const struct tokenizer *t, const int32_t *ids, size_t n);

enum { GUIDE_MAX_FORCED = 15 };

/* The tokens of the text that must come, whatever is chosen: at most GUIDE_MAX_FORCED; returns how
 * many. A guess as to how the model cuts it into tokens. */
size_t guide_forced(struct guide *g, const struct tokenizer *t, int32_t *ids);

#endif
