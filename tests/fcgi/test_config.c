/* config: what file, environment and command line may say, what they may not, and who wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fcgi/config.h"
#include "fcgi/changes.h"
#include "fcgi/config_keys.h"

enum { KB = 1024, MB = 1024 * KB };

static int parse(struct config *c, const char *text, struct err *e)
{
    config_init(c);
    return config_parse(c, "f.conf", text, strlen(text), e);
}

static void numbers_in_their_units(void **state)
{
    static const struct {
        const char *line;
        size_t offset, value;
    } cases[] = {
        { "body_size_limit = 4096", offsetof(struct config, body_size_limit), 4096 },
        { "body_size_limit=10MB", offsetof(struct config, body_size_limit), 10 * MB },
        { "body_size_limit = 10 mb # blank", offsetof(struct config, body_size_limit), 10 * MB },
        { "body_size_limit = \"2KiB\"", offsetof(struct config, body_size_limit), 2 * KB },
        { "body_size_limit = 5GB", offsetof(struct config, body_size_limit), (size_t)5 * KB * MB },
        { "\tdrain_timeout = 90\r", offsetof(struct config, drain_timeout_ms), 90000 },
        { "drain_timeout = 250ms", offsetof(struct config, drain_timeout_ms), 250 },
        { "drain_timeout = 2m", offsetof(struct config, drain_timeout_ms), 120000 },
        { "drain_timeout = 1h", offsetof(struct config, drain_timeout_ms), 3600000 },
        { "ping_interval = 0", offsetof(struct config, ping_ms), 0 },
        { "listen_mode = 0666", offsetof(struct config, listen_mode), 0666 },
        { "max_connections = 1", offsetof(struct config, max_connections), 1 },
        { "threads = 7", offsetof(struct config, defaults.threads), 7 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct err e = { 0 };
        size_t n;

        if (parse(&c, cases[i].line, &e))
            fail_msg("%s: %s", cases[i].line, e.text);
        memcpy(&n, (char *)&c + cases[i].offset, sizeof n);
        assert_int_equal(n, cases[i].value);
        config_done(&c);
    }
}

static void texts_and_comments(void **state)
{
    static const struct {
        const char *line, *value;
    } cases[] = {
        { "log = /var/log/a.log", "/var/log/a.log" },
        { "log = a#b", "a#b" },
        { "log = a b  # comment", "a b" },
        { "log = \" a # b \"", " a # b " },
        { "log = \"a\\\"b\\\\c\"", "a\"b\\c" },
        { "# one\n\n  # two\nlog = x", "x" },
        { "log = a=b", "a=b" },
        { "log = last line without newline", "last line without newline" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct err e = { 0 };

        if (parse(&c, cases[i].line, &e))
            fail_msg("%s: %s", cases[i].line, e.text);
        assert_string_equal(c.log, cases[i].value);
        config_done(&c);
    }
}

static void bad_lines_say_what_was_expected(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "x\n", "f.conf:1: expected KEY = VALUE or [model NAME], found \"x\"" },
        { "\n\nlog =\n", "f.conf:3: log: expected a value, found none" },
        { "max_batch_sise = 3", "f.conf:1: unknown key \"max_batch_sise\"; did you mean "
                                "\"max_batch_size\"?" },
        { "qwertyuiop = 3", "f.conf:1: unknown key \"qwertyuiop\"" },
        { "= 3", "f.conf:1: unknown key \"\"" },
        { "threads = many", "f.conf:1: threads: expected a whole number, found \"many\"" },
        { "threads = -1", "f.conf:1: threads: expected a whole number, found \"-1\"" },
        { "threads = 1.5", "f.conf:1: threads: expected a whole number, found \"1.5\"" },
        { "threads = 99999", "f.conf:1: threads: expected 0 to 4096, found \"99999\"" },
        { "threads = 99999999999999999999999", "f.conf:1: threads: expected a whole number, found "
                                               "\"99999999999999999999999\"" },
        { "body_size_limit = 10XB", "f.conf:1: body_size_limit: expected a size such as 512KB, "
                                    "10MB or 5GB, found \"10XB\"" },
        { "body_size_limit = 99999999999GB", "f.conf:1: body_size_limit: expected a size such as "
                                             "512KB, 10MB or 5GB, found \"99999999999GB\"" },
        { "body_size_limit = 101%", "f.conf:1: body_size_limit: expected a size such as 512KB, "
                                    "10MB or 5GB, found \"101%\"" },
        { "drain_timeout = 3d",
          "f.conf:1: drain_timeout: expected a time such as 500ms, 30s, 2m or "
          "1h, found \"3d\"" },
        { "read_timeout = 0", "f.conf:1: read_timeout: expected 1 to 86400000 ms, found \"0\"" },
        { "default_temperature = 2.5",
          "f.conf:1: default_temperature: expected a number from 0 to 2, found \"2.5\"" },
        { "default_top_p = nan",
          "f.conf:1: default_top_p: expected a number from 0 to 1, found \"nan\"" },
        { "default_top_p = .",
          "f.conf:1: default_top_p: expected a number from 0 to 1, found \".\"" },
        { "max_connections = 0", "f.conf:1: max_connections: expected 1 to 16384, found \"0\"" },
        { "\nlisten_allow = 10.0.0.0/8, localhost",
          "f.conf:2: listen_allow: expected an address such as 192.168.1.7 or a network such as "
          "10.0.0.0/8 or fd00::/8, found \"localhost\" at character 13" },
        { "status_allow = ,", "f.conf:1: status_allow: expected addresses, found none" },
        { "listen_mode = 0888",
          "f.conf:1: listen_mode: expected an octal file mode such as 0660, found \"0888\"" },
        { "log_level = loud",
          "f.conf:1: log_level: expected debug, info, warn or error, found \"loud\"" },
        { "device = tpu", "f.conf:1: device: expected auto, cpu or cuda, found \"tpu\"" },
        { "device = api", "f.conf:1: device: api (a remote model) is not offered; expected auto, "
                          "cpu or cuda" },
        { "log = \"a", "f.conf:1: expected one closing quote at the end of the value" },
        { "log = \"a\" b", "f.conf:1: expected one closing quote at the end of the value" },
        { "log = a\nlog = b", "f.conf:2: log is set a second time" },
        { "[model", "f.conf:1: expected ']' at the end of the line, found \"[model\"" },
        { "[models x]", "f.conf:1: expected [model NAME], found [models x]" },
        { "[server]", "f.conf:1: expected [model NAME], found [server]" },
        { "[model a]\n[model b]\n[model a]\n", "f.conf:3: a second section for model \"a\"" },
        { "[model a]\nlog = x", "f.conf:2: log belongs above the first [model] section" },
        { "[model a]\nthreads = 1\nthreads = 2", "f.conf:3: threads is set a second time" },
        { "[model a]\nmodel = x\npath = y", "f.conf:3: model is set a second time" },
        { "[model a b]",
          "f.conf:1: expected a model name of letters, digits and . _ : / @ -, found "
          "\"a b\"" },
        { "[model a]\nchat_template = x\nchat_template_file = y",
          "f.conf:3: chat_template and chat_template_file are both set" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct err e = { 0 };

        if (!parse(&c, cases[i].text, &e))
            fail_msg("accepted: %s", cases[i].text);
        assert_string_equal(e.text, cases[i].message);
        config_done(&c);
    }
}

static void binary_and_endless_lines_are_refused(void **state)
{
    static char text[70000];
    struct config c;
    struct err e = { 0 };

    (void)state;
    config_init(&c);
    assert_int_equal(config_parse(&c, "f", "log = a\0b\n", 10, &e), ERR_FORMAT);
    assert_string_equal(e.text, "f:1: expected text, found a zero byte");
    memset(text, 'x', sizeof text);
    assert_int_equal(config_parse(&c, "f", text, sizeof text, &e), ERR_FORMAT);
    assert_string_equal(e.text, "f:1: expected a line of at most 65536 bytes");
    config_done(&c);
}

/* A folder with two model files, for what config_finish() looks up. */
struct place {
    char dir[64], a[96], b[96];
};

