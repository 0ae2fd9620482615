/* weights - the open file and its tensors by name; what the bytes mean is gguf.c's and meta.c's
 * matter.
 *
 * All lookups are binary searches in arrays sorted once: a hostile file can make neither a hash
 * collide nor a list long.  Truncating the file while it is mapped is beyond what is checked here:
 * reading a page that is gone raises SIGBUS. */
#include "inference/weights/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inference/weights/gguf.h"

enum { SHOWN_PATH = 200 }; /* bytes of a path that a sentence shows: its end, where the name is */

/* Puts the path in front of e's sentence; returns code. */
static int blame(const char *path, int code, struct err *e)
{
    size_t len = strlen(path);

    if (e && len > SHOWN_PATH)
        err_prefix(e, "...%s: ", path + len - SHOWN_PATH);
    else if (e)
        err_prefix(e, "%s: ", path);
    return code;
}

/* Maps the file; a pipe or device is refused without waiting for it. */
static int map(struct weights *w, const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int rc = 0;
    struct stat st;
    void *base;

    if (fd < 0)
        return err_set(e, ERR_IO, "cannot open: %s", strerror(errno));
    if (fstat(fd, &st) != 0) {
        rc = err_set(e, ERR_IO, "cannot stat: %s", strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = err_set(e, ERR_IO, "expected a regular file, found a %s",
                     S_ISDIR(st.st_mode) ? "directory" : "device, pipe or socket");
        goto out;
    }
    if (st.st_size <= 0) {
        rc = err_set(e, ERR_FORMAT, "not a GGUF file: it is empty");
        goto out;
    }
    if ((uintmax_t)st.st_size > SIZE_MAX) {
        rc = err_set(e, ERR_IO, "cannot map %jd bytes in this address space", (intmax_t)st.st_size);
        goto out;
    }
    base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) {
        rc = err_set(e, ERR_IO, "cannot map %jd bytes: %s", (intmax_t)st.st_size, strerror(errno));
        goto out;
    }
    w->base = base;
    w->bytes = (size_t)st.st_size;
    w->mapped = true;
out:
    close(fd); /* the mapping keeps the file */
    return rc;
}

/* bytes NULL: map the file called path; otherwise they are the file. */
static int open_either(struct weights **out, const char *path, const void *bytes, size_t n,
                       struct err *e)
{
    struct weights *w = calloc(1, sizeof *w);
    int rc;

    if (w)
        w->path = strdup(path);
    if (!w || !w->path) {
        free(w);
        return blame(path, err_set(e, ERR_NOMEM, "out of memory"), e);
    }
    arena_init(&w->arena, 0);
    if (bytes) {
        w->base = bytes;
        w->bytes = n;
        rc = 0;
    } else {
        rc = map(w, path, e);
    }
    if (rc == 0)
        rc = gguf_read(w, e);
    if (rc != 0) {
        weights_close(w);
        return blame(path, rc, e);
    }
    *out = w;
    return 0;
}

int weights_open(struct weights **out, const char *path, struct err *e)
{
    return open_either(out, path, NULL, 0, e);
}

int weights_open_memory(struct weights **out, const char *name, const void *bytes, size_t n,
                        struct err *e)
{
    return open_either(out, name, bytes ? bytes : "", n, e);
}

void weights_close(struct weights *w)
{
    if (!w)
        return;
    if (w->mapped)
        munmap((void *)(uintptr_t)w->base, w->bytes);
    arena_done(&w->arena);
    free(w->path);
    free(w);
}

const char *weights_path(const struct weights *w)
{
    return w->path;
}

size_t weights_file_bytes(const struct weights *w)
{
    return w->bytes;
}

size_t weights_n_tensors(const struct weights *w)
{
    return w->n_tensors;
}

const struct tensor *weights_tensor_at(const struct weights *w, size_t i)
{
    return i < w->n_tensors ? &w->tensors[i] : NULL;
}

/* bsearch: a name against an element of w->by_name. */
static int by_name(const void *name, const void *tensor)
{
    return strcmp(name, (*(const struct tensor *const *)tensor)->name);
}

const struct tensor *weights_tensor(const struct weights *w, const char *name)
{
    const struct tensor **found = NULL;

    if (w->n_tensors > 0)
        found = bsearch(name, w->by_name, w->n_tensors, sizeof(struct tensor *), by_name);
    return found ? *found : NULL;
}

void weights_release(const struct weights *w, const struct tensor *t)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)t->data, end = start + t->bytes;

    if (!w->mapped)
        return;
    start = (start + page - 1) & ~(page - 1);
    end &= ~(page - 1);
    /* A private mapping that was never written has nothing to lose: the next read faults the page
     * in from the file again.  Pages at the edges are shared with the neighbours and stay. */
    if (start < end)
        (void)madvise((void *)start, end - start, MADV_DONTNEED);
}
