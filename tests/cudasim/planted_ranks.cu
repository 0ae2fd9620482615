/* planted_ranks.cu - bugs of programs with two devices that the simulator has to find, and for each
 * the same code without it: as planted.cu.  CUDASIM_DEVICES=2. */
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <thread>
#include <vector>

#include "kernels/cuda/nccl.h"

enum { N = 256, RANKS = 2 };

__global__ void copy(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x];
}

/* --- two ranks, a thread each, as the backend has them --- */

struct Rank {
    ncclComm *comm;
    cudaStream_t s;
    float *mine, *all; /* device; N, RANKS * N */
    cudaError_t e;
};

static nccl library()
{
    void *l = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    nccl n = {};

    if (!l)
        exit(2);
    *(void **)&n.get_unique_id = dlsym(l, "ncclGetUniqueId");
    *(void **)&n.init_rank = dlsym(l, "ncclCommInitRank");
    *(void **)&n.abort = dlsym(l, "ncclCommAbort");
    *(void **)&n.all_gather = dlsym(l, "ncclAllGather");
    return n;
}

static void open_rank(const nccl &n, const nccl_id &id, int i, Rank *r)
{
    std::vector<float> in(N, (float)(i + 1));

    cudaSetDevice(i);
    cudaStreamCreateWithFlags(&r->s, cudaStreamNonBlocking);
    cudaMalloc((void **)&r->mine, N * sizeof(float));
    cudaMalloc((void **)&r->all, RANKS * N * sizeof(float));
    cudaMemcpy(r->mine, in.data(), N * sizeof(float), cudaMemcpyHostToDevice);
    n.init_rank(&r->comm, RANKS, id, i);
}

/* A gathering of `first` and `second` floats by the two; 0: that rank forgets it. */
static cudaError_t gather(size_t first, size_t second)
{
    const size_t counts[RANKS] = { first, second };
    const nccl n = library();
    std::vector<float> out(RANKS * N);
    Rank ranks[RANKS];
    nccl_id id;

    n.get_unique_id(&id);
    std::thread other([&] { open_rank(n, id, 1, &ranks[1]); });
    open_rank(n, id, 0, &ranks[0]);
    other.join();
    setenv("CUDASIM_WAIT_MS", first && second ? "300000" : "50",
           1); /* from here on: all have come */
    auto work = [&](int i) {
        Rank *r = &ranks[i];

        cudaSetDevice(i);
        if (counts[i])
            n.all_gather(r->mine, r->all, counts[i], NCCL_FLOAT32, r->comm, r->s);
        r->e = cudaStreamSynchronize(r->s);
    };
    std::thread worker([&] { work(1); });
    work(0);
    worker.join();
    if (ranks[0].e || ranks[1].e)
        return cudaErrorUnknown;
    for (Rank &r : ranks) {
        cudaMemcpy(out.data(), r.all, RANKS * N * sizeof(float), cudaMemcpyDeviceToHost);
        for (size_t i = 0; i < RANKS * N; i++)
            if (out[i] != (float)(i / N + 1))
                return cudaErrorUnknown;
    }
    return cudaSuccess;
}

/* --- one thread and two devices --- */

/* A kernel of device 0, on memory of `from`, by a stream made while `of` was current. */
static cudaError_t copy_on(int from, int of)
{
    cudaStream_t s;
    float *x, *y;

    cudaSetDevice(from);
    cudaMalloc((void **)&x, N * sizeof(float));
    cudaMemset(x, 0, N * sizeof(float));
    cudaDeviceSynchronize();
    cudaSetDevice(of);
    cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
    cudaSetDevice(0);
    cudaMalloc((void **)&y, N * sizeof(float));
    copy<<<1, N, 0, s>>>(x, y);
    return cudaStreamSynchronize(s);
}

struct Case {
    const char *name;
    cudaError_t (*run)(bool right);
};

static const Case cases[] = {
    { "rank_that_forgets", [](bool right) { return gather(N, right ? N : 0); } },
    { "ranks_of_other_counts", [](bool right) { return gather(N, right ? N : N / 2); } },
    { "memory_of_another_device", [](bool right) { return copy_on(right ? 0 : 1, 0); } },
    { "stream_of_another_device", [](bool right) { return copy_on(0, right ? 0 : 1); } },
};

int main(int n, char **args)
{
    for (const Case &c : cases)
        if (n < 2) {
            puts(c.name);
        } else if (!strcmp(c.name, args[1])) {
            bool right = c.run(n > 2) == cudaSuccess;

            puts(right ? "right result" : "wrong result");
            return !right;
        }
    return n < 2 ? 0 : 2;
}
