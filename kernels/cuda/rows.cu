/* rows.cu - what works on rows or single values: norms, activations, copies. */
#include "kernels/cuda/common.cuh"

enum { NORM_THREADS = 256, ACT_THREADS = 256 };

/* --- norm: one block a row --- */

template <bool LAYER>
static __global__ void __launch_bounds__(NORM_THREADS) norm_kernel(const cuda_norm op)
{
    __shared__ float part[NORM_THREADS / WARP];
    const unsigned row = blockIdx.x;
    float *x = op.x + (size_t)row * op.cols;
    const float *w = op.w ? op.w + (op.n_w ? (size_t)(row % op.n_w) * op.cols : 0) : nullptr;
    float sum = 0, mean = 0;

    if (op.add)
        for (unsigned c = threadIdx.x; c < op.cols; c += NORM_THREADS)
            x[c] += op.add[(size_t)row * op.cols + c];
    if (!op.y)
        return;
    if (LAYER) {
        for (unsigned c = threadIdx.x; c < op.cols; c += NORM_THREADS)
            sum += x[c];
        mean = block_sum<NORM_THREADS / WARP>(sum, part) / (float)op.cols;
        sum = 0;
    }
    for (unsigned c = threadIdx.x; c < op.cols; c += NORM_THREADS) {
        const float v = x[c] - mean;
        sum += v * v;
    }
    sum = block_sum<NORM_THREADS / WARP>(sum, part);
    const float factor = 1 / sqrtf(sum / (float)op.cols + op.eps);
    float *y = op.y + (size_t)row * op.cols;
    for (unsigned c = threadIdx.x; c < op.cols; c += NORM_THREADS) {
        float v = (x[c] - mean) * factor;

        if (w)
            v *= w[c];
        y[c] = op.b ? v + op.b[c] : v;
    }
}

void launch_norm(const struct cuda_norm *op, cudaStream_t s)
{
    if (op->kind == 0)
        norm_kernel<false><<<op->n, NORM_THREADS, 0, s>>>(*op);
    else
        norm_kernel<true><<<op->n, NORM_THREADS, 0, s>>>(*op);
}

/* --- activations: kinds as in enum act_kind --- */

template <int KIND> static __device__ __forceinline__ float activated(float g)
{
    if (KIND == 0)
        return g / (1 + expf(-g));
    if (KIND == 1)
        return g / (1 + expf(-2 * 0.79788456080286535588f * g *
                             (1 + 0.044715f * g * g))); /* (1 + tanh(x)) / 2 */
    if (KIND == 2)
        return 0.5f * g *
               erfcf(-g * 0.70710678118654752440f); /* 1 + erf(x), without losing digits */
    return fmaxf(g, 0.0f);
}

template <int KIND>
static __global__ void __launch_bounds__(ACT_THREADS)
    act_kernel(float *y, const float *gate, const float *up, uint64_t count)
{
    const uint64_t i = (uint64_t)blockIdx.x * ACT_THREADS + threadIdx.x;

    if (i >= count)
        return;
    if (KIND == 4) { /* gpt-oss: g sigmoid(1.702 g) (u + 1), bounded */
        const float g = fminf(gate[i], 7.0f), u = up ? limited(up[i], 7.0f) : 0.0f;
        y[i] = g / (1 + expf(-1.702f * g)) * (u + 1);
        return;
    }
    const float a = activated<KIND>(gate[i]);
    y[i] = up ? a * up[i] : a;
}

void launch_gated_act(float *y, const float *gate, const float *up, uint64_t count, int kind,
                      cudaStream_t s)
{
    const unsigned blocks = (unsigned)((count + ACT_THREADS - 1) / ACT_THREADS);

    switch (kind) {
    case 0:
        act_kernel<0><<<blocks, ACT_THREADS, 0, s>>>(y, gate, up, count);
        break;
    case 1:
        act_kernel<1><<<blocks, ACT_THREADS, 0, s>>>(y, gate, up, count);
        break;
    case 2:
        act_kernel<2><<<blocks, ACT_THREADS, 0, s>>>(y, gate, up, count);
        break;
    case 3:
        act_kernel<3><<<blocks, ACT_THREADS, 0, s>>>(y, gate, up, count);
        break;
    default:
        act_kernel<4><<<blocks, ACT_THREADS, 0, s>>>(y, gate, up, count);
    }
}

static __global__ void __launch_bounds__(ACT_THREADS)
    softcap_kernel(float *x, uint64_t count, float cap)
{
    const uint64_t i = (uint64_t)blockIdx.x * ACT_THREADS + threadIdx.x;

    if (i < count)
        x[i] = cap * tanhf(x[i] / cap);
}

void launch_softcap(float *x, uint64_t count, float cap, cudaStream_t s)
{
    softcap_kernel<<<(unsigned)((count + ACT_THREADS - 1) / ACT_THREADS), ACT_THREADS, 0, s>>>(
        x, count, cap);
}

/* --- copies --- */

static __global__ void __launch_bounds__(ACT_THREADS)
    gather_kernel(float *y, const float *x, const int32_t *rows, unsigned cols)
{
    const size_t from = (size_t)rows[blockIdx.x] * cols, to = (size_t)blockIdx.x * cols;

    for (unsigned c = threadIdx.x; c < cols; c += ACT_THREADS)
        y[to + c] = x[from + c];
}

void launch_gather(float *y, const float *x, const int32_t *rows, unsigned n, unsigned cols,
                   cudaStream_t s)
{
    gather_kernel<<<n, ACT_THREADS, 0, s>>>(y, x, rows, cols);
}

static __global__ void __launch_bounds__(ACT_THREADS)
    kv_copy_kernel(const uint4 *from, uint4 *to, uint64_t n)
{
    const uint64_t i = (uint64_t)blockIdx.x * ACT_THREADS + threadIdx.x;

    if (i < n)
        to[i] = from[i];
}

void launch_kv_copy(const struct cuda_kv *kv, int32_t from, int32_t to, cudaStream_t s)
{
    const uint64_t n = kv->page_bytes / sizeof(uint4);

    kv_copy_kernel<<<(unsigned)((n + ACT_THREADS - 1) / ACT_THREADS), ACT_THREADS, 0, s>>>(
        (const uint4 *)(kv->base + (uint64_t)from * kv->page_bytes),
        (uint4 *)(kv->base + (uint64_t)to * kv->page_bytes), n);
}
