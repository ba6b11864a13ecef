// Kernels without sums: gather, rotary embedding, activations, additions, conversions.
//
// One block a row where there are rows, its threads on the columns; otherwise one thread a value.
// Each comes for single values and, as `..._v`, for 16 bytes at a time. A bias is that of the product
// which the kernel reads: added here, the product is rounded once. It may be null.
#include "common.cuh"

// x within ±bound; NaN as it is.
__device__ __forceinline__ float clip(float x, float bound) {
    return x > bound ? bound : x < -bound ? -bound : x;
}

// out[r] = (table[ids[r]] + bias) * scale, within ±bound, with zeros from `width` to `to_stride`; without
// ids row by row
template <typename T, int N>
__device__ void gather(T *out, const T *table, const float *bias, const u32 *ids, u32 width,
                       u32 stride, u32 to_stride, float scale, float bound) {
    float x[N];
    const u32 row = blockIdx.x;
    const T *from = table + (u64)(ids ? ids[row] : row) * stride;
    T *to = out + (u64)row * to_stride;
    for (u32 c = threadIdx.x * N; c < to_stride; c += blockDim.x * N) {
        if (c < width) {
            Lane<T, N>::load(from + c, x);
            add_bias(x, bias, c);
        }
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = c < width ? clip(x[i] * scale, bound) : 0.0f;
        }
        Lane<T, N>::store(to + c, x);
    }
}

// Turns the pair (a, b).
__device__ __forceinline__ void turn(float &a, float &b, float cosine, float sine) {
    const float turned = a * cosine - b * sine;
    b = b * cosine + a * sine;
    a = turned;
}

// Turns N pairs by the rotations at an address, two at a time where there are several.
template <int N>
__device__ __forceinline__ void turn_all(float (&a)[N], float (&b)[N], const float2 *at) {
    if constexpr (N == 1) {
        turn(a[0], b[0], at->x, at->y);
    } else {
#pragma unroll
        for (int i = 0; i < N; i += 2) {
            const float4 two = *(const float4 *)(at + i);
            turn(a[i], b[i], two.x, two.y);
            turn(a[i + 1], b[i + 1], two.z, two.w);
        }
    }
}

// Rotates the pairs (i, i + half) of each head by the entry of the table that the row names.
template <typename T, int N>
__device__ void rope(T *out, const T *x, const float *bias, const float2 *table, const u32 *entries,
                     u32 heads, u32 dim, u32 half, u32 stride) {
    const u32 row = blockIdx.x;
    const T *from = x + (u64)row * stride;
    T *to = out + (u64)row * heads * dim;
    const float2 *rotation = table + (u64)entries[row] * half;
    float a[N], b[N];
    const u32 lanes = half / N;
    for (u32 j = threadIdx.x; j < heads * lanes; j += blockDim.x) {
        const u32 pair = j % lanes * N, at = j / lanes * dim + pair;
        Lane<T, N>::load(from + at, a);
        Lane<T, N>::load(from + at + half, b);
        add_bias(a, bias, at);
        add_bias(b, bias, at + half);
        turn_all<N>(a, b, rotation + pair);
        Lane<T, N>::store(to + at, a);
        Lane<T, N>::store(to + at + half, b);
    }
    const u32 rest = (dim - 2 * half) / N;
    for (u32 j = threadIdx.x; j < heads * rest; j += blockDim.x) {
        const u32 at = j / rest * dim + 2 * half + j % rest * N;
        Lane<T, N>::load(from + at, a);
        add_bias(a, bias, at);
        Lane<T, N>::store(to + at, a);
    }
}

enum Function { SILU = 0, GELU_TANH = 1, GELU_ERF = 2, RELU = 3 };

__device__ __forceinline__ float activation(u32 function, float x) {
    if (function == SILU) {
        return x / (1.0f + exp_(-x));
    }
    if (function == GELU_TANH) {
        const float z = 0.797884583f * (x + 0.044715f * x * x * x);
        return 0.5f * x * (1.0f + tanh_(z));
    }
    if (function == RELU) {
        // NaN and -inf, an overflow, stay: as zero neither would reach the norm that refuses them.
        return x < 0.0f && x - x == 0.0f ? 0.0f : x;
    }
    return 0.5f * x * (1.0f + erff(x * 0.707106769f));
}

