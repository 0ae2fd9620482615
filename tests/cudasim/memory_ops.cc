/* memory_ops.cc - loads, stores, atomics and cp.async. */
#include "halves.h"
#include "machine.h"

#include <algorithm>

namespace sim
{

/* A value of type t in memory as a register keeps it: signed ones with their sign. */
static u64 load(const char *p, Type t)
{
    u64 v = 0;

    memcpy(&v, p, type_size(t));
    switch (t) {
    case Type::S8:
        return (u64)(i64)(i8)v;
    case Type::S16:
        return (u64)(i64)(i16)v;
    case Type::S32:
        return (u64)(i64)(i32)v;
    default:
        return v;
    }
}

/* Addresses of all active lanes within one allocation that no race is looked for in: checked once
 * for all.  Sets each lane's. */
static bool all_in_one(Machine &m, const Instruction &i, u32 active, size_t bytes,
                       u64 (&address)[LANES])
{
    u64 lowest = ~0ull, highest = 0, any = 0;

    if (i.space != Space::GLOBAL)
        return false;
    for (int l = 0; l < LANES; l++)
        if (active >> l & 1) {
            address[l] = lane_address(m, i.src[0], l);
            lowest = std::min(lowest, address[l]);
            highest = std::max(highest, address[l]);
            any |= address[l];
        }
    return !(any & (bytes - 1)) && machine_span(m, lowest, highest + bytes);
}

template <class S, class T>
static void load_lanes(Machine &m, const Instruction &i, u32 active, const u64 (&address)[LANES])
{
    for (unsigned k = 0; k < i.vector; k++) {
        S *d = result<S>(m, i.dst[k]);

        for (int l = 0; l < LANES; l++)
            if (active >> l & 1) {
                T v;

                memcpy(&v, (const char *)address[l] + k * sizeof v, sizeof v);
                d[l] = (S)v;
            }
    }
}

template <class S>
static void load_typed(Machine &m, const Instruction &i, u32 active, const u64 (&address)[LANES])
{
    switch (i.type) {
    case Type::S8:
        load_lanes<S, i8>(m, i, active, address);
        break;
    case Type::S16:
        load_lanes<S, i16>(m, i, active, address);
        break;
    case Type::S32:
        load_lanes<S, i32>(m, i, active, address);
        break;
    default:
        switch (type_size(i.type)) {
        case 1:
            load_lanes<S, u8>(m, i, active, address);
            break;
        case 2:
            load_lanes<S, u16>(m, i, active, address);
            break;
        case 4:
            load_lanes<S, u32>(m, i, active, address);
            break;
        default:
            load_lanes<S, u64>(m, i, active, address);
        }
    }
}

static void run_ld(Machine &m, const Instruction &i, u32 active)
{
    u64 address[LANES];

    size_t size = type_size(i.type), bytes = size * i.vector;

    if (counters_wanted())
        counters_access(m, i, i.src[0], active, bytes);
    if (i.dst[0].kind != Operand::NONE && all_in_one(m, i, active, bytes, address)) {
        if (i.dst[0].kind == Operand::REG64)
            load_typed<u64>(m, i, active, address);
        else
            load_typed<u32>(m, i, active, address);
        return;
    }
    each_lane(m, active, [&](int l) {
        const char *p =
            machine_access(m, i.space, lane_address(m, i.src[0], l), bytes, false, false);

        for (unsigned k = 0; k < i.vector; k++)
            lane_put(m, i.dst[k], l, p ? load(p + k * size, i.type) : ~0ull);
    });
}

static void run_ld_param(Machine &m, const Instruction &i, u32 active)
{
    size_t size = type_size(i.type);

    if (i.src[0].slot == Operand::NO_SLOT) { /* the same for all lanes, its place is known */
        for (unsigned k = 0; k < i.vector; k++) {
            u64 v = load(m.parameters + i.src[0].displacement + k * size, i.type);

            for (int l = 0; l < LANES; l++)
                if (active >> l & 1)
                    lane_put(m, i.dst[k], l, v);
        }
        return;
    }

    each_lane(m, active, [&](int l) {
        u64 at = lane_address(m, i.src[0], l);

        for (unsigned k = 0; k < i.vector; k++)
            if (at + (k + 1) * size <= m.kernel->parameter_bytes)
                lane_put(m, i.dst[k], l, load(m.parameters + at + k * size, i.type));
            else
                report("parameter-bounds", "byte %llu of %zu", (unsigned long long)at,
                       m.kernel->parameter_bytes);
    });
}

static Run pick_ld(Instruction &i, const Modifiers &m)
{
    if (m.types.empty())
        return nullptr;
    i.type = m.types.back();
    return i.space == Space::PARAM ? run_ld_param : run_ld;
}

static void run_st(Machine &m, const Instruction &i, u32 active)
{
    size_t size = type_size(i.type), bytes = size * i.vector;

    if (counters_wanted())
        counters_access(m, i, i.src[0], active, bytes);
    each_lane(m, active, [&](int l) {
        char *p = machine_access(m, i.space, lane_address(m, i.src[0], l), bytes, true, false);

        for (unsigned k = 0; k < i.vector && p; k++) {
            u64 v = lane_get(m, i.src[1 + k], l);
            memcpy(p + k * size, &v, size);
        }
    });
}

static Run pick_st(Instruction &i, const Modifiers &m)
{
    if (m.types.empty() || i.space == Space::PARAM)
        return nullptr;
    i.type = m.types.back();
    return run_st;
}

/* --- atomics -------------------------------------------------------------------------------- */

enum Atomic : u8 { A_ADD, A_MIN, A_MAX, A_EXCH, A_CAS, A_AND, A_OR, A_XOR, A_INC, A_DEC };

template <class T> static T atomic_number(u8 how, T old, T v)
{
    switch (how) {
    case A_ADD:
        return (T)(old + v);
    case A_MIN:
        return old < v ? old : v;
    case A_MAX:
        return old > v ? old : v;
    default:
        return v;
    }
}

static u64 atomic_bits(u8 how, u64 old, u64 v, u64 other)
{
    switch (how) {
    case A_CAS:
        return old == v ? other : old;
    case A_AND:
        return old & v;
    case A_OR:
        return old | v;
    case A_XOR:
        return old ^ v;
    case A_INC:
        return (u32)old >= (u32)v ? 0 : old + 1;
    case A_DEC:
        return !(u32)old || (u32)old > (u32)v ? v : old - 1;
    default:
        return v;
    }
}

static u64 atomic_result(const Instruction &i, u64 old, u64 v, u64 other)
{
    if (i.mode >= A_EXCH)
        return i.mode == A_EXCH ? v : atomic_bits(i.mode, old, v, other);
    switch (i.type) {
    case Type::F32:
        return pack(atomic_number(i.mode, unpack<float>((u32)old), unpack<float>((u32)v)));
    case Type::F64:
        return pack(atomic_number(i.mode, unpack<double>(old), unpack<double>(v)));
    case Type::S32:
        return pack(atomic_number(i.mode, unpack<i32>((u32)old), unpack<i32>((u32)v)));
    case Type::S64:
        return pack(atomic_number(i.mode, unpack<i64>(old), unpack<i64>(v)));
    default:
        return atomic_number(i.mode, old, v);
    }
}

static void run_atom(Machine &m, const Instruction &i, u32 active)
{
    size_t size = type_size(i.type);

    each_lane(m, active, [&](int l) {
        char *p = machine_access(m, i.space, lane_address(m, i.src[0], l), size, true, true);
        u64 old = 0, now;

        if (!p)
            return;
        memcpy(&old, p, size);
        u64 v = lane_get(m, i.src[1], l);
        if (size == 4)
            v = (u32)v;
        now = atomic_result(i, old, v, i.n_src > 2 ? lane_get(m, i.src[2], l) : 0);
        memcpy(p, &now, size);
        if (i.n_dst)
            lane_put(m, i.dst[0], l, old);
    });
}

static Run pick_atom(Instruction &i, const Modifiers &m)
{
    static const char *const names[] = { "add", "min", "max", "exch", "cas",
                                         "and", "or",  "xor", "inc",  "dec" };
    bool found = false;

    if (m.types.empty())
        return nullptr;
    i.type = m.types.back();
    for (u8 k = 0; k < 10 && !found; k++)
        if (m.has(names[k])) {
            i.mode = k;
            found = true;
        }
    return found && type_size(i.type) >= 4 && i.type != Type::F16X2 && i.type != Type::BF16X2
               ? run_atom
               : nullptr;
}

/* --- cp.async: lands at its wait and not before ------------------------------------------------
 */

static void run_cp_async(Machine &m, const Instruction &i, u32 active)
{
    u32 bytes = (u32)i.src[2].value[0];

    each_lane(m, active, [&](int l) {
        u64 at = (u32)lane_address(m, i.src[0], l);
        char *to = machine_shared(m, at, bytes, true, false);
        u32 read = i.n_src > 3 ? (u32)lane_get(m, i.src[3], l) : bytes;
        AsyncCopies &mine = m.async[(size_t)m.thread()];
        const char *from = nullptr;

        if (read)
            from = machine_global(m, lane_address(m, i.src[1], l), bytes, false, false);
        if (!to)
            return;
        races_unset((size_t)at, bytes);
        mine.pending.push_back(
            { (u32)at, from, bytes, from ? std::min(read, bytes) : 0, mine.group });
    });
}

static void run_cp_commit(Machine &m, const Instruction &, u32 active)
{
    each_lane(m, active, [&](int) { m.async[(size_t)m.thread()].group++; });
}

/* mode: how many of the last groups may still be on their way; 255 for none, committed or not. */
static void run_cp_wait(Machine &m, const Instruction &i, u32 active)
{
    each_lane(m, active, [&](int) {
        AsyncCopies &mine = m.async[(size_t)m.thread()];
        std::vector<PendingCopy> left;

        for (const PendingCopy &c : mine.pending) {
            bool lands =
                i.mode == 255 || (c.group < mine.group && mine.group - 1 - c.group >= i.mode);

            if (!lands) {
                left.push_back(c);
                continue;
            }
            memset(m.shared + c.to, 0, c.bytes);
            if (c.read)
                memcpy(m.shared + c.to, c.from, c.read);
            races_set(c.to, c.bytes);
        }
        mine.pending.swap(left);
    });
}

static Run pick_cp(Instruction &i, const Modifiers &m)
{
    if (!m.has("async") || m.has("bulk"))
        return nullptr;
    if (m.has("commit_group"))
        return run_cp_commit;
    if (m.has("wait_all") || m.has("wait_group")) {
        i.mode = m.has("wait_all") ? 255 : (u8)i.src[0].value[0];
        return run_cp_wait;
    }
    return i.n_src >= 3 && i.src[2].kind == Operand::VALUE ? run_cp_async : nullptr;
}

static void run_nothing(Machine &, const Instruction &, u32)
{
}
static Run pick_nothing(Instruction &, const Modifiers &)
{
    return run_nothing;
}

const Opcode opcodes_memory[] = {
    { "ld", true, Flow::NEXT, pick_ld },
    { "ldu", true, Flow::NEXT, pick_ld },
    { "st", false, Flow::NEXT, pick_st },
    { "atom", true, Flow::NEXT, pick_atom },
    { "red", false, Flow::NEXT, pick_atom },
    { "cp", false, Flow::NEXT, pick_cp },
    { "membar", false, Flow::NEXT, pick_nothing },
    { "fence", false, Flow::NEXT, pick_nothing },
    { "prefetch", false, Flow::NEXT, pick_nothing },
    { "prefetchu", false, Flow::NEXT, pick_nothing },
    { "griddepcontrol", false, Flow::NEXT, pick_nothing },
    { "nanosleep", false, Flow::NEXT, pick_nothing },
    { nullptr, false, Flow::NEXT, nullptr },
};

} // namespace sim
