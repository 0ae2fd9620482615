/* top.cu - the largest values of a row, and ln of the sum of its exponentials.
 *
 * A block of threads finds those of a segment, which its threads hold in registers; another merges
 * the segments of a row.  Each finds the next in order, one by one: the best of those that come
 * behind the last one found. */
#include "kernels/cuda/common.cuh"

enum {
    THREADS = 256,
    WARPS = THREADS / WARP,
    EACH = CUDA_TOP_SEGMENT / THREADS,
    NONE = 0x7fffffff
};

/* Larger ones come first, of equal ones the lower index.  NaN comes before nothing and behind
 * nothing. */
static __device__ __forceinline__ bool precedes(const cuda_best &a, const cuda_best &b)
{
    return a.value > b.value || (a.value == b.value && a.at < b.at);
}

/* x, where it comes behind `last` and before `best`, else `best`. */
static __device__ __forceinline__ cuda_best next_best(const cuda_best &x, const cuda_best &last,
                                                      const cuda_best &best)
{
    return precedes(last, x) && precedes(x, best) ? x : best;
}

/* The first of all threads' in order; every thread gets it.  part: [WARPS] of shared memory. */
static __device__ cuda_best block_best(cuda_best mine, cuda_best *part)
{
#pragma unroll
    for (int o = WARP / 2; o; o >>= 1) {
        const cuda_best other = { __shfl_xor_sync(ALL_LANES, mine.value, o),
                                  __shfl_xor_sync(ALL_LANES, mine.at, o) };

        if (precedes(other, mine))
            mine = other;
    }
    if (threadIdx.x % WARP == 0)
        part[threadIdx.x / WARP] = mine;
    __syncthreads();
    mine = part[0];
#pragma unroll
    for (int w = 1; w < WARPS; w++)
        if (precedes(part[w], mine))
            mine = part[w];
    __syncthreads();
    return mine;
}

/* grid: (segments, rows) */
static __global__ void __launch_bounds__(THREADS) segment_kernel(const cuda_top op)
{
    __shared__ cuda_best part[WARPS];
    __shared__ float sums[WARPS];
    const float *x = op.x + (size_t)blockIdx.y * op.cols;
    const unsigned first = blockIdx.x * CUDA_TOP_SEGMENT + threadIdx.x;
    const size_t segment = (size_t)blockIdx.y * op.segments + blockIdx.x;
    cuda_best last = { INFINITY, -1 };
    float v[EACH], top = 0, sum = 0;

#pragma unroll
    for (int e = 0; e < EACH; e++)
        v[e] = first + e * THREADS < op.cols ? x[first + e * THREADS] : NAN;
    for (unsigned k = 0; k < op.k; k++) {
        cuda_best best = { -INFINITY, NONE };

#pragma unroll
        for (int e = 0; e < EACH; e++) {
            const cuda_best here = { v[e], (int32_t)(first + e * THREADS) };
            best = next_best(here, last, best);
        }
        last = block_best(best, part);
        if (k == 0)
            top = last.value;
        if (threadIdx.x == 0)
            op.part[segment * op.k + k] = last;
    }
    if (!op.values)
        return;
#pragma unroll
    for (int e = 0; e < EACH; e++)
        if (v[e] <= top && isfinite(top))
            sum += expf(v[e] - top);
    sum = block_sum<WARPS>(sum, sums);
    if (threadIdx.x == 0)
        op.sums[segment] = sum;
}

/* ln of the row's sum: that of its segments, each times e^(its largest - the row's). */
static __device__ float log_sum(const cuda_top &op, const cuda_best *part, float top, float *shared)
{
    const float *sums = op.sums + (size_t)blockIdx.x * op.segments;
    float sum = 0;

    for (unsigned s = threadIdx.x; s < op.segments; s += THREADS)
        if (isfinite(top) && isfinite(part[s * op.k].value))
            sum += sums[s] * expf(part[s * op.k].value - top);
    sum = block_sum<WARPS>(sum, shared);
    return isfinite(top) ? top + logf(sum) : top;
}

/* grid: (rows) */
static __global__ void __launch_bounds__(THREADS) merge_kernel(const cuda_top op)
{
    __shared__ cuda_best best_part[WARPS];
    __shared__ float sum_part[WARPS];
    const unsigned n = op.segments * op.k;
    const cuda_best *part = op.part + (size_t)blockIdx.x * n;
    float *values = op.values ? op.values + (size_t)blockIdx.x * (op.k + 1) : nullptr, top = 0;
    cuda_best last = { INFINITY, -1 };

    for (unsigned k = 0; k < op.k; k++) {
        cuda_best best = { -INFINITY, NONE };

        for (unsigned i = threadIdx.x; i < n; i += THREADS)
            best = next_best(part[i], last, best);
        last = block_best(best, best_part);
        if (k == 0)
            top = last.value;
        if (threadIdx.x == 0) {
            op.ids[(size_t)blockIdx.x * op.k + k] = last.at == NONE ? op.none : last.at;
            if (values)
                values[k] = last.value;
        }
    }
    if (!values)
        return;
    const float all = log_sum(op, part, top, sum_part);
    if (threadIdx.x == 0)
        values[op.k] = all;
}

void launch_top(const struct cuda_top *op, cudaStream_t s)
{
    segment_kernel<<<dim3(op->segments, op->rows), THREADS, 0, s>>>(*op);
    merge_kernel<<<op->rows, THREADS, 0, s>>>(*op);
}
