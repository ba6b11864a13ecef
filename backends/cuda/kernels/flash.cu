// Attention over the forest on tensor cores, for 16-bit formats and heads of 64, 96 or 128.
//
// After FlashAttention-2 (Dao 2023, arXiv 2307.08691): a block of four warps holds 64 queries of
// one segment, 16 a warp, in registers and streams over blocks of 64 keys. Values are on their way
// while scores are computed, the next keys while values are summed. Blocks of keys are aligned to
// logical positions, so that what a query gets does not depend on where its ancestors' rows lie. The
// first `past` rows of keys have no query. Biases are as in attention.cu.
//
// Fragments as in the PTX manual for mma.m16n8k16: with g = lane / 4 and t = lane % 4 a lane holds
// rows g and g + 8, columns 2t and 2t + 1 of each 16 x 8 result.
#include "common.cuh"

#define TILE 64
#define THREADS 128
#define NONE 0xffffffffu

__device__ __forceinline__ u32 shared_address(const void *at) {
    return (u32)__cvta_generic_to_shared(at);
}

// 16 bytes to shared memory; zeros where there is no source.
__device__ __forceinline__ void copy_async(u32 to, const void *from, bool there) {
    const u32 size = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(size)
                 : "memory");
}
__device__ __forceinline__ void copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
__device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group 0;" ::: "memory");
}

__device__ __forceinline__ void load_matrices(u32 (&x)[4], u32 at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(u32 (&x)[4], u32 at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
}

template <typename T>
__device__ __forceinline__ void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1);
template <>
__device__ __forceinline__ void multiply<Bf16>(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiply<F16>(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Rows of keys or values into shared memory; rows of 8 elements more than needed, so that the
// eight rows of a matrix lie in different banks.
template <typename T, int D>
__device__ __forceinline__ void fetch(u32 to, const T *from, u32 stride, const u32 *rows) {
#pragma unroll
    for (int i = 0; i < TILE * (D / 8) / THREADS; i++) {
        const u32 chunk = i * THREADS + threadIdx.x;
        const u32 r = chunk / (D / 8), c = chunk % (D / 8) * 8;
        const u32 row = rows[r];
        const T *source = row == NONE ? from : from + (u64)row * stride + c;
        copy_async(to + (r * (D + 8) + c) * 2, source, row != NONE);
    }
    copy_commit();
}

template <typename T, int D>
__device__ void flash(T *out, const T *q, const T *k, const T *v, const float *q_bias,
                      const float *v_bias, const Segment *forest, const uint2 *tiles, u32 past,
                      u32 group, u32 q_stride, u32 k_stride, u32 v_stride, float scale, u32 window,
                      float cap) {
    __shared__ __align__(16) u16 keys[TILE * (D + 8)];
    __shared__ __align__(16) u16 values[TILE * (D + 8)];
    __shared__ u32 rows[2][TILE];

    const uint2 tile = tiles[blockIdx.x];
    const Segment own = forest[tile.x];
    const u32 head = blockIdx.y;
    const u32 count = own.len - tile.y < TILE ? own.len - tile.y : TILE;
    const u32 first_row = own.start + tile.y - past, first = own.position + tile.y;
    const u32 last = first + count - 1;
    const u32 lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const u32 mine = threadIdx.x / 32 * 16 + g;
    k += head / group * D;
    v += head / group * D;

    u32 query[D / 16][4];
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const u32 r = mine + j % 2 * 8, c = i * 16 + j / 2 * 8 + 2 * t;
            const T *at = q + (u64)(first_row + r) * q_stride + head * D + c;
            query[i][j] = r < count ? *(const u32 *)at : 0;
            if (q_bias) {
                const float2 b = *(const float2 *)(q_bias + head * D + c);
                query[i][j] = pair<T>(widen(of_bits<T>(query[i][j] & 0xffff)) + b.x,
                                      widen(of_bits<T>(query[i][j] >> 16)) + b.y);
            }
        }
    }

    const u32 low = first < window ? 0 : first - window + 1;
    u32 block = low / TILE;
    const u32 last_block = last / TILE;
    if (threadIdx.x < TILE) {
        const u32 at = block * TILE + threadIdx.x;
        rows[block % 2][threadIdx.x] = at <= last ? row_at(forest, tile.x, at) : NONE;
    }
    __syncthreads();
    const u32 keys_at = shared_address(keys), values_at = shared_address(values);
    fetch<T, D>(keys_at, k, k_stride, rows[block % 2]);

    float sum[D / 8][4];
#pragma unroll
    for (int i = 0; i < D / 8; i++) {
        sum[i][0] = sum[i][1] = sum[i][2] = sum[i][3] = 0.0f;
    }
    // Of rows g and g + 8: maximum (times log2 e) and this lane's part of the total.
    float max[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
    // Where this lane reads matrices: of keys 8 keys x 16 elements x 2, of values 16 x 8 x 2.
    const u32 key_lane = ((lane / 16 * 8 + lane % 8) * (D + 8) + lane / 8 % 2 * 8) * 2;
    const u32 value_lane = ((lane / 8 % 2 * 8 + lane % 8) * (D + 8) + lane / 16 * 8) * 2;

    for (; block <= last_block; block++) {
        copy_wait();
        __syncthreads();
        fetch<T, D>(values_at, v, v_stride, rows[block % 2]);
        if (threadIdx.x < TILE && block < last_block) {
            const u32 at = (block + 1) * TILE + threadIdx.x;
            rows[(block + 1) % 2][threadIdx.x] = at <= last ? row_at(forest, tile.x, at) : NONE;
        }

        float score[TILE / 8][4];
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
            score[n][0] = score[n][1] = score[n][2] = score[n][3] = 0.0f;
        }
#pragma unroll
        for (int i = 0; i < D / 16; i++) {
#pragma unroll
            for (int n = 0; n < TILE / 8; n += 2) {
                u32 b[4];
                load_matrices(b, keys_at + key_lane + (n * 8 * (D + 8) + i * 16) * 2);
                multiply<T>(score[n], query[i], b[0], b[1]);
                multiply<T>(score[n + 1], query[i], b[2], b[3]);
            }
        }

        const float log2e = 1.44269504f;
        const bool edge = block * TILE + TILE - 1 > first || last - block * TILE >= window;
        if (cap > 0.0f) {
            // tanh x = 1 - 2 / (1 + e^2x): without branches, its cancellation near 0 far below the
            // rounding of the weights to 16 bits.
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const float e = exp2_approx(score[n][j] * (scale / cap * 2.0f * log2e));
                    score[n][j] = cap * log2e * (1.0f - 2.0f / (1.0f + e));
                }
            }
        } else {
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    score[n][j] *= scale * log2e;
                }
            }
        }
        float highest[2] = {max[0], max[1]};
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float s = score[n][j];
                if (edge) {
                    const u32 key = block * TILE + n * 8 + 2 * t + j % 2;
                    const u32 asked = first + mine + j / 2 * 8;
                    if (key > asked || asked - key >= window) {
                        s = -INFINITY;
                    }
                }
                score[n][j] = s;
                highest[j / 2] = fmaxf(highest[j / 2], s);
            }
        }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            highest[h] = fmaxf(highest[h], __shfl_xor_sync(0xffffffff, highest[h], 1));
            highest[h] = fmaxf(highest[h], __shfl_xor_sync(0xffffffff, highest[h], 2));
            // A row that has seen no key yet has no maximum to subtract.
            const float base = highest[h] == -INFINITY ? 0.0f : highest[h];
            const float shrink = exp2_approx(max[h] - base);
            max[h] = highest[h];
            total[h] *= shrink;
