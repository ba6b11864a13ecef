// RMSNorm and LayerNorm of groups of adjacent values: one warp a group, four warps a block.
//
// The variance is the mean square about the mean, in a pass of its own; a one-pass formula would
// cancel where the mean is large.
#include "common.cuh"

template <typename T, int N>
__device__ void norm(T *out, const T *x, const float *weight, const float *bias, u64 count,
                     u32 groups, u32 width, u32 stride, float epsilon, u32 layer) {
    const u64 index = (u64)blockIdx.x * 4 + threadIdx.x / 32;
    if (index >= count) {
        return;
    }
    const u32 lane = threadIdx.x % 32;
    const u64 row = index / groups;
    const T *from = x + row * stride + (index - row * groups) * width;
    T *to = out + index * width;
    float v[N], w[N], b[N];

    float mean = 0.0f;
    if (layer) {
        float sum = 0.0f;
        for (u32 c = lane * N; c < width; c += 32 * N) {
            Lane<T, N>::load(from + c, v);
#pragma unroll
            for (int i = 0; i < N; i++) {
                sum += v[i];
            }
        }
        mean = warp_sum(sum) / (float)width;
    }
    float square = 0.0f;
    for (u32 c = lane * N; c < width; c += 32 * N) {
        Lane<T, N>::load(from + c, v);
#pragma unroll
        for (int i = 0; i < N; i++) {
            square = fmaf(v[i] - mean, v[i] - mean, square);
        }
    }
    // By an infinite sum the group would be zero, and nothing would show it: not-a-number shows at the end.
    const float total = warp_sum(square);
    const float factor = total < INFINITY ? 1.0f / sqrtf(total / (float)width + epsilon)
                                          : __int_as_float(0x7fc00000);
    for (u32 c = lane * N; c < width; c += 32 * N) {
        Lane<T, N>::load(from + c, v);
        Lane<float, N>::load(weight + c, w);
        if (bias) {
            Lane<float, N>::load(bias + c, b);
        }
#pragma unroll
        for (int i = 0; i < N; i++) {
            v[i] = (v[i] - mean) * factor * w[i];
            if (bias) {
                v[i] += b[i];
            }
        }
        Lane<T, N>::store(to + c, v);
    }
}

#define NORM(NAME, T, N)                                                                           \
    extern "C" __global__ void __launch_bounds__(128)                                              \
        norm_##NAME(T *out, const T *x, const float *weight, const float *bias, u64 count,         \
                    u32 groups, u32 width, u32 stride, float epsilon, u32 layer) {                 \
        norm<T, N>(out, x, weight, bias, count, groups, width, stride, epsilon, layer);            \
    }

NORM(f32, float, 1)
NORM(f32_v, float, 4)
NORM(bf16, Bf16, 1)
NORM(bf16_v, Bf16, 8)
NORM(f16, F16, 1)
NORM(f16_v, F16, 8)
