// Attention over the forest for every head dimension and format: one warp a query and head.
//
// Keys come in blocks of 32 aligned to logical positions, one a lane, with the online softmax of
// Milakov and Gimelshein (2018, arXiv 1805.02867); then the lanes turn to the elements of the
// head. What a query gets does not depend on where its ancestors' rows lie. The first `past` rows of
// keys have no query. Weights add up to one, so the bias of values is added to their mean; that of keys
// changes no weight and is left out by the caller. A slope m of a head takes m·d from the score of a key d
// positions before the query. Biases and slopes may be null.
#include "common.cuh"

// Shared memory: the query and the sum, `dim` values each.
template <typename T>
__device__ void attention(T *out, const T *q, const T *k, const T *v, const float *q_bias,
                          const float *v_bias, const float *slopes, const Segment *forest,
                          const u32 *segments, u32 past, u32 dim, u32 group, u32 q_stride,
                          u32 k_stride, u32 v_stride, float scale, u32 window, float cap) {
    extern __shared__ float shared[];
    __shared__ float weights[32];
    __shared__ u32 rows[32];
    float *query = shared, *sum = shared + dim;
    const u32 row = past + blockIdx.x, head = blockIdx.y, lane = threadIdx.x;
    const u32 segment = segments[row];
    const u32 position = forest[segment].position + (row - forest[segment].start);
    const u32 low = position < window ? 0 : position - window + 1;

    const T *from = q + (u64)blockIdx.x * q_stride + head * dim;
    for (u32 d = lane; d < dim; d += 32) {
        query[d] = q_bias ? widen(from[d]) + q_bias[head * dim + d] : widen(from[d]);
        sum[d] = 0.0f;
    }
    __syncthreads();
    k += head / group * dim;
    v += head / group * dim;
    float max = -INFINITY, total = 0.0f;
    for (u32 base = low / 32 * 32; base <= position; base += 32) {
        const u32 at = base + lane;
        const bool seen = at >= low && at <= position;
        float score = -INFINITY;
        u32 key = 0;
        if (seen) {
            key = row_at(forest, segment, at);
            const T *keys = k + (u64)key * k_stride;
            float product = 0.0f;
            for (u32 d = 0; d < dim; d++) {
                product = fmaf(query[d], widen(keys[d]), product);
            }
            score = soft_cap(product * scale, cap);
            if (slopes) {
                score -= slopes[head] * (float)(position - at);
            }
        }
        const float highest = fmaxf(max, warp_max(score));
        const float shrink = exp_(max - highest);
        const float weight = seen ? exp_(score - highest) : 0.0f;
        max = highest;
        total = total * shrink + warp_sum(weight);
        weights[lane] = weight;
        rows[lane] = key;
        __syncthreads();
        const u32 first = base < low ? low - base : 0;
        const u32 end = position - base < 31 ? position - base + 1 : 32;
        for (u32 d = lane; d < dim; d += 32) {
            float s = sum[d] * shrink;
            for (u32 i = first; i < end; i++) {
                s = fmaf(weights[i], widen(v[(u64)rows[i] * v_stride + d]), s);
            }
            sum[d] = s;
        }
        __syncthreads();
    }
    T *to = out + ((u64)blockIdx.x * gridDim.y + head) * dim;
    for (u32 d = lane; d < dim; d += 32) {
        const float mean = sum[d] / total;
        narrow(v_bias ? mean + v_bias[head / group * dim + d] : mean, to[d]);
    }
}

#define ATTENTION(NAME, T)                                                                         \
    extern "C" __global__ void __launch_bounds__(32) attention_##NAME(                             \
        T *out, const T *q, const T *k, const T *v, const float *q_bias, const float *v_bias,      \
        const float *slopes, const Segment *forest, const u32 *segments, u32 past, u32 dim,        \
        u32 group, u32 q_stride, u32 k_stride, u32 v_stride, float scale, u32 window, float cap) { \
        attention<T>(out, q, k, v, q_bias, v_bias, slopes, forest, segments, past, dim, group,     \
                     q_stride, k_stride, v_stride, scale, window, cap);                            \
    }

ATTENTION(f32, float)
ATTENTION(bf16, Bf16)
ATTENTION(f16, F16)
