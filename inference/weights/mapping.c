#include "inference/weights/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inference/weights/guard.h"

enum { SHOWN_PATH = 200 }; /* bytes of a path that a sentence shows */

int mapping_blame(const char *path, int code, struct err *e)
{
    size_t len = strlen(path);

    if (e && len > SHOWN_PATH)
        err_prefix(e, "...%s: ", path + len - SHOWN_PATH);
    else if (e)
        err_prefix(e, "%s: ", path);
    return code;
}

int mapping_open(struct mapping *m, const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int rc = 0;
    struct stat st;
    void *base;

    *m = (struct mapping){ 0 };
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot open: %s",
                       strerror(errno));
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
        rc = err_set(e, ERR_FORMAT, "it is empty");
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
    *m = (struct mapping){ base, (size_t)st.st_size };
    guard_enter(m->base, m->bytes);
out:
    close(fd); /* the mapping keeps the file */
    return rc;
}

void mapping_close(struct mapping *m)
{
    if (m->base) {
        guard_leave(m->base);
        munmap((void *)(uintptr_t)m->base, m->bytes);
    }
    *m = (struct mapping){ 0 };
}

bool mapping_lost(const struct mapping *m)
{
    return m->base && guard_lost(m->base);
}
