/* convert.h - from what Takeoff was told to the text of an airstrip.conf.
 *
 * One thread; everything lives in the arena. */
#ifndef AIRSTRIP_TAKEOFF_CONVERT_H
#define AIRSTRIP_TAKEOFF_CONVERT_H

#include "fcgi/takeoff/convert/docker.h"
#include "kernels/base/buf.h"

struct conversion {
    struct arena *arena;
    struct takeoff *takeoff;     /* what was said; its notes are what has no equal */
    const struct docker *docker; /* NULL: there was no command line */
};

/* A manifest's text, by itself or as what a command line mounts.
 * Errors: manifest_parse()'s. */
int convert_manifest(struct conversion *c, const char *name, const char *text, size_t len,
                     struct err *e) MUST_CHECK;

/* A command line: its manifest, where one is mounted, and its variables over that.
 * Errors: manifest_environment()'s; ERR_INVALID where there is no model; ERR_NOTFOUND, ERR_IO. */
int convert_docker(struct conversion *c, const struct docker *d, struct err *e) MUST_CHECK;

/* The configuration.  Errors: ERR_INVALID for a value that no key takes; ERR_NOMEM. */
int convert_write(struct conversion *c, struct buf *out, struct err *e) MUST_CHECK;

#endif
