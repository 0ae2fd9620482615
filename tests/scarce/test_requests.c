/* What clients, web servers and operators send, read while memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fcgi/api/chat_request.h"
#include "fcgi/api/completion_request.h"
#include "fcgi/api/embedding_request.h"
#include "fcgi/api/responses_request.h"
#include "fcgi/api/tokens_request.h"
#include "fcgi/auth.h"
#include "fcgi/changes.h"
#include "fcgi/config.h"
#include "fcgi/intake.h"
#include "fcgi/parts/split.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"
#include "fcgi/takeoff/generate_request.h"
#include "fcgi/takeoff/reader_request.h"
#include "fcgi/takeoff/tokens_request.h"
#include "fcgi/takeoff/manifest.h"
#include "fcgi/takeoff/ytree.h"
#include "kernels/base/json.h"
#include "tests/fcgi/records.h"
#include "tests/scarce/scarce.h"

static int no_memory(const struct buf *b, struct err *e)
{
    return b->failed ? err_set(e, ERR_NOMEM, "no memory for what came out") : 0;
}

static struct params_rules rules(void)
{
    struct params_rules r = { .max_choices = 8 };

    sampling_default(&r.sampling);
    return r;
}

/* --- bodies --- */

enum { N_EMBD = 64 };

static int read_chat(const struct value *body, struct arena *a, struct buf *out, struct err *e)
{
    struct params_rules r = rules();
    struct spec spec = { 0 };
    struct chat_request c;
    int rc = chat_request_read(&c, body, &r, a, e);

    if (rc == 0 && c.tools.required)
        rc = chat_tools_spec(&c.tools, &spec, a, e);
    if (rc)
        return rc;
    json_write(out, c.context);
    buf_printf(out, " %zu %zu %zu", c.params.n_stops, c.params.sampling.n_bias, c.max_tokens);
    if (spec.value)
        json_write(out, spec.value);
    return 0;
}

static int read_completion(const struct value *body, struct arena *a, struct buf *out,
                           struct err *e)
{
    struct params_rules r = rules();
    struct completion_request c;
    int rc = completion_request_read(&c, body, &r, a, e);

    for (size_t i = 0; rc == 0 && i < c.n_prompts; i++)
        buf_printf(out, " %zu %.*s", c.jobs[i].n_ids, (int)c.jobs[i].text_len, c.jobs[i].text);
    return rc;
}

static int read_responses(const struct value *body, struct arena *a, struct buf *out, struct err *e)
{
    struct params_rules r = rules();
    struct responses_request q;
    int rc = responses_request_read(&q, body, &r, a, e);

    if (rc)
        return rc;
    json_write(out, q.chat.context);
    buf_puts(out, q.settings);
    return 0;
}

static int read_embedding(const struct value *body, struct arena *a, struct buf *out, struct err *e)
{
    struct embedding_request q;
    int rc = embedding_request_read(&q, body, N_EMBD, a, e);

    for (size_t i = 0; rc == 0 && i < q.n; i++)
        buf_printf(out, " %zu %zu", q.jobs[i].n_ids, q.jobs[i].text_len);
    return rc;
}

static int read_tokens(const struct value *body, struct arena *a, struct buf *out, struct err *e)
{
    struct detokenize_request d;
    int rc = detokenize_request_read(&d, body, a, e);

    if (rc == 0)
        buf_printf(out, "%zu", d.n_ids);
    return rc;
}

static int read_generate(const struct value *body, struct arena *a, struct buf *out, struct err *e)
{
    const struct takeoff_limits limits = { 10, 1000 };
    struct generate_request g;
    int rc = generate_request_read(&g, body, &limits, a, e);

    if (rc == 0)
        buf_printf(out, "%s %zu %d", g.group, g.n, (int)g.params.spec.kind);
    return rc;
}

static int read_conversations(const struct value *body, struct arena *a, struct buf *out,
                              struct err *e)
{
    struct template_ask t;
    int rc = template_ask_read(&t, body, 10, a, e);

    for (size_t i = 0; rc == 0 && i < t.n; i++)
        json_write(out, t.contexts[i]);
    return rc;
}

static int read_reader(const struct value *body, struct arena *a, struct buf *out, struct err *e)
{
    struct change c;
    int rc = reader_request_read(&c, body, a, e);

    for (size_t i = 0; rc == 0 && i < c.n_settings; i++)
        buf_printf(out, "%s=%s ", c.settings[i].key->name, c.settings[i].value);
    return rc;
}

