//! AVX2 with FMA, and AVX-512, as tokens of [`Simd`].

use std::arch::x86_64::*;
use std::sync::OnceLock;

use crate::pairs;
use crate::simd::{Kernel, LANES, Simd, intrinsic};

/// Columns become rows, by the shuffles that every x86-64 has.
#[inline(always)]
pub(crate) fn transpose(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    // SAFETY: SSE is part of x86-64; a row is 4 readable floats, and the load needs no alignment.
    let [mut a, mut b, mut c, mut d] = rows.map(|row| unsafe { _mm_loadu_ps(row.as_ptr()) });
    // SAFETY: SSE is part of x86-64, and no memory but the four vectors is touched.
    unsafe { _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d) };
    [a, b, c, d].map(|column| {
        let mut to = [0.0; 4];
        // SAFETY: SSE is part of x86-64; `to` is 4 writable floats, and the store needs no
        // alignment.
        unsafe { _mm_storeu_ps(to.as_mut_ptr(), column) };
        to
    })
}

/// All bits of the first `count` lanes, up to eight.
#[inline]
#[target_feature(enable = "avx2")]
fn first(count: usize) -> __m256i {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(8) as i32), lanes)
}

/// Sum of eight lanes, halves first: the last three steps of [`Simd::sum`].
#[inline]
#[target_feature(enable = "avx")]
fn sum(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
}

/// Largest of eight lanes: the last three steps of [`Simd::top`].
#[inline]
#[target_feature(enable = "avx")]
fn top(v: __m256) -> f32 {
    let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps::<1>(v, v)))
}

/// The upper half of a lane.
const UPPER: i32 = 0xffff_0000_u32 as i32;

