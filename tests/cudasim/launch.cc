/* launch.cc - what the code that nvcc generates calls: fat binaries, kernels, launches. */
#include "machine.h"

#include <cstdio>
#include <cstdlib>

namespace sim
{

void count_launch(int device);
void access_add_module(Module *m);
void counters_print(const std::vector<Module *> &modules);

struct Registered {
    std::map<const void *, Kernel *> by_host;
    std::map<const void *, int> dynamic_max; /* cudaFuncSetAttribute */
    std::vector<Module *> modules;
};

static Registered &
registered() /* before any static constructor of the program, behind any destructor */
{
    static auto *r = new Registered();
    return *r;
}

static struct PrintCounters {
    ~PrintCounters()
    {
        counters_print(registered().modules);
    }
} print_counters;

static bool read_file(const std::string &name, std::string *text)
{
    FILE *f = fopen(name.c_str(), "rb");
    char buffer[65536];
    size_t n;

    if (!f)
        return false;
    text->clear();
    while ((n = fread(buffer, 1, sizeof buffer, f)) > 0)
        text->append(buffer, n);
    fclose(f);
    return true;
}

/* CUDASIM_PTX=folder: a module's text is written to a file there, named by its hash; one that is
 * there already is taken in its place (tests/cuda/mutate). */
static std::string exchanged(const std::string &text)
{
    const char *folder = getenv("CUDASIM_PTX");
    u64 hash = 14695981039346656037u;
    std::string name, other;
    char hex[24];

    if (!folder || !*folder)
        return text;
    for (char c : text)
        hash = (hash ^ (u8)c) * 1099511628211u;
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash);
    name = std::string(folder) + "/" + hex + ".ptx";
    if (read_file(name, &other))
        return other;
    if (FILE *f = fopen(name.c_str(), "wb")) {
        fwrite(text.data(), 1, text.size(), f);
        fclose(f);
    }
    return text;
}

/* A fat binary: a header of 16 bytes, then entries; an entry has its kind (1: PTX) at 0, the size
 * of its header at 4 and of its data at 8, flags at 40. */
static Module *load(const char *binary)
{
    enum { KIND_PTX = 1, COMPRESSED = 0x9000 };
    u64 total;
    const char *p = binary + 16, *end;

    memcpy(&total, binary + 8, 8);
    end = p + total;
    while (p < end) {
        u16 kind;
        u32 header;
        u64 size, flags;

        memcpy(&kind, p, 2);
        memcpy(&header, p + 4, 4);
        memcpy(&size, p + 8, 8);
        memcpy(&flags, p + 40, 8);
        if (kind == KIND_PTX) {
            if (flags & COMPRESSED) {
                fprintf(stderr, "cudasim: the PTX is compressed: nvcc needs -no-compress\n");
                abort();
            }
            return ptx_parse(exchanged(std::string(p + header, strnlen(p + header, size))));
        }
        p += header + size;
    }
    fprintf(
        stderr,
        "cudasim: no PTX in the fat binary: nvcc needs -gencode arch=compute_NN,code=compute_NN\n");
    abort();
}

static bool launch_fits(const Kernel *k, const void *host, dim3 grid, dim3 block, size_t dynamic,
                        cudaError_t *e)
{
    u64 threads = (u64)block.x * block.y * block.z;
    auto max = registered().dynamic_max.find(host);
    size_t allowed = max == registered().dynamic_max.end() ? 49152 : (size_t)max->second;

    *e = cudaErrorInvalidConfiguration;
    if (!threads || threads > 1024 || block.z > 64 || !grid.x || !grid.y || !grid.z ||
        grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffff)
        return report("launch", "%s: grid (%u,%u,%u), block (%u,%u,%u)", k->name.c_str(), grid.x,
                      grid.y, grid.z, block.x, block.y, block.z),
               false;
    if (k->max_threads && threads > k->max_threads)
        return report("launch", "%s: %llu threads, its __launch_bounds__ say %u", k->name.c_str(),
                      (unsigned long long)threads, k->max_threads),
               false;
    *e = cudaErrorInvalidValue;
    if (dynamic > allowed || k->shared_bytes + dynamic > SHARED_WINDOW || (k->shared_bytes > 49152))
        return report("launch",
                      "%s: %zu + %zu bytes of shared memory, %zu dynamic ones were asked for",
                      k->name.c_str(), k->shared_bytes, dynamic, allowed),
               false;
    return true;
}

