/* mm_many_amx.c - more than a few generated rows: products of bytes in AMX tiles, scales and sums
 * of floats in vectors.  The arithmetic is that of mm_avx512.c, bit for bit: integer sums are exact
 * in any order, and the float operations are the same in the same order.
 *
 * A block goes through three stages: its codes and scales are spread out (packed steps are lines of
 * a tile already), a tile multiplies them with 16 activation rows, and the sums are scaled and
 * added.  Each stage works on another block, and sums leave their tile a block later than they were
 * made, so that a product's long latency and stores on their way to the cache are never waited for.
 */
#include <immintrin.h>

#include "kernels/cpu/fetch.h"
#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/tiles_amx.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

enum {
    SLOTS = 8, /* blocks under way, a power of two */
    /* How many blocks each stage is behind the first. */
    MULTIPLIED = 2,
    COLLECTED = 3,
    ADDED = 4,
};

struct slot {
    uint8_t line[MM_STEPS][MM_STEP_BYTES];
    float scale[2][MM_GROUP], min[MM_GROUP];
} __attribute__((aligned(64)));

/* [activation row][weight row] of each sub-block */
struct sums {
    int32_t sum[2][MM_STRIP][MM_GROUP];
} __attribute__((aligned(64)));

/* Where the next block stands in memory. */
struct source {
    const struct weight *w;
    size_t group, panel, left; /* blocks of the panel */
    const uint8_t *codes;
    const uint16_t *scales;
};

/* Tiles 0 to 3 are sums, 4 and 5 activations, 6 and 7 weights; T activation rows, sub-blocks of C
 * columns. */
#define CONFIG(T, C)                                                 \
    {                                                                \
        .palette = 1, .row_bytes = { 64, 64, 64, 64, C, C, 64, 64 }, \
        .rows = { T, T, T, T, T, T, C / 4, C / 4 },                  \
    }
#define CONFIGS(C)                                               \
    {                                                            \
        CONFIG(4, C), CONFIG(8, C), CONFIG(12, C), CONFIG(16, C) \
    }

static const struct tile_config configs[2][4] = { CONFIGS(32), CONFIGS(16) };

/* --- the first stage --- */

static void panel_start(struct source *s)
{
    s->left = weight_blocks(s->w, s->panel);
    s->codes = weight_codes(s->w, s->group, s->panel);
    s->scales = weight_scales(s->w, s->group, s->panel);
}

SPECIALISED void next_block(struct source *s, const int bits, const int halves)
{
    s->codes += bits * 64;
    s->scales += halves * MM_GROUP;
    if (--s->left > 0)
        return;
    if (++s->panel == s->w->n_panels) {
        s->panel = 0;
        if (++s->group == s->w->n_groups)
            return;
    }
    panel_start(s);
}

/* Bits 4 and up from a plane, to where they belong: low | (plane moved by shift & mask). */
SPECIALISED __m512i upper(__m512i low, __m512i plane, int shift, __m512i mask)
{
    __m512i by = _mm512_set1_epi16((short)(shift >= 0 ? shift : -shift));
    __m512i moved = shift >= 0 ? _mm512_sllv_epi16(plane, by) : _mm512_srlv_epi16(plane, by);

    return _mm512_ternarylogic_epi64(low, moved, mask, 0xf8);
}

