/* rope.cu - queries and keys get their position, keys and values go to the cache. */
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/kv.cuh"

enum { TABLE_THREADS = 128, HEAD_THREADS = 64 };

/* Cosines and sines of all rows; the angle is a float32 product, also where it is large. */
static __global__ void __launch_bounds__(TABLE_THREADS)
    table_kernel(float2 *table, const cuda_row *rows, const float *inv_freq,
                 const float *far_inv_freq, unsigned n, unsigned n_pairs, float mscale)
{
    const unsigned i = blockIdx.x * TABLE_THREADS + threadIdx.x;

    if (i >= n * n_pairs)
        return;
    const cuda_row row = rows[i / n_pairs];
    const float angle = (float)row.pos * (row.far ? far_inv_freq : inv_freq)[i % n_pairs];
    table[i] = make_float2(cosf(angle) * mscale, sinf(angle) * mscale);
}

void launch_rope_table(float2 *table, const struct cuda_row *rows, const float *inv_freq,
                       const float *far_inv_freq, unsigned n, unsigned n_pairs, float mscale,
                       cudaStream_t s)
{
    table_kernel<<<(n * n_pairs + TABLE_THREADS - 1) / TABLE_THREADS, TABLE_THREADS, 0, s>>>(
        table, rows, inv_freq, far_inv_freq, n, n_pairs, mscale);
}

/* One head in shared memory: normalised where there is a weight, then rotated. */
static __device__ void turn(float *head, unsigned dim, const float *weight, float eps,
                            const float2 *table, unsigned n_rot, int kind)
{
    __shared__ float part[HEAD_THREADS / WARP];

    if (weight) {
        float sum = 0;

        for (unsigned d = threadIdx.x; d < dim; d += HEAD_THREADS)
            sum += head[d] * head[d];
        const float factor =
            1 / sqrtf(block_sum<HEAD_THREADS / WARP>(sum, part) / (float)dim + eps);
        for (unsigned d = threadIdx.x; d < dim; d += HEAD_THREADS)
            head[d] = head[d] * factor * weight[d];
        __syncthreads();
    }
    if (!table)
        return;
    for (unsigned p = threadIdx.x; p < n_rot / 2; p += HEAD_THREADS) {
        const unsigned i = kind == 1 ? 2 * p : p, j = kind == 1 ? i + 1 : p + n_rot / 2;
        const float a = head[i], b = head[j];
        const float2 cs = table[p];

        head[i] = a * cs.x - b * cs.y;
        head[j] = b * cs.x + a * cs.y;
    }
    __syncthreads();
}

/* grid: (rows, query heads, then key and value heads) */
static __global__ void __launch_bounds__(HEAD_THREADS) rope_kv_kernel(const cuda_rope_kv op)
{
    extern __shared__ float head[]; /* [head_dim] */
    const unsigned row = blockIdx.x, dim = op.kv.head_dim;
    const float2 *table = op.table ? op.table + (size_t)row * (op.n_rot / 2) : nullptr;

    if (blockIdx.y < op.n_head) {
        float *q = op.q + ((size_t)row * op.n_head + blockIdx.y) * dim;

        for (unsigned d = threadIdx.x; d < dim; d += HEAD_THREADS)
            head[d] = q[d];
        __syncthreads();
        turn(head, dim, op.q_norm, op.eps, table, op.n_rot, op.kind);
        for (unsigned d = threadIdx.x; d < dim; d += HEAD_THREADS)
            q[d] = head[d];
        return;
    }
    const unsigned h = blockIdx.y - op.n_head;
    const float *k = op.k + ((size_t)row * op.kv.n_kv + h) * dim,
                *v = op.v + ((size_t)row * op.kv.n_kv + h) * dim;
    const cuda_row where = op.rows[row];
    const unsigned page = (unsigned)op.pages[where.pages + where.pos / (int)op.kv.page_tokens];
    const unsigned at = (unsigned)where.pos % op.kv.page_tokens;

    for (unsigned d = threadIdx.x; d < dim; d += HEAD_THREADS)
        head[d] = k[d];
    __syncthreads();
    turn(head, dim, op.k_norm, op.eps, table, op.n_rot, op.kind);
    kv_store<HEAD_THREADS>(op.kv, kv_keys(op.kv, op.layer, page, h), at, head);
    __syncthreads();
    for (unsigned d = threadIdx.x; d < dim; d += HEAD_THREADS)
        head[d] = v[d];
    __syncthreads();
    kv_store<HEAD_THREADS>(op.kv, kv_values(op.kv, op.layer, page, h), at, head);
}

void launch_rope_kv(const struct cuda_rope_kv *op, cudaStream_t s)
{
    rope_kv_kernel<<<dim3(op->n, op->n_head + op->kv.n_kv), HEAD_THREADS,
                     op->kv.head_dim * sizeof(float), s>>>(*op);
}
