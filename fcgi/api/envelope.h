/* envelope.h - what every answer and every event carries around its choices: id, time, model,
 * fingerprint, usage.  Any thread. */
#ifndef AIRSTRIP_ENVELOPE_H
#define AIRSTRIP_ENVELOPE_H

#include "fcgi/api/generation.h"

/* Prefix and 24 characters of 62: never the same twice, whatever x-request-id a client repeats. */
void envelope_id(char *out, size_t size, const char *prefix);

/* "fp_..." that tells builds, models and instruction sets apart (FNV-1a over their names). */
void envelope_fingerprint(char *out, size_t size, struct engine *engine);

/* Appends {"id":..,"object":..,"created":..,"model":..,"system_fingerprint":..,"choices":[ */
void envelope_head(struct buf *b, const struct generation *g, const char *object);

/* Appends "usage":{..}.  A prompt counts once for all its choices. */
void envelope_usage(struct buf *b, const struct generation *g);

#endif
