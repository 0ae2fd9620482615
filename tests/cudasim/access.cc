/* access.cc - from an address in a kernel to host memory, by way of the checks of bounds and
 * alignment. */
#include "machine.h"

#include <map>

namespace sim
{

static std::vector<Module *> &modules()
{
    static auto *v = new std::vector<Module *>();
    return *v;
}

void access_add_module(Module *m)
{
    modules().push_back(m);
}

static bool in_variable(u64 a, size_t bytes)
{
    for (Module *m : modules())
        for (auto &g : m->globals) {
            u64 from = (u64)g.second.first;

            if (a >= from && a + bytes <= from + g.second.second)
                return true;
        }
    return false;
}

static u32 launch; /* the last allocation met, as long as a launch lasts */
static uintptr_t begin;
static Allocation *last;

static bool elsewhere(const Allocation *a)
{
    return a->device && a->owner != running_device;
}

bool machine_span(Machine &m, u64 from, u64 to)
{
    if (launch != m.launch || from < begin || to > begin + last->bytes) {
        launch = m.launch;
        if (!find_allocation((void *)from, &begin, &last) || elsewhere(last)) {
            launch = 0;
            return false;
        }
        if (to > begin + last->bytes)
            return false;
    }
    return !races_looked_for(last);
}

char *machine_global(Machine &m, u64 a, size_t bytes, bool write, bool atomic)
{
    if (a % bytes) {
        report("misaligned", "%zu bytes at %p", bytes, (void *)a);
        return nullptr;
    }
    if (launch != m.launch || a < begin || a + bytes > begin + last->bytes) {
        launch = m.launch;
        if (!find_allocation((void *)a, &begin, &last)) {
            launch = 0;
            if (in_variable(a, bytes))
                return (char *)a;
            report("global-bounds", "%s of %zu bytes at %p, which is in no allocation",
                   write ? "write" : "read", bytes, (void *)a);
            return nullptr;
        }
        if (elsewhere(last))
            report("wrong-device", "%s of memory of device %d by a kernel of device %d",
                   write ? "write" : "read", last->owner, running_device);
        if (a + bytes > begin + last->bytes) {
            report("global-bounds", "%s of %zu bytes at byte %llu of an allocation of %zu",
                   write ? "write" : "read", bytes, (unsigned long long)(a - begin), last->bytes);
            return nullptr;
        }
    }
    if (races_wanted())
        races_global(m, last, a - begin, bytes, write, atomic);
    return (char *)a;
}

static bool shared_fits(const Machine &m, u64 a, size_t bytes)
{
    if (a >= m.dynamic_offset)
        return a + bytes <= m.dynamic_offset + m.dynamic_bytes;
    for (auto &v : m.kernel->shared)
        if (a >= v.second.offset && a + bytes <= v.second.offset + v.second.bytes)
            return true;
    return false;
}

char *machine_shared(Machine &m, u64 a, size_t bytes, bool write, bool atomic)
{
    a = (u32)a;
    if (a % bytes) {
        report("misaligned", "%zu bytes at byte %llu of shared memory", bytes,
               (unsigned long long)a);
        return nullptr;
    }
    if (!shared_fits(m, a, bytes)) {
        report("shared-bounds",
               "%s of %zu bytes at byte %llu of shared memory (%zu static, %zu dynamic)",
               write ? "write" : "read", bytes, (unsigned long long)a, m.kernel->shared_bytes,
               m.dynamic_bytes);
        return nullptr;
    }
    if (races_wanted())
        races_shared(m, a, bytes, write, atomic);
    return m.shared + a;
}

static char *local(Machine &m, u64 a, size_t bytes)
{
    if (a + bytes > m.kernel->local_bytes || a % bytes) {
        report("local-bounds", "%zu bytes at byte %llu of %zu of local memory", bytes,
               (unsigned long long)a, m.kernel->local_bytes);
        return nullptr;
    }
    return m.local.data() + (size_t)m.thread() * m.kernel->local_bytes + a;
}

char *machine_access(Machine &m, Space space, u64 a, size_t bytes, bool write, bool atomic)
{
    switch (space) {
    case Space::SHARED:
        return machine_shared(m, a, bytes, write, atomic);
    case Space::LOCAL:
        return local(m, a, bytes);
    case Space::GENERIC:
        if (a >= (u64)m.shared && a < (u64)m.shared + SHARED_WINDOW)
            return machine_shared(m, a - (u64)m.shared, bytes, write, atomic);
        if (!m.local.empty() && a >= (u64)m.local.data() &&
            a < (u64)m.local.data() + m.local.size())
            return local(m, a - (u64)m.local.data() - (u64)m.thread() * m.kernel->local_bytes,
                         bytes);
        return machine_global(m, a, bytes, write, atomic);
    default:
        return machine_global(m, a, bytes, write, atomic);
    }
}

} // namespace sim