static void touch(char *path, size_t size, const char *dir, const char *name)
{
    FILE *f;

    snprintf(path, size, "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("{{ 1 }}", f);
    fclose(f);
}

static void make_place(struct place *p)
{
    strcpy(p->dir, "/tmp/test_config.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    touch(p->a, sizeof p->a, p->dir, "Tiny-Chat.Q4_1.gguf");
    touch(p->b, sizeof p->b, p->dir, "other-q8.gguf");
}

static void end_place(struct place *p)
{
    unlink(p->a);
    unlink(p->b);
    rmdir(p->dir);
}

/* Ways of choosing tokens are read once at the start, so that a slip is told then. */
static void default_sampling_is_checked(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "default_sampling = {\"repeat_penalty\": 1.1, \"mirostat\": 2}", NULL },
        { "default_sampling = {\"repeat_penaltie\": 1.1}",
          "default_sampling: there is no way of choosing tokens called \"repeat_penaltie\"" },
        { "default_sampling = {\"mirostat\": 3}",
          "default_sampling: mirostat: expected a whole number between 0 and 2, found the number "
          "3" },
        { "default_sampling = [1]",
          "default_sampling: expected a JSON object, found an array of 1" },
    };
    struct place p;

    (void)state;
    make_place(&p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct err e = { 0 };
        char text[256];

        snprintf(text, sizeof text, "%s\nmodel = %s", cases[i].text, p.a);
        assert_int_equal(parse(&c, text, &e), 0);
        assert_int_equal(config_finish(&c, &e), cases[i].message ? ERR_INVALID : 0);
        if (cases[i].message)
            assert_string_equal(e.text, cases[i].message);
        config_done(&c);
    }
    end_place(&p);
}

