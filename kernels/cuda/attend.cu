/* attend.cu - attention of rows over paged keys and values.
 *
 * Positions are cut at fixed places, every 256: a split.  Its result is a maximum, a sum and a
 * vector of weighted values, which are merged in the order of splits (Dao et al. 2023,
 * FlashAttention-2, section 3.1): by the block of threads that walks all splits of a row, or, where
 * rows are few, by a kernel behind those that walk one each.  The arithmetic of a row and head is
 * the same either way, whatever stands beside them.  (Rows of prompts: attend_many.cu.)
 *
 * A block of four warps has one row and up to HEADS query heads that share a kv head.  A warp takes
 * every fourth position of a split, its lanes the values of a head. */
#include "kernels/cuda/attend.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP, MERGE_THREADS = 128 };

/* A running softmax in shared memory: weighted values, then the maximum and the sum. */
static __device__ __forceinline__ void merge(float *into, const float *from, unsigned dim,
                                             unsigned thread, unsigned n_threads)
{
    const float top = fmaxf(into[dim], from[dim]);
    const float a = into[dim] == top ? 1.0f : expf(into[dim] - top),
                b = from[dim] == top ? 1.0f : expf(from[dim] - top);
    const float sum = into[dim + 1] * a + from[dim + 1] * b;

    if (from[dim] == -INFINITY)
        return;
    for (unsigned d = thread; d < dim; d += n_threads)
        into[d] = into[d] * a + from[d] * b;
    __syncwarp(); /* all lanes have read the old maximum */
    if (thread == 0) {
        into[dim] = top;
        into[dim + 1] = sum;
    }
}

/* Values first .. of this lane's of a key or value, 0 behind the last. */
template <int DTYPE, int N>
static __device__ __forceinline__ void load_some(float (&x)[N], const cuda_kv &kv,
                                                 const uint8_t *from, unsigned at, int first)
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        const unsigned d = threadIdx.x % WARP + (first + i) * WARP;

        x[i] = d < kv.head_dim ? kv_load<DTYPE>(kv, from, at, d) : 0;
    }
}

/* Loads of large heads are not to begin before the ones before them are used: registers are few. */
template <int PER_LANE, int SOME> static __device__ __forceinline__ void one_by_one()
{
    if (PER_LANE > SOME)
        asm volatile("" ::: "memory");
}

/* Positions from .. to - 1 by one warp; mine: [heads][dim + 2] of its results. */
template <int DTYPE, int PER_LANE, int HEADS>
static __device__ __forceinline__ void
walk(const cuda_attend &op, const float (&q)[HEADS][PER_LANE], const cuda_row &row,
     unsigned kv_head, unsigned head, unsigned n_heads, int from, int to, float *mine)
{
    enum { SOME = PER_LANE <= 8 ? PER_LANE : 4 };
    const unsigned lane = threadIdx.x % WARP, dim = op.kv.head_dim;
    float acc[HEADS][PER_LANE] = {}, top[HEADS], sum[HEADS];

#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        top[h] = -INFINITY;
        sum[h] = 0;
    }
    for (int pos = from + (int)(threadIdx.x / WARP); pos < to; pos += WARPS) {
        const unsigned page = (unsigned)op.pages[row.pages + pos / (int)op.kv.page_tokens];
        const unsigned at = (unsigned)pos % op.kv.page_tokens;
        const uint8_t *keys = kv_keys(op.kv, op.layer, page, kv_head),
                      *values = keys + op.kv.head_bytes / 2;
        float x[SOME], s[HEADS] = {}, factor[HEADS] = {}; /* of a key, then of its value */

#pragma unroll
        for (int k = 0; k < PER_LANE; k += SOME) {
            load_some<DTYPE>(x, op.kv, keys, at, k);
#pragma unroll
            for (int h = 0; h < HEADS; h++)
#pragma unroll
                for (int i = 0; i < SOME; i++)
                    s[h] += q[h][k + i] * x[i];
            one_by_one<PER_LANE, SOME>();
        }
        load_some<DTYPE>(x, op.kv, values, at, 0);
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            if (h >= (int)n_heads)
                break;
            s[h] = score_of(op, warp_sum(s[h]), head + h, pos);
            const float now = fmaxf(top[h], s[h]);
            factor[h] = expf(top[h] - now);
            s[h] = expf(s[h] - now);
            top[h] = now;
            sum[h] = sum[h] * factor[h] + s[h];
        }
#pragma unroll
        for (int k = 0; k < PER_LANE; k += SOME) {
            if (k > 0)
                load_some<DTYPE>(x, op.kv, values, at, k);
#pragma unroll
            for (int h = 0; h < HEADS; h++)
#pragma unroll
                for (int i = 0; i < SOME; i++)
                    acc[h][k + i] = acc[h][k + i] * factor[h] + s[h] * x[i];
            one_by_one<PER_LANE, SOME>();
        }
    }
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        if (h >= (int)n_heads)
            break;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++)
            if (lane + i * WARP < dim)
                mine[h * (dim + 2) + lane + i * WARP] = acc[h][i];
        if (lane == 0) {
            mine[h * (dim + 2) + dim] = top[h];
            mine[h * (dim + 2) + dim + 1] = sum[h];
        }
    }
}

/* y = values / sum, a sink's weight added to sum. */
static __device__ void finish(const cuda_attend &op, const float *run, unsigned row, unsigned head,
                              unsigned thread, unsigned n_threads)
{
    const unsigned dim = op.kv.head_dim;
    const float factor = one_over(op, head, run[dim], run[dim + 1]);

    for (unsigned d = thread; d < dim; d += n_threads)
        op.y[((size_t)row * op.n_head + head) * dim + d] = run[d] * factor;
}

