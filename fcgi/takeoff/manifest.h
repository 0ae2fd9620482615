/* manifest.h - Takeoff's manifest, config.yaml: its server_config and readers_config.
 *
 *   takeoff:
 *     server_config: {port: 3000, max_batch_size: 8}
 *     readers_config:
 *       reader1: {model_name: org/model, device: cpu, consumer_group: primary}
 *
 * One thread. */
#ifndef AIRSTRIP_TAKEOFF_MANIFEST_H
#define AIRSTRIP_TAKEOFF_MANIFEST_H

#include "fcgi/config.h"
#include "fcgi/takeoff/readers.h"

/* Reads a manifest's text into *t, which has nothing but notes yet; all of it lives in the arena,
 * and so does name.  What Takeoff refuses is refused: a field of the wrong type, a reader without
 * model_name, device or consumer_group, ... A field that nobody knows is noted. Errors: as
 * ytree_parse(); ERR_INVALID "NAME:LINE:COLUMN: PLACE: expected ..., found ...". */
int manifest_parse(struct takeoff *t, const char *name, const char *text, size_t len,
                   struct arena *a, struct err *e) MUST_CHECK;

/* The variables of the environment over server_config; and a reader of the environment, which there
 * is where TAKEOFF_MODEL_NAME and TAKEOFF_DEVICE are set, beside readers of the manifest is an
 * error, as it is there.  Errors: ERR_INVALID. */
int manifest_environment(struct takeoff *t, char *const *environment, struct arena *a,
                         struct err *e) MUST_CHECK;

/* All of it: the file c->takeoff_manifest, the environment over it, into c, whose `manifest` it
 * becomes.  Errors: those above; ERR_NOTFOUND, ERR_IO; config_set_for()'s. */
int manifest_read(struct config *c, char *const *environment, struct err *e) MUST_CHECK;

/* What CUDA reads from the process's environment when it starts: devices that the readers name, and
 * whether there are graphs.  What is set there already stays.  Before any model is opened. */
void manifest_export(const struct takeoff *t);

/* A line in the log for each note. */
void manifest_warn(const struct takeoff *t);

#endif