/// Proof that the processor has AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The token, if the processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        // Some processors and emulators have one without the other.
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Compiles `kernel` with these instructions and runs it.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn with<K: Kernel>(kernel: K, token: Avx2) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` exists only where `new` found AVX2 and FMA.
        unsafe { with(kernel, self) }
    }
}

impl Simd for Avx2 {
    type V = (__m256, __m256);
    // Twelve of sixteen registers. Two hold the weights, one the broadcast input.
    const ACCUMULATORS: usize = 6;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        let v = intrinsic!(_mm256_set1_ps(x));
        (v, v)
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::V {
        let (low, high) = x.split_at(8);
        // SAFETY: AVX by the token; `low` is 8 readable floats, and the load needs no alignment.
        let a = unsafe { _mm256_loadu_ps(low.as_ptr()) };
        // SAFETY: as above, for `high`.
        let b = unsafe { _mm256_loadu_ps(high.as_ptr()) };
        (a, b)
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::V {
        let (low, high) = x.split_at(8);
        // SAFETY: SSE2 is part of x86-64; `low` is 16 readable bytes, no alignment needed.
        let a = unsafe { _mm_loadu_si128(low.as_ptr().cast()) };
        // SAFETY: as above, for `high`.
        let b = unsafe { _mm_loadu_si128(high.as_ptr().cast()) };
        let shift = |v| {
            intrinsic!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(
                _mm256_cvtepu16_epi32(v)
            )))
        };
        (shift(a), shift(b))
    }

    #[inline(always)]
    fn load_pairs(self, x: &[u32; LANES]) -> Self::V {
        let (low, high) = x.split_at(8);
        // SAFETY: AVX by the token; `low` is 32 readable bytes, and the load needs no alignment.
        let a = unsafe { _mm256_loadu_ps(low.as_ptr().cast()) };
        // SAFETY: as above, for `high`.
        let b = unsafe { _mm256_loadu_ps(high.as_ptr().cast()) };
        (a, b)
    }

    #[inline(always)]
    fn widen_pairs(self, pairs: Self::V) -> [Self::V; 2] {
        let low = |v| {
            intrinsic!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(
                _mm256_castps_si256(v)
            )))
        };
        let high = |v| {
            intrinsic!(_mm256_castsi256_ps(_mm256_and_si256(
                _mm256_castps_si256(v),
                _mm256_set1_epi32(UPPER)
            )))
        };
        [(low(pairs.0), low(pairs.1)), (high(pairs.0), high(pairs.1))]
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        let (low, high) = to.split_at_mut(8);
        // SAFETY: AVX by the token; `low` is 8 writable floats, and the store needs no alignment.
        unsafe { _mm256_storeu_ps(low.as_mut_ptr(), v.0) };
        // SAFETY: as above, for `high`.
        unsafe { _mm256_storeu_ps(high.as_mut_ptr(), v.1) };
    }

    #[inline(always)]
    fn load_part(self, x: &[f32]) -> Self::V {
        let (low, high) = x.split_at(x.len().min(8));
        let (lows, highs) = (intrinsic!(first(low.len())), intrinsic!(first(high.len())));
        // SAFETY: AVX2 by the token; the mask has one lane for each float of `low`, and no other is
        // read.
        let a = unsafe { _mm256_maskload_ps(low.as_ptr(), lows) };
        // SAFETY: as above, for `high`.
        let b = unsafe { _mm256_maskload_ps(high.as_ptr(), highs) };
        (a, b)
    }

    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        let (low, high) = to.split_at_mut(to.len().min(8));
        let (lows, highs) = (intrinsic!(first(low.len())), intrinsic!(first(high.len())));
        // SAFETY: AVX2 by the token; the mask has one lane for each float of `low`, and no other is
        // written.
        unsafe { _mm256_maskstore_ps(low.as_mut_ptr(), lows, v.0) };
        // SAFETY: as above, for `high`, whose lanes beyond the eighth the mask does not have.
        unsafe { _mm256_maskstore_ps(high.as_mut_ptr(), highs, v.1) };
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        (
            intrinsic!(_mm256_add_ps(a.0, b.0)),
            intrinsic!(_mm256_add_ps(a.1, b.1)),
        )
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        (
            intrinsic!(_mm256_sub_ps(a.0, b.0)),
            intrinsic!(_mm256_sub_ps(a.1, b.1)),
        )
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        (
            intrinsic!(_mm256_mul_ps(a.0, b.0)),
            intrinsic!(_mm256_mul_ps(a.1, b.1)),
        )
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        (
            intrinsic!(_mm256_div_ps(a.0, b.0)),
            intrinsic!(_mm256_div_ps(a.1, b.1)),
        )
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        (
            intrinsic!(_mm256_fmadd_ps(a.0, b.0, c.0)),
            intrinsic!(_mm256_fmadd_ps(a.1, b.1, c.1)),
        )
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        (
            intrinsic!(_mm256_max_ps(a.0, b.0)),
            intrinsic!(_mm256_max_ps(a.1, b.1)),
        )
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        let round = |v| intrinsic!(_mm256_round_ps::<NEAREST>(v));
        (round(a.0), round(a.1))
    }

    #[inline(always)]
    fn pow2(self, a: Self::V) -> Self::V {
        let pow2 = |v| {
            intrinsic!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(
                _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127))
            )))
        };
        (pow2(a.0), pow2(a.1))
    }

    #[inline(always)]
    fn select_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        let select =
            |a, b, x, y| intrinsic!(_mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)));
        (select(a.0, b.0, x.0, y.0), select(a.1, b.1, x.1, y.1))
    }

    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        intrinsic!(sum(_mm256_add_ps(v.0, v.1)))
    }

    #[inline(always)]
    fn top(self, v: Self::V) -> f32 {
        intrinsic!(top(_mm256_max_ps(v.0, v.1)))
    }
}

/// [`Simd::fma_pairs`] by the instruction `vdpbf16ps`.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn dot_pairs(a: __m512, b: __m512, c: __m512) -> __m512 {
    // SAFETY: the types are 64 bytes each, and every pattern of bits is a value of them.
    let [a, b] = [a, b].map(|v| unsafe { std::mem::transmute::<__m512, __m512bh>(v) });
    _mm512_dpbf16_ps(c, a, b)
}

/// A bit for each of the first `count` lanes, up to sixteen.
#[inline(always)]
fn first_of_sixteen(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

/// Proof that the processor has AVX-512 F and, if `BF16`, AVX-512 BF16 that computes as
/// [`Simd::fma_pairs`] says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool>(());

impl Avx512<false> {
    /// The token, if the processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        // The foundation alone, which every AVX-512 processor has; the kernels need no extension of
        // it.
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    /// Compiles `kernel` with these instructions and runs it.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f")]
        fn with<K: Kernel>(kernel: K, token: Avx512<false>) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` exists only where `new` found AVX-512 F.
        unsafe { with(kernel, self) }
    }
}

