/* experts.cu - a feed-forward part whose rows go to a few of many experts (struct experts of
 * backend.h).
 *
 *   route: each row's experts and shares -> sort: rows of one expert side by side -> copy the rows
 * there
 *     -> products by expert (here for codes, matmul_floats.cu for floats) -> each row's sum of
 * shares
 *
 * How many rows an expert has is known on the device only: launches cover the most there can be,
 * and blocks of threads without rows leave at once. */
#include "kernels/cuda/codes.cuh"

enum { ROUTE_WARPS = 4, SORT_THREADS = 256, COPY_THREADS = 256, WARPS = 4, FEW = 8 };

static __device__ float dot(const float *w, const float *x, unsigned cols)
{
    float sum = 0;

    for (unsigned c = threadIdx.x % WARP; c < cols; c += WARP)
        sum = __fmaf_rn(w[c], x[c], sum);
    return warp_sum(sum);
}

/* The best n_used of a row in order, the lower index first in a tie. */
static __device__ void choose(const cuda_experts &x, const float *s, int32_t *expert, float *share)
{
    unsigned n = 0;

    for (unsigned e = 0; e < x.n_expert; e++) {
        unsigned k = n;

        if (n < x.n_used)
            n++;
        else if (s[e] > share[n - 1])
            k = n - 1;
        else
            continue;
        for (; k > 0 && s[e] > share[k - 1]; k--) {
            share[k] = share[k - 1];
            expert[k] = expert[k - 1];
        }
        share[k] = s[e];
        expert[k] = (int32_t)e;
    }
}

static __global__ void __launch_bounds__(ROUTE_WARPS *WARP) route_kernel(const cuda_experts x)
{
    const unsigned row = blockIdx.x, warp = threadIdx.x / WARP;
    const float *in = x.x + (size_t)row * x.cols;
    float *s = x.scores + (size_t)row * x.n_expert,
          *share = x.shares + (size_t)row * (x.n_used + 1);
    int32_t *expert = x.expert + (size_t)row * x.n_used;

    for (unsigned e = warp; e < x.n_expert; e += ROUTE_WARPS) {
        const float v = dot(x.router + (size_t)e * x.cols, in, x.cols);

        if (threadIdx.x % WARP == 0)
            s[e] = x.router_bias ? v + x.router_bias[e] : v;
    }
    __syncthreads();
    if (warp)
        return;
    const float gate = x.shared_gate ? dot(x.shared_gate, in, x.cols) : 0;
    if (threadIdx.x)
        return;
    choose(x, s, expert, share);
    const float best = share[0];
    float sum = 0;
    for (unsigned k = 0; k < x.n_used; k++)
        share[k] = expf(share[k] - best);
    for (unsigned k = 0; x.renormalise && k < x.n_used; k++)
        sum += share[k];
    for (unsigned e = 0; !x.renormalise && e < x.n_expert; e++)
        sum += expf(s[e] - best);
    for (unsigned k = 0; k < x.n_used; k++)
        share[k] = share[k] / sum * x.scale;
    share[x.n_used] = x.shared_gate ? 1 / (1 + expf(-gate)) : 1;
}

/* One block: counts, where each expert begins, and each row's place, in order. */
static __global__ void __launch_bounds__(SORT_THREADS) sort_kernel(const cuda_experts x)
{
    const unsigned n = x.n * x.n_used;

    for (unsigned e = threadIdx.x; e < x.n_expert; e += SORT_THREADS) {
        int32_t count = 0;

        for (unsigned i = 0; i < n; i++)
            count += x.expert[i] == (int32_t)e;
        x.start[e + 1] = count;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        x.start[0] = 0;
        for (unsigned e = 0; e < x.n_expert; e++)
            x.start[e + 1] += x.start[e];
    }
    __syncthreads();
    for (unsigned e = threadIdx.x; e < x.n_expert; e += SORT_THREADS) {
        int32_t at = x.start[e];

        for (unsigned i = 0; i < n; i++)
            if (x.expert[i] == (int32_t)e) {
                x.place[i] = at;
                x.row[at++] = (int32_t)(i / x.n_used);
            }
    }
}

