/* pack.c - from the order of a file to the packed order of mm_ops.h, by all threads of a team.
 *
 * Formats whose codes lie in the file as the kernels want them (quant_format.codes_at) are copied,
 * four codes at a time: as fast as memory.  All others are exploded into codes of a byte each
 * first. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/cpu/mm_ops.h"

enum {
    LARGE_PAGE = 2 << 20,
    CHUNK_BYTES = 512 << 10, /* packed by a thread in one go, about */
};

/* --- codes by way of bytes --- */

/* One group of rows on its way: a stripe of it is as many columns as a block of the source has. */
enum { MAX_STRIPE = 256, MAX_SUBS = MAX_STRIPE / 16 };

struct stripe {
    uint8_t code[MM_GROUP][MAX_STRIPE];
    float scale[MM_GROUP][MAX_SUBS], min[MM_GROUP][MAX_SUBS];
};

/* Eight codes at a time: bits `mask` of each, once moved right by 4. */
static uint64_t upper_bits(uint64_t codes, uint64_t mask)
{
    return codes >> 4 & mask;
}

/* 8 codes of each step, s[8], to byte j of the lines of a packed block of 4, 5 or 6 bits. */
static void pack_eight(unsigned char *out, const uint64_t *s, int bits)
{
    const uint64_t nibble = 0x0f0f0f0f0f0f0f0f, one = 0x0101010101010101, two = 3 * one;
    uint64_t v;

    for (size_t k = 0; k < 4; k++) {
        v = (s[k] & nibble) | (s[k + 4] & nibble) << 4;
        memcpy(out + 64 * k, &v, sizeof v);
    }
    if (bits == 5) {
        v = 0;
        for (size_t k = 0; k < MM_STEPS; k++)
            v |= upper_bits(s[k], one) << k;
        memcpy(out + 256, &v, sizeof v);
    }
    for (size_t p = 0; bits == 6 && p < 2; p++) {
        v = 0;
        for (size_t k = 0; k < 4; k++)
            v |= upper_bits(s[4 * p + k], two) << 2 * k;
        memcpy(out + 256 + 64 * p, &v, sizeof v);
    }
}

/* 32 columns of all rows into the packed order of a block. */
static void pack_codes(unsigned char *out, const struct stripe *s, size_t column, int bits)
{
    for (size_t r = 0; r < MM_GROUP; r += 2) {
        uint64_t step[MM_STEPS];

        for (size_t k = 0; k < MM_STEPS; k++) {
            memcpy(&step[k], &s->code[r][column + 4 * k], 4);
            memcpy((unsigned char *)&step[k] + 4, &s->code[r + 1][column + 4 * k], 4);
        }
        if (bits < 8)
            pack_eight(out + 4 * r, step, bits);
        for (size_t k = 0; bits == 8 && k < MM_STEPS; k++)
            memcpy(out + 64 * k + 4 * r, &step[k], sizeof step[k]);
    }
}

/* Scales of blocks of 32 are halves in the file already.  Those of blocks of 256 are a half times a
 * small integer: rounding errs by 2^-12 at most, and not at all below the normal range, where all
 * of them are multiples of 2^-24 as halves are.  (The IQ formats halve and quarter them: the
 * smallest scales of a matrix may lose some of their last bits.) */
static void pack_scales(unsigned char *out, const struct stripe *s, size_t column,
                        const struct weight *w)
{
    size_t group = w->format->group;
    uint16_t half[3 * MM_GROUP];
    size_t n = 0;

    for (int sub = 0; sub < w->subs; sub++)
        for (size_t r = 0; r < MM_GROUP; r++)
            half[n++] = quant_to_f16(s->scale[r][column / group + (size_t)sub]);
    for (size_t r = 0; w->has_min && r < MM_GROUP; r++)
        half[n++] = quant_to_f16(s->min[r][column / group]);
    memcpy(out, half, n * sizeof half[0]);
}

static void explode_stripe(struct stripe *s, const struct weight *w, size_t row, size_t stripe)
{
    const struct quant_format *f = w->format;

    for (size_t r = 0; r < MM_GROUP; r++) {
        if (row + r >= w->rows) { /* padding: zeros whatever the codes */
            memset(s->code[r], w->zero, sizeof s->code[r]);
            memset(s->scale[r], 0, sizeof s->scale[r]);
            memset(s->min[r], 0, sizeof s->min[r]);
            continue;
        }
        f->explode(s->code[r], s->scale[r], s->min[r],
                   w->source + (row + r) * w->row_bytes + stripe * f->block_bytes);
    }
}

static void pack_group(struct weight *w, size_t group)
{
    const struct quant_format *f = w->format;
    size_t row = group * MM_GROUP, block = 0;
    struct stripe s;

    for (size_t i = 0; i < w->cols / f->block_values; i++) {
        explode_stripe(&s, w, row, i);
        for (size_t c = 0; c < f->block_values; c += MM_BLOCK, block++) {
            size_t p = block / w->panel_blocks, b = block % w->panel_blocks;

            pack_codes(weight_codes(w, group, p) + b * w->code_bytes, &s, c, w->bits);
            pack_scales((unsigned char *)weight_scales(w, group, p) + b * w->scale_bytes, &s, c, w);
        }
    }
}

/* Can the kernels work on it?  4 or 5 bits with or without minimums, 6 bits with two scales a
 * block, 8 bits; zero points in the middle.  Others are multiplied as floats. */
bool pack_can(const struct quant_format *f)
{
    bool shape = f->code_bits == 4 || f->code_bits == 5 ? f->group == 32
                 : f->code_bits == 6                    ? f->group == 16 && !f->has_min
                                     : f->code_bits == 8 && f->group == 32 && !f->has_min;

    return shape && f->explode && f->zero == (f->has_min ? 0 : 1 << (f->code_bits - 1)) &&
           f->block_values % MM_BLOCK == 0 && f->block_values <= MAX_STRIPE;
}

