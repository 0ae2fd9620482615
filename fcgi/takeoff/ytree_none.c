#include "fcgi/takeoff/ytree.h"

int ytree_parse(const char *name, const char *text, size_t len, struct arena *a, struct ytree **out,
                struct err *e)
{
    (void)text, (void)len, (void)a, (void)out;
    return err_set(e, ERR_UNSUPPORTED,
                   "%s: YAML cannot be read, since this program was built without libyaml: install "
                   "libyaml-dev and build it anew, or write airstrip.conf",
                   name);
}
