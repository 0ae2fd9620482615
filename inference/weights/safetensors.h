/* safetensors.h - one file of named tensors as Hugging Face stores them: its header, read and
 * checked.
 *
 * Any thread; the list is constant once read. */
#ifndef AIRSTRIP_SAFETENSORS_H
#define AIRSTRIP_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/arena.h"
#include "kernels/base/err.h"
#include "kernels/tensor.h"

struct st_tensor {
    struct tensor t; /* dtype: what kernels/tensor.h calls `type`, where `known`; a scalar is [1] */
    const char *type; /* "F32", "F16", "BF16", "U8", ...: static */
    bool known;       /* a type that can be computed with */
};

struct st_list {
    struct st_tensor *items; /* in the header's order */
    size_t n;
};

/* Reads the n bytes of a file.  Names and the list live in the arena, the tensors' bytes stay in
 * the file.  Errors: ERR_FORMAT naming the tensor and what was expected and found, ERR_UNSUPPORTED
 * naming an unknown type, ERR_NOMEM. */
int safetensors_read(struct st_list *out, const void *file, size_t n, struct arena *a,
                     struct err *e) MUST_CHECK;

#endif