static void later_sources_win(void **state)
{
    static const char file[] = "max_batch_size = 1\nthreads = 1\nlog_level = error\n"
                               "[model primary]\nmodel = other-q8\nmax_sequence_length = 100\n"
                               "[model chat]\nmodel = x/other\nthreads = 5\n";
    struct place p;
    struct config c;
    struct err e = { 0 };
    enum config_action action;
    char var[128], *environment[] = { var,
                                      (char *)"TAKEOFF_MAX_SEQUENCE_LENGTH=200",
                                      (char *)"AIRSTRIP_THREADS=3",
                                      (char *)"TAKEOFF_LOG_LEVEL=INFO",
                                      (char *)"TAKEOFF_DEVICE=",
                                      (char *)"TAKEOFF_PORT=3000",
                                      NULL };
    char *arguments[] = { (char *)"airstrip",
                          (char *)"--max-sequence-length",
                          (char *)"300",
                          (char *)"--name=chat",
                          (char *)"--log-level",
                          (char *)"debug",
                          (char *)"--models-dir",
                          p.dir,
                          NULL };

    (void)state;
    make_place(&p);
    snprintf(var, sizeof var, "TAKEOFF_MODEL_NAME=%s", p.a);
    assert_int_equal(parse(&c, file, &e), 0);
    assert_int_equal(config_environment(&c, environment, &e), 0);
    assert_int_equal(config_options(&c, 8, arguments, false, &action, &e), 0);
    if (config_finish(&c, &e))
        fail_msg("%s", e.text);
    assert_int_equal(c.n_models, 2);
    assert_string_equal(c.models[0].path, p.a);             /* environment over file */
    assert_int_equal(c.models[0].max_sequence_length, 200); /* environment over file */
    assert_int_equal(c.models[1].max_sequence_length, 300); /* command line over environment */
    assert_int_equal(c.models[0].threads, 3);
    assert_int_equal(c.models[1].threads, 3);
    assert_int_equal(c.models[1].max_batch_size, 1); /* inherited */
    assert_string_equal(c.models[1].path, p.b);
    assert_string_equal(c.models[1].device, "auto");
    assert_int_equal(c.log_level, LOG_DEBUG);
    config_done(&c);
    end_place(&p);
}

