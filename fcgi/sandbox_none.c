/* sandbox_none.c - where libseccomp was not found, or the processor's registers are not known, or
 * sanitizers, which need calls of their own, were built in. */
#include "fcgi/sandbox.h"

int sandbox_enter(enum sandbox how, struct err *e)
{
    (void)how;
    return err_set(e, ERR_UNSUPPORTED, "this program was built without libseccomp");
}

void sandbox_look(void)
{
}
