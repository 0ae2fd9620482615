/* mm_rig.h - one multiplication through the table of an instruction set, as the queue would run it.
 */
#ifndef AIRSTRIP_TESTS_MM_RIG_H
#define AIRSTRIP_TESTS_MM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/mm_ops.h"
#include "tests/kernels/cpu/mm_case.h"

/* NULL where the machine or the build has it not. */
static inline const struct mm_ops *isa(const char *name)
{
    struct err e;
    const struct isa_ops *o = isa_pick(name, &e);

    return o ? o->mm : NULL;
}

/* The chunks last to first, by turns on n_threads threads' scratch. */
static inline void run(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                       size_t n_threads)
{
    size_t chunks = mm_chunks(ops, op, n_threads);

    for (size_t c = 0; c < mm_prepare_chunks(ops, op); c++)
        mm_prepare(ops, op, s, c);
    for (size_t t = 0; t < n_threads; t++)
        mm_begin(ops, op, s, t);
    assert_true(chunks > 0);
    for (size_t c = chunks; c-- > 0;)
        mm_chunk(ops, op, s, chunks, c, c % n_threads);
}

#endif