#pragma unroll
            for (int i = 0; i < D / 8; i++) {
                sum[i][2 * h] *= shrink;
                sum[i][2 * h + 1] *= shrink;
            }
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
                score[n][2 * h] = exp2_approx(score[n][2 * h] - base);
                score[n][2 * h + 1] = exp2_approx(score[n][2 * h + 1] - base);
                total[h] += score[n][2 * h] + score[n][2 * h + 1];
            }
        }

        copy_wait();
        __syncthreads();
        if (block < last_block) {
            fetch<T, D>(keys_at, k, k_stride, rows[(block + 1) % 2]);
        }
#pragma unroll
        for (int i = 0; i < TILE / 16; i++) {
            const u32 a[4] = {pair<T>(score[2 * i][0], score[2 * i][1]),
                              pair<T>(score[2 * i][2], score[2 * i][3]),
                              pair<T>(score[2 * i + 1][0], score[2 * i + 1][1]),
                              pair<T>(score[2 * i + 1][2], score[2 * i + 1][3])};
#pragma unroll
            for (int n = 0; n < D / 8; n += 2) {
                u32 b[4];
                load_matrices_transposed(b, values_at + value_lane + (i * 16 * (D + 8) + n * 8) * 2);
                multiply<T>(sum[n], a, b[0], b[1]);
                multiply<T>(sum[n + 1], a, b[2], b[3]);
            }
        }
    }

#pragma unroll
    for (int h = 0; h < 2; h++) {
        total[h] += __shfl_xor_sync(0xffffffff, total[h], 1);
        total[h] += __shfl_xor_sync(0xffffffff, total[h], 2);
        const u32 r = mine + h * 8;
        if (r < count) {
            T *to = out + ((u64)(first_row + r) * gridDim.y + head) * D + 2 * t;
#pragma unroll
            for (int i = 0; i < D / 8; i++) {
                float2 mean = make_float2(sum[i][2 * h] / total[h], sum[i][2 * h + 1] / total[h]);
                if (v_bias) {
                    const float2 b = *(const float2 *)(v_bias + head / group * D + i * 8 + 2 * t);
                    mean.x += b.x;
                    mean.y += b.y;
                }
                *(u32 *)(to + i * 8) = pair<T>(mean.x, mean.y);
            }
        }
    }
}

#define FLASH(NAME, T, D)                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) flash_##NAME##_##D(                   \
        T *out, const T *q, const T *k, const T *v, const float *q_bias, const float *v_bias,      \
        const Segment *forest, const uint2 *tiles, u32 past, u32 group, u32 q_stride,              \
        u32 k_stride, u32 v_stride, float scale, u32 window, float cap) {                          \
        flash<T, D>(out, q, k, v, q_bias, v_bias, forest, tiles, past, group, q_stride, k_stride,  \
                    v_stride, scale, window, cap);                                                 \
    }

FLASH(bf16, Bf16, 64)
FLASH(bf16, Bf16, 96)
FLASH(bf16, Bf16, 128)
FLASH(f16, F16, 64)
FLASH(f16, F16, 96)
FLASH(f16, F16, 128)
