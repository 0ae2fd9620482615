/* encoder.h - one run of tokenizer_encode(): what the kinds of tokenizers share.
 *
 * One thread at a time.  Its memory is kept from one run to the next (tokenizer.c). */
#ifndef AIRSTRIP_ENCODER_H
#define AIRSTRIP_ENCODER_H

#include "inference/text/merge.h"
#include "inference/text/pretok.h"
#include "inference/text/special.h"
#include "inference/text/tokenizer.h"
#include "inference/text/vocab.h"
#include "inference/text/wordcache.h"
#include "kernels/base/buf.h"

struct bpe;
struct spm;
struct ugm;
struct unigram;
struct unigram_end;
struct wordpiece;
struct wpm;

struct encoder {
    struct ids *out;
    size_t left; /* how many more ids may be appended */
    struct merge_work merge;
    const struct bpe *bpe;
    struct wordcache *cache; /* words met lately; NULL where there was no memory for one */
    struct pretok_run run;   /* BPE: the words */
    struct buf segment;      /* SPM: the bytes being merged, a blank as one byte; UGM: the text */
    const struct wordpiece *wordpiece;
    const struct unigram *unigram;
    struct unigram_end *ends; /* Unigram: the best ways so far; room for ends_cap */
    size_t ends_cap;
    struct encoder *next; /* while it is not used */
};

/* Appends one id; ERR_LIMIT where no more may be. */
int encoder_emit(struct encoder *enc, int32_t id, struct err *e) MUST_CHECK;

/* bpe.c: byte-level BPE.  The vocabulary is borrowed until bpe_free(). */
int bpe_create(struct bpe **out, const struct vocab *v, const struct weights *w,
               struct err *e) MUST_CHECK;
void bpe_free(struct bpe *b);
bool bpe_adds_bos(const struct bpe *b); /* where the file does not say */
int bpe_encode(const struct bpe *b, struct encoder *enc, const char *text, size_t len,
               struct err *e) MUST_CHECK;

/* The same with merges from elsewhere, for words that are cut by the caller. */
struct bpe_merge {
    struct str left, right;
};

struct bpe_options {
    bool chars; /* symbols are characters, tokens are spelled as texts; else bytes */
    bool
        byte_fallback; /* chars: one that is no token becomes <0xXX> tokens, where there are such */
    bool fuse_unknown; /* several unknown ones in a row are one */
    bool whole_words;  /* a word that is a token is taken without merging */
    int32_t unknown;   /* what else an unknown one becomes; -1: it is left out */
};
int bpe_create_from(struct bpe **out, const struct vocab *v, const struct bpe_merge *merges,
                    size_t n, const struct bpe_options *o, struct err *e) MUST_CHECK;

/* Sets enc->run up, so that its words become ids. */
void bpe_begin(const struct bpe *b, struct encoder *enc);

/* spm.c: SentencePiece's BPE.  Where the file asks for it, a blank goes before the text. */
int spm_create(struct spm **out, const struct vocab *v, struct err *e) MUST_CHECK;
void spm_free(struct spm *s);
int spm_encode(const struct spm *s, struct encoder *enc, const char *text, size_t len,
               struct err *e) MUST_CHECK;

/* ugm.c: SentencePiece's Unigram model, from a GGUF file. */
int ugm_create(struct ugm **out, const struct vocab *v, const struct weights *w,
               struct err *e) MUST_CHECK;
void ugm_free(struct ugm *u);
int ugm_encode(const struct ugm *u, struct encoder *enc, const char *text, size_t len,
               struct err *e) MUST_CHECK;

/* hf/hfwpm.c: BERT's, from a GGUF file. */
int wpm_create(struct wpm **out, const struct vocab *v, struct err *e) MUST_CHECK;
void wpm_free(struct wpm *w);
int wpm_encode(const struct wpm *w, struct encoder *enc, const char *text, size_t len,
               struct err *e) MUST_CHECK;

#endif
