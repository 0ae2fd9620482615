/* probe_amx.c - do tiles multiply as the manual says?  CPUID may promise what a hypervisor, an
 * emulator or an old kernel does not keep; then one product at start-up is cheaper than wrong
 * answers. */
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/tiles_amx.h"

const struct tile_config tiles_full = {
    .palette = 1,
    .row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
    .rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
};

enum { N = 16 }; /* rows of a tile, and 32-bit values in a row of one */

static __thread volatile sig_atomic_t guarded;
static __thread sigjmp_buf faulted;

static void on_fault(int signal_number)
{
    if (guarded)
        siglongjmp(faulted, 1);
    signal(signal_number, SIG_DFL); /* another thread's own: it comes again, and ends the process */
}

/* Small whole numbers of both signs: exact in bf16, and so are all sums of their products. */
static int value(size_t i)
{
    return (int)(i * 37 % 23) - 11;
}

static uint16_t bf16(int x)
{
    float f = (float)x;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* c += a b twice over, in tiles of bytes.  a: [16][64], b: [64 / 4][16][4]. */
static bool bytes_are_right(void)
{
    static int8_t a[N][4 * N], b[N][4 * N];
    static int32_t c[N][N];

    for (size_t i = 0; i < sizeof a; i++) {
        (&a[0][0])[i] = (int8_t)value(i);
        (&b[0][0])[i] = (int8_t)value(i + 5);
    }
    tiles_see_stores();
    tiles_begin();
    _tile_zero(0);
    _tile_loadd(4, a, sizeof a[0]);
    _tile_loadd(7, b, sizeof b[0]);
    _tile_dpbssd(0, 4, 7);
    _tile_dpbssd(0, 4, 7);
    _tile_stored(0, c, sizeof c[0]);
    tiles_end();
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            int sum = 0;

            for (size_t k = 0; k < 4 * N; k++)
                sum += 2 * a[i][k] * b[k / 4][4 * j + k % 4];
            if (c[i][j] != sum)
                return false;
        }
    return true;
}

/* The same in bf16.  a: [16][32], b: [32 / 2][16][2]. */
static bool halves_are_right(void)
{
    static uint16_t a[N][2 * N], b[N][2 * N];
    static float c[N][N];

    for (size_t i = 0; i < sizeof a / sizeof a[0][0]; i++) {
        (&a[0][0])[i] = bf16(value(i));
        (&b[0][0])[i] = bf16(value(i + 5));
    }
    tiles_see_stores();
    tiles_begin();
    _tile_zero(3);
    _tile_loadd(5, a, sizeof a[0]);
    _tile_loadd(6, b, sizeof b[0]);
    _tile_dpbf16ps(3, 5, 6);
    _tile_dpbf16ps(3, 5, 6);
    _tile_stored(3, c, sizeof c[0]);
    tiles_end();
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            int sum = 0;

            for (size_t k = 0; k < 2 * N; k++)
                sum += 2 * value(i * 2 * N + k) * value(k / 2 * 2 * N + 2 * j + k % 2 + 5);
            if (c[i][j] != (float)sum)
                return false;
        }
    return true;
}

const char *amx_probe(void)
{
    struct sigaction guard = { .sa_handler = on_fault }, ill, segv;
    const char *volatile wrong = "its instructions fault";

    if (sigaction(SIGILL, &guard, &ill) != 0)
        return "its probe could not be guarded";
    if (sigaction(SIGSEGV, &guard, &segv) != 0) {
        sigaction(SIGILL, &ill, NULL);
        return "its probe could not be guarded";
    }
    guarded = 1;
    if (sigsetjmp(faulted, 1) == 0)
        wrong = !bytes_are_right()    ? "its products of bytes are wrong"
                : !halves_are_right() ? "its products of bf16 are wrong"
                                      : NULL;
    guarded = 0;
    sigaction(SIGILL, &ill, NULL);
    sigaction(SIGSEGV, &segv, NULL);
    return wrong;
}
