#include "inference/constrain/uri.h"

#include <stdbool.h>
#include <string.h>

#include "kernels/base/buf.h"

struct part {
    const char *s;
    size_t len;
};

/* [scheme ":"] ["//" authority] path ["?" query], each with the signs that belong to it. */
struct uri {
    struct part scheme, authority, path, query;
};

static struct part take(const char **p, size_t len)
{
    struct part out = { *p, len };

    *p += len;
    return out;
}

static struct uri parse(const char *p)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t colon = strcspn(p, ":/?#");
    struct uri u = { 0 };

    if (p[colon] == ':' && colon && strchr(letters, p[0]))
        u.scheme = take(&p, colon + 1);
    if (!strncmp(p, "//", 2))
        u.authority = take(&p, 2 + strcspn(p + 2, "/?#"));
    u.path = take(&p, strcspn(p, "?#"));
    u.query = take(&p, strcspn(p, "#"));
    return u;
}

static void put(struct buf *b, struct part p)
{
    buf_put(b, p.s, p.len);
}

/* Takes the last segment off, but nothing of the first `keep` bytes. */
static void drop_segment(struct buf *b, size_t keep)
{
    while (b->len > keep && b->data[--b->len] != '/') {
    }
}

/* Section 5.2.4: the path without its "." and ".." segments. */
static void put_path(struct buf *b, const char *path, size_t len)
{
    size_t keep = b->len;

    for (size_t i = 0, n; i < len; i += n) {
        bool slash = path[i] == '/';
        const char *segment = path + i + slash;
        bool last;

        for (n = slash; i + n < len && path[i + n] != '/'; n++) {
        }
        last = i + n == len;
        if (n - slash == 1 && segment[0] == '.') {
            if (last && slash)
                buf_putc(b, '/');
        } else if (n - slash == 2 && segment[0] == '.' && segment[1] == '.') {
            drop_segment(b, keep);
            if (last && slash)
                buf_putc(b, '/');
        } else {
            buf_put(b, path + i, n);
        }
    }
}

/* Section 5.2.3: a path beside the base's. */
static void put_merged(struct buf *b, const struct uri *base, struct part path)
{
    struct buf merged = { 0 };
    size_t len = base->path.len;

    while (len && base->path.s[len - 1] != '/')
        len--;
    if (base->path.len == 0 && base->authority.len)
        buf_putc(&merged, '/');
    buf_put(&merged, base->path.s, len);
    put(&merged, path);
    b->failed |= merged.failed;
    put_path(b, buf_str(&merged), merged.len);
    buf_done(&merged);
}

static void put_target(struct buf *b, const struct uri *base, const struct uri *ref)
{
    bool own = ref->scheme.len || ref->authority.len;

    put(b, ref->scheme.len ? ref->scheme : base->scheme);
    put(b, own ? ref->authority : base->authority);
    if (own || (ref->path.len && ref->path.s[0] == '/'))
        put_path(b, ref->path.s, ref->path.len);
    else if (ref->path.len)
        put_merged(b, base, ref->path);
    else
        put(b, base->path);
    put(b, own || ref->path.len || ref->query.len ? ref->query : base->query);
}

const char *uri_resolve(struct arena *a, const char *base, const char *ref)
{
    struct uri from = parse(base), to = parse(ref);
    struct buf b = { 0 };
    char *out = NULL;

    put_target(&b, &from, &to);
    if (!b.failed)
        out = arena_alloc(a, b.len + 1);
    if (out) {
        memcpy(out, buf_str(&b), b.len);
        out[b.len] = '\0';
    }
    buf_done(&b);
    return out;
}

const char *uri_fragment(const char *ref)
{
    const char *p = strchr(ref, '#');

    return p ? p + 1 : "";
}
