/* reading.h - the whole configuration from its sources, as often as it is wanted. */
#ifndef AIRSTRIP_READING_H
#define AIRSTRIP_READING_H

#include "fcgi/config.h"

/* How the program was started; borrowed as long as the process lives. */
struct reading {
    int argc;
    char **argv;
};

/* File, Takeoff's manifest, environment, command line: each over the one before.  *action: what the command line asks
 * for; with another than CONFIG_RUN the rest is not read.  Errors as config.h's. */
int reading_do(const struct reading *r, struct config *c, enum config_action *action,
               struct err *e) MUST_CHECK;

/* Where the configuration file is without --config. */
extern const char reading_default_file[];

#endif
