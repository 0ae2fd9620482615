/* planted.cu - bugs that the simulator has to find, and for each the same code without it.
 *
 *   planted CASE [right]      prints "wrong result" or "right result", or the error that the
 * runtime gave planted                   prints the names of all cases */
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>
#include <vector>

enum { N = 256 };

/* --- kernels: RIGHT is the one without the bug --------------------------------------------------
 */

static __device__ float warp_sum(float v)
{
    for (int o = 16; o; o >>= 1)
        v += __shfl_xor_sync(~0u, v, o);
    return v;
}

template <bool RIGHT> __global__ void missing_barrier(const float *x, float *y)
{
    __shared__ float part[8];
    float v = warp_sum(x[threadIdx.x]);

    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = v;
    if (RIGHT)
        __syncthreads();
    if (threadIdx.x == 0) {
        float s = 0;
        for (int i = 0; i < 8; i++)
            s += part[i];
        *y = s;
    }
}

template <bool RIGHT> __global__ void tile_used_again(const float *x, float *y)
{
    __shared__ float tile[64];
    float s = 0;

    for (int k = 0; k < 4; k++) {
        tile[threadIdx.x] = x[k * 64 + threadIdx.x];
        __syncthreads();
        s += tile[63 - threadIdx.x];
        if (RIGHT)
            __syncthreads();
    }
    y[threadIdx.x] = s;
}

template <bool RIGHT> __global__ void shared_write_outside(const float *x, float *y)
{
    __shared__ float tile[64];

    tile[threadIdx.x + !RIGHT] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

template <bool RIGHT> __global__ void dynamic_read_outside(const float *x, float *y)
{
    extern __shared__ float dynamic_tile[];

    dynamic_tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = dynamic_tile[threadIdx.x + !RIGHT] * 0;
}

template <bool RIGHT> __global__ void global_write_outside(float *y, int n)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);

    if (RIGHT ? i < n : i <= n)
        y[i] = 1;
}

template <bool RIGHT> __global__ void global_read_outside(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x + !RIGHT] * 0;
}

template <bool RIGHT> __global__ void shuffle_in_branch(const float *x, float *y)
{
    float v = x[threadIdx.x];

    if (RIGHT || threadIdx.x < 16)
        v += __shfl_xor_sync(~0u, v, 8);
    y[threadIdx.x] = v;
}

template <bool RIGHT> __global__ void shuffle_from_outside(const float *x, float *y)
{
    float v = x[threadIdx.x];

    if (threadIdx.x < 16)
        v = __shfl_xor_sync(0xffffu, v, RIGHT ? 8 : 16);
    y[threadIdx.x] = v;
}

template <bool RIGHT> __global__ void barriers_in_both_arms(const float *x, float *y)
{
    __shared__ float tile[64];

    tile[threadIdx.x] = x[threadIdx.x];
    if (RIGHT) {
        __syncthreads();
    } else if (threadIdx.x & 1) {
        __syncthreads();
        tile[threadIdx.x] += 0;
    } else {
        __syncthreads();
    }
    y[threadIdx.x] = tile[threadIdx.x];
}

template <bool RIGHT> __global__ void barrier_not_reached(const float *x, float *y)
{
    if (RIGHT || threadIdx.x < 40) {
        float v = warp_sum(x[threadIdx.x]);

        __syncthreads();
        y[threadIdx.x] = v;
    } else {
        __syncwarp();
    }
}

template <bool RIGHT> __global__ void misaligned_vector(const float *x, float *y)
{
    const float4 v = ((const float4 *)(x + !RIGHT))[threadIdx.x];

    y[threadIdx.x] = v.x + v.y + v.z + v.w;
}

template <bool RIGHT> __global__ void never_written(const float *x, float *y)
{
    __shared__ float tile[64];

    if (RIGHT || threadIdx.x < 32)
        tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

template <bool RIGHT> __global__ void blocks_without_atomics(float *y)
{
    if (RIGHT)
        atomicAdd(y, 1.f);
    else
        *y += 1;
}

template <bool RIGHT> __global__ void missing_syncwarp(const float *x, float *y)
{
    __shared__ float tile[32];

    tile[threadIdx.x] = x[threadIdx.x];
    if (RIGHT)
        __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

template <bool RIGHT> __global__ void block_without_order(float *y)
{
    y[threadIdx.x] = (float)threadIdx.x;
    if (RIGHT)
        __syncthreads();
    if (threadIdx.x < 32)
        y[64 + threadIdx.x] = y[63 - threadIdx.x];
}

template <bool RIGHT> __global__ void async_without_wait(const float *x, float *y)
{
    __shared__ __align__(16) float tile[64];
    unsigned at = (unsigned)__cvta_generic_to_shared(&tile[threadIdx.x * 4]);

    if (threadIdx.x < 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at),
                     "l"(x + threadIdx.x * 4));
    asm volatile("cp.async.commit_group;");
    if (RIGHT)
        asm volatile("cp.async.wait_group 0;");
    else
        asm volatile("cp.async.wait_group 1;");
    __syncthreads();
    y[threadIdx.x] = tile[63 - threadIdx.x];
}

template <bool RIGHT> __global__ void mask_of_the_returned(const float *x, float *y)
{
    if (!RIGHT && threadIdx.x >= 24)
        return;
    y[threadIdx.x] = warp_sum(x[threadIdx.x]);
}

template <bool RIGHT> __global__ void local_outside(const float *x, float *y, int n)
{
    float own[8];

    for (int i = 0; i < 8; i++)
        own[i] = x[i];
    for (int i = 0; i < n; i++)
        own[(i * 3 + (int)threadIdx.x) % 8 + (RIGHT ? 0 : n)] += 1;
    y[threadIdx.x] = own[threadIdx.x % 8] * 0;
}

__global__ void copy(const float *x, float *y, int n)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);

    if (i < n)
        y[i] = x[i];
}

