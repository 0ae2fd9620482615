/* safetensors files as they should be, and damaged ones: each is refused with a sentence that names
 * the culprit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/weights/safetensors.h"
#include "kernels/base/buf.h"

enum { DATA_BYTES = 64 };

/* A file of this header and DATA_BYTES of data, 0, 1, 2, ...; ends where its memory does, so that a
 * read past it shows. */
static unsigned char *make(const char *header, size_t *n)
{
    uint64_t len = strlen(header);
    unsigned char *file = malloc(8 + (size_t)len + DATA_BYTES);

    assert_non_null(file);
    for (size_t i = 0; i < 8; i++)
        file[i] = (unsigned char)(len >> 8 * i);
    memcpy(file + 8, header, (size_t)len);
    for (size_t i = 0; i < DATA_BYTES; i++)
        file[8 + (size_t)len + i] = (unsigned char)i;
    *n = 8 + (size_t)len + DATA_BYTES;
    return file;
}

static int read_header(const char *header, struct err *e)
{
    struct arena a;
    struct st_list list;
    size_t n;
    unsigned char *file = make(header, &n);
    int rc;

    arena_init(&a, 0);
    rc = safetensors_read(&list, file, n, &a, e);
    arena_done(&a);
    free(file);
    return rc;
}

static void tensors_are_found(void **state)
{
    const char *header = "{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[24,34]},"
                         "\"m\":{\"dtype\":\"U8\",\"shape\":[1,1,2,2],\"data_offsets\":[34,38]},"
                         "\"s\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[62,64]}}   ";
    struct arena a;
    struct st_list l;
    struct err e;
    size_t n;
    unsigned char *file = make(header, &n);

    (void)state;
    arena_init(&a, 0);
    assert_int_equal(safetensors_read(&l, file, n, &a, &e), 0);
    assert_int_equal(l.n, 4);
    assert_string_equal(l.items[0].t.name, "a");
    assert_int_equal(l.items[0].t.dtype, DTYPE_F32);
    assert_int_equal(l.items[0].t.n_dims, 2);
    assert_int_equal(tensor_rows(&l.items[0].t), 2);
    assert_int_equal(tensor_cols(&l.items[0].t), 3);
    assert_int_equal(*(const unsigned char *)l.items[0].t.data, 0);
    assert_int_equal(l.items[1].t.dtype, DTYPE_BF16);
    assert_int_equal(*(const unsigned char *)l.items[1].t.data, 24);
    assert_true(l.items[1].known);
    assert_false(l.items[2].known);
    assert_string_equal(l.items[2].type, "U8");
    assert_int_equal(l.items[3].t.n_dims, 1);
    assert_int_equal(tensor_count(&l.items[3].t), 1);
    assert_int_equal(l.items[3].t.bytes, 2);
    arena_done(&a);
    free(file);
}

static void damaged_entries_are_refused(void **state)
{
    static const struct {
        const char *header;
        int code;
        const char *mention;
    } cases[] = {
        { "{", ERR_FORMAT, "its header" },
        { "[]", ERR_FORMAT, "not a JSON object" },
        { "{\"a\":3}", ERR_FORMAT, "tensor a: its entry is not an object" },
        { "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", ERR_FORMAT, "dtype is not a string" },
        { "{\"a\":{\"dtype\":\"F3\",\"shape\":[1],\"data_offsets\":[0,4]}}", ERR_UNSUPPORTED,
          "type F3 is not known" },
        { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", ERR_FORMAT, "shape is not a list" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", ERR_FORMAT,
          "shape holds something that is no size" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", ERR_FORMAT,
          "no size" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", ERR_FORMAT,
          "up to 4" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", ERR_FORMAT, "data_offsets is not a list" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", ERR_FORMAT,
          "do not lie within the 64 bytes" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,4]}}", ERR_FORMAT,
          "do not lie" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[64,68]}}", ERR_FORMAT,
          "do not lie" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", ERR_FORMAT,
          "its shape takes 8 bytes of F32, its data_offsets span 4" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}",
          ERR_FORMAT, "shape is too large" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807],\"data_offsets\":[0,4]}}",
          ERR_FORMAT, "shape is too large" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = { .code = 0 };

        if (read_header(cases[i].header, &e) != cases[i].code || !strstr(e.text, cases[i].mention))
            fail_msg("%s: expected %d and \"%s\", found %d and \"%s\"", cases[i].header,
                     cases[i].code, cases[i].mention, e.code, e.text);
    }
}

/* Every file that is shorter, and every length of the header that does not fit. */
static void cut_off_anywhere_is_refused(void **state)
{
    const char *header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[4,4],\"data_offsets\":[0,64]}}";
    size_t n;
    unsigned char *file = make(header, &n);

    (void)state;
    for (size_t cut = 0; cut <= n; cut++) {
        unsigned char *part = malloc(cut ? cut : 1);
        struct arena a;
        struct st_list l;
        struct err e = { .code = 0 };
        int rc;

        assert_non_null(part);
        memcpy(part, file, cut);
        arena_init(&a, 0);
        rc = safetensors_read(&l, part, cut, &a, &e);
        assert_int_equal(rc, cut == n ? 0 : ERR_FORMAT);
        assert_true(rc == 0 || e.text[0]);
        arena_done(&a);
        free(part);
    }
    memset(file, 0xff, 8);
    {
        struct arena a;
        struct st_list l;
        struct err e;

        arena_init(&a, 0);
        assert_int_equal(safetensors_read(&l, file, n, &a, &e), ERR_FORMAT);
        assert_non_null(strstr(e.text, "18446744073709551615"));
        arena_done(&a);
    }
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found),
        cmocka_unit_test(damaged_entries_are_refused),
        cmocka_unit_test(cut_off_anywhere_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
