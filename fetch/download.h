/* download.h - one file from the hub into the store: resumed where it was left, checked by its
 * hash. One thread. */
#ifndef AIRSTRIP_FETCH_DOWNLOAD_H
#define AIRSTRIP_FETCH_DOWNLOAD_H

#include <stdbool.h>

#include "fetch/http.h"
#include "fetch/listing.h"
#include "fetch/store.h"

/* name: for sentences.  *fetched: bytes came; false where the blob was there.
 * Errors: http_get()'s and http_wait()'s; ERR_FORMAT where twice bytes came that do not have the
 * hash (they are thrown away); ERR_IO where they cannot be written, and then what came is kept. */
int download(struct http *h, const struct store *s, const char *url, const char *name,
             const struct listed *file, bool *fetched, struct err *e) MUST_CHECK;

#endif
