/* job_check.h - is what a request asks for within its ranges?  Any thread. */
#ifndef AIRSTRIP_JOB_CHECK_H
#define AIRSTRIP_JOB_CHECK_H

#include "inference/engine.h"

/* All but its prompt and its grammar.  ERR_INVALID with the param. */
int job_request_check(const struct job_request *r, size_t n_vocab, struct err *e) MUST_CHECK;

#endif
