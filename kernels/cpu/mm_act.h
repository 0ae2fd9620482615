/* mm_act.h - activations of one op in the order that its arithmetic wants, and the scratch memory
 * they lie in.  For mm.c only. */
#ifndef AIRSTRIP_CPU_MM_ACT_H
#define AIRSTRIP_CPU_MM_ACT_H

#include "kernels/cpu/mm_ops.h"

/* Prompt rows with an arithmetic of their own. */
static inline bool mm_is_prompt(const struct mm_ops *ops, const struct matmul *op)
{
    return op->prompt && ops->prompt;
}

/* Generated rows that are more than a few, in tiles of bytes. */
static inline bool mm_in_tiles(const struct mm_ops *ops, const struct matmul *op)
{
    return ops->many && !op->prompt && op->n > MM_FEW_ROWS;
}

/* From one activation row to the next, in bytes: an odd number of cache lines, so that the rows of
 * a tile do not meet in the same set. */
size_t mm_act_stride(size_t cols);

/* Where the activations begin that a thread reads, from row `row` on: plain rows; tiles, row being
 * a multiple of 16; a row of a prompt in its strip. */
struct act_block *mm_act_row(const struct matmul *op, const struct mm_scratch *s, size_t thread,
                             size_t row);
struct act_tile *mm_act_tiles(const struct matmul *op, const struct mm_scratch *s, size_t thread,
                              size_t row);
uint16_t *mm_act_strip(const struct matmul *op, const struct mm_scratch *s, size_t row);
uint16_t *mm_act_low(const struct matmul *op, const struct mm_scratch *s, size_t row);

/* The strip for p (mm_panels.h) that begins with row `row`. */
void *mm_act_columns(const struct matmul *op, const struct mm_scratch *s,
                     const struct mm_panels *p, size_t row);

/* Memory of one thread. */
float *mm_float_panel(const struct mm_scratch *s, size_t thread);
struct mm_prompt_buf *mm_prompt_buf_of(const struct mm_scratch *s, size_t thread);

#endif