/* grid: (rows, parts of all heads, splits or 1).  Shared memory: [WARPS + 1][HEADS][dim + 2]. */
template <int DTYPE, int PER_LANE, int HEADS>
static __global__ void __launch_bounds__(THREADS, 1) attend_kernel(const cuda_attend op)
{
    extern __shared__ float shared[];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, dim = op.kv.head_dim,
                   size = dim + 2;
    const unsigned group = op.n_head / op.kv.n_kv, per_kv = ceil_div(group, HEADS);
    const unsigned kv_head = blockIdx.y / per_kv, first = blockIdx.y % per_kv * HEADS;
    const unsigned head = kv_head * group + first, n_heads = min(group - first, (unsigned)HEADS);
    const cuda_row row = op.rows[blockIdx.x];
    const int from = first_seen(op, row.pos), to = end_seen(op, row);
    int split = from / CUDA_SPLIT, end = (to - 1) / CUDA_SPLIT + 1;
    float *run = shared + WARPS * HEADS * size, q[HEADS][PER_LANE];

    if (op.n_splits > 1) { /* one split, merged later */
        split += (int)blockIdx.z;
        if (split >= end)
            return;
        end = split + 1;
    }
#pragma unroll
    for (int h = 0; h < HEADS; h++)
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            const unsigned d = lane + i * WARP;
            q[h][i] = h < (int)n_heads && d < dim
                          ? op.q[((size_t)blockIdx.x * op.n_head + head + h) * dim + d] * op.scale
                          : 0;
        }
    for (bool begun = false; split < end; split++, begun = true) {
        walk<DTYPE, PER_LANE, HEADS>(op, q, row, kv_head, head, n_heads,
                                     max(from, split * CUDA_SPLIT),
                                     min(to, (split + 1) * CUDA_SPLIT),
                                     shared + warp * HEADS * size);
        __syncthreads();
        for (unsigned h = warp; h < n_heads; h += WARPS) { /* a warp merges a head */
            for (int w = 1; w < WARPS; w++)
                merge(shared + h * size, shared + (w * HEADS + h) * size, dim, lane, WARP),
                    __syncwarp();
            if (begun)
                merge(run + h * size, shared + h * size, dim, lane, WARP);
            else
                for (unsigned d = lane; d < size; d += WARP)
                    run[h * size + d] = shared[h * size + d];
        }
        __syncthreads();
    }
    for (unsigned h = warp; h < n_heads; h += WARPS) {
        float *part =
            op.parts +
            (((size_t)blockIdx.x * op.n_head + head + h) * op.n_splits + blockIdx.z) * size;

        if (op.n_splits == 1)
            finish(op, run + h * size, blockIdx.x, head + h, lane, WARP);
        else
            for (unsigned d = lane; d < size; d += WARP)
                part[d] = run[h * size + d];
    }
}

/* grid: (rows, heads); one warp.  Shared memory: [dim + 2]. */
static __global__ void __launch_bounds__(WARP) merge_kernel(const cuda_attend op)
{
    extern __shared__ float run[];
    const unsigned size = op.kv.head_dim + 2, row = blockIdx.x, head = blockIdx.y;
    const int last = end_seen(op, op.rows[row]) - 1,
              n = last / CUDA_SPLIT - first_seen(op, op.rows[row].pos) / CUDA_SPLIT + 1;
    const float *part = op.parts + ((size_t)row * op.n_head + head) * op.n_splits * size;

    for (unsigned d = threadIdx.x; d < size; d += WARP)
        run[d] = part[d];
    __syncwarp();
    for (int i = 1; i < n; i++) {
        merge(run, part + (size_t)i * size, op.kv.head_dim, threadIdx.x, WARP);
        __syncwarp();
    }
    finish(op, run, row, head, threadIdx.x, WARP);
}

template <int DTYPE, int PER_LANE, int HEADS>
static void launch(const cuda_attend *op, cudaStream_t s)
{
    const unsigned group = op->n_head / op->kv.n_kv,
                   parts = op->kv.n_kv * ((group + HEADS - 1) / HEADS);
    const size_t bytes = (WARPS + 1) * HEADS * (op->kv.head_dim + 2) * sizeof(float);

    attend_kernel<DTYPE, PER_LANE, HEADS>
        <<<dim3(op->n, parts, op->n_splits), THREADS, bytes, s>>>(*op);
}

template <int DTYPE> static void launch_for(const cuda_attend *op, cudaStream_t s)
{
    const bool one = op->n_head == op->kv.n_kv;

    if (op->kv.head_dim > 8 * WARP)
        launch<DTYPE, 32, 1>(op, s);
    else if (op->kv.head_dim > 4 * WARP)
        one ? launch<DTYPE, 8, 1>(op, s) : launch<DTYPE, 8, 4>(op, s);
    else if (op->kv.head_dim > 2 * WARP)
        one ? launch<DTYPE, 4, 1>(op, s) : launch<DTYPE, 4, 4>(op, s);
    else
        one ? launch<DTYPE, 2, 1>(op, s) : launch<DTYPE, 2, 4>(op, s);
}

void launch_attend(const struct cuda_attend *op, cudaStream_t s)
{
    if (op->kv.dtype == F32)
        launch_for<F32>(op, s);
    else if (op->kv.dtype == F16)
        launch_for<F16>(op, s);
    else if (op->kv.dtype == BF16)
        launch_for<BF16>(op, s);
    else if (op->kv.dtype == F8)
        launch_for<F8>(op, s);
    else
        launch_for<Q8_0>(op, s);
    if (op->n_splits > 1)
        merge_kernel<<<dim3(op->n, op->n_head), WARP, (op->kv.head_dim + 2) * sizeof(float), s>>>(
            *op);
}
