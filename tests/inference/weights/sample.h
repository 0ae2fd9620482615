/* sample.h - a small GGUF file made in memory, with the places of its fields written down.
 *
 * It has every type of value, three tensors of 1 to 3 dimensions, and no byte behind the last
 * tensor. Also what the unit tests and the fuzz target do with a file that was opened. */
#ifndef AIRSTRIP_TESTS_SAMPLE_H
#define AIRSTRIP_TESTS_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buf.h"
#include "inference/weights/weights.h"

/* Places in the sample, for patches. */
enum mark {
    MARK_MAGIC,
    MARK_VERSION,
    MARK_N_TENSORS,
    MARK_N_VALUES,
    MARK_KEY_LEN, /* of general.alignment */
    MARK_KEY,
    MARK_KEY_TYPE,
    MARK_ALIGNMENT,
    MARK_BOOL_KEY, /* "test.bool" */
    MARK_BOOL,
    MARK_STR_KEY, /* "test.text" */
    MARK_STR_TYPE,
    MARK_STR_LEN,
    MARK_ARRAY_ITEM, /* of "test.strs" */
    MARK_ARRAY_LEN,
    MARK_ARRAY_STR_LEN, /* of its second string */
    MARK_INTS_ITEM,     /* of "test.ints" */
    MARK_INTS_LEN,
    MARK_BOOLS,    /* elements of "test.bools" */
    MARK_NAME_LEN, /* of "matrix", Q4_0 [3, 64] */
    MARK_NAME,
    MARK_N_DIMS,
    MARK_DIM0,
    MARK_DIM1,
    MARK_TYPE,
    MARK_OFFSET,
    MARK_VECTOR_NAME, /* "vector", F32 [5] */
    MARK_VECTOR_DIM0,
    MARK_VECTOR_TYPE,
    MARK_VECTOR_OFFSET,
    MARK_CUBE_N_DIMS, /* "cube", F16 [4, 3, 2] */
    MARK_CUBE_DIM0,
    MARK_DATA,
    N_MARKS
};

struct sample {
    struct buf bytes;
    size_t at[N_MARKS];
};

/* Writers of the format's parts. */
void put_le(struct buf *b, uint64_t value, size_t bytes);
void put_str(struct buf *b, const char *s, size_t len);
void put_header(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_values);
void put_key(struct buf *b, const char *key, uint32_t type);
void put_array(struct buf *b, const char *key, uint32_t item, uint64_t len);
void put_tensor(struct buf *b, const char *name, uint32_t n_dims, const uint64_t *dims,
                uint32_t type, uint64_t offset);
void put_padding(struct buf *b, size_t alignment);

/* Caller empties s->bytes with buf_done(). */
void sample_make(struct sample *s, uint32_t version);

/* Reads all that can be read from w, each byte of each tensor too; false where something is not as
 * weights.h promises. */
bool sample_exercise(const struct weights *w);

#endif
