/* plain.h - does a state read any text of ordinary characters?  See trie_slice().
 *
 * Any thread. */
#ifndef AIRSTRIP_CONSTRAIN_PLAIN_H
#define AIRSTRIP_CONSTRAIN_PLAIN_H

#include "inference/constrain/network.h"

/* From the state, without leaving its rule, every text of at most `most` characters that stand for
 * themselves in a JSON string.  False too where that would take long to find out. */
bool plain_reads(const struct network *n, uint32_t state, size_t most);

#endif