void launch_experts_route(const struct cuda_experts *x, cudaStream_t s)
{
    route_kernel<<<x->n, ROUTE_WARPS * WARP, 0, s>>>(*x);
    sort_kernel<<<1, SORT_THREADS, 0, s>>>(*x);
}

static __global__ void __launch_bounds__(COPY_THREADS) rows_kernel(const cuda_experts x)
{
    const size_t to = (size_t)blockIdx.x * x.cols, from = (size_t)x.row[blockIdx.x] * x.cols;

    for (unsigned c = threadIdx.x; c < x.cols; c += COPY_THREADS)
        x.rows[to + c] = x.x[from + c];
}

void launch_experts_rows(const struct cuda_experts *x, cudaStream_t s)
{
    rows_kernel<<<x->n * x->n_used, COPY_THREADS, 0, s>>>(*x);
}

/* grid: (rows of w, experts, 8 of an expert's rows each) */
template <class F>
static __global__ void __launch_bounds__(WARPS *WARP)
    codes_kernel(const cuda_codes *all, const int32_t *start, const cuda_acts a, float *y,
                 const float *bias)
{
    const unsigned e = blockIdx.y, row = blockIdx.x * WARPS + threadIdx.x / WARP;
    const unsigned first = (unsigned)start[e] + blockIdx.z * FEW, end = (unsigned)start[e + 1];
    const cuda_codes w = all[e];
    float out[FEW];

    if (row >= w.rows || first >= end)
        return;
    const cuda_acts mine = { a.code + (size_t)first * w.blocks * CUDA_BLOCK,
                             a.act + (size_t)first * w.blocks };
    dot_row<F, FEW>(out, w, row, mine, min(end - first, (unsigned)FEW));
#pragma unroll
    for (int c = 0; c < FEW; c++)
        if (threadIdx.x % WARP == (unsigned)c && first + c < end)
            y[(size_t)(first + c) * w.rows + row] =
                bias ? out[c] + bias[(size_t)e * w.rows + row] : out[c];
}

void launch_experts_codes(const struct cuda_experts *x, const struct cuda_codes *w,
                          const struct cuda_codes *like, const struct cuda_acts *a, float *y,
                          const float *bias, cudaStream_t s)
{
    const dim3 grid((like->rows + WARPS - 1) / WARPS, x->n_expert,
                    (x->n * x->n_used + FEW - 1) / FEW);
#define LAUNCH(F)  codes_kernel<STRIP F><<<grid, WARPS * WARP, 0, s>>>(w, x->start, *a, y, bias)
#define STRIP(...) __VA_ARGS__

    WITH_FORMAT(like->bits, like->subs, like->min != nullptr, LAUNCH);
}

/* y of a row: its experts' results in the order of their scores, behind what a shared one says. */
static __global__ void __launch_bounds__(COPY_THREADS) sum_kernel(const cuda_experts x)
{
    const float *share = x.shares + (size_t)blockIdx.x * (x.n_used + 1);
    const int32_t *place = x.place + (size_t)blockIdx.x * x.n_used;
    float *y = x.y + (size_t)blockIdx.x * x.cols;

    for (unsigned c = threadIdx.x; c < x.cols; c += COPY_THREADS) {
        float v = x.shared ? y[c] * share[x.n_used] : 0;

        for (unsigned k = 0; k < x.n_used; k++)
            v += x.rows[(size_t)place[k] * x.cols + c] * share[k];
        y[c] = v;
    }
}

void launch_experts_sum(const struct cuda_experts *x, cudaStream_t s)
{
    sum_kernel<<<x->n, COPY_THREADS, 0, s>>>(*x);
}
