/* Takeoff's manifest: what it becomes, what the environment has to say to that, and what is
 * refused, by the rules that takeoff-config 0.5.5 was seen to have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fcgi/config.h"
#include "fcgi/config_keys.h"
#include "fcgi/takeoff/manifest.h"
#include "fcgi/takeoff/ytree.h"

#define HEAD      "takeoff:\n  server_config:\n  readers_config:\n"
#define WITH(x)   HEAD "    r: {model_name: m, device: cuda, consumer_group: g, " x "}\n"
#define CPU(x)    HEAD "    r: {model_name: m, device: cpu, consumer_group: g, " x "}\n"
#define ONE(x)    HEAD "    r: " x "\n"
#define SERVER(x) "takeoff:\n  server_config: {" x "}\n  readers_config: {}\n"

static char *const nothing[] = { NULL };

/* Reads text as the file m.yaml in a folder of its own. */
static int read_text(struct config *c, const char *text, size_t len, char *const *environment,
                     struct err *e)
{
    char dir[] = "/tmp/airstrip-test-XXXXXX", path[64];
    FILE *f;
    int rc;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/m.yaml", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    c->takeoff_manifest = path;
    *e = (struct err){ 0 };
    rc = manifest_read(c, environment, e);
    if (rc && !strncmp(e->text, dir, strlen(dir))) /* what follows is the same each time */
        memmove(e->text, e->text + strlen(dir) + 1, strlen(e->text + strlen(dir)));
    c->takeoff_manifest = NULL;
    unlink(path);
    rmdir(dir);
    return rc;
}

static void read_well(struct config *c, const char *text, char *const *environment)
{
    struct err e;

    config_init(c);
    if (read_text(c, text, strlen(text), environment, &e))
        fail_msg("%s: %s", text, e.text);
}

static bool has_note(const struct config *c, const char *begin)
{
    for (size_t i = 0; i < c->manifest->n_notes; i++)
        if (!strncmp(c->manifest->notes[i], begin, strlen(begin)))
            return true;
    return false;
}

static void readers_become_models(void **state)
{
    static const char text[] = "takeoff:\n"
                               "  server_config:\n"
                               "    port: 3000\n"
                               "    openai_port: 8080\n"
                               "    body_size_limit_bytes: 2097152\n"
                               "    max_batch_size: 4\n"
                               "    max_queued_requests: 77\n"
                               "  readers_config:\n"
                               "    small:\n"
                               "      model_name: org/small\n"
                               "      device: cpu\n"
                               "      consumer_group: primary\n"
                               "      max_sequence_length: 1024\n"
                               "      page_cache_size: 10MB\n"
                               "      quantize_cache_bits: 8\n"
                               "      log_level: WARNING\n"
                               "      access_token: hf_not_to_be_seen\n"
                               "    large:\n"
                               "      model_name: /models/large\n"
                               "      device: cuda\n"
                               "      consumer_group: large-ones\n"
                               "      max_batch_size: 0x10\n"
                               "      prefill_chunk_size: 256\n"
                               "      cuda_visible_devices: 0\n"
                               "      colour: blue\n";
    struct buf devices = { 0 };
    struct config c;

    (void)state;
    read_well(&c, text, nothing);
    assert_int_equal(c.n_models, 2);
    assert_string_equal(c.models[0].name, "small");
    assert_string_equal(c.models[0].group, "primary");
    assert_string_equal(c.models[0].model, "org/small");
    assert_string_equal(c.models[0].device, "cpu");
    assert_int_equal(c.models[0].max_sequence_length, 1024);
    assert_int_equal(c.models[0].max_batch_size, 4); /* the server's, for readers that say none */
    assert_int_equal(c.models[0].kv_cache_size, 10 * 1024 * 1024);
    assert_string_equal(c.models[0].kv_cache_type, "q8_0");
    assert_string_equal(c.models[1].name, "large");
    assert_string_equal(c.models[1].group, "large-ones");
    assert_string_equal(c.models[1].model, "/models/large");
    assert_string_equal(c.models[1].device, "cuda");
    assert_int_equal(c.models[1].max_sequence_length, 0);
    assert_int_equal(c.models[1].max_batch_size, 16);
    assert_int_equal(c.models[1].prefill_chunk_size, 256);
    assert_int_equal(c.body_size_limit, 2097152);
    assert_int_equal(c.defaults.max_queued_requests, 77);
    assert_int_equal(c.log_level, LOG_WARN);
    assert_int_equal(c.manifest->n_readers, 2);
    assert_string_equal(c.manifest->readers[1].id, "large");
    takeoff_devices(c.manifest, &devices);
    assert_string_equal(buf_str(&devices), "0");
    buf_done(&devices);
    assert_true(has_note(&c, "openai_port has no effect here"));
    assert_true(has_note(&c, "access_token has no effect here"));
    assert_true(has_note(&c, "takeoff.readers_config.large.colour is not known"));
    assert_int_equal(c.manifest->n_notes, 3); /* port is the default: nothing to tell */
    for (size_t i = 0; i < c.manifest->n_notes; i++)
        assert_null(strstr(c.manifest->notes[i], "not_to_be_seen"));
    config_done(&c);
}

