/* hftok.h - a tokenizer as Hugging Face's tokenizer.json describes it: BPE, Unigram or WordPiece.
 *
 * A text goes through: added tokens that are looked for in it as it is; the normaliser; added
 * tokens that are looked for in normalised text; the pre-tokenizer, which cuts it into words; the
 * model. The parts are read from the file's components of the same names; one that is not known
 * here is refused by name. Read-only once open: any thread, each with its own encoder. */
#ifndef AIRSTRIP_HFTOK_H
#define AIRSTRIP_HFTOK_H

#include "inference/text/encoder.h"
#include "inference/text/unigram.h"
#include "inference/text/wordpiece.h"
#include "kernels/base/value.h"

struct hftok;

/* Fills *v, which stays borrowed until hftok_free().  w has the keys tokenizer.huggingface.*.
 * Errors: ERR_FORMAT and ERR_UNSUPPORTED naming the component; *v needs vocab_done() all the same.
 */
int hftok_create(struct hftok **out, struct vocab *v, const struct weights *w,
                 struct err *e) MUST_CHECK;
void hftok_free(struct hftok *h); /* NULL is fine */

/* Appends the ids of a text, without those that go before and after a whole one. */
int hftok_encode(const struct hftok *h, struct encoder *enc, const char *text, size_t len,
                 const struct encode_options *o, struct err *e) MUST_CHECK;

/* --- what the parts share: private to this folder --------------------------------------------- */

/* Text, and where marks is not NULL one byte for each of its bytes: does it come from a client? */
struct hftext {
    const char *text;
    size_t len;
    const char *marks;
};

/* Settings: a string member of a component, and its length; NULL where there is none. */
const char *hf_string(const struct value *v, const char *key, size_t *len);
bool hf_flag(const struct value *v, const char *key, bool otherwise);

/* The component's "type", "" where it has none. */
const char *hf_type(const struct value *v);

/* A merge is "a b", or ["a", "b"]; nonzero: it is neither. */
int hf_merge(const struct value *v, struct str *left, struct str *right) MUST_CHECK;

/* "normalizer", "pre_tokenizer": the component itself, or the members of a "Sequence" one after
 * another (which may hold sequences): calls each(arg, component). */
int hf_each(const struct value *v, const char *list,
            int (*each)(void *arg, const struct value *component, struct err *e), void *arg,
            struct err *e) MUST_CHECK;

/* A "pattern" member, {"String": text} or {"Regex": expression}, compiled (pcre2_code). */
int hf_pattern(void **code, const struct value *component, struct err *e) MUST_CHECK;
/* What Punctuation takes for one sign: of an older Unicode than PCRE2 knows. */
int hf_compile_punctuation(void **code, struct err *e) MUST_CHECK;
/* An expression that matches a text as it is. */
void hf_quote(struct buf *b, const char *s, size_t len);
int hf_compile(void **code, const char *expression, size_t len, struct err *e) MUST_CHECK;

/* hfvocab.c: tokens, their kinds, special ids. */
int hfvocab_load(struct vocab *v, const struct value *json, const struct weights *w,
                 struct err *e) MUST_CHECK;

/* hfmodel.c: one of them.  bytes: words come as bytes that the byte alphabet spells. */
struct hfmodel {
    struct bpe *bpe;
    struct unigram *unigram;
    struct wordpiece *wordpiece;
};
int hfmodel_open(struct hfmodel *m, const struct vocab *v, const struct value *json, bool bytes,
                 struct err *e) MUST_CHECK;
void hfmodel_close(struct hfmodel *m);

/* hfnorm.c */
struct hfnorm;
int hfnorm_create(struct hfnorm **out, const struct value *json, struct err *e) MUST_CHECK;
void hfnorm_free(struct hfnorm *n);

/* Scratch of one run: the result of a step is in text[i], marks[i]. */
struct hfwork {
    struct buf text[2], marks[2];
};
void hfwork_done(struct hfwork *w);

/* *t becomes the normalised text, which lies in *w. */
int hfnorm_run(const struct hfnorm *n, struct hfwork *w, struct pretok_run *run, struct hftext *t,
               struct err *e) MUST_CHECK;

/* hfsplit.c */
struct hfsplit;
int hfsplit_create(struct hfsplit **out, const struct value *json, struct err *e) MUST_CHECK;
void hfsplit_free(struct hfsplit *s);

/* Are words handed on as bytes that the byte alphabet spells (the last step is ByteLevel)? */
bool hfsplit_gives_bytes(const struct hfsplit *s);

/* Calls run->word for each word; `first`: the whole text begins with this stretch. */
int hfsplit_run(const struct hfsplit *s, struct pretok_run *run, const char *text, size_t len,
                bool first, struct err *e) MUST_CHECK;

/* hfbert.c: words between blanks, each punctuation mark one by itself: word(arg, start, end) for
 * each. */
int hfbert_words(const char *s, size_t len,
                 int (*word)(void *arg, size_t start, size_t end, struct err *e), void *arg,
                 struct err *e) MUST_CHECK;

#endif
