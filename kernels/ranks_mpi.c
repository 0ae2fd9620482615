/* ranks_mpi.c - looks for a launcher, and opens the module where there is one. */
#include "kernels/ranks_mpi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/mpi/module.h"

#define MPI_MODULE PKGLIBDIR "/airstrip_mpi.so"

static const struct mpi_module *module; /* stays open: MPI is told to end by it */

static bool number(const char *name, size_t *out)
{
    const char *text = getenv(name);
    char *end;
    unsigned long n;

    if (!text || *text < '0' || *text > '9')
        return false;
    n = strtoul(text, &end, 10);
    *out = n;
    return *end == '\0';
}

/* Slurm tells every process of a step how many there are; only with a plug-in for MPI (PMI, PMIx)
 * can they find each other. */
bool ranks_mpi_launched(size_t *rank, size_t *n)
{
    if (number("OMPI_COMM_WORLD_SIZE", n) && number("OMPI_COMM_WORLD_RANK", rank))
        return *n > 1;
    if (number("PMI_SIZE", n) && number("PMI_RANK", rank))
        return *n > 1;
    if (number("PMIX_RANK", rank) && number("SLURM_STEP_NUM_TASKS", n))
        return *n > 1;
    return false;
}

static int open_module(struct err *e)
{
    const char *path = getenv("AIRSTRIP_MPI_MODULE");
    const struct mpi_module *m;
    void *library;

    path = path && *path ? path : MPI_MODULE;
    /* MPI opens parts of its own that expect its symbols with everybody. */
    library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        return err_set(e, ERR_UNSUPPORTED, "the MPI module does not load: %s", dlerror());
    m = dlsym(library, "airstrip_mpi");
    if (!m || m->abi != MPI_MODULE_ABI || m->ops_bytes != sizeof(struct ranks_ops) ||
        m->options_bytes != sizeof(struct ranks_mpi_options)) {
        dlclose(library);
        return err_set(e, ERR_UNSUPPORTED,
                       "the MPI module %s is of another version of airstrip than this program",
                       path);
    }
    module = m;
    return 0;
}

int ranks_mpi_open(struct ranks_world **out, const struct ranks_mpi_options *o, struct err *e)
{
    int rc = module ? 0 : open_module(e);

    return rc ? rc : module->open(out, o, e);
}

int ranks_mpi_join(struct ranks_world *w, struct ranks **out, struct err *e)
{
    return module->join(w, out, e);
}

void ranks_mpi_describe(const struct ranks_world *w, struct ranks_mpi_info *out)
{
    module->describe(w, out);
}

int ranks_mpi_failed(struct ranks_world *w, struct err *e)
{
    return module->failed(w, e);
}

void ranks_mpi_fail(struct ranks_world *w, const struct err *why)
{
    module->fail(w, why);
}

int ranks_mpi_compare(struct ranks_world *w, const void *bytes, size_t n, size_t *other,
                      struct err *e)
{
    return module->compare(w, bytes, n, other, e);
}

bool ranks_mpi_close(struct ranks_world *w)
{
    return w ? module->close(w) : true;
}