__global__ void __launch_bounds__(128) small_blocks(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x];
}

/* --- cases -------------------------------------------------------------------------------------
 */

struct Bench {
    bool right;
    float *x, *y;                /* device, N each */
    std::vector<float> in, want; /* want: what y should be, as far as it goes */
    cudaStream_t s;
};

#define RUN(kernel, grid, block, dynamic, ...)                                                \
    (b.right ? (kernel<true><<<grid, block, dynamic, b.s>>>(__VA_ARGS__), cudaGetLastError()) \
             : (kernel<false><<<grid, block, dynamic, b.s>>>(__VA_ARGS__), cudaGetLastError()))

static std::vector<float> reversed(const std::vector<float> &v, int n)
{
    return std::vector<float>(v.rend() - n, v.rend());
}

struct Case {
    const char *name;
    cudaError_t (*run)(Bench &b);
};

static float total(const std::vector<float> &v, int n)
{
    float s = 0;
    for (int i = 0; i < n; i++)
        s += v[i];
    return s;
}

/* Copies y out by another stream, with or without an event between. */
static cudaError_t by_another_stream(Bench &b)
{
    std::vector<float> out(N);
    cudaStream_t other;
    cudaEvent_t done;

    cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
    cudaEventCreate(&done);
    copy<<<1, N, 0, b.s>>>(b.x, b.y, N);
    cudaEventRecord(done, b.s);
    if (b.right)
        cudaStreamWaitEvent(other, done, 0);
    cudaMemcpyAsync(out.data(), b.y, N * 4, cudaMemcpyDeviceToHost, other);
    cudaStreamSynchronize(other);
    b.want = b.in;
    return out == b.in ? cudaSuccess : cudaErrorUnknown;
}

static cudaError_t staging_used_again(Bench &b)
{
    float *pinned;

    cudaMallocHost((void **)&pinned, N * 4);
    memcpy(pinned, b.in.data(), N * 4);
    cudaMemcpyAsync(b.x, pinned, N * 4, cudaMemcpyHostToDevice, b.s);
    if (b.right)
        cudaStreamSynchronize(b.s);
    memset(pinned, 0, N * 4);
    copy<<<1, N, 0, b.s>>>(b.x, b.y, N);
    b.want = b.in;
    return cudaGetLastError();
}

static cudaError_t read_before_the_end(Bench &b)
{
    float *pinned;

    cudaMallocHost((void **)&pinned, N * 4);
    memset(pinned, 0, N * 4);
    copy<<<1, N, 0, b.s>>>(b.x, b.y, N);
    cudaMemcpyAsync(pinned, b.y, N * 4, cudaMemcpyDeviceToHost, b.s);
    if (b.right)
        cudaStreamSynchronize(b.s);
    return memcmp(pinned, b.in.data(), N * 4) ? cudaErrorUnknown : cudaSuccess;
}

static cudaError_t wait_within_capture(Bench &b)
{
    cudaError_t e = cudaSuccess;
    cudaGraph_t g;

    cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal);
    copy<<<1, N, 0, b.s>>>(b.x, b.y, N);
    if (!b.right)
        e = cudaStreamSynchronize(b.s);
    cudaStreamEndCapture(b.s, &g);
    return e;
}

