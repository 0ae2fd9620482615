/* machine.cc - runs a kernel block by block.
 *
 * Lanes of a warp have their own places in the code; those at the lowest place run together, so
 * they come together again where branches end.  Warps of a block take turns at random, blocks come
 * in a random rotation (CUDASIM_SEED). Lanes at a collective wait until all live lanes that its
 * mask names are there. */
#include "machine.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>

namespace sim
{

static Machine *running;
static u64 random_state;

static u32 random_number() /* xorshift64 (Marsaglia 2003) */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)(random_state >> 16);
}

static std::string place()
{
    Machine &m = *running;
    const Instruction &i = *m.instruction;
    char text[96];
    std::string file = m.kernel->module->files[i.file];

    snprintf(text, sizeof text, " block (%u,%u,%u) thread %d at ", m.index.x, m.index.y, m.index.z,
             m.thread());
    return text + file.substr(file.rfind('/') + 1) + ":" + std::to_string(i.line) + " [" + i.text +
           "]";
}

/* --- one warp ------------------------------------------------------------------------------- */

static u32 guarded(Machine &m, const Instruction &i, u32 active)
{
    const u32 *p;
    u32 out = 0;

    if (i.guard == Operand::NO_SLOT)
        return active;
    p = (const u32 *)(m.current().registers + i.guard);
    for (int l = 0; l < LANES; l++)
        if (active >> l & 1 && (p[l] & 1) != (u32)i.guard_not)
            out |= 1u << l;
    return out;
}

static void set_pc(Warp &w, u32 lanes, int pc)
{
    for (int l = 0; l < LANES; l++)
        if (lanes >> l & 1)
            w.pc[l] = pc;
}

/* Which operand of a collective is its mask. */
static const Operand &mask_of(const Instruction &i)
{
    return i.src[i.n_src - 1];
}

static void check_mask(Machine &m, Warp &w, u32 lanes, u32 mask)
{
    u32 last = m.n_threads % LANES && m.warp == (int)m.warps.size() - 1
                   ? (1u << m.n_threads % LANES) - 1
                   : ~0u;

    if (lanes & ~mask) {
        m.lane = __builtin_ctz(lanes & ~mask);
        report("bad-mask", "lane %d is not in its own mask %08x", m.lane, mask);
    }
    if (mask & ~w.live & last)
        report("exited-lane", "mask %08x names lanes %08x, which have returned", mask,
               mask & ~w.live & last);
}

/* Lanes `here` are at a collective at pc.  Returns false where they have to wait for others. */
static bool collective(Machine &m, Warp &w, const Instruction &i, int pc, u32 here, bool forced)
{
    u32 waiting = 0, together, needed, mask;

    for (int l = 0; l < LANES; l++)
        if (w.waiting >> l & 1 && w.pc[l] == pc)
            waiting |= 1u << l;
    together = here | waiting;
    m.lane = __builtin_ctz(here);
    mask = (u32)lane_get(m, mask_of(i), m.lane);
    needed = mask & w.live;
    if ((together & needed) != needed && !forced) {
        w.waiting |= here;
        set_pc(w, here, pc);
        return false;
    }
    check_mask(m, w, here, mask);
    if ((together & needed) != needed)
        report("divergent-collective",
               "lanes %08x with mask %08x, but live lanes %08x are elsewhere", together, mask,
               needed & ~together);
    i.run(m, i, together);
    w.waiting &= ~waiting;
    set_pc(w, together, pc + 1);
    return true;
}

static void branch(Machine &m, Warp &w, const Instruction &i, int pc, u32 active, u32 taken)
{
    set_pc(w, active & ~taken, pc + 1);
    if (i.flow == Flow::BRANCH) {
        set_pc(w, taken, i.targets[0]);
        return;
    }
    each_lane(m, taken, [&](int l) {
        u64 k = lane_get(m, i.src[0], l);

        if (k >= i.targets.size()) {
            report("branch-index", "%llu of %zu targets", (unsigned long long)k, i.targets.size());
            k = 0;
        }
        w.pc[l] = i.targets[(size_t)k];
    });
}

/* The lanes at the lowest place among those that can run, and the next place where others wait. */
static u32 lowest(const Warp &w, u32 can_run, int *pc, int *next)
{
    u32 lanes = 0;

    *pc = *next = INT_MAX;
    for (int l = 0; l < LANES; l++) {
        if (!(can_run >> l & 1))
            continue;
        if (w.pc[l] < *pc) {
            *next = *pc;
            *pc = w.pc[l];
            lanes = 1u << l;
        } else if (w.pc[l] == *pc) {
            lanes |= 1u << l;
        } else {
            *next = std::min(*next, w.pc[l]);
        }
    }
    return lanes;
}

