/* convert.cc - mov, cvt, cvta and setp: values from one type, space or width to another. */
#include "halves.h"
#include "machine.h"

#include <limits>
#include <type_traits>

namespace sim
{

enum Rounding : u8 { AS_IS, TO_ZERO, TO_NEAREST, DOWN, UP }; /* to integers */

template <class T> struct is_real : std::is_floating_point<T> {
};
template <> struct is_real<Half> : std::true_type {
};
template <> struct is_real<Brain> : std::true_type {
};

static double round_as(double x, u8 mode)
{
    switch (mode) {
    case TO_ZERO:
        return trunc(x);
    case TO_NEAREST:
        return nearbyint(x);
    case DOWN:
        return floor(x);
    case UP:
        return ceil(x);
    default:
        return x;
    }
}

/* A float to an integer: NaN is 0, what lies beyond is the nearest there is. */
template <class D> static D clamp_to(double x)
{
    using L = std::numeric_limits<D>;

    if (std::isnan(x))
        return 0;
    if (x <= (double)L::min())
        return L::min();
    return x >= (double)L::max() ? L::max() : (D)x;
}

template <class D, class S> static D convert(S v, u8 mode, bool saturate)
{
    if constexpr (is_real<D>::value && is_real<S>::value) {
        double x = round_as((double)v, mode);

        if (saturate)
            x = x > 1 ? 1 : x > 0 ? x : 0;
        return (D)x;
    } else if constexpr (is_real<D>::value) {
        if constexpr (std::is_same<D, double>::value || std::is_same<D, float>::value)
            return (D)v;
        else
            return D((double)v);
    } else if constexpr (is_real<S>::value) {
        return clamp_to<D>(round_as((double)v, mode));
    } else {
        using L = std::numeric_limits<D>;
        __int128 x = (__int128)v;

        if (saturate)
            x = x < (__int128)L::min()   ? (__int128)L::min()
                : x > (__int128)L::max() ? (__int128)L::max()
                                         : x;
        return (D)x;
    }
}

/* Results of 8 and 16 bits fill a register of 16 or 32: signed ones with their sign. */
template <class D> static u64 widened(D v)
{
    if constexpr (std::is_integral<D>::value && std::is_signed<D>::value)
        return (u64)(i64)v;
    else
        return pack<D>(v);
}

template <class D, class S> static void run_cvt(Machine &m, const Instruction &i, u32 active)
{
    const Slot<S> *s = source<Slot<S>>(m, i.src[0]);

    each_lane(m, active, [&](int l) {
        lane_put(m, i.dst[0], l, widened<D>(convert<D, S>(unpack<S>(s[l]), i.mode, i.saturate)));
    });
}

template <class D> static Run cvt_from(Type s)
{
    switch (s) {
    case Type::U8:
    case Type::B8:
        return run_cvt<D, u8>;
    case Type::S8:
        return run_cvt<D, i8>;
    case Type::U16:
    case Type::B16:
        return run_cvt<D, u16>;
    case Type::S16:
        return run_cvt<D, i16>;
    case Type::U32:
    case Type::B32:
        return run_cvt<D, u32>;
    case Type::S32:
        return run_cvt<D, i32>;
    case Type::U64:
    case Type::B64:
        return run_cvt<D, u64>;
    case Type::S64:
        return run_cvt<D, i64>;
    case Type::F16:
        return run_cvt<D, Half>;
    case Type::BF16:
        return run_cvt<D, Brain>;
    case Type::F32:
        return run_cvt<D, float>;
    case Type::F64:
        return run_cvt<D, double>;
    default:
        return nullptr;
    }
}

/* cvt.rn.f16x2.f32 d, a, b: a above, b below. */
template <class H> static void run_cvt_pair(Machine &m, const Instruction &i, u32 active)
{
    const u32 *a = source<u32>(m, i.src[0]), *b = source<u32>(m, i.src[1]);
    u32 *d = result<u32>(m, i.dst[0]);

    each_lane(m, active, [&](int l) {
        d[l] = (u32)H(float_of_bits(a[l])).bits << 16 | H(float_of_bits(b[l])).bits;
    });
}

static Run pick_cvt(Instruction &i, const Modifiers &m)
{
    i.mode = m.has("rzi")   ? TO_ZERO
             : m.has("rni") ? TO_NEAREST
             : m.has("rmi") ? DOWN
             : m.has("rpi") ? UP
                            : AS_IS;
    if (m.has("relu") || m.has("satfinite") || m.has("rna"))
        return nullptr;
    if (type_is_float(i.type) && type_is_float(i.from) &&
        (m.has("rz") || m.has("rm") || m.has("rp")))
        return nullptr;
    if (i.n_src == 2)
        return i.from != Type::F32      ? nullptr
               : i.type == Type::F16X2  ? (Run)run_cvt_pair<Half>
               : i.type == Type::BF16X2 ? (Run)run_cvt_pair<Brain>
                                        : nullptr;
    switch (i.type) {
    case Type::U8:
    case Type::B8:
        return cvt_from<u8>(i.from);
    case Type::S8:
        return cvt_from<i8>(i.from);
    case Type::U16:
    case Type::B16:
        return cvt_from<u16>(i.from);
    case Type::S16:
        return cvt_from<i16>(i.from);
    case Type::U32:
    case Type::B32:
        return cvt_from<u32>(i.from);
    case Type::S32:
        return cvt_from<i32>(i.from);
    case Type::U64:
    case Type::B64:
        return cvt_from<u64>(i.from);
    case Type::S64:
        return cvt_from<i64>(i.from);
    case Type::F16:
        return cvt_from<Half>(i.from);
    case Type::BF16:
        return cvt_from<Brain>(i.from);
    case Type::F32:
        return cvt_from<float>(i.from);
    case Type::F64:
        return cvt_from<double>(i.from);
    default:
        return nullptr;
    }
}

/* --- mov ------------------------------------------------------------------------------------ */

static void run_mov(Machine &m, const Instruction &i, u32 active)
{
    each_lane(m, active, [&](int l) {
        u64 v = lane_get(m, i.src[0], l);
        lane_put(m, i.dst[0], l, i.src[0].negated ? !(v & 1) : v);
    });
}

/* mov.b32 d, {a, b}: the first lowest. */
static void run_pack(Machine &m, const Instruction &i, u32 active)
{
    unsigned bits = (unsigned)(8 * type_size(i.type) / i.n_src);

    each_lane(m, active, [&](int l) {
        u64 v = 0;

        for (unsigned k = 0; k < i.n_src; k++)
            v |= (lane_get(m, i.src[k], l) & ((1ull << bits) - 1)) << (bits * k);
        lane_put(m, i.dst[0], l, v);
    });
}

static void run_unpack(Machine &m, const Instruction &i, u32 active)
{
    unsigned bits = (unsigned)(8 * type_size(i.type) / i.n_dst);

    each_lane(m, active, [&](int l) {
        u64 v = lane_get(m, i.src[0], l);

        for (unsigned k = 0; k < i.n_dst; k++)
            lane_put(m, i.dst[k], l, v >> (bits * k) & ((1ull << bits) - 1));
    });
}

/* The usual one: as wide as its source, nothing to be added or turned round. */
template <class S> static void run_mov_plain(Machine &m, const Instruction &i, u32 active)
{
    S *d = result<S>(m, i.dst[0]);
    const S *s = source<S>(m, i.src[0]);

#pragma GCC ivdep
    for (int l = 0; l < LANES; l++)
        d[l] = active >> l & 1 ? s[l] : d[l];
}

static Run pick_mov(Instruction &i, const Modifiers &)
{
    const Operand &s = i.src[0];

    if (i.n_src > 1)
        return run_pack;
    if (i.n_dst > 1)
        return run_unpack;
    if (s.negated || s.dynamic || (s.kind != Operand::VALUE && s.kind != i.dst[0].kind))
        return run_mov;
    return i.dst[0].kind == Operand::REG64 ? (Run)run_mov_plain<u64> : (Run)run_mov_plain<u32>;
}

/* --- cvta: addresses of shared and local memory as generic ones, and back --------------------- */

static void run_cvta(Machine &m, const Instruction &i, u32 active)
{
    each_lane(m, active, [&](int l) {
        u64 a = lane_get(m, i.src[0], l), base = 0;

        if (i.space == Space::SHARED)
            base = (u64)m.shared;
        else if (i.space == Space::LOCAL)
            base = (u64)m.local.data() + (u64)m.thread() * m.kernel->local_bytes;
        lane_put(m, i.dst[0], l, i.mode ? a - base : a + base);
    });
}

static Run pick_cvta(Instruction &i, const Modifiers &m)
{
    i.mode = m.has("to");
    return i.space == Space::PARAM ? nullptr : run_cvta;
}

/* --- setp ----------------------------------------------------------------------------------- */

enum Compare : u8 { EQ, NE, LT, LE, GT, GE, EQU, NEU, LTU, LEU, GTU, GEU, NUM, NAN_ };
enum Combine : u8 { ALONE, WITH_AND, WITH_OR, WITH_XOR };

template <class T> static bool compare(u8 how, T a, T b)
{
    if constexpr (is_real<T>::value) {
        double x = (double)a, y = (double)b;
        bool unordered = std::isnan(x) || std::isnan(y);

        if (how >= EQU && how <= GEU && unordered)
            return true;
        switch (how) {
        case EQ:
        case EQU:
            return x == y;
        case NE:
            return !unordered && x != y;
        case NEU:
            return x != y;
        case LT:
        case LTU:
            return x < y;
        case LE:
        case LEU:
            return x <= y;
        case GT:
        case GTU:
            return x > y;
        case GE:
        case GEU:
            return x >= y;
        case NUM:
            return !unordered;
        default:
            return unordered;
        }
    } else {
        switch (how) {
        case EQ:
            return a == b;
        case NE:
            return a != b;
        case LT:
            return a < b;
        case LE:
            return a <= b;
        case GT:
            return a > b;
        default:
            return a >= b;
        }
    }
}

/* mode: a Compare, and a Combine above it. */
template <class T> static void run_setp(Machine &m, const Instruction &i, u32 active)
{
    const Slot<T> *a = source<Slot<T>>(m, i.src[0]), *b = source<Slot<T>>(m, i.src[1]);
    u8 how = i.mode & 15, combine = i.mode >> 4;

    each_lane(m, active, [&](int l) {
        bool p = compare<T>(how, unpack<T>(a[l]), unpack<T>(b[l])), q = !p;

        if (combine) {
            bool c = lane_true(m, i.src[2], l);

            p = combine == WITH_AND ? p && c : combine == WITH_OR ? p || c : p != c;
            q = combine == WITH_AND ? q && c : combine == WITH_OR ? q || c : q != c;
        }
        lane_put(m, i.dst[0], l, p);
        if (i.n_dst > 1)
            lane_put(m, i.dst[1], l, q);
    });
}

static Run pick_setp(Instruction &i, const Modifiers &m)
{
    static const std::map<std::string, u8> compares = {
        { "eq", EQ },   { "ne", NE },   { "lt", LT },    { "le", LE },   { "gt", GT },
        { "ge", GE },   { "lo", LT },   { "ls", LE },    { "hi", GT },   { "hs", GE },
        { "equ", EQU }, { "neu", NEU }, { "ltu", LTU },  { "leu", LEU }, { "gtu", GTU },
        { "geu", GEU }, { "num", NUM }, { "nan", NAN_ },
    };
    auto how = compares.find(m.names[0]);

    if (how == compares.end() || (i.n_src == 3) != (m.has("and") || m.has("or") || m.has("xor")))
        return nullptr;
    i.mode = (u8)(how->second | (m.has("and")   ? WITH_AND
                                 : m.has("or")  ? WITH_OR
                                 : m.has("xor") ? WITH_XOR
                                                : ALONE)
                                    << 4);
    switch (i.type) {
    case Type::U16:
    case Type::B16:
        return run_setp<u16>;
    case Type::S16:
        return run_setp<i16>;
    case Type::U32:
    case Type::B32:
        return run_setp<u32>;
    case Type::S32:
        return run_setp<i32>;
    case Type::U64:
    case Type::B64:
        return run_setp<u64>;
    case Type::S64:
        return run_setp<i64>;
    case Type::F16:
        return run_setp<Half>;
    case Type::BF16:
        return run_setp<Brain>;
    case Type::F32:
        return run_setp<float>;
    case Type::F64:
        return run_setp<double>;
    default:
        return nullptr;
    }
}

const Opcode opcodes_convert[] = {
    { "mov", true, Flow::NEXT, pick_mov },   { "cvt", true, Flow::NEXT, pick_cvt },
    { "cvta", true, Flow::NEXT, pick_cvta }, { "setp", true, Flow::NEXT, pick_setp },
    { nullptr, false, Flow::NEXT, nullptr },
};

} // namespace sim
