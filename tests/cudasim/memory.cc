/* memory.cc - device and pinned memory with exact bounds, fences around it, and copies.
 *
 * Fresh memory is full of NaNs.  A copy from pageable memory reads it at once, one from pinned
 * memory only when the stream gets there, as on a real device. */
#include "sim.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

namespace sim
{

enum { FENCE = 256, FENCE_BYTE = 0xA5 };
static const size_t POISON_MAX = (size_t)64 << 20; /* beyond, pages would be touched for nothing */

static std::map<uintptr_t, Allocation> &allocations()
{
    static auto *m = new std::map<uintptr_t, Allocation>();
    return *m;
}

static size_t used[16];
u64 bytes_to_host;

bool find_allocation(const void *p, uintptr_t *begin, Allocation **a)
{
    auto &all = allocations();
    auto it = all.upper_bound((uintptr_t)p);

    if (it == all.begin())
        return false;
    --it;
    if ((uintptr_t)p >= it->first + std::max<size_t>(it->second.bytes, 1))
        return false;
    *begin = it->first;
    *a = &it->second;
    return true;
}

static Allocation *find(const void *p)
{
    uintptr_t begin;
    Allocation *a;

    return find_allocation(p, &begin, &a) ? a : nullptr;
}

bool is_device(const void *p)
{
    Allocation *a = find(p);
    return a && a->device;
}

bool is_pinned(const void *p)
{
    Allocation *a = find(p);
    return a && !a->device;
}

bool span_fits(const void *p, size_t bytes, const char *what)
{
    uintptr_t begin;
    Allocation *a;

    if (!find_allocation(p, &begin, &a))
        return true;
    if (bytes <= begin + a->bytes - (uintptr_t)p)
        return true;
    report("memory-bounds", "%s: %zu bytes from byte %zu of an allocation of %zu", what, bytes,
           (size_t)((uintptr_t)p - begin), a->bytes);
    return false;
}

void check_fences(const char *when)
{
    for (auto &entry : allocations()) {
        u8 *p = (u8 *)entry.first;
        bool whole = true;

        for (size_t i = 0; i < FENCE && whole; i++)
            whole = p[i - FENCE] == FENCE_BYTE && p[entry.second.bytes + i] == FENCE_BYTE;
        if (whole)
            continue;
        report("memory-bounds",
               "%s: something was written right outside of an allocation of %zu bytes", when,
               entry.second.bytes);
        memset(p - FENCE, FENCE_BYTE, FENCE);
        memset(p + entry.second.bytes, FENCE_BYTE, FENCE);
    }
}

static size_t capacity()
{
    int kib = option("MEM_KB", 0);

    return kib > 0 ? (size_t)kib << 10 : (size_t)option("MEM_MB", 80 * 1024) << 20;
}

/* CUDASIM_FAIL_MALLOC=k: allocation k (from 0) fails, and it alone. */
static bool planned_failure()
{
    static long left = option("FAIL_MALLOC", -1);

    return left >= 0 && left-- == 0;
}

static cudaError_t allocate(void **out, size_t bytes, bool device)
{
    void *block;
    u8 *p;

    if (!device_count())
        return fail(cudaErrorNoDevice);
    if (device_lost())
        return fail(cudaErrorIllegalAddress);
    if (any_capture())
        return fail(cudaErrorStreamCaptureUnsupported);
    if (planned_failure())
        return fail(cudaErrorMemoryAllocation);
    if (device && bytes > capacity() - used[current_device()])
        return fail(cudaErrorMemoryAllocation);
    if (posix_memalign(&block, 256, bytes + 2 * FENCE))
        return fail(cudaErrorMemoryAllocation);
    p = (u8 *)block + FENCE;
    memset(block, FENCE_BYTE, FENCE);
    memset(p + bytes, FENCE_BYTE, FENCE);
    if (bytes < POISON_MAX)
        memset(p, 0xff, bytes);
    allocations()[(uintptr_t)p] = { bytes, device, current_device(), nullptr };
    if (device)
        used[current_device()] += bytes;
    *out = p;
    return cudaSuccess;
}

static cudaError_t release(void *p, bool device)
{
    auto &all = allocations();

    if (!p)
        return cudaSuccess;
    drain_all();
    auto it = all.find((uintptr_t)p);
    if (it == all.end() || it->second.device != device) {
        report("bad-free", "%p is not a live allocation of %s memory", p,
               device ? "device" : "pinned");
        return fail(cudaErrorInvalidValue);
    }
    check_fences("at a free");
    if (device)
        used[it->second.owner] -= it->second.bytes;
    free(it->second.shadow);
    all.erase(it);
    free((u8 *)p - FENCE);
    return cudaSuccess;
}

/* What is still allocated when the process ends was leaked. */
static struct LeakCheck {
    ~LeakCheck()
    {
        size_t bytes = 0, n = 0;

        if (!option("LEAKS", 0))
            return;
        for (auto &entry : allocations()) {
            bytes += entry.second.bytes;
            n++;
        }
        if (n)
            report("leak", "%zu allocations of %zu bytes were never freed", n, bytes);
    }
} leak_check;

static cudaError_t copy_async(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                              cudaStream_t s)
{
    bool to_device = is_device(to), from_device = is_device(from);
    cudaMemcpyKind real = to_device
                              ? (from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                              : (from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);

    if (device_lost())
        return fail(cudaErrorIllegalAddress);
    if (!span_fits(to, bytes, "copy to") || !span_fits(from, bytes, "copy from"))
        return fail(cudaErrorInvalidValue);
    if (kind != cudaMemcpyDefault && kind != real) {
        report("copy-kind", "a copy of kind %d, but the pointers say %d", (int)kind, (int)real);
        return fail(cudaErrorInvalidMemcpyDirection);
    }
    if (real == cudaMemcpyDeviceToHost)
        bytes_to_host += bytes;
    if (real == cudaMemcpyHostToDevice && !is_pinned(from)) {
        auto staged =
            std::make_shared<std::vector<char>>((const char *)from, (const char *)from + bytes);

        enqueue(s, "copy", [=] {
            memcpy(to, staged->data(), bytes);
            return true;
        });
        return cudaSuccess;
    }
    enqueue(s, "copy", [=] {
        memmove(to, from, bytes);
        return true;
    });
    if (real == cudaMemcpyDeviceToHost && !is_pinned(to) && !any_capture())
        drain(s); /* into pageable memory: returns when it is there */
    return cudaSuccess;
}

} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    Lock lock;
    return allocate(p, bytes, true);
}

