/* counters.cc - what can be known of speed without a device: how well accesses of a warp share
 * sectors and banks. CUDASIM_COUNTERS=1 prints a table when the process ends, any other value but 0
 * is a file to append it to.
 *
 * And which kernels have run: CUDASIM_KERNELS is a file, which is written when the process ends. */
#include "machine.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace sim
{

bool counters_wanted()
{
    static const char *value = getenv("CUDASIM_COUNTERS");
    return value && *value && strcmp(value, "0") != 0;
}

/* 32-byte sectors that a request of a warp touches, and how few it could. */
static void count_sectors(Counters &c, const std::vector<u64> &addresses, size_t bytes)
{
    std::vector<u64> sectors;

    for (u64 a : addresses)
        for (u64 s = a / 32; s <= (a + bytes - 1) / 32; s++)
            sectors.push_back(s);
    std::sort(sectors.begin(), sectors.end());
    c.sectors += (u64)(std::unique(sectors.begin(), sectors.end()) - sectors.begin());
    std::vector<u64> distinct(addresses); /* lanes that read the same share it */
    std::sort(distinct.begin(), distinct.end());
    size_t n = (size_t)(std::unique(distinct.begin(), distinct.end()) - distinct.begin());
    c.ideal_sectors += (n * bytes + 31) / 32;
}

/* Shared memory serves 32 banks of 4 bytes a pass; wide accesses go in halves or quarters of a
 * warp. */
static void count_banks(Counters &c, const std::vector<u64> &addresses, size_t bytes)
{
    size_t together = bytes == 16 ? 8 : bytes == 8 ? 16 : 32;

    for (size_t from = 0; from < addresses.size(); from += together) {
        std::vector<u64> words;
        size_t in_bank[32] = {}, most = 0;

        for (size_t l = from; l < std::min(from + together, addresses.size()); l++)
            for (size_t k = 0; k < (bytes + 3) / 4; k++)
                words.push_back(addresses[l] / 4 + k);
        std::sort(words.begin(), words.end());
        words.erase(std::unique(words.begin(), words.end()), words.end());
        for (u64 w : words)
            most = std::max(most, ++in_bank[w % 32]);
        c.shared_requests++;
        c.shared_passes += most;
    }
}

void counters_access(Machine &m, const Instruction &i, const Operand &address, u32 active,
                     size_t bytes)
{
    std::vector<u64> addresses;

    for (int l = 0; l < LANES; l++)
        if (active >> l & 1)
            addresses.push_back(lane_address(m, address, l));
    if (i.space == Space::GLOBAL)
        count_sectors(m.kernel->counters, addresses, bytes);
    else if (i.space == Space::SHARED)
        count_banks(m.kernel->counters, addresses, bytes);
}

static double ratio(u64 a, u64 b)
{
    return b ? (double)a / (double)b : 0;
}

static void list_kernels(const std::vector<Module *> &modules)
{
    const char *name = getenv("CUDASIM_KERNELS");
    FILE *f = name && *name ? fopen(name, "w") : nullptr;

    if (!f)
        return;
    for (Module *m : modules)
        for (auto &k : m->kernels)
            fprintf(f, "%llu %s\n", (unsigned long long)k.second->counters.launches,
                    k.first.c_str());
    fclose(f);
}

void counters_print(const std::vector<Module *> &modules)
{
    const char *value = getenv("CUDASIM_COUNTERS");
    FILE *f = stderr;

    list_kernels(modules);
    if (!counters_wanted())
        return;
    if (strcmp(value, "1") != 0)
        f = fopen(value, "a");
    if (!f)
        return;
    fprintf(f, "%llu bytes were copied to the host, %llu graphs launched\n",
            (unsigned long long)bytes_to_host, (unsigned long long)graph_launches);
    fprintf(f, "%-64s %8s %14s %6s %14s %13s\n", "kernel", "launches", "instructions", "lanes",
            "sectors/ideal", "passes/access");
    for (Module *m : modules)
        for (auto &k : m->kernels) {
            const Counters &c = k.second->counters;

            if (c.launches)
                fprintf(f, "%-64s %8llu %14llu %6.1f %14.2f %13.2f\n", k.first.c_str(),
                        (unsigned long long)c.launches, (unsigned long long)c.instructions,
                        ratio(c.lanes, c.instructions), ratio(c.sectors, c.ideal_sectors),
                        ratio(c.shared_passes, c.shared_requests));
        }
    if (f != stderr)
        fclose(f);
}

} // namespace sim
