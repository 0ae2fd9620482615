/* halves.h - 16-bit floats, alone and in pairs.  A result is the exact sum or product rounded once:
 * float32 has more than twice their digits. */
#ifndef CUDASIM_HALVES_H
#define CUDASIM_HALVES_H

#include "sim.h"

#include <cmath>
#include <cstring>

namespace sim
{

inline float float_of_bits(u32 v)
{
    float f;
    memcpy(&f, &v, 4);
    return f;
}

inline u32 bits_of_float(float f)
{
    u32 v;
    memcpy(&v, &f, 4);
    return v;
}

float half_to_float(u16 bits); /* by a table */

struct Half {
    u16 bits;

    Half() = default;
    explicit Half(float f)
    {
        _Float16 h = (_Float16)f;
        memcpy(&bits, &h, 2);
    }
    explicit Half(double d) /* rounds once */
    {
        _Float16 h = (_Float16)d;
        memcpy(&bits, &h, 2);
    }
    operator float() const
    {
        return half_to_float(bits);
    }
};

struct Brain {
    u16 bits;

    Brain() = default;
    explicit Brain(float f)
    {
        u32 v = bits_of_float(f);

        bits =
            (v & 0x7fffffff) > 0x7f800000 ? (u16)0x7fff : (u16)((v + 0x7fff + (v >> 16 & 1)) >> 16);
    }
    explicit Brain(double d) : Brain((float)d)
    {
    }
    operator float() const
    {
        return float_of_bits((u32)bits << 16);
    }
};

template <class H> struct Pair {
    H low, high;
};

} // namespace sim

#endif
