/* speculate.h - what probably comes next: the same few tokens, looked up earlier in the sequence.
 *
 * Text that quotes (an edited document, a repeated key, a loop) continues as it did where its last
 * tokens stood before (prompt lookup; Saxena 2023).  A speculate follows one such place, its
 * pointer, and moves on with the sequence while they agree; when they part it looks for another.
 * Whether the guess was right shows with every token, guessed aloud or not, so the chances are
 * known before anything is spent on a guess.
 * Indexing and looking up are O(1) a token.  Nothing here changes what is generated: that is
 * decided by who verifies the guesses.  Owned by the engine thread. */
#ifndef AIRSTRIP_SPECULATE_H
#define AIRSTRIP_SPECULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPECULATE_MAX_DRAFT = 15, /* with the token before them 16 rows: a tile's worth */
    SPECULATE_MAX_MATCH = 16, /* longer agreement says no more */
    SPECULATE_CLASSES = 9,    /* of lengths of agreement, each with a chance of its own */
};

/* Places are numbered through: the prediction's tokens first, then the sequence's. */
struct speculate {
    const int32_t *prediction, *ids; /* borrowed; ids must not move */
    size_t n_prediction, n_ids;
    size_t max_places;
    uint32_t *heads3, *heads2; /* [mask + 1] by the last three or two tokens: the place after them,
                                  the latest entered; 0: none.  NULL: there is no index */
    uint32_t *older3; /* [max_places + 1] by place: the one entered before under that head */
    uint32_t mask;

    bool found;                      /* is there a guess */
    uint32_t next;                   /* the place of the guessed token */
    size_t match;                    /* tokens before it that agree, SPECULATE_MAX_MATCH at most */
    float chance[SPECULATE_CLASSES]; /* that the guess is right, by class of match */
    size_t n_predicted;              /* tokens that came as guessed from the prediction */
};

/* For a sequence of n_ids > 0 tokens that may grow to max_ids; the prediction is what the caller
 * expects to be appended, n_prediction may be 0.  False without memory, or where a place would not
 * fit 32 bits: *s is zeroed then and never guesses. */
bool speculate_init(struct speculate *s, const int32_t *ids, size_t n_ids, size_t max_ids,
                    const int32_t *prediction, size_t n_prediction);
void speculate_done(struct speculate *s); /* a zeroed one is fine */

/* ids[n_ids] is known now. */
void speculate_push(struct speculate *s);

/* The guess for the token i after the last known one, i < SPECULATE_MAX_DRAFT, and how likely it is
 * right if all before it are; 0: there is none. */
float speculate_chance(const struct speculate *s, size_t i);
int32_t speculate_guess(const struct speculate *s, size_t i);

#endif
