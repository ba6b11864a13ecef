// Log-probabilities from a chunk of logits: one block of 256 threads a row.
//
// Maximum and sum of exponentials in one pass, eight logits at a time (Milakov and Gimelshein 2018, arXiv 1805.02867).
#include "common.cuh"

struct Partial {
    float max, sum;
};

__device__ __forceinline__ Partial merge(Partial a, Partial b) {
    Partial c;
    c.max = fmaxf(a.max, b.max);
    // Of two empty parts both are at the maximum, -inf, and their difference is not a number.
    c.sum = (a.max == c.max ? a.sum : a.sum * exp_(a.max - c.max)) +
            (b.max == c.max ? b.sum : b.sum * exp_(b.max - c.max));
    return c;
}

// Eight logits from i on, of which those beyond the vocabulary are -inf.
__device__ __forceinline__ void eight(const float *at, const float *bias, u32 i, u32 vocab, float cap,
                                      float (&x)[8]) {
    const float4 a = *(const float4 *)(at + i);
    // Rows are a multiple of four logits apart, so what lies behind the last may be no logit.
    const float4 b = i + 4 < vocab ? *(const float4 *)(at + i + 4) : a;
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
    x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        if (i + j < vocab) {
            x[j] = soft_cap(bias ? x[j] + bias[i + j] : x[j], cap);
        } else {
            x[j] = -INFINITY;
        }
    }
}

// The targets of row r are those from firsts[r] to firsts[r + 1]. Rows of logits are `stride` apart, a
// multiple of four.
extern "C" __global__ void __launch_bounds__(256)
    log_prob(float *out, const float *logits, const float *bias, const u32 *firsts,
             const u32 *tokens, u32 vocab, u32 stride, float cap) {
    __shared__ Partial parts[8];
    const u32 row = blockIdx.x;
    const float *at = logits + (u64)row * stride;
    Partial mine = {-INFINITY, 0.0f};
    for (u32 i = threadIdx.x * 8; i < vocab; i += 256 * 8) {
        float x[8];
        eight(at, bias, i, vocab, cap, x);
        float highest = mine.max;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            highest = fmaxf(highest, x[j]);
        }
        float sum = mine.sum * exp_(mine.max - highest);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            sum += exp_(x[j] - highest);
        }
        mine.max = highest;
        mine.sum = sum;
    }
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        Partial other;
        other.max = __shfl_xor_sync(0xffffffff, mine.max, mask);
        other.sum = __shfl_xor_sync(0xffffffff, mine.sum, mask);
        mine = merge(mine, other);
    }
    if (threadIdx.x % 32 == 0) {
        parts[threadIdx.x / 32] = mine;
    }
    __syncthreads();
    mine = parts[0];
#pragma unroll
    for (int i = 1; i < 8; i++) {
        mine = merge(mine, parts[i]);
    }
    const float log_sum = log_(mine.sum);
    const u32 end = firsts[row + 1];
    for (u32 t = firsts[row] + threadIdx.x; t < end; t += 256) {
        const u32 token = tokens[t];
        const float x = soft_cap(bias ? at[token] + bias[token] : at[token], cap);
        out[t] = (x - mine.max) - log_sum;
    }
}
