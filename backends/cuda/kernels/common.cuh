// Number formats, elementary functions and the forest of segments, shared by all kernels.
//
// Everything computes in f32; the formats are those of storage. Elementary functions are right to
// about 4 units in the last place and let NaN through: a clamp is written as a comparison, never
// as fminf or fmaxf, which would swallow it.
#pragma once

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct Bf16 {
    u16 bits;
};
struct F16 {
    u16 bits;
};

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(Bf16 x) { return __uint_as_float((u32)x.bits << 16); }
__device__ __forceinline__ float widen(F16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

__device__ __forceinline__ void narrow(float x, float &y) { y = x; }
__device__ __forceinline__ void narrow(float x, Bf16 &y) {
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
}
__device__ __forceinline__ void narrow(float x, F16 &y) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
}

// Two values in one register, the first in the low half.
template <typename T> __device__ __forceinline__ u32 pair(float low, float high);
template <> __device__ __forceinline__ u32 pair<Bf16>(float low, float high) {
    u32 y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
template <> __device__ __forceinline__ u32 pair<F16>(float low, float high) {
    u32 y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

template <typename T> __device__ __forceinline__ T of_bits(u32 bits) {
    T x;
    x.bits = (u16)bits;
    return x;
}

// N adjacent values at an address aligned to all of them: one at a time, or 16 bytes.
template <typename T, int N> struct Lane {
    static __device__ __forceinline__ void load(const T *at, float (&x)[N]) {
        const uint4 raw = *(const uint4 *)at;
        const u32 words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            x[2 * i] = widen(of_bits<T>(words[i] & 0xffff));
            x[2 * i + 1] = widen(of_bits<T>(words[i] >> 16));
        }
    }
    static __device__ __forceinline__ void store(T *at, const float (&x)[N]) {
        *(uint4 *)at = make_uint4(pair<T>(x[0], x[1]), pair<T>(x[2], x[3]), pair<T>(x[4], x[5]),
                                  pair<T>(x[6], x[7]));
    }
};
template <typename T> struct Lane<T, 1> {
    static __device__ __forceinline__ void load(const T *at, float (&x)[1]) { x[0] = widen(*at); }
    static __device__ __forceinline__ void store(T *at, const float (&x)[1]) { narrow(x[0], *at); }
};
template <> struct Lane<float, 4> {
    static __device__ __forceinline__ void load(const float *at, float (&x)[4]) {
        const float4 raw = *(const float4 *)at;
        x[0] = raw.x, x[1] = raw.y, x[2] = raw.z, x[3] = raw.w;
    }
    static __device__ __forceinline__ void store(float *at, const float (&x)[4]) {
        *(float4 *)at = make_float4(x[0], x[1], x[2], x[3]);
    }
};
// Eight parameters in f32 beside eight 16-bit values.
template <> struct Lane<float, 8> {
    static __device__ __forceinline__ void load(const float *at, float (&x)[8]) {
        const float4 a = *(const float4 *)at, b = *(const float4 *)(at + 4);
        x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
        x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
    }
};

// Adds the summands for N adjacent columns from c on; there may be none.
template <int N>
__device__ __forceinline__ void add_bias(float (&x)[N], const float *bias, u32 c) {
    if (bias) {
        float b[N];
        Lane<float, N>::load(bias + c, b);
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] += b[i];
        }
    }
}

__device__ __forceinline__ float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// e^x; the product with log2(e) in two parts, so that its error does not grow with x.
__device__ __forceinline__ float exp_(float x) {
    if (x < -87.0f) {
        return 0.0f;
    }
    if (x > 88.0f) {
        x = 88.0f;
    }
    const float whole = rintf(x * 1.44269502f);
    const float rest = fmaf(x, 1.92596299e-8f, fmaf(x, 1.44269502f, -whole));
    return exp2_approx(rest) * __int_as_float(((int)whole + 127) << 23);
}

// ln x of a normal number.
__device__ __forceinline__ float log_(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y * 0.693147182f;
}

// tanh x; by its series near 0, where (1 - e) / (1 + e) would cancel.
__device__ __forceinline__ float tanh_(float x) {
    const float size = fabsf(x);
    if (size < 0.25f) {
        const float z = x * x;
        const float series = fmaf(z, fmaf(z, fmaf(z, fmaf(z, 0.0218694881f, -0.0539682545f),
                                                  0.133333340f),
                                          -0.333333343f),
                                  0.0f);
        return fmaf(x, series, x);
    }
    const float e = exp_(-2.0f * size);
    const float y = (1.0f - e) / (1.0f + e);
    return x < 0.0f ? -y : y;
}

__device__ __forceinline__ float soft_cap(float x, float cap) {
    return cap > 0.0f ? cap * tanh_(x / cap) : x;
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        x += __shfl_xor_sync(0xffffffff, x, mask);
    }
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, mask));
    }
    return x;
}

// A run of tokens: first row, number of rows, parent, and logical position of its first token.
struct __align__(16) Segment {
    u32 start, len, parent, position;
};

// Row of the token at a logical position on the path that ends in `segment`.
__device__ __forceinline__ u32 row_at(const Segment *forest, u32 segment, u32 position) {
    Segment s = forest[segment];
    while (position < s.position) {
        s = forest[s.parent];
    }
    return s.start + (position - s.position);
}
