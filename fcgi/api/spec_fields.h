/* spec_fields.h - what a request's text must be, under all the names that servers have given to it.
 *
 *   response_format {"type": "json_object" | "json_schema", "json_schema": {"schema": ...}} OpenAI
 *   structured_outputs {"json" | "regex" | "choice" | "json_object": ...}, guided_json,
 * guided_regex, guided_choice vLLM json_schema llama-server regex Takeoff
 *
 * Any thread. */
#ifndef AIRSTRIP_SPEC_FIELDS_H
#define AIRSTRIP_SPEC_FIELDS_H

#include "inference/engine.h"
#include "kernels/base/arena.h"

/* SPEC_NONE where the request asks for nothing of the kind.  Errors: ERR_INVALID for a wrong type
 * or two that contradict each other, ERR_UNSUPPORTED, each with the field as param. */
int spec_fields_read(struct spec *s, const struct value *body, struct arena *a,
                     struct err *e) MUST_CHECK;

#endif