/* Which is a model of each reader, as there: also of different models. */
static void readers_of_a_group(void **state)
{
    struct buf devices = { 0 };
    struct config c;

    (void)state;
    read_well(&c,
              HEAD "    a: {model_name: m, device: cpu, consumer_group: g, page_cache_size: 4MB}\n"
                   "    b: {model_name: n, device: cuda, consumer_group: g, page_cache_size: 5GB,\n"
                   "        cuda_visible_devices: '1,0', disable_cuda_graph: 1}\n"
                   "    c: {model_name: m, device: cuda, consumer_group: h,\n"
                   "        cuda_visible_devices: '2,1'}\n",
              nothing);
    assert_int_equal(c.n_models, 3);
    assert_string_equal(c.models[0].group, "g");
    assert_string_equal(c.models[1].group, "g");
    assert_string_equal(c.models[2].group, "h");
    assert_string_equal(c.models[0].device, "cpu");
    assert_string_equal(c.models[1].model, "n");
    assert_int_equal(c.models[0].kv_cache_size, (size_t)4 << 20);
    assert_int_equal(c.models[1].kv_cache_size, (size_t)5 << 30);
    takeoff_devices(c.manifest, &devices);
    assert_string_equal(buf_str(&devices), "1,0,2");
    buf_done(&devices);
    assert_true(takeoff_wants_no_graphs(c.manifest));
    assert_true(has_note(&c, "cuda_visible_devices of several readers has no effect"));
    config_done(&c);
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        /* what is there at all */
        { "", "m.yaml: there is no key takeoff" },
        { "other: 1\n", "m.yaml: there is no key takeoff" },
        { "- takeoff\n", "m.yaml:1:1: takeoff: expected a map with the key takeoff, found a list" },
        { "takeoff:\n",
          "m.yaml:1:9: takeoff: expected server_config and readers_config, found nothing" },
        { "takeoff:\n  readers_config: {}\n", "m.yaml:2:3: takeoff: missing field server_config" },
        { "takeoff:\n  server_config:\n", "m.yaml:2:3: takeoff: missing field readers_config" },
        { "takeoff:\n  server_config: 5\n  readers_config: {}\n",
          "m.yaml:2:18: takeoff.server_config: expected a map of settings, found a number" },
        { "takeoff:\n  server_config:\n  readers_config: []\n",
          "m.yaml:3:19: takeoff.readers_config: expected a map of readers, found a list" },
        { ONE("m"), "m.yaml:4:8: takeoff.readers_config.r: expected a reader's settings, found a "
                    "text" },
        { ONE("{device: cpu, consumer_group: g}"),
          "m.yaml:4:8: takeoff.readers_config.r: missing field model_name" },
        { ONE("{model_name: m, consumer_group: g}"),
          "m.yaml:4:8: takeoff.readers_config.r: missing field device" },
        { ONE("{model_name: m, device: cpu}"),
          "m.yaml:4:8: takeoff.readers_config.r: missing field consumer_group" },
        { ONE("{model_name: m, device: cpu, consumer_group: null}"),
          "m.yaml:4:8: takeoff.readers_config.r: missing field consumer_group" },
        /* types */
        { WITH("max_batch_size: '8'"),
          "m.yaml:4:73: takeoff.readers_config.r.max_batch_size: expected a whole number, found "
          "the text \"8\"" },
        { WITH("max_batch_size: x"),
          "m.yaml:4:73: takeoff.readers_config.r.max_batch_size: expected a whole number, found "
          "the text \"x\"" },
        { WITH("max_batch_size: -1"),
          "m.yaml:4:73: takeoff.readers_config.r.max_batch_size: expected a whole number, found "
          "the number \"-1\"" },
        { WITH("max_batch_size: 1.5"),
          "m.yaml:4:73: takeoff.readers_config.r.max_batch_size: expected a whole number, found "
          "the number \"1.5\"" },
        { WITH("max_batch_size: 99999999999999999999"),
          "m.yaml:4:73: takeoff.readers_config.r.max_batch_size: expected a whole number, found "
          "the number \"99999999999999999999\"" },
        { WITH("disable_static: true"),
          "m.yaml:4:73: takeoff.readers_config.r.disable_static: expected a whole number up to "
          "4294967295, found a boolean" },
        { WITH("access_token: [secret]"),
          "m.yaml:4:71: takeoff.readers_config.r.access_token: expected a text, found a list" },
        { SERVER("port: x"), "m.yaml:2:25: takeoff.server_config.port: expected a whole number up "
                             "to 65535, found the text \"x\"" },
        { SERVER("port: 70000"), "m.yaml:2:25: takeoff.server_config.port: expected a whole number "
                                 "up to 65535, found the number \"70000\"" },
        { SERVER("enable_metrics: yes"),
          "m.yaml:2:35: takeoff.server_config.enable_metrics: expected true or false, found the "
          "text \"yes\"" },
        /* values */
        { ONE("{model_name: '', device: cpu, consumer_group: g}"),
          "m.yaml:4:8: takeoff.readers_config.r: model_name: expected a model, found an empty "
          "text" },
        { ONE("{model_name: m, device: gpu, consumer_group: g}"),
          "m.yaml:4:8: takeoff.readers_config.r: device: expected cpu or cuda, found \"gpu\"" },
        { ONE("{model_name: m, device: CPU, consumer_group: g}"),
          "m.yaml:4:8: takeoff.readers_config.r: device: expected cpu or cuda, found \"CPU\"" },
        { ONE("{model_name: m, device: api, consumer_group: g}"),
          "m.yaml:4:8: takeoff.readers_config.r: device: api (a remote model) is not offered; "
          "expected cpu or cuda" },
        { ONE("{model_name: m, device: cpu, consumer_group: ''}"),
          "m.yaml:4:8: takeoff.readers_config.r: consumer_group: expected a name, found an empty "
          "text" },
        { HEAD "    a b: {model_name: m, device: cpu, consumer_group: g}\n",
          "m.yaml: reader a b: expected a model name of letters, digits and . _ : / @ -, found "
          "\"a b\"" },
        { CPU("tensor_parallel: 1"), "m.yaml:4:8: takeoff.readers_config.r: tensor_parallel: is "
                                     "not for device cpu: leave it out" },
        { WITH("tensor_parallel: 0"), "m.yaml:4:8: takeoff.readers_config.r: tensor_parallel: "
                                      "expected at least 1, found 0" },
        { WITH("tensor_parallel: 3"), "m.yaml:4:8: takeoff.readers_config.r: tensor_parallel: "
                                      "expected 1 or an even number" },
        { WITH("tensor_parallel: 4, cuda_visible_devices: '0,1'"),
          "m.yaml:4:8: takeoff.readers_config.r: tensor_parallel: is more than "
          "cuda_visible_devices has" },
        { WITH("cuda_visible_devices: '0, 1'"),
          "m.yaml:4:8: takeoff.readers_config.r: cuda_visible_devices: expected whole numbers with "
          "commas between, such as \"0,1\", found \"0, 1\"" },
        { WITH("cuda_visible_devices: '0,'"),
          "m.yaml:4:8: takeoff.readers_config.r: cuda_visible_devices: expected whole numbers with "
          "commas between, such as \"0,1\", found \"0,\"" },
        { CPU("cuda_visible_devices: ''"),
          "m.yaml:4:8: takeoff.readers_config.r: cuda_visible_devices: expected whole numbers with "
          "commas between, such as \"0,1\", found \"\"" },
        { WITH("page_cache_size: much"),
          "m.yaml: reader r: kv_cache_size: expected a size such as 512KB, 10MB or 5GB, found "
          "\"much\"" },
        /* YAML itself */
        { WITH("device: cuda"), "m.yaml:4:57: the key \"device\" is there a second time" },
        { HEAD "    r: {}\n    r: {}\n", "m.yaml:5:5: the key \"r\" is there a second time" },
        { "takeoff: [1\n",
          "m.yaml:2:1: while parsing a flow sequence: did not find expected ',' or ']'" },
        { "takeoff: {a: *b}\n", "m.yaml:1:14: expected an alias of an anchor that came before" },
        { "takeoff: &a {a: *a}\n", "m.yaml:1:17: expected an alias of an anchor that came before" },
        { "takeoff: !y 5\n", "m.yaml:1:10: expected a value without a tag" },
        { "takeoff: !x {}\n", "m.yaml:1:10: expected a value without a tag" },
        { "takeoff: {}\n---\ntakeoff: {}\n", "m.yaml:2:1: expected one document, found another" },
        { "takeoff: \"a\\0b\"\n", "m.yaml:1:10: expected text, found a zero byte" },
        { "? [a]\n: b\n", "m.yaml:1:3: expected a text as a key" },
        { "takeoff: \t- x: \xff\n", "m.yaml: byte 15: invalid leading UTF-8 octet" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct err e;

        config_init(&c);
        if (!read_text(&c, cases[i].text, strlen(cases[i].text), nothing, &e))
            fail_msg("accepted: %s", cases[i].text);
        assert_string_equal(e.text, cases[i].message);
        config_done(&c);
    }
}