cudaError_t cudaMallocManaged(void **p, size_t bytes, unsigned)
{
    Lock lock;
    return allocate(p, bytes, true);
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    Lock lock;
    return allocate(p, bytes, false);
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned)
{
    Lock lock;
    return allocate(p, bytes, false);
}

cudaError_t cudaFree(void *p)
{
    Lock lock;
    return release(p, true);
}

cudaError_t cudaFreeHost(void *p)
{
    Lock lock;
    return release(p, false);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    Lock lock;

    if (!device_count())
        return fail(cudaErrorNoDevice);
    *total = capacity();
    *free_bytes = *total - used[current_device()];
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t s)
{
    Lock lock;
    return copy_async(to, from, bytes, kind, s);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    Lock lock;
    cudaError_t e;

    if (any_capture())
        return fail(cudaErrorStreamCaptureUnsupported);
    drain_all();
    e = copy_async(to, from, bytes, kind, nullptr);
    drain_all();
    return e;
}

cudaError_t cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t bytes, cudaStream_t s)
{
    Lock lock;
    return copy_async(to, from, bytes, cudaMemcpyDeviceToDevice, s);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t s)
{
    Lock lock;

    if (device_lost())
        return fail(cudaErrorIllegalAddress);
    if (!is_device(p) || !span_fits(p, bytes, "memset"))
        return fail(cudaErrorInvalidValue);
    enqueue(s, "memset", [=] {
        memset(p, value, bytes);
        return true;
    });
    return cudaSuccess;
}

cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
    return cudaMemsetAsync(p, value, bytes, nullptr);
}
}
