/* mm.h - matrices of weights in the CPU's own order, and y = x W^T (+ bias) with them.
 *
 * The one idea: weights are repacked once so that 16 output rows lie side by side; activations are
 * quantised once per row to 8 bits (blocks of 32), and one step multiplies 16 rows by 4 values with
 * 32-bit integer sums.  Float matrices stay in the file and are multiplied in float32.
 *
 * The result of a row depends on nothing but that row: not on n, on the number of threads or
 * chunks, or on who claims what; it is the same bit for bit (within one instruction set).
 *
 * One op, by a team of threads (every thread does the same):
 *     claim c of 0 .. mm_prepare_chunks(op)-1: mm_prepare(ops, op, s, c)   then a barrier,
 *                                              both left out where it is 0
 *     mm_begin(ops, op, s, thread)             once per op and thread, before its first chunk
 *     claim c of 0 .. mm_chunks(op, n)-1:      mm_chunk(ops, op, s, n_chunks, c, thread)
 * and a barrier before y is read or x or the scratch are written again. */
#ifndef AIRSTRIP_CPU_MM_H
#define AIRSTRIP_CPU_MM_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/backend.h"

/* --- weights: made and freed by one thread at a time, read by any --- */

/* Memory for packed weights, in large pages where the system has them.  A zeroed one is empty and
 * ready. Its memory goes with the last weight made from it: keep it in place until then; nothing to
 * close. */
struct pool;
struct weight_store {
    struct weight_slab *open; /* the one with room left, or NULL */
    struct pool *pool;        /* who packs, borrowed; NULL: the caller alone */
};

/* Packs t for `use` (WEIGHT_MATMUL, WEIGHT_EMBED or both; see backend.h).  t and its bytes stay
 * borrowed until weight_free_all(); the bytes are read after this call only where
 * weight_needs_source(). ERR_FORMAT (shape and bytes do not agree), ERR_UNSUPPORTED (dtype),
 * ERR_NOMEM. */
int weight_create(struct weight **out, struct weight_store *store, const struct tensor *t,
                  unsigned use, struct err *e) MUST_CHECK;
void weight_free_all(struct weight *w); /* NULL is fine */

bool weight_needs_source(const struct weight *w);
size_t weight_rows(const struct weight *w);
size_t weight_cols(const struct weight *w);

/* y[cols] = row `row` of the matrix, exactly as the file says.  Needs WEIGHT_EMBED.  Any thread. */
void weight_row(const struct weight *w, size_t row, float *y);

/* --- the multiplication --- */

/* The leaf kernels of one instruction set, in an object of its own; see mm_ops.h. */
struct mm_ops;
extern const struct mm_ops mm_scalar, mm_neon, mm_avx2, mm_avxvnni, mm_avx512, mm_avx512bf16,
    mm_amx;

/* Working memory of one team: quantised activations, and a float panel for each thread. */
struct mm_scratch {
    unsigned char *base;
    size_t shared_bytes,
        thread_bytes; /* what follows: one part for all, then one for each thread */
    /* of the shared part, in bytes: x in strips, their low parts, and their product; x in pairs */
    size_t strips_at, low_at, hidden_at, pairs_at;
    size_t max_rows, max_cols;
    size_t first_row; /* of the activations: other ops' rows are before it */
    size_t n_threads;
    struct fetch *fetch; /* [n_threads], borrowed, or NULL: what to ask memory for on the way */
};

/* For ops of up to max_rows rows and max_cols columns by up to n_threads threads.  Call again to
 * grow, when no op is under way.  Zeroed is fine to start with. */
int mm_scratch_reserve(struct mm_scratch *s, size_t max_rows, size_t max_cols, size_t n_threads,
                       struct err *e) MUST_CHECK;
void mm_scratch_done(struct mm_scratch *s);

/* Leaves.  op is the same for all, 0 < op->n <= max_rows; y must not overlap x. */
size_t
mm_prepare_chunks(const struct mm_ops *ops,
                  const struct matmul *op); /* 0: small or float, nothing to prepare together */
void mm_prepare(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                size_t chunk);
void mm_begin(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
              size_t thread);
size_t mm_chunks(const struct mm_ops *ops, const struct matmul *op,
                 size_t n_threads); /* a multiple of n_threads, where there is enough to do */

/* Where the weights of a chunk begin in memory, for threads that have nothing better to do than to
 * fetch them, and how many bytes follow there; NULL where that is not known.  Of generated rows. */
const char *mm_ahead(const struct mm_ops *ops, const struct matmul *op, const struct mm_scratch *s,
                     size_t n_chunks, size_t chunk, size_t *bytes);
/* Blocks of weights that mm_chunk() counts for fetch_some(), all chunks together; 0: it does not.
 */
size_t mm_tile_blocks(const struct mm_ops *ops, const struct matmul *op);
void mm_chunk(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
              size_t n_chunks, size_t chunk, size_t thread);

/* --- a feed-forward op on rows of a prompt, its middle kept in the scratch --- */

/* What makes one of a gate and its up, elementwise; see struct isa_ops. */
struct mm_join {
    void (*act)(float *y, const float *gate, const float *up, size_t n, enum act_kind kind);
    enum act_kind kind;
};

/* Can in's two results be joined on the way, to be out's input?  Then, mm_prepare() being done:
 * mm_join_chunk(in) in place of mm_chunk(), and behind a barrier mm_chunk(out) with the scratch
 * that mm_hidden() makes of this one.  The same bits as with floats in between. */
bool mm_joins(const struct mm_ops *ops, const struct matmul *in, const struct matmul *out);
size_t mm_join_chunks(const struct mm_ops *ops, const struct matmul *in, size_t n_threads);
void mm_join_chunk(const struct mm_ops *ops, const struct matmul *in, const struct mm_join *join,
                   struct mm_scratch *s, size_t n_chunks, size_t chunk, size_t thread);
struct mm_scratch mm_hidden(const struct mm_scratch *s);

/* Several ops on one scratch: the part of s for an op where ops of the same columns and role have
 * `rows` rows before it, each counted up to the next multiple of MM_ROWS_APART.  It belongs to s.
 */
enum { MM_ROWS_APART = 32 };
struct mm_scratch mm_scratch_behind(const struct mm_scratch *s, size_t rows);

/* y[i * y_stride] = w . x[i] in float32, i < n; in the same order whatever n is. */
void mm_dots(const struct mm_ops *ops, float *y, size_t y_stride, const float *w, const float *x,
             size_t cols, size_t n);

#endif
