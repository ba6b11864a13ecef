//! Sixteen lanes of `f32`, with one token type per instruction set.
//!
//! A kernel is written once, generic over [`Simd`], and [`Isa::run`] compiles it once per instruction
//! set. Every operation here is exact or correctly rounded, and reductions are a fixed tree, so a
//! kernel gives the same bits with every instruction set.
//!
//! A token can only be made if the processor has the instructions. Holding one is the proof that its
//! methods may be called.

/// Calls one intrinsic of a token's instruction set.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: the token `self` exists only where the processor has the instruction; the
        // intrinsics called through this macro touch no memory.
        unsafe { $call }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use intrinsic;

/// Lanes of a vector.
// One register of AVX-512. Narrower sets use two or four registers as one vector, so that every set
// adds in the same sixteen chains.
pub(crate) const LANES: usize = 16;

/// One vector in memory, on a cache line of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);
}

/// One vector of bfloat16 in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(32))]
pub(crate) struct HalfLanes(pub(crate) [u16; LANES]);

/// Sixteen pairs of bfloat16 in memory: the first of a pair is the lower half of its lane.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct PairLanes(pub(crate) [u32; LANES]);

/// A vector of weights of sixteen outputs in memory, in some precision.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// Number of inputs whose weights one vector holds.
    const INPUTS: usize;
    /// The vector in registers: widened to `f32`, which is exact, or as pairs.
    fn load<S: Simd>(&self, simd: S) -> S::V;
    /// The products of activations `x` with weights `w`, added to `sum`.
    fn accumulate<S: Simd>(simd: S, x: S::V, w: S::V, sum: S::V) -> S::V;
    /// The weight of one of the inputs.
    fn get(&self, lane: usize, input: usize) -> f32;
}

impl Element for Lanes {
    const INPUTS: usize = 1;

    #[inline(always)]
    fn load<S: Simd>(&self, simd: S) -> S::V {
        simd.load(&self.0)
    }

    #[inline(always)]
    fn accumulate<S: Simd>(simd: S, x: S::V, w: S::V, sum: S::V) -> S::V {
        simd.fma(x, w, sum)
    }

    fn get(&self, lane: usize, _: usize) -> f32 {
        self.0[lane]
    }
}

impl Element for HalfLanes {
    const INPUTS: usize = 1;

    #[inline(always)]
    fn load<S: Simd>(&self, simd: S) -> S::V {
        simd.load_bf16(&self.0)
    }

    #[inline(always)]
    fn accumulate<S: Simd>(simd: S, x: S::V, w: S::V, sum: S::V) -> S::V {
        simd.fma(x, w, sum)
    }

    fn get(&self, lane: usize, _: usize) -> f32 {
        widen(self.0[lane])
    }
}

impl Element for PairLanes {
    const INPUTS: usize = 2;

    #[inline(always)]
    fn load<S: Simd>(&self, simd: S) -> S::V {
        simd.load_pairs(&self.0)
    }

    #[inline(always)]
    fn accumulate<S: Simd>(simd: S, x: S::V, w: S::V, sum: S::V) -> S::V {
        simd.fma_pairs(x, w, sum)
    }

    fn get(&self, lane: usize, input: usize) -> f32 {
        widen((self.0[lane] >> (16 * input)) as u16)
    }
}