static void takeoff_alone_is_enough(void **state)
{
    struct place p;
    struct config c;
    struct err e = { 0 };
    char dir[96], *environment[] = { dir,
                                     (char *)"TAKEOFF_MODEL_NAME=SomeOrg/tiny-chat",
                                     (char *)"TAKEOFF_DEVICE=cpu",
                                     (char *)"TAKEOFF_MAX_SEQUENCE_LENGTH=1024",
                                     (char *)"TAKEOFF_CONSUMER_GROUP=group2",
                                     (char *)"TAKEOFF_BODY_SIZE_LIMIT_BYTES=2097152",
                                     (char *)"TAKEOFF_MAX_QUEUED_REQUESTS=1000000",
                                     (char *)"TAKEOFF_PAGE_CACHE_SIZE=10MB",
                                     NULL };

    (void)state;
    make_place(&p);
    snprintf(dir, sizeof dir, "AIRSTRIP_MODELS_DIR=%s", p.dir);
    config_init(&c);
    assert_int_equal(config_environment(&c, environment, &e), 0);
    if (config_finish(&c, &e))
        fail_msg("%s", e.text);
    assert_int_equal(c.n_models, 1);
    assert_string_equal(c.models[0].name, "group2");
    assert_string_equal(c.models[0].path, p.a);
    assert_string_equal(c.models[0].device, "cpu");
    assert_int_equal(c.models[0].max_sequence_length, 1024);
    assert_int_equal(c.models[0].max_queued_requests, 1000000);
    assert_int_equal(c.models[0].kv_cache_size, 10 * MB);
    assert_int_equal(c.body_size_limit, 2 * MB);
    config_done(&c);
    end_place(&p);
}

static void bad_environment_names_the_variable(void **state)
{
    static const struct {
        const char *variable, *message;
    } cases[] = {
        { "TAKEOFF_DEVICE=api",
          "environment variable TAKEOFF_DEVICE: device: api (a remote model) is "
          "not offered; expected auto, cpu or cuda" },
        { "TAKEOFF_MAX_BATCH_SIZE=x",
          "environment variable TAKEOFF_MAX_BATCH_SIZE: max_batch_size: "
          "expected a whole number, found \"x\"" },
        { "FCGI_WEB_SERVER_ADDRS=127.0.0.1,any",
          "environment variable FCGI_WEB_SERVER_ADDRS: listen_allow: expected an address such as "
          "192.168.1.7 or a network such as 10.0.0.0/8 or fd00::/8, found \"any\" at character "
          "11" },
        { "AIRSTRIP_LISTEN_MODE=9", "environment variable AIRSTRIP_LISTEN_MODE: listen_mode: "
                                    "expected an octal file mode such "
                                    "as 0660, found \"9\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *environment[] = { (char *)cases[i].variable, NULL };
        struct config c;
        struct err e = { 0 };

        config_init(&c);
        assert_int_equal(config_environment(&c, environment, &e), ERR_INVALID);
        assert_string_equal(e.text, cases[i].message);
        config_done(&c);
    }
}

static void bad_options_say_so(void **state)
{
    static const struct {
        const char *arguments[3], *message;
    } cases[] = {
        { { "model.gguf" }, "expected an option such as --model, found \"model.gguf\"" },
        { { "--model" }, "--model: expected a value, found none" },
        { { "--modle", "x" }, "unknown option --modle; did you mean --model?" },
        { { "--max_batch-sizes=3" },
          "unknown option --max_batch_sizes; did you mean "
          "--max-batch-size?" },
        { { "--zzzzzzzzz", "3" }, "unknown option --zzzzzzzzz; --help lists them all" },
        { { "--check=yes" }, "--check takes no value" },
        { { "--threads", "x" }, "command line: threads: expected a whole number, found \"x\"" },
        { { "--" }, "expected an option such as --model, found \"--\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[5] = { (char *)"airstrip" };
        int argc = 1;
        struct config c;
        struct err e = { 0 };
        enum config_action action;

        for (size_t k = 0; k < 3 && cases[i].arguments[k]; k++)
            argv[argc++] = (char *)cases[i].arguments[k];
        config_init(&c);
        if (!config_options(&c, argc, argv, false, &action, &e))
            fail_msg("accepted: %s", argv[1]);
        assert_string_equal(e.text, cases[i].message);
        config_done(&c);
    }
}

static void early_options_need_no_more(void **state)
{
    char *argv[] = { (char *)"airstrip",  (char *)"--config", (char *)"/x", (char *)"--check",
                     (char *)"--threads", (char *)"none",     NULL };
    char *help[] = { (char *)"airstrip", (char *)"-h", NULL };
    struct config c;
    struct err e = { 0 };
    enum config_action action;

    (void)state;
    config_init(&c);
    assert_int_equal(config_options(&c, 6, argv, true, &action, &e), 0);
    assert_string_equal(c.file, "/x");
    assert_true(c.check);
    assert_int_equal(action, CONFIG_RUN);
    assert_int_equal(config_options(&c, 2, help, true, &action, &e), 0);
    assert_int_equal(action, CONFIG_HELP);
    config_done(&c);
}

static void finish_refuses_what_cannot_work(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "", "no model to serve: give --model FILE, set TAKEOFF_MODEL_NAME, or write model = FILE "
              "into the configuration file" },
        { "[model a]\n", "model \"a\": expected model = FILE, found none" },
        { "model = /nowhere/x.gguf", "model: there is no file or model folder /nowhere/x.gguf" },
        { "[model a]\nmodel=@A\n[model b]\nmodel=@A\naliases = c, a",
          "model \"b\": the alias \"a\" is the name of another model" },
        { "[model a]\nmodel=@A\naliases=x,gpt-4\n[model b]\nmodel=@A\naliases = c, gpt-4",
          "the alias \"gpt-4\" is given to both \"a\" and \"b\"" },
        { "[model a]\nmodel=@A\n[model b]\nmodel=@A\ngroup=c\naliases=a",
          "model \"b\": the alias \"a\" is the name of another model" },
        { "[model a]\nmodel=@A\ngroup = \"two words\"",
          "group: expected a name of letters, digits and . _ : / @ -, found \"two words\"" },
        { "model=@A\ntool_format = herms",
          "tool_format: there is no format called \"herms\", airstrip.conf(5) lists them" },
    };
    struct place p;

    (void)state;
    make_place(&p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600] = "";
        struct config c;
        struct err e = { 0 };

        for (const char *s = cases[i].text; *s; s++) { /* @A stands for a file that exists */
            size_t used = strlen(text);

            if (s[0] == '@' && s[1] == 'A')
                snprintf(text + used, sizeof text - used, "%s", p.a), s++;
            else
                snprintf(text + used, sizeof text - used, "%c", *s);
        }
        if (parse(&c, text, &e))
            fail_msg("%s", e.text);
        if (!config_finish(&c, &e))
            fail_msg("accepted: %s", text);
        assert_string_equal(e.text, cases[i].message);
        config_done(&c);
    }
    end_place(&p);
}