/* The 8 steps of a block, one code a byte. */
SPECIALISED void spread(__m512i *v, const uint8_t *in, const int bits)
{
    const __m512i nibble = _mm512_set1_epi8(15);

#pragma GCC unroll 8
    for (int k = 0; bits == 8 && k < MM_STEPS; k++)
        v[k] = _mm512_load_si512((const void *)(in + 64 * k));
#pragma GCC unroll 4
    for (int k = 0; bits < 8 && k < 4; k++) {
        __m512i both = _mm512_load_si512((const void *)(in + 64 * k));

        v[k] = _mm512_and_si512(both, nibble);
        v[k + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
    if (bits == 5) {
        const __m512i plane = _mm512_load_si512((const void *)(in + 256));

#pragma GCC unroll 8
        for (int k = 0; k < MM_STEPS; k++)
            v[k] = upper(v[k], plane, 4 - k, _mm512_set1_epi8(16));
    }
    if (bits == 6) {
        const __m512i p0 = _mm512_load_si512((const void *)(in + 256));
        const __m512i p1 = _mm512_load_si512((const void *)(in + 320));

#pragma GCC unroll 8
        for (int k = 0; k < MM_STEPS; k++)
            v[k] = upper(v[k], k < 4 ? p0 : p1, 4 - 2 * (k % 4), _mm512_set1_epi8(48));
    }
}

/* Codes with their zero point taken off, or none (has_min); float32 scales.  As many blocks ahead
 * as a panel has, memory is asked for. */
SPECIALISED void expand(struct slot *slot, const struct source *s, const int bits, const int subs,
                        const bool has_min)
{
    const int lines = bits + (subs + has_min + 1) / 2;
    const __m512i zero = _mm512_set1_epi8((char)(1 << (bits - 1)));
    const size_t done = weight_blocks(s->w, s->panel) - s->left;
    const char *ahead =
        (const char *)s->codes + s->w->panel_bytes + (size_t)(64 * (lines - bits)) * done;
    float *scale = slot->scale[0];
    __m512i v[MM_STEPS];

#pragma GCC unroll 10
    for (int k = 0; k < lines; k++)
        _mm_prefetch(ahead + 64 * k, _MM_HINT_T1);
    spread(v, s->codes, bits);
#pragma GCC unroll 8
    for (int k = 0; k < MM_STEPS; k++)
        _mm512_store_si512(slot->line[k], has_min ? v[k] : _mm512_sub_epi8(v[k], zero));
#pragma GCC unroll 2
    for (int k = 0; k < subs; k++)
        _mm512_store_ps(scale + k * MM_GROUP, _mm512_cvtph_ps(_mm256_load_si256(
                                                  (const void *)(s->scales + k * MM_GROUP))));
    if (has_min)
        _mm512_store_ps(slot->min, _mm512_cvtph_ps(_mm256_load_si256(
                                       (const void *)(s->scales + subs * MM_GROUP))));
}

/* --- the second --- */

/* Tiles are named by constants. */
#define PRODUCT(C, A, B, FROM)                                 \
    do {                                                       \
        _tile_zero(C);                                         \
        _tile_loadd(A, a->code[0] + (FROM), MM_BLOCK);         \
        _tile_loadd(B, slot->line[(FROM) / 4], MM_STEP_BYTES); \
        if (has_min)                                           \
            _tile_dpbsud(C, A, B);                             \
        else                                                   \
            _tile_dpbssd(C, A, B);                             \
    } while (0)

/* Odd and even blocks have tiles of their own. */
SPECIALISED void multiply(const struct slot *slot, const struct act_tile *a, bool odd,
                          const int subs, const bool has_min)
{
    if (odd)
        PRODUCT(2, 5, 7, 0);
    else
        PRODUCT(0, 4, 6, 0);
    if (subs == 1)
        return;
    if (odd)
        PRODUCT(3, 4, 6, MM_BLOCK / 2);
    else
        PRODUCT(1, 5, 7, MM_BLOCK / 2);
}

SPECIALISED void collect(struct sums *s, bool odd, const int subs)
{
    if (odd)
        _tile_stored(2, s->sum[0], sizeof s->sum[0][0]);
    else
        _tile_stored(0, s->sum[0], sizeof s->sum[0][0]);
    if (subs == 1)
        return;
    if (odd)
        _tile_stored(3, s->sum[1], sizeof s->sum[0][0]);
    else
        _tile_stored(1, s->sum[1], sizeof s->sum[0][0]);
}

/* --- the third --- */

SPECIALISED void add(const struct slot *slot, const struct sums *s, const struct act_tile *a,
                     __m512 *acc, const int T, const int subs, const bool has_min)
{
#pragma GCC unroll 2
    for (int sub = 0; sub < subs; sub++) {
        const __m512 scale = _mm512_load_ps(slot->scale[sub]);

#pragma GCC unroll 16
        for (int r = 0; r < T; r++) {
            __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(s->sum[sub][r]));

            acc[r] =
                _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, _mm512_set1_ps(a->scale[r])), acc[r]);
        }
    }
    if (has_min) {
        const __m512 min = _mm512_load_ps(slot->min);

#pragma GCC unroll 16
        for (int r = 0; r < T; r++)
            acc[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(a->ssum[r]), acc[r]);
    }
}

