/* openapi.json against the program: every route is described and none that is not there, and so is
 * every member that a request is read for.
 *
 * The readers go through the examples of the description while value_get() is watched
 * (-Wl,--wrap=value_get): what they ask a body's objects for must be described, and what is
 * described must be asked for in one of the examples. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/api/chat_request.h"
#include "fcgi/api/completion_request.h"
#include "fcgi/api/embedding_request.h"
#include "fcgi/api/fields.h"
#include "fcgi/api/openapi.h"
#include "fcgi/api/responses_request.h"
#include "fcgi/api/tokens_request.h"
#include "fcgi/router.h"
#include "kernels/base/json.h"

/* --- what is read: "messages[].role" and the like --- */

enum { MAX_PLACES = 4096, MAX_ASKED = 1024, PATH_BYTES = 160 };

struct place {
    const struct value *v;
    char path[PATH_BYTES];
};

static struct place places[MAX_PLACES]; /* objects of the example that is being read */
static size_t n_places;
static char asked[MAX_ASKED][PATH_BYTES]; /* of all examples of one endpoint */
static size_t n_asked;

static void note(const char *path)
{
    for (size_t i = 0; i < n_asked; i++)
        if (!strcmp(asked[i], path))
            return;
    assert_true(n_asked < MAX_ASKED);
    snprintf(asked[n_asked++], PATH_BYTES, "%s", path);
}

struct value *__real_value_get(const struct value *v, const char *key);
struct value *__wrap_value_get(const struct value *v, const char *key);
struct value *__wrap_value_get(const struct value *v, const char *key)
{
    char path[2 * PATH_BYTES];

    for (size_t i = 0; v && i < n_places; i++)
        if (places[i].v == v) {
            snprintf(path, sizeof path, "%s%s%s", places[i].path, *places[i].path ? "." : "", key);
            path[PATH_BYTES - 1] = '\0';
            note(path);
        }
    return __real_value_get(v, key);
}

static void find_places(const struct value *v, const char *path)
{
    char inner[2 * PATH_BYTES];

    if (v->kind == VALUE_MAP) {
        assert_true(n_places < MAX_PLACES);
        places[n_places].v = v;
        snprintf(places[n_places++].path, PATH_BYTES, "%s", path);
        for (size_t i = 0; i < v->map.len; i++) {
            snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", v->map.pairs[i].key);
            inner[PATH_BYTES - 1] = '\0';
            find_places(v->map.pairs[i].value, inner);
        }
    } else if (v->kind == VALUE_LIST) {
        snprintf(inner, sizeof inner, "%s[]", path);
        inner[PATH_BYTES - 1] = '\0';
        for (size_t i = 0; i < v->list.len; i++)
            find_places(v->list.items[i], inner);
    }
}

/* --- what is described --- */

static struct arena arena;
static const struct value *document;

static const struct value *get(const struct value *v, const char *key)
{
    return __real_value_get(v, key);
}

/* What "#/a/b" refers to, or the value itself. */
static const struct value *follow(const struct value *v)
{
    const struct value *ref = get(v, "$ref");
    char path[PATH_BYTES];

    if (!ref)
        return v;
    snprintf(path, sizeof path, "%s", ref->string.data + 2);
    v = document;
    for (char *part = strtok(path, "/"); part; part = strtok(NULL, "/"))
        v = get(v, part);
    if (!v)
        fail_msg("nothing is at %s", ref->string.data);
    return follow(v);
}

typedef void visit_fn(const char *path, void *arg);

