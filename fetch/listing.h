/* listing.h - a repository's files as the hub's API lists them:
 *   GET /api/models/REPO/revision/main?blobs=true
 *   {"sha": COMMIT, "siblings": [{"rfilename", "size", "blobId", "lfs": {"sha256", "size"}}, ...]}
 * What it says is checked here: names cannot leave their folder, hashes are hashes.  One thread. */
#ifndef AIRSTRIP_FETCH_LISTING_H
#define AIRSTRIP_FETCH_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "fetch/http.h"
#include "hub/cache.h"
#include "kernels/base/arena.h"

struct listed {
    const char *id; /* SHA-256, or git's SHA-1: the blob's name in the cache */
    bool git;       /* the latter */
    size_t size;    /* bytes */
};

struct listing {
    char commit[HUB_COMMIT_BYTES];
    const char **names;   /* paths within the repository */
    struct listed *files; /* the same, in the same order */
    size_t n;
    struct arena arena;
};

/* Asks the hub, again where that may help.  Errors: http_get()'s; ERR_FORMAT where the answer is
 * not as above.  Call listing_done() also after an error. */
int listing_get(struct listing *l, struct http *h, const char *repo, struct err *e) MUST_CHECK;
void listing_done(struct listing *l);

#endif