/* Each has one of its own where it is looked at. */
static void every_key_has_a_bit(void **state)
{
    uint64_t bits[2] = { 0 };
    size_t n[2] = { 0 };

    (void)state;
    for (const struct config_key *k = config_keys; k->name; k++) {
        assert_true(++n[k->of_model] <= CONFIG_MAX_KEYS);
        assert_true(config_bit(k) && !(bits[k->of_model] & config_bit(k)));
        bits[k->of_model] |= config_bit(k);
    }
}

static void names_become_files(void **state)
{
    static const struct {
        const char *name;
        int file; /* 0 none, 1 a, 2 b, -1 several */
    } cases[] = {
        { "Tiny-Chat.Q4_1.gguf", 1 },
        { "Tiny-Chat.Q4_1", 1 },
        { "tiny-chat", 1 },
        { "org/Tiny-Chat", 1 },
        { "tiny", 1 },
        { "other", 2 },
        { "org/sub/other-q8", 2 },
        { "oth", 0 },
        { "org/", 0 },
        { "../tiny-chat.x", 0 },
    };
    struct place p;
    struct config c;
    struct err e = { 0 };
    const char *path;
    char third[96];

    (void)state;
    make_place(&p);
    config_init(&c);
    c.models_dir = p.dir;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = models_dir_find(&c, cases[i].name, &path, &e);

        if (!cases[i].file) {
            assert_int_equal(rc, ERR_NOTFOUND);
            assert_non_null(strstr(e.text, p.dir));
            continue;
        }
        if (rc)
            fail_msg("%s: %s", cases[i].name, e.text);
        assert_string_equal(path, cases[i].file == 1 ? p.a : p.b);
    }
    touch(third, sizeof third, p.dir, "Tiny-Chat.Q8_0.gguf");
    assert_int_equal(models_dir_find(&c, "org/tiny-chat", &path, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "Tiny-Chat.Q8_0.gguf"));
    unlink(third);
    config_done(&c);
    end_place(&p);
}

