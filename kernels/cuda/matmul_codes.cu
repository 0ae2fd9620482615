/* matmul_codes.cu - matrices of integer codes: activations quantised once, then by dp4a where rows
 * are few, and by int8 tensor cores where they are many.  Both give the same bits (codes.cuh). */
#include "kernels/cuda/codes.cuh"
#include "kernels/cuda/mma.cuh"

enum {
    QUANT_THREADS = 128,
    FEW_WARPS = 4,
    FEW = 8,
    MANY_WARPS = 8,
    MANY_ROWS = 16,
    TILE_COLS = 8,
    TILES = 8
};

/* --- activations: one warp a block of 32 --- */

static __global__ void __launch_bounds__(QUANT_THREADS)
    quantise_kernel(const cuda_acts a, const float *x, uint64_t n_blocks)
{
    const uint64_t block = ((uint64_t)blockIdx.x * QUANT_THREADS + threadIdx.x) / WARP;
    const unsigned lane = threadIdx.x % WARP;

    if (block >= n_blocks)
        return;
    const float v = x[block * CUDA_BLOCK + lane], top = warp_max(fabsf(v));
    const int code = top < 1e-30f ? 0 : __float2int_rn(v * (127.0f / top));
    int sum = code;

#pragma unroll
    for (int o = 8; o; o >>= 1) /* of each half */
        sum += __shfl_xor_sync(ALL_LANES, sum, o);
    a.code[block * CUDA_BLOCK + CUDA_BYTE_OF(lane)] = (int8_t)code;
    const int other = __shfl_xor_sync(ALL_LANES, sum, 16);
    if (lane == 0) {
        cuda_act act = { top < 1e-30f ? 0 : top / 127.0f, { sum, other }, 0 };
        a.act[block] = act;
    }
}

void launch_quantise(const struct cuda_acts *a, const float *x, unsigned n, unsigned cols,
                     cudaStream_t s)
{
    const uint64_t blocks = (uint64_t)n * (cols / CUDA_BLOCK);

    quantise_kernel<<<(unsigned)((blocks * WARP + QUANT_THREADS - 1) / QUANT_THREADS),
                      QUANT_THREADS, 0, s>>>(*a, x, blocks);
}

/* --- few: a warp for each row of w --- */

template <class F, int NC>
static __global__ void __launch_bounds__(FEW_WARPS *WARP)
    few_kernel(const cuda_codes w, const cuda_acts a, float *y, const float *bias, unsigned n)
{
    const unsigned row = blockIdx.x * FEW_WARPS + threadIdx.x / WARP;
    float out[NC];

    if (row >= w.rows)
        return;
    dot_row<F, NC>(out, w, row, a, n);
#pragma unroll
    for (int c = 0; c < NC; c++)
        if (threadIdx.x % WARP == (unsigned)c && c < (int)n)
            y[(size_t)c * w.rows + row] = bias ? out[c] + bias[row] : out[c];
}

/* --- many: 16 rows of w times 64 of x by a block; a warp takes parts w and w + 8 --- */

/* What a lane needs of block b: fragments of rows g and g + 8, and their scales. */
template <class F>
static __device__ __forceinline__ void load_rows(unsigned (&frag)[4], Scales (&s)[2],
                                                 const cuda_codes &w, const unsigned (&row)[2],
                                                 unsigned b, unsigned t)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const size_t at = (size_t)row[r] * w.blocks + b;
        const uint8_t *low = w.low + at * F::low_bytes;
        const unsigned l = *(const unsigned *)(low + (F::bits == 8 ? CUDA_BYTE_OF(4 * t) : 4 * t));
        const unsigned l2 = F::bits == 8 ? *(const unsigned *)(low + CUDA_BYTE_OF(16 + 4 * t)) : 0;

        unfold<F>(l, l2, w.high + at * F::high_bytes, t, &frag[r], &frag[2 + r]);
        s[r] = scales_of<F>(w, at);
    }
}

/* Block b times one tile of 8 rows of x, added to the lane's four results. */
template <class F>
static __device__ __forceinline__ void
add_tile(float (&acc)[4], const unsigned (&frag)[4], const Scales (&s)[2], const cuda_codes &w,
         const cuda_acts &a, unsigned b, unsigned col, unsigned n)
{
    const unsigned g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    const int8_t *x = a.code + ((size_t)min(col + g, n - 1) * w.blocks + b) * CUDA_BLOCK;
    const unsigned b0 = *(const unsigned *)(x + CUDA_BYTE_OF(4 * t)),
                   b1 = *(const unsigned *)(x + CUDA_BYTE_OF(16 + 4 * t));
    int c0[4] = { 0, 0, 0, 0 }, c1[4] = { 0, 0, 0, 0 };

    if (F::subs == 1) {
        mma_k32(c0, frag, b0, b1);
    } else {
        mma_k16(c0, frag[0], frag[1], b0);
        mma_k16(c1, frag[2], frag[3], b1);
    }
#pragma unroll
    for (int k = 0; k < 2; k++) {
        const cuda_act act = act_of(a, (size_t)min(col + 2 * t + k, n - 1) * w.blocks + b);

        acc[k] = add_block<F>(acc[k], s[0], act, w.zero, c0[k], c1[k]);
        acc[2 + k] = add_block<F>(acc[2 + k], s[1], act, w.zero, c0[2 + k], c1[2 + k]);
    }
}

