/* hfgguf.h - a folder's tokenizer as the keys that GGUF files have for one (tokenizer.ggml.*).
 *
 * The rules for splitting are names there: the name is looked for whose rules cut a text of all
 * sorts as tokenizer.json's do.  One thread. */
#ifndef AIRSTRIP_HFGGUF_H
#define AIRSTRIP_HFGGUF_H

#include "inference/weights/build.h"

/* Puts the keys into `to`.  from has the keys tokenizer.huggingface.*.  n_vocab: rows of the
 * embedding table; ids without a token get "[PAD...]".  note->text: "", or a sentence that says
 * what these keys cannot tell. */
int hfgguf_put(struct weights *to, const struct weights *from, size_t n_vocab, struct err *note,
               struct err *e) MUST_CHECK;

/* Does a tokenizer opened from these keys give the ids that the folder's gives, in a text of all
 * sorts with all added tokens in it, and the same ends?  note as above. */
int hfgguf_compare(const struct weights *keys, const struct weights *from, struct err *note,
                   struct err *e) MUST_CHECK;

#endif
