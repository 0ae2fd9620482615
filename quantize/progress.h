/* progress.h - how far it is, on standard error: a line that is drawn again and again on a
 * terminal, else one line each tenth.  One for the process; one thread. */
#ifndef AIRSTRIP_QUANTIZE_PROGRESS_H
#define AIRSTRIP_QUANTIZE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

/* quiet: nothing is said at all. */
void progress_begin(bool quiet, size_t total_bytes);

/* So many more bytes are written, of the tensor of this name. */
void progress_add(const char *name, size_t bytes);

void progress_end(void);

#endif
