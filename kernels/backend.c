/* backend.c - which backends this build and machine have.
 *
 * The CPU's is part of the program, CUDA's a module that is opened when it is asked for: a machine
 * without a GPU pays a millisecond and no memory for it.  A backend is named here and in its own
 * folder, nowhere else. */
#include "kernels/backend.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cuda/module.h"

#define CUDA_MODULE PKGLIBDIR "/airstrip_cuda.so"

/* The module's table, opened once; NULL and why not. */
static const struct backend *open_cuda(struct err *e)
{
    const char *path = getenv("AIRSTRIP_CUDA_MODULE");
    const struct cuda_module *m;
    void *module = dlopen(path && *path ? path : CUDA_MODULE, RTLD_NOW | RTLD_LOCAL);

    if (!module) { /* dlerror() names the file, or the library that it needs */
        err_set(e, ERR_UNSUPPORTED, "the CUDA module does not load: %s", dlerror());
        return NULL;
    }
    m = dlsym(module, "airstrip_cuda");
    if (!m || m->abi != CUDA_MODULE_ABI || m->backend_bytes != sizeof(struct backend)) {
        err_set(e, ERR_UNSUPPORTED,
                "the CUDA module %s is of another version of airstrip than this program",
                path && *path ? path : CUDA_MODULE);
        dlclose(module);
        return NULL;
    }
    if (m->look(e) != 0) {
        dlclose(module);
        return NULL;
    }
    return m->backend; /* the module stays open: kernels are registered with the CUDA runtime */
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards both */
static const struct backend *found;
static const char *confined; /* why no device may be opened */

static const struct backend *find_cuda(struct err *e)
{
    const struct backend *b = NULL;

    pthread_mutex_lock(&lock);
    if (confined) {
        err_set(e, ERR_UNSUPPORTED, "%s", confined);
    } else {
        if (!found)
            found = open_cuda(e);
        b = found;
    }
    pthread_mutex_unlock(&lock);
    return b;
}

void backend_confine(const char *why)
{
    pthread_mutex_lock(&lock);
    confined = why;
    pthread_mutex_unlock(&lock);
}

const struct backend *backend_find(const char *name, struct err *e)
{
    const struct backend *b;
    struct err why = { 0 };
    struct log_line l;

    if (strcmp(name, "cpu") == 0)
        return &backend_cpu;
    if (strcmp(name, "auto") == 0) {
        b = find_cuda(&why);
        log_begin(&l, LOG_INFO, "backend");
        log_str(&l, "device", b ? "cuda" : "cpu");
        log_str(&l, "because", b ? NULL : why.text);
        log_end(&l);
        return b ? b : &backend_cpu;
    }
    if (strcmp(name, "cuda") == 0) {
        b = find_cuda(&why);
        if (!b)
            err_set(e, ERR_UNSUPPORTED, "device cuda: %s", why.text);
        return b;
    }
    err_set(e, ERR_UNSUPPORTED, "device \"%s\" is not known: expected cpu, cuda or auto", name);
    return NULL;
}
