/* convert.h - a planned tensor's bytes, made of its parts by all threads, and written.
 *
 * The same bytes for any number of threads.  One thread calls. */
#ifndef AIRSTRIP_QUANTIZE_CONVERT_H
#define AIRSTRIP_QUANTIZE_CONVERT_H

#include "inference/weights/gguf_write.h"
#include "kernels/base/pool.h"
#include "quantize/plan.h"

struct converter;

int converter_create(struct converter **out, size_t n_threads, struct err *e) MUST_CHECK;
void converter_free(struct converter *c); /* NULL is fine */

/* Writes the next tensor of g.  tick(arg, bytes) after every few megabytes: nonzero ends it and is
 * returned.  Errors: ERR_INVALID naming the tensor where a value is not finite, or beyond what the
 * type can hold; ERR_IO, ERR_NOMEM. */
int convert(struct converter *c, struct gguf_writer *g, const struct planned *it,
            int (*tick)(void *arg, size_t bytes, struct err *e), void *arg,
            struct err *e) MUST_CHECK;

#endif
