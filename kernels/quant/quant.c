#include "kernels/quant/quant.h"

#include <strings.h>

#include "kernels/quant/block.h"

/* In the order of their numbers in GGUF, but for bf16, which belongs to the plain floats; then our
 * own. */
static const struct quant_format *const formats[] = {
    &quant_format_f32,     &quant_format_f16,     &quant_format_bf16,   &quant_format_q4_0,
    &quant_format_q4_1,    &quant_format_q5_0,    &quant_format_q5_1,   &quant_format_q8_0,
    &quant_format_q2_k,    &quant_format_q3_k,    &quant_format_q4_k,   &quant_format_q5_k,
    &quant_format_q6_k,    &quant_format_iq2_xxs, &quant_format_iq2_xs, &quant_format_iq3_xxs,
    &quant_format_iq1_s,   &quant_format_iq4_nl,  &quant_format_iq3_s,  &quant_format_iq2_s,
    &quant_format_iq4_xs,  &quant_format_iq1_m,   &quant_format_tq1_0,  &quant_format_tq2_0,
    &quant_format_mxfp4,   &quant_format_nvfp4,   &quant_format_q1_0,   &quant_format_q2_0,
    &quant_format_f8_e4m3,
};

enum { N_FORMATS = sizeof formats / sizeof formats[0] };

const struct quant_format *quant_format(enum dtype dtype)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (formats[i]->dtype == dtype)
            return formats[i];
    return NULL;
}

const struct quant_format *quant_by_name(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strcasecmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

const struct quant_format *const *quant_all(size_t *n)
{
    *n = N_FORMATS;
    return formats;
}

float quant_f16(uint16_t h)
{
    return float_of_f16(h);
}

float quant_bf16(uint16_t h)
{
    return float_of_bits((uint32_t)h << 16);
}

/* What is shifted out of the mantissa decides, by comparison with half of the last place kept. */
uint16_t quant_to_f16(float f)
{
    uint32_t bits, sign, rest, half, shift, mantissa;

    memcpy(&bits, &f, sizeof bits);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) { /* NaN: keeps the payload that fits, and stays one */
        half = 0x7c00 | (bits >> 13 & 0x3ff);
        return (uint16_t)(sign | half | ((half & 0x3ff) == 0 ? 0x200 : 0));
    }
    if (bits >= 0x477ff000) /* 65520 = halfway between the largest half and 2^16, rounds up */
        return (uint16_t)(sign | 0x7c00);
    if (bits < 0x33000000) /* below 2^-25, half the smallest subnormal */
        return (uint16_t)sign;
    if (bits >= 0x38800000) { /* 2^-14 and above: normal */
        shift = 13;
        mantissa = bits - (uint32_t)(127 - 15) * (1u << 23);
    } else { /* in units of 2^-24: shift so that the hidden one lands where it belongs */
        shift = 126 - (bits >> 23);
        mantissa = (bits & 0x7fffff) | 0x800000;
    }
    half = mantissa >> shift;
    rest = mantissa & ((1u << shift) - 1);
    if (rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (half & 1)))
        half++; /* a carry into the exponent is what rounding up to the next power of two means */
    return (uint16_t)(sign | half);
}