/* Runs some instructions of a warp; false when all its lanes wait or are done. */
static bool step(Machine &m, int warp, int budget)
{
    Warp &w = m.warps[(size_t)warp];
    Counters &count = m.kernel->counters;
    bool forced = false, counting = counters_wanted();

    m.warp = warp;
    while (budget > 0) {
        u32 can_run = w.live & ~w.at_barrier & ~w.waiting;
        int pc, next;

        if (!can_run) { /* all wait: those at a collective for lanes that will never come */
            if (!w.waiting || forced)
                return false;
            can_run = w.waiting;
            w.waiting = 0;
            forced = true;
        }
        u32 active = lowest(w, can_run, &pc, &next);
        for (bool straight = true; straight && pc < next; pc++) { /* while they stay together */
            const Instruction &i = m.kernel->code[(size_t)pc];
            u32 taken = guarded(m, i, active);

            m.instruction = &i;
            count.instructions++;
            count.lanes += counting ? (u64)__builtin_popcount(taken) : 0;
            budget--;
            if (i.flow == Flow::NEXT) {
                if (taken)
                    i.run(m, i, taken);
                straight = budget > 0 && pc + 1 < next;
                if (!straight)
                    set_pc(w, active, pc + 1);
                continue;
            }
            straight = false;
            if (!taken) {
                set_pc(w, active, pc + 1);
            } else if (i.flow == Flow::BRANCH || i.flow == Flow::BRANCH_INDEX) {
                branch(m, w, i, pc, active, taken);
            } else if (i.flow == Flow::EXIT) {
                w.live &= ~taken;
                m.n_live -= __builtin_popcount(taken);
                set_pc(w, active & ~taken, pc + 1);
            } else if (i.flow == Flow::BARRIER) {
                w.at_barrier |= taken;
                m.n_at_barrier += __builtin_popcount(taken);
                set_pc(w, active, pc + 1);
            } else {
                set_pc(w, active & ~taken, pc + 1);
                if (collective(m, w, i, pc, taken, forced))
                    forced = false;
            }
        }
    }
    return true;
}

/* --- one block ------------------------------------------------------------------------------ */

static void fill_special(Machine &m, Warp &w, int warp)
{
    auto lanes = [&](Special s) { return (u32 *)(w.registers + (size_t)s * SLOT32_BYTES); };
    const u32 same[][2] = {
        { NTID_X, m.block.x },  { NTID_Y, m.block.y },  { NTID_Z, m.block.z },
        { CTAID_X, m.index.x }, { CTAID_Y, m.index.y }, { CTAID_Z, m.index.z },
        { NCTAID_X, m.grid.x }, { NCTAID_Y, m.grid.y }, { NCTAID_Z, m.grid.z },
        { WARPID, (u32)warp },  { CLOCK, m.launch },    { DYNAMIC_SMEM, (u32)m.dynamic_bytes },
    };

    for (int l = 0; l < LANES; l++) {
        u32 t = (u32)(warp * LANES + l), below = (1u << l) - 1;

        lanes(TID_X)[l] = t % m.block.x;
        lanes(TID_Y)[l] = t / m.block.x % m.block.y;
        lanes(TID_Z)[l] = t / m.block.x / m.block.y;
        for (auto &s : same)
            lanes((Special)s[0])[l] = s[1];
        lanes(LANEID)[l] = (u32)l;
        lanes(LANEMASK_LT)[l] = below;
        lanes(LANEMASK_EQ)[l] = 1u << l;
        lanes(LANEMASK_LE)[l] = below | 1u << l;
        lanes(LANEMASK_GE)[l] = ~below;
        lanes(LANEMASK_GT)[l] = ~(below | 1u << l);
    }
}

