/* folder - config.json and the safetensors files must be there, everything else may.
 *
 * modules.json is of the library sentence-transformers: it lists what makes a vector of a text,
 * each with a folder of settings.
 *
 * Weights are in model.safetensors, or in shards that model.safetensors.index.json lists:
 *   {"metadata": {...}, "weight_map": {"TENSOR": "model-00001-of-00002.safetensors", ...}} */
#include "inference/weights/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/buf.h"
#include "kernels/base/json.h"

#define INDEX   "model.safetensors.index.json"
#define SINGLE  "model.safetensors"
#define MODULES "modules.json"

enum { MAX_DEPTH = 64, MAX_FILES = 4096 };

bool folder_is(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Maps a file of the folder; *m stays valid until the next one.  ERR_NOTFOUND without a sentence
 * that anybody needs where it is not there. */
static int map_file(struct folder *f, const char *path, const char *name, struct mapping *m,
                    struct err *e)
{
    struct buf full = { 0 };
    struct mapping *files;
    int rc;

    if (f->n_files == MAX_FILES)
        return err_set(e, ERR_LIMIT, "%s: more than %d files", path, MAX_FILES);
    files = realloc(f->files, (f->n_files + 1) * sizeof *files);
    if (files)
        f->files = files;
    buf_printf(&full, "%s/%s", path, name);
    if (!files || full.failed) {
        rc = err_set(e, ERR_NOMEM, "no memory for the files of a folder");
    } else {
        rc = mapping_open(m, full.data, e);
        if (rc)
            mapping_blame(full.data, rc, e);
        else
            files[f->n_files++] = *m;
    }
    buf_done(&full);
    return rc;
}

/* A JSON file: *out stays NULL where there is none.  text may be NULL. */
static int read_json(struct folder *f, const char *path, const char *name, struct value **out,
                     struct str *text, struct err *e)
{
    struct mapping m;
    int rc = map_file(f, path, name, &m, e);

    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    rc = json_parse((const char *)m.base, m.bytes, MAX_DEPTH, &f->arena, out, e);
    if (rc == 0 && (*out)->kind != VALUE_MAP && strcmp(name, MODULES) != 0)
        rc = err_set(e, ERR_FORMAT, "expected a JSON object");
    if (rc && e)
        err_prefix(e, "%s/%s: ", path, name);
    if (text)
        *text = (struct str){ (const char *)m.base, m.bytes };
    return rc;
}

static bool ends_with(const struct value *v, const char *end)
{
    size_t n = strlen(end);

    return v && v->kind == VALUE_STRING && v->string.len >= n &&
           memcmp(v->string.data + v->string.len - n, end, n) == 0;
}

/* The settings of the module called Pooling.  Outside data names its folder: only one in this. */
static int read_modules(struct folder *f, const char *path, struct err *e)
{
    const struct value *list;
    int rc = read_json(f, path, MODULES, &f->modules, NULL, e);

    if (rc || !f->modules)
        return rc;
    list = f->modules;
    if (list->kind != VALUE_LIST)
        return err_set(e, ERR_FORMAT, "%s/" MODULES ": expected a JSON array", path);
    for (size_t i = 0; i < list->list.len && !rc; i++) {
        const struct value *in = value_get(list->list.items[i], "path");
        struct buf name = { 0 };

        if (!ends_with(value_get(list->list.items[i], "type"), "Pooling"))
            continue;
        if (!in || in->kind != VALUE_STRING || !*in->string.data || *in->string.data == '.' ||
            strchr(in->string.data, '/'))
            return err_set(e, ERR_FORMAT, "%s/" MODULES ": expected the name of a folder as path",
                           path);
        buf_printf(&name, "%s/config.json", in->string.data);
        rc = name.failed ? err_set(e, ERR_NOMEM, "no memory for the files of a folder")
                         : read_json(f, path, name.data, &f->pooling, NULL, e);
        buf_done(&name);
    }
    return rc;
}

static int read_text(struct folder *f, const char *path, const char *name, struct str *out,
                     struct err *e)
{
    struct mapping m;
    int rc = map_file(f, path, name, &m, e);

    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    *out = (struct str){ (const char *)m.base, m.bytes };
    return 0;
}

/* A tensor, and the shard that the index says it is in. */
struct wanted {
    const char *name, *file;
    bool found;
};

static int by_file_and_name(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    int order = strcmp(x->file, y->file);

    return order ? order : strcmp(x->name, y->name);
}

/* Outside data names files: only those of the folder itself are opened. */
static int read_index(struct folder *f, const struct value *index, struct wanted **out, size_t *n,
                      struct err *e)
{
    const struct value *map = value_get(index, "weight_map");
    struct wanted *w;

    if (!map || map->kind != VALUE_MAP || map->map.len == 0)
        return err_set(e, ERR_FORMAT, INDEX ": expected an object weight_map with tensors in it");
    w = arena_array(&f->arena, map->map.len, sizeof *w);
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for %zu tensors", map->map.len);
    for (size_t i = 0; i < map->map.len; i++) {
        const struct value *file = map->map.pairs[i].value;

        if (file->kind != VALUE_STRING || !*file->string.data || strchr(file->string.data, '/'))
            return err_set(e, ERR_FORMAT, INDEX ": tensor %.100s: expected the name of a file",
                           map->map.pairs[i].key);
        w[i] = (struct wanted){ map->map.pairs[i].key, file->string.data, false };
    }
    *n = map->map.len;
    qsort(w, *n, sizeof *w, by_file_and_name);
    *out = w;
    return 0;
}

static int read_shard(struct folder *f, const char *path, const char *name, struct st_list *list,
                      struct err *e)
{
    struct mapping m;
    int rc = map_file(f, path, name, &m, e);

    if (rc)
        return rc;
    rc = safetensors_read(list, m.base, m.bytes, &f->arena, e);
    for (size_t i = 0; i < list->n; i++)
        list->items[i].t.mapped = true;
    if (rc && e)
        err_prefix(e, "%s/%s: ", path, name);
    return rc;
}

/* The tensors of one shard, of which the index has w[0 .. n-1]. */
static int take_shard(struct folder *f, const char *path, struct wanted *w, size_t n, struct err *e)
{
    struct st_list list;
    int rc = read_shard(f, path, w->file, &list, e);

    if (rc == ERR_NOTFOUND)
        return err_set(e, ERR_NOTFOUND, "%s: " INDEX " names %.100s, which is not there", path,
                       w->file);
    if (rc)
        return rc;
    for (size_t i = 0; i < list.n; i++) {
        struct wanted key = { list.items[i].t.name, w->file, false };
        struct wanted *found = bsearch(&key, w, n, sizeof *w, by_file_and_name);

        if (found && !found->found) {
            found->found = true;
            f->tensors.items[f->tensors.n++] = list.items[i];
        }
    }
    for (size_t i = 0; i < n; i++)
        if (!w[i].found)
            return err_param(e, w[i].name, ERR_FORMAT,
                             "%s/%.100s: tensor %.100s is not in it, but " INDEX " says so", path,
                             w->file, w[i].name);
    return 0;
}

static int read_shards(struct folder *f, const char *path, const struct value *index, struct err *e)
{
    struct wanted *w = NULL;
    size_t n = 0;
    int rc = read_index(f, index, &w, &n, e);

    if (rc) {
        if (e)
            err_prefix(e, "%s/", path);
        return rc;
    }
    f->tensors.items = arena_array(&f->arena, n, sizeof *f->tensors.items);
    if (!f->tensors.items)
        return err_set(e, ERR_NOMEM, "no memory for %zu tensors", n);
    for (size_t i = 0, end; i < n && !rc; i = end) {
        for (end = i + 1; end < n && strcmp(w[end].file, w[i].file) == 0;)
            end++;
        rc = take_shard(f, path, w + i, end - i, e);
    }
    return rc;
}

static int read_weights(struct folder *f, const char *path, struct err *e)
{
    struct value *index = NULL;
    int rc = read_json(f, path, INDEX, &index, NULL, e);

    if (rc)
        return rc;
    if (index)
        return read_shards(f, path, index, e);
    rc = read_shard(f, path, SINGLE, &f->tensors, e);
    if (rc == ERR_NOTFOUND)
        return err_set(e, ERR_NOTFOUND,
                       "%s: there is neither " SINGLE " nor " INDEX
                       ": weights are read from safetensors files only",
                       path);
    return rc;
}

int folder_open(struct folder *f, const char *path, struct err *e)
{
    int rc;

    *f = (struct folder){ 0 };
    arena_init(&f->arena, 0);
    if ((rc = read_json(f, path, "config.json", &f->config, NULL, e)))
        return rc;
    if (!f->config)
        return err_set(e, ERR_NOTFOUND, "%s: the folder has no config.json, so it is no model",
                       path);
    if ((rc = read_json(f, path, "generation_config.json", &f->generation, NULL, e)) ||
        (rc = read_json(f, path, "tokenizer_config.json", &f->tokenizer_config,
                        &f->tokenizer_settings, e)) ||
        (rc = read_modules(f, path, e)) ||
        (rc = read_text(f, path, "tokenizer.json", &f->tokenizer, e)) ||
        (rc = read_text(f, path, "chat_template.jinja", &f->chat_template, e)))
        return rc;
    return read_weights(f, path, e);
}

void folder_close(struct folder *f)
{
    for (size_t i = 0; i < f->n_files; i++)
        mapping_close(&f->files[i]);
    free(f->files);
    if (f->arena.limit_bytes)
        arena_done(&f->arena);
    *f = (struct folder){ 0 };
}
