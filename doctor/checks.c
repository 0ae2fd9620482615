#include "doctor/checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/crc32.h"
#include "kernels/base/json.h"

enum { BODY_BYTES = 2 << 20, CHUNKED_BYTES = 50000, DESCRIPTION = 240 };

struct value *answer_json(const struct answer *a, struct arena *arena)
{
    struct value *v = NULL;

    if (a->body.failed ||
        json_parse(buf_str(&a->body), a->body.len, ASK_JSON_DEPTH, arena, &v, NULL))
        return NULL;
    return v;
}

static const char *string_of(const struct value *v, const char *key)
{
    const struct value *s = value_get(v, key);

    return s && s->kind == VALUE_STRING ? s->string.data : "";
}

static long long number_of(const struct value *v, const char *key)
{
    const struct value *n = value_get(v, key);

    return n && n->kind == VALUE_INT ? n->integer : -1;
}

static bool is_true(const struct value *v, const char *key)
{
    const struct value *b = value_get(v, key);

    return b && b->kind == VALUE_BOOL && b->boolean;
}

/* --- who is there --- */

/* An answer that is no report: why, and whether it says something about the web server. */
static int refused(struct visit *v, const struct answer *a, const struct value *json, struct err *e)
{
    const char *message = string_of(value_get(json, "error"), "message");
    char what[DESCRIPTION], to[160];

    answer_describe(a, what, sizeof what);
    if (!a->status)
        return err_set(e, ERR_IO, "%s", a->said);
    /* Airstrip tells a key that did not come from one that it does not know (admission.c). */
    if (a->is_ours && a->status == 401 && !strncmp(message, "No API key", 10)) {
        report_found(v->report, "authorization", VERDICT_WRONG, FAULT_AUTHORIZATION,
                     "the Authorization header does not reach Airstrip, which asks for API keys: "
                     "every request is answered 401; what else there is cannot be looked at");
        return err_set(e, ERR_CANCELLED, "nothing else can be looked at");
    }
    if (a->is_ours && a->status == 401)
        return err_set(e, ERR_FORBIDDEN, "Airstrip answers, and wants %s API key: --key KEY",
                       v->has_key ? "another" : "an");
    if (a->is_ours)
        return err_set(e, ERR_NOTFOUND, "Airstrip answers %s: %.200s", what, message);
    if (answer_header(a, "location", to, sizeof to) && a->status / 100 == 3)
        return err_set(e, ERR_NOTFOUND,
                       "the web server answers %s and leads on to %s: give that URL", what, to);
    return err_set(e, ERR_NOTFOUND,
                   "the web server answers %s, not Airstrip: is Airstrip running, does the web "
                   "server pass /v1/ on to it, is the path of the URL right?",
                   what);
}

int check_first(struct visit *v, struct err *e)
{
    const struct ask q = { .path = "/v1/selftest", .timeout_ms = ASK_TIMEOUT_MS };
    struct arena arena;
    struct answer a;
    const struct value *json;
    int rc = 0;

    arena_init(&arena, 0);
    ask(&v->site, &q, &a);
    json = answer_json(&a, &arena);
    answer_header(&a, "server", v->report->front, sizeof v->report->front);
    if (a.status == 200 && !strcmp(string_of(json, "object"), "selftest")) {
        v->body_limit = number_of(json, "body_size_limit");
        snprintf(v->report->software, sizeof v->report->software, "%s",
                 string_of(json, "server_software"));
        if (is_true(json, "authorization"))
            report_good(v->report, "authorization", "the header reaches Airstrip");
        else
            report_found(v->report, "authorization", VERDICT_WRONG, FAULT_AUTHORIZATION,
                         "the Authorization header does not reach Airstrip: API keys cannot work");
    } else {
        rc = refused(v, &a, json, e);
    }
    if (v->report->server == SERVER_UNKNOWN)
        v->report->server = server_recognise(v->report->software);
    if (v->report->server == SERVER_UNKNOWN)
        v->report->server = server_recognise(v->report->front);
    answer_done(&a);
    arena_done(&arena);
    return rc;
}

/* --- bodies --- */

/* Bytes that no compression or filter leaves as they are by chance (xorshift32; Marsaglia 2003). */
static void fill(char *bytes, size_t n)
{
    uint32_t x = 2463534242U;

    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        bytes[i] = (char)(x >> 24);
    }
}

