/* airstrip-doctor URL: asks an Airstrip through the web server in front of it, and says what that
 * makes of requests and answers, with the line to add to its configuration.
 * checks -> ask (libcurl) -> report, with advice. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "config.h"
#include "doctor/checks.h"

enum { DEFAULT_SILENCE_S = 65, MAX_SILENCE_S = 600, FOUND = 1, UNREACHED = 2 };

static const char usage[] =
    "usage: airstrip-doctor [OPTION]... URL\n"
    "\n"
    "Asks an Airstrip at URL through the web server in front of it whether events come when they\n"
    "are sent and requests arrive as they are; says what is wrong and the line that mends it.\n"
    "\n"
    "  --key KEY      an API key, where Airstrip wants one (or $AIRSTRIP_DOCTOR_KEY)\n"
    "  --server NAME  nginx, lighttpd, apache, apache-fcgid, haproxy or caddy; without it as the\n"
    "                 web server says\n"
    "  --silence N    for how many seconds an answer is silent (default 65; 0: do not try)\n"
    "  --insecure     whoever signed the certificate\n"
    "  --json         the findings as JSON\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 nothing found, 1 something found, 2 nothing could be looked at.\n";

struct options {
    const char *key, *url;
    enum server server;
    long silence_s;
    bool insecure, json;
};

static int complain(const char *what, const char *value)
{
    fprintf(stderr, "airstrip-doctor: %s, found \"%s\"\n", what, value);
    return UNREACHED + 1;
}

/* It becomes part of a header. */
static bool is_word(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s >= 0x7f)
            return false;
    return true;
}

static int read_silence(struct options *o, const char *text)
{
    size_t n = strspn(text, "0123456789");

    o->silence_s = n && !text[n] && n < 5 ? atol(text) : MAX_SILENCE_S + 1;
    return o->silence_s > MAX_SILENCE_S
               ? complain("--silence: expected a number of seconds up to 600", text)
               : 0;
}

static int read_url(struct options *o, int argc, char **argv)
{
    const char *url = optind < argc ? argv[optind] : "";

    if (optind + 1 != argc) {
        fputs(usage, stderr);
        return UNREACHED + 1;
    }
    if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8))
        return complain("expected a URL such as https://llm.example.org", url);
    o->url = url;
    if (!o->key)
        o->key = getenv("AIRSTRIP_DOCTOR_KEY");
    if (o->key && (!*o->key || !is_word(o->key)))
        return complain("--key: expected one word of printable letters", o->key);
    return 0;
}

/* 0, or the program's exit status + 1. */
static int read_options(struct options *o, int argc, char **argv)
{
    static const struct option options[] = {
        { "key", required_argument, NULL, 'k' },     { "server", required_argument, NULL, 's' },
        { "silence", required_argument, NULL, 'q' }, { "insecure", no_argument, NULL, 'i' },
        { "json", no_argument, NULL, 'j' },          { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },       { NULL, 0, NULL, 0 },
    };
    int k, rc = 0;

    while (!rc && (k = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (k) {
        case 'k':
            o->key = optarg;
            break;
        case 's':
            o->server = server_named(optarg);
            if (o->server == SERVER_UNKNOWN)
                rc = complain("--server: expected nginx, lighttpd, apache, apache-fcgid, haproxy "
                              "or caddy",
                              optarg);
            break;
        case 'q':
            rc = read_silence(o, optarg);
            break;
        case 'i':
            o->insecure = true;
            break;
        case 'j':
            o->json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1;
        case 'v':
            puts("airstrip-doctor " VERSION);
            return 1;
        default:
            return UNREACHED + 1;
        }
    }
    return rc ? rc : read_url(o, argc, argv);
}

/* Client libraries are given the URL with /v1 at its end. */
static char *base_of(const char *url)
{
    char *base = strdup(url);
    size_t n = base ? strlen(base) : 0;

    while (n && base[n - 1] == '/')
        base[--n] = '\0';
    if (n > 3 && !strcmp(base + n - 3, "/v1"))
        base[n - 3] = '\0';
    return base;
}

static int look(const struct options *o, const char *base, struct report *r, struct err *e)
{
    struct visit v = {
        .site = { .base = base,
                  .key = o->key ? o->key : "airstrip-doctor",
                  .insecure = o->insecure },
        .has_key = o->key,
        .report = r,
    };
    struct silence silence;
    int rc;

    r->server = o->server;
    rc = check_first(&v, e);
    if (rc)
        return rc;
    check_silence_begin(&silence, &v, o->silence_s * 1000);
    check_events(&v);
    check_bodies(&v);
    check_paths(&v);
    check_errors(&v);
    check_methods(&v);
    check_http2(&v);
    check_silence_end(&silence);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = { .silence_s = DEFAULT_SILENCE_S };
    struct report r = { .server = SERVER_UNKNOWN };
    struct err e = { 0 };
    int rc = read_options(&o, argc, argv), status;
    char *base;

    if (rc)
        return rc - 1;
    base = base_of(o.url);
    if (!base || curl_global_init(CURL_GLOBAL_DEFAULT)) {
        fputs("airstrip-doctor: libcurl cannot be set up\n", stderr);
        free(base);
        return UNREACHED;
    }
    rc = look(&o, base, &r, &e);
    report_make_plain(e.text);
    report_make_plain(r.software);
    if (rc && rc != ERR_CANCELLED)
        fprintf(stderr, "airstrip-doctor: %s: %s\n", base, e.text);
    else if (o.json)
        report_print_json(&r, base);
    else
        report_print(&r, base);
    status = rc && rc != ERR_CANCELLED ? UNREACHED : report_count(&r, VERDICT_WRONG) ? FOUND : 0;
    free(base);
    curl_global_cleanup();
    if (fflush(stdout) || ferror(stdout)) {
        fputs("airstrip-doctor: cannot write to standard output\n", stderr);
        return UNREACHED;
    }
    return status;
}
