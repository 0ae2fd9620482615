/* spec_fields.h - what a request's text must be, under all the names that servers have given to it.
 *
 * OpenAI: response_format {"type": "json_object" | "json_schema", "json_schema": {"schema": ...}}.
 * vLLM: structured_outputs {"json" | "regex" | "choice" | "grammar" | "json_object": ...},
 * guided_json, guided_regex, guided_choice, guided_grammar.
 * llama-server: json_schema, grammar (GBNF).  Takeoff: regex.
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
