/* matmul_many.cu - matrices of floats times rows of prompts, by tensor cores.
 *
 * A float is the sum of two BF16: w x = wh xh + wh xl + wl xh, products exact, sums in float32, 16
 * bits of significand as with AMX on the CPU (wl is 0 where w is BF16 itself).  The order of sums
 * depends on the number of columns alone, so a row has the same bits in any company.
 *
 * A block of four warps has 64 rows of w times 64 of x; in steps of 32 columns both go to shared
 * memory in two parts, while the next ones are on their way from global memory. */
#include "kernels/cuda/floats.cuh"
#include "kernels/cuda/mma.cuh"

enum {
    THREADS = 128,
    TILE = 64,         /* rows of either */
    STEP = 32,         /* columns */
    STRIDE = STEP + 8, /* halves of a row in shared memory: eight rows lie in different banks */
    GROUPS = TILE * STEP / 4 / THREADS, /* of four values, a thread's share of a tile */
    HALF = TILE / 2,                    /* rows of either that a warp has */
};

struct alignas(16) Tile {
    __nv_bfloat16 high[TILE][STRIDE], low[TILE][STRIDE];
};

struct alignas(8) Four {
    __nv_bfloat16 v[4];
};

/* Group i of this thread: which row and column of the tile.  Rows that are written together are
 * four apart: in different banks. */
static __device__ __forceinline__ unsigned group_row(int i)
{
    const unsigned q = (i * THREADS + threadIdx.x) / (STEP / 4);

    return q / 8 * 8 + q % 2 * 4 + q % 8 / 2;
}

static __device__ __forceinline__ unsigned group_col(int i)
{
    return (i * THREADS + threadIdx.x) % (STEP / 4) * 4;
}

/* Rows beyond the last are the last one again, columns beyond are 0. */
template <class T>
static __device__ __forceinline__ void fetch(float (&v)[GROUPS][4], const T *m, unsigned first,
                                             unsigned rows, unsigned cols, unsigned col)
{
#pragma unroll
    for (int i = 0; i < GROUPS; i++) {
        const unsigned row = min(first + group_row(i), rows - 1), c = col + group_col(i);

#pragma unroll
        for (int k = 0; k < 4; k++)
            v[i][k] = 0;
        if (c < cols)
            load_four<T>(v[i], m + (size_t)row * cols + c, cols - c, cols % 4 == 0);
    }
}

static __device__ __forceinline__ void put(Tile &t, const float (&v)[GROUPS][4])
{
#pragma unroll
    for (int i = 0; i < GROUPS; i++) {
        Four high, low;

#pragma unroll
        for (int k = 0; k < 4; k++)
            split_bf16(v[i][k], &high.v[k], &low.v[k]);
        *(Four *)&t.high[group_row(i)][group_col(i)] = high;
        *(Four *)&t.low[group_row(i)][group_col(i)] = low;
    }
}

/* 16 rows from `row` on, 16 columns from col on, as the left side of a product. */
static __device__ __forceinline__ void left(unsigned (&a)[4], const __nv_bfloat16 (*m)[STRIDE],
                                            unsigned row, unsigned col)
{
    const unsigned lane = threadIdx.x % WARP;

    load_matrices(a, &m[row + lane % 16][col + lane / 16 * 8]);
}

/* As the right side: two tiles of 8 rows, each in two registers. */
static __device__ __forceinline__ void right(unsigned (&b)[4], const __nv_bfloat16 (*m)[STRIDE],
                                             unsigned row, unsigned col)
{
    const unsigned lane = threadIdx.x % WARP;

    load_matrices(b, &m[row + lane / 16 * 8 + lane % 8][col + lane / 8 % 2 * 8]);
}

/* A warp's 32 x 32 results, one step of columns more. */
template <bool LOW>
static __device__ __forceinline__ void multiply(float (&acc)[2][4][4], const Tile &w, const Tile &x,
                                                unsigned row, unsigned col)
{
#pragma unroll
    for (int k = 0; k < STEP; k += 16) {
        unsigned wh[2][4], wl[2][4];

#pragma unroll
        for (int m = 0; m < 2; m++) {
            left(wh[m], w.high, row + 16 * m, k);
            if (LOW)
                left(wl[m], w.low, row + 16 * m, k);
        }
#pragma unroll
        for (int n = 0; n < 2; n++) {
            unsigned xh[4], xl[4];

            right(xh, x.high, col + 16 * n, k);
            right(xl, x.low, col + 16 * n, k);
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    float(&c)[4] = acc[m][2 * n + h];

                    mma_bf16(c, wh[m], xh[2 * h], xh[2 * h + 1]);
                    mma_bf16(c, wh[m], xl[2 * h], xl[2 * h + 1]);
                    if (LOW)
                        mma_bf16(c, wl[m], xh[2 * h], xh[2 * h + 1]);
                }
        }
    }
}

/* grid: (rows of w / 64, rows of x / 64) */
template <class T, bool LOW>
static __global__ void __launch_bounds__(THREADS)
    many_kernel(const T *w, const float *x, float *y, const float *bias, unsigned rows,
                unsigned cols, unsigned n)
{
    __shared__ Tile w_tile, x_tile;
    const unsigned row0 = blockIdx.x * TILE, col0 = blockIdx.y * TILE, warp = threadIdx.x / WARP;
    const unsigned row = warp % 2 * HALF, col = warp / 2 * HALF;
    const unsigned g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    float w_next[GROUPS][4], x_next[GROUPS][4], acc[2][4][4] = {};

    fetch<T>(w_next, w, row0, rows, cols, 0);
    fetch<float>(x_next, x, col0, n, cols, 0);
    for (unsigned k = 0; k < cols; k += STEP) {
        put(w_tile, w_next);
        put(x_tile, x_next);
        __syncthreads();
        if (k + STEP < cols) {
            fetch<T>(w_next, w, row0, rows, cols, k + STEP);
            fetch<float>(x_next, x, col0, n, cols, k + STEP);
        }
        multiply<LOW>(acc, w_tile, x_tile, row, col);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const unsigned r = row0 + row + 16 * m + g + i / 2 * 8,
                               c = col0 + col + 8 * j + 2 * t + i % 2;

                if (r < rows && c < n)
                    y[(size_t)c * rows + r] = bias ? acc[m][j][i] + bias[r] : acc[m][j][i];
            }
}

template <class T, bool LOW>
static void launch(const cuda_floats *w, const float *x, float *y, const float *bias, unsigned n,
                   cudaStream_t s)
{
    const dim3 grid((w->rows + TILE - 1) / TILE, (n + TILE - 1) / TILE);

    many_kernel<T, LOW>
        <<<grid, THREADS, 0, s>>>((const T *)w->data, x, y, bias, w->rows, w->cols, n);
}

void launch_matmul_many(const struct cuda_floats *w, const float *x, float *y, const float *bias,
                        unsigned n, cudaStream_t s)
{
    if (w->dtype == F32)
        launch<float, true>(w, x, y, bias, n, s);
    else if (w->dtype == F16)
        launch<__half, true>(w, x, y, bias, n, s);
    else
        launch<__nv_bfloat16, false>(w, x, y, bias, n, s);
}