/// A bfloat16 is the upper half of an `f32`.
#[inline(always)]
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Columns become rows.
#[inline(always)]
pub(crate) fn transpose(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    #[cfg(target_arch = "x86_64")]
    {
        crate::x86::transpose(rows)
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::array::from_fn(|c| std::array::from_fn(|r| rows[r][c]))
}

/// The operations that kernels are written in.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen lanes in registers.
    type V: Copy;
    /// Number of accumulators that fit the register file beside the operands.
    const ACCUMULATORS: usize;

    /// Sixteen pairs of bfloat16, as the bits of the lanes.
    fn load_pairs(self, x: &[u32; LANES]) -> Self::V;
    /// The lower and the upper bfloat16 of each lane, widened to `f32`.
    fn widen_pairs(self, pairs: Self::V) -> [Self::V; 2];

    /// Adds to each lane of `c` the products of two pairs of bfloat16: that of the upper halves first,
    /// then that of the lower ones, each rounded once.
    // This order, because the instruction of AVX-512 has it.
    #[inline(always)]
    fn fma_pairs(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let ([a0, a1], [b0, b1]) = (self.widen_pairs(a), self.widen_pairs(b));
        self.fma(a0, b0, self.fma(a1, b1, c))
    }

    fn splat(self, x: f32) -> Self::V;
    fn load(self, x: &[f32; LANES]) -> Self::V;
    fn load_bf16(self, x: &[u16; LANES]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32; LANES]);
    /// Up to sixteen values, zero beyond.
    fn load_part(self, x: &[f32]) -> Self::V;
    /// The first lanes, up to sixteen.
    fn store_part(self, v: Self::V, to: &mut [f32]);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`, so `b` if either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest integer, ties to even.
    fn round(self, a: Self::V) -> Self::V;
    /// `2^a` for integers `-126 ≤ a ≤ 127`.
    fn pow2(self, a: Self::V) -> Self::V;
    /// `if a < b { x } else { y }`.
    fn select_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;

    /// Sum of the lanes by a fixed tree.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut x = [0.0; LANES];
        self.store(v, &mut x);
        let mut n = LANES / 2;
        while n > 0 {
            for i in 0..n {
                x[i] += x[i + n];
            }
            n /= 2;
        }
        x[0]
    }

    /// Largest lane, by the same tree of [`max`](Self::max). No lane may be NaN.
    #[inline(always)]
    fn top(self, v: Self::V) -> f32 {
        let mut x = [0.0; LANES];
        self.store(v, &mut x);
        let mut n = LANES / 2;
        while n > 0 {
            for i in 0..n {
                x[i] = if x[i] > x[i + n] { x[i] } else { x[i + n] };
            }
            n /= 2;
        }
        x[0]
    }

    /// `e^x`, relative error below 1.2e-7 (1 ulp), exactly 1 at 0, exactly 0 below −87.3. NaN propagates.
    ///
    /// Cody–Waite reduction by ln 2 in two parts, then the degree-6 Taylor polynomial with
    /// Cephes' minimax coefficients (`expf`, S. L. Moshier).
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        // Between these bounds `n` is within −126..=127, the exponents of normal numbers, which
        // `pow2` needs. Below, the result is exactly zero: masked scores of −∞ must add nothing.
        let low = self.splat(-87.3);
        let high = self.splat(88.0);
        // In this order NaN stays: an infinite score would otherwise weigh nothing, and be lost.
        let clamped = self.max(low, x);
        let clamped = self.select_lt(high, clamped, high, clamped);
        let n = self.round(self.mul(clamped, self.splat(std::f32::consts::LOG2_E)));
        // 0.693359375 has nine significant bits, so its product with `n` is exact. The second
        // constant is the rest of ln 2.
        let r = self.fma(n, self.splat(-0.693_359_4), clamped);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_2e-4);
        for c in [
            1.398_2e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ] {
            p = self.fma(p, r, self.splat(c));
        }
        let p = self.fma(p, self.mul(r, r), self.add(r, self.splat(1.0)));
        let y = self.mul(p, self.pow2(n));
        self.select_lt(x, low, self.splat(0.0), y)
    }

    /// `tanh x`, relative error below 2e-7. Infinities give ±1, and NaN propagates.
    ///
    /// Near zero, where exponentials would cancel, the odd polynomial of Cephes (`tanhf`,
    /// S. L. Moshier); beyond, `1 − 2/(e^2|x| + 1)`.
    #[inline(always)]
    fn tanh(self, x: Self::V) -> Self::V {
        let (zero, one) = (self.splat(0.0), self.splat(1.0));
        let square = self.mul(x, x);
        let mut p = self.splat(-5.704_988_7e-3);
        for c in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
            p = self.fma(p, square, self.splat(c));
        }
        let near = self.fma(self.mul(p, square), x, x);
        let size = self.max(self.sub(zero, x), x);
        let e = self.exp(self.add(size, size));
        let far = self.sub(one, self.div(self.splat(2.0), self.add(e, one)));
        let far = self.select_lt(x, zero, self.sub(zero, far), far);
        // Comparisons with NaN are false, so NaN takes the first branch, which propagates it.
        // Cephes' bound: the polynomial was fitted below it.
        self.select_lt(self.splat(0.625), size, far, near)
    }

    /// `Φ(x) = ½(1 + erf(x/√2))`, absolute error below 1.2e-7 and relative error below 9e-7 above −5
    /// (5e-6 above −12.7, where `e^(−x²/2)` loses bits). NaN propagates.
    ///
    /// Near zero `½ + x·p(x²)`; beyond, the smaller tail is `e^(−x²/2)·t·q(t)` with `t = 1/(1 + ¼|x|)`.
    /// `p` and `q` are minimax fits of degree 6 and 7 (Lawson's iteration in double precision).
    #[inline(always)]
    fn normal_cdf(self, x: Self::V) -> Self::V {
        let (zero, one) = (self.splat(0.0), self.splat(1.0));
        let square = self.mul(x, x);
        let mut p = self.splat(4.138_55e-7);
        for c in [
            -8.733_937e-6,
            1.143_963_2e-4,
            -1.186_535_6e-3,
            9.973_266e-3,
            -6.649_034e-2,
            3.989_423e-1,
        ] {
            p = self.fma(p, square, self.splat(c));
        }
        let near = self.fma(p, x, self.splat(0.5));
        let size = self.max(self.sub(zero, x), x);
        let t = self.div(one, self.fma(size, self.splat(0.25), one));
        let mut q = self.splat(-4.926_204_7e-2);
        for c in [
            1.176_439_3e-1,
            -3.408_052e-2,
            1.011_144_5e-1,
            6.966_814_4e-2,
            9.560_151e-2,
            9.951_844e-2,
            9.974_521e-2,
        ] {
            q = self.fma(q, t, self.splat(c));
        }
        let e = self.exp(self.mul(square, self.splat(-0.5)));
        let tail = self.mul(e, self.mul(q, t));
        let far = self.select_lt(x, zero, tail, self.sub(one, tail));
        // As in `tanh`.
        // 1.5 is where the two fits meet; elsewhere one of them would be used outside its range.
        self.select_lt(self.splat(1.5), size, far, near)
    }
}

/// Portable lanes: plain loops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

impl Simd for Scalar {
    type V = [f32; LANES];
    // Four vectors are sixteen registers of 128 bits, all that plain x86-64 has. More would be
    // spilled in every round.
    const ACCUMULATORS: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::V {
        *x
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::V {
        x.map(widen)
    }

    #[inline(always)]
    fn load_pairs(self, x: &[u32; LANES]) -> Self::V {
        x.map(f32::from_bits)
    }

    #[inline(always)]
    fn widen_pairs(self, pairs: Self::V) -> [Self::V; 2] {
        [
            pairs.map(|pair| f32::from_bits(pair.to_bits() << 16)),
            pairs.map(|pair| f32::from_bits(pair.to_bits() & 0xffff_0000)),
        ]
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        *to = v;
    }

    #[inline(always)]
    fn load_part(self, x: &[f32]) -> Self::V {
        std::array::from_fn(|i| x.get(i).copied().unwrap_or(0.0))
    }

    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        for (to, v) in to.iter_mut().zip(v) {
            *to = v;
        }
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Without the instruction this is a slow function call. `a * b + c` would be fast and round
        // twice, so the bits would differ from every other instruction set.
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        // Not `f32::max`, which returns the other operand for NaN on either side: vector
        // instructions return the second.
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        a.map(f32::round_ties_even)
    }

    #[inline(always)]
    fn pow2(self, a: Self::V) -> Self::V {
        a.map(|a| f32::from_bits(((a as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn select_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] < b[i] { x[i] } else { y[i] })
    }
}

/// Work that is compiled once per instruction set.
pub(crate) trait Kernel {
    type Output;
    /// If true, the kernel multiplies pairs of bfloat16, for which some processors have instructions.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "only x86-64 has one that keeps the bits")
    )]
    const PAIRS: bool = false;
    /// Does the work. It must be `#[inline(always)]`, or it is compiled without the instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The instruction set in use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Isa {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(crate::x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(crate::x86::Avx512<false>),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(crate::x86::Avx512<true>),
    #[cfg(target_arch = "aarch64")]
    Neon(crate::neon::Neon),
}

