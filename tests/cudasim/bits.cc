/* bits.cc - opcodes on bits and bytes: logic, shifts, fields, dp4a. */
#include "loops.h"

namespace sim
{

struct And {
    static Bit of(Bit a, Bit b)
    {
        return { a.v & b.v & 1 };
    }
    template <class T> static T of(T a, T b)
    {
        return (T)(a & b);
    }
};
struct Or {
    static Bit of(Bit a, Bit b)
    {
        return { (a.v | b.v) & 1 };
    }
    template <class T> static T of(T a, T b)
    {
        return (T)(a | b);
    }
};
struct Xor {
    static Bit of(Bit a, Bit b)
    {
        return { (a.v ^ b.v) & 1 };
    }
    template <class T> static T of(T a, T b)
    {
        return (T)(a ^ b);
    }
};
struct Not {
    static Bit of(Bit a)
    {
        return { ~a.v & 1 };
    }
    template <class T> static T of(T a)
    {
        return (T)~a;
    }
};

template <class Op, int N> static Run bits(Instruction &i, const Modifiers &)
{
    return i.type == Type::PRED ? same<Op, Bit, N>() : for_integers<Op, N>(i.type);
}

struct ShiftLeft {
    template <class T> static T of(T a, u32 n)
    {
        return n >= 8 * sizeof(T) ? (T)0 : (T)(a << n);
    }
};
struct ShiftRight {
    template <class T> static T of(T a, u32 n)
    {
        if (n >= 8 * sizeof(T))
            n = std::is_signed<T>::value ? 8 * sizeof(T) - 1 : 0,
            a = std::is_signed<T>::value ? a : (T)0;
        return (T)(a >> n);
    }
};

template <class Op> static Run shift(Instruction &i, const Modifiers &)
{
    switch (i.type) {
    case Type::B16:
    case Type::U16:
        return lanes<Op, u16, u16, u32>;
    case Type::S16:
        return lanes<Op, i16, i16, u32>;
    case Type::B32:
    case Type::U32:
        return lanes<Op, u32, u32, u32>;
    case Type::S32:
        return lanes<Op, i32, i32, u32>;
    case Type::B64:
    case Type::U64:
        return lanes<Op, u64, u64, u32>;
    case Type::S64:
        return lanes<Op, i64, i64, u32>;
    default:
        return nullptr;
    }
}

template <bool RIGHT, bool WRAP> struct Funnel { /* shf: of the 64 bits b:a */
    static u32 of(u32 a, u32 b, u32 n)
    {
        u64 both = (u64)b << 32 | a;

        n = WRAP ? n & 31 : n > 32 ? 32 : n;
        return RIGHT ? (u32)(both >> n) : (u32)((n ? both << n : both) >> 32);
    }
};

static Run pick_shf(Instruction &, const Modifiers &m)
{
    if (m.has("r"))
        return m.has("wrap") ? same<Funnel<true, true>, u32, 3>()
                             : same<Funnel<true, false>, u32, 3>();
    return m.has("wrap") ? same<Funnel<false, true>, u32, 3>()
                         : same<Funnel<false, false>, u32, 3>();
}

struct CountBits {
    template <class T> static u32 of(T a)
    {
        return (u32)__builtin_popcountll((u64)a);
    }
};
struct LeadingZeros {
    template <class T> static u32 of(T a)
    {
        return a ? (u32)(__builtin_clzll((u64)a) - (64 - 8 * (int)sizeof(T)))
                 : (u32)(8 * sizeof(T));
    }
};
struct Reverse {
    template <class T> static T of(T a)
    {
        T out = 0;

        for (size_t k = 0; k < 8 * sizeof(T); k++)
            out = (T)(out | (a >> k & 1) << (8 * sizeof(T) - 1 - k));
        return out;
    }
};
struct Select {
    template <class T> static T of(T a, T b, Bit p)
    {
        return p.v & 1 ? a : b;
    }
};
struct Permute { /* prmt: bytes of b:a, chosen by nibbles */
    static u32 of(u32 a, u32 b, u32 selector)
    {
        u64 both = (u64)b << 32 | a;
        u32 out = 0;

        for (int k = 0; k < 4; k++) {
            u32 n = selector >> (4 * k) & 15;
            u32 byte = (u32)(both >> (8 * (n & 7))) & 255;

            if (n & 8)
                byte = byte & 0x80 ? 255 : 0;
            out |= byte << (8 * k);
        }
        return out;
    }
};
struct InsertField { /* bfi */
    template <class T> static T of(T field, T into, u32 from, u32 n)
    {
        const u32 width = 8 * sizeof(T);

        from &= 255, n &= 255;
        if (from >= width || !n)
            return into;
        n = n > width - from ? width - from : n;
        T mask = (T)((n == width ? ~(T)0 : (((T)1 << n) - 1)) << from);
        return (T)((into & ~mask) | ((T)(field << from) & mask));
    }
};
struct ExtractField { /* bfe */
    template <class T> static T of(T a, u32 from, u32 n)
    {
        using U = typename std::make_unsigned<T>::type;
        const u32 width = 8 * sizeof(T);
        U out, mask;
        bool negative;

        from &= 255, n &= 255;
        if (!n)
            return 0;
        out = from >= width ? (a < 0 ? ~(U)0 : 0) : (U)(a >> from);
        if (n >= width)
            return (T)out;
        u32 top = from + n - 1 < width ? from + n - 1 : width - 1;
        negative = std::is_signed<T>::value && (a >> top & 1);
        mask = ((U)1 << n) - 1;
        return (T)(negative ? out | ~mask : out & mask);
    }
};

template <bool A_SIGNED, bool B_SIGNED> struct Dot4 { /* dp4a */
    static u32 of(u32 a, u32 b, u32 c)
    {
        for (int k = 0; k < 32; k += 8) {
            i32 x = A_SIGNED ? (i8)(a >> k) : (i32)(a >> k & 255);
            i32 y = B_SIGNED ? (i8)(b >> k) : (i32)(b >> k & 255);
            c += (u32)(x * y);
        }
        return c;
    }
};

static Run pick_dp4a(Instruction &i, const Modifiers &)
{
    bool a = i.type == Type::S32, b = i.from == Type::S32;

    return a ? (b ? same<Dot4<true, true>, u32, 3>() : same<Dot4<true, false>, u32, 3>())
             : (b ? same<Dot4<false, true>, u32, 3>() : same<Dot4<false, false>, u32, 3>());
}

template <class Op> static Run count(Instruction &i, const Modifiers &)
{
    return type_size(i.type) == 8 ? (Run)lanes<Op, u32, u64> : (Run)lanes<Op, u32, u32>;
}

static Run pick_brev(Instruction &i, const Modifiers &)
{
    return type_size(i.type) == 8 ? same<Reverse, u64, 1>() : same<Reverse, u32, 1>();
}

static Run pick_selp(Instruction &i, const Modifiers &)
{
    return type_size(i.type) == 8 ? (Run)lanes<Select, u64, u64, u64, Bit>
                                  : (Run)lanes<Select, u32, u32, u32, Bit>;
}

static Run pick_prmt(Instruction &, const Modifiers &m)
{
    return m.names.size() == 1 ? same<Permute, u32, 3>() : nullptr; /* f4e, b4e ... are not known */
}

static Run pick_bfi(Instruction &i, const Modifiers &)
{
    return type_size(i.type) == 8 ? (Run)lanes<InsertField, u64, u64, u64, u32, u32>
                                  : (Run)lanes<InsertField, u32, u32, u32, u32, u32>;
}

static Run pick_bfe(Instruction &i, const Modifiers &)
{
    switch (i.type) {
    case Type::U32:
        return lanes<ExtractField, u32, u32, u32, u32>;
    case Type::S32:
        return lanes<ExtractField, i32, i32, u32, u32>;
    case Type::U64:
        return lanes<ExtractField, u64, u64, u32, u32>;
    case Type::S64:
        return lanes<ExtractField, i64, i64, u32, u32>;
    default:
        return nullptr;
    }
}

/* lop3: the table of a function of three bits. */
static void run_lop3(Machine &m, const Instruction &i, u32 active)
{
    u32 *d = result<u32>(m, i.dst[0]);
    const u32 *a = source<u32>(m, i.src[0]), *b = source<u32>(m, i.src[1]),
              *c = source<u32>(m, i.src[2]);
    u32 table = (u32)i.src[3].value[0];

    for (int l = 0; l < LANES; l++) {
        u32 out = 0;

        for (u32 k = 0; k < 8; k++)
            if (table >> k & 1)
                out |= (k & 4 ? a[l] : ~a[l]) & (k & 2 ? b[l] : ~b[l]) & (k & 1 ? c[l] : ~c[l]);
        d[l] = active >> l & 1 ? out : d[l];
    }
}

static Run pick_lop3(Instruction &i, const Modifiers &)
{
    return i.n_src == 4 ? run_lop3 : nullptr;
}

#define PLAIN(name, pick)            \
    {                                \
        name, true, Flow::NEXT, pick \
    }
const Opcode opcodes_bits[] = {
    PLAIN("and", (bits<And, 2>)),
    PLAIN("or", (bits<Or, 2>)),
    PLAIN("xor", (bits<Xor, 2>)),
    PLAIN("not", (bits<Not, 1>)),
    PLAIN("shl", shift<ShiftLeft>),
    PLAIN("shr", shift<ShiftRight>),
    PLAIN("shf", pick_shf),
    PLAIN("popc", count<CountBits>),
    PLAIN("clz", count<LeadingZeros>),
    PLAIN("brev", pick_brev),
    PLAIN("selp", pick_selp),
    PLAIN("prmt", pick_prmt),
    PLAIN("bfi", pick_bfi),
    PLAIN("bfe", pick_bfe),
    PLAIN("lop3", pick_lop3),
    PLAIN("dp4a", pick_dp4a),
    { nullptr, false, Flow::NEXT, nullptr },
};

} // namespace sim
