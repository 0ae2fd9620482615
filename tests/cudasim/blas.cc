/* blas.cc - libcublas and libcublasLt by plain loops: column-major, float32 sums.  Operands are
 * looked at when they are handed over (bounds, whose memory) and read when the stream gets there.
 */
#include "halves.h"
#include "sim.h"

#include <cublasLt.h>
#include <cublas_v2.h>

#include <map>
#include <memory>

struct cublasContext {
    cudaStream_t stream = nullptr;
};

namespace sim
{

static size_t element_size(cudaDataType t)
{
    return t == CUDA_R_32F ? 4 : t == CUDA_R_16F || t == CUDA_R_16BF ? 2 : t == CUDA_R_8I ? 1 : 0;
}

static float element(const void *p, cudaDataType t, size_t i)
{
    switch (t) {
    case CUDA_R_32F:
        return ((const float *)p)[i];
    case CUDA_R_16F:
        return half_to_float(((const u16 *)p)[i]);
    default:
        return float_of_bits((u32)((const u16 *)p)[i] << 16);
    }
}

static void set_element(void *p, cudaDataType t, size_t i, float v)
{
    switch (t) {
    case CUDA_R_32F:
        ((float *)p)[i] = v;
        break;
    case CUDA_R_16F:
        ((u16 *)p)[i] = Half(v).bits;
        break;
    default:
        ((u16 *)p)[i] = Brain(v).bits;
    }
}

/* A matrix as cuBLAS has it. */
struct Matrix {
    void *p;
    cudaDataType type;
    int rows, cols; /* as stored */
    i64 leading, stride;
};

struct Product {
    Matrix a, b, c;
    bool a_transposed, b_transposed;
    int m, n, k, batch;
    float alpha, beta;
};

static bool fits(const char *name, const Matrix &x, int batch)
{
    size_t elements = (size_t)(x.stride * (batch - 1) + x.leading * (x.cols - 1) + x.rows);

    if (x.leading < x.rows)
        return report("cublas", "%s: leading dimension %lld below %d rows", name,
                      (long long)x.leading, x.rows),
               false;
    if (!is_device(x.p))
        return report("host-pointer", "cuBLAS operand %s is not device memory", name), false;
    return span_fits(x.p, elements * element_size(x.type), name);
}

/* One matrix as floats, row-major [rows, cols] of op(x). */
static std::vector<float> floats(const Matrix &x, int batch, bool transposed, int rows, int cols)
{
    std::vector<float> out((size_t)rows * (size_t)cols);
    const char *p = (const char *)x.p + (size_t)x.stride * (size_t)batch * element_size(x.type);

    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            out[(size_t)r * (size_t)cols + (size_t)c] =
                element(p, x.type,
                        transposed ? (size_t)r * (size_t)x.leading + (size_t)c
                                   : (size_t)c * (size_t)x.leading + (size_t)r);
    return out;
}

static void multiply(const Product &g, int batch)
{
    std::vector<float> a = floats(g.a, batch, g.a_transposed, g.m, g.k);
    std::vector<float> b = floats(g.b, batch, !g.b_transposed, g.n,
                                  g.k); /* rows of b^T, so that both are read along */
    char *c = (char *)g.c.p + (size_t)g.c.stride * (size_t)batch * element_size(g.c.type);

    for (int j = 0; j < g.n; j++)
        for (int i = 0; i < g.m; i++) {
            const float *x = &a[(size_t)i * (size_t)g.k], *y = &b[(size_t)j * (size_t)g.k];
            size_t at = (size_t)j * (size_t)g.c.leading + (size_t)i;
            float s = 0;

            for (int k = 0; k < g.k; k++)
                s += x[k] * y[k];
            s *= g.alpha;
            if (g.beta != 0)
                s += g.beta * element(c, g.c.type, at);
            set_element(c, g.c.type, at, s);
        }
}

static cublasStatus_t submit(const Product &g, cudaStream_t s)
{
    if (!element_size(g.a.type) || g.a.type != g.b.type || g.a.type == CUDA_R_8I)
        return report("cublas", "operands of types %d and %d are not known here", (int)g.a.type,
                      (int)g.b.type),
               CUBLAS_STATUS_NOT_SUPPORTED;
    if (!fits("A", g.a, g.batch) || !fits("B", g.b, g.batch) || !fits("C", g.c, g.batch))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (device_lost())
        return CUBLAS_STATUS_EXECUTION_FAILED;
    enqueue(s, "matrix product", [=] {
        for (int i = 0; i < g.batch; i++)
            multiply(g, i);
        return true;
    });
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace sim

using namespace sim;

extern "C" {

/* --- libcublas ------------------------------------------------------------------------------ */

cublasStatus_t cublasCreate_v2(cublasHandle_t *h)
{
    Lock lock;

    if (!device_count())
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *h = new cublasContext;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t h)
{
    Lock lock;

    drain_all();
    delete h;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t s)
{
    h->stream = s;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t)
{
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void *, size_t)
{
    return CUBLAS_STATUS_SUCCESS;
}
const char *cublasGetStatusString(cublasStatus_t s)
{
    return s ? "simulated failure" : "success";
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t ta,
                                          cublasOperation_t tb, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType type_a,
                                          int lda, long long stride_a, const void *b,
                                          cudaDataType type_b, int ldb, long long stride_b,
                                          const void *beta, void *c, cudaDataType type_c, int ldc,
                                          long long stride_c, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t)
{
    Lock lock;
    bool at = ta != CUBLAS_OP_N, bt = tb != CUBLAS_OP_N;

    if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32)
        return report("cublas", "compute type %d is not known here", (int)compute),
               CUBLAS_STATUS_NOT_SUPPORTED;
    return submit({ { (void *)a, type_a, at ? k : m, at ? m : k, lda, stride_a },
                    { (void *)b, type_b, bt ? n : k, bt ? k : n, ldb, stride_b },
                    { c, type_c, m, n, ldc, stride_c },
                    at,
                    bt,
                    m,
                    n,
                    k,
                    batch,
                    *(const float *)alpha,
                    *(const float *)beta },
                  h->stream);
}

cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
                            int n, int k, const void *alpha, const void *a, cudaDataType type_a,
                            int lda, const void *b, cudaDataType type_b, int ldb, const void *beta,
                            void *c, cudaDataType type_c, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t algorithm)
{
    return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb,
                                      0, beta, c, type_c, ldc, 0, 1, compute, algorithm);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
                              int n, int k, const float *alpha, const float *a, int lda,
                              const float *b, int ldb, const float *beta, float *c, int ldc)
{
    return cublasGemmEx(h, ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c,
                        CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

/* --- libcublasLt: descriptions are objects of our own behind the opaque pointers -----------------
 */

struct Description {
    std::map<int, i64> values;
};

static void set_value(Description *d, int attribute, const void *p, size_t bytes)
{
    i64 v = 0;

    memcpy(&v, p, std::min(bytes, sizeof v));
    d->values[attribute] = v;
}

struct Layout {
    cudaDataType type;
    i64 rows, cols, leading, stride = 0, batch = 1;
};

cublasStatus_t cublasLtCreate(cublasLtHandle_t *h)
{
    Lock lock;

    if (!device_count())
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *h = (cublasLtHandle_t) new int(0);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    Lock lock;

    drain_all();
    delete (int *)h;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                        cudaDataType_t)
{
    if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    *d = (cublasLtMatmulDesc_t) new Description;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t a, const void *p,
                                              size_t bytes)
{
    if (a != CUBLASLT_MATMUL_DESC_TRANSA && a != CUBLASLT_MATMUL_DESC_TRANSB)
        return report("cublas", "attribute %d of a product is not known here", (int)a),
               CUBLAS_STATUS_NOT_SUPPORTED;
    set_value((Description *)d, (int)a, p, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    delete (Description *)d;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, u64 rows,
                                          u64 cols, i64 leading)
{
    *l = (cublasLtMatrixLayout_t) new Layout{ type, (i64)rows, (i64)cols, leading };
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t a, const void *p,
                                                size_t)
{
    Layout *layout = (Layout *)l;

    switch (a) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        layout->batch = *(const i32 *)p;
        break;
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        layout->stride = *(const i64 *)p;
        break;
    case CUBLASLT_MATRIX_LAYOUT_LD:
        layout->leading = *(const i64 *)p;
        break;
    default:
        return report("cublas", "attribute %d of a layout is not known here", (int)a),
               CUBLAS_STATUS_NOT_SUPPORTED;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    delete (Layout *)l;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    *p = (cublasLtMatmulPreference_t) new Description;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t d,
                                                    cublasLtMatmulPreferenceAttributes_t a,
                                                    const void *p, size_t bytes)
{
    set_value((Description *)d, (int)a, p, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    delete (Description *)p;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t *out, int *n)
{
    memset(out, 0, sizeof *out);
    out->state = CUBLAS_STATUS_SUCCESS;
    *n = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t la, const void *b,
                              cublasLtMatrixLayout_t lb, const void *beta, const void *c,
                              cublasLtMatrixLayout_t lc, void *out, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t *, void *workspace, size_t workspace_bytes,
                              cudaStream_t s)
{
    Lock lock;
    auto &values = ((Description *)d)->values;
    bool at = values[CUBLASLT_MATMUL_DESC_TRANSA] != CUBLAS_OP_N,
         bt = values[CUBLASLT_MATMUL_DESC_TRANSB] != CUBLAS_OP_N;
    const Layout &x = *(Layout *)la, &y = *(Layout *)lb, &z = *(Layout *)ld;
    i64 m = at ? x.cols : x.rows, k = at ? x.rows : x.cols, n = bt ? y.rows : y.cols,
        k_b = bt ? y.cols : y.rows;

    if (k != k_b || m != z.rows || n != z.cols)
        return report("cublas", "shapes do not fit: %lld x %lld times %lld x %lld into %lld x %lld",
                      (long long)m, (long long)k, (long long)k_b, (long long)n, (long long)z.rows,
                      (long long)z.cols),
               CUBLAS_STATUS_INVALID_VALUE;
    if (c != out || lc != ld) {
        if (*(const float *)beta != 0)
            return report("cublas", "C and D are not the same"), CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (workspace_bytes &&
        (!is_device(workspace) || !span_fits(workspace, workspace_bytes, "workspace")))
        return CUBLAS_STATUS_INVALID_VALUE;
    return submit({ { (void *)a, x.type, (int)x.rows, (int)x.cols, x.leading, x.stride },
                    { (void *)b, y.type, (int)y.rows, (int)y.cols, y.leading, y.stride },
                    { out, z.type, (int)z.rows, (int)z.cols, z.leading, z.stride },
                    at,
                    bt,
                    (int)m,
                    (int)n,
                    (int)k,
                    (int)x.batch,
                    *(const float *)alpha,
                    *(const float *)beta },
                  s);
}
}
