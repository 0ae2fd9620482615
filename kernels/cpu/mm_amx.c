/* mm_amx.c - prompt rows in tiles of bf16; all other rows as on AVX-512.
 *
 * A tile of sums is 16 activation rows by 16 rows of weights; 2 x 2 of them are kept in tile
 * registers while two tiles of activations and two of weights pass by, so that each is loaded once
 * for two products.  Weights are spread out (widen_amx.h) a few blocks at a time, which stay in the
 * nearest cache while all activation rows come by. */
#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/tiles_amx.h"
#include "kernels/cpu/widen_amx.h"

/* --- activations --- */

static void to_bf16(uint16_t *a, uint16_t *low, const float *x, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, a += TILE, x += MM_BLOCK) {
        struct terms t = terms(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16));

        _mm512_store_si512(a, t.high);
        if (low)
            _mm512_store_si512(low + b * TILE, t.low);
    }
}

/* --- products --- */

enum { AHEAD = 2 }; /* blocks: activations come from the second cache, and a tile waits for them */

SPECIALISED void fetch(const uint16_t *tile)
{
    for (int k = 0; k < TILE_ROWS; k++)
        _mm_prefetch((const char *)tile + k * TILE_ROW_BYTES, _MM_HINT_T0);
}

/* T tiles of activations times G of weights, for n blocks; a1 is read where T is 2. */
SPECIALISED void products(const uint16_t *a0, const uint16_t *a1, const uint16_t *w, size_t n,
                          const int T, const int G, const bool ahead)
{
    for (; n > 0; n--, a0 += TILE, a1 += TILE, w += G * TILE) {
        if (ahead)
            fetch(a0 + AHEAD * TILE);
        if (ahead && T == 2)
            fetch(a1 + AHEAD * TILE);
        _tile_loadd(4, a0, TILE_ROW_BYTES);
        _tile_loadd(6, w, TILE_ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        if (G == 2) {
            _tile_loadd(7, w + TILE, TILE_ROW_BYTES);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (T == 2) {
            _tile_loadd(5, a1, TILE_ROW_BYTES);
            _tile_dpbf16ps(2, 5, 6);
            if (G == 2)
                _tile_dpbf16ps(3, 5, 7);
        }
    }
}

UNROLLED static void products_of(const uint16_t *a, size_t strip, bool two_strips,
                                 const uint16_t *w, bool two_groups, size_t n)
{
    if (two_groups && two_strips)
        products(a, a + strip, w, n, 2, 2, true);
    else if (two_groups)
        products(a, a, w, n, 1, 2, true);
    else if (two_strips)
        products(a, a + strip, w, n, 2, 1, true);
    else
        products(a, a, w, n, 1, 1, true);
}

enum { SUMS = MM_STRIP * MM_GROUP };

static void sums_start(const float *acc)
{
    if (!acc) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    _tile_loadd(0, acc, TILE_ROW_BYTES);
    _tile_loadd(1, acc + SUMS, TILE_ROW_BYTES);
    _tile_loadd(2, acc + 2 * SUMS, TILE_ROW_BYTES);
    _tile_loadd(3, acc + 3 * SUMS, TILE_ROW_BYTES);
}

static void sums_store(float *acc)
{
    _tile_stored(0, acc, TILE_ROW_BYTES);
    _tile_stored(1, acc + SUMS, TILE_ROW_BYTES);
    _tile_stored(2, acc + 2 * SUMS, TILE_ROW_BYTES);
    _tile_stored(3, acc + 3 * SUMS, TILE_ROW_BYTES);
}

/* --- units in parts: one is multiplied while the next is spread out --- */

static size_t unit_groups(const struct mm_prompt *p, size_t unit)
{
    return p->join || 2 * unit + 1 < p->w[0]->n_groups ? 2 : 1;
}

static size_t group_of(const struct mm_prompt *p, size_t unit, size_t g)
{
    return p->join ? unit : 2 * unit + g;
}

/* Blocks of a unit that the buffer holds, all of one panel. */
struct part {
    size_t unit, panel;
    size_t from, n; /* in the panel */
};

/* Panels are cut into equal parts. */
static void part_size(struct part *t, const struct weight *w)
{
    size_t blocks = weight_blocks(w, t->panel);
    size_t room = low_at(w) > 0 ? MM_PROMPT_BLOCKS / 2 : MM_PROMPT_BLOCKS;
    size_t parts = (blocks + room - 1) / room;
    size_t most = (blocks + parts - 1) / parts;

    t->n = blocks - t->from < most ? blocks - t->from : most;
}

static struct part part_after(struct part t, const struct weight *w)
{
    t.from += t.n;
    if (t.from == weight_blocks(w, t.panel)) {
        t.from = 0;
        t.panel++;
    }
    if (t.panel == w->n_panels) {
        t.panel = 0;
        t.unit++;
    }
    part_size(&t, w);
    return t;
}

/* A part on its way to the buffer: [n][groups] tiles. */
struct spread {
    struct part part;
    uint16_t *out;
    size_t done, all; /* blocks of all groups */
};

static struct spread spread_start(const struct mm_prompt *p, struct part t, uint16_t *out)
{
    size_t groups = t.unit < p->unit + p->n_units ? unit_groups(p, t.unit) : 0;

    return (struct spread){ .part = t, .out = out, .all = groups * t.n };
}

static void spread_some(const struct mm_prompt *p, struct spread *s, size_t count)
{
    const struct part *t = &s->part;

    while (count > 0 && s->done < s->all) {
        size_t g = s->done / t->n, b = s->done % t->n, n = t->n - b < count ? t->n - b : count;
        size_t stride = s->all / t->n * TILE, group = group_of(p, t->unit, g);
        const struct weight *w = p->w[g];
        size_t scales = (size_t)(w->subs + w->has_min) * MM_GROUP;

        if (w->kind == WEIGHT_FLOAT)
            widen_floats(s->out + b * stride + g * TILE, stride, w, group, t->from + b, n);
        else
            widen(s->out + b * stride + g * TILE, stride, w,
                  weight_codes(w, group, t->panel) + (t->from + b) * w->code_bytes,
                  weight_scales(w, group, t->panel) + (t->from + b) * scales, n);
        s->done += n;
        count -= n;
    }
}

/* --- results: out, [2 strips][2 groups][16][16], to rows i .. --- */

static void put_rows(const struct mm_prompt *p, size_t unit, const float *out, size_t i)
{
    const struct weight *w = p->w[0];
    size_t n = p->n - i < 2 * MM_STRIP ? p->n - i : 2 * MM_STRIP;

    for (size_t g = 0; g < unit_groups(p, unit); g++, out += SUMS) {
        size_t row = (2 * unit + g) * MM_GROUP, left = w->rows - row;
        __mmask16 m = (__mmask16)(left >= MM_GROUP ? 0xffff : (1u << left) - 1);
        float *y = p->y + i * w->rows + row;
        __m512 bias = _mm512_setzero_ps();

        if (p->bias[0])
            bias = _mm512_maskz_loadu_ps(m, p->bias[0] + row);
        for (size_t r = 0; r < n; r++, y += w->rows) {
            const float *sums = out + r / MM_STRIP * 2 * SUMS + r % MM_STRIP * MM_GROUP;

            _mm512_mask_storeu_ps(y, m, _mm512_add_ps(_mm512_load_ps(sums), bias));
        }
    }
}

static void add_bias(float *sums, const float *bias, size_t n)
{
    for (size_t r = 0; r < n; r++, sums += MM_GROUP)
        _mm512_store_ps(sums, _mm512_add_ps(_mm512_load_ps(sums), _mm512_loadu_ps(bias)));
}

/* Gate and up become 16 columns of the next product's activations. */
static void put_joined(const struct mm_prompt *p, size_t unit, float *out, size_t i)
{
    size_t row = unit * MM_GROUP;

    for (; i < p->n; i += MM_STRIP, out += 2 * SUMS) {
        uint16_t *a = p->strips + i * p->w[0]->rows + row / MM_BLOCK * TILE + row % MM_BLOCK;
        size_t n = p->n - i < MM_STRIP ? p->n - i : MM_STRIP;

        for (size_t g = 0; g < 2; g++)
            if (p->bias[g])
                add_bias(out + g * SUMS, p->bias[g] + row, n);
        p->join->act(out, out, out + SUMS, n * MM_GROUP, p->join->kind);
        for (size_t r = 0; r < n; r++, a += MM_BLOCK)
            _mm256_store_si256((void *)a,
                               (__m256i)_mm512_cvtneps_pbh(_mm512_load_ps(out + r * MM_GROUP)));
        if (i % (2 * MM_STRIP) != 0)
            break;
    }
}

static void put(const struct mm_prompt *p, size_t unit, float *out, size_t i)
{
    if (p->join)
        put_joined(p, unit, out, i);
    else
        put_rows(p, unit, out, i);
}

/* All activation rows times a part, and meanwhile the next one.  The tile unit works beside the
 * others: results are put away, and weights spread out, between products that do not wait for
 * them. */
static void multiply(const struct mm_prompt *p, const struct part *t, const uint16_t *weight,
                     struct spread *next)
{
    const struct weight *w = p->w[0];
    struct mm_prompt_buf *buf = p->buf;
    size_t strip = w->n_blocks * TILE, from = t->panel * w->panel_blocks + t->from, half = t->n / 2;
    size_t pairs = (p->n + 2 * MM_STRIP - 1) / (2 * MM_STRIP), groups = unit_groups(p, t->unit);
    size_t some = (next->all + pairs - 1) / pairs;
    bool last = from + t->n == w->n_blocks;

    for (size_t k = 0; k < pairs; k++) {
        const uint16_t *a = p->a + 2 * k * strip + from * TILE;
        float *acc = buf->acc + k * 4 * SUMS;
        bool two = p->n - k * 2 * MM_STRIP > MM_STRIP;

        sums_start(from > 0 ? acc : NULL);
        products_of(a, strip, two, weight, groups == 2, half);
        if (last && k > 0)
            put(p, t->unit, buf->out[(k - 1) % 2], (k - 1) * 2 * MM_STRIP);
        spread_some(p, next, some);
        products_of(a + half * TILE, strip, two, weight + half * groups * TILE, groups == 2,
                    t->n - half);
        if (p->low)
            products_of(p->low + (a - p->a), strip, two, weight, groups == 2, t->n);
        if (low_at(w) > 0)
            products_of(a, strip, two, weight + low_at(w), groups == 2, t->n);
        sums_store(last ? buf->out[k % 2] : acc);
    }
    if (last)
        put(p, t->unit, buf->out[(pairs - 1) % 2], (pairs - 1) * 2 * MM_STRIP);
}

/* --- no more rows than two strips: what a conversation's next turn brings --- */

/* Spreading weights out takes longer then than multiplying them.  Both go block by block, the
 * weights through a few tiles in the nearest cache; sums stay in their tiles to the end.  The same
 * products and sums in the same order as multiply()'s. */
enum { RING = 8, BEHIND = 4 /* blocks that products are behind */ };

/* The next block of a unit. */
struct feed {
    size_t unit, panel, left; /* blocks of the panel */
    size_t groups;
    const uint8_t *codes[2];
    const uint16_t *scales[2];
};

static void feed_panel(struct feed *f, const struct mm_prompt *p)
{
    f->groups = unit_groups(p, f->unit);
    f->left = weight_blocks(p->w[0], f->panel);
    for (size_t g = 0; g < f->groups; g++) {
        f->codes[g] = weight_codes(p->w[g], group_of(p, f->unit, g), f->panel);
        f->scales[g] = weight_scales(p->w[g], group_of(p, f->unit, g), f->panel);
    }
}

SPECIALISED void feed_block(struct feed *f, const struct mm_prompt *p, uint16_t *out,
                            const int bits, const int subs, const bool has_min)
{
    const struct weight *w = p->w[0];
    const size_t ahead = (p->join ? 1 : 2) * w->group_bytes; /* the next unit's */

    for (size_t g = 0; g < f->groups; g++) {
#pragma GCC unroll 8
        for (int k = 0; k < bits; k++)
            _mm_prefetch((const char *)f->codes[g] + ahead + 64 * k, _MM_HINT_T1);
        _mm_prefetch((const char *)f->scales[g] + ahead, _MM_HINT_T1);
        put_blocks(out + g * TILE, 0, f->codes[g], f->scales[g], 1, bits, subs, has_min);
        f->codes[g] += bits * 64;
        f->scales[g] += (subs + has_min) * MM_GROUP;
    }
    if (--f->left > 0)
        return;
    if (++f->panel == w->n_panels) {
        f->panel = 0;
        f->unit++;
    }
    if (f->unit < p->unit + p->n_units)
        feed_panel(f, p);
}

SPECIALISED void few_products(const uint16_t *a, size_t strip, bool two_strips, const uint16_t *w,
                              bool two_groups)
{
    if (two_groups && two_strips)
        products(a, a + strip, w, 1, 2, 2, false);
    else if (two_groups)
        products(a, a, w, 1, 1, 2, false);
    else if (two_strips)
        products(a, a + strip, w, 1, 2, 1, false);
    else
        products(a, a, w, 1, 1, 1, false);
}

SPECIALISED void few_units(const struct mm_prompt *p, const int bits, const int subs,
                           const bool has_min)
{
    const size_t n_blocks = p->w[0]->n_blocks, strip = n_blocks * TILE;
    const size_t total = p->n_units * n_blocks;
    uint16_t *ring = p->buf->weight[0];
    struct feed f = { .unit = p->unit };
    size_t unit = p->unit, block = 0;

    feed_panel(&f, p);
    for (size_t i = 0; i < total + BEHIND; i++) {
        if (i < total)
            feed_block(&f, p, ring + i % RING * 2 * TILE, bits, subs, has_min);
        tiles_see_stores();
        if (i < BEHIND)
            continue;
        if (block == 0)
            sums_start(NULL);
        few_products(p->a + block * TILE, strip, p->n > MM_STRIP,
                     ring + (i - BEHIND) % RING * 2 * TILE, unit_groups(p, unit) == 2);
        if (++block < n_blocks)
            continue;
        sums_store(p->buf->out[0]);
        put(p, unit++, p->buf->out[0], 0);
        block = 0;
    }
}

/* Tiles of no more rows than there are. */
static void few_begin(size_t n)
{
    struct tile_config c = tiles_full;
    uint8_t first = n < MM_STRIP ? (uint8_t)n : MM_STRIP;
    uint8_t second = n > MM_STRIP ? (uint8_t)(n - MM_STRIP) : MM_STRIP;

    c.rows[0] = c.rows[1] = c.rows[4] = first;
    c.rows[2] = c.rows[3] = c.rows[5] = second;
    tiles_see_stores();
    _tile_loadconfig(&c);
}

UNROLLED static void few(const struct mm_prompt *p)
{
    const struct weight *w = p->w[0];

    few_begin(p->n);

    if (w->bits == 4 && w->has_min)
        few_units(p, 4, 1, true);
    else if (w->bits == 4)
        few_units(p, 4, 1, false);
    else if (w->bits == 5 && w->has_min)
        few_units(p, 5, 1, true);
    else if (w->bits == 5)
        few_units(p, 5, 1, false);
    else if (w->bits == 6)
        few_units(p, 6, 2, false);
    else
        few_units(p, 8, 1, false);
}

static void prompt(const struct mm_prompt *p)
{
    struct part t = { .unit = p->unit };
    size_t buffer = 0;
    struct spread s;

    if (p->n <= 2 * MM_STRIP && !p->low && p->w[0]->bits == p->w[1]->bits &&
        p->w[0]->has_min == p->w[1]->has_min) {
        few(p);
        tiles_end();
        return;
    }
    tiles_begin();
    part_size(&t, p->w[0]);
    s = spread_start(p, t, p->buf->weight[0]);
    spread_some(p, &s, s.all);
    for (; t.unit < p->unit + p->n_units; buffer = !buffer) {
        struct part after = part_after(t, p->w[0]);

        tiles_see_stores();
        s = spread_start(p, after, p->buf->weight[!buffer]);
        multiply(p, &t, p->buf->weight[buffer], &s);
        t = after;
    }
    tiles_end();
}

const struct mm_ops mm_amx = {
    .name = "amx",
    .quantise = mm_avx512_quantise,
    .expand = mm_avx512_expand,
    .tile = mm_avx512_tile,
    .few = mm_few_avx512,
    .to_bf16 = to_bf16,
    .prompt = prompt,
    .many = mm_many_amx,
    .dots = mm_dots_avx512,
    .many_dots = mm_many_dots_avx512,
    .spread = mm_spread_avx512,
};