static void check_body(struct visit *v, const char *check, enum fault fault, const char *name,
                       const char *bytes, size_t n, bool chunked)
{
    static const char *const headers[] = { "Content-Type: application/octet-stream", NULL };
    const struct ask q = { .path = "/v1/selftest",
                           .headers = headers,
                           .body = bytes,
                           .body_len = n,
                           .chunked = chunked,
                           .timeout_ms = ASK_TIMEOUT_MS };
    struct arena arena;
    struct answer a;
    const struct value *json;
    char what[DESCRIPTION];

    arena_init(&arena, 0);
    ask(&v->site, &q, &a);
    json = answer_json(&a, &arena);
    answer_describe(&a, what, sizeof what);
    if (a.status != 200 || !json)
        report_found(v->report, check, VERDICT_WRONG, fault, "%s of %zu bytes is answered %s%s",
                     name, n, what,
                     a.is_ours ? " by Airstrip, to which it did not come whole"
                               : " by the web server");
    else if (number_of(json, "body_bytes") != (long long)n ||
             number_of(json, "body_crc32") != (long long)crc32_of(bytes, n))
        report_found(v->report, check, VERDICT_WRONG, fault,
                     "%s of %zu bytes reaches Airstrip as %lld bytes%s", name, n,
                     number_of(json, "body_bytes"),
                     number_of(json, "body_bytes") == (long long)n ? ", not those that were sent"
                                                                   : "");
    else
        report_good(v->report, check, "%s of %zu bytes arrives whole", name, n);
    answer_done(&a);
    arena_done(&arena);
}

void check_bodies(struct visit *v)
{
    bool is_less = v->body_limit > 0 && v->body_limit < BODY_BYTES;
    size_t n = is_less ? (size_t)v->body_limit : BODY_BYTES;
    char *bytes = malloc(n);

    if (!bytes) {
        report_found(v->report, "body", VERDICT_NOTE, FAULT_NONE, "no memory for a body");
        return;
    }
    fill(bytes, n);
    check_body(v, "body", FAULT_BODY, "a request", bytes, n, false);
    if (n > CHUNKED_BYTES)
        n = CHUNKED_BYTES;
    check_body(v, "chunked body", FAULT_CHUNKED, "a request without Content-Length", bytes, n,
               true);
    free(bytes);
}

/* --- paths --- */

void check_paths(struct visit *v)
{
    /* As a model's id may be: org/model name+%é */
    const struct ask q = { .path = "/v1/selftest/path/org%2Fmodel%20name+%25%C3%A9",
                           .timeout_ms = ASK_TIMEOUT_MS };
    static const char meant[] = "org/model name+%\xc3\xa9";
    struct arena arena;
    struct answer a;
    const struct value *json;
    char what[DESCRIPTION];

    arena_init(&arena, 0);
    ask(&v->site, &q, &a);
    json = answer_json(&a, &arena);
    answer_describe(&a, what, sizeof what);
    if (a.status != 200 || !json)
        report_found(v->report, "paths", VERDICT_WRONG, FAULT_PATH,
                     "a path with %%2F, %%20 and %%25, as names of models have them, is answered "
                     "%s by %s",
                     what, a.is_ours ? "Airstrip, for which it was changed" : "the web server");
    else if (strcmp(string_of(json, "tail"), meant))
        report_found(v->report, "paths", VERDICT_WRONG, FAULT_PATH,
                     "a path with encoded letters reaches Airstrip changed: sent \"%s\", arrived "
                     "\"%.80s\"",
                     meant, string_of(json, "tail"));
    else
        report_good(v->report, "paths", "encoded paths arrive as they were sent");
    answer_done(&a);
    arena_done(&arena);
}

/* --- errors --- */

void check_errors(struct visit *v)
{
    static const char *const headers[] = { "Content-Type: application/json", NULL };
    static const struct {
        struct ask ask;
        long status;
    } cases[] = {
        { { .path = "/v1/selftest/nothing", .timeout_ms = ASK_TIMEOUT_MS }, 404 },
        { { .path = "/v1/chat/completions", .timeout_ms = ASK_TIMEOUT_MS }, 405 },
        { { .path = "/v1/chat/completions",
            .headers = headers,
            .body = "{",
            .body_len = 1,
            .timeout_ms = ASK_TIMEOUT_MS },
          400 },
    };
    struct arena arena;
    size_t wrong = 0;

    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char what[DESCRIPTION];
        struct answer a;
        bool good;

        ask(&v->site, &cases[i].ask, &a);
        good = a.status == cases[i].status &&
               *string_of(value_get(answer_json(&a, &arena), "error"), "message");
        answer_describe(&a, what, sizeof what);
        if (!good && !wrong++)
            report_found(v->report, "errors", VERDICT_WRONG, FAULT_PAGES,
                         "Airstrip's %ld is answered %s, not its JSON, so clients cannot tell "
                         "what was wrong",
                         cases[i].status, what);
        answer_done(&a);
    }
    if (!wrong)
        report_good(v->report, "errors", "400, 404 and 405 come as Airstrip's JSON");
    arena_done(&arena);
}

