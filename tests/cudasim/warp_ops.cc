/* warp_ops.cc - control flow, and opcodes in which the lanes of a warp come together. */
#include "machine.h"

#include <algorithm>

namespace sim
{

/* shfl.sync d|p, a, b, c, mask: c holds the segment's mask and the clamp. */
enum Shuffle : u8 { S_UP, S_DOWN, S_BUTTERFLY, S_INDEX };

static void run_shfl(Machine &m, const Instruction &i, u32 active)
{
    u32 out[LANES], valid[LANES];

    each_lane(m, active, [&](int l) {
        u32 b = (u32)lane_get(m, i.src[1], l), c = (u32)lane_get(m, i.src[2], l);
        int segment = (int)(c >> 8 & 31), clamp = (int)(c & 31);
        int highest = (l & segment) | (clamp & ~segment), lowest = l & segment, from;
        bool ok;

        switch (i.mode) {
        case S_UP:
            from = l - (int)b;
            ok = from >= highest;
            break;
        case S_DOWN:
            from = l + (int)b;
            ok = from <= highest;
            break;
        case S_BUTTERFLY:
            from = l ^ (int)b;
            ok = from <= highest;
            break;
        default:
            from = lowest | ((int)b & ~segment & 31);
            ok = from <= highest;
        }
        if (!ok)
            from = l;
        valid[l] = ok;
        if (active >> from & 1) {
            out[l] = (u32)lane_get(m, i.src[0], from);
        } else {
            report("inactive-shuffle", "lane %d reads lane %d, which takes no part (active %08x)",
                   l, from, active);
            out[l] = ~0u;
        }
    });
    each_lane(m, active, [&](int l) {
        lane_put(m, i.dst[0], l, out[l]);
        if (i.n_dst > 1)
            lane_put(m, i.dst[1], l, valid[l]);
    });
}

static Run pick_shfl(Instruction &i, const Modifiers &m)
{
    i.mode = m.has("up") ? S_UP : m.has("down") ? S_DOWN : m.has("bfly") ? S_BUTTERFLY : S_INDEX;
    return m.has("sync") ? run_shfl : nullptr;
}

enum Vote : u8 { V_BALLOT, V_ANY, V_ALL, V_UNIFORM };

static void run_vote(Machine &m, const Instruction &i, u32 active)
{
    u32 yes = 0, out;

    each_lane(m, active, [&](int l) { yes |= (u32)lane_true(m, i.src[0], l) << l; });
    switch (i.mode) {
    case V_BALLOT:
        out = yes;
        break;
    case V_ANY:
        out = yes != 0;
        break;
    case V_ALL:
        out = yes == active;
        break;
    default:
        out = !yes || yes == active;
    }
    each_lane(m, active, [&](int l) { lane_put(m, i.dst[0], l, out); });
}

static Run pick_vote(Instruction &i, const Modifiers &m)
{
    i.mode = m.has("ballot") ? V_BALLOT : m.has("any") ? V_ANY : m.has("all") ? V_ALL : V_UNIFORM;
    return m.has("sync") ? run_vote : nullptr;
}

enum Reduce : u8 { R_ADD, R_MIN, R_MAX, R_AND, R_OR, R_XOR };

template <class T> static void run_redux(Machine &m, const Instruction &i, u32 active)
{
    T sum = 0;
    bool first = true;

    each_lane(m, active, [&](int l) {
        T v = (T)lane_get(m, i.src[0], l);

        if (first)
            sum = v;
        else
            switch (i.mode) {
            case R_ADD:
                sum = (T)(sum + v);
                break;
            case R_MIN:
                sum = std::min(sum, v);
                break;
            case R_MAX:
                sum = std::max(sum, v);
                break;
            case R_AND:
                sum = (T)(sum & v);
                break;
            case R_OR:
                sum = (T)(sum | v);
                break;
            default:
                sum = (T)(sum ^ v);
            }
        first = false;
    });
    each_lane(m, active, [&](int l) { lane_put(m, i.dst[0], l, (u32)sum); });
}

static Run pick_redux(Instruction &i, const Modifiers &m)
{
    i.mode = m.has("add")   ? R_ADD
             : m.has("min") ? R_MIN
             : m.has("max") ? R_MAX
             : m.has("and") ? R_AND
             : m.has("or")  ? R_OR
                            : R_XOR;
    return i.type == Type::S32   ? (Run)run_redux<i32>
           : i.type == Type::F32 ? nullptr
                                 : (Run)run_redux<u32>;
}

static void run_activemask(Machine &m, const Instruction &i, u32 active)
{
    each_lane(m, active, [&](int l) { lane_put(m, i.dst[0], l, active); });
}

static Run pick_activemask(Instruction &, const Modifiers &)
{
    return run_activemask;
}

static void run_trap(Machine &m, const Instruction &, u32 active)
{
    m.lane = __builtin_ctz(active);
    report("trap", "the kernel gave up");
}

static Run pick_trap(Instruction &, const Modifiers &)
{
    return run_trap;
}

static void run_sync_warp(Machine &m, const Instruction &, u32)
{
    m.current().epoch++;
}

/* bar.warp.sync is a collective, bar.sync and barrier.sync wait for the block: only all of its
 * threads, at barrier 0. */
static Run pick_bar(Instruction &i, const Modifiers &m)
{
    if (m.has("warp")) {
        i.flow = Flow::COLLECTIVE;
        return run_sync_warp;
    }
    if (!m.has("sync") || i.n_src != 1 || i.src[0].kind != Operand::VALUE || i.src[0].value[0])
        return nullptr;
    i.flow = Flow::BARRIER;
    return run_sync_warp;
}

const Opcode opcodes_warp[] = {
    { "bra", false, Flow::BRANCH, nullptr },
    { "brx", false, Flow::BRANCH_INDEX, nullptr },
    { "ret", false, Flow::EXIT, nullptr },
    { "exit", false, Flow::EXIT, nullptr },
    { "bar", false, Flow::BARRIER, pick_bar },
    { "barrier", false, Flow::BARRIER, pick_bar },
    { "shfl", true, Flow::COLLECTIVE, pick_shfl },
    { "vote", true, Flow::COLLECTIVE, pick_vote },
    { "redux", true, Flow::COLLECTIVE, pick_redux },
    { "activemask", true, Flow::NEXT, pick_activemask },
    { "trap", false, Flow::NEXT, pick_trap },
    { "brkpt", false, Flow::NEXT, pick_trap },
    { nullptr, false, Flow::NEXT, nullptr },
};

const Opcode *opcode_named(const std::string &name)
{
    static const std::map<std::string, const Opcode *> all = [] {
        std::map<std::string, const Opcode *> found;

        for (const Opcode *table : { opcodes_arithmetic, opcodes_bits, opcodes_convert,
                                     opcodes_memory, opcodes_warp, opcodes_tensor })
            for (const Opcode *o = table; o->name; o++)
                found[o->name] = o;
        return found;
    }();
    auto it = all.find(name);

    return it == all.end() ? nullptr : it->second;
}

} // namespace sim
