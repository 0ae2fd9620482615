/* Model files, opened and run while memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "inference/engine.h"
#include "inference/hf.h"
#include "kernels/base/json.h"
#include "kernels/base/log.h"
#include "tests/scarce/scarce.h"

static const char *path_of(const char *name)
{
    static char path[1000];
    const char *srcdir = getenv("srcdir");

    snprintf(path, sizeof path, "%s/tests/data/%s", srcdir ? srcdir : ".", name);
    return path;
}

static int run_open(const struct scarce_work *w, struct buf *out, struct err *e)
{
    struct weights *model = NULL;
    int rc = hf_open(&model, w->text, e);

    for (size_t i = 0; rc == 0 && i < weights_n_tensors(model); i++)
        buf_printf(out, "%s ", weights_tensor_at(model, i)->name);
    weights_close(model);
    return rc;
}

static int run_check(const struct scarce_work *w, struct buf *out, struct err *e)
{
    const struct engine_config c = {
        .name = "t", .model_path = w->text, .device = "cpu", .n_threads = 1
    };

    (void)out;
    return engine_check(&c, e);
}

static void files(void **state)
{
    static const char *const models[] = {
        "gguf/llama-Q8_0.gguf", "gguf/gemma3_text-Q8_0.gguf",
        "gguf/qwen3-Q8_0.gguf", "models/mixtral",
        "models/phi3_longrope", "models/fp8_block",
        "models/qwen2_moe",     "encoders/bert",
        "models/falcon",
    };

    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct scarce_work w = { .name = models[i], .run = run_open, .text = path_of(models[i]) };

        log_set_level(LOG_ERROR);
        scarce_try(&w);
        w.run = run_check;
        scarce_try(&w);
    }
}

/* --- a whole engine --- */

/* Until the engine is ready, or has failed: its reason. */
static int wait_ready(struct engine *g, struct err *e)
{
    struct engine_status s;

    do {
        engine_status(g, &s);
        if (s.state == ENGINE_FAILED) {
            *e = s.failure;
            return e->code;
        }
        usleep(100);
    } while (s.state == ENGINE_LOADING);
    return 0;
}

static int collect(struct inbox *in, struct buf *out, struct err *e)
{
    for (;;) {
        struct event ev;
        bool over;
        int rc;

        if (!inbox_wait(in, 60000, &ev))
            fail_msg("no event within a minute");
        over = ev.kind == EVENT_DONE || ev.kind == EVENT_FAILED;
        rc = ev.kind == EVENT_FAILED ? ev.err.code : 0;
        if (rc)
            *e = ev.err;
        if (ev.kind == EVENT_TEXT)
            buf_put(out, ev.text, ev.text_len);
        event_done(&ev);
        if (over)
            return rc;
    }
}

static int ask(struct engine *g, const struct job_request *r, struct buf *out, struct err *e)
{
    struct inbox *in = NULL;
    struct job *j = NULL;
    int rc = inbox_create(&in, e);

    if (rc == 0)
        rc = engine_submit(g, r, in, 0, &j, e);
    if (rc == 0)
        rc = collect(in, out, e);
    job_free(j);
    inbox_free(in);
    return rc;
}

/* Opens an engine, asks it twice (the second time for what a regular expression allows), closes it.
 */
static int run_engine(const struct scarce_work *w, struct buf *out, struct err *e)
{
    static const int32_t ids[] = { 5, 6, 7, 8, 9, 10, 11, 12 };
    const struct engine_config c = { .name = "t",
                                     .model_path = w->text,
                                     .device = "cpu",
                                     .n_threads = 1,
                                     .max_batch = 2,
                                     .isa = "scalar",
                                     .n_ranks = w->len };
    struct job_request r = { .kind = PROMPT_IDS,
                             .ids = ids,
                             .n_ids = sizeof ids / sizeof *ids,
                             .max_tokens = 8,
                             .top_logprobs = 2,
                             .ignore_end = true };
    struct engine *g = NULL;
    int rc = engine_open(&g, &c, e);

    sampling_default(&r.sampling);
    r.sampling.temperature = 0;
    if (rc == 0)
        rc = wait_ready(g, e);
    if (rc == 0)
        rc = ask(g, &r, out, e);
    r.spec = (struct spec){ .kind = SPEC_REGEX, .text = "[a-e]{4}", .len = 8 };
    if (rc == 0)
        rc = ask(g, &r, out, e);
    engine_close(g);
    return rc;
}

static void engines(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    assert_int_equal(log_open("/dev/null", NULL), 0);          /* each failure is told */
    log_msg(LOG_ERROR, "first", "the time zone is read once"); /* and kept */
    scarce_try(&(struct scarce_work){
        .name = "an engine", .run = run_engine, .text = path_of("gguf/llama-Q8_0.gguf") });
    scarce_try(&(struct scarce_work){ .name = "an engine of two ranks",
                                      .run = run_engine,
                                      .text = path_of("gguf/llama-Q8_0.gguf"),
                                      .len = 2 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(engines),
    };

    return cmocka_run_group_tests_name("scarce memory: models", tests, NULL, NULL);
}
