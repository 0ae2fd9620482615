/* attend.cuh - which positions a row sees, and what becomes of a score. */
#ifndef AIRSTRIP_CUDA_ATTEND_CUH
#define AIRSTRIP_CUDA_ATTEND_CUH

#include "kernels/cuda/kv.cuh"

static __device__ __forceinline__ float score_of(const cuda_attend &op, float s, unsigned head,
                                                 int pos)
{
    if (op.softcap > 0)
        s = op.softcap * tanhf(s / op.softcap);
    if (op.slopes)
        s += op.scale * __bfloat162float(__float2bfloat16_rn(
                            op.slopes[head] * __bfloat162float(__float2bfloat16_rn((float)pos))));
    return s;
}

static __device__ __forceinline__ int first_seen(const cuda_attend &op, int pos)
{
    return op.window && pos + 1 > (int)op.window ? pos + 1 - (int)op.window : 0;
}

/* One behind the last position that a row sees. */
static __device__ __forceinline__ int end_seen(const cuda_attend &op, const cuda_row &row)
{
    if (row.reach == 0)
        return row.pos + 1;
    return op.window && row.reach - row.pos > (int)op.window ? row.pos + (int)op.window : row.reach;
}

/* What weighted values are multiplied by, given the largest score and the sum of weights: a sink's
 * weight is added to the sum. */
static __device__ __forceinline__ float one_over(const cuda_attend &op, unsigned head, float top,
                                                 float sum)
{
    if (!op.sinks)
        return 1 / sum;
    const float both = fmaxf(top, op.sinks[head]), own = expf(top - both);
    return own / (sum * own + expf(op.sinks[head] - both));
}

#endif