static int run_body(const struct scarce_work *w, struct buf *out, struct err *e)
{
    int (*const *read)(const struct value *body, struct arena *a, struct buf *out, struct err *e) =
        w->data;
    struct value *body;
    struct arena a;
    int rc;

    arena_init(&a, 64 << 20);
    rc = params_body(w->text, w->len, &a, &body, e);
    if (rc == 0)
        rc = (*read)(body, &a, out, e);
    arena_done(&a);
    return rc ? rc : no_memory(out, e);
}

#define TOOL                                                                                   \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"," \
    "\"properties\":{\"a\":{\"type\":\"string\"}}}}}"
#define CALL                                                                                  \
    "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":[{" \
    "\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"         \
    "\"{\\\"a\\\":[1,2.5,{}]}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":"  \
    "\"\\u00e9\"}"

static void bodies(void **state)
{
    static const struct {
        const char *name, *text;
        int (*read)(const struct value *body, struct arena *a, struct buf *out, struct err *e);
    } cases[] = {
        { "a chat",
          "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{"
          "\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
          "\"text\":\"b\\n\"}]}," CALL "],\"tools\":[" TOOL "],\"tool_choice\":\"required\","
          "\"stop\":[\"a\",\"bc\"],\"logit_bias\":{\"5\":1,\"7\":-100},\"logprobs\":true,"
          "\"top_logprobs\":3,\"n\":2,\"seed\":7,\"prediction\":{\"type\":\"content\",\"content\":"
          "[{\"type\":\"text\",\"text\":\"x\"}]},\"chat_template_kwargs\":{\"k\":[true]},"
          "\"stop_token_ids\":[1,2],\"dry_sequence_breakers\":[\"x\",\"y\"],"
          "\"max_tokens\":9}",
          read_chat },
        { "a chat with a schema",
          "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_format\":{\"type\":"
          "\"json_schema\",\"json_schema\":{\"name\":\"s\",\"schema\":{\"type\":\"object\","
          "\"properties\":{\"a\":{\"enum\":[1,\"x\"]}}}}}}",
          read_chat },
        { "completions",
          "{\"prompt\":[\"a\",\"b\",\"c\"],\"echo\":true,\"logprobs\":2,\"stop\":\"x\"}",
          read_completion },
        { "completions of ids", "{\"prompt\":[[1,2,3],[4]],\"guided_regex\":\"a+\"}",
          read_completion },
        { "a response",
          "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"}]},{"
          "\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},{"
          "\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"1\"}],"
          "\"instructions\":\"i\",\"tools\":[{\"type\":\"function\",\"name\":\"f\","
          "\"parameters\":{\"type\":\"object\"}}],\"metadata\":{\"k\":\"v\"},\"reasoning\":{"
          "\"effort\":\"low\"}}",
          read_responses },
        { "embeddings", "{\"input\":[\"a\",\"bc\",\"d\"],\"dimensions\":8}", read_embedding },
        { "embeddings of ids", "{\"input\":[[1,2],[3]],\"encoding_format\":\"base64\"}",
          read_embedding },
        { "tokens", "{\"tokens\":[1,2,3,4]}", read_tokens },
        { "Takeoff's generate",
          "{\"text\":[\"a\",\"b\"],\"json_schema\":\"{\\\"type\\\":\\\"object\\\"}\"}",
          read_generate },
        { "Takeoff's conversations", "{\"inputs\":[[{\"role\":\"user\",\"content\":\"a\"}]]}",
          read_conversations },
        { "a reader", "{\"model_name\":\"m\",\"device\":\"cpu\",\"max_batch_size\":3}",
          read_reader },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        scarce_try(&(struct scarce_work){ .name = cases[i].name,
                                          .run = run_body,
                                          .text = cases[i].text,
                                          .len = strlen(cases[i].text),
                                          .data = &cases[i].read });
}

/* --- the socket --- */

/* A connection whose answers need no memory of its own. */
struct sink {
    struct conn conn; /* first */
    struct buf *out;
    const char *body;
    size_t len, at;
};

static long sink_read(struct conn *c, void *to, size_t len)
{
    struct sink *s = (struct sink *)(void *)c;
    size_t n = s->len - s->at < len ? s->len - s->at : len;

    memcpy(to, s->body + s->at, n);
    s->at += n;
    return (long)n;
}

static bool sink_write(struct conn *c, const void *bytes, size_t len)
{
    buf_put(((struct sink *)(void *)c)->out, bytes, len);
    return true;
}

static bool sink_flush(struct conn *c)
{
    (void)c;
    return true;
}

/* What a web server passes on, to a request whose answer is written: one that says so where there
 * is no memory for it. */
static int run_request(const struct scarce_work *w, struct buf *out, struct err *e)
{
    static const char *const params[] = { "REQUEST_METHOD=POST", "REQUEST_URI=/v1/m%6fdels?q=1",
                                          "HTTP_X_REQUEST_ID=id-1", "CONTENT_LENGTH=5000", NULL };
    struct sink s = {
        .conn = { .fd = -1, .read = sink_read, .write = sink_write, .flush = sink_flush },
        .out = out,
        .body = w->text,
        .len = w->len
    };
    struct request r;
    struct reply p;
    int rc = request_init(&r, (char *const *)(uintptr_t)params, 1 << 20, e);

    if (rc == 0)
        rc = request_read(&r, &s.conn, 1 << 20, e);
    reply_init(&p, &s.conn, r.id, false);
    if (rc == 0) {
        reply_header(&p, "X-Test", "yes");
        buf_printf(&p.body, "%s %s %zu", r.path, r.query, r.body_len);
        if (!reply_send(&p) || !strncmp(buf_str(out), "Status: 500 ", 12))
            rc = err_set(e, ERR_NOMEM, "no memory for an answer");
    }
    reply_done(&p);
    request_done(&r);
    return rc;
}

static int run_records(const struct scarce_work *w, struct buf *out, struct err *e)
{
    char piece[700];
    struct intake in;
    long n;
    int rc = 0;

    intake_init(&in, 1 << 20, 10);
    for (size_t at = 0; !rc && at < w->len; at += 100)
        rc = intake_feed(&in, w->text + at, w->len - at < 100 ? w->len - at : 100, e);
    if (rc == 0 && in.state == INTAKE_WHOLE) {
        buf_put(out, in.head.data, in.head.len);
        buf_put(out, buf_str(&in.owed), in.owed.len);
        while ((n = intake_read(&in, piece, sizeof piece)) > 0)
            buf_put(out, piece, (size_t)n);
    }
    intake_done(&in);
    return rc;
}

static void records_and_answers(void **state)
{
    static char body[5001];
    struct buf b = { 0 };
    unsigned char values[] = "\x0e\0FCGI_MAX_CONNS";

    (void)state;
    memset(body, 'x', sizeof body - 1);
    put_record(&b, GET_VALUES, 0, values, sizeof values - 1);
    put_request(&b, 1, "POST", "/v1/models", body);
    scarce_try(&(struct scarce_work){
        .name = "records", .run = run_records, .text = b.data, .len = b.len });
    scarce_try(&(struct scarce_work){ .name = "a request and its answer",
                                      .run = run_request,
                                      .text = body,
                                      .len = sizeof body - 1 });
    buf_done(&b);
}

/* --- what an answer means --- */

static int run_split(const struct scarce_work *w, struct buf *out, struct err *e)
{
    static const struct thinking marks = { "<think>", "</think>" };
    struct split_options o = { .format = w->data, .thinking = &marks };
    struct split s;
    int rc = 0;

    split_init(&s, &o);
    for (size_t at = 0; at < w->len; at += 5)
        split_push(&s, w->text + at, w->len - at < 5 ? w->len - at : 5);
    split_finish(&s);
    if (s.failed)
        rc = err_set(e, ERR_NOMEM, "no memory for the parts of an answer");
    for (size_t i = 0; !rc && i < s.n_parts; i++)
        buf_printf(out, "%d:%.*s ", s.parts[i].kind, (int)s.parts[i].len,
                   s.text.data + s.parts[i].start);
    split_done(&s);
    return rc;
}

static void parts_of_answers(void **state)
{
    static const char text[] =
        "<think>hm, what\n</think>Hello <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": "
        "\"x\\u0041\\n\", \"b\": [1]}}\n</tool_call><function=f><parameter=a>1</parameter>"
        "</function>[f(a=\"b\", c=[1, None])]";

    (void)state;
    for (const struct format *f = formats; f->name; f++)
        scarce_try(&(struct scarce_work){
            .name = f->name, .run = run_split, .text = text, .len = sizeof text - 1, .data = f });
}

/* --- the operator's files --- */

/* One more model, of the first one's file. */
static int run_change(struct config *c, struct buf *out, struct err *e)
{
    const struct change_setting settings[] = { { config_key("model"), c->models[0].path } };
    struct change change = { .group = "a", .settings = settings, .n_settings = 1 };
    struct config *changed;
    int rc = changes_apply(c, &change, &changed, e);

    if (rc)
        return rc;
    for (size_t i = 0; i < changed->n_models; i++)
        buf_printf(out, "%s:%s ", changed->models[i].name, changed->models[i].group);
    config_free(changed);
    return 0;
}

static int run_config(const struct scarce_work *w, struct buf *out, struct err *e)
{
    struct config c;
    int rc;

    config_init(&c);
    rc = config_parse(&c, "f.conf", w->text, w->len, e);
    if (rc == 0)
        rc = config_finish(&c, e);
    for (size_t i = 0; rc == 0 && i < c.n_models; i++)
        buf_printf(out, "%s=%s ", c.models[i].name, c.models[i].path);
    if (rc == 0)
        rc = run_change(&c, out, e);
    config_done(&c);
    return rc;
}

/* Notes are a help only: without memory there are fewer. */
static int run_manifest(const struct scarce_work *w, struct buf *out, struct err *e)
{
    struct config c;
    int rc;

    config_init(&c);
    c.takeoff_manifest = w->text;
    rc = manifest_read(&c, (char *const *)w->data, e);
    for (size_t i = 0; rc == 0 && i < c.n_models; i++)
        buf_printf(out, "%s=%s:%s ", c.models[i].group, c.models[i].name, c.models[i].model);
    config_done(&c);
    return rc;
}

static int run_keys(const struct scarce_work *w, struct buf *out, struct err *e)
{
    struct auth *a = NULL;
    int rc = auth_open(&a, w->text, e);

    (void)out;
    auth_free(a);
    return rc;
}

static void files_of_the_operator(void **state)
{
    static const char line[] =
        "one $hmac-sha256$000102030405060708090a0b0c0d0e0f$"
        "33963677fd7d12e987c5ae05b492c6166c8f3966d85e2e9be8774a0843895f6e models=a,b "
        "concurrency=2\n# two\n";
    const char *srcdir = getenv("srcdir");
    char keys[] = "/tmp/airstrip-scarce-XXXXXX", text[2000];
    int fd = mkstemp(keys);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, line, sizeof line - 1), sizeof line - 1);
    close(fd);
    scarce_try(&(struct scarce_work){ .name = "keys", .run = run_keys, .text = keys });
    unlink(keys);
    snprintf(text, sizeof text,
             "listen = /tmp/s # c\nlisten_allow = ::1, 10.0.0.0/8\nlog = \"a b\"\naccess_format = "
             "\"%%R %%m\"\nthreads = 2\n"
             "default_sampling = {\"top_k\": 3}\n[model a]\nmodel = %s/tests/data/gguf/"
             "llama-Q8_0.gguf\naliases = x, y\n[model b]\nmodel = %s/tests/data/models/phi\n",
             srcdir ? srcdir : ".", srcdir ? srcdir : ".");
    scarce_try(&(struct scarce_work){
        .name = "configuration", .run = run_config, .text = text, .len = strlen(text) });
}

