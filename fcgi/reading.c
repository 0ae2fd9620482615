#include "fcgi/reading.h"

#include <stdlib.h>
#include <unistd.h>

#include "fcgi/takeoff/manifest.h"

extern char **environ;

const char reading_default_file[] = SYSCONFDIR "/airstrip/airstrip.conf";

int reading_do(const struct reading *r, struct config *c, enum config_action *action, struct err *e)
{
    const char *from_environment = getenv("AIRSTRIP_CONFIG"), *manifest;
    int rc = config_options(c, r->argc, r->argv, true, action, e);

    if (rc || *action != CONFIG_RUN)
        return rc;
    if (!c->file && from_environment && *from_environment)
        c->file = from_environment;
    if (!c->file && !access(reading_default_file, F_OK))
        c->file = reading_default_file;
    manifest = c->takeoff_manifest ? c->takeoff_manifest : getenv("AIRSTRIP_TAKEOFF_MANIFEST");
    if (c->file)
        rc = config_read(c, c->file, e);
    /* A source between the two, so the strongest source that names it is heard before. */
    if (manifest && *manifest)
        c->takeoff_manifest = manifest;
    if (!rc && c->takeoff_manifest)
        rc = manifest_read(c, environ, e);
    if (!rc)
        rc = config_environment(c, environ, e);
    if (!rc)
        rc = config_options(c, r->argc, r->argv, false, action, e);
    return rc ? rc : config_finish(c, e);
}
