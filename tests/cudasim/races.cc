/* races.cc - two threads at the same byte, at least one writing, and nothing that puts them in
 * order.
 *
 * Within a block a barrier orders threads: each pass of one is an epoch of the block.  Within a
 * warp __syncwarp() does too: an epoch of the warp.  Between blocks of a launch nothing does but
 * atomics, whose order is not looked into.
 *
 * Accesses of 4 bytes and more are noted at the first byte of each word only; smaller ones at their
 * own. */
#include "machine.h"

#include <algorithm>
#include <cstdlib>

namespace sim
{

bool races_wanted()
{
    static const bool wanted = option("RACES", 1);
    return wanted;
}

/* --- shared memory --------------------------------------------------------------------------- */

struct Access {
    u16 thread = 0; /* + 1; 0: none */
    u32 epoch = 0, warp_epoch = 0;
};

enum Readers : u8 { ONE_READER, READERS_OF_A_WARP, READERS_OF_WARPS };

struct SharedByte {
    Access write, read; /* the last ones */
    u8 readers = ONE_READER;
};

static u32 block_number; /* counts blocks: cells of others are empty */

struct SharedCell {
    u32 block = 0;
    SharedByte byte;
};

static SharedCell cells[SHARED_WINDOW];
static u8 is_set[SHARED_WINDOW]; /* bytes that were written */

static SharedByte &shared_byte(size_t offset)
{
    SharedCell &c = cells[offset];

    if (c.block != block_number) {
        c.block = block_number;
        c.byte = SharedByte();
    }
    return c.byte;
}

void races_begin_block(size_t bytes)
{
    if (!races_wanted())
        return;
    block_number++;
    memset(is_set, 0, bytes);
}

void races_unset(size_t offset, size_t bytes)
{
    memset(is_set + offset, 0, bytes);
}
void races_set(size_t offset, size_t bytes)
{
    memset(is_set + offset, 1, bytes);
}

static bool same_warp(const Access &a, const Access &b)
{
    return (a.thread - 1) / LANES == (b.thread - 1) / LANES;
}

static bool ordered(const Access &before, const Access &now)
{
    return !before.thread || before.thread == now.thread || before.epoch != now.epoch ||
           (same_warp(before, now) && before.warp_epoch != now.warp_epoch);
}

/* Several threads may have read; the last one stands for them. */
static bool reads_ordered(const SharedByte &b, const Access &now)
{
    if (!b.read.thread || b.read.epoch != now.epoch)
        return true;
    if (b.readers == ONE_READER)
        return ordered(b.read, now);
    return b.readers == READERS_OF_A_WARP && same_warp(b.read, now) &&
           b.read.warp_epoch != now.warp_epoch;
}

static void note_read(SharedByte &b, const Access &now)
{
    if (!b.read.thread || b.read.epoch != now.epoch)
        b.readers = ONE_READER;
    else if (b.read.thread != now.thread)
        b.readers = same_warp(b.read, now) && b.readers != READERS_OF_WARPS ? READERS_OF_A_WARP
                                                                            : READERS_OF_WARPS;
    b.read = now;
}

void races_shared(Machine &m, size_t offset, size_t bytes, bool write, bool atomic)
{
    Access now;

    now.thread = (u16)(m.thread() + 1);
    now.epoch = m.epoch;
    now.warp_epoch = m.current().epoch;
    if (write) {
        memset(is_set + offset, 1, bytes);
    } else if (const void *unset = memchr(is_set + offset, 0, bytes)) {
        report("uninitialised", "byte %zu of shared memory is read before it was written",
               (size_t)((const u8 *)unset - is_set));
        memset(is_set + offset, 1, bytes);
    }
    for (size_t i = 0; i < bytes; i += bytes < 4 ? 1 : 4) {
        SharedByte &b = shared_byte(offset + i);

        if (!atomic && !ordered(b.write, now)) {
            report("shared-race", "%s of what thread %d wrote, with no barrier between",
                   write ? "write" : "read", b.write.thread - 1);
            b.write.thread = 0;
            return;
        }
        if (!atomic && write && !reads_ordered(b, now)) {
            report("shared-race", "write over what thread %d reads, with no barrier between",
                   b.read.thread - 1);
            b.read.thread = 0;
            return;
        }
        if (write)
            b.write = now;
        else
            note_read(b, now);
    }
}

/* --- global memory --------------------------------------------------------------------------- */

static const size_t SHADOWED_MAX = (size_t)4 << 20; /* larger allocations are weights */

/* A word for the last write of a byte and one for its last read. */
struct Stamp {
    u64 launch : 16, block : 21, thread : 10, epoch : 15, atomic : 1, there : 1;
};

bool races_looked_for(const Allocation *a)
{
    return races_wanted() && a->bytes <= SHADOWED_MAX;
}

static bool clash(Stamp before, Stamp now)
{
    if (!before.there || before.launch != now.launch || before.atomic)
        return false;
    if (before.block != now.block)
        return true;
    return before.thread != now.thread && before.epoch == now.epoch;
}

void races_global(Machine &m, Allocation *a, size_t offset, size_t bytes, bool write, bool atomic)
{
    Stamp now = {};

    if (!races_looked_for(a))
        return;
    if (!a->shadow)
        a->shadow = (u64 *)calloc(a->bytes * 2, sizeof(u64));
    now.launch = m.launch & 0xffff;
    now.block = m.block_number & 0x1fffff;
    now.thread = (u64)m.thread() & 0x3ff;
    now.epoch = m.epoch & 0x7fff;
    now.atomic = atomic;
    now.there = 1;
    for (size_t i = 0; i < bytes; i += bytes < 4 ? 1 : 4) {
        Stamp *cell = (Stamp *)(a->shadow + 2 * (offset + i));

        if (!atomic && clash(cell[0], now)) {
            report("global-race", "%s of what block %u thread %u wrote, with nothing between",
                   write ? "write" : "read", (unsigned)cell[0].block, (unsigned)cell[0].thread);
            return;
        }
        if (write && !atomic && clash(cell[1], now)) {
            report("global-race", "write over what block %u thread %u reads, with nothing between",
                   (unsigned)cell[1].block, (unsigned)cell[1].thread);
            return;
        }
        cell[write ? 0 : 1] = now;
    }
}

} // namespace sim
