#include "fcgi/reading.h"

#include <stdlib.h>
#include <unistd.h>

extern char **environ;

const char reading_default_file[] = SYSCONFDIR "/airstrip/airstrip.conf";

int reading_do(const struct reading *r, struct config *c, enum config_action *action, struct err *e)
{
    const char *from_environment = getenv("AIRSTRIP_CONFIG");
    int rc = config_options(c, r->argc, r->argv, true, action, e);

    if (rc || *action != CONFIG_RUN)
        return rc;
    if (!c->file && from_environment && *from_environment)
        c->file = from_environment;
    if (!c->file && !access(reading_default_file, F_OK))
        c->file = reading_default_file;
    if (c->file)
        rc = config_read(c, c->file, e);
    if (!rc)
        rc = config_environment(c, environ, e);
    if (!rc)
        rc = config_options(c, r->argc, r->argv, false, action, e);
    return rc ? rc : config_finish(c, e);
}
