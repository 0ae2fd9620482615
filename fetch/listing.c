#include "fetch/listing.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/json.h"

enum { ANSWER_LIMIT = 64 << 20, MAX_DEPTH = 32, SHA1_HEX = 40, SHA256_HEX = 64, NAME_LIMIT = 1000 };

static int begin(void *arg, size_t from, struct err *e)
{
    (void)from; /* the whole was asked for */
    (void)e;
    buf_reset(arg);
    return 0;
}

static int put(void *arg, const char *bytes, size_t len, struct err *e)
{
    struct buf *b = arg;

    buf_put(b, bytes, len);
    return b->failed ? err_set(e, ERR_LIMIT, "the hub's list of files is longer than %d MiB",
                               ANSWER_LIMIT >> 20)
                     : 0;
}

static int ask(struct http *h, const char *repo, struct buf *answer, struct err *e)
{
    struct http_sink sink = { begin, put, answer };
    struct buf url = { 0 };
    long wait_s;
    int rc;

    buf_printf(&url, "%s/api/models/%s/revision/main?blobs=true", buf_str(&h->endpoint), repo);
    if (url.failed)
        return err_set(e, ERR_NOMEM, "no memory for an address");
    for (int failed = 1;; failed++) {
        rc = http_get(h, url.data, repo, 0, &sink, &wait_s, e);
        if (rc != ERR_BUSY || (rc = http_wait(h, failed, wait_s, e)))
            break;
    }
    buf_done(&url);
    return rc;
}

/* A relative path of plain parts: it cannot leave the folder it is put in. */
static bool is_inside(const char *s, size_t len)
{
    if (!len || len > NAME_LIMIT || strlen(s) != len || s[len - 1] == '/')
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f || s[i] == '\\')
            return false;
    for (const char *part = s; part;) {
        size_t n = strcspn(part, "/");

        if (!n || (n <= 2 && !strncmp(part, "..", n)))
            return false;
        part = part[n] ? part + n + 1 : NULL;
    }
    return true;
}

static const char *text(const struct value *map, const char *key)
{
    const struct value *v = value_get(map, key);

    return v && v->kind == VALUE_STRING ? v->string.data : "";
}

static int read_file(const struct value *v, const char **name, struct listed *f, struct err *e)
{
    const struct value *rfilename = value_get(v, "rfilename"), *lfs = value_get(v, "lfs"), *size;
    bool large = lfs && lfs->kind == VALUE_MAP;

    *name = text(v, "rfilename");
    if (!is_inside(*name, rfilename && rfilename->kind == VALUE_STRING ? rfilename->string.len : 0))
        return err_set(e, ERR_FORMAT, "the hub lists a file whose name is none: \"%.100s\"", *name);
    size = value_get(large ? lfs : v, "size");
    if (!size)
        size = value_get(v, "size");
    f->git = !large;
    f->id = large ? text(lfs, "sha256") : text(v, "blobId");
    if (large && !*f->id)
        f->id = text(lfs, "oid");
    if (!hub_is_hex(f->id, large ? SHA256_HEX : SHA1_HEX))
        return err_set(e, ERR_FORMAT, "the hub lists %.100s without the hash to check it by",
                       *name);
    if (!size || size->kind != VALUE_INT || size->integer < 0 || size->integer > INT64_MAX / 4)
        return err_set(e, ERR_FORMAT, "the hub lists %.100s without its size", *name);
    f->size = (size_t)size->integer;
    return 0;
}

static int read_answer(struct listing *l, const struct buf *answer, struct err *e)
{
    struct value *v = NULL, *siblings;
    int rc = json_parse(buf_str(answer), answer->len, MAX_DEPTH, &l->arena, &v, e);

    if (rc)
        return err_prefix(e, "the hub's list of files: ");
    siblings = value_get(v, "siblings");
    if (!siblings || siblings->kind != VALUE_LIST ||
        !hub_is_hex(text(v, "sha"), HUB_COMMIT_BYTES - 1))
        return err_set(e, ERR_FORMAT,
                       "expected a commit and a list of files (sha, siblings) from the hub");
    memcpy(l->commit, text(v, "sha"), HUB_COMMIT_BYTES);
    l->names = arena_array(&l->arena, siblings->list.len + 1, sizeof *l->names);
    l->files = arena_array(&l->arena, siblings->list.len + 1, sizeof *l->files);
    if (!l->names || !l->files)
        return err_set(e, ERR_NOMEM, "no memory for a list of %zu files", siblings->list.len);
    for (; !rc && l->n < siblings->list.len; l->n++)
        rc = read_file(siblings->list.items[l->n], &l->names[l->n], &l->files[l->n], e);
    return rc;
}

int listing_get(struct listing *l, struct http *h, const char *repo, struct err *e)
{
    struct buf answer = { .limit = ANSWER_LIMIT };
    int rc;

    memset(l, 0, sizeof *l);
    arena_init(&l->arena, 0);
    rc = ask(h, repo, &answer, e);
    if (!rc) {
        rc = read_answer(l, &answer, e);
        if (rc)
            err_prefix(e, "%s: ", repo);
    }
    buf_done(&answer);
    return rc;
}

void listing_done(struct listing *l)
{
    arena_done(&l->arena);
    memset(l, 0, sizeof *l);
}
