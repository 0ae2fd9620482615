/* Of BF16 the upper half of a float remains, rounded to the nearest, ties to even.  Q8 is a float
 * scale for each block and codes of -127 .. 127 behind it; a block with a NaN or an infinity gives
 * NaN, as the sum of floats would in that place or others. */
#include <config.h>

#include "kernels/mpi/wire.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

struct q8 {
    float scale;
    int8_t codes[WIRE_BLOCK];
};

size_t wire_bytes(enum ranks_precision p, size_t count)
{
    switch (p) {
    case RANKS_BF16:
        return count * 2;
    case RANKS_Q8: /* the last block may be cut short */
        return count / WIRE_BLOCK * sizeof(struct q8) +
               (count % WIRE_BLOCK ? sizeof(float) + count % WIRE_BLOCK : 0);
    default:
        return count * sizeof(float);
    }
}

static uint16_t to_bf16(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffff) > 0x7f800000) /* a NaN stays one, whichever of its bits are cut off */
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float of_bf16(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

VECTOR_CLONES static void put_bf16(uint16_t *to, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = to_bf16(x[i]);
}

VECTOR_CLONES static void get_bf16(float *y, const uint16_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] = of_bf16(from[i]);
}

VECTOR_CLONES static void add_bf16(float *y, const uint16_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += of_bf16(from[i]);
}

VECTOR_CLONES static void add_f32(float *restrict y, const float *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += from[i];
}

/* One block; n may be less than WIRE_BLOCK in the last. */
static void put_q8(char *to, const float *x, size_t n)
{
    struct q8 q = { .scale = 0 };
    float most = 0;

    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            most = NAN;
    q.scale = most / 127;
    if (isnormal(q.scale))
        for (size_t i = 0; i < n; i++)
            q.codes[i] = (int8_t)lrintf(x[i] / q.scale);
    else if (isfinite(q.scale)) /* as good as nothing */
        q.scale = 0;
    memcpy(to, &q, sizeof q.scale + n);
}

static void add_q8(float *y, const char *from, size_t n)
{
    struct q8 q;

    memcpy(&q, from, sizeof q.scale + n);
    for (size_t i = 0; i < n; i++)
        y[i] += q.scale * (float)q.codes[i];
}

static size_t block(size_t at, size_t count)
{
    return count - at < WIRE_BLOCK ? count - at : WIRE_BLOCK;
}

void wire_put(enum ranks_precision p, void *to, const float *x, size_t count)
{
    char *at = to;

    if (p == RANKS_F32)
        memcpy(to, x, count * sizeof *x);
    else if (p == RANKS_BF16)
        put_bf16(to, x, count);
    else
        for (size_t i = 0; i < count; i += WIRE_BLOCK, at += sizeof(struct q8))
            put_q8(at, x + i, block(i, count));
}

void wire_get(enum ranks_precision p, float *y, const void *from, size_t count)
{
    if (p == RANKS_F32) {
        memcpy(y, from, count * sizeof *y);
    } else if (p == RANKS_BF16) {
        get_bf16(y, from, count);
    } else {
        memset(y, 0, count * sizeof *y);
        wire_add(p, y, from, count);
    }
}

void wire_add(enum ranks_precision p, float *y, const void *from, size_t count)
{
    const char *at = from;

    if (p == RANKS_F32)
        add_f32(y, from, count);
    else if (p == RANKS_BF16)
        add_bf16(y, from, count);
    else
        for (size_t i = 0; i < count; i += WIRE_BLOCK, at += sizeof(struct q8))
            add_q8(y + i, at, block(i, count));
}
