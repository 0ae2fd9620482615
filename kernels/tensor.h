/* tensor.h - a named array in a model file: type, shape, bytes.
 *
 * Shapes are in C order of meaning, fastest last: a matrix of a linear layer is [rows, cols], rows
 * = outputs, cols = inputs, and each row's values lie together (GGUF stores dimensions the other
 * way round; weights.c turns them).  The bytes are borrowed from the mapping of the file and may be
 * unaligned. Plain data, any thread. */
#ifndef AIRSTRIP_TENSOR_H
#define AIRSTRIP_TENSOR_H

#include <stdbool.h>
#include <stddef.h>

/* Numbered as in GGUF (ggml.h, enum ggml_type), so that a file's number is ours. */
enum dtype {
    DTYPE_F32 = 0,
    DTYPE_F16 = 1,
    DTYPE_Q4_0 = 2,
    DTYPE_Q4_1 = 3,
    DTYPE_Q5_0 = 6,
    DTYPE_Q5_1 = 7,
    DTYPE_Q8_0 = 8,
    DTYPE_Q2_K = 10,
    DTYPE_Q3_K = 11,
    DTYPE_Q4_K = 12,
    DTYPE_Q5_K = 13,
    DTYPE_Q6_K = 14,
    DTYPE_IQ2_XXS = 16,
    DTYPE_IQ2_XS = 17,
    DTYPE_IQ3_XXS = 18,
    DTYPE_IQ1_S = 19,
    DTYPE_IQ4_NL = 20,
    DTYPE_IQ3_S = 21,
    DTYPE_IQ2_S = 22,
    DTYPE_IQ4_XS = 23,
    DTYPE_IQ1_M = 29,
    DTYPE_BF16 = 30,
    DTYPE_TQ1_0 = 34,
    DTYPE_TQ2_0 = 35,
    DTYPE_MXFP4 = 39,
    DTYPE_NVFP4 = 40,
    DTYPE_Q1_0 = 41,
    DTYPE_Q2_0 = 42,
    DTYPE_OWN = 1000, /* no file has the numbers from here on */
    DTYPE_F8_E4M3 = DTYPE_OWN,
};

enum { TENSOR_MAX_DIMS = 4 };

struct tensor {
    const char *name;
    enum dtype dtype;
    int n_dims;                    /* 1 .. TENSOR_MAX_DIMS */
    size_t shape[TENSOR_MAX_DIMS]; /* slowest first; unused ones are 1 */
    const void *data;              /* borrowed from the open model file */
    size_t bytes;
    bool mapped; /* data is part of a file mapping nobody writes to: whoever made a copy may let its
                  * pages go (MADV_DONTNEED); read again, they come back */
    bool made;   /* data is memory that was filled for this tensor when its file was opened: another
                  * copy of it would be one too many */
};

/* Values of all dimensions multiplied; weights.c has checked that it does not wrap. */
static inline size_t tensor_count(const struct tensor *t)
{
    size_t n = 1;

    for (int i = 0; i < t->n_dims; i++)
        n *= t->shape[i];
    return n;
}

/* A tensor seen as a matrix: the last dimension is cols, all others together are rows. */
static inline size_t tensor_cols(const struct tensor *t)
{
    return t->shape[t->n_dims - 1];
}

static inline size_t tensor_rows(const struct tensor *t)
{
    return t->n_dims > 1 ? tensor_count(t) / tensor_cols(t) : 1;
}

#endif
