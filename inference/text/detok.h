/* detok.h - token ids to text that may be shown: whole UTF-8 characters, nothing of a stop string.
 *
 * Bytes are held back while they could be the beginning of a character or of a stop string, and no
 * longer. Bytes that can never become UTF-8 turn into U+FFFD, one for each maximal ill-formed part
 * (Unicode 15, section 3.9), the same for any way of cutting the text into tokens.
 * Stop strings are looked for in the text as it would be shown.
 * One thread at a time. */
#ifndef AIRSTRIP_DETOK_H
#define AIRSTRIP_DETOK_H

#include "inference/text/tokenizer.h"
#include "kernels/base/buf.h"

struct detok {
    const struct tokenizer *tokenizer;
    const struct str *stops; /* borrowed until detok_done(); none is empty */
    size_t n_stops;
    struct buf held; /* text not shown yet: could be the beginning of a stop string */
    char partial[4]; /* the beginning of a character, after what is held */
    size_t n_partial;
    bool started;      /* something was pushed */
    bool stopped;      /* a stop string was met; what follows is ignored */
    bool strip_blank;  /* the next piece loses one leading blank */
    bool deaf;         /* for now stop strings are not looked for */
    bool show_control; /* control tokens are shown: 0xff, their text, 0xfe */
};

/* continues: the text goes on after a prompt's own text, so a leading blank is kept. */
void detok_init(struct detok *d, const struct tokenizer *t, const struct str *stops, size_t n_stops,
                bool continues);

/* Appends what may now be shown to *out.  Returns true when a stop string was completed: nothing
 * of it is ever shown (a stop found at the earliest position wins, the longest of those; so a stop
 * that was completed waits while one that began before it could still be). out->failed when memory
 * ran out. */
bool detok_push(struct detok *d, int32_t id, struct buf *out);

/* The generation ended for another reason: what was held is shown, an unfinished character as
 * U+FFFD. A stop string may still be found in it: then d->stopped is set. */
void detok_finish(struct detok *d, struct buf *out);
void detok_done(struct detok *d);

#endif
