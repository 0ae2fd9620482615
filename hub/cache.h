/* cache.h - the folder that huggingface_hub, and with it most programs in Python, keeps models in.
 *
 *   CACHE/models--ORG--NAME/blobs/ID              a file, called by its hash: SHA-256, or git's
 * SHA-1 refs/main              the commit that `main` was when last asked snapshots/COMMIT/PATH  a
 * link to the blob, under its name CACHE/.locks/models--ORG--NAME/ID.lock        held (flock) by
 * who fetches the blob
 *
 * CACHE is $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
 * ~/.cache/huggingface/hub (huggingface_hub's constants.py).  Any thread, if none calls setenv().
 */
#ifndef AIRSTRIP_HUB_CACHE_H
#define AIRSTRIP_HUB_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "hub/name.h"
#include "kernels/base/buf.h"
#include "kernels/base/err.h"

enum { HUB_COMMIT_BYTES = 41 };

/* Appends HF_HOME, or what stands for it. Nothing where the environment names no home at all. */
void hub_home(struct buf *out);

/* Appends CACHE; nothing in the same case. */
void hub_cache(struct buf *out);

/* Appends CACHE/models--ORG--NAME. */
void hub_repo_folder(struct buf *out, const char *repo);

/* HF_HUB_OFFLINE: nothing may be asked of the hub. */
bool hub_offline(void);

/* Is the variable 1, on, true or yes? */
bool hub_flag(const char *variable);

/* Lower-case hexadecimal digits, exactly n. */
bool hub_is_hex(const char *s, size_t n);

/* Finds a whole model in the cache and puts its folder or GGUF file into *path.
 * Errors: ERR_NOTFOUND where there is none, or none that fits the tag; ERR_NOMEM. */
int hub_find(const struct hub_name *name, struct buf *path, struct err *e) MUST_CHECK;

#endif
