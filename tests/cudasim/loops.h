/* loops.h - from what an opcode does to one lane, said once for all types, to the loop over 32
 * lanes.
 *
 * An opcode of this kind is a struct with `of`; for_integers(), for_floats() and numbers() choose
 * the loop by type. */
#ifndef CUDASIM_LOOPS_H
#define CUDASIM_LOOPS_H

#include "halves.h"
#include "machine.h"

#include <cfenv>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sim
{

struct Bit { /* a predicate */
    u32 v;
};

/* --- loops ---------------------------------------------------------------------------------- */

template <class Op, class D, class... S, size_t... K>
static inline void loop(Machine &m, const Instruction &i, u32 active, std::index_sequence<K...>)
{
    Slot<D> *d = result<Slot<D>>(m, i.dst[0]);
    std::tuple<const Slot<S> *...> s{ source<Slot<S>>(m, i.src[K])... };

    if (active == ~0u) {
#pragma GCC ivdep
        for (int l = 0; l < LANES; l++)
            d[l] = pack<D>(Op::of(unpack<S>(std::get<K>(s)[l])...));
        return;
    }
    for (int l = 0; l < LANES; l++)
        if (active >> l & 1)
            d[l] = pack<D>(Op::of(unpack<S>(std::get<K>(s)[l])...));
}

template <class Op, class D, class... S>
static void lanes(Machine &m, const Instruction &i, u32 active)
{
    loop<Op, D, S...>(m, i, active, std::index_sequence_for<S...>{});
}

/* Op once for each half of a pair. */
template <class Op> struct Twice {
    template <class H, class... More> static Pair<H> of(Pair<H> a, More... b)
    {
        return { Op::of(a.low, b.low...), Op::of(a.high, b.high...) };
    }
};

template <class Op> struct Saturated {
    template <class... S> static float of(S... s)
    {
        float f = Op::of(s...);
        return f > 1 ? 1 : f > 0 ? f : 0;
    }
};

/* The same type everywhere, N sources. */
template <class Op, class T, int N> static Run same()
{
    if constexpr (N == 1)
        return lanes<Op, T, T>;
    else if constexpr (N == 2)
        return lanes<Op, T, T, T>;
    else
        return lanes<Op, T, T, T, T>;
}

template <class Op, int N> static Run for_integers(Type t)
{
    switch (t) {
    case Type::U16:
    case Type::B16:
        return same<Op, u16, N>();
    case Type::S16:
        return same<Op, i16, N>();
    case Type::U32:
    case Type::B32:
        return same<Op, u32, N>();
    case Type::S32:
        return same<Op, i32, N>();
    case Type::U64:
    case Type::B64:
        return same<Op, u64, N>();
    case Type::S64:
        return same<Op, i64, N>();
    default:
        return nullptr;
    }
}

template <class Op, int N> static Run for_floats(const Instruction &i)
{
    switch (i.type) {
    case Type::F32:
        return i.saturate ? same<Saturated<Op>, float, N>() : same<Op, float, N>();
    case Type::F64:
        return same<Op, double, N>();
    case Type::F16:
        return same<Op, Half, N>();
    case Type::BF16:
        return same<Op, Brain, N>();
    case Type::F16X2:
        return same<Twice<Op>, Pair<Half>, N>();
    case Type::BF16X2:
        return same<Twice<Op>, Pair<Brain>, N>();
    default:
        return nullptr;
    }
}

/* Rounding that is not to the nearest, by the processor's own modes. */
template <class Op, int MODE> struct Directed {
    template <class... S> static float of(S... s)
    {
        int before = fegetround();
        volatile float out;

        fesetround(MODE);
        out = Op::of(s...);
        fesetround(before);
        return out;
    }
};

static bool odd_rounding(const Modifiers &m)
{
    return m.has("rz") || m.has("rm") || m.has("rp") || m.has("cc");
}

template <class Op, int N> static Run directed(const Instruction &i, const Modifiers &m)
{
    if (i.type != Type::F32 || i.saturate || m.has("cc"))
        return nullptr;
    return m.has("rz")   ? same<Directed<Op, FE_TOWARDZERO>, float, N>()
           : m.has("rm") ? same<Directed<Op, FE_DOWNWARD>, float, N>()
                         : same<Directed<Op, FE_UPWARD>, float, N>();
}

template <class Op, int N> static Run numbers(Instruction &i, const Modifiers &m)
{
    if (odd_rounding(m))
        return directed<Op, N>(i, m);
    return type_is_float(i.type) || i.type == Type::F16X2 || i.type == Type::BF16X2
               ? for_floats<Op, N>(i)
               : for_integers<Op, N>(i.type);
}

} // namespace sim

#endif