static void template_file_is_read(void **state)
{
    struct place p;
    struct config c;
    struct engine_config ec;
    struct err e = { 0 };
    char text[400];

    (void)state;
    make_place(&p);
    snprintf(text, sizeof text, "model = %s\nchat_template = default\n", p.a);
    assert_int_equal(parse(&c, text, &e), 0);
    assert_int_equal(config_set_for(&c, NULL, config_key("chat_template_file"), p.b, &e), 0);
    assert_int_equal(config_finish(&c, &e), 0);
    config_engine(&c.models[0], &ec);
    assert_string_equal(ec.chat_template, "{{ 1 }}"); /* the later of the two */
    assert_string_equal(ec.chat_template_name, p.b);
    assert_string_equal(ec.name, "primary");
    config_done(&c);
    end_place(&p);
}

/* Every key as it was; what is copied may go. */
static void a_copy_says_the_same(void **state)
{
    struct place p;
    struct config *c = config_create(), *copy, *again;
    struct err e = { 0 };
    char text[600];

    (void)state;
    make_place(&p);
    snprintf(text, sizeof text,
             "listen = 127.0.0.1:1\nlisten_allow = 10.0.0.0/8\nlog_level = warn\n[model a]\n"
             "model = %s\ngroup = g\naliases = x, y\n[model b]\nmodel = %s\nthreads = 3\n"
             "chat_template = t\n",
             p.a, p.a);
    assert_int_equal(config_parse(c, "f.conf", text, strlen(text), &e), 0);
    assert_int_equal(config_finish(c, &e), 0);
    assert_int_equal(config_copy(&copy, c, &e), 0);
    for (const struct config_key *k = config_keys; k->name; k++)
        for (size_t i = 0; i < (k->of_model ? 2u : 1u); i++) {
            const char *of = k->of_model ? (char *)&c->models[i] : (char *)c;
            const char *is = k->of_model ? (char *)&copy->models[i] : (char *)copy;
            const char *a, *b;

            if (!config_key_is_text(k)) {
                assert_memory_equal(of + k->offset, is + k->offset, sizeof(float));
                continue;
            }
            memcpy(&a, of + k->offset, sizeof a);
            memcpy(&b, is + k->offset, sizeof b);
            assert_true((a == NULL) == (b == NULL));
            if (a)
                assert_string_equal(a, b);
        }
    config_free(c);
    assert_int_equal(config_copy(&again, copy, &e), 0);
    config_free(copy);
    assert_int_equal(again->n_models, 2);
    assert_string_equal(again->listen, "127.0.0.1:1");
    assert_string_equal(allow_key(again->listen_allow), "listen_allow");
    assert_string_equal(again->models[0].group, "g");
    assert_string_equal(again->models[1].path, p.a);
    assert_string_equal(again->models[1].chat_template, "t");
    assert_string_equal(again->models[1].name, "b");
    config_free(again);
    end_place(&p);
}