static void what_is_taken(void **state)
{
    static const char *const texts[] = {
        "takeoff: {server_config: {}, readers_config: {}}\n",
        "takeoff: {server_config: ~, readers_config: ~}\n",
        "---\ntakeoff:\n  server_config:\n  readers_config:\n...\n",
        WITH("max_batch_size: null"),
        WITH("max_batch_size: 0x8, disable_static: 1"),
        WITH("max_batch_size: !!int 0b11, max_sequence_length: +8"),
        WITH("tensor_parallel: 2, cuda_visible_devices: '0,1'"),
        WITH("tensor_parallel: 1"),
        CPU("cuda_visible_devices: '0,1'"),
        ONE("{model_name: 5, device: cpu, consumer_group: yes}"),
        WITH("<<: {device: cpu}"),
        HEAD "    a: &a {model_name: m, device: cpu, consumer_group: g}\n    b: *a\n",
        HEAD "    1: {model_name: &m org/model, device: &d cpu, consumer_group: g}\n"
             "    2: {model_name: *m, device: *d, consumer_group: h}\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config c;

        read_well(&c, texts[i], nothing);
        config_done(&c);
    }
}

/* A file that would unfold to 10^9 values, one that is deep, one that is wide, one that is long. */
static void what_is_too_much(void **state)
{
    struct buf b = { 0 };
    struct config c;
    struct err e;

    (void)state;
    buf_puts(&b, "a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (char k = 'b'; k < 'k'; k++)
        buf_printf(&b, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", k, k, k - 1, k - 1,
                   k - 1, k - 1, k - 1, k - 1, k - 1, k - 1, k - 1, k - 1);
    buf_puts(&b, "takeoff: {server_config: {}, readers_config: *j}\n");
    config_init(&c);
    assert_int_equal(read_text(&c, b.data, b.len, nothing, &e), ERR_INVALID);
    assert_string_equal(e.text, "m.yaml:10:4: takeoff.readers_config: expected a map of readers, "
                                "found a list");
    buf_reset(&b);
    for (int i = 0; i < 900; i++)
        buf_putc(&b, '[');
    assert_int_equal(read_text(&c, b.data, b.len, nothing, &e), ERR_LIMIT);
    assert_string_equal(e.text, "m.yaml:1:33: expected at most 32 levels");
    buf_reset(&b);
    for (int i = 0; i < 20000; i++)
        buf_puts(&b, "- x\n");
    assert_int_equal(read_text(&c, b.data, b.len, nothing, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "expected at most 10000 values"));
    buf_reset(&b);
    for (int i = 0; i < 300; i++)
        buf_printf(&b, "- &a%d x\n", i);
    assert_int_equal(read_text(&c, b.data, b.len, nothing, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "expected at most 256 anchors"));
    buf_reset(&b);
    for (int i = 0; i < 1100 * 1000; i++)
        buf_putc(&b, '#');
    assert_int_equal(read_text(&c, b.data, b.len, nothing, &e), ERR_LIMIT);
    assert_string_equal(e.text, "m.yaml: expected at most 1048576 bytes");
    buf_reset(&b);
    buf_puts(&b, HEAD);
    for (int i = 0; i < 65; i++)
        buf_printf(&b, "    r%d: {model_name: m, device: cpu, consumer_group: g}\n", i);
    assert_int_equal(read_text(&c, b.data, b.len, nothing, &e), ERR_LIMIT);
    assert_string_equal(
        e.text, "m.yaml:4:5: takeoff.readers_config: expected at most 64 readers, found 65");
    buf_done(&b);
    config_done(&c);
}

static void the_environment_is_stronger(void **state)
{
    static const char text[] =
        "takeoff:\n"
        "  server_config: {body_size_limit_bytes: 1000, max_queued_requests: 5, max_batch_size: "
        "2,\n"
        "                  openai_port: 8080}\n"
        "  readers_config:\n"
        "    a: {model_name: m, device: cpu, consumer_group: g}\n"
        "    b: {model_name: m, device: cpu, consumer_group: h, max_batch_size: 7}\n";
    char *environment[] = { (char *)"TAKEOFF_BODY_SIZE_LIMIT_BYTES=2000",
                            (char *)"TAKEOFF_MAX_QUEUED_REQUESTS=6",
                            (char *)"TAKEOFF_MAX_BATCH_SIZE=3",
                            (char *)"TAKEOFF_OPENAI_PORT=9090",
                            (char *)"TAKEOFF_MODEL_NAME=x",
                            (char *)"TAKEOFF_CONSUMER_GROUP=x",
                            (char *)"TAKEOFF_MAX_SEQUENCE_LENGTH=99",
                            (char *)"TAKEOFF_QUANTIZE_CACHE_BITS=8",
                            (char *)"TAKEOFF_DEVICE=",
                            (char *)"AIRSTRIP_THREADS=2",
                            NULL };
    struct config c;
    struct err e = { 0 };

    (void)state;
    read_well(&c, text, environment);
    if (config_environment(&c, environment, &e))
        fail_msg("%s", e.text);
    assert_int_equal(c.body_size_limit, 2000);
    assert_int_equal(c.n_models, 2);
    assert_int_equal(c.models[0].max_batch_size, 3); /* each reader's default */
    assert_int_equal(c.models[1].max_batch_size, 7); /* which it may say itself */
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(c.models[i].model, "m");
        assert_int_equal(c.models[i].max_queued_requests, 6);
        assert_int_equal(c.models[i].max_sequence_length, 0);
        assert_null(c.models[i].kv_cache_type);
        assert_int_equal(c.models[i].threads, 2); /* ours holds for models of any source */
    }
    assert_true(has_note(&c, "the variable of max_sequence_length has no effect"));
    assert_false(has_note(&c, "openai_port")); /* told about as the variable that it is */
    config_done(&c);
}