/* --- codes that are copied as they are --- */

/* 16 bytes of each of the rows at `in`, which stand row_bytes apart: the file keeps codes 0 .. 15
 * in low nibbles and 16 .. 31 in high ones, so that four bytes are those of steps k and k + 4. */
static void copy_nibbles(unsigned char *out, const unsigned char *in, size_t row_bytes, size_t rows)
{
    for (size_t r = 0; r < rows; r++, in += row_bytes)
        for (size_t k = 0; k < 4; k++)
            memcpy(out + 64 * k + 4 * r, in + 4 * k, 4);
}

/* The same for 32 signed bytes, which become codes from 0 on. */
static void copy_bytes(unsigned char *out, const unsigned char *in, size_t row_bytes, size_t rows)
{
    for (size_t r = 0; r < rows; r++, in += row_bytes)
        for (size_t k = 0; k < MM_STEPS; k++) {
            uint32_t four;

            memcpy(&four, in + 4 * k, sizeof four);
            four ^= 0x80808080;
            memcpy(out + 64 * k + 4 * r, &four, sizeof four);
        }
}

/* Rows that are missing in the last group keep the slab's zeros as scales: any code is nothing. */
static void copy_group(const struct weight *w, size_t group)
{
    size_t row = group * MM_GROUP, halves = 1 + w->has_min, block_bytes = w->format->block_bytes;
    size_t rows = w->rows - row < MM_GROUP ? w->rows - row : MM_GROUP;
    const unsigned char *in = w->source + row * w->row_bytes;

    for (size_t block = 0; block < w->n_blocks; block++, in += block_bytes) {
        size_t p = block / w->panel_blocks, b = block % w->panel_blocks;
        unsigned char *out = weight_codes(w, group, p) + b * w->code_bytes;
        unsigned char *scales = (unsigned char *)weight_scales(w, group, p) + b * w->scale_bytes;

        if (w->bits == 8)
            copy_bytes(out, in + w->format->codes_at, w->row_bytes, rows);
        else
            copy_nibbles(out, in + w->format->codes_at, w->row_bytes, rows);
        for (size_t h = 0; h < halves; h++)
            for (size_t r = 0; r < rows; r++)
                memcpy(scales + 2 * (h * MM_GROUP + r), in + r * w->row_bytes + 2 * h, 2);
    }
}

static void copy_rows(const struct weight *w, size_t group)
{
    size_t row = group * MM_GROUP, rows = w->rows - row < MM_GROUP ? w->rows - row : MM_GROUP;

    memcpy(w->packed + group * w->group_bytes, w->source + row * w->row_bytes, rows * w->row_bytes);
}

/* --- all groups of a matrix, by a team --- */

struct packing {
    struct weight *w;
    bool mapped;
    size_t page_bytes;
    size_t per, n_chunks; /* groups of a chunk */
    size_t n_pages;       /* large pages that begin in the packed bytes, and the first one */
    struct pool_gate touched, packed;
};

/* First touches, before two threads meet in one page: each of them would clear it. */
static void touch(const struct packing *p, size_t page)
{
    volatile unsigned char *at = p->w->packed + page * LARGE_PAGE;

    at -= page > 0 ? (uintptr_t)at % LARGE_PAGE : 0;
    *at = 0;
}

/* Lets the file's pages go behind groups that are packed: a matrix may be most of a model, and
 * should not be there twice.  Pages at the edges are shared with neighbours and stay. */
static void release(const struct packing *p, size_t group, size_t end)
{
    const struct weight *w = p->w;
    size_t rows = end * MM_GROUP < w->rows ? end * MM_GROUP : w->rows;
    uintptr_t from = (uintptr_t)w->source + group * MM_GROUP * w->row_bytes;
    uintptr_t to = (uintptr_t)w->source + rows * w->row_bytes;

    from = (from + p->page_bytes - 1) / p->page_bytes * p->page_bytes;
    to = to / p->page_bytes * p->page_bytes;
    if (p->mapped && from < to)
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

static void pack_member(void *arg, size_t index)
{
    struct packing *p = arg;
    size_t c;

    (void)index;
    while (pool_claim(&p->touched, p->n_pages, &c)) {
        touch(p, c);
        pool_finish(&p->touched, p->n_pages);
    }
    pool_wait(&p->touched, p->n_pages);
    while (pool_claim(&p->packed, p->n_chunks, &c)) {
        size_t end = (c + 1) * p->per < p->w->n_groups ? (c + 1) * p->per : p->w->n_groups;

        for (size_t g = c * p->per; g < end; g++) {
            if (p->w->kind == WEIGHT_FLOAT)
                copy_rows(p->w, g);
            else if (p->w->format->codes_at > 0)
                copy_group(p->w, g);
            else
                pack_group(p->w, g);
        }
        release(p, c * p->per, end);
        pool_finish(&p->packed, p->n_chunks);
    }
    pool_wait(&p->packed, p->n_chunks);
}

void pack_groups(struct weight *w, bool mapped, struct pool *pool)
{
    size_t bytes = w->n_groups * w->group_bytes, into = (uintptr_t)w->packed % LARGE_PAGE;
    struct packing p = { .w = w,
                         .mapped = mapped,
                         .page_bytes = (size_t)sysconf(_SC_PAGESIZE),
                         .per = CHUNK_BYTES / w->group_bytes + 1 };

    p.n_chunks = (w->n_groups + p.per - 1) / p.per;
    p.n_pages = (into + bytes + LARGE_PAGE - 1) / LARGE_PAGE;
    if (pool)
        pool_run(pool, pack_member, &p);
    else
        pack_member(&p, 0);
}
