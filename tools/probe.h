/* probe.h - the subcommands of airstrip-probe, which shows what single parts of the house compute.
 *
 * A subcommand lives in probe_<noun>.c, is declared here and has a line in probe.c's table.
 * argv[0] is its own name.  It writes results to stdout and returns 0, or ERR_* with a sentence
 * that probe.c prints; ERR_INVALID (wrong arguments) makes the exit status 2, everything else 1. */
#ifndef AIRSTRIP_PROBE_H
#define AIRSTRIP_PROBE_H

#include "kernels/base/err.h"

/* dequant TYPE: raw blocks of a storage format on stdin until it ends, little-endian float32 on
 * stdout. */
int probe_dequant(int argc, char **argv, struct err *e) MUST_CHECK;

/* tokenize MODEL: for each line {"text": str, "special": bool, "add_special": bool} on stdin a line
 * {"ids": [int, ...]} on stdout; special: control tokens are recognised in the text.
 * detokenize MODEL: for each line {"ids": [int, ...], "special": bool} a line {"text": str}.
 * A line that cannot be served is answered with {"error": str}. */
int probe_tokenize(int argc, char **argv, struct err *e) MUST_CHECK;
int probe_detokenize(int argc, char **argv, struct err *e) MUST_CHECK;

/* render: for each line {"template": str, "context": object, "now": "YYYY-MM-DDTHH:MM:SS" or
 * seconds} on stdin (now may be missing) a line {"text": str, "plain": [[start, end], ...]} on
 * stdout: the rendered text and its untrusted byte ranges; or {"error": str}, the bare message
 * where the template raised it. */
int probe_render(int argc, char **argv, struct err *e) MUST_CHECK;

/* constrain MODEL: random texts that fit a schema, a regular expression or the like, and what masks
 * cost; see probe_constrain.c. */
int probe_constrain(int argc, char **argv, struct err *e) MUST_CHECK;

/* logits MODEL: JSON requests with token ids on stdin, logits or log-probabilities on stdout, a
 * line each; see probe_logits.c. */
int probe_logits(int argc, char **argv, struct err *e) MUST_CHECK;

/* embed MODEL: JSON requests with a text or token ids on stdin, vectors on stdout, a line each; see
 * probe_embed.c. */
int probe_embed(int argc, char **argv, struct err *e) MUST_CHECK;

#endif
