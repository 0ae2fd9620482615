#include "inference/softmax.h"

#include <math.h>

static float block_sum(const float *x, float max, float scale)
{
    float part[8] = { 0 }, sum = 0;

    for (size_t i = 0; i < SOFTMAX_BLOCK; i += 8)
        for (size_t j = 0; j < 8; j++)
            part[j] += softmax_exp((x[i + j] - max) * scale);
    for (size_t j = 0; j < 8; j++)
        sum += part[j];
    return sum;
}

static float tail_sum(const float *x, size_t n, float max, float scale)
{
    float sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += softmax_exp((x[i] - max) * scale);
    return sum;
}

double softmax_sum(const float *x, size_t n, float max, float scale)
{
    double sum = 0;
    size_t i = 0;

    for (; n - i >= SOFTMAX_BLOCK; i += SOFTMAX_BLOCK)
        sum += (double)block_sum(x + i, max, scale);
    return sum + (double)tail_sum(x + i, n - i, max, scale);
}

size_t softmax_find(const float *x, size_t n, float max, float scale, double target)
{
    double sum = 0;
    size_t i = 0, last = 0;

    for (; n - i >= SOFTMAX_BLOCK; i += SOFTMAX_BLOCK) {
        double next = sum + (double)block_sum(x + i, max, scale);

        if (next > target)
            break;
        sum = next;
    }
    for (; i < n; i++) {
        double term = (double)softmax_exp((x[i] - max) * scale);

        if (term > 0)
            last = i;
        sum += term;
        if (sum > target)
            return i;
    }
    if (last)
        return last;
    for (i = n; i-- > 1;) /* everything was passed over by a hair: the last term above 0 */
        if (softmax_exp((x[i] - max) * scale) > 0)
            break;
    return i;
}

float softmax_max(const float *x, size_t n, size_t *at)
{
    float best = -INFINITY;

    *at = 0;
    for (size_t i = 0; i < n; i++)
        if (x[i] > best) {
            best = x[i];
            *at = i;
        }
    return best;
}
