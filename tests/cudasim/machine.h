/* machine.h - a block of threads that runs, and how operands are read and written. */
#ifndef CUDASIM_MACHINE_H
#define CUDASIM_MACHINE_H

#include "ptx.h"

#include <cstring>

namespace sim
{

struct Warp {
    char *registers;
    int pc[LANES];
    u32 live;       /* lanes that have not returned */
    u32 at_barrier; /* wait for the block */
    u32 waiting;    /* wait for other lanes of a collective */
    u32 epoch;      /* how many __syncwarp()s it has passed */
};

/* A copy that cp.async has begun and no wait has ended. */
struct PendingCopy {
    u32 to;
    const char *from;
    u32 bytes, read; /* read < bytes: the rest is zeros */
    u32 group;
};

struct AsyncCopies {
    std::vector<PendingCopy> pending;
    u32 group = 0;
};

struct Machine {
    Kernel *kernel;
    std::vector<Warp> warps;
    std::vector<AsyncCopies> async; /* of each thread */
    dim3 grid, block, index;        /* index: of this block */
    u64 block_number;
    u32 launch; /* number of the launch */
    u32 epoch;  /* how many barriers the block has passed */
    int n_threads, n_live, n_at_barrier;
    const char *parameters;
    char *shared; /* static, then dynamic */
    size_t dynamic_offset, dynamic_bytes;
    std::vector<char> local; /* local_bytes of each thread */

    /* what runs just now, for reports */
    int warp, lane;
    const Instruction *instruction;

    int thread() const
    {
        return warp * LANES + lane;
    }
    Warp &current()
    {
        return warps[(size_t)warp];
    }
};

void machine_run(Kernel *k, dim3 grid, dim3 block, size_t dynamic_bytes,
                 const std::vector<char> &parameters);

/* The address of `bytes` in a space as host memory, checked for bounds, alignment and races;
 * nullptr after a report. m.lane says who asks. */
char *machine_access(Machine &m, Space space, u64 address, size_t bytes, bool write, bool atomic);
char *machine_shared(Machine &m, u64 address, size_t bytes, bool write, bool atomic);
char *machine_global(Machine &m, u64 address, size_t bytes, bool write, bool atomic);

/* Does from .. to - 1 lie within one allocation of global memory in which races are not looked for?
 */
bool machine_span(Machine &m, u64 from, u64 to);

enum { SHARED_WINDOW = 232448 }; /* the most shared memory that a block can have */

/* --- races.cc ------------------------------------------------------------------------------- */

bool races_wanted(); /* CUDASIM_RACES, on by default */
bool races_looked_for(const Allocation *a);
void races_begin_block(size_t shared_bytes);
void races_shared(Machine &m, size_t offset, size_t bytes, bool write, bool atomic);
void races_global(Machine &m, Allocation *a, size_t offset, size_t bytes, bool write, bool atomic);
void races_unset(size_t offset, size_t bytes); /* what cp.async will write is not there yet */
void races_set(size_t offset, size_t bytes);

/* --- counters.cc ---------------------------------------------------------------------------- */

bool counters_wanted(); /* CUDASIM_COUNTERS */
void counters_access(Machine &m, const Instruction &i, const Operand &address, u32 active,
                     size_t bytes);

/* --- lanes ---------------------------------------------------------------------------------- */

template <class T> using Slot = typename std::conditional<sizeof(T) == 8, u64, u32>::type;

/* A value in the low bytes of a slot, the rest zeros. */
template <class T> inline T unpack(Slot<T> v)
{
    T out;
    memcpy(&out, &v, sizeof out);
    return out;
}

template <class T> inline Slot<T> pack(T v)
{
    Slot<T> out = 0;
    memcpy(&out, &v, sizeof v);
    return out;
}

/* 32 lanes of an operand. */
template <class S> inline const S *source(Machine &m, const Operand &o)
{
    if (o.kind == Operand::VALUE)
        return sizeof(S) == 8 ? (const S *)o.value : (const S *)(o.value + LANES);
    return (const S *)(m.current().registers + o.slot);
}

template <class S> inline S *result(Machine &m, const Operand &o)
{
    return (S *)(m.current().registers + o.slot);
}

/* One lane, whatever its width. */
inline u64 lane_get(Machine &m, const Operand &o, int lane)
{
    if (o.kind == Operand::VALUE)
        return o.value[0] + (o.dynamic ? m.dynamic_offset : 0);
    return o.kind == Operand::REG64 ? source<u64>(m, o)[lane] : source<u32>(m, o)[lane];
}

inline void lane_put(Machine &m, const Operand &o, int lane, u64 v)
{
    if (o.kind == Operand::REG64)
        result<u64>(m, o)[lane] = v;
    else if (o.kind == Operand::REG32)
        result<u32>(m, o)[lane] = (u32)v;
}

inline u64 lane_address(Machine &m, const Operand &o, int lane)
{
    u64 base = o.slot == Operand::NO_SLOT ? (o.dynamic ? m.dynamic_offset : 0)
               : o.wide                   ? ((const u64 *)(m.current().registers + o.slot))[lane]
                                          : ((const u32 *)(m.current().registers + o.slot))[lane];
    return base + (u64)o.displacement;
}

/* A predicate as a source, its "!" minded. */
inline bool lane_true(Machine &m, const Operand &o, int lane)
{
    return (lane_get(m, o, lane) & 1) != (u64)o.negated;
}

template <class Work> inline void each_lane(Machine &m, u32 active, Work work)
{
    for (int l = 0; l < LANES; l++)
        if (active >> l & 1) {
            m.lane = l;
            work(l);
        }
}

} // namespace sim

#endif
