/* engine_parts.h - what the files of the engine share among themselves.
 *
 * Of struct loaded the callers read the text side and the numbers planned by loaded_check(), which
 * never change; what loading fills in (model, device) they read once `serving` is set. */
#ifndef AIRSTRIP_ENGINE_PARTS_H
#define AIRSTRIP_ENGINE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "inference/constraints.h"
#include "inference/engine.h"
#include "inference/loaded.h"
#include "inference/scheduler.h"

struct engine {
    struct loaded loaded;
    struct scheduler *scheduler;
    struct constraints *constraints;
    char *name, *path; /* for the log */
    pthread_t thread;
    double opened_ms;
    atomic_int load_percent;
    atomic_bool serving; /* loaded: the device's numbers may be read */
    double load_ms;      /* written before serving is set */
    enum prefix_cache prefix_cache;
    enum speculation speculation;
};

#endif
