/* split - a GGUF file that was cut into several: NAME-00001-of-0000N.gguf and so on.
 *
 * Each part is a GGUF file of its own.  The first has the metadata; split.no (from 0), split.count
 * and split.tensors.count tie them together (llama.cpp's gguf-split). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/weights/gguf.h"

enum { MAX_PARTS = 1024 };

static int split_key(const struct weights *w, const char *key, uint64_t *out, struct err *e)
{
    int rc = weights_u64(w, key, out, e);

    return rc && rc != ERR_NOTFOUND ? mapping_blame(w->path, rc, e) : 0;
}

/* The path of part i (from 0), to be freed; NULL where the first is not called as it should be. */
static char *part_path(const char *first, size_t i, size_t n)
{
    char ending[64], *path = strdup(first);
    size_t len = strlen(first), at;

    if (!path)
        return NULL;
    snprintf(ending, sizeof ending, "-%05u-of-%05zu.gguf", 1, n);
    if (len < strlen(ending) || strcmp(first + len - strlen(ending), ending) != 0) {
        free(path);
        return NULL;
    }
    at = len - strlen(ending);
    snprintf(path + at, len - at + 1, "-%05zu-of-%05zu.gguf", i + 1, n);
    return path;
}

static int open_part(struct weights *w, size_t i, size_t n, struct err *e)
{
    char *path = part_path(w->path, i, n);
    uint64_t no = UINT64_MAX;
    int rc;

    if (!path)
        return mapping_blame(
            w->path,
            err_set(
                e, ERR_FORMAT,
                "it is the first of %zu parts, but its name does not end in -%05d-of-%05zu.gguf", n,
                1, n),
            e);
    rc = weights_open_part(&w->parts[w->n_parts], path, e);
    if (rc == 0) {
        rc = split_key(w->parts[w->n_parts++], "split.no", &no, e);
        if (rc == 0 && no != i)
            rc = mapping_blame(path,
                               err_set(e, ERR_FORMAT, "split.no is %llu, expected %zu",
                                       (unsigned long long)no, i),
                               e);
    }
    free(path);
    return rc;
}

/* All parts' tensors into one list. */
static int join(struct weights *w, uint64_t expected, struct err *e)
{
    size_t n = w->n_tensors, at = w->n_tensors;
    struct tensor *all;

    for (size_t i = 0; i < w->n_parts; i++)
        n += w->parts[i]->n_tensors; /* each is below its file's bytes: no wrap */
    if (n != expected)
        return mapping_blame(w->path,
                             err_set(e, ERR_FORMAT,
                                     "its parts have %zu tensors together, split.tensors.count "
                                     "says %llu",
                                     n, (unsigned long long)expected),
                             e);
    all = arena_array(&w->arena, n + 1, sizeof *all);
    w->by_name = arena_array(&w->arena, n + 1, sizeof *w->by_name);
    if (!all || !w->by_name)
        return err_set(e, ERR_NOMEM, "out of memory for %zu tensors", n);
    memcpy(all, w->tensors, w->n_tensors * sizeof *all);
    for (size_t i = 0; i < w->n_parts; i++) {
        memcpy(all + at, w->parts[i]->tensors, w->parts[i]->n_tensors * sizeof *all);
        at += w->parts[i]->n_tensors;
    }
    w->tensors = all;
    w->n_tensors = n;
    return gguf_sort_names(w, e);
}

int split_read(struct weights *w, struct err *e)
{
    uint64_t n = 1, no = 0, tensors = w->n_tensors;
    int rc;

    if ((rc = split_key(w, "split.count", &n, e)) || (rc = split_key(w, "split.no", &no, e)) ||
        (rc = split_key(w, "split.tensors.count", &tensors, e)))
        return rc;
    if (n <= 1)
        return 0;
    if (n > MAX_PARTS)
        return mapping_blame(w->path,
                             err_set(e, ERR_FORMAT, "split.count is %llu, expected at most %d",
                                     (unsigned long long)n, MAX_PARTS),
                             e);
    if (no != 0)
        return mapping_blame(
            w->path,
            err_set(e, ERR_INVALID,
                    "it is part %llu of %llu: name the first, ...-00001-of-%05llu.gguf",
                    (unsigned long long)no + 1, (unsigned long long)n, (unsigned long long)n),
            e);
    w->parts = calloc((size_t)n, sizeof(struct weights *));
    if (!w->parts)
        return err_set(e, ERR_NOMEM, "out of memory for %llu parts", (unsigned long long)n);
    for (size_t i = 1; i < n; i++)
        if ((rc = open_part(w, i, (size_t)n, e)))
            return rc;
    return join(w, tensors, e);
}
