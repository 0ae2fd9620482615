/* gguf.h - how an open GGUF file looks inside: what weights.c, gguf.c and meta.c share.
 *
 * Private to inference/weights and its tests.  Everything a struct weights points to lies in the
 * file's bytes or in its arena.  Filled by one thread, constant afterwards. */
#ifndef AIRSTRIP_WEIGHTS_GGUF_H
#define AIRSTRIP_WEIGHTS_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/arena.h"
#include "inference/weights/mapping.h"
#include "inference/weights/weights.h"

/* Value types, numbered as in the file (ggml docs/gguf.md, gguf_metadata_value_type). */
enum meta_type {
    META_U8 = 0,
    META_I8 = 1,
    META_U16 = 2,
    META_I16 = 3,
    META_U32 = 4,
    META_I32 = 5,
    META_F32 = 6,
    META_BOOL = 7,
    META_STR = 8,
    META_ARRAY = 9,
    META_U64 = 10,
    META_I64 = 11,
    META_F64 = 12,
    META_N_TYPES = 13,
};

/* One key and where its value lies.  Elements from data on are inside the file and well-formed. */
struct meta_value {
    struct str key;
    enum meta_type type;       /* META_ARRAY: of `item`s */
    enum meta_type item;       /* type of the elements; of the value itself where it is no array */
    size_t len;                /* elements; 1 where it is no array */
    const unsigned char *data; /* the first element, unaligned; NULL: the value is `text` */
    struct str text;           /* a string that was not read from a GGUF file (build.h) */
};

struct weights {
    char *path;
    const unsigned char *base; /* GGUF: the whole file, or its first part */
    size_t bytes;

    struct mapping *files; /* ours to close and to advise on; tensors elsewhere are not */
    size_t n_files;
    struct weights **parts; /* the further parts of a split GGUF file */
    size_t n_parts;

    struct meta_value *values; /* sorted by key */
    size_t n_values;

    struct tensor *tensors; /* in the file's order */
    size_t n_tensors;
    const struct tensor **by_name; /* the same, sorted by name */

    struct arena arena; /* names of tensors, and the arrays above */
};

/* A place in the file that only moves forward.  pos <= end always. */
struct cursor {
    const unsigned char *base;
    size_t pos, end;
};

/* Each takes one item and moves on, or returns ERR_FORMAT with a sentence that says `what` was cut
 * off where, and stays. */
int cursor_u32(struct cursor *c, const char *what, uint32_t *out, struct err *e) MUST_CHECK;
int cursor_u64(struct cursor *c, const char *what, uint64_t *out, struct err *e) MUST_CHECK;
int cursor_str(struct cursor *c, const char *what, struct str *out, struct err *e) MUST_CHECK;

/* Little-endian, unaligned, 1 to 8 bytes. */
uint64_t cursor_load(const unsigned char *p, size_t bytes);

/* For sentences: s in quotes, cut where it is long, bytes that are not printable ASCII as '?'. */
struct quoted {
    char text[72];
};
struct quoted quote(struct str s);

/* Reads w->base as GGUF and fills the rest of w, whose arena is ready.  Errors as weights_open(),
 * without the file's name; what was allocated stays in the arena. */
int gguf_read(struct weights *w, struct err *e) MUST_CHECK;

/* Fills w->by_name from w->tensors; two of one name are refused. */
int gguf_sort_names(struct weights *w, struct err *e) MUST_CHECK;

/* Sorts w->values; two of one key are refused. */
int meta_sort(struct weights *w, struct err *e) MUST_CHECK;

/* Bytes of a value's elements in the file; not of one whose data is NULL. */
size_t meta_bytes(const struct meta_value *v);

/* Element i of numbers as the nearest double. */
double meta_real(const struct meta_value *v, size_t i);

/* Where w is the first of several parts: opens the others, and takes their tensors over. */
int split_read(struct weights *w, struct err *e) MUST_CHECK;

/* One file or part by itself. */
int weights_open_part(struct weights **out, const char *path, struct err *e) MUST_CHECK;

/* Reads n keys and values from c into w->values, sorted, or fails. */
int meta_read(struct weights *w, struct cursor *c, uint64_t n, struct err *e) MUST_CHECK;

/* As weights_open() from bytes in memory, which are borrowed until weights_close(). */
int weights_open_memory(struct weights **out, const char *name, const void *bytes, size_t n,
                        struct err *e) MUST_CHECK;

#endif