/* Results of a group for n activation rows; acc is ready for the next. */
SPECIALISED void finish(const struct mm_many *s, __m512 *acc, float *y, size_t n, size_t group,
                        const int T)
{
    const size_t row = group * MM_GROUP, rows = s->w->rows - row;
    const __mmask16 m = (__mmask16)(rows >= MM_GROUP ? 0xffff : (1u << rows) - 1);
    const __m512 bias = s->bias ? _mm512_maskz_loadu_ps(m, s->bias + row) : _mm512_setzero_ps();

#pragma GCC unroll 16
    for (int r = 0; r < T; r++) {
        if (s->bias)
            acc[r] = _mm512_add_ps(acc[r], bias);
        if ((size_t)r < n)
            _mm512_mask_storeu_ps(y + (size_t)r * s->w->rows + row, m, acc[r]);
        acc[r] = _mm512_setzero_ps();
    }
}

/* All groups of a run times one tile of n <= T activation rows. */
SPECIALISED void run(const struct mm_many *s, const struct act_tile *a, float *y, size_t n,
                     const int T, const int bits, const int subs, const bool has_min)
{
    const size_t n_blocks = s->w->n_blocks, total = (s->group_end - s->group) * n_blocks;
    struct source source = { .w = s->w, .group = s->group };
    struct slot slots[SLOTS];
    struct sums sums[2];
    size_t multiplied = 0, added = 0, group = s->group; /* which block of its group is next */
    __m512 acc[MM_STRIP];

#pragma GCC unroll 16
    for (int r = 0; r < T; r++)
        acc[r] = _mm512_setzero_ps();
    panel_start(&source);
    for (size_t i = 0; i < total + ADDED; i++) {
        if (i < total) {
            expand(&slots[i % SLOTS], &source, bits, subs, has_min);
            next_block(&source, bits, subs + has_min);
            if (s->fetch)
                fetch_some(s->fetch);
        }
        /* tile instructions read memory unknown to the compiler */
        __asm__ volatile("" ::: "memory");
        if (i >= COLLECTED && i < total + COLLECTED)
            collect(&sums[(i - COLLECTED) % 2], (i - COLLECTED) % 2, subs);
        if (i >= MULTIPLIED && i < total + MULTIPLIED) {
            multiply(&slots[(i - MULTIPLIED) % SLOTS], a + multiplied, (i - MULTIPLIED) % 2, subs,
                     has_min);
            multiplied = multiplied + 1 < n_blocks ? multiplied + 1 : 0;
        }
        if (i < ADDED)
            continue;
        add(&slots[(i - ADDED) % SLOTS], &sums[(i - ADDED) % 2], a + added, acc, T, subs, has_min);
        if (++added == n_blocks) {
            finish(s, acc, y, n, group++, T);
            added = 0;
        }
    }
}

typedef void many_fn(const struct mm_many *s, const struct act_tile *a, float *y, size_t n);

#define MANY(NAME, T, BITS, SUBS, MIN)                                                           \
    UNROLLED static void NAME##_##T(const struct mm_many *s, const struct act_tile *a, float *y, \
                                    size_t n)                                                    \
    {                                                                                            \
        run(s, a, y, n, T, BITS, SUBS, MIN);                                                     \
    }
#define MANYS(NAME, BITS, SUBS, MIN) \
    MANY(NAME, 4, BITS, SUBS, MIN)   \
    MANY(NAME, 8, BITS, SUBS, MIN)   \
    MANY(NAME, 12, BITS, SUBS, MIN)  \
    MANY(NAME, 16, BITS, SUBS, MIN)  \
    static many_fn *const NAME[] = { NAME##_4, NAME##_8, NAME##_12, NAME##_16 };

MANYS(bits4_min, 4, 1, true)
MANYS(bits4, 4, 1, false)
MANYS(bits5_min, 5, 1, true)
MANYS(bits5, 5, 1, false)
MANYS(bits6, 6, 2, false)
MANYS(bits8, 8, 1, false)

void mm_many_amx(const struct mm_many *s)
{
    const struct weight *w = s->w;
    many_fn *const *by_rows = w->bits == 4   ? w->has_min ? bits4_min : bits4
                              : w->bits == 5 ? w->has_min ? bits5_min : bits5
                              : w->bits == 6 ? bits6
                                             : bits8;

    for (size_t i = 0; i < s->n; i += MM_STRIP) {
        size_t n = s->n - i < MM_STRIP ? s->n - i : MM_STRIP;

        _tile_loadconfig(&configs[w->subs - 1][(n - 1) / 4]);
        by_rows[(n - 1) / 4](s, s->a + i / MM_STRIP * w->n_blocks, s->y + i * w->rows, n);
    }
    tiles_end();
}
