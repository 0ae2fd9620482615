/* split.h - a device and the host together as one backend, for a model that does not fit the
 * device.
 *
 * Layers 0 .. n_host - 1 of a model lie on the host and are computed there, the others and the head
 * on the device: what is uploaded with WEIGHT_HOST, and the caches of the layers below
 * kv_shape.n_host_layers.  Buffers are memory that both see.  An op with a matrix or a cache runs
 * where that is, any other where its input was written last, so which side computes a row depends
 * on the model alone, never on the company.  Sides change seldom: each change waits for all that
 * was enqueued before. */
#ifndef AIRSTRIP_SPLIT_H
#define AIRSTRIP_SPLIT_H

#include "kernels/backend.h"

extern const struct backend backend_split;

/* A device of it, from one of `backend` that was opened with options.shared (taken, on error too)
 * and a CPU device by the same options. */
int split_create(struct device **out, const struct backend *backend, struct device *device,
                 const struct backend_options *o, struct err *e) MUST_CHECK;

#endif