/* Where a result of 16 x 8 stands in shared memory: in 32 banks for the lanes that write, and for
 * those that read 16 rows of two columns four apart. */
enum { COL_STRIDE = 20 };
static __device__ __forceinline__ unsigned place_of(unsigned row, unsigned col)
{
    return col * COL_STRIDE + row;
}

/* The 16 parts of a result, as a tree. */
static __device__ __forceinline__ float tree(const float (&part)[PARTS][TILE_COLS * COL_STRIDE],
                                             unsigned i)
{
    float v[PARTS];

#pragma unroll
    for (int p = 0; p < PARTS; p++)
        v[p] = part[p][i];
#pragma unroll
    for (int d = 1; d < PARTS; d *= 2)
#pragma unroll
        for (int p = 0; p < PARTS; p += 2 * d)
            v[p] += v[p + d];
    return v[0];
}

template <class F>
static __global__ void __launch_bounds__(MANY_WARPS *WARP)
    many_kernel(const cuda_codes w, const cuda_acts a, float *y, const float *bias, unsigned n)
{
    __shared__ float part[PARTS][TILE_COLS * COL_STRIDE];
    const unsigned warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    const unsigned row0 = blockIdx.x * MANY_ROWS, col0 = blockIdx.y * TILES * TILE_COLS;
    const unsigned row[2] = { min(row0 + g, w.rows - 1), min(row0 + g + 8, w.rows - 1) };
    float acc[2][TILES][4] = {};

    for (unsigned b0 = warp; b0 < w.blocks; b0 += PARTS)
#pragma unroll
        for (int p = 0; p < 2; p++) {
            const unsigned b = b0 + p * MANY_WARPS;
            unsigned frag[4];
            Scales s[2];

            if (b >= w.blocks)
                break;
            load_rows<F>(frag, s, w, row, b, t);
#pragma unroll
            for (int i = 0; i < TILES; i++)
                if (col0 + i * TILE_COLS < n)
                    add_tile<F>(acc[p][i], frag, s, w, a, b, col0 + i * TILE_COLS, n);
        }
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        if (col0 + i * TILE_COLS >= n)
            break;
#pragma unroll
        for (int p = 0; p < 2; p++)
#pragma unroll
            for (int k = 0; k < 4; k++) /* result k: row g + 8 (k / 2), column 2 t + k % 2 */
                part[warp + p * MANY_WARPS][place_of(g + k / 2 * 8, 2 * t + k % 2)] = acc[p][i][k];
        __syncthreads();
        if (threadIdx.x < MANY_ROWS * TILE_COLS) {
            const unsigned row_in = threadIdx.x % MANY_ROWS,
                           col_in = warp + threadIdx.x % WARP / MANY_ROWS * 4;
            const unsigned r = row0 + row_in, c = col0 + i * TILE_COLS + col_in;

            if (r < w.rows && c < n) {
                const float v = tree(part, place_of(row_in, col_in));
                y[(size_t)c * w.rows + r] = bias ? v + bias[r] : v;
            }
        }
        __syncthreads();
    }
}

template <class F>
static void launch(const cuda_codes *w, const cuda_acts *a, float *y, const float *bias, unsigned n,
                   cudaStream_t s)
{
    const unsigned grid = (w->rows + FEW_WARPS - 1) / FEW_WARPS, threads = FEW_WARPS * WARP;

    if (n == 1)
        few_kernel<F, 1><<<grid, threads, 0, s>>>(*w, *a, y, bias, n);
    else if (n <= 4)
        few_kernel<F, 4><<<grid, threads, 0, s>>>(*w, *a, y, bias, n);
    else if (n <= FEW)
        few_kernel<F, FEW><<<grid, threads, 0, s>>>(*w, *a, y, bias, n);
    else
        many_kernel<F><<<dim3((w->rows + MANY_ROWS - 1) / MANY_ROWS,
                              (n + TILES * TILE_COLS - 1) / (TILES * TILE_COLS)),
                         MANY_WARPS * WARP, 0, s>>>(*w, *a, y, bias, n);
}

void launch_matmul_codes(const struct cuda_codes *w, const struct cuda_acts *a, float *y,
                         const float *bias, unsigned n, cudaStream_t s)
{
#define LAUNCH(F)  launch<STRIP F>(w, a, y, bias, n, s)
#define STRIP(...) __VA_ARGS__
    WITH_FORMAT(w->bits, w->subs, w->min != nullptr, LAUNCH);
}
