/* hfchars.h - normalisers that take a text character by character: private to this folder.
 *
 * Any thread. */
#ifndef AIRSTRIP_HFCHARS_H
#define AIRSTRIP_HFCHARS_H

#include "inference/text/charsmap.h"
#include "inference/text/hf/hftok.h"

/* What a normaliser writes to. */
struct hfsink {
    struct buf *text, *marks;
    bool marked; /* a mark for each byte, too */
};

/* Bytes from .. to - 1 of t as they are. */
void hf_keep(const struct hfsink *s, const struct hftext *t, size_t from, size_t to);

/* Other bytes in place of n of t: marked where one of those is. */
void hf_substitute(const struct hfsink *s, const struct hftext *t, size_t from, size_t n,
                   const char *bytes, size_t len);

enum hfchars_kind {
    HFCHARS_LOWERCASE,     /* char::to_lowercase of Rust: no look at what stands beside it */
    HFCHARS_STRIP_ACCENTS, /* without marks */
    HFCHARS_NMT,     /* SentencePiece's nmt rules: without control characters, blanks as one */
    HFCHARS_LETTERS, /* bytes in the byte alphabet */
    HFCHARS_CLEAN,   /* BERT's: without control characters, blanks as one */
    HFCHARS_CHINESE, /* with blanks around each Chinese character */
    HFCHARS_STRIP_NONSPACING, /* without marks that take no room: fewer than all marks */
};
void hfchars_run(enum hfchars_kind kind, const struct hfsink *s, const struct hftext *t);

/* Without White_Space at the beginning, at the end. */
void hfchars_strip(bool left, bool right, const struct hfsink *s, const struct hftext *t);
bool hf_is_blank(uint32_t c);
bool hf_is_word(uint32_t c);        /* \w of Rust's expressions */
bool hf_is_punctuation(uint32_t c); /* BERT's: Unicode's, and all signs of ASCII */

/* By a charsmap.  A cluster (`cluster` matches one: UAX 29) below 6 bytes becomes what the shortest
 * entry that it begins with becomes; others go character by character, each the same way. */
int hfchars_precompiled(const struct charsmap *map, const void *cluster, struct pretok_run *run,
                        const struct hfsink *s, const struct hftext *t, struct err *e) MUST_CHECK;

/* A string in base64; *out has the bytes. */
int hf_base64(struct buf *out, const char *text, size_t len, struct err *e) MUST_CHECK;

/* Data, sorted; hftables.c. */
struct hf_lower {
    uint32_t first, last;
    int32_t delta;
    uint32_t step;
};
struct hf_range {
    uint32_t first, last;
};
extern const struct hf_lower hf_lower[];
extern const struct hf_range hf_marks[], hf_words[], hf_controls[], hf_nonspacing[],
    hf_punctuation[];
extern const size_t hf_n_lower, hf_n_marks, hf_n_words, hf_n_controls, hf_n_nonspacing,
    hf_n_punctuation;

#endif
