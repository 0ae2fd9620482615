/* reader_request.h - the JSON of POST /reader, Takeoff's ReaderConfig, to a change of models.
 *
 * Everything lives in the request's arena.  Any thread. */
#ifndef AIRSTRIP_TAKEOFF_READER_REQUEST_H
#define AIRSTRIP_TAKEOFF_READER_REQUEST_H

#include "fcgi/changes.h"
#include "kernels/base/arena.h"
#include "kernels/base/value.h"

/* Types and rules are those of a manifest's reader (settings.h, readers.h).  Settings that have no
 * equal here are told in the log where they ask for something; what nobody knows is an error.
 * Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT, each with the field as param. */
int reader_request_read(struct change *c, const struct value *body, struct arena *a,
                        struct err *e) MUST_CHECK;

#endif
