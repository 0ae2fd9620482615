/* sampling_fields.h - how the next token is chosen, under the names that servers have given to it.
 *
 * OpenAI: temperature, top_p, frequency_penalty, presence_penalty, logit_bias, seed.
 * vLLM: top_k, min_p, repetition_penalty.
 * llama-server: repeat_penalty, repeat_last_n, typical_p, top_n_sigma, xtc_probability,
 * xtc_threshold, mirostat, mirostat_tau, mirostat_eta, dry_multiplier, dry_base,
 * dry_allowed_length, dry_penalty_last_n, dry_sequence_breakers.
 *
 * Any thread. */
#ifndef AIRSTRIP_SAMPLING_FIELDS_H
#define AIRSTRIP_SAMPLING_FIELDS_H

#include "inference/engine.h"
#include "kernels/base/arena.h"

/* What body names replaces what *s holds.  Errors: ERR_INVALID with the field as param. */
int sampling_fields_read(struct sampling *s, const struct value *body, struct arena *a,
                         struct err *e) MUST_CHECK;

/* The same from a text of JSON, as the configuration has it: what is not known is an error. */
int sampling_fields_parse(struct sampling *s, const char *json, struct arena *a,
                          struct err *e) MUST_CHECK;

#endif
