//! NEON, which every 64-bit ARM processor has, as a token of [`Simd`].

use std::arch::aarch64::*;

use crate::simd::{Kernel, LANES, Simd, intrinsic};

/// Proof that the processor has NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The token, if the processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    /// Compiles `kernel` with these instructions and runs it.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn with<K: Kernel>(kernel: K, token: Neon) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` exists only where `new` found NEON.
        unsafe { with(kernel, self) }
    }
}

/// A quarter of a vector.
type Quad = float32x4_t;

/// Applies an operation to each quarter of some vectors.
macro_rules! quads {
    ($op:expr; $($v:ident),+) => {
        [
            $op($($v[0]),+),
            $op($($v[1]),+),
            $op($($v[2]),+),
            $op($($v[3]),+),
        ]
    };
}

impl Neon {
    /// `if a > b { a } else { b }`.
    #[inline(always)]
    fn max4(self, a: Quad, b: Quad) -> Quad {
        // `vmaxq_f32` returns NaN if either operand is; x86 returns the second.
        intrinsic!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }
}

impl Simd for Neon {
    type V = [Quad; 4];
    // 24 of 32 registers. Four hold the weights, one the broadcast input.
    const ACCUMULATORS: usize = 6;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        let v = intrinsic!(vdupq_n_f32(x));
        [v, v, v, v]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::V {
        // One by one: loads of several registers need adjacent registers, which a tile does not have.
        let (x, _) = x.as_chunks::<4>();
        // SAFETY: NEON by the token; a chunk is 4 readable floats, aligned as they have to be.
        let quad = |i: usize| unsafe { vld1q_f32(x[i].as_ptr()) };
        [quad(0), quad(1), quad(2), quad(3)]
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::V {
        let (low, high) = x.split_at(8);
        // SAFETY: NEON by the token; `low` is 8 readable numbers, aligned as they have to be.
        let a = unsafe { vld1q_u16(low.as_ptr()) };
        // SAFETY: as above, for `high`.
        let b = unsafe { vld1q_u16(high.as_ptr()) };
        let shift = |v| intrinsic!(vreinterpretq_f32_u32(vshlq_n_u32::<16>(v)));
        [
            shift(intrinsic!(vmovl_u16(vget_low_u16(a)))),
            shift(intrinsic!(vmovl_high_u16(a))),
            shift(intrinsic!(vmovl_u16(vget_low_u16(b)))),
            shift(intrinsic!(vmovl_high_u16(b))),
        ]
    }

    #[inline(always)]
    fn load_pairs(self, x: &[u32; LANES]) -> Self::V {
        let (x, _) = x.as_chunks::<4>();
        // SAFETY: NEON by the token; a chunk is 4 readable numbers, aligned as they have to be.
        let quad = |i: usize| unsafe { vld1q_u32(x[i].as_ptr()) };
        let quad = |i: usize| intrinsic!(vreinterpretq_f32_u32(quad(i)));
        [quad(0), quad(1), quad(2), quad(3)]
    }

    // Not `bfdot`, which rounds to odd and adds the two products before it adds the sum.
    #[inline(always)]
    fn widen_pairs(self, pairs: Self::V) -> [Self::V; 2] {
        let bits = |v| intrinsic!(vreinterpretq_u32_f32(v));
        let float = |v| intrinsic!(vreinterpretq_f32_u32(v));
        let upper = intrinsic!(vdupq_n_u32(0xffff_0000));
        [
            quads!(|v| float(intrinsic!(vshlq_n_u32::<16>(bits(v)))); pairs),
            quads!(|v| float(intrinsic!(vandq_u32(bits(v), upper))); pairs),
        ]
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        let (to, _) = to.as_chunks_mut::<4>();
        for (to, v) in to.iter_mut().zip(v) {
            // SAFETY: NEON by the token; a chunk is 4 writable floats, aligned as they have to be.
            unsafe { vst1q_f32(to.as_mut_ptr(), v) };
        }
    }

    #[inline(always)]
    fn load_part(self, x: &[f32]) -> Self::V {
        let mut whole = [0.0; LANES];
        let len = x.len().min(LANES);
        whole[..len].copy_from_slice(&x[..len]);
        self.load(&whole)
    }

    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        let mut whole = [0.0; LANES];
        self.store(v, &mut whole);
        let len = to.len().min(LANES);
        to[..len].copy_from_slice(&whole[..len]);
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        quads!(|a, b| intrinsic!(vaddq_f32(a, b)); a, b)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        quads!(|a, b| intrinsic!(vsubq_f32(a, b)); a, b)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        quads!(|a, b| intrinsic!(vmulq_f32(a, b)); a, b)
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        quads!(|a, b| intrinsic!(vdivq_f32(a, b)); a, b)
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        quads!(|a, b, c| intrinsic!(vfmaq_f32(c, a, b)); a, b, c)
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        quads!(|a, b| self.max4(a, b); a, b)
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        quads!(|a| intrinsic!(vrndnq_f32(a)); a)
    }

    #[inline(always)]
    fn pow2(self, a: Self::V) -> Self::V {
        quads!(
            |a| intrinsic!(vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(
                vcvtnq_s32_f32(a),
                vdupq_n_s32(127)
            ))));
            a
        )
    }

    #[inline(always)]
    fn select_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        quads!(|a, b, x, y| intrinsic!(vbslq_f32(vcltq_f32(a, b), x, y)); a, b, x, y)
    }

    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        // By the tree of `Simd::sum`, not by `vaddvq_f32`, which adds neighbours and would round
        // differently.
        let halves = intrinsic!(vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3])));
        let pair = intrinsic!(vadd_f32(vget_low_f32(halves), vget_high_f32(halves)));
        intrinsic!(vget_lane_f32::<0>(pair)) + intrinsic!(vget_lane_f32::<1>(pair))
    }

    #[inline(always)]
    fn top(self, v: Self::V) -> f32 {
        // Without NaN, the largest lane is the same in any order.
        let quad = self.max4(self.max4(v[0], v[2]), self.max4(v[1], v[3]));
        intrinsic!(vmaxvq_f32(quad))
    }
}
