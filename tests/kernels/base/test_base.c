/* err, arena, buf, log. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "kernels/base/arena.h"
#include "kernels/base/buf.h"
#include "kernels/base/err.h"
#include "kernels/base/log.h"

static void err_keeps_one_sentence(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(err_param(&e, "n", ERR_INVALID, "expected %d", 3), ERR_INVALID);
    assert_string_equal(e.param, "n");
    assert_string_equal(e.text, "expected 3");
    assert_int_equal(err_prefix(&e, "%s: ", "file"), ERR_INVALID);
    assert_string_equal(e.text, "file: expected 3");
    assert_int_equal(err_set(NULL, ERR_IO, "x"), ERR_IO);
}

static void arena_stops_at_its_limit(void **state)
{
    struct arena a;
    char *p;

    (void)state;
    arena_init(&a, 1 << 20);
    for (size_t size = 1; size < 100000; size = size * 3 + 1) {
        p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
    }
    assert_null(arena_alloc(&a, 1 << 20));
    assert_null(arena_array(&a, SIZE_MAX / 2, 4));
    assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
    arena_done(&a);
    assert_int_equal(a.used_bytes, 0);
}

static void buf_grows_and_remembers_failure(void **state)
{
    struct buf b = { .limit = 1000 };

    (void)state;
    assert_string_equal(buf_str(&b), "");
    for (int i = 0; i < 100; i++)
        buf_printf(&b, "%d,", i % 10);
    assert_int_equal(b.len, 200);
    assert_int_equal(strlen(b.data), 200);
    for (int i = 0; i < 500; i++)
        buf_puts(&b, "xyz");
    assert_true(b.failed);
    assert_true(b.len <= 1000);
    buf_reset(&b);
    assert_false(b.failed);
    buf_putc(&b, 'a');
    assert_string_equal(buf_str(&b), "a");
    buf_done(&b);
}

static void log_lines_stay_lines(void **state)
{
    char path[] = "/tmp/airstrip-test-log-XXXXXX", line[512];
    struct log_line l;
    FILE *f;

    (void)state;
    assert_true(mkstemp(path) >= 0);
    assert_int_equal(log_open(path, NULL), 0);
    log_begin(&l, LOG_INFO, "request");
    log_str(&l, "who", "a \"b\"\nc");
    log_str(&l, "plain", "x");
    log_int(&l, "n", -3);
    log_end(&l);
    log_begin(&l, LOG_DEBUG, "hidden");
    log_str(&l, "k", "v");
    log_end(&l);
    f = fopen(path, "r");
    assert_non_null(fgets(line, sizeof line, f));
    assert_non_null(strstr(line, "Z info request who=\"a \\\"b\\\"\\x0ac\" plain=x n=-3\n"));
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_int_equal(log_reopen(NULL), 0);
    assert_int_equal(log_open(NULL, NULL), 0);
    unlink(path);
}

static const char *line_at(const char *text, size_t i)
{
    for (; i; i--) {
        text = strchr(text, '\n');
        assert_non_null(text);
        text++;
    }
    return text;
}

/* A disk that is full, as a limit on the file's size: lines are lost, the next one that fits stands
 * on a line of its own, and how many were lost is told. */
static void log_of_a_full_disk(void **state)
{
    char path[] = "/tmp/airstrip-test-log-XXXXXX", text[4096] = "";
    struct rlimit was, small;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(log_open(path, NULL), 0);
    log_msg(LOG_INFO, "first", "fits");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){ (rlim_t)lseek(fd, 0, SEEK_END) + 10, was.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 3; i++)
        log_msg(LOG_INFO, "lost", "%d", i);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    log_msg(LOG_INFO, "second", "fits");
    log_msg(LOG_INFO, "third", "fits");
    assert_int_equal(log_open(NULL, NULL), 0);
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(line_at(text, 0), " info first "));
    assert_int_equal(strcspn(line_at(text, 1), "\n"), 10); /* the beginning of one that is lost */
    assert_non_null(strstr(line_at(text, 2), " info second msg=fits\n"));
    assert_non_null(strstr(line_at(text, 3), "3 lines before the last one could not be written"));
    assert_non_null(strstr(line_at(text, 4), " info third msg=fits\n"));
    assert_true(line_at(text, 5)[0] == '\0');
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_keeps_one_sentence),
        cmocka_unit_test(arena_stops_at_its_limit),
        cmocka_unit_test(buf_grows_and_remembers_failure),
        cmocka_unit_test(log_lines_stay_lines),
        cmocka_unit_test(log_of_a_full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
