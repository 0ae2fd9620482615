/* loaded.h - everything that a model file becomes: the numbers, the text side, and the device side.
 *
 * loaded_check() is fast and shows every reason for which a model cannot be served; loaded_upload()
 * takes the time and the memory.  One thread at a time; once checked, the text side is read-only:
 * any thread. */
#ifndef AIRSTRIP_LOADED_H
#define AIRSTRIP_LOADED_H

#include "inference/engine.h"
#include "inference/forward.h"
#include "inference/kvcache.h"
#include "inference/model.h"
#include "inference/pooling.h"
#include "inference/ranks_lead.h"
#include "inference/ranks_team.h"
#include "inference/text/template.h"
#include "inference/text/tokenizer.h"
#include "inference/weights/weights.h"
#include "kernels/backend.h"

struct loaded {
    /* after loaded_check() */
    struct weights *weights;
    struct model model; /* its numbers only, until uploaded */
    struct tokenizer *tokenizer;
    struct template *template; /* NULL: the file has none and none was given */
    const struct backend *backend;
    struct device *device;
    struct backend_info info;
    bool any_device;     /* the configuration leaves it to us */
    size_t n_threads;    /* as configured, for a host beside a device */
    char isa[16];        /* likewise */
    struct team *team;   /* ranks that are threads of ours, or NULL */
    struct ranks *ranks; /* this is rank 0 of; NULL: alone */
    size_t host_layers;  /* that the device has no memory for, after loaded_upload() */
    size_t n_ctx, n_vocab, max_batch, max_rows; /* max_rows: of prompts in a pass */
    size_t max_drafted_rows; /* generated and guessed tokens in a pass; 0: no guesses */
    struct kv_shape kv_shape;
    size_t kv_bytes;          /* what that shape takes */
    struct sampling sampling; /* see engine_sampling() */
    enum pooling pooling;     /* of vectors */
    struct err no_embeddings; /* code 0: it gives some */

    /* after loaded_upload() */
    struct lead lead; /* of ranks */
    struct kvcache cache;
    struct forward *prompts; /* max_rows rows, max_batch outputs */
    struct forward *tokens;  /* max_batch rows and outputs, max_drafted_rows where that is more */
};

/* Errors as engine_open(); *l is empty then. */
int loaded_check(struct loaded *l, const struct engine_config *c, struct err *e) MUST_CHECK;

/* Uploads, makes the cache, and evaluates one token to see that it works.  On error call
 * loaded_done() all the same. */
int loaded_upload(struct loaded *l, void (*progress)(void *arg, int percent), void *arg,
                  struct err *e) MUST_CHECK;
void loaded_done(struct loaded *l); /* a zeroed one is fine */

#endif
