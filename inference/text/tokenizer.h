/* tokenizer.h - text to token ids and back, as the model file says.
 *
 * Byte-level BPE (tokenizer.ggml.model "gpt2"), SentencePiece-style BPE ("llama"), Unigram ("t5")
 * and WordPiece ("bert"); or what a tokenizer.json describes (tokenizer.huggingface.json; hf/).
 * Control tokens
 * (<|im_end|>, <bos>) are recognised only where the caller says that the text may hold them:
 * what a client wrote stays text.
 * Opened once, then read-only: any thread. */
#ifndef AIRSTRIP_TOKENIZER_H
#define AIRSTRIP_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inference/weights/weights.h"
#include "kernels/base/err.h"

struct tokenizer;

/* Ids that grow; zeroed is empty; free with ids_done(). */
struct ids {
    int32_t *data;
    size_t len, cap;
};
int ids_push(struct ids *ids, int32_t id, struct err *e) MUST_CHECK;
void ids_done(struct ids *ids);

/* A half-open range of bytes [start, end) of a text. */
struct text_span {
    size_t start, end;
};

/* Copies what it needs: w may be closed afterwards.  Errors: ERR_FORMAT naming the key at fault,
 * ERR_UNSUPPORTED naming the tokenizer model or the pre-tokenizer.  Close with tokenizer_close().
 */
int tokenizer_open(struct tokenizer **out, const struct weights *w, struct err *e) MUST_CHECK;
void tokenizer_close(struct tokenizer *t); /* NULL is fine */

struct encode_options {
    bool add_special;              /* put BOS (and EOS) where the model file asks for them */
    bool parse_special;            /* recognise control tokens in the text ... */
    const struct text_span *plain; /* ... except in these ranges: sorted, not overlapping; a token
                                    * that touches one of them even with a byte is not recognised */
    size_t n_plain;
    size_t max_ids; /* ERR_LIMIT as soon as more would be needed; 0: no limit */
};

/* Appends the ids of text (any bytes; NULs too) to *out.  Linear in len for any text. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     const struct encode_options *o, struct ids *out, struct err *e) MUST_CHECK;

/* The bytes that a token stands for in running text: "" for control tokens unless `special`, then
 * their text.  Borrowed from the tokenizer.  id out of range: "". */
struct str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special);

/* The token as the vocabulary spells it ("\u0120the"), which is what tokenizer_find() looks for.
 * Borrowed; id out of range: "". */
struct str tokenizer_text(const struct tokenizer *t, int32_t id);

size_t tokenizer_n_vocab(const struct tokenizer *t);
bool tokenizer_is_control(const struct tokenizer *t, int32_t id);

/* Does this token end a generation?  The union of the file's eos, eot, eom ids and the well-known
 * end-of-turn texts found among its control tokens. */
bool tokenizer_is_end(const struct tokenizer *t, int32_t id);

/* The id whose text is exactly this, or -1. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t len);

int32_t tokenizer_bos(const struct tokenizer *t); /* -1 if none */
int32_t tokenizer_eos(const struct tokenizer *t); /* -1 if none */
bool tokenizer_adds_bos(const struct tokenizer *t);

/* Does the first piece of a text lose its leading blank (SentencePiece's dummy prefix)?  For detok.
 */
bool tokenizer_strips_first_blank(const struct tokenizer *t);

#endif
