#include "fetch/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fetch/bar.h"
#include "hub/cache.h"

enum { FILE_MODE = 0666, FOLDER_MODE = 0777 }; /* less the umask */

static int failed(const char *what, const char *path, struct err *e)
{
    return err_set(e, ERR_IO, "cannot %s %.300s: %s", what, path, strerror(errno));
}

/* A path within the store, in a buf that the caller frees. */
static int path_of(struct buf *out, const struct store *s, const char *folder, const char *name,
                   const char *ending, struct err *e)
{
    *out = (struct buf){ 0 };
    buf_printf(out, "%s/%s/%s%s", buf_str(&s->folder), folder, name, ending);
    return out->failed ? err_set(e, ERR_NOMEM, "no memory for a file name") : 0;
}

/* Makes all folders that path[0..] is in; path itself too where `whole`.  Writes to it meanwhile.
 */
static int make_folders(char *path, bool whole, struct err *e)
{
    for (char *s = path + 1;; s++) {
        char was = *s;

        if (was && was != '/')
            continue;
        if (!was && !whole)
            return 0;
        *s = '\0';
        if (mkdir(path, FOLDER_MODE) && errno != EEXIST)
            return failed("make the folder", path, e);
        *s = was;
        if (!was)
            return 0;
    }
}

int store_open(struct store *s, const char *repo, struct err *e)
{
    static const char *const parts[] = { "blobs", "refs", "snapshots" };
    struct buf path = { 0 };
    size_t cache;
    int rc = 0;

    *s = (struct store){ 0 };
    hub_cache(&s->folder);
    cache = s->folder.len;
    if (!cache)
        return err_set(e, ERR_INVALID, "there is no place for models: set HF_HOME or HOME");
    buf_reset(&s->folder);
    hub_repo_folder(&s->folder, repo);
    if (!s->folder.failed)
        buf_printf(&s->locks, "%.*s/.locks%s", (int)cache, s->folder.data, s->folder.data + cache);
    if (s->folder.failed || s->locks.failed)
        return err_set(e, ERR_NOMEM, "no memory for a file name");
    for (size_t i = 0; !rc && i < sizeof parts / sizeof *parts; i++) {
        rc = path_of(&path, s, parts[i], "", "", e);
        if (!rc)
            rc = make_folders(path.data, false, e);
        buf_done(&path);
    }
    return rc ? rc : make_folders(s->locks.data, true, e);
}

void store_done(struct store *s)
{
    buf_done(&s->folder);
    buf_done(&s->locks);
}

static bool size_of(const struct store *s, const char *id, const char *ending, size_t *size)
{
    struct buf path;
    struct stat st;
    bool found = !path_of(&path, s, "blobs", id, ending, NULL) && !stat(path.data, &st) &&
                 S_ISREG(st.st_mode);

    buf_done(&path);
    *size = found ? (size_t)st.st_size : 0;
    return found;
}

bool store_has(const struct store *s, const char *id, size_t size)
{
    size_t found;

    return size_of(s, id, "", &found) && found == size;
}

size_t store_left(const struct store *s, const char *id)
{
    size_t found;

    size_of(s, id, ".incomplete", &found);
    return found;
}

int store_room(const struct store *s, size_t bytes, struct err *e)
{
    char need[BAR_SIZE_BYTES], has[BAR_SIZE_BYTES];
    struct statvfs fs;
    double room;

    if (statvfs(s->folder.data, &fs))
        return failed("ask for the room in", s->folder.data, e);
    room = (double)fs.f_bavail * (double)fs.f_frsize;
    if (room < (double)bytes)
        return err_set(e, ERR_IO, "%s are still to come, and %.300s has room for %s",
                       bar_size(need, (double)bytes), s->folder.data, bar_size(has, room));
    return 0;
}

int store_lock(const struct store *s, const char *id, int *lock, struct err *e)
{
    struct buf path = { 0 };
    int rc = 0;

    buf_printf(&path, "%s/%s.lock", s->locks.data, id);
    if (path.failed)
        return err_set(e, ERR_NOMEM, "no memory for a file name");
    *lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (*lock < 0) {
        rc = failed("open", path.data, e);
    } else if (flock(*lock, LOCK_EX | LOCK_NB)) {
        bar_note("another program fetches the same file: waiting for it");
        while ((rc = flock(*lock, LOCK_EX)) && errno == EINTR)
            ;
        if (rc) {
            rc = failed("lock", path.data, e);
            close(*lock);
        }
    }
    buf_done(&path);
    return rc;
}

void store_unlock(int lock)
{
    close(lock);
}

int store_start(const struct store *s, const char *id, int *fd, struct err *e)
{
    struct buf path;
    int rc = path_of(&path, s, "blobs", id, ".incomplete", e);

    if (!rc) {
        *fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        if (*fd < 0)
            rc = failed("open", path.data, e);
    }
    buf_done(&path);
    return rc;
}

int store_finish(const struct store *s, const char *id, int fd, struct err *e)
{
    struct buf from, to = { 0 };
    int rc = path_of(&from, s, "blobs", id, ".incomplete", e);

    if (!rc)
        rc = path_of(&to, s, "blobs", id, "", e);
    if (!rc && fsync(fd))
        rc = failed("write", from.data, e);
    if (!rc && rename(from.data, to.data))
        rc = failed("rename", from.data, e);
    buf_done(&from);
    buf_done(&to);
    return rc;
}

void store_drop(const struct store *s, const char *id)
{
    struct buf path;

    if (!path_of(&path, s, "blobs", id, ".incomplete", NULL))
        unlink(path.data);
    buf_done(&path);
}

int store_link(const struct store *s, const char *commit, const char *name, const char *id,
               struct err *e)
{
    struct buf target = { 0 }, path = { 0 }, fresh = { 0 };
    int rc = 0;

    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/'))
        buf_puts(&target, "../");
    buf_printf(&target, "../../blobs/%s", id);
    buf_printf(&path, "%s/snapshots/%s/%s", s->folder.data, commit, name);
    buf_printf(&fresh, "%s.%ld.new", buf_str(&path), (long)getpid());
    if (target.failed || path.failed || fresh.failed)
        rc = err_set(e, ERR_NOMEM, "no memory for a file name");
    if (!rc)
        rc = make_folders(path.data, false, e);
    if (!rc && (symlink(target.data, fresh.data) || rename(fresh.data, path.data))) {
        rc = failed("make the link", path.data, e);
        unlink(fresh.data);
    }
    buf_done(&target);
    buf_done(&path);
    buf_done(&fresh);
    return rc;
}

int store_ref(const struct store *s, const char *commit, struct err *e)
{
    struct buf path, fresh = { 0 };
    size_t len = strlen(commit);
    int fd = -1, rc = path_of(&path, s, "refs", "main", "", e);

    buf_printf(&fresh, "%s.%ld.new", buf_str(&path), (long)getpid());
    if (!rc && fresh.failed)
        rc = err_set(e, ERR_NOMEM, "no memory for a file name");
    if (!rc && (fd = open(fresh.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE)) < 0)
        rc = failed("open", fresh.data, e);
    if (!rc && write(fd, commit, len) != (ssize_t)len)
        rc = failed("write", fresh.data, e);
    if (fd >= 0)
        close(fd);
    if (!rc && rename(fresh.data, path.data))
        rc = failed("rename", fresh.data, e);
    if (rc && fd >= 0)
        unlink(fresh.data);
    buf_done(&path);
    buf_done(&fresh);
    return rc;
}