static void a_reader_of_the_environment(void **state)
{
    char *environment[] = { (char *)"TAKEOFF_MODEL_NAME=x", (char *)"TAKEOFF_DEVICE=cpu",
                            (char *)"TAKEOFF_QUANTIZE_CACHE_BITS=8", NULL };
    struct config c;
    struct err e;

    (void)state;
    config_init(&c);
    assert_int_equal(read_text(&c, CPU("max_batch_size: 1"), strlen(CPU("max_batch_size: 1")),
                               environment, &e),
                     ERR_INVALID);
    assert_string_equal(e.text, "environment variables TAKEOFF_MODEL_NAME and TAKEOFF_DEVICE: "
                                "expected no reader beside those of the manifest");
    config_done(&c);
    read_well(&c, SERVER("max_queued_requests: 5"), environment); /* has no readers */
    assert_int_equal(config_environment(&c, environment, &e), 0);
    assert_int_equal(c.n_models, 1);
    assert_string_equal(c.models[0].name, "primary");
    assert_string_equal(c.models[0].model, "x");
    assert_string_equal(c.defaults.kv_cache_type, "q8_0");
    config_done(&c);
}

static void a_name_for_the_reader(void **state)
{
    char *environment[] = {
        (char *)"TAKEOFF_MODEL_NAME=x",          (char *)"TAKEOFF_READER_ID=left",
        (char *)"TAKEOFF_CONSUMER_GROUP=chat",   (char *)"TAKEOFF_DEVICE=cpu",
        (char *)"TAKEOFF_QUANTIZE_CACHE_BITS=8", NULL
    };
    struct config c;
    struct err e = { 0 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        config_init(&c);
        assert_int_equal(config_environment(&c, environment, &e), 0);
        assert_int_equal(c.n_models, 1);
        assert_string_equal(c.models[0].model, "x");
        assert_string_equal(c.models[0].device, "cpu");
        assert_string_equal(c.models[0].kv_cache_type, "q8_0");
        assert_string_equal(c.models[0].name, i < 2 ? "left" : "ours");
        if (i == 2) /* ours is both */
            assert_null(c.models[0].group);
        else
            assert_string_equal(c.models[0].group, i ? "primary" : "chat");
        config_done(&c);
        environment[2] = (char *)(i ? "AIRSTRIP_NAME=ours" : "TAKEOFF_CONSUMER_GROUP=");
    }
}

