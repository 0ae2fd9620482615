/* keys.h - the keys of the new file: those of the old one, and what is new.  One thread. */
#ifndef AIRSTRIP_QUANTIZE_KEYS_H
#define AIRSTRIP_QUANTIZE_KEYS_H

#include "inference/weights/gguf_write.h"
#include "quantize/plan.h"

/* note: a sentence for the user where a folder's tokenizer cannot be told in GGUF's own keys alone;
 * its text is "" where there is nothing to say.  folder: as plan_tensors(). */
int keys_put(struct gguf_writer *g, const struct weights *w, const struct model *folder,
             const struct recipe *r, struct err *note, struct err *e) MUST_CHECK;

#endif
