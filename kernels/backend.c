/* backend.c - which backends this build has. */
#include "kernels/backend.h"

#include <string.h>

#include "kernels/base/log.h"
#include "kernels/cpu/cpu.h"

/* A backend is named here and in its own folder, nowhere else. */
const struct backend *backend_find(const char *name, struct err *e)
{
    if (strcmp(name, "cpu") == 0)
        return &backend_cpu;
    if (strcmp(name, "auto") == 0) {
        log_msg(LOG_INFO, "backend", "auto chose cpu: this build has no CUDA backend");
        return &backend_cpu;
    }
    if (strcmp(name, "cuda") == 0)
        err_set(e, ERR_UNSUPPORTED,
                "backend cuda: this build has no CUDA backend, expected cpu or auto");
    else
        err_set(e, ERR_UNSUPPORTED, "backend \"%s\" is not known: expected cpu, cuda or auto",
                name);
    return NULL;
}