/* --- HEAD, OPTIONS, pages of other sites --- */

static const char *const browser[] = { "Origin: https://airstrip-doctor.invalid",
                                       "Access-Control-Request-Method: POST",
                                       "Access-Control-Request-Headers: authorization,content-type",
                                       NULL };

static void check_method(struct visit *v, const char *check, const struct ask *q, long expected)
{
    struct answer a;
    char what[DESCRIPTION];

    ask(&v->site, q, &a);
    answer_describe(&a, what, sizeof what);
    if (a.is_ours && a.status == expected)
        report_good(v->report, check, "Airstrip answers it");
    else
        report_found(v->report, check, VERDICT_WRONG, FAULT_METHOD,
                     "%s is answered %s by the web server; Airstrip answers %ld", q->method, what,
                     expected);
    answer_done(&a);
}

/* Airstrip's answers are the same to GET and to the question before it, so a header that only one
 * of them has, or that is there twice, is the web server's. */
static void check_cors(struct visit *v, const struct ask *options)
{
    static const char name[] = "access-control-allow-origin";
    const struct ask get = { .path = options->path,
                             .headers = browser,
                             .timeout_ms = ASK_TIMEOUT_MS };
    struct answer before, after;
    char value[120], other[120];
    size_t n, m;

    ask(&v->site, options, &before);
    ask(&v->site, &get, &after);
    n = answer_header(&before, name, value, sizeof value);
    m = answer_header(&after, name, other, sizeof other);
    if (n > 1 || m > 1)
        report_found(v->report, "cors", VERDICT_WRONG, FAULT_CORS,
                     "Access-Control-Allow-Origin comes %zu times (\"%s\"): browsers then refuse "
                     "the answer",
                     n > m ? n : m, n > m ? value : other);
    else if (n != m && before.is_ours && after.is_ours)
        report_found(v->report, "cors", VERDICT_WRONG, FAULT_CORS,
                     "Access-Control-Allow-Origin (\"%s\") stands in the answer to %s only: the "
                     "web server adds it, and browsers ask for both",
                     n ? value : other, n ? "OPTIONS" : "GET");
    else
        report_good(v->report, "cors", "%s",
                    n ? "the headers for pages of other sites are there once"
                      : "no headers for pages of other sites are added to Airstrip's");
    answer_done(&before);
    answer_done(&after);
}

void check_methods(struct visit *v)
{
    const struct ask head = { .method = "HEAD",
                              .path = "/v1/selftest",
                              .timeout_ms = ASK_TIMEOUT_MS };
    const struct ask options = { .method = "OPTIONS",
                                 .path = "/v1/selftest",
                                 .headers = browser,
                                 .timeout_ms = ASK_TIMEOUT_MS };

    check_method(v, "HEAD", &head, 200);
    check_method(v, "OPTIONS", &options, 204);
    check_cors(v, &options);
}

/* --- silence --- */

static void *be_silent(void *arg)
{
    struct silence *s = arg;
    char path[64];
    const struct ask q = { .path = path, .timeout_ms = s->silence_ms + ASK_TIMEOUT_MS };

    snprintf(path, sizeof path, "/v1/selftest?silence_ms=%ld", s->silence_ms);
    ask(&s->visit->site, &q, &s->answer);
    return NULL;
}

void check_silence_begin(struct silence *s, struct visit *v, long silence_ms)
{
    *s = (struct silence){ .visit = v, .silence_ms = silence_ms };
    s->running = silence_ms > 0 && !pthread_create(&s->thread, NULL, be_silent, s);
}

void check_silence_end(struct silence *s)
{
    char what[DESCRIPTION];

    if (!s->running)
        return;
    pthread_join(s->thread, NULL);
    answer_describe(&s->answer, what, sizeof what);
    if (s->answer.status == 200 && s->answer.code == CURLE_OK)
        report_good(s->visit->report, "silence", "an answer that takes %.0f s is waited for",
                    (double)s->silence_ms / 1e3);
    else
        report_found(s->visit->report, "silence", VERDICT_WRONG, FAULT_SILENCE,
                     "an answer that takes %.0f s is given up after %.1f s: %s",
                     (double)s->silence_ms / 1e3, s->answer.took_ms / 1e3, what);
    answer_done(&s->answer);
}
