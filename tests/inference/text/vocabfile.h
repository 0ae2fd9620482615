/* vocabfile.h - GGUF files of nothing but metadata, made up for a test, and what tests of
 * tokenizers share. */
#ifndef AIRSTRIP_VOCABFILE_H
#define AIRSTRIP_VOCABFILE_H

#include "inference/text/tokenizer.h"
#include "kernels/base/buf.h"

struct vocabfile {
    struct buf pairs;
    uint64_t n;
};

void vf_str(struct vocabfile *f, const char *key, const char *value);
void vf_u32(struct vocabfile *f, const char *key, uint32_t value);
void vf_bool(struct vocabfile *f, const char *key, bool value);
void vf_strs(struct vocabfile *f, const char *key, const struct str *values, size_t n);
void vf_i32s(struct vocabfile *f, const char *key, const int32_t *values, size_t n);
void vf_f32s(struct vocabfile *f, const char *key, const float *values, size_t n);

/* Writes it to a temporary file, opens its tokenizer (which needs nothing of the file afterwards),
 * and empties f.  Returns what tokenizer_open() returned. */
int vf_open(struct vocabfile *f, struct tokenizer **out, struct err *e);

/* The tokenizer of a model file; the ids of a text.  What goes wrong fails the test. */
struct tokenizer *vf_open_model(const char *path);
struct ids vf_encode(const struct tokenizer *t, const char *text, size_t len,
                     const struct encode_options *o);

/* Fails unless the pieces give the text again.  SentencePiece puts a blank before it and knows no
 * U+2581: a text with one is not compared. */
void vf_same_text(const struct tokenizer *t, const char *text, size_t len, const struct ids *ids);

#endif
