/* Finding a backend, forcing an instruction set, memory, and what open and kv_open refuse. */
#include <signal.h>

#include "battery.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/ops.h"

static void backends_by_name(void **state)
{
    struct err e;

    (void)state;
    assert_string_equal(backend_find("cpu", &e)->name, "cpu");
    assert_string_equal(backend_find("auto", &e)->name, "cpu");
    assert_null(backend_find("cuda", &e));
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "CUDA"));
    assert_null(backend_find("tpu", &e));
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "tpu"));
}

static void instruction_sets_by_name(void **state)
{
    const char *const *names = isa_names();
    const struct isa_ops *best = isa_pick(NULL, NULL);
    bool found = false;
    struct err e;

    (void)state;
    assert_non_null(best);
    assert_ptr_equal(isa_pick("", NULL), best);
    assert_string_equal(isa_pick("scalar", NULL)->name, "scalar");
    for (; *names; names++) {
        const struct isa_ops *ops = isa_pick(*names, &e);

        if (ops) {
            assert_string_equal(ops->name, *names);
            if (!found) /* fastest first */
                assert_ptr_equal(ops, best);
            found = true;
        } else {
            assert_int_equal(e.code, ERR_UNSUPPORTED);
            assert_non_null(strstr(e.text, *names));
        }
    }
    assert_true(found);
    assert_null(isa_pick("avx9000", &e));
    assert_int_equal(e.code, ERR_UNSUPPORTED);
}

const char *amx_probe(void) __attribute__((weak)); /* NULL where the compiler has no tiles */

/* Trying tiles ends in an answer, also where the processor has none and each of them faults. */
static void tiles_are_tried_under_guard(void **state)
{
    static const int signals[] = { SIGILL, SIGSEGV };
    struct sigaction before[2], after;
    struct err e;

    (void)state;
    if (!amx_probe) {
        print_message("# this build has no AMX\n");
        skip();
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(sigaction(signals[i], NULL, &before[i]), 0);
    for (int times = 0; times < 3; times++) { /* a fault leaves nothing behind */
        const char *wrong = amx_probe();

        if (isa_pick("amx", &e))
            assert_null(wrong);
        else
            assert_non_null(wrong);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(sigaction(signals[i], NULL, &after), 0);
        assert_ptr_equal(after.sa_handler, before[i].sa_handler);
    }
}

static void open_says_what_is_wrong(void **state)
{
    const struct backend *b = backend_find("cpu", NULL);
    struct backend_options o = { .isa = "z80" };
    struct device *d;
    struct err e;

    (void)state;
    assert_int_equal(b->open(&d, &o, &e), ERR_UNSUPPORTED);
    o = (struct backend_options){ .n_threads = SIZE_MAX };
    assert_int_equal(b->open(&d, &o, &e), ERR_INVALID);
    b->close(NULL);
}

static void info_names_the_device(void **state)
{
    struct rig r = rig_open(&(void *){ NULL }, 2);
    struct backend_info info;

    (void)state;
    r.b->info(r.d, &info);
    assert_int_equal(info.n_threads, 2);
    assert_non_null(isa_pick(info.isa, NULL));
    assert_non_null(strstr(info.device, info.isa));
    rig_close(&r);
}

static void memory_is_zero_and_aligned(void **state)
{
    static const size_t sizes[] = { 0, 1, 63, 64, 65, 5000, 1 << 20, (4 << 20) + 1, 9000001 };
    struct rig r = rig_open(&(void *){ NULL }, 1);
    void *p;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *bytes = rig_alloc(&r, sizes[i]);

        assert_int_equal((uintptr_t)bytes % 64, 0);
        for (size_t c = 0; c < sizes[i]; c++)
            assert_int_equal(bytes[c], 0);
        memset(bytes, 1, sizes[i]);
        assert_ptr_equal(r.b->view(r.d, bytes, sizes[i]), bytes);
        r.b->free(r.d, bytes);
    }
    r.b->free(r.d, NULL);
    assert_int_equal(r.b->alloc(r.d, SIZE_MAX - 3, &p, &e), ERR_NOMEM);
    assert_int_equal(r.b->alloc(r.d, SIZE_MAX / 2, &p, &e), ERR_NOMEM);
    rig_close(&r);
}

static void caches_that_cannot_be(void **state)
{
    static const struct {
        struct kv_shape shape;
        int code;
    } cases[] = {
        { { 2, 2, 64, 10, 16, DTYPE_F16, 0 }, 0 },
        { { 2, 2, 1, 10, 256, DTYPE_F32, 0 }, 0 },
        { { 0, 2, 64, 10, 16, DTYPE_F16, 0 }, ERR_INVALID },
        { { 2, 0, 64, 10, 16, DTYPE_F16, 0 }, ERR_INVALID },
        { { 2, 2, 0, 10, 16, DTYPE_F16, 0 }, ERR_INVALID },
        { { 2, 2, 4096, 10, 16, DTYPE_F16, 0 }, ERR_INVALID },
        { { 2, 2, 64, 0, 16, DTYPE_F16, 0 }, ERR_INVALID },
        { { 2, 2, 64, 10, 8, DTYPE_F16, 0 }, ERR_INVALID },
        { { 2, 2, 64, 10, 48, DTYPE_F16, 0 }, ERR_INVALID },
        { { 2, 2, 64, 10, 512, DTYPE_F16, 0 }, ERR_INVALID },
        { { 2, 2, 64, 10, 16, DTYPE_Q8_0, 0 }, 0 },
        { { 2, 2, 80, 10, 16, DTYPE_Q8_0, 0 }, ERR_UNSUPPORTED },
        { { 2, 2, 64, 10, 16, DTYPE_Q4_0, 0 }, ERR_INVALID },
        { { 2, 2, 64, SIZE_MAX / 2, 16, DTYPE_F16, 0 }, ERR_NOMEM },
        { { SIZE_MAX / 4096, 2, 64, 100, 16, DTYPE_F16, 0 }, ERR_NOMEM },
    };
    struct rig r = rig_open(&(void *){ NULL }, 1);
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv *kv = NULL;

        assert_int_equal(r.b->kv_open(r.d, &cases[i].shape, &kv, &e), cases[i].code);
        if (cases[i].code == 0)
            r.b->kv_close(r.d, kv);
        else
            assert_true(strlen(e.text) > 0);
    }
    r.b->kv_close(r.d, NULL);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_by_name),
        cmocka_unit_test(instruction_sets_by_name),
        cmocka_unit_test(open_says_what_is_wrong),
        cmocka_unit_test(info_names_the_device),
        cmocka_unit_test(memory_is_zero_and_aligned),
        cmocka_unit_test(caches_that_cannot_be),
        cmocka_unit_test(tiles_are_tried_under_guard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
