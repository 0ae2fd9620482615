/* From a model's name to its file or folder.  NAME is a path; or, in each models folder in turn:
 * NAME, NAME.gguf, what follows the last '/' of an id such as org/model where that is a model's
 * folder, or the one file that begins with it; or in huggingface_hub's cache.  NAME may end in
 * :TAG, which the file's name must then have in it. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "fcgi/config_keys.h"
#include "hub/cache.h"
#include "hub/name.h"
#include "hub/pick.h"
#include "kernels/base/buf.h"

enum { MAX_DIRS = 4 };

/* A file, or a folder as Hugging Face's library saves a model.  Links are followed: caches of
 * models are full of them. */
static bool is_model(const char *path)
{
    char config[PATH_MAX];
    struct stat st;

    if (stat(path, &st))
        return false;
    if (!S_ISDIR(st.st_mode))
        return S_ISREG(st.st_mode);
    return snprintf(config, sizeof config, "%s/config.json", path) < (int)sizeof config &&
           !stat(config, &st) && S_ISREG(st.st_mode);
}

/* The folders, most specific first; all live in the configuration's arena. */
static size_t list_dirs(struct config *c, const char *dirs[MAX_DIRS])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    struct buf b = { 0 };
    size_t n = 0;

    if (c->models_dir)
        dirs[n++] = c->models_dir;
    if (cache && *cache)
        buf_printf(&b, "%s/airstrip/models", cache);
    else if (home && *home)
        buf_printf(&b, "%s/.cache/airstrip/models", home);
    if (b.len) {
        dirs[n] = arena_strndup(&c->storage, b.data, b.len);
        n += dirs[n] != NULL;
    }
    buf_done(&b);
    dirs[n++] = "/var/lib/airstrip/models";
    return n;
}

/* How well a file's name fits: 2 for LAST.gguf and LAST.Q4_K.gguf, 1 for LAST-q4_k.gguf, else 0. */
static int fit(const char *file, const char *last)
{
    size_t len = strlen(last), n = strlen(file);

    if (n < len + 5 || strncasecmp(file, last, len) || strcasecmp(file + n - 5, ".gguf"))
        return 0;
    return file[len] == '.' ? 2 : file[len] == '-' || file[len] == '_' ? 1 : 0;
}

/* Looks for the best fit in one folder.  0 with *path NULL: none. */
static int search(struct config *c, const char *dir, const char *last, const char *tag,
                  const char **path, struct err *e)
{
    char best[256] = "", other[256] = "";
    struct dirent *entry;
    size_t part, parts, stem;
    int best_fit = 0;
    struct buf b = { 0 };
    DIR *d = opendir(dir);

    *path = NULL;
    if (!d)
        return 0;
    while ((entry = readdir(d))) {
        int f = fit(entry->d_name, last);

        hub_part(entry->d_name, &part, &parts, &stem);
        if (part > 1 || (*tag && !hub_tag_fits(entry->d_name, tag)))
            continue;
        if (f > best_fit) {
            best_fit = f;
            snprintf(best, sizeof best, "%s", entry->d_name);
            *other = '\0';
        } else if (f && f == best_fit) {
            snprintf(other, sizeof other, "%s", entry->d_name);
        }
    }
    closedir(d);
    if (!best_fit)
        return 0;
    if (*other)
        return err_param(
            e, "model", ERR_INVALID,
            "model \"%.80s\" fits several files in %.100s, %.80s and %.80s among them: "
            "name the file",
            last, dir, best, other);
    buf_printf(&b, "%s/%s", dir, best);
    *path = b.failed ? NULL : arena_strndup(&c->storage, b.data, b.len);
    buf_done(&b);
    return *path ? 0 : err_set(e, ERR_NOMEM, "no memory for a file name");
}

/* In huggingface_hub's cache. */
static int search_cache(struct config *c, const struct hub_name *name, const char **path,
                        struct err *e)
{
    struct buf found = { 0 };
    int rc = hub_find(name, &found, e);

    if (!rc && !(*path = arena_strndup(&c->storage, found.data, found.len)))
        rc = err_set(e, ERR_NOMEM, "no memory for a file name");
    buf_done(&found);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

/* dir/name + suffix where that is a model, else *path is NULL. */
static int exact(struct config *c, const char *dir, const char *name, const char *suffix,
                 const char **path, struct err *e)
{
    char file[PATH_MAX];

    *path = NULL;
    if (snprintf(file, sizeof file, "%s/%s%s", dir, name, suffix) >= (int)sizeof file ||
        !is_model(file))
        return 0;
    *path = arena_strndup(&c->storage, file, strlen(file));
    return *path ? 0 : err_set(e, ERR_NOMEM, "no memory for a file name");
}

/* In the models folders.  places: where, for a sentence. */
static int search_dirs(struct config *c, const char *model, const struct hub_name *name,
                       const char **path, struct buf *places, struct err *e)
{
    const char *dirs[MAX_DIRS], *base = *name->tag ? name->repo : model;
    const char *last = strrchr(base, '/');
    size_t n = list_dirs(c, dirs);
    int rc = 0;

    last = last ? last + 1 : base;
    for (size_t i = 0; !rc && !*path && i < n; i++) {
        buf_printf(places, "%s%s", i ? ", " : "", dirs[i]);
        rc = exact(c, dirs[i], model, "", path, e);
        if (!rc && !*path)
            rc = exact(c, dirs[i], model, ".gguf", path, e);
        if (!rc && !*path && *last && !*name->tag)
            rc = exact(c, dirs[i], last, "", path, e);
        if (!rc && !*path && *last)
            rc = search(c, dirs[i], last, name->tag, path, e);
    }
    return rc;
}

int models_dir_find(struct config *c, const char *model, const char **path, struct err *e)
{
    struct hub_name name;
    struct buf places = { 0 };
    bool of_hub = !hub_name_parse(&name, model, NULL);
    int rc;

    *path = NULL;
    if (is_model(model)) {
        *path = arena_strndup(&c->storage, model, strlen(model));
        return *path ? 0 : err_set(e, ERR_NOMEM, "no memory for a file name");
    }
    /* An absolute path means that file and no other. */
    if (*model == '/')
        return err_param(e, "model", ERR_NOTFOUND, "model: there is no file or model folder %.300s",
                         model);
    rc = search_dirs(c, model, &name, path, &places, e);
    if (!rc && !*path && of_hub)
        rc = search_cache(c, &name, path, e);
    if (!rc && !*path && of_hub) {
        buf_puts(&places, ", ");
        hub_cache(&places);
        rc = err_param(e, "model", ERR_NOTFOUND,
                       "model \"%.100s\" is not here; to bring it from the hub, run: "
                       "airstrip-fetch %.100s  (looked for in %.200s)",
                       model, model, buf_str(&places));
    } else if (!rc && !*path) {
        rc = err_param(e, "model", ERR_NOTFOUND,
                       "model \"%.100s\" is neither a file, a model folder, nor found in %.300s",
                       model, buf_str(&places));
    }
    buf_done(&places);
    return rc;
}
