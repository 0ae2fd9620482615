/* kv.h - keys and values of all layers, in pages of positions.
 *
 * A page of one layer and kv head holds, one after the other:
 *   K: page_tokens / 16 groups of [head_dim][16]: the 16 positions of a group side by side, so that
 * their scores come out side by side, without sums across a vector; V: [page_tokens][v_cols],
 * head_dim rounded up to 16, the rest zero. Q8_0 has codes there, and behind all codes of a page's
 * K and of its V their scales: [groups][head_dim / 32][16] and [page_tokens][head_dim / 32] halves.
 * All layers of a page lie together, so that large pages of the system hold what is in use and
 * pages never touched are not resident.  One thread opens and closes; ops write each position once
 * and read it after the gate.
 */
#ifndef AIRSTRIP_CPU_KV_H
#define AIRSTRIP_CPU_KV_H

#include <stdbool.h>

#include "kernels/backend.h"

enum { KV_LANES = 16, KV_MAX_HEAD_DIM = 1024 };

struct kv {
    struct kv_shape shape;
    size_t value_bytes; /* of a code or number: 1, 2 or 4 */
    size_t v_cols;
    size_t k_bytes, head_bytes; /* of one page and kv head: K alone, K and V */
    unsigned char *base;        /* [n_pages][n_layers][n_kv][head_bytes] */
    size_t total_bytes;
};

struct isa_ops;

/* ERR_INVALID for shapes it cannot hold, ERR_NOMEM. */
int kv_create(struct kv **out, const struct kv_shape *s, struct err *e) MUST_CHECK;
void kv_free(struct kv *kv); /* NULL is fine */

/* The whole page of one layer, whatever its values are kept in. */
void kv_copy_layer(const struct kv *kv, size_t layer, size_t from, size_t to);

static inline unsigned char *kv_keys(const struct kv *kv, size_t layer, size_t page, size_t head)
{
    const struct kv_shape *s = &kv->shape;

    return kv->base + ((page * s->n_layers + layer) * s->n_kv + head) * kv->head_bytes;
}

static inline unsigned char *kv_values(const struct kv *kv, size_t layer, size_t page, size_t head)
{
    return kv_keys(kv, layer, page, head) + kv->k_bytes;
}

/* Scales of Q8_0 in the K or V that starts at `codes` and has `cols` values a position. */
static inline uint16_t *kv_scales(const struct kv *kv, const unsigned char *codes, size_t cols)
{
    return (uint16_t *)(uintptr_t)(codes + kv->shape.page_tokens * cols);
}

/* --- kv_rows.c: writing and reading --- */

/* Position `at` of a page: k and v are [head_dim]. */
void kv_write(const struct isa_ops *ops, const struct kv *kv, unsigned char *keys, size_t at,
              const float *k, const float *v);

/* As floats: y is [n_groups][head_dim][16] from the group of position `at` on; or [n][v_cols]. */
void kv_read_keys(const struct isa_ops *ops, const struct kv *kv, const unsigned char *keys,
                  size_t at, size_t n_groups, float *y);
void kv_read_values(const struct isa_ops *ops, const struct kv *kv, const unsigned char *keys,
                    size_t at, size_t n, float *y);

#endif