static void devices_of_the_environment(void **state)
{
    static const struct {
        const char *parallel, *devices, *device, *message; /* NULL: taken */
    } cases[] = {
        { "TAKEOFF_TENSOR_PARALLEL=2", "TAKEOFF_CUDA_VISIBLE_DEVICES=0,1", "TAKEOFF_DEVICE=cuda",
          NULL },
        { "TAKEOFF_TENSOR_PARALLEL=1", "TAKEOFF_CUDA_VISIBLE_DEVICES=", "TAKEOFF_DEVICE=cpu",
          NULL },
        { "TAKEOFF_TENSOR_PARALLEL=3", "TAKEOFF_CUDA_VISIBLE_DEVICES=", "TAKEOFF_DEVICE=cuda",
          "environment variables TAKEOFF_...: tensor_parallel: expected 1 or an even number" },
        { "TAKEOFF_TENSOR_PARALLEL=4", "TAKEOFF_CUDA_VISIBLE_DEVICES=0,1", "TAKEOFF_DEVICE=cuda",
          "environment variables TAKEOFF_...: tensor_parallel: is more than cuda_visible_devices "
          "has" },
        { "TAKEOFF_TENSOR_PARALLEL=", "TAKEOFF_CUDA_VISIBLE_DEVICES=0;1", "TAKEOFF_DEVICE=cuda",
          "environment variables TAKEOFF_...: cuda_visible_devices: expected whole numbers with "
          "commas between, such as \"0,1\", found \"0;1\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *environment[] = { (char *)"TAKEOFF_MODEL_NAME=x", (char *)cases[i].parallel,
                                (char *)cases[i].devices, (char *)cases[i].device, NULL };
        struct config c;
        struct err e = { 0 };

        config_init(&c);
        assert_int_equal(config_environment(&c, environment, &e),
                         cases[i].message ? ERR_INVALID : 0);
        if (cases[i].message)
            assert_string_equal(e.text, cases[i].message);
        config_done(&c);
    }
}

