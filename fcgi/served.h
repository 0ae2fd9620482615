/* served.h - one opened model, shared by the configurations that name it.
 *
 * When the configuration is read anew, a model whose settings and file are the same goes on with
 * the engine that it has; one that changed gets a new engine, and the old one is closed when the
 * last request that uses it has ended.  References are counted: any thread. */
#ifndef AIRSTRIP_SERVED_H
#define AIRSTRIP_SERVED_H

#include <stdatomic.h>
#include <time.h>

#include "fcgi/config.h"
#include "inference/engine.h"
#include "kernels/base/buf.h"

struct served {
    struct engine *engine; /* NULL when even opening it failed: see failure */
    struct err failure;    /* why engine is NULL */
    time_t created;        /* modification time of the model file, for /v1/models */
    struct buf identity;   /* the settings and the file that it was opened with */
    atomic_uint refs;
};

/* Opens the model (which goes on loading by itself), or takes a reference to `earlier` (which may
 * be NULL) where that is the same.  An engine that cannot be opened is kept with its failure, and
 * tried again next time.  Errors: ERR_NOMEM. */
int served_open(struct served **out, const struct model_config *c, struct served *earlier,
                struct err *e) MUST_CHECK;

/* The last one closes the engine, which must have no jobs left then; NULL is fine. */
void served_unref(struct served *s);

#endif
