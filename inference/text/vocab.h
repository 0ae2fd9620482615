/* vocab.h - the tokens of a model file: texts, kinds, pieces, and which ids play a special part.
 *
 * Read from the keys tokenizer.ggml.* (gguf specification, "Tokenizer").  Read-only once loaded:
 * any thread. */
#ifndef AIRSTRIP_VOCAB_H
#define AIRSTRIP_VOCAB_H

#include "inference/text/strtab.h"

enum vocab_model {
    VOCAB_BPE, /* "gpt2": texts are spelled in the byte alphabet, U+0120 for a blank */
    VOCAB_SPM, /* "llama": texts have U+2581 for a blank, <0xXX> stands for a byte */
    VOCAB_UGM, /* "t5": spelled like SPM's */
    VOCAB_WPM, /* "bert": likewise, U+2581 before a token that begins a word; or (`hashes`, as
                * tokenizer.json has it) nothing there, and ## before others */
};

/* tokenizer.ggml.token_type */
enum token_type {
    TOKEN_UNDEFINED = 0, /* treated as normal */
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER = 4, /* user-defined: matched in the text before anything is merged */
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6,
};

struct vocab {
    enum vocab_model model;
    size_t n;
    struct strtab texts;       /* as the file has them */
    struct strtab pieces;      /* the bytes that each stands for; for control tokens their text */
    struct strindex by_text;   /* of equal texts the last id counts */
    uint8_t *type;             /* [n] enum token_type */
    float *score;              /* [n]; NULL for BPE */
    bool *end;                 /* [n] does it end a generation? */
    int32_t bos, eos, unknown; /* -1: none */
    int32_t last;              /* what add_eos puts after a text: mostly eos */
    bool add_bos, add_eos, add_space_prefix;
    bool hashes; /* see VOCAB_WPM */
};

/* Errors: ERR_FORMAT naming the key, ERR_UNSUPPORTED naming the tokenizer model.  On error *v needs
 * no vocab_done(). */
int vocab_load(struct vocab *v, const struct weights *w, struct err *e) MUST_CHECK;
void vocab_done(struct vocab *v);

/* Parts of it, for a vocabulary that was filled otherwise: v->pieces from model, texts and types;
 * and v->end for the well-known texts that end a turn. */
int vocab_make_pieces(struct vocab *v, struct err *e) MUST_CHECK;
void vocab_end_texts(struct vocab *v);

/* Byte-level BPE writes the byte b as this character (Radford et al. 2019, encoder.py): printable
 * Latin-1 as itself, the others from U+0100 on.  At most 2 bytes of UTF-8; returns how many. */
size_t vocab_byte_letter(unsigned char b, char out[2]);

/* Do texts of this kind take part in merging?  Control tokens never come out of plain text. */
static inline bool vocab_is_text(const struct vocab *v, size_t id)
{
    return v->type[id] == TOKEN_NORMAL || v->type[id] == TOKEN_USER ||
           v->type[id] == TOKEN_UNUSED || v->type[id] == TOKEN_UNDEFINED;
}

static inline bool vocab_is_control(const struct vocab *v, size_t id)
{
    return v->type[id] == TOKEN_CONTROL || v->type[id] == TOKEN_UNKNOWN;
}

#endif
