/* bar.h - how far a download is, on standard error: a line that is drawn again and again on a
 * terminal, else one line for each file that has arrived.  One for the process; one thread. */
#ifndef AIRSTRIP_FETCH_BAR_H
#define AIRSTRIP_FETCH_BAR_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/err.h"

/* quiet: only bar_note() says anything.  total_bytes of all files. */
void bar_begin(bool quiet, size_t total_bytes);

/* The next file; its name is borrowed until the one after. */
void bar_file(const char *name, size_t bytes);

/* So many bytes of the file are here. */
void bar_at(size_t bytes);

/* The file is here; fetched: not only found. */
void bar_file_done(bool fetched);

/* The bar's line is left as it stands. */
void bar_end(void);

/* A sentence on a line of its own. */
void bar_note(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* "93.4 MB", in powers of 1000 as hubs count. */
enum { BAR_SIZE_BYTES = 24 };
const char *bar_size(char out[static BAR_SIZE_BYTES], double bytes);

#endif