/* Every member that a schema describes, at any depth. */
static void walk(const struct value *schema, const char *path, int depth, visit_fn *visit,
                 void *arg)
{
    static const char *const unions[] = { "allOf", "anyOf", "oneOf" };
    const struct value *properties, *items;
    char inner[2 * PATH_BYTES];

    assert_true(depth < 16);
    schema = follow(schema);
    properties = get(schema, "properties");
    items = get(schema, "items");
    if (get(schema, "additionalProperties")) { /* members of any name */
        snprintf(inner, sizeof inner, "%s.*", path);
        visit(inner, arg);
    }
    for (size_t i = 0; properties && i < properties->map.len; i++) {
        const struct value_pair *p = &properties->map.pairs[i];

        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", p->key);
        inner[PATH_BYTES - 1] = '\0';
        visit(inner, arg);
        walk(p->value, inner, depth + 1, visit, arg);
    }
    if (items) {
        snprintf(inner, sizeof inner, "%s[]", path);
        inner[PATH_BYTES - 1] = '\0';
        walk(items, inner, depth + 1, visit, arg);
    }
    for (size_t u = 0; u < sizeof unions / sizeof *unions; u++) {
        const struct value *list = get(schema, unions[u]);

        for (size_t i = 0; list && i < list->list.len; i++)
            walk(list->list.items[i], path, depth + 1, visit, arg);
    }
}

static size_t n_wrong;

static void is_asked(const char *path, void *arg)
{
    for (size_t i = 0; i < n_asked; i++)
        if (!strcmp(asked[i], path))
            return;
    if (path[strlen(path) - 1] == '*')
        return;
    print_error("%s: %s is described, but no example makes it be read\n", (const char *)arg, path);
    n_wrong++;
}

struct search {
    const char *path;
    bool found;
};

static void is_it(const char *path, void *arg)
{
    struct search *s = arg;

    size_t any = strcspn(path, "*");

    s->found |= path[any] ? !strncmp(path, s->path, any) : !strcmp(path, s->path);
}

/* --- who reads what --- */

static struct params_rules rules(void)
{
    struct params_rules r = { .max_choices = 128, .client_priority = true };

    sampling_default(&r.sampling);
    return r;
}

static int read_chat(const struct value *body, struct arena *a, struct err *e)
{
    struct params_rules r = rules();
    struct chat_request c;

    return chat_request_read(&c, body, &r, a, e);
}

static int read_completion(const struct value *body, struct arena *a, struct err *e)
{
    struct params_rules r = rules();
    struct completion_request c;

    return completion_request_read(&c, body, &r, a, e);
}

static int read_response(const struct value *body, struct arena *a, struct err *e)
{
    struct params_rules r = rules();
    struct responses_request q;

    return responses_request_read(&q, body, &r, a, e);
}

static int read_embedding(const struct value *body, struct arena *a, struct err *e)
{
    struct embedding_request q;

    return embedding_request_read(&q, body, 64, a, e);
}

static int read_tokenize(const struct value *body, struct arena *a, struct err *e)
{
    struct tokenize_request t;

    (void)a;
    return tokenize_request_read(&t, body, e);
}

static int read_detokenize(const struct value *body, struct arena *a, struct err *e)
{
    struct detokenize_request t;

    return detokenize_request_read(&t, body, a, e);
}

/* Every POST endpoint has its reader here (NULL: its body is not read); `same`: it takes what
 * another one takes, and is described by the same schema. */
static const struct reader {
    const char *path;
    int (*read)(const struct value *body, struct arena *a, struct err *e);
    const char *same;
} readers[] = {
    { "/v1/chat/completions", read_chat, NULL },
    { "/v1/chat/completions/input_tokens", NULL, "/v1/chat/completions" },
    { "/v1/completions", read_completion, NULL },
    { "/v1/responses", read_response, NULL },
    { "/v1/responses/input_tokens", NULL, "/v1/responses" },
    { "/v1/embeddings", read_embedding, NULL },
    { "/v1/selftest", NULL, NULL },
    { "/apply-template", NULL, "/v1/chat/completions" },
    { "/tokenize", read_tokenize, NULL },
    { "/detokenize", read_detokenize, NULL },
};

static const struct reader *reader_of(const char *path)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(readers[i].path, path))
            return &readers[i];
    return NULL;
}

static const struct value *content_of(const char *path)
{
    const struct value *post = get(get(get(document, "paths"), path), "post");

    return get(get(get(post, "requestBody"), "content"), "application/json");
}

