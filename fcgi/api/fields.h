/* fields.h - typed reading of a request's JSON object.
 *
 * null is the same as absent everywhere: 0 is returned and *out keeps what it held, the default.  A
 * value of another type or out of range is ERR_INVALID, with the field's name as param and a
 * sentence that says what was expected and found.  Any thread. */
#ifndef AIRSTRIP_FIELDS_H
#define AIRSTRIP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inference/engine.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

/* The member called name, NULL where it is absent or null. */
const struct value *field_get(const struct value *object, const char *name);

int field_bool(const struct value *object, const char *name, bool *out, struct err *e) MUST_CHECK;

/* Accepts integers and numbers; min <= value <= max. */
int field_float(const struct value *object, const char *name, double min, double max, float *out,
                struct err *e) MUST_CHECK;

/* Accepts integers, and numbers without a fraction; min <= value <= max. */
int field_int(const struct value *object, const char *name, int64_t min, int64_t max, int64_t *out,
              struct err *e) MUST_CHECK;

/* Whether v is a token id, and which: 0 .. INT32_MAX, 7.0 being 7.  Nothing says that a vocabulary
 * has it. */
bool field_token_id(const struct value *v, int32_t *id);

/* out: borrowed from the tree. */
int field_string(const struct value *object, const char *name, const char **out,
                 struct err *e) MUST_CHECK;

/* "a string", "the number 3.5", "an array": for messages.  v may be NULL: "nothing". */
struct field_text {
    char text[64];
};
struct field_text field_describe(const struct value *v);

/* ERR_INVALID for param: "<param>: expected <expected>, found <what v is>". */
int field_wrong(struct err *e, const char *param, const char *expected, const struct value *v);

/* ERR_LIMIT: the request's arena is full. */
int field_no_memory(struct err *e);

/* A prompt: a string that is not empty, or an array of token ids, which the engine checks against
 * its vocabulary.  job borrows from v and a. */
int field_prompt(const struct value *v, const char *param, struct arena *a,
                 struct job_request *job, struct err *e) MUST_CHECK;

#endif
