/* device.cc - what a device says of itself: an sm_90, or CUDASIM_CAPABILITY, with the memory of
 * CUDASIM_MEM_MB, CUDASIM_DEVICES times. */
#include "sim.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sim
{

static thread_local int current;

/* Which of CUDASIM_DEVICES there are to be seen: CUDA_VISIBLE_DEVICES is a list of numbers that
 * ends at the first one which is no device. */
static const std::vector<int> &visible()
{
    static const std::vector<int> list = [] {
        const char *p = getenv("CUDA_VISIBLE_DEVICES");
        const int n = option("DEVICES", 1);
        std::vector<int> v;

        for (int d = 0; !p && d < n; d++)
            v.push_back(d);
        while (p && *p) {
            char *end;
            long d = strtol(p, &end, 10);

            if (end == p || d < 0 || d >= n)
                break;
            v.push_back((int)d);
            p = *end == ',' ? end + 1 : end;
        }
        return v;
    }();
    return list;
}

static int capability()
{
    return option("CAPABILITY", 90);
}

int device_count()
{
    return (int)visible().size();
}
int current_device()
{
    return current;
}

enum { SM_COUNT = 132, SHARED_STATIC = 49152, SHARED_MAX = 232448 };

} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaGetDeviceCount(int *n)
{
    Lock lock;

    *n = device_count();
    return *n ? cudaSuccess : fail(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int d)
{
    Lock lock;

    if (d < 0 || d >= device_count())
        return fail(cudaErrorInvalidDevice);
    current = d;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *d)
{
    *d = current;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int d)
{
    Lock lock;

    if (d < 0 || d >= device_count())
        return fail(cudaErrorInvalidDevice);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name,
             visible()[(size_t)d] ? "simulated sm_%d number %d" : "simulated sm_%d", capability(),
             visible()[(size_t)d]);
    p->totalGlobalMem = (size_t)option("MEM_MB", 80 * 1024) << 20;
    p->sharedMemPerBlock = SHARED_STATIC;
    p->sharedMemPerBlockOptin = SHARED_MAX;
    p->major = capability() / 10;
    p->minor = capability() % 10;
    p->multiProcessorCount = SM_COUNT;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->l2CacheSize = 50 << 20;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr a, int d)
{
    Lock lock;

    if (d < 0 || d >= device_count())
        return fail(cudaErrorInvalidDevice);
    switch (a) {
    case cudaDevAttrMultiProcessorCount:
        *value = SM_COUNT;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = capability() / 10;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = capability() % 10;
        break;
    case cudaDevAttrMaxThreadsPerBlock:
        *value = 1024;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = SHARED_STATIC;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = SHARED_MAX;
        break;
    case cudaDevAttrWarpSize:
        *value = 32;
        break;
    default:
        *value = 0;
    }
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int, int)
{
    *can = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int, unsigned)
{
    return cudaSuccess;
}
cudaError_t cudaDeviceReset(void)
{
    return cudaDeviceSynchronize();
}
cudaError_t cudaSetDeviceFlags(unsigned)
{
    return cudaSuccess;
}
cudaError_t cudaInitDevice(int d, unsigned, unsigned)
{
    return cudaSetDevice(d);
}
}