static void manifests(void **state)
{
    static const char text[] =
        "takeoff:\n  server_config: {max_batch_size: 2, echo: true, colour: blue}\n"
        "  readers_config:\n    a: {model_name: &m m, device: cpu, consumer_group: g, "
        "cuda_visible_devices: '0,1', quantize_cache_bits: 8}\n    b: {model_name: *m, device: "
        "cuda, consumer_group: h, max_batch_size: 0x10}\n";
    char *environment[] = { (char *)"TAKEOFF_MAX_BATCH_SIZE=3", NULL };
    char path[] = "/tmp/airstrip-scarce-XXXXXX";
    int fd = mkstemp(path);
    struct ytree *tree;
    struct arena a;
    int rc;

    (void)state;
    arena_init(&a, 0);
    rc = ytree_parse("x", "{}", 2, &a, &tree, NULL);
    arena_done(&a);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    if (rc != ERR_UNSUPPORTED) /* built without libyaml */
        scarce_try(&(struct scarce_work){
            .name = "manifest", .run = run_manifest, .text = path, .data = environment });
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),           cmocka_unit_test(records_and_answers),
        cmocka_unit_test(parts_of_answers), cmocka_unit_test(files_of_the_operator),
        cmocka_unit_test(manifests),
    };

    return cmocka_run_group_tests_name("scarce memory: requests", tests, NULL, NULL);
}
