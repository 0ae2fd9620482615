/* mirostat.h - text of a constant surprise (Basu et al. 2021), as llama.cpp has it.
 *
 * In place of what narrow.h does, the choice is cut where tokens would surprise too much; where
 * that is, mu, follows what came: mu -= eta * (surprise - tau), in bits, from 2 tau on.  Version 1
 * makes a top_k of mu by how fast probabilities fall (Zipf's law, seen at the best hundred);
 * version 2 leaves out tokens that surprise by more than mu. */
#ifndef AIRSTRIP_MIROSTAT_H
#define AIRSTRIP_MIROSTAT_H

#include "inference/candidates.h"
#include "inference/engine.h"

static inline double mirostat_start(const struct sampling *p)
{
    return 2 * (double)p->mirostat_tau;
}

/* Lists what stays, at least one token.  s: as for narrow(). */
void mirostat_narrow(struct candidates *s, const struct sampling *p, double mu);

/* The token taken had this probability among those listed. */
void mirostat_learn(const struct sampling *p, double *mu, double probability);

#endif
