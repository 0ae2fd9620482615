/* attend_many.cu - attention of rows of prompts by tensor cores (Dao et al. 2023,
 * FlashAttention-2, algorithm 1).
 *
 * Queries, weights and what is kept in Q8_0 are sums of two F16, 22 bits of significand; keys and
 * values of 16 bits, or of 8 that are floats, are F16 as they are (of BF16, what F16 can hold); sums are float32.  A block of
 * two warps has up to 32 rows of one sequence and one head, and walks the positions they see in
 * steps of 32 from a multiple of 32 on.  Steps of which a row sees nothing leave its results as
 * they are, bit for bit, so a row does not depend on those beside it. */
#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/mma.cuh"

enum { WARPS = CUDA_TILE_ROWS / 16, THREADS = WARPS * WARP, STEP = 32 };

/* Rows of 8 halves more than a head has lie in different banks. */
template <int DIM> struct alignas(16) Part {
    __half high[STEP][DIM + 8], low[STEP][DIM + 8];
};

/* Queries, scaled; rows and values that are not there are 0. */
template <int DIM>
static __device__ void load_queries(Part<DIM> &q, const cuda_attend &op, const cuda_tile &tile,
                                    unsigned head)
{
    const unsigned dim = op.kv.head_dim;

    for (unsigned i = threadIdx.x; i < CUDA_TILE_ROWS * DIM; i += THREADS) {
        const unsigned r = i / DIM, d = i % DIM;
        const bool there = r < (unsigned)tile.n && d < dim;
        const size_t at = ((size_t)(tile.row + r) * op.n_head + head) * dim + d;

        split_half(there ? op.q[at] * op.scale : 0, &q.high[r][d], &q.low[r][d]);
    }
}

/* Keys or values (half 0 or 1 of a page) of positions from .. from + 31, as far as end. */
template <int DTYPE, int DIM>
static __device__ void load_positions(Part<DIM> &part, const cuda_attend &op, const int32_t *pages,
                                      unsigned kv_head, int half, int from, int end)
{
    const unsigned dim = op.kv.head_dim;

    for (unsigned i = threadIdx.x; i < STEP * DIM; i += THREADS) {
        const unsigned r = i / DIM, d = i % DIM;
        const int pos = from + (int)r;
        float v = 0;

        if (pos < end && d < dim) {
            const unsigned page = (unsigned)pages[pos / (int)op.kv.page_tokens];
            const uint8_t *keys = kv_keys(op.kv, op.layer, page, kv_head);

            v = kv_load<DTYPE>(op.kv, half ? keys + op.kv.head_bytes / 2 : keys,
                               (unsigned)pos % op.kv.page_tokens, d);
        }
        split_half(v, &part.high[r][d], &part.low[r][d]);
    }
}

/* s[j] of 8 positions each += q k^T, 16 rows of this warp. */
template <int DTYPE, int DIM>
static __device__ __forceinline__ void scores(float (&s)[STEP / 8][4], const Part<DIM> &q,
                                              const Part<DIM> &k)
{
    const unsigned lane = threadIdx.x % WARP, row = threadIdx.x / WARP * 16;

#pragma unroll
    for (int d = 0; d < DIM; d += 16) {
        unsigned qh[4], ql[4];

        load_matrices(qh, &q.high[row + lane % 16][d + lane / 16 * 8]);
        load_matrices(ql, &q.low[row + lane % 16][d + lane / 16 * 8]);
#pragma unroll
        for (int j = 0; j < STEP / 8; j += 2) {
            const unsigned r = 8 * j + lane / 16 * 8 + lane % 8, c = d + lane / 8 % 2 * 8;
            unsigned kh[4], kl[4];

            load_matrices(kh, &k.high[r][c]);
            if (DTYPE == Q8_0)
                load_matrices(kl, &k.low[r][c]);
#pragma unroll
            for (int h = 0; h < 2; h++) {
                mma_half(s[j + h], qh, kh[2 * h], kh[2 * h + 1]);
                mma_half(s[j + h], ql, kh[2 * h], kh[2 * h + 1]);
                if (DTYPE == Q8_0)
                    mma_half(s[j + h], qh, kl[2 * h], kl[2 * h + 1]);
            }
        }
    }
}

/* acc += weights v. */
template <int DTYPE, int DIM>
static __device__ __forceinline__ void
add_values(float (&acc)[DIM / 8][4], const float (&weight)[STEP / 8][4], const Part<DIM> &v)
{
    const unsigned lane = threadIdx.x % WARP;

#pragma unroll
    for (int j = 0; j < STEP / 8; j += 2) {
        unsigned wh[4], wl[4];

#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float *pair = &weight[j + i / 2][i % 2 * 2];
            __half high[2], low[2];

            split_half(pair[0], &high[0], &low[0]);
            split_half(pair[1], &high[1], &low[1]);
            wh[i] = pack_half(high[0], high[1]);
            wl[i] = pack_half(low[0], low[1]);
        }
#pragma unroll
        for (int d = 0; d < DIM; d += 16) {
            const unsigned r = 8 * j + lane % 16, c = d + lane / 16 * 8;
            unsigned vh[4], vl[4];

            load_transposed(vh, &v.high[r][c]);
            if (DTYPE == Q8_0)
                load_transposed(vl, &v.low[r][c]);
#pragma unroll
            for (int h = 0; h < 2; h++) {
                mma_half(acc[d / 8 + h], wh, vh[2 * h], vh[2 * h + 1]);
                mma_half(acc[d / 8 + h], wl, vh[2 * h], vh[2 * h + 1]);
                if (DTYPE == Q8_0)
                    mma_half(acc[d / 8 + h], wh, vl[2 * h], vl[2 * h + 1]);
            }
        }
    }
}