// out = f(gate) * up; `up` may be null.
template <typename T, int N>
__device__ void activate(T *out, const T *gate, const T *up, const float *gate_bias,
                         const float *up_bias, u32 width, u32 gate_stride, u32 up_stride,
                         u32 function) {
    float x[N], y[N];
    const u32 row = blockIdx.x;
    for (u32 c = threadIdx.x * N; c < width; c += blockDim.x * N) {
        Lane<T, N>::load(gate + (u64)row * gate_stride + c, x);
        add_bias(x, gate_bias, c);
        if (up) {
            Lane<T, N>::load(up + (u64)row * up_stride + c, y);
            add_bias(y, up_bias, c);
        }
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = activation(function, x[i]) * (up ? y[i] : 1.0f);
        }
        Lane<T, N>::store(out + (u64)row * width + c, x);
    }
}

// x += y + bias, of rows of `width` values
template <typename T, int N>
__device__ void add(T *x, const T *y, const float *bias, u64 width, u64 len) {
    float a[N], b[N];
    const u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * N;
    if (i < len) {
        Lane<T, N>::load(x + i, a);
        Lane<T, N>::load(y + i, b);
        add_bias(b, bias, bias ? (u32)(i % width) : 0);
#pragma unroll
        for (int j = 0; j < N; j++) {
            a[j] += b[j];
        }
        Lane<T, N>::store(x + i, a);
    }
}

// x[rows[r]] += weights[r] * (y[r] + bias); rows are different.
template <typename T, int N>
__device__ void add_rows(T *x, const T *y, const float *bias, const u32 *rows, const float *weights,
                         u32 width, u32 stride) {
    float a[N], b[N];
    const T *from = y + (u64)blockIdx.x * stride;
    T *to = x + (u64)rows[blockIdx.x] * width;
    const float weight = weights[blockIdx.x];
    for (u32 c = threadIdx.x * N; c < width; c += blockDim.x * N) {
        Lane<T, N>::load(to + c, a);
        Lane<T, N>::load(from + c, b);
        add_bias(b, bias, c);
#pragma unroll
        for (int i = 0; i < N; i++) {
            a[i] = fmaf(weight, b[i], a[i]);
        }
        Lane<T, N>::store(to + c, a);
    }
}

#define KERNELS(NAME, T, N)                                                                        \
    extern "C" __global__ void gather_##NAME(T *out, const T *table, const float *bias,            \
                                             const u32 *ids, u32 width, u32 stride, u32 to_stride, \
                                             float scale, float bound) {                           \
        gather<T, N>(out, table, bias, ids, width, stride, to_stride, scale, bound);               \
    }                                                                                              \
    extern "C" __global__ void activate_##NAME(                                                    \
        T *out, const T *gate, const T *up, const float *gate_bias, const float *up_bias,          \
        u32 width, u32 gate_stride, u32 up_stride, u32 function) {                                 \
        activate<T, N>(out, gate, up, gate_bias, up_bias, width, gate_stride, up_stride,           \
                       function);                                                                  \
    }                                                                                              \
    extern "C" __global__ void add_##NAME(T *x, const T *y, const float *bias, u64 width,          \
                                          u64 len) {                                               \
        add<T, N>(x, y, bias, width, len);                                                         \
    }                                                                                              \
    extern "C" __global__ void add_rows_##NAME(T *x, const T *y, const float *bias,                \
                                               const u32 *rows, const float *weights, u32 width,   \
                                               u32 stride) {                                       \
        add_rows<T, N>(x, y, bias, rows, weights, width, stride);                                  \
    }

KERNELS(f32, float, 1)
KERNELS(f32_v, float, 4)
KERNELS(bf16, Bf16, 1)
KERNELS(bf16_v, Bf16, 8)
KERNELS(f16, F16, 1)
KERNELS(f16_v, F16, 8)

#define ROPE(NAME, T, N)                                                                           \
    extern "C" __global__ void __launch_bounds__(256, 5)                                           \
        rope_##NAME(T *out, const T *x, const float *bias, const float2 *table,                    \
                    const u32 *entries, u32 heads, u32 dim, u32 half, u32 stride) {                \
        rope<T, N>(out, x, bias, table, entries, heads, dim, half, stride);                        \
    }

ROPE(f32, float, 1)
ROPE(f32_v, float, 4)
ROPE(bf16, Bf16, 1)
ROPE(bf16_v, Bf16, 8)
ROPE(f16, F16, 1)
ROPE(f16_v, F16, 8)

#define CONVERT(NAME, T)                                                                           \
    extern "C" __global__ void narrow_##NAME(T *out, const float *x, u64 len) {                    \
        const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;                                  \
        if (i < len) {                                                                             \
            narrow(x[i], out[i]);                                                                  \
        }                                                                                          \
    }                                                                                              \
    extern "C" __global__ void widen_##NAME(float *out, const T *x, u64 len) {                     \
        const u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;                                  \
        if (i < len) {                                                                             \
            out[i] = widen(x[i]);                                                                  \
        }                                                                                          \
    }

CONVERT(bf16, Bf16)
CONVERT(f16, F16)