static const Case cases[] = {
    { "missing_barrier",
      [](Bench &b) {
          b.want = { total(b.in, N) };
          return RUN(missing_barrier, 1, N, 0, b.x, b.y);
      } },
    { "tile_used_again",
      [](Bench &b) {
          b.want.resize(64);
          for (int i = 0; i < 64; i++)
              for (int k = 0; k < 4; k++)
                  b.want[i] += b.in[k * 64 + 63 - i];
          return RUN(tile_used_again, 1, 64, 0, b.x, b.y);
      } },
    { "shared_write_outside",
      [](Bench &b) { return RUN(shared_write_outside, 1, 64, 0, b.x, b.y); } },
    { "dynamic_read_outside",
      [](Bench &b) { return RUN(dynamic_read_outside, 1, 64, 256, b.x, b.y); } },
    { "global_write_outside",
      [](Bench &b) {
          float *z;
          cudaMalloc((void **)&z, 400);
          return RUN(global_write_outside, 2, 64, 0, z, 100);
      } },
    { "global_read_outside",
      [](Bench &b) {
          float *z;
          cudaMalloc((void **)&z, 256);
          cudaMemsetAsync(z, 0, 256, b.s);
          return RUN(global_read_outside, 1, 64, 0, z, b.y);
      } },
    { "shuffle_in_branch", [](Bench &b) { return RUN(shuffle_in_branch, 1, 32, 0, b.x, b.y); } },
    { "shuffle_from_outside",
      [](Bench &b) { return RUN(shuffle_from_outside, 1, 32, 0, b.x, b.y); } },
    { "barriers_in_both_arms",
      [](Bench &b) { return RUN(barriers_in_both_arms, 1, 64, 0, b.x, b.y); } },
    { "barrier_not_reached",
      [](Bench &b) { return RUN(barrier_not_reached, 1, 64, 0, b.x, b.y); } },
    { "misaligned_vector", [](Bench &b) { return RUN(misaligned_vector, 1, 32, 0, b.x, b.y); } },
    { "never_written", [](Bench &b) { return RUN(never_written, 1, 64, 0, b.x, b.y); } },
    { "blocks_without_atomics",
      [](Bench &b) {
          b.want = { 16 };
          return RUN(blocks_without_atomics, 8, 2, 0, b.y);
      } },
    { "missing_syncwarp", [](Bench &b) { return RUN(missing_syncwarp, 1, 32, 0, b.x, b.y); } },
    { "block_without_order", [](Bench &b) { return RUN(block_without_order, 1, 64, 0, b.y); } },
    { "async_without_wait",
      [](Bench &b) {
          b.want = reversed(b.in, 64);
          return RUN(async_without_wait, 1, 64, 0, b.x, b.y);
      } },
    { "mask_of_the_returned",
      [](Bench &b) { return RUN(mask_of_the_returned, 1, 32, 0, b.x, b.y); } },
    { "local_outside", [](Bench &b) { return RUN(local_outside, 1, 32, 0, b.x, b.y, 8); } },
    { "block_too_large",
      [](Bench &b) {
          b.want = b.in;
          return copy<<<1, b.right ? 256 : 2048, 0, b.s>>>(b.x, b.y, N), cudaGetLastError();
      } },
    { "block_beyond_its_bounds",
      [](Bench &b) {
          return small_blocks<<<1, b.right ? 128 : 256, 0, b.s>>>(b.x, b.y), cudaGetLastError();
      } },
    { "shared_not_asked_for",
      [](Bench &b) {
          return copy<<<1, N, b.right ? 0 : 100 << 10, b.s>>>(b.x, b.y, N), cudaGetLastError();
      } },
    { "pointer_of_the_host",
      [](Bench &b) {
          b.want = b.in;
          return copy<<<1, N, 0, b.s>>>(b.right ? b.x : b.in.data(), b.y, N), cudaGetLastError();
      } },
    { "staging_used_again", staging_used_again },
    { "by_another_stream", by_another_stream },
    { "read_before_the_end", read_before_the_end },
    { "wait_within_capture", wait_within_capture },
    { "copy_outside",
      [](Bench &b) {
          float *z;
          cudaMalloc((void **)&z, 100);
          return cudaMemcpyAsync(z, b.in.data(), b.right ? 100 : 104, cudaMemcpyHostToDevice, b.s);
      } },
    { "freed_twice",
      [](Bench &b) {
          float *z;
          cudaMalloc((void **)&z, 100);
          cudaFree(z);
          return b.right ? cudaSuccess : cudaFree(z);
      } },
};

static int run(const Case &c, bool right)
{
    Bench b = {};
    std::vector<float> out(N);
    cudaError_t e;
    bool wrong = false;

    b.right = right;
    for (int i = 0; i < N; i++)
        b.in.push_back((float)(i % 7 + 1));
    cudaStreamCreateWithFlags(&b.s, cudaStreamNonBlocking);
    cudaMalloc((void **)&b.x, N * 4);
    cudaMalloc((void **)&b.y, N * 4);
    cudaMemcpy(b.x, b.in.data(), N * 4, cudaMemcpyHostToDevice);
    cudaMemset(b.y, 0, N * 4);
    cudaDeviceSynchronize(); /* the stream of a case does not wait for the null stream */
    e = c.run(b);
    if (e == cudaSuccess)
        e = cudaStreamSynchronize(b.s);
    if (e != cudaSuccess) {
        puts(e == cudaErrorUnknown ? "wrong result" : cudaGetErrorName(e));
        return 1;
    }
    cudaMemcpy(out.data(), b.y, N * 4, cudaMemcpyDeviceToHost);
    for (size_t i = 0; i < b.want.size(); i++)
        wrong = wrong || !(out[i] == b.want[i]);
    puts(wrong ? "wrong result" : "right result");
    return wrong;
}

int main(int n, char **args)
{
    for (const Case &c : cases)
        if (n < 2)
            puts(c.name);
        else if (!strcmp(c.name, args[1]))
            return run(c, n > 2);
    return n < 2 ? 0 : 2;
}