static void begin_block(Machine &m, std::vector<char> &registers)
{
    Kernel &k = *m.kernel;
    size_t n_warps = (size_t)(m.n_threads + LANES - 1) / LANES,
           shared = m.dynamic_offset + m.dynamic_bytes;
    char *base;

    m.warps.resize(n_warps);
    registers.resize(n_warps * k.register_bytes + 64);
    base = (char *)(((uintptr_t)registers.data() + 63) & ~(uintptr_t)63);
    m.n_live = m.n_threads;
    m.n_at_barrier = 0;
    m.epoch = 1;
    if (k.uses_async)
        m.async.assign(n_warps * LANES, AsyncCopies());
    m.local.assign(n_warps * LANES * k.local_bytes, (char)0xA5);
    if (races_wanted()) /* what was never written is a NaN */
        memset(base, 0xff, n_warps * k.register_bytes);
    memset(m.shared, 0xff, shared);
    races_begin_block(shared);
    for (size_t i = 0; i < n_warps; i++) {
        Warp &w = m.warps[i];
        bool last = i + 1 == n_warps && m.n_threads % LANES;

        w.registers = base + i * k.register_bytes;
        w.live = last ? (1u << m.n_threads % LANES) - 1 : ~0u;
        w.at_barrier = w.waiting = 0;
        w.epoch = 1;
        set_pc(w, ~0u, 0);
        fill_special(m, w, (int)i);
    }
}

/* All live threads have come to a barrier: the same one? */
static void pass_barrier(Machine &m)
{
    int pc = -1;

    for (Warp &w : m.warps)
        for (int l = 0; l < LANES; l++) {
            if (!(w.at_barrier >> l & 1))
                continue;
            if (pc >= 0 && w.pc[l] != pc) {
                m.instruction = &m.kernel->code[(size_t)w.pc[l] - 1];
                report("divergent-barrier", "threads of a block meet at different barriers");
                pc = INT_MIN;
            }
            if (pc == -1)
                pc = w.pc[l];
        }
    m.epoch++;
    m.n_at_barrier = 0;
    for (Warp &w : m.warps)
        w.at_barrier = 0;
}

static std::vector<int> live_warps(const Machine &m)
{
    std::vector<int> out;

    for (size_t i = 0; i < m.warps.size(); i++)
        if (m.warps[i].live)
            out.push_back((int)i);
    return out;
}

static void run_block(Machine &m, std::vector<char> &registers)
{
    begin_block(m, registers);
    std::vector<int> ready = live_warps(m);
    while (m.n_live && reports() < MAX_REPORTS) {
        if (ready.empty()) {
            if (m.n_at_barrier != m.n_live) {
                report("deadlock", "%d of %d live threads are at a barrier, the others cannot run",
                       m.n_at_barrier, m.n_live);
                return;
            }
            pass_barrier(m);
            ready = live_warps(m);
        }
        size_t k = random_number() % ready.size();
        if (!step(m, ready[k], 1 + (int)(random_number() % 64) * 4)) {
            ready[k] = ready.back();
            ready.pop_back();
        }
    }
}

static char *shared_memory()
{
    static char *p = (char *)aligned_alloc(1024, (SHARED_WINDOW + 1024) / 1024 * 1024);
    return p;
}

void machine_run(Kernel *k, dim3 grid, dim3 block, size_t dynamic_bytes,
                 const std::vector<char> &parameters)
{
    static std::vector<char> registers;
    static u32 launch;
    Machine m = {};
    u64 n_blocks = (u64)grid.x * grid.y * grid.z, first;

    m.kernel = k;
    m.grid = grid;
    m.block = block;
    m.n_threads = (int)(block.x * block.y * block.z);
    m.parameters = parameters.data();
    m.launch = ++launch;
    m.shared = shared_memory();
    m.dynamic_offset = (k->shared_bytes + 15) / 16 * 16;
    m.dynamic_bytes = dynamic_bytes;
    m.instruction = &k->code[0];
    running = &m;
    current_kernel = k->name.c_str();
    current_place = place;
    k->counters.launches++;
    if (m.dynamic_offset + dynamic_bytes > SHARED_WINDOW) {
        report("shared-size", "%zu bytes of shared memory", m.dynamic_offset + dynamic_bytes);
    } else {
        random_state = 0x9E3779B97F4A7C15ull * (u64)(option("SEED", 1) + (i64)launch * 7919);
        first = random_number() % n_blocks;
        for (u64 b = 0; b < n_blocks && reports() < MAX_REPORTS; b++) {
            m.block_number = (b + first) % n_blocks;
            m.index = dim3((u32)(m.block_number % grid.x), (u32)(m.block_number / grid.x % grid.y),
                           (u32)(m.block_number / grid.x / grid.y));
            run_block(m, registers);
        }
        if (races_wanted())
            check_fences("after a kernel");
    }
    current_kernel = "";
    running = nullptr;
}

} // namespace sim
