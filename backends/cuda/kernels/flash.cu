// Attention over the forest on tensor cores, for 16-bit formats and heads of 64, 96 or 128.
//
// After FlashAttention-2 (Dao 2023, arXiv 2307.08691): a block of WARPS warps holds 16 queries a warp
// in registers and streams over blocks of 64 keys. Values are on their way while scores are computed,
// the next keys while values are summed.
//
// The warps of a tile are of one segment, or of segments after one prefix (as in the cascade of Juravsky
// et al. 2024, arXiv 2402.05099): the prefix is then read once for all of them, and each run of warps of a
// segment takes the blocks of its own after that. Blocks are aligned to logical positions, a warp takes its
// blocks in the order of positions, and a block that it sees nothing of would change no bit. So what a query
// gets depends neither on where its ancestors' rows lie nor on what else is in its tile.
//
// The first `past` rows of keys have no query. Biases and slopes are as in attention.cu.
//
// Fragments as in the PTX manual for mma.m16n8k16: with g = lane / 4 and t = lane % 4 a lane holds
// rows g and g + 8, columns 2t and 2t + 1 of each 16 x 8 result.
#include "common.cuh"

#define KEYS 64
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
template <typename T, int D, int WARPS>
__device__ __forceinline__ void fetch(u32 to, const T *from, u32 stride, const u32 *rows) {
#pragma unroll
    for (int i = 0; i < KEYS * (D / 8) / (32 * WARPS); i++) {
        const u32 chunk = i * 32 * WARPS + threadIdx.x;
        const u32 r = chunk / (D / 8), c = chunk % (D / 8) * 8;
        const u32 row = rows[r];
        const T *source = row == NONE ? from : from + (u64)row * stride + c;
        copy_async(to + (r * (D + 8) + c) * 2, source, row != NONE);
    }
    copy_commit();
}

// The queries of each warp: their segment, the logical position and the row of the first, and their number.
template <int WARPS> struct Tile {
    u32 segment[WARPS], first[WARPS], row[WARPS], count[WARPS];
    // Number of blocks of keys that all warps share.
    u32 shared;
};

// A block of keys, the last one of the same run, the warps that take part in it, and the first warp of the
// run after it. Without warps there is no block left.
struct Step {
    u32 block, end, from, to, then;
};

__device__ __forceinline__ u32 lowest(u32 position, u32 window) {
    return position < window ? 0 : position - window + 1;
}

// The blocks of the segment that begins with a warp, after those that all share.
template <int WARPS>
__device__ __forceinline__ Step own_blocks(const Tile<WARPS> &tile, u32 warp, u32 window) {
    Step step = {0, 0, warp, warp, warp};
    if (warp < WARPS && tile.count[warp] > 0) {
        while (step.to < WARPS && tile.segment[step.to] == tile.segment[warp]) {
            step.to++;
        }
        const u32 low = lowest(tile.first[warp], window) / KEYS, last = step.to - 1;
        step.block = low < tile.shared ? tile.shared : low;
        step.end = (tile.first[last] + tile.count[last] - 1) / KEYS;
        step.then = step.to;
    }
    return step;
}

// The first block that any warp sees.
template <int WARPS>
__device__ __forceinline__ Step first_block(const Tile<WARPS> &tile, u32 window) {
    u32 low = tile.first[0];
    for (int warp = 1; warp < WARPS; warp++) {
        if (tile.count[warp] > 0 && tile.first[warp] < low) {
            low = tile.first[warp];
        }
    }
    const u32 block = lowest(low, window) / KEYS;
    if (block < tile.shared) {
        return {block, tile.shared - 1, 0, WARPS, 0};
    }
    return own_blocks(tile, 0, window);
}

template <int WARPS>
__device__ __forceinline__ Step next_block(const Tile<WARPS> &tile, Step step, u32 window) {
    if (step.block < step.end) {
        step.block++;
        return step;
    }
    return own_blocks(tile, step.then, window);
}

