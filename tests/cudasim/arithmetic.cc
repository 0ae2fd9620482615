/* arithmetic.cc - opcodes on numbers: a lane from the same lane of the sources. */
#include "loops.h"

namespace sim
{

float half_to_float(u16 bits)
{
    static float *table = [] {
        float *t = new float[65536];

        for (u32 i = 0; i < 65536; i++) {
            u16 b = (u16)i;
            _Float16 h;

            memcpy(&h, &b, 2);
            t[i] = (float)h;
        }
        return t;
    }();
    return table[bits];
}

/* --- numbers -------------------------------------------------------------------------------- */

template <class T>
struct is_half
    : std::integral_constant<bool, std::is_same<T, Half>::value || std::is_same<T, Brain>::value> {
};

/* Work in float32 for halves; in the type itself for all others. */
template <class T, class F, class... S> static inline T through_float(F f, S... s)
{
    if constexpr (is_half<T>::value)
        return T((float)f((float)s...));
    else
        return (T)f(s...);
}

struct Add {
    template <class T> static T of(T a, T b)
    {
        return through_float<T>([](auto x, auto y) { return x + y; }, a, b);
    }
};
struct Sub {
    template <class T> static T of(T a, T b)
    {
        return through_float<T>([](auto x, auto y) { return x - y; }, a, b);
    }
};
struct Mul {
    template <class T> static T of(T a, T b)
    {
        return through_float<T>([](auto x, auto y) { return x * y; }, a, b);
    }
};
struct Fma {
    static float of(float a, float b, float c)
    {
        return fmaf(a, b, c);
    }
    static double of(double a, double b, double c)
    {
        return fma(a, b, c);
    }
    template <class H> static H of(H a, H b, H c)
    {
        return H((double)(float)a * (double)(float)b + (double)(float)c);
    }
};
struct MadLow {
    template <class T> static T of(T a, T b, T c)
    {
        return (T)(a * b + c);
    }
};
struct Divide {
    static float of(float a, float b)
    {
        return a / b;
    }
    static double of(double a, double b)
    {
        return a / b;
    }
    template <class T> static T of(T a, T b)
    {
        if (!b)
            return (T)-1;
        if (std::is_signed<T>::value && b == (T)-1)
            return (T)(0 - a);
        return (T)(a / b);
    }
};
struct Remainder {
    template <class T> static T of(T a, T b)
    {
        if (!b)
            return a;
        return std::is_signed<T>::value && b == (T)-1 ? (T)0 : (T)(a % b);
    }
};
struct Negate {
    static Half of(Half a)
    {
        a.bits ^= 0x8000;
        return a;
    }
    static Brain of(Brain a)
    {
        a.bits ^= 0x8000;
        return a;
    }
    template <class T> static T of(T a)
    {
        return (T)-a;
    }
};
struct Absolute {
    static float of(float a)
    {
        return fabsf(a);
    }
    static double of(double a)
    {
        return fabs(a);
    }
    static Half of(Half a)
    {
        a.bits &= 0x7fff;
        return a;
    }
    static Brain of(Brain a)
    {
        a.bits &= 0x7fff;
        return a;
    }
    template <class T> static T of(T a)
    {
        return a < 0 ? (T)-a : a;
    }
};
struct Minimum {
    static float of(float a, float b)
    {
        return fminf(a, b);
    }
    static double of(double a, double b)
    {
        return fmin(a, b);
    }
    static Half of(Half a, Half b)
    {
        return Half(fminf(a, b));
    }
    static Brain of(Brain a, Brain b)
    {
        return Brain(fminf(a, b));
    }
    template <class T> static T of(T a, T b)
    {
        return a < b ? a : b;
    }
};
struct Maximum {
    static float of(float a, float b)
    {
        return fmaxf(a, b);
    }
    static double of(double a, double b)
    {
        return fmax(a, b);
    }
    static Half of(Half a, Half b)
    {
        return Half(fmaxf(a, b));
    }
    static Brain of(Brain a, Brain b)
    {
        return Brain(fmaxf(a, b));
    }
    template <class T> static T of(T a, T b)
    {
        return a > b ? a : b;
    }
};

struct CopySign { /* the sign of a on b */
    static float of(float a, float b)
    {
        return copysignf(b, a);
    }
    static double of(double a, double b)
    {
        return copysign(b, a);
    }
};

template <class T> struct Wider;
template <> struct Wider<u16> {
    using type = u32;
};
template <> struct Wider<i16> {
    using type = i32;
};
template <> struct Wider<u32> {
    using type = u64;
};
template <> struct Wider<i32> {
    using type = i64;
};
template <> struct Wider<u64> {
    using type = unsigned __int128;
};
template <> struct Wider<i64> {
    using type = __int128;
};
template <class T> using wider = typename Wider<T>::type;

struct MulHigh {
    template <class T> static T of(T a, T b)
    {
        return (T)(((wider<T>)a * (wider<T>)b) >> (8 * sizeof(T)));
    }
};
struct MadHigh {
    template <class T> static T of(T a, T b, T c)
    {
        return (T)(MulHigh::of(a, b) + c);
    }
};
struct MulWide {
    template <class T> static wider<T> of(T a, T b)
    {
        return (wider<T>)a * (wider<T>)b;
    }
};
struct MadWide {
    template <class T> static wider<T> of(T a, T b, wider<T> c)
    {
        return (wider<T>)((wider<T>)a * (wider<T>)b + c);
    }
};

static Run pick_mul_wide(Type t)
{
    switch (t) {
    case Type::U16:
        return lanes<MulWide, u32, u16, u16>;
    case Type::S16:
        return lanes<MulWide, i32, i16, i16>;
    case Type::U32:
        return lanes<MulWide, u64, u32, u32>;
    case Type::S32:
        return lanes<MulWide, i64, i32, i32>;
    default:
        return nullptr;
    }
}

static Run pick_mad_wide(Type t)
{
    switch (t) {
    case Type::U16:
        return lanes<MadWide, u32, u16, u16, u32>;
    case Type::S16:
        return lanes<MadWide, i32, i16, i16, i32>;
    case Type::U32:
        return lanes<MadWide, u64, u32, u32, u64>;
    case Type::S32:
        return lanes<MadWide, i64, i32, i32, i64>;
    default:
        return nullptr;
    }
}

static Run pick_mul(Instruction &i, const Modifiers &m)
{
    if (m.has("wide"))
        return pick_mul_wide(i.type);
    return m.has("hi") ? for_integers<MulHigh, 2>(i.type) : numbers<Mul, 2>(i, m);
}

static Run pick_mad(Instruction &i, const Modifiers &m)
{
    if (odd_rounding(m))
        return nullptr;
    if (m.has("wide"))
        return pick_mad_wide(i.type);
    if (type_is_float(i.type))
        return for_floats<Fma, 3>(i);
    return m.has("hi") ? for_integers<MadHigh, 3>(i.type) : for_integers<MadLow, 3>(i.type);
}

static Run pick_fma(Instruction &i, const Modifiers &m)
{
    if (odd_rounding(m))
        return directed<Fma, 3>(i, m);
    return m.has("relu") ? nullptr : for_floats<Fma, 3>(i);
}

static Run pick_div(Instruction &i, const Modifiers &m)
{
    if (odd_rounding(m))
        return nullptr;
    if (i.type == Type::F32)
        return same<Divide, float, 2>();
    return i.type == Type::F64 ? same<Divide, double, 2>() : for_integers<Divide, 2>(i.type);
}

static Run pick_copysign(Instruction &i, const Modifiers &)
{
    return i.type == Type::F32   ? same<CopySign, float, 2>()
           : i.type == Type::F64 ? same<CopySign, double, 2>()
                                 : nullptr;
}

/* --- functions of one float ------------------------------------------------------------------ */

#define FUNCTION(Name, expression)                                           \
    struct Name {                                                            \
        template <class T> static T of(T a)                                  \
        {                                                                    \
            return through_float<T>([](auto x) { return (expression); }, a); \
        }                                                                    \
    };
FUNCTION(Exp2, std::exp2(x))
FUNCTION(Log2, std::log2(x))
FUNCTION(Reciprocal, 1 / x)
FUNCTION(RootReciprocal, 1 / std::sqrt(x))
FUNCTION(Root, std::sqrt(x))
FUNCTION(Sine, std::sin(x))
FUNCTION(Cosine, std::cos(x))
FUNCTION(Tanh, std::tanh(x))

template <class Op> static Run one_float(Instruction &i, const Modifiers &m)
{
    return odd_rounding(m) ? nullptr : for_floats<Op, 1>(i);
}

#define PLAIN(name, pick)            \
    {                                \
        name, true, Flow::NEXT, pick \
    }
const Opcode opcodes_arithmetic[] = {
    PLAIN("add", (numbers<Add, 2>)),
    PLAIN("sub", (numbers<Sub, 2>)),
    PLAIN("mul", pick_mul),
    PLAIN("mad", pick_mad),
    PLAIN("fma", pick_fma),
    PLAIN("div", pick_div),
    PLAIN("rem",
          ([](Instruction &i, const Modifiers &) { return for_integers<Remainder, 2>(i.type); })),
    PLAIN("neg", (numbers<Negate, 1>)),
    PLAIN("abs", (numbers<Absolute, 1>)),
    PLAIN("min", (numbers<Minimum, 2>)),
    PLAIN("max", (numbers<Maximum, 2>)),
    PLAIN("copysign", pick_copysign),
    PLAIN("ex2", one_float<Exp2>),
    PLAIN("lg2", one_float<Log2>),
    PLAIN("rcp", one_float<Reciprocal>),
    PLAIN("rsqrt", one_float<RootReciprocal>),
    PLAIN("sqrt", one_float<Root>),
    PLAIN("sin", one_float<Sine>),
    PLAIN("cos", one_float<Cosine>),
    PLAIN("tanh", one_float<Tanh>),
    { nullptr, false, Flow::NEXT, nullptr },
};

} // namespace sim
