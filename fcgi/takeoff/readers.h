/* readers.h - Takeoff's readers, and the models that they are here.
 *
 * A reader there is a process that takes requests from the queue of its consumer group.  Here it is
 * a model of its own, called as the reader, and the group is the name that clients ask for.
 *
 * Made by one thread while the configuration is read, constant afterwards. */
#ifndef AIRSTRIP_TAKEOFF_READERS_H
#define AIRSTRIP_TAKEOFF_READERS_H

#include "fcgi/takeoff/settings.h"
#include "kernels/base/arena.h"
#include "kernels/base/buf.h"
#include "kernels/base/err.h"

/* One reader.  All texts are borrowed from the arena that the configuration lives in. */
struct takeoff_reader {
    const char *id;
    const char *values[TAKEOFF_MAX_SETTINGS]; /* by number of the setting; NULL: unset */
};

enum { TAKEOFF_MAX_READERS = 64 };

/* What a manifest says. */
struct takeoff {
    const char *server[TAKEOFF_MAX_SETTINGS]; /* server_config, the environment's over it */
    struct takeoff_reader *readers;           /* [n_readers], in the order of the manifest */
    size_t n_readers;
    const char **notes; /* [n_notes] what has no effect, a sentence each; never a value */
    size_t n_notes, notes_cap;
};

/* What the reader has for the setting of that name; NULL: unset. */
const char *takeoff_reader_get(const struct takeoff_reader *r, const char *name);

/* Takeoff's own rules, which look at several settings together; consumer_group may be missing.
 * Errors: ERR_INVALID, "FIELD: sentence" or "missing field ...". */
int takeoff_reader_check(const struct takeoff_reader *r, struct err *e) MUST_CHECK;

/* Adds a sentence about what has no effect; nothing where there is no memory for it. */
void takeoff_note(struct takeoff *t, struct arena *a, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Appends the devices that readers on cuda name, such as "0,1", each once and in their order. */
void takeoff_devices(const struct takeoff *t, struct buf *out);

/* Whether a reader asks for disable_cuda_graph. */
bool takeoff_wants_no_graphs(const struct takeoff *t);

/* A setting of ours for the model called `reader`, or for all of them and the server where that is
 * NULL. */
typedef int takeoff_put(void *context, const char *reader, const char *key, const char *value,
                        struct err *e);

/* Tells `put` what the server's settings and the readers are here: first all without a reader, then
 * each reader's, its model first.  Notes what is left out.
 * Errors: put()'s, with the reader's name in front. */
int takeoff_tell(struct takeoff *t, struct arena *a, takeoff_put *put, void *context,
                 struct err *e) MUST_CHECK;

#endif
