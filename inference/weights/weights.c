/* weights - the open file and its tensors by name; what the bytes mean is gguf.c's and meta.c's
 * matter.
 *
 * All lookups are binary searches in arrays sorted once: a hostile file can make neither a hash
 * collide nor a list long. */
#include "inference/weights/weights.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inference/weights/gguf.h"

/* The file as the only one of w. */
static int map(struct weights *w, const char *path, struct err *e)
{
    int rc;

    w->files = calloc(1, sizeof *w->files);
    if (!w->files)
        return err_set(e, ERR_NOMEM, "out of memory");
    w->n_files = 1;
    rc = mapping_open(w->files, path, e);
    w->base = w->files->base;
    w->bytes = w->files->bytes;
    return rc == ERR_NOTFOUND ? e ? (e->code = ERR_IO) : ERR_IO : rc;
}

/* bytes NULL: map the file called path; otherwise they are the file. */
static int open_either(struct weights **out, const char *path, const void *bytes, size_t n,
                       bool with_parts, struct err *e)
{
    struct weights *w = calloc(1, sizeof *w);
    int rc;

    if (w)
        w->path = strdup(path);
    if (!w || !w->path) {
        free(w);
        return mapping_blame(path, err_set(e, ERR_NOMEM, "out of memory"), e);
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
        return mapping_blame(path, rc, e);
    }
    if (with_parts && (rc = split_read(w, e)) != 0) { /* its sentences name the part */
        weights_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

int weights_open(struct weights **out, const char *path, struct err *e)
{
    return open_either(out, path, NULL, 0, true, e);
}

int weights_open_part(struct weights **out, const char *path, struct err *e)
{
    return open_either(out, path, NULL, 0, false, e);
}

int weights_open_memory(struct weights **out, const char *name, const void *bytes, size_t n,
                        struct err *e)
{
    return open_either(out, name, bytes ? bytes : "", n, false, e);
}

void weights_close(struct weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_files; i++)
        mapping_close(&w->files[i]);
    for (size_t i = 0; i < w->n_parts; i++)
        weights_close(w->parts[i]);
    free(w->files);
    free(w->parts);
    arena_done(&w->arena);
    free(w->path);
    free(w);
}

bool weights_lost(const struct weights *w)
{
    for (size_t i = 0; i < w->n_files; i++)
        if (mapping_lost(&w->files[i]))
            return true;
    for (size_t i = 0; i < w->n_parts; i++)
        if (weights_lost(w->parts[i]))
            return true;
    return false;
}

const char *weights_path(const struct weights *w)
{
    return w->path;
}

size_t weights_file_bytes(const struct weights *w)
{
    size_t bytes = w->n_files ? 0 : w->bytes;

    for (size_t i = 0; i < w->n_files; i++)
        bytes += w->files[i].bytes;
    for (size_t i = 0; i < w->n_parts; i++)
        bytes += weights_file_bytes(w->parts[i]);
    return bytes;
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

/* Does it lie in a file of ours?  Then letting its pages go loses nothing. */
static bool is_mapped(const struct weights *w, const struct tensor *t)
{
    const unsigned char *p = t->data;

    for (size_t i = 0; i < w->n_files; i++)
        if (p >= w->files[i].base && p < w->files[i].base + w->files[i].bytes)
            return true;
    for (size_t i = 0; i < w->n_parts; i++)
        if (is_mapped(w->parts[i], t))
            return true;
    return false;
}

/* Pages at the edges are shared with the neighbours and stay. */
static void let_go(const struct tensor *t)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)t->data, end = start + t->bytes;

    start = (start + page - 1) & ~(page - 1);
    end &= ~(page - 1);
    if (start < end)
        (void)madvise((void *)start, end - start, MADV_DONTNEED);
}

/* A private mapping that was never written has nothing to lose: the next read faults the page in
 * from the file again. */
void weights_release(const struct weights *w, const struct tensor *t)
{
    if (is_mapped(w, t))
        let_go(t);
}

void weights_discard(const struct tensor *t)
{
    let_go(t);
}
