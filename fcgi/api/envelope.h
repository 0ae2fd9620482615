/* envelope.h - what every answer and every event carries around its choices: id, time, model,
 * fingerprint, usage.  Any thread. */
#ifndef AIRSTRIP_ENVELOPE_H
#define AIRSTRIP_ENVELOPE_H

#include "fcgi/api/generation.h"

/* Prefix and 24 characters of 62: never the same twice, whatever x-request-id a client repeats. */
void envelope_id(char *out, size_t size, const char *prefix);

/* "fp_..." that tells builds, models and instruction sets apart (FNV-1a over their names). */
void envelope_fingerprint(char *out, size_t size, struct engine *engine);

/* A chunk of a stream around its choice: what stands before and behind it. */
void envelope_chunk(struct buf *b, const struct generation *g, const char *object);
void envelope_chunk_end(struct buf *b, const struct generation *g);

/* What ends a stream of chunks: usage where it was asked for, and [DONE]. */
void envelope_end(struct buf *b, const struct generation *g, const char *object);

/* A buffered answer, whose choices put() appends. */
void envelope_whole(struct buf *b, const struct generation *g, const char *object,
                    void (*put)(struct buf *b, const struct generation *g, size_t index));

/* The tokens of all choices.  A prompt counts once for all its choices. */
struct envelope_usage {
    size_t prompt, cached, completion, reasoning, accepted, rejected;
};
struct envelope_usage envelope_usage(const struct generation *g);

#endif