/* Of a lane's two rows, g and g + 8. */
struct Running {
    int from[2], end[2];  /* positions they see */
    float top[2], sum[2]; /* sum: of this lane's positions only */
};

/* Scores of positions p0 .. become weights; what was added up so far is scaled to the new maxima.
 */
template <int DIM>
static __device__ __forceinline__ void weigh(float (&s)[STEP / 8][4], float (&acc)[DIM / 8][4],
                                             Running &run, const cuda_attend &op, unsigned head,
                                             int p0)
{
    const int t = (int)threadIdx.x % 4;

#pragma unroll
    for (int r = 0; r < 2; r++) {
        float now = run.top[r], sum = 0;

#pragma unroll
        for (int i = 0; i < STEP / 4; i++) { /* element i % 2 of part i / 2 */
            const int pos = p0 + i / 2 * 8 + 2 * t + i % 2;
            float &v = s[i / 2][2 * r + i % 2];

            v = pos >= run.from[r] && pos < run.end[r] ? score_of(op, v, head, pos) : -INFINITY;
            now = fmaxf(now, v);
        }
        now = fmaxf(now, __shfl_xor_sync(ALL_LANES, now, 1));
        now = fmaxf(now, __shfl_xor_sync(ALL_LANES, now, 2));
        const float factor = run.top[r] == now ? 1.0f : expf(run.top[r] - now);
#pragma unroll
        for (int i = 0; i < STEP / 4; i++) {
            float &v = s[i / 2][2 * r + i % 2];

            v = v == -INFINITY ? 0.0f : expf(v - now);
            sum += v;
        }
        run.top[r] = now;
        run.sum[r] = run.sum[r] * factor + sum;
#pragma unroll
        for (int d = 0; d < DIM / 8; d++) {
            acc[d][2 * r] *= factor;
            acc[d][2 * r + 1] *= factor;
        }
    }
}

/* grid: (tiles, heads).  Shared memory: Part of queries, Part of keys and then values. */
template <int DTYPE, int DIM>
static __global__ void __launch_bounds__(THREADS, 1) many_kernel(const cuda_attend op)
{
    extern __shared__ __align__(16) unsigned char shared[];
    Part<DIM> &q = *(Part<DIM> *)shared, &kv = *((Part<DIM> *)shared + 1);
    const cuda_tile tile = op.tiles[blockIdx.x];
    const unsigned head = blockIdx.y, kv_head = head / (op.n_head / op.kv.n_kv);
    const unsigned row = threadIdx.x / WARP * 16 + threadIdx.x % WARP / 4;
    const cuda_row first = op.rows[tile.row], last = op.rows[tile.row + tile.n - 1];
    const int32_t *pages = op.pages + first.pages;
    const int end = end_seen(op, last);
    float acc[DIM / 8][4] = {};
    Running run;

#pragma unroll
    for (int r = 0; r < 2; r++) {
        const cuda_row mine = op.rows[tile.row + min((int)row + 8 * r, tile.n - 1)];

        run.from[r] = first_seen(op, mine.pos);
        run.end[r] = end_seen(op, mine);
        run.top[r] = -INFINITY;
        run.sum[r] = 0;
    }
    load_queries<DIM>(q, op, tile, head);
    for (int p0 = first_seen(op, first.pos) / STEP * STEP; p0 < end; p0 += STEP) {
        float s[STEP / 8][4] = {};

        load_positions<DTYPE, DIM>(kv, op, pages, kv_head, 0, p0, end);
        __syncthreads();
        scores<DTYPE, DIM>(s, q, kv);
        weigh<DIM>(s, acc, run, op, head, p0);
        __syncthreads();
        load_positions<DTYPE, DIM>(kv, op, pages, kv_head, 1, p0, end);
        __syncthreads();
        add_values<DTYPE, DIM>(acc, s, kv);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = run.sum[r];

        sum += __shfl_xor_sync(ALL_LANES, sum, 1);
        sum += __shfl_xor_sync(ALL_LANES, sum, 2);
        const float factor = one_over(op, head, run.top[r], sum);
        const unsigned at = row + 8 * r, t = threadIdx.x % 4;
        float *y = op.y + ((size_t)(tile.row + at) * op.n_head + head) * op.kv.head_dim;
#pragma unroll
        for (int i = 0; i < DIM / 4; i++) {
            const unsigned d = i / 2 * 8 + 2 * t + i % 2;

            if (at < (unsigned)tile.n && d < op.kv.head_dim)
                y[d] = acc[i / 2][2 * r + i % 2] * factor;
        }
    }
}

template <int DTYPE, int DIM> static void launch(const cuda_attend *op, cudaStream_t s)
{
    const int bytes = 2 * sizeof(Part<DIM>);

    if (bytes > 48 << 10)
        cudaFuncSetAttribute(many_kernel<DTYPE, DIM>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             bytes);
    many_kernel<DTYPE, DIM><<<dim3(op->n_tiles, op->n_head), THREADS, bytes, s>>>(*op);
}

template <int DTYPE> static void launch_for(const cuda_attend *op, cudaStream_t s)
{
    if (op->kv.head_dim > 128)
        launch<DTYPE, 256>(op, s);
    else if (op->kv.head_dim > 64)
        launch<DTYPE, 128>(op, s);
    else
        launch<DTYPE, 64>(op, s);
}

void launch_attend_many(const struct cuda_attend *op, cudaStream_t s)
{
    if (op->kv.dtype == F16)
        launch_for<F16>(op, s);
    else if (op->kv.dtype == BF16)
        launch_for<BF16>(op, s);
    else if (op->kv.dtype == F8)
        launch_for<F8>(op, s);
    else
        launch_for<Q8_0>(op, s);
}
