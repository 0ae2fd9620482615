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

/* What response_format asks for (NULL: nothing), or another member called param that means the
 * same: llama-server and the text.format of responses have the schema without json_schema around
 * it. Errors as those of spec_fields_read(). */
int spec_format_read(struct spec *s, const struct value *format, const char *param, struct arena *a,
                     struct err *e) MUST_CHECK;

/* All the other names.  SPEC_NONE where the request asks for nothing of the kind.  Errors:
 * ERR_INVALID for a wrong type or two that contradict each other, ERR_UNSUPPORTED, each with the
 * field as param. */
int spec_fields_read(struct spec *s, const struct value *body, struct arena *a,
                     struct err *e) MUST_CHECK;

#endif