// Rows of the keys of a block, one a thread.
template <int WARPS>
__device__ __forceinline__ void look_up(u32 *rows, const Segment *forest, const Tile<WARPS> &tile,
                                        Step step, u32 last) {
    if (threadIdx.x < KEYS) {
        const u32 at = step.block * KEYS + threadIdx.x;
        rows[threadIdx.x] = at <= last ? row_at(forest, tile.segment[step.from], at) : NONE;
    }
}

// Logical position of the last query that takes part in a block.
template <int WARPS>
__device__ __forceinline__ u32 last_query(const Tile<WARPS> &tile, Step step) {
    // Of a block that all share every key is there.
    return step.then == 0 ? NONE - 1 : tile.first[step.to - 1] + tile.count[step.to - 1] - 1;
}

template <typename T, int D, int WARPS>
__device__ void flash(T *out, const T *q, const T *k, const T *v, const float *q_bias,
                      const float *v_bias, const float *slopes, const Segment *forest,
                      const uint2 *tiles, const u32 *shared, u32 past, u32 group, u32 q_stride,
                      u32 k_stride, u32 v_stride, float scale, u32 window, float cap) {
    __shared__ __align__(16) u16 keys[KEYS * (D + 8)];
    __shared__ __align__(16) u16 values[KEYS * (D + 8)];
    __shared__ u32 rows[2][KEYS];
    __shared__ Tile<WARPS> tile;

    const u32 head = blockIdx.y, warp = threadIdx.x / 32;
    const u32 lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    if (threadIdx.x < WARPS) {
        const uint2 mine = tiles[blockIdx.x * WARPS + threadIdx.x];
        Segment own = {0, 0, 0, 0};
        if (mine.x != NONE) {
            own = forest[mine.x];
        }
        const u32 left = mine.x == NONE ? 0 : own.len - mine.y;
        tile.segment[threadIdx.x] = mine.x;
        tile.first[threadIdx.x] = own.position + mine.y;
        tile.row[threadIdx.x] = own.start + mine.y - past;
        tile.count[threadIdx.x] = left < 16 ? left : 16;
        if (threadIdx.x == 0) {
            tile.shared = shared[blockIdx.x];
        }
    }
    __syncthreads();
    const u32 count = tile.count[warp], first_row = tile.row[warp], first = tile.first[warp];
    const u32 last = first + count - 1;
    k += head / group * D;
    v += head / group * D;

    u32 query[D / 16][4];
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const u32 r = g + j % 2 * 8, c = i * 16 + j / 2 * 8 + 2 * t;
            const T *at = q + (u64)(first_row + r) * q_stride + head * D + c;
            query[i][j] = r < count ? *(const u32 *)at : 0;
            if (q_bias) {
                const float2 b = *(const float2 *)(q_bias + head * D + c);
                query[i][j] = pair<T>(widen(of_bits<T>(query[i][j] & 0xffff)) + b.x,
                                      widen(of_bits<T>(query[i][j] >> 16)) + b.y);
            }
        }
    }

    const float log2e = 1.44269504f;
    const float slope = slopes ? slopes[head] * log2e : 0.0f;
    Step step = first_block(tile, window);
    u32 turn = 0;
    look_up(rows[turn], forest, tile, step, last_query(tile, step));
    __syncthreads();
    const u32 keys_at = shared_address(keys), values_at = shared_address(values);
    fetch<T, D, WARPS>(keys_at, k, k_stride, rows[turn]);

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

    while (step.from < step.to) {
        copy_wait();
        __syncthreads();
        fetch<T, D, WARPS>(values_at, v, v_stride, rows[turn]);
        const Step next = next_block(tile, step, window);
        if (next.from < next.to) {
            look_up(rows[1 - turn], forest, tile, next, last_query(tile, next));
        }
        // The first key of the block. Warps that see none of its keys wait.
        const u32 base_key = step.block * KEYS;
        const bool seen = warp >= step.from && warp < step.to && count > 0 && base_key <= last &&
                          base_key + KEYS > lowest(first, window);

        float score[KEYS / 8][4];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
            score[n][0] = score[n][1] = score[n][2] = score[n][3] = 0.0f;
        }
        if (seen) {
#pragma unroll
            for (int i = 0; i < D / 16; i++) {
#pragma unroll
                for (int n = 0; n < KEYS / 8; n += 2) {
                    u32 b[4];
                    load_matrices(b, keys_at + key_lane + (n * 8 * (D + 8) + i * 16) * 2);
                    multiply<T>(score[n], query[i], b[0], b[1]);
                    multiply<T>(score[n + 1], query[i], b[2], b[3]);
                }
            }

            const bool edge = base_key + KEYS - 1 > first || last - base_key >= window;
            if (cap > 0.0f) {
                // tanh x = 1 - 2 / (1 + e^2x): without branches, its cancellation near 0 far below the
                // rounding of the weights to 16 bits.
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        const float e = exp2_approx(score[n][j] * (scale / cap * 2.0f * log2e));
                        score[n][j] = cap * log2e * (1.0f - 2.0f / (1.0f + e));
                    }
                }
            } else {
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        score[n][j] *= scale * log2e;
                    }
                }
            }
            float highest[2] = {max[0], max[1]};
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float s = score[n][j];
                    const u32 key = base_key + n * 8 + 2 * t + j % 2;
                    const u32 asked = first + g + j / 2 * 8;
                    if (slope != 0.0f) {
                        s -= slope * (float)(int)(asked - key);
                    }
                    if (edge) {
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
                for (int n = 0; n < KEYS / 8; n++) {
                    score[n][2 * h] = exp2_approx(score[n][2 * h] - base);
                    score[n][2 * h + 1] = exp2_approx(score[n][2 * h + 1] - base);
                    total[h] += score[n][2 * h] + score[n][2 * h + 1];
                }
            }
        }

        copy_wait();
        __syncthreads();
        if (next.from < next.to) {
            fetch<T, D, WARPS>(keys_at, k, k_stride, rows[1 - turn]);
        }
        if (seen) {
#pragma unroll
            for (int i = 0; i < KEYS / 16; i++) {
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
        step = next;
        turn = 1 - turn;
    }

#pragma unroll
    for (int h = 0; h < 2; h++) {
        total[h] += __shfl_xor_sync(0xffffffff, total[h], 1);
        total[h] += __shfl_xor_sync(0xffffffff, total[h], 2);
        const u32 r = g + h * 8;
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

// Two blocks of four warps, or one of eight, have 255 registers a thread.
#define FLASH(NAME, T, D, WARPS)                                                                   \
    extern "C" __global__ void __launch_bounds__(32 * WARPS, 8 / WARPS)                            \
        flash_##NAME##_##D##_##WARPS(                                                              \
            T *out, const T *q, const T *k, const T *v, const float *q_bias, const float *v_bias,  \
            const float *slopes, const Segment *forest, const uint2 *tiles, const u32 *shared,     \
            u32 past, u32 group, u32 q_stride, u32 k_stride, u32 v_stride, float scale,            \
            u32 window, float cap) {                                                               \
        flash<T, D, WARPS>(out, q, k, v, q_bias, v_bias, slopes, forest, tiles, shared, past,      \
                           group, q_stride, k_stride, v_stride, scale, window, cap);               \
    }

FLASH(bf16, Bf16, 64, 4)
FLASH(bf16, Bf16, 96, 4)
FLASH(bf16, Bf16, 96, 8)
FLASH(bf16, Bf16, 128, 4)
FLASH(bf16, Bf16, 128, 8)
FLASH(f16, F16, 64, 4)
FLASH(f16, F16, 96, 4)
FLASH(f16, F16, 96, 8)
FLASH(f16, F16, 128, 4)
FLASH(f16, F16, 128, 8)
