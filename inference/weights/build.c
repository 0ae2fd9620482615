/* build - values are put down as bytes in the order of a GGUF file, so that meta.c reads both. */
#include "inference/weights/build.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "inference/weights/gguf.h"

int weights_new(struct weights **out, const char *path, struct err *e)
{
    struct weights *w = calloc(1, sizeof *w);

    *out = NULL;
    if (w)
        w->path = strdup(path);
    if (!w || !w->path) {
        free(w);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    arena_init(&w->arena, 0);
    *out = w;
    return 0;
}

void weights_adopt(struct weights *w, struct mapping *files, size_t n)
{
    w->files = files;
    w->n_files = n;
}

void *weights_room(struct weights *w, size_t bytes)
{
    return arena_alloc(&w->arena, bytes ? bytes : 1);
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory for tensors and keys");
}

/* Room for one more in an array of n that doubles at each power of two. */
static void *grow(struct weights *w, void *array, size_t n, size_t size)
{
    void *larger;

    if (n & (n - 1) || n == 1)
        return array;
    larger = arena_array(&w->arena, n ? 2 * n : 2, size);
    if (larger && n)
        memcpy(larger, array, n * size);
    return larger;
}

int weights_put_tensor(struct weights *w, const struct tensor *t, struct err *e)
{
    struct tensor *all = grow(w, w->tensors, w->n_tensors, sizeof *all);
    char *name = arena_strndup(&w->arena, t->name, strlen(t->name));

    if (!all || !name)
        return no_memory(e);
    w->tensors = all;
    all[w->n_tensors] = *t;
    all[w->n_tensors++].name = name;
    return 0;
}

static int put(struct weights *w, const char *key, struct meta_value v, struct err *e)
{
    struct meta_value *all = grow(w, w->values, w->n_values, sizeof *all);

    v.key = (struct str){ arena_strndup(&w->arena, key, strlen(key)), strlen(key) };
    if (!all || !v.key.data)
        return no_memory(e);
    w->values = all;
    all[w->n_values++] = v;
    return 0;
}

/* n values of 8 bytes: one, or an array. */
static int put_words(struct weights *w, const char *key, enum meta_type type, bool array,
                     const void *words, size_t n, struct err *e)
{
    unsigned char *data = arena_array(&w->arena, n + 1, 8);

    if (!data)
        return no_memory(e);
    for (size_t i = 0; i < n; i++) {
        uint64_t v;

        memcpy(&v, (const char *)words + 8 * i, 8);
        v = htole64(v);
        memcpy(data + 8 * i, &v, 8);
    }
    return put(w, key,
               (struct meta_value){
                   .type = array ? META_ARRAY : type, .item = type, .len = n, .data = data },
               e);
}

int weights_put_u64(struct weights *w, const char *key, uint64_t v, struct err *e)
{
    return put_words(w, key, META_U64, false, &v, 1, e);
}

int weights_put_f64(struct weights *w, const char *key, double v, struct err *e)
{
    return put_words(w, key, META_F64, false, &v, 1, e);
}

int weights_put_ints(struct weights *w, const char *key, const int64_t *v, size_t n, struct err *e)
{
    return put_words(w, key, META_I64, true, v, n, e);
}

int weights_put_floats(struct weights *w, const char *key, const double *v, size_t n, struct err *e)
{
    return put_words(w, key, META_F64, true, v, n, e);
}

int weights_put_strs(struct weights *w, const char *key, const struct str *v, size_t n,
                     struct err *e)
{
    size_t bytes = 8; /* of memory: never nothing */
    unsigned char *data, *p;

    for (size_t i = 0; i < n; i++)
        if (__builtin_add_overflow(bytes, v[i].len + 8, &bytes))
            return no_memory(e);
    p = data = arena_alloc(&w->arena, bytes);
    if (!data)
        return no_memory(e);
    for (size_t i = 0; i < n; i++) {
        uint64_t len = htole64(v[i].len);

        memcpy(p, &len, sizeof len);
        memcpy(p + sizeof len, v[i].data, v[i].len);
        p += sizeof len + v[i].len;
    }
    return put(w, key,
               (struct meta_value){ .type = META_ARRAY, .item = META_STR, .len = n, .data = data },
               e);
}

int weights_put_bool(struct weights *w, const char *key, bool v, struct err *e)
{
    unsigned char *data = arena_alloc(&w->arena, 1);

    if (!data)
        return no_memory(e);
    *data = v;
    return put(w, key,
               (struct meta_value){ .type = META_BOOL, .item = META_BOOL, .len = 1, .data = data },
               e);
}

int weights_put_str(struct weights *w, const char *key, struct str s, struct err *e)
{
    return put(w, key,
               (struct meta_value){ .type = META_STR, .item = META_STR, .len = 1, .text = s }, e);
}

int weights_put_copy(struct weights *w, const char *key, struct str s, struct err *e)
{
    s.data = arena_strndup(&w->arena, s.data, s.len);
    return s.data ? weights_put_str(w, key, s, e) : no_memory(e);
}

int weights_seal(struct weights *w, struct err *e)
{
    int rc = meta_sort(w, e);

    if (rc)
        return rc;
    w->by_name = arena_array(&w->arena, w->n_tensors + 1, sizeof *w->by_name);
    return w->by_name ? gguf_sort_names(w, e) : no_memory(e);
}

int weights_rebuild(struct weights *w,
                    int (*each)(void *arg, struct weights *w, const struct tensor *t,
                                struct err *e),
                    void *arg, struct err *e)
{
    const struct tensor *old = w->tensors;
    size_t n = w->n_tensors;
    int rc = 0;

    w->tensors = NULL;
    w->n_tensors = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = each(arg, w, &old[i], e);
    if (rc)
        return rc;
    w->by_name = arena_array(&w->arena, w->n_tensors + 1, sizeof *w->by_name);
    return w->by_name ? gguf_sort_names(w, e) : no_memory(e);
}
