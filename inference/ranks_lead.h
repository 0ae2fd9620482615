/* ranks_lead.h - rank 0 of a model: it tells the others what it does, so that they do it too.
 *
 * All that runs on a device of several ranks goes through here before it is enqueued: kvcache.c and
 * forward.c call it, and who uses them notices nothing.  A message that cannot be told ends the
 * ranks (ranks_ops.quit): the device's check() says so.  The engine's thread. */
#ifndef AIRSTRIP_RANKS_LEAD_H
#define AIRSTRIP_RANKS_LEAD_H

#include "inference/model.h"
#include "inference/ranks_message.h"

struct lead {
    struct ranks *ranks; /* borrowed */
    struct buf message;
    size_t n_forwards, page_tokens;
};

/* Of the model, once its device is open. */
void lead_open(struct lead *l, struct ranks *ranks, const struct model *m, const struct weights *w,
               const char *isa);
/* That there is nothing more to do; a zeroed one is fine. */
void lead_close(struct lead *l);

void lead_cache(struct lead *l, const struct kv_shape *s);
/* Returns its number. */
size_t lead_forward(struct lead *l, size_t max_rows, size_t max_outputs);
/* n stages of the step of that forward pass; s is NULL where it was told before. */
void lead_step(struct lead *l, size_t forward, const struct step *s, size_t n);
void lead_copy(struct lead *l, int32_t from, int32_t to, size_t n);

#endif