static cudaError_t launch(const void *host, dim3 grid, dim3 block, void **args, size_t dynamic,
                          cudaStream_t s)
{
    auto it = registered().by_host.find(host);
    cudaError_t e;

    if (!device_count())
        return fail(cudaErrorNoDevice);
    if (it == registered().by_host.end())
        return fail(cudaErrorInvalidDeviceFunction);
    Kernel *k = it->second;
    if (!launch_fits(k, host, grid, block, dynamic, &e))
        return fail(e);
    if (device_lost())
        return fail(cudaErrorIllegalAddress);
    std::vector<char> parameters(k->parameter_bytes + 16);
    for (size_t i = 0; i < k->parameters.size(); i++)
        memcpy(&parameters[k->parameters[i].offset], args[i], k->parameters[i].bytes);
    int device = device_of(s);
    if (device != current_device()) {
        report("wrong-device", "%s: a stream of device %d, while %d is current", k->name.c_str(),
               device, current_device());
        return fail(cudaErrorInvalidValue);
    }
    enqueue(s, k->name, [=] { /* each time, where a graph has it */
                              count_launch(device);
                              running_device = device;
                              if (!device_lost(device))
                                  machine_run(k, grid, block, dynamic, parameters);
                              running_device = -1;
                              return true;
    });
    return cudaSuccess;
}

struct Configuration {
    dim3 grid, block;
    size_t dynamic;
    cudaStream_t stream;
};

static thread_local Configuration pushed;

} // namespace sim

using namespace sim;

extern "C" {

struct FatBinary {
    int magic, version;
    const char *data;
    void *more;
};

void **__cudaRegisterFatBinary(void *f)
{
    Lock lock;
    Module *m = load(((FatBinary *)f)->data);

    registered().modules.push_back(m);
    access_add_module(m);
    return (void **)m;
}

void __cudaRegisterFatBinaryEnd(void **)
{
}
void __cudaUnregisterFatBinary(void **)
{
}

void __cudaRegisterFunction(void **handle, const char *host, char *, const char *name, int, uint3 *,
                            uint3 *, dim3 *, dim3 *, int *)
{
    Lock lock;
    Module *m = (Module *)handle;
    auto it = m->kernels.find(name);

    if (it != m->kernels.end())
        registered().by_host[host] = it->second.get();
}

void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int)
{
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t dynamic, cudaStream_t s)
{
    pushed = { grid, block, dynamic, s };
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *dynamic, void *s)
{
    *grid = pushed.grid;
    *block = pushed.block;
    *dynamic = pushed.dynamic;
    *(cudaStream_t *)s = pushed.stream;
    return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void *f, dim3 grid, dim3 block, void **args, size_t dynamic,
                             cudaStream_t s)
{
    Lock lock;
    return launch(f, grid, block, args, dynamic, s);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *c, const void *f, void **args)
{
    Lock lock;
    return launch(f, c->gridDim, c->blockDim, args, c->dynamicSmemBytes, c->stream);
}

cudaError_t __cudaGetKernel(cudaKernel_t *k, const void *f)
{
    *k = (cudaKernel_t)f;
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 grid, dim3 block, void **args, size_t dynamic,
                               cudaStream_t s)
{
    Lock lock;
    return launch((const void *)k, grid, block, args, dynamic, s);
}

cudaError_t cudaFuncSetAttribute(const void *f, cudaFuncAttribute a, int value)
{
    Lock lock;

    if (a != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return cudaSuccess;
    if (value > SHARED_WINDOW)
        return fail(cudaErrorInvalidValue);
    registered().dynamic_max[f] = value;
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *,
                                                                   int threads, size_t, unsigned)
{
    *n = threads > 0 ? 2048 / threads : 0;
    return cudaSuccess;
}
}
