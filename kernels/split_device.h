/* split_device.h - the two sides of split.h from inside.  Only for split.c and split_ops.c. */
#ifndef AIRSTRIP_SPLIT_DEVICE_H
#define AIRSTRIP_SPLIT_DEVICE_H

#include "kernels/split.h"

enum side { HOST, DEVICE, N_SIDES };

/* What upload() gives: of the side that has the matrix, and of the host where it is a table. */
struct weight {
    struct weight *of[N_SIDES]; /* the sides' own kind of struct weight, or NULL */
    enum side side;             /* of its products */
};

struct kv {
    struct kv *of[N_SIDES]; /* likewise; NULL where a side has no layer */
    size_t n_host;
};

/* Memory of both sides, in a list: a forward pass has some tens of buffers. */
struct buffer {
    char *from;
    size_t bytes;
    enum side written; /* last */
    struct buffer *next;
};

/* Matrices of a layer's experts as the side knows them. */
struct experts_list {
    const struct weight *const *key;
    struct weight **of_side;
    struct experts_list *next;
};

struct device {
    const struct backend *b[N_SIDES];
    struct device *d[N_SIDES]; /* the sides' own kind of struct device */
    enum side active;          /* the other one has nothing enqueued */
    struct buffer *buffers;
    struct experts_list *experts;
    bool no_memory; /* for a list of experts: results are void */
};

/* --- split.c --- */

/* From here on ops are enqueued on that side. */
void split_enter(struct device *d, enum side s);
/* Where the buffer that p points into was written last; and: the active side writes it, NULL is
 * fine. */
enum side split_written_at(const struct device *d, const void *p);
void split_writes(struct device *d, const void *p);

/* The active side's matrix; NULL for NULL. */
static inline struct weight *split_of_side(const struct device *d, const struct weight *w)
{
    return w ? w->of[d->active] : NULL;
}

/* --- split_ops.c: members of the table --- */
void split_write(struct device *d, void *dst, const void *src, size_t bytes);
void split_embed(struct device *d, float *y, const struct weight *table, const int32_t *ids,
                 size_t n, float scale);
void split_gather(struct device *d, float *y, const float *x, const int32_t *rows, size_t n,
                  size_t cols);
void split_norm(struct device *d, const struct norm *op);
void split_matmul(struct device *d, const struct matmul *op);
void split_feed_forward(struct device *d, const struct feed_forward *op);
void split_rope_kv(struct device *d, const struct rope_kv *op);
void split_attend(struct device *d, const struct attend *op);
void split_kv_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n);
void split_gated_act(struct device *d, float *y, const float *gate, const float *up, size_t count,
                     enum act_kind kind);
void split_experts(struct device *d, const struct experts *op);
void split_softcap(struct device *d, float *x, size_t count, float cap);
void split_argmax(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols);
void split_top(struct device *d, const struct top *op);

#endif