/* The file is weaker than the manifest, and may add to its groups. */
static void a_section_of_the_file(void **state)
{
    static const char file[] = "threads = 1\n[model r]\ndevice = cuda\nthreads = 3\naliases = x\n";
    struct config c;
    struct err e;

    (void)state;
    config_init(&c);
    assert_int_equal(config_parse(&c, "f", file, strlen(file), &e), 0);
    assert_int_equal(read_text(&c, CPU("max_batch_size: 5"), strlen(CPU("max_batch_size: 5")),
                               nothing, &e),
                     0);
    assert_int_equal(c.n_models, 1);
    assert_string_equal(c.models[0].device, "cpu");
    assert_string_equal(c.models[0].aliases, "x");
    assert_int_equal(c.models[0].threads, 3);
    assert_int_equal(c.models[0].max_batch_size, 5);
    config_done(&c);
}

/* A file below the top of the sources as a string, to be freed. */
static char *slurp(const char *name)
{
    const char *top = getenv("srcdir");
    struct buf b = { 0 };
    struct err e = { 0 };
    char path[1000];

    snprintf(path, sizeof path, "%s/%s", top ? top : ".", name);
    if (config_slurp(&b, path, &e))
        fail_msg("%s", e.text);
    return b.data;
}

/* Each setting is a key of ours, has a sentence, or is honoured by code that knows its name. */
static void every_setting_is_accounted_for(void **state)
{
    static const char *const by_name[] = { "consumer_group", "reader_id", "quantize_cache_bits",
                                           "cuda_visible_devices", "disable_cuda_graph" };
    char *manual = slurp("man/airstrip-takeoff.7");

    (void)state;
    for (int i = 0; takeoff_settings[i].name; i++) {
        const struct takeoff_setting *s = &takeoff_settings[i];
        char variable[64] = "";
        bool known = takeoff_key(s) || s->note || s->scope == TAKEOFF_LAUNCHER;

        if (!strstr(manual, s->name))
            fail_msg("airstrip-takeoff(7) lacks %s", s->name);
        for (size_t j = 0; j < sizeof by_name / sizeof *by_name; j++)
            known |= !strcmp(s->name, by_name[j]);
        if (!known)
            fail_msg("%s does nothing and nobody is told", s->name);
        for (size_t j = 0; s->name[j]; j++)
            variable[j] = s->name[j] == '_' ? '_' : (char)(s->name[j] - 'a' + 'A');
        assert_int_equal(takeoff_variable(variable), i);
        assert_int_equal(takeoff_setting(s->name), i);
        if (s->note && s->harmless)
            assert_true(takeoff_harmless(s, s->harmless));
    }
    for (const struct config_key *k = config_keys; k->name; k++)
        if (k->takeoff && takeoff_variable(k->takeoff) < 0)
            fail_msg("%s: TAKEOFF_%s is not in the table", k->name, k->takeoff);
    free(manual);
}

