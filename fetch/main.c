/* airstrip-fetch NAME...: brings models from a hub into huggingface_hub's cache, and prints where
 * they are.  listing (what there is) -> hub/pick (what is needed) -> download -> store. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "config.h"
#include "fetch/bar.h"
#include "fetch/download.h"
#include "fetch/http.h"
#include "fetch/listing.h"
#include "fetch/store.h"
#include "hub/cache.h"
#include "hub/name.h"
#include "hub/pick.h"

enum { DEFAULT_TRIES = 8, MAX_TRIES = 1000 };

static const char usage[] =
    "usage: airstrip-fetch [OPTION]... NAME...\n"
    "\n"
    "Brings models from a hub into the cache of huggingface_hub, and prints where they are.\n"
    "NAME is gpt2, org/model, or org/model:Q4_K_M for one of a repository's GGUF files.\n"
    "\n"
    "  --list     says what would be fetched, with sizes, and fetches nothing\n"
    "  --quiet    no progress\n"
    "  --tries N  attempts in a row that may bring nothing (default 8)\n"
    "  --help, --version\n"
    "\n"
    "Environment: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE; proxies as\n"
    "curl(1) takes them.\n";

struct options {
    bool list, quiet;
    int tries;
};

/* A listing and what of it is wanted. */
struct choice {
    struct listing listing;
    bool *wanted; /* in the listing's arena */
    size_t first; /* as hub_pick() */
};

static int choose(struct choice *c, struct http *h, const struct hub_name *name, struct err *e)
{
    int rc = listing_get(&c->listing, h, name->repo, e);

    if (rc)
        return rc;
    c->wanted = arena_array(&c->listing.arena, c->listing.n + 1, sizeof *c->wanted);
    if (!c->wanted)
        return err_set(e, ERR_NOMEM, "no memory for a list of files");
    rc = hub_pick(c->listing.names, c->listing.n, name->tag, c->wanted, &c->first, e);
    if (rc)
        err_prefix(e, "%s: ", name->repo);
    return rc;
}

static void print_list(const struct choice *c)
{
    char size[BAR_SIZE_BYTES];

    for (size_t i = 0; i < c->listing.n; i++)
        if (c->wanted[i])
            printf("%10s  %s\n", bar_size(size, (double)c->listing.files[i].size),
                   c->listing.names[i]);
}

/* Room for what is still to come; and the sum of all, for the bar. */
static int plan(const struct choice *c, const struct store *s, size_t *total, struct err *e)
{
    size_t missing = 0;

    *total = 0;
    for (size_t i = 0; i < c->listing.n; i++) {
        const struct listed *f = &c->listing.files[i];
        size_t left;

        if (!c->wanted[i])
            continue;
        if (__builtin_add_overflow(*total, f->size, total))
            return err_set(e, ERR_FORMAT, "the sizes that the hub lists cannot be");
        left = store_left(s, f->id);
        if (!store_has(s, f->id, f->size))
            missing += left < f->size ? f->size - left : 0;
    }
    return store_room(s, missing, e);
}

static int fetch_one(struct http *h, const struct store *s, const char *repo,
                     const struct listing *l, size_t i, struct err *e)
{
    struct buf url = { 0 };
    bool fetched;
    int rc;

    buf_printf(&url, "%s/%s/resolve/%s/", buf_str(&h->endpoint), repo, l->commit);
    http_escape(h, &url, l->names[i]);
    bar_file(l->names[i], l->files[i].size);
    rc = url.failed ? err_set(e, ERR_NOMEM, "no memory for an address")
                    : download(h, s, url.data, l->names[i], &l->files[i], &fetched, e);
    if (!rc)
        bar_file_done(fetched);
    buf_done(&url);
    return rc;
}

/* All blobs, then the links, then the ref: see store.h. */
static int fetch_all(const struct options *o, struct http *h, const char *repo,
                     const struct choice *c, struct err *e)
{
    const struct listing *l = &c->listing;
    struct store s;
    size_t total;
    int rc = store_open(&s, repo, e);

    if (!rc)
        rc = plan(c, &s, &total, e);
    if (!rc) {
        bar_begin(o->quiet, total);
        for (size_t i = 0; !rc && i < l->n; i++)
            if (c->wanted[i])
                rc = fetch_one(h, &s, repo, l, i, e);
        bar_end();
    }
    for (size_t i = 0; !rc && i < l->n; i++)
        if (c->wanted[i])
            rc = store_link(&s, l->commit, l->names[i], l->files[i].id, e);
    if (!rc)
        rc = store_ref(&s, l->commit, e);
    store_done(&s);
    return rc;
}

static int run(const struct options *o, const char *text, struct err *e)
{
    struct hub_name name;
    struct http h = { 0 };
    struct choice c = { 0 };
    struct buf path = { 0 };
    int rc = hub_name_parse(&name, text, e);

    if (!rc && !hub_offline()) {
        rc = http_init(&h, o->tries, e);
        if (!rc)
            rc = choose(&c, &h, &name, e);
        if (!rc && o->list)
            print_list(&c);
        if (!rc && !o->list)
            rc = fetch_all(o, &h, name.repo, &c, e);
    }
    if (!rc && (hub_offline() || !o->list)) {
        rc = hub_find(&name, &path, e);
        if (rc && hub_offline())
            err_prefix(e, "HF_HUB_OFFLINE is set, and ");
    }
    if (!rc && path.len)
        printf("%s\n", path.data);
    buf_done(&path);
    listing_done(&c.listing);
    http_done(&h);
    return rc;
}

/* 0, or the program's exit status + 1. */
static int read_options(struct options *o, int argc, char **argv)
{
    static const struct option options[] = {
        { "list", no_argument, NULL, 'l' },        { "quiet", no_argument, NULL, 'q' },
        { "tries", required_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },     { NULL, 0, NULL, 0 },
    };
    int k;

    while ((k = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
        switch (k) {
        case 'l':
            o->list = true;
            break;
        case 'q':
            o->quiet = true;
            break;
        case 't':
            o->tries = strspn(optarg, "0123456789") == strlen(optarg) && strlen(optarg) < 5
                           ? atoi(optarg)
                           : 0;
            if (o->tries >= 1 && o->tries <= MAX_TRIES)
                break;
            fprintf(stderr,
                    "airstrip-fetch: --tries: expected a number from 1 to %d, found \"%s\"\n",
                    MAX_TRIES, optarg);
            return 3;
        case 'h':
            fputs(usage, stdout);
            return 1;
        case 'v':
            puts("airstrip-fetch " VERSION);
            return 1;
        default:
            return 3;
        }
    }
    if (optind < argc)
        return 0;
    fputs(usage, stderr);
    return 3;
}

int main(int argc, char **argv)
{
    struct options o = { .tries = DEFAULT_TRIES };
    int rc = read_options(&o, argc, argv), status = 0;

    if (rc)
        return rc - 1;
    o.quiet = o.quiet || hub_flag("HF_HUB_DISABLE_PROGRESS_BARS");
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        fputs("airstrip-fetch: libcurl cannot be set up\n", stderr);
        return 1;
    }
    for (int i = optind; i < argc; i++) {
        struct err e = { 0 };

        if (run(&o, argv[i], &e)) {
            fprintf(stderr, "airstrip-fetch: %s\n", e.text);
            status = 1;
        }
    }
    curl_global_cleanup();
    if (fflush(stdout) || ferror(stdout)) {
        fputs("airstrip-fetch: cannot write to standard output\n", stderr);
        status = 1;
    }
    return status;
}
