/* takeoff2airstrip - an airstrip.conf of a docker run command or of a manifest of Takeoff's. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/takeoff/convert/convert.h"
#include "fcgi/takeoff/manifest.h"

static const char usage[] =
    "usage: takeoff2airstrip docker run OPTION... IMAGE   a command line, as it is\n"
    "       takeoff2airstrip FILE                         a script with one in it, or a manifest;\n"
    "                                                     - is standard input\n"
    "Writes an airstrip.conf to standard output, and what has no equal to standard error, too.\n";

/* Text of a file or of standard input. */
static int slurp(struct buf *b, const char *path, struct err *e)
{
    ssize_t n = 1;

    if (strcmp(path, "-") != 0)
        return config_slurp(b, path, e);
    b->limit = 4 * 1024 * 1024;
    while (n > 0) {
        char *to = buf_room(b, 4096);

        n = to ? read(0, to, 4096) : 0;
        if (!to)
            return err_set(e, ERR_LIMIT, "standard input: expected at most 4 MiB");
        if (n > 0) {
            b->len += (size_t)n;
            b->data[b->len] = '\0';
        }
    }
    return n < 0 ? err_set(e, ERR_IO, "standard input: %s", strerror(errno)) : 0;
}

static int convert_words(struct conversion *c, const struct words *w, size_t skip,
                         const struct script *s, struct docker *d, struct err *e)
{
    int rc = docker_parse(d, w, skip, s, c->arena, e);

    return rc ? rc : convert_docker(c, d, e);
}

/* What begins with a key of YAML is a manifest; anything else is a script. */
static bool is_manifest(const char *text)
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += strspn(line, " \t\r\n");
        if (*line == '#' || !strncmp(line, "---", 3) || *line == '%')
            continue;
        return !strncmp(line, "takeoff:", 8) || *line == '{' ||
               line[strcspn(line, ":= \t\n")] == ':';
    }
    return true;
}

static int convert_file(struct conversion *c, const char *path, const char *text, size_t len,
                        struct docker *d, struct err *e)
{
    struct script s;
    struct words w;
    size_t skip;
    int rc;

    if (strlen(text) != len)
        return err_set(e, ERR_FORMAT, "%s: expected text, found a zero byte", path);
    if (is_manifest(text))
        return convert_manifest(c, path, text, len, e);
    script_init(&s, text, c->arena);
    while (!(rc = script_next(&s, &w, e)) && w.n) {
        if (!docker_is_run(&w, &skip))
            continue;
        for (size_t i = 0; i < s.unset.n; i++)
            takeoff_note(c->takeoff, c->arena,
                         "the variable %s of the script is not set: it is empty", s.unset.item[i]);
        return convert_words(c, &w, skip, &s, d, e);
    }
    return rc ? err_prefix(e, "%s: ", path)
              : err_set(e, ERR_INVALID, "%s: expected docker run, or the key takeoff of a manifest",
                        path);
}

static int convert(struct conversion *c, int argc, char **argv, struct docker *d, struct err *e)
{
    struct words w = { .item = argv + 1, .n = (size_t)argc - 1 };
    struct buf text = { 0 };
    struct script none;
    size_t skip;
    int rc;

    script_init(&none, "", c->arena);
    if (docker_is_run(&w, &skip))
        return convert_words(c, &w, skip, &none, d, e);
    if (argc != 2)
        return err_set(e, ERR_INVALID, "expected docker run ..., or one file");
    rc = slurp(&text, argv[1], e);
    if (!rc)
        rc = convert_file(c, argv[1], buf_str(&text), text.len, d, e);
    buf_done(&text);
    return rc;
}

int main(int argc, char **argv)
{
    struct takeoff t = { .n_readers = 0 };
    struct docker d = { 0 };
    struct buf out = { 0 };
    struct arena a;
    struct conversion c = { .arena = &a, .takeoff = &t };
    struct err e = { 0 };
    int rc;

    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("takeoff2airstrip %s\n", PACKAGE_VERSION);
        return 0;
    }
    arena_init(&a, 0);
    rc = convert(&c, argc, argv, &d, &e);
    if (!rc)
        rc = convert_write(&c, &out, &e);
    if (rc)
        fprintf(stderr, "takeoff2airstrip: %s\n", e.text);
    for (size_t i = 0; !rc && i < t.n_notes; i++)
        fprintf(stderr, "takeoff2airstrip: %s\n", t.notes[i]);
    if (!rc && (fputs(buf_str(&out), stdout) < 0 || fflush(stdout))) {
        perror("takeoff2airstrip: standard output");
        rc = 1;
    }
    buf_done(&out);
    arena_done(&a);
    return rc ? 1 : 0;
}
