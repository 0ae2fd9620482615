/* schema.h - a JSON Schema (draft 2020-12, and what older drafts say otherwise) as grammar.
 *
 * Every text that is generated is valid; not every valid text can be generated: declared properties
 * come in their order, others only where the schema speaks of them, numbers have a bounded number
 * of digits.  What cannot be kept is refused by name and place, never disregarded; only annotations
 * and keywords that no draft knows are.  Any thread. */
#ifndef AIRSTRIP_CONSTRAIN_SCHEMA_H
#define AIRSTRIP_CONSTRAIN_SCHEMA_H

#include "inference/constrain/grammar.h"
#include "kernels/base/value.h"

/* *out: the node of all values that are generated for it.  Errors: ERR_INVALID (not a schema),
 * ERR_UNSUPPORTED, ERR_LIMIT, ERR_NOMEM; the sentence begins with the JSON pointer of the place. */
int schema_node(struct grammar *g, const struct value *schema, int32_t *out,
                struct err *e) MUST_CHECK;

/* Any object: what is promised as "JSON mode". */
int32_t schema_any_object(struct grammar *g);

#endif