static void models_come_and_go(void **state)
{
    struct place p;
    struct config c, *one, *two, *less;
    struct change_setting settings[] = { { config_key("model"), NULL } };
    struct change change = { .group = "g", .settings = settings, .n_settings = 1 };
    struct change gone = { .name = "a" };
    struct err e = { 0 };
    char text[400];

    (void)state;
    make_place(&p);
    settings[0].value = p.a;
    snprintf(text, sizeof text, "threads = 5\n[model a]\nmodel = %s\naliases = g-2\n", p.a);
    assert_int_equal(parse(&c, text, &e), 0);
    assert_int_equal(config_finish(&c, &e), 0);
    assert_int_equal(changes_apply(&c, &change, &one, &e), 0);
    assert_string_equal(change.added, "g");
    assert_int_equal(one->models[1].threads, 5); /* what holds for every model holds for it */
    assert_int_equal(changes_apply(one, &change, &two, &e), 0);
    assert_string_equal(change.added, "g-3"); /* g-2 is somebody's other name */
    assert_string_equal(two->models[2].group, "g");
    assert_int_equal(changes_apply(two, &gone, &less, &e), 0);
    assert_int_equal(less->n_models, 2);
    assert_string_equal(less->models[0].name, "g");
    config_free(two);
    assert_int_equal(changes_apply(less, &gone, &two, &e), ERR_NOTFOUND);
    change.name = "g";
    assert_int_equal(changes_apply(less, &change, &two, &e), ERR_INVALID);
    change.name = NULL;
    change.group = "g-2"; /* free, now that `a` is gone; but not while it is there */
    assert_int_equal(changes_apply(one, &change, &two, &e), ERR_INVALID);
    settings[0].value = "/nowhere";
    change.group = "h";
    assert_int_equal(changes_apply(less, &change, &two, &e), ERR_NOTFOUND);
    assert_int_equal(c.n_models, 1);
    config_free(one);
    config_free(less);
    config_done(&c);
    end_place(&p);
}

/* A file below the top of the sources as a string, to be freed. */
static char *slurp(const char *name)
{
    const char *top = getenv("srcdir");
    char path[1000];
    FILE *f;
    char *text = NULL;
    size_t cap = 0;

    snprintf(path, sizeof path, "%s/%s", top ? top : ".", name);
    f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    assert_true(getdelim(&text, &cap, 0, f) > 0);
    fclose(f);
    return text;
}

static void the_sample_knows_every_key_and_its_default(void **state)
{
    char *text = slurp("conf/airstrip.conf"), *manual = slurp("man/airstrip.conf.5");
    struct config c, fresh;
    struct err e = { 0 };

    (void)state;
    for (char *p = text; *p; p++) /* "#key = value" and "#[model x]", but not "# words" */
        if (*p == '#' && (p == text || p[-1] == '\n') && p[1] && !strchr(" \n", p[1]))
            *p = ' ';
    if (parse(&c, text, &e))
        fail_msg("%s", e.text);
    config_init(&fresh);
    for (const struct config_key *k = config_keys; k->name; k++) {
        char entry[80];

        if (!strcmp(k->name, "chat_template")) /* the sample shows it as a file */
            continue;
        if (!((k->of_model ? c.defaults.set | c.models[0].set : c.set) & config_bit(k)))
            fail_msg("the sample lacks %s", k->name);
        if (k->kind != KEY_TEXT && k->kind != KEY_DEVICE && k->kind != KEY_SPECULATION &&
            k->kind != KEY_LEVEL && k->kind != KEY_ALLOW &&
            strncmp(k->name, "default_", 8) != 0) /* unset: the model's */
            if (memcmp((char *)(k->of_model ? (void *)&c.defaults : (void *)&c) + k->offset,
                       (char *)(k->of_model ? (void *)&fresh.defaults : (void *)&fresh) + k->offset,
                       k->kind == KEY_REAL ? sizeof(float) : sizeof(size_t)))
                fail_msg("the sample's %s is not the default", k->name);
        snprintf(entry, sizeof entry, "\n.B %s", k->name);
        if (!strstr(manual, entry))
            fail_msg("the manual page lacks %s", k->name);
    }
    assert_string_equal(c.models[0].name, "primary");
    config_done(&c);
    config_done(&fresh);
    free(text);
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_in_their_units),
        cmocka_unit_test(texts_and_comments),
        cmocka_unit_test(bad_lines_say_what_was_expected),
        cmocka_unit_test(binary_and_endless_lines_are_refused),
        cmocka_unit_test(default_sampling_is_checked),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(takeoff_alone_is_enough),
        cmocka_unit_test(bad_environment_names_the_variable),
        cmocka_unit_test(bad_options_say_so),
        cmocka_unit_test(early_options_need_no_more),
        cmocka_unit_test(finish_refuses_what_cannot_work),
        cmocka_unit_test(every_key_has_a_bit),
        cmocka_unit_test(names_become_files),
        cmocka_unit_test(template_file_is_read),
        cmocka_unit_test(a_copy_says_the_same),
        cmocka_unit_test(models_come_and_go),
        cmocka_unit_test(the_sample_knows_every_key_and_its_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
