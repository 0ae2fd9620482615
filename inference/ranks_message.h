/* ranks_message.h - what rank 0 tells the others, as bytes.
 *
 * The first thing is what model it has (HELLO), then the cache and each forward pass as they are
 * opened, then steps and copies of pages in the order in which they are enqueued, END at last.
 * Numbers are of 8 bytes, ids and pages of 4, in the processor's order: ranks run on machines of
 * one kind.  What comes from another rank is believed in its values, not in its lengths.
 * One thread. */
#ifndef AIRSTRIP_RANKS_MESSAGE_H
#define AIRSTRIP_RANKS_MESSAGE_H

#include "inference/forward.h"
#include "kernels/base/buf.h"

enum ranks_message {
    RANKS_HELLO,   /* struct ranks_model */
    RANKS_CACHE,   /* struct kv_shape, but for the rank's own number of heads */
    RANKS_FORWARD, /* struct ranks_forward; they count from 0 on */
    RANKS_STEP,    /* struct ranks_step */
    RANKS_COPY,    /* struct ranks_copy */
    RANKS_END,
};

/* What must be the same on all ranks. */
struct ranks_model {
    uint64_t n_params, file_bytes;
    char isa[32]; /* others round otherwise, and would choose other experts */
};

struct ranks_forward {
    size_t max_rows, max_outputs;
};

struct ranks_copy {
    int32_t from, to;
    size_t n;
};

/* n stages of a step: of the one told here, or (then `begins` is false) told before. */
struct ranks_step {
    size_t forward, n;
    bool begins;
    struct step step;
};

void message_hello(struct buf *b, const struct ranks_model *m);
void message_cache(struct buf *b, const struct kv_shape *s);
void message_forward(struct buf *b, const struct ranks_forward *f);
void message_step(struct buf *b, const struct ranks_step *s, size_t page_tokens);
void message_copy(struct buf *b, const struct ranks_copy *c);
void message_end(struct buf *b);

/* The kind of a message; ERR_FORMAT where it is too short for one. */
int message_kind(const struct buf *b, enum ranks_message *kind, struct err *e) MUST_CHECK;

/* What a message of the kind says; ERR_FORMAT where it says less or more. */
int message_read_hello(const struct buf *b, struct ranks_model *m, struct err *e) MUST_CHECK;
int message_read_cache(const struct buf *b, struct kv_shape *s, struct err *e) MUST_CHECK;
int message_read_forward(const struct buf *b, struct ranks_forward *f, struct err *e) MUST_CHECK;
int message_read_copy(const struct buf *b, struct ranks_copy *c, struct err *e) MUST_CHECK;

/* Which forward pass a step is of, and whether it begins here. */
int message_read_which(const struct buf *b, size_t *forward, bool *begins,
                       struct err *e) MUST_CHECK;

/* The step's lists borrow from b, and from *spans, which grows as it must: the caller frees it when
 * the step is done.  ERR_NOMEM, too. */
int message_read_step(const struct buf *b, struct ranks_step *s, struct seq_span **spans,
                      struct err *e) MUST_CHECK;

#endif