impl Isa {
    /// All instruction sets of this processor, the fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(crate::x86::Avx512::with_bf16().map(Self::Avx512Bf16));
            found.extend(crate::x86::Avx512::new().map(Self::Avx512));
            found.extend(crate::x86::Avx2::new().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        found.extend(crate::neon::Neon::new().map(Self::Neon));
        found.push(Self::Scalar(Scalar));
        found
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) => "avx512bf16",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
        }
    }

    /// Number of rows of the tallest tile of the matrix kernel, for weights in pairs of bfloat16 or not.
    pub(crate) fn tile_rows(self, pairs: bool) -> usize {
        match self {
            // Without an instruction for pairs, both halves of weights and inputs need registers. Six rows
            // were half as fast as four.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) if pairs => 4,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) if pairs => 4,
            // As many rows as the registers hold with one panel, or with two on AVX-512.
            Self::Scalar(_) => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 6,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) | Self::Avx512Bf16(_) => 12,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => 6,
        }
    }

    /// Runs `kernel` with this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Scalar(token) => kernel.run(token),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => token.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) => token.run(kernel),
            // Other kernels would be compiled once more to the same code.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(token) if K::PAIRS => token.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(token) => token.foundation().run(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(token) => token.run(kernel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Tanh,
        NormalCdf,
    }

    /// A function of every value.
    struct Each<'a>(Function, &'a [f32]);

    impl Kernel for Each<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut out = Vec::new();
            for x in self.1.as_chunks::<LANES>().0 {
                let x = simd.load(x);
                let value = match self.0 {
                    Function::Exp => simd.exp(x),
                    Function::Tanh => simd.tanh(x),
                    Function::NormalCdf => simd.normal_cdf(x),
                };
                let mut y = [0.0; LANES];
                simd.store(value, &mut y);
                out.extend(y);
            }
            out
        }
    }

    #[test]
    fn exp_is_accurate_and_the_same_on_every_instruction_set() {
        let mut x: Vec<f32> = (0..1 << 18).map(|i| -90.0 + i as f32 * 6.9e-4).collect();
        x[..6].copy_from_slice(&[0.0, -0.0, f32::NEG_INFINITY, -87.3, -87.4, 1e-30]);
        let want = Isa::Scalar(Scalar).run(Each(Function::Exp, &x));
        for (x, y) in x.iter().zip(&want) {
            let exact = f64::from(*x).exp();
            if *x < -87.3 {
                assert_eq!(*y, 0.0);
            } else if *x <= 88.0 {
                let error = (f64::from(*y) - exact).abs() / exact;
                assert!(error < 1.2e-7, "exp({x}) = {y}, {error:e}");
            }
        }
        assert_eq!(want[..3], [1.0, 1.0, 0.0]);
        for isa in Isa::available() {
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(&isa.run(Each(Function::Exp, &x))),
                bits(&want),
                "{}",
                isa.name()
            );
            let nan = isa.run(Each(Function::Exp, &[f32::NAN; LANES]));
            assert!(nan.iter().all(|y| y.is_nan()), "{}", isa.name());
        }
    }

    #[test]
    fn tanh_is_accurate_and_the_same_on_every_instruction_set() {
        let mut x: Vec<f32> = (0..1 << 18)
            .map(|i| (i - (1 << 17)) as f32 * 1.5e-4)
            .collect();
        x[..6].copy_from_slice(&[-0.0, 1e-30, -1e-6, f32::INFINITY, f32::NEG_INFINITY, 1e30]);
        let want = Isa::Scalar(Scalar).run(Each(Function::Tanh, &x));
        for (x, y) in x.iter().zip(&want) {
            let exact = libm::tanh(f64::from(*x));
            let error = (f64::from(*y) - exact).abs();
            assert!(error <= 2e-7 * exact.abs(), "tanh({x}) = {y}, {error:e}");
        }
        for isa in Isa::available() {
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(&isa.run(Each(Function::Tanh, &x))),
                bits(&want),
                "{}",
                isa.name()
            );
            let unknown = isa.run(Each(Function::Tanh, &[f32::NAN; LANES]));
            assert!(unknown.iter().all(|y| y.is_nan()));
        }
    }

    #[test]
    fn normal_cdf_is_accurate_and_the_same_on_every_instruction_set() {
        let mut x: Vec<f32> = (0..1 << 18)
            .map(|i| (i - (1 << 17)) as f32 * 1.2e-4)
            .collect();
        x[..6].copy_from_slice(&[-0.0, 1e-30, -1e-6, f32::INFINITY, f32::NEG_INFINITY, 1e30]);
        let want = Isa::Scalar(Scalar).run(Each(Function::NormalCdf, &x));
        for (x, y) in x.iter().zip(&want) {
            let exact = 0.5 * libm::erfc(-f64::from(*x) * std::f64::consts::FRAC_1_SQRT_2);
            let error = (f64::from(*y) - exact).abs();
            assert!(error <= 1.2e-7, "Φ({x}) = {y}, {error:e}");
            let relative = if *x > -5.0 { 9e-7 } else { 5e-6 };
            let tail = *x < -12.7;
            assert!(tail || error <= relative * exact, "Φ({x}) = {y}, {error:e}");
        }
        for isa in Isa::available() {
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(&isa.run(Each(Function::NormalCdf, &x))),
                bits(&want),
                "{}",
                isa.name()
            );
            let unknown = isa.run(Each(Function::NormalCdf, &[f32::NAN; LANES]));
            assert!(unknown.iter().all(|y| y.is_nan()));
        }
    }

    struct Ops<'a>(&'a [[f32; LANES]; 3], &'a [u16; LANES]);

    impl Kernel for Ops<'_> {
        type Output = Vec<u32>;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<u32> {
            let [a, b, c] = self.0.map(|x| simd.load(&x));
            let mut bits = Vec::new();
            for v in [
                simd.add(a, b),
                simd.sub(a, b),
                simd.mul(a, b),
                simd.div(a, b),
                simd.fma(a, b, c),
                simd.max(a, b),
                simd.max(b, a),
                simd.round(a),
                simd.pow2(simd.round(c)),
                simd.select_lt(a, b, b, c),
                simd.splat(3.5),
                simd.load_bf16(self.1),
            ] {
                let mut x = [0.0; LANES];
                simd.store(v, &mut x);
                // An operation may return any NaN.
                bits.extend(x.map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }));
            }
            bits.extend([simd.sum(c).to_bits(), simd.top(c).to_bits()]);
            for len in 0..=LANES {
                let mut x = [7.0; LANES];
                simd.store_part(c, &mut x[..len]);
                bits.extend(x.map(f32::to_bits));
                simd.store(simd.load_part(&x[..len]), &mut x);
                bits.extend(x.map(f32::to_bits));
            }
            bits
        }
    }

    #[test]
    fn every_operation_gives_the_same_bits_on_every_instruction_set() {
        let special = [
            0.0,
            -0.0,
            1.5,
            -2.5,
            3.5,
            f32::INFINITY,
            f32::NAN,
            1e-40,
            7e37,
            -1e-3,
        ];
        for shift in 0..special.len() {
            let at = |i: usize| special[i % special.len()];
            let a = std::array::from_fn(at);
            let b = std::array::from_fn(|i| at(i + shift));
            let c = std::array::from_fn(|i| (i as f32 - 7.3) * 1.37);
            let half = std::array::from_fn(|i| (i * 4001 + shift * 77) as u16);
            let want = Isa::Scalar(Scalar).run(Ops(&[a, b, c], &half));
            for isa in Isa::available() {
                assert_eq!(isa.run(Ops(&[a, b, c], &half)), want, "{}", isa.name());
            }
        }
    }
}