/* --- the tests --- */

static int open_document(void **state)
{
    struct value *v = NULL;
    struct err e = { 0 };

    (void)state;
    arena_init(&arena, 0);
    if (json_parse(openapi_text, strlen(openapi_text), 64, &arena, &v, &e)) {
        print_error("%s\n", e.text);
        return -1;
    }
    document = v;
    return 0;
}

static int close_document(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static const char *lower(const char *method)
{
    static char text[16];
    size_t i = 0;

    for (; method[i] && i + 1 < sizeof text; i++)
        text[i] = (char)tolower((unsigned char)method[i]);
    text[i] = '\0';
    return text;
}

static void every_route_is_described(void **state)
{
    const struct value *paths = get(document, "paths");

    (void)state;
    for (const struct route *r = api_routes; r->path; r++) {
        const struct value *op = get(get(paths, r->path), lower(r->method));
        const struct value *security = get(op, "security");

        if (!op)
            fail_msg("%s %s has no description in openapi.json", r->method, r->path);
        if (r->open != (security && !security->list.len))
            fail_msg("%s: \"security\": [] says that it needs no key, and only that", r->path);
        if (!strcmp(r->method, "POST") && !reader_of(r->path))
            fail_msg("%s has no reader in this test's table", r->path);
    }
}

static void every_description_has_a_route(void **state)
{
    const struct value *paths = get(document, "paths");

    (void)state;
    for (size_t i = 0; i < paths->map.len; i++) {
        const struct value *ops = paths->map.pairs[i].value;

        for (size_t k = 0; k < ops->map.len; k++) {
            const struct route *r = api_routes;

            while (r->path && (strcmp(r->path, paths->map.pairs[i].key) != 0 ||
                               strcmp(lower(r->method), ops->map.pairs[k].key) != 0))
                r++;
            if (!r->path)
                fail_msg("%s %s is described, but there is no such route", ops->map.pairs[k].key,
                         paths->map.pairs[i].key);
        }
    }
}

static void read_examples(const struct reader *r)
{
    const struct value *examples = get(content_of(r->path), "examples");

    if (!examples)
        fail_msg("%s has no examples", r->path);
    n_asked = 0;
    note("model"); /* generation_target() reads it */
    for (size_t i = 0; i < examples->map.len; i++) {
        const struct value *value = get(follow(examples->map.pairs[i].value), "value");
        struct buf text = { 0 };
        struct value *body = NULL;
        struct arena a;
        struct err e = { 0 };
        int rc;

        json_write(&text, value);
        arena_init(&a, 1 << 20);
        assert_int_equal(params_body(buf_str(&text), text.len, &a, &body, &e), 0);
        n_places = 0;
        find_places(body, "");
        rc = r->read(body, &a, &e);
        n_places = 0;
        if (rc)
            fail_msg("%s, example %s: %s", r->path, examples->map.pairs[i].key, e.text);
        arena_done(&a);
        buf_done(&text);
    }
}

static void every_member_is_described(void **state)
{
    (void)state;
    n_wrong = 0;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        const struct reader *r = &readers[i];
        const struct value *schema = get(content_of(r->path), "schema");

        if (r->same) {
            assert_ptr_equal(follow(schema), follow(get(content_of(r->same), "schema")));
            continue;
        }
        if (!r->read)
            continue;
        read_examples(r);
        for (size_t k = 0; k < n_asked; k++) {
            struct search s = { .path = asked[k] };

            walk(schema, "", 0, is_it, &s);
            if (!s.found) {
                print_error("%s: %s is read, but not described in openapi.json\n", r->path,
                            asked[k]);
                n_wrong++;
            }
        }
        walk(schema, "", 0, is_asked, (void *)r->path);
    }
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(every_description_has_a_route),
        cmocka_unit_test(every_member_is_described),
    };

    return cmocka_run_group_tests(tests, open_document, close_document);
}
