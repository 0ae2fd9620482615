/* docker.h - what a `docker run` command line says, as far as it matters without a container.
 *
 * podman and nerdctl write the same.  One thread; everything lives in the arena. */
#ifndef AIRSTRIP_TAKEOFF_DOCKER_H
#define AIRSTRIP_TAKEOFF_DOCKER_H

#include <stdbool.h>

#include "fcgi/takeoff/convert/words.h"

struct docker {
    struct words environment; /* NAME=VALUE, the later of two wins */
    struct words mounts;      /* HOST:CONTAINER, without options */
    struct words ports;       /* ADDRESS:HOST:CONTAINER, as written */
    const char *image;        /* NULL: none was named */
    const char *gpus;         /* "all", "2", "device=0,1"; NULL */
    const char *cpus;
    bool host_network;  /* ports of the container are the host's */
    bool has_arguments; /* words behind the image */
};

/* Whether the words are such a command; *skip is where its options begin. */
bool docker_is_run(const struct words *w, size_t *skip);

/* Options and image, from words[skip].  Files of --env-file are read, variables without a value are
 * taken from the script and the environment.
 * Errors: ERR_INVALID for an option without its value; ERR_NOTFOUND, ERR_IO; ERR_NOMEM. */
int docker_parse(struct docker *d, const struct words *w, size_t skip, const struct script *s,
                 struct arena *a, struct err *e) MUST_CHECK;

/* NAME's value; NULL where it is unset or empty. */
const char *docker_variable(const struct docker *d, const char *name);

/* Where a path of the container is on the host: below the deepest folder mounted there; NULL where
 * none is, or where that is a volume, which has no path of its own. */
const char *docker_host_path(const struct docker *d, const char *path, struct arena *a);

#endif