static void the_sample_says_what_it_means(void **state)
{
    char *text = slurp("conf/takeoff.yaml");
    struct config c;

    (void)state;
    read_well(&c, text, nothing);
    assert_int_equal(c.n_models, 2);
    assert_string_equal(c.models[1].group, "embed");
    assert_int_equal(c.manifest->n_notes, 0);
    config_done(&c);
    free(text);
}

static void without_libyaml_it_says_so(void **state)
{
    struct config c;
    struct err e;

    (void)state;
    config_init(&c);
    assert_int_equal(read_text(&c, HEAD, strlen(HEAD), nothing, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "built without libyaml"));
    config_done(&c);
}

static bool can_read_yaml(void)
{
    struct ytree *out;
    struct arena a;
    int rc;

    arena_init(&a, 0);
    rc = ytree_parse("x", "{}", 2, &a, &out, NULL);
    arena_done(&a);
    return rc != ERR_UNSUPPORTED;
}

int main(void)
{
    const struct CMUnitTest with_yaml[] = {
        cmocka_unit_test(readers_become_models),
        cmocka_unit_test(readers_of_a_group),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(what_is_taken),
        cmocka_unit_test(what_is_too_much),
        cmocka_unit_test(the_environment_is_stronger),
        cmocka_unit_test(a_reader_of_the_environment),
        cmocka_unit_test(a_name_for_the_reader),
        cmocka_unit_test(devices_of_the_environment),
        cmocka_unit_test(a_section_of_the_file),
        cmocka_unit_test(the_sample_says_what_it_means),
        cmocka_unit_test(every_setting_is_accounted_for),
    };
    const struct CMUnitTest without[] = {
        cmocka_unit_test(without_libyaml_it_says_so),
        cmocka_unit_test(every_setting_is_accounted_for),
    };

    return can_read_yaml() ? cmocka_run_group_tests(with_yaml, NULL, NULL)
                           : cmocka_run_group_tests(without, NULL, NULL);
}
