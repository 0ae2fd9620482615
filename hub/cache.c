#include "hub/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/pick.h"
#include "kernels/base/arena.h"

/* Repositories of GGUF files have a folder for each split one, no deeper. */
enum { MAX_DEPTH = 3, MAX_FILES = 4096 };

static const char *variable(const char *name)
{
    const char *s = getenv(name);

    return s && *s ? s : NULL;
}

/* A folder that a variable names; "~/" as in Python's expanduser(). */
static void put_folder(struct buf *out, const char *s)
{
    const char *home = variable("HOME");

    if (s[0] == '~' && s[1] == '/' && home)
        buf_printf(out, "%s%s", home, s + 1);
    else
        buf_puts(out, s);
}

void hub_home(struct buf *out)
{
    const char *s;

    if ((s = variable("HF_HOME"))) {
        put_folder(out, s);
    } else if ((s = variable("XDG_CACHE_HOME"))) {
        put_folder(out, s);
        buf_puts(out, "/huggingface");
    } else if ((s = variable("HOME"))) {
        buf_printf(out, "%s/.cache/huggingface", s);
    }
}

void hub_cache(struct buf *out)
{
    const char *s;
    size_t before = out->len;

    if ((s = variable("HF_HUB_CACHE")) || (s = variable("HUGGINGFACE_HUB_CACHE"))) {
        put_folder(out, s);
        return;
    }
    hub_home(out);
    if (out->len > before)
        buf_puts(out, "/hub");
}

void hub_repo_folder(struct buf *out, const char *repo)
{
    const char *slash = strchr(repo, '/');

    hub_cache(out);
    if (slash)
        buf_printf(out, "/models--%.*s--%s", (int)(slash - repo), repo, slash + 1);
    else
        buf_printf(out, "/models--%s", repo);
}

bool hub_flag(const char *name)
{
    static const char *const yes[] = { "1", "on", "true", "yes" };
    const char *s = variable(name);

    for (size_t i = 0; s && i < sizeof yes / sizeof *yes; i++)
        if (!strcasecmp(s, yes[i]))
            return true;
    return false;
}

bool hub_offline(void)
{
    return hub_flag(variable("HF_HUB_OFFLINE") ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE");
}

bool hub_is_hex(const char *s, size_t n)
{
    return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

/* The files of a snapshot: paths within it. */
struct list {
    struct arena arena;
    const char **names; /* [MAX_FILES] */
    size_t n;
};

/* Adds what is a file, links followed, in root/under and the folders in it. */
static void read_folder(struct list *l, const char *root, const char *under, int depth)
{
    struct buf path = { 0 };
    struct dirent *entry;
    DIR *d;

    buf_printf(&path, "%s/%s", root, under);
    d = path.failed ? NULL : opendir(path.data);
    while (d && l->n < MAX_FILES && (entry = readdir(d))) {
        struct buf name = { 0 };
        struct stat st;

        if (entry->d_name[0] == '.')
            continue;
        buf_printf(&name, "%s%s", under, entry->d_name);
        buf_reset(&path);
        buf_printf(&path, "%s/%s", root, buf_str(&name));
        if (name.failed || path.failed || stat(path.data, &st)) {
            buf_done(&name); /* a link to a blob that is no longer there, say */
            continue;
        }
        if (S_ISREG(st.st_mode)) {
            l->names[l->n] = arena_strndup(&l->arena, name.data, name.len);
            l->n += l->names[l->n] != NULL;
        } else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
            buf_putc(&name, '/');
            if (!name.failed)
                read_folder(l, root, name.data, depth + 1);
        }
        buf_done(&name);
    }
    if (d)
        closedir(d);
    buf_done(&path);
}

/* The commit that refs/main names; false where there is none. */
static bool read_main(const char *folder, char commit[static HUB_COMMIT_BYTES])
{
    struct buf path = { 0 };
    ssize_t n = -1;
    int fd = -1;

    buf_printf(&path, "%s/refs/main", folder);
    if (!path.failed)
        fd = open(path.data, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, commit, HUB_COMMIT_BYTES - 1);
        close(fd);
    }
    buf_done(&path);
    commit[n > 0 ? n : 0] = '\0';
    return hub_is_hex(commit, HUB_COMMIT_BYTES - 1);
}

int hub_find(const struct hub_name *name, struct buf *path, struct err *e)
{
    struct list l = { 0 };
    struct buf folder = { 0 };
    char commit[HUB_COMMIT_BYTES];
    size_t first;
    bool *wanted = NULL;
    int rc;

    arena_init(&l.arena, 0);
    hub_repo_folder(&folder, name->repo);
    if (!folder.failed && !read_main(folder.data, commit)) {
        rc = err_set(e, ERR_NOTFOUND, "%s is not in the cache: there is no %.250s/refs/main",
                     name->repo, folder.data);
        goto out;
    }
    buf_printf(&folder, "/snapshots/%s", commit);
    l.names = arena_array(&l.arena, MAX_FILES, sizeof *l.names);
    wanted = arena_array(&l.arena, MAX_FILES, sizeof *wanted);
    if (folder.failed || !l.names || !wanted) {
        rc = err_set(e, ERR_NOMEM, "no memory for the names of a model's files");
        goto out;
    }
    read_folder(&l, folder.data, "", 0);
    rc = hub_pick(l.names, l.n, name->tag, wanted, &first, e);
    if (rc) {
        err_prefix(e, "%s is not whole in the cache: ", name->repo);
        goto out;
    }
    buf_puts(path, folder.data);
    if (first != HUB_FOLDER)
        buf_printf(path, "/%s", l.names[first]);
    if (path->failed)
        rc = err_set(e, ERR_NOMEM, "no memory for the names of a model's files");
out:
    buf_done(&folder);
    arena_done(&l.arena);
    return rc;
}