impl Avx512<true> {
    /// The token, if the processor has the instructions and they give the bits of the others.
    pub(crate) fn with_bf16() -> Option<Self> {
        static CHECKED: OnceLock<bool> = OnceLock::new();
        let foundation = Avx512::<false>::new()?;
        let has = is_x86_feature_detected!("avx512bf16");
        // The instruction is specified to round twice, but processors have been measured and not all
        // of them: a few microseconds once per process are cheaper than other bits on one of them.
        let checked = *CHECKED
            .get_or_init(|| has && Self(()).run(pairs::Trial) == foundation.run(pairs::Trial));
        checked.then_some(Self(()))
    }

    /// The token of the instructions without BF16.
    pub(crate) fn foundation(self) -> Avx512<false> {
        Avx512(())
    }

    /// Compiles `kernel` with these instructions and runs it.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bf16")]
        fn with<K: Kernel>(kernel: K, token: Avx512<true>) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` exists only where `with_bf16` found AVX-512 F and BF16.
        unsafe { with(kernel, self) }
    }
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type V = __m512;
    // 24 of 32 registers. Up to four hold weights, one the broadcast input.
    const ACCUMULATORS: usize = 24;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        intrinsic!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::V {
        // SAFETY: AVX-512 by the token; `x` is 16 readable floats, no alignment needed.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::V {
        // SAFETY: AVX by the token; `x` is 32 readable bytes, no alignment needed.
        let v = unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
        intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(
            _mm512_cvtepu16_epi32(v)
        )))
    }

    #[inline(always)]
    fn load_pairs(self, x: &[u32; LANES]) -> Self::V {
        // SAFETY: AVX-512 by the token; `x` is 64 readable bytes, no alignment needed.
        unsafe { _mm512_loadu_ps(x.as_ptr().cast()) }
    }

    #[inline(always)]
    fn widen_pairs(self, pairs: Self::V) -> [Self::V; 2] {
        let bits = intrinsic!(_mm512_castps_si512(pairs));
        [
            intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))),
            intrinsic!(_mm512_castsi512_ps(_mm512_and_si512(
                bits,
                _mm512_set1_epi32(UPPER)
            ))),
        ]
    }

    #[inline(always)]
    fn fma_pairs(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        if BF16 {
            // SAFETY: the token with `BF16` exists only where the processor has the instruction, which
            // touches no memory.
            return unsafe { dot_pairs(a, b, c) };
        }
        let ([a0, a1], [b0, b1]) = (self.widen_pairs(a), self.widen_pairs(b));
        self.fma(a0, b0, self.fma(a1, b1, c))
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        // SAFETY: AVX-512 by the token; `to` is 16 writable floats, no alignment needed.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) };
    }

    #[inline(always)]
    fn load_part(self, x: &[f32]) -> Self::V {
        // SAFETY: AVX-512 by the token; the mask has one lane for each float of `x`, up to sixteen,
        // and no other is read.
        unsafe { _mm512_maskz_loadu_ps(first_of_sixteen(x.len()), x.as_ptr()) }
    }

    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        // SAFETY: AVX-512 by the token; the mask has one lane for each float of `to`, up to
        // sixteen, and no other is written.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_of_sixteen(to.len()), v) };
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        intrinsic!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        intrinsic!(_mm512_roundscale_ps::<NEAREST>(a))
    }

    #[inline(always)]
    fn pow2(self, a: Self::V) -> Self::V {
        intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(
            _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127))
        )))
    }

    #[inline(always)]
    fn select_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        intrinsic!(_mm512_mask_blend_ps(
            _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b),
            y,
            x
        ))
    }

    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let high = intrinsic!(_mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(
            _mm512_castps_pd(v)
        )));
        intrinsic!(sum(_mm256_add_ps(_mm512_castps512_ps256(v), high)))
    }

    #[inline(always)]
    fn top(self, v: Self::V) -> f32 {
        let high = intrinsic!(_mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(
            _mm512_castps_pd(v)
        )));
        intrinsic!(top(_mm256_max_ps(_mm512_castps512_ps256(v), high)))
    }
}
