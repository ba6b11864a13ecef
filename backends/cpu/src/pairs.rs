//! Pairs of bfloat16: activations and weights of products in that precision.
//!
//! Processors differ in subnormal numbers: `vdpbf16ps` treats them as zero, plain multiply-adds do not,
//! and ARM can be told either. Values below 2⁻⁵⁶ therefore count as zero here. Every other one is a
//! multiple of 2⁻⁶³ (eight significant bits), so that products, and sums of products however they are
//! rounded, are multiples of 2⁻¹²⁶, the smallest normal `f32`: no subnormal number ever arises.

use half::bf16;

#[cfg(any(test, target_arch = "x86_64"))]
use crate::simd::LANES;
use crate::simd::{Kernel, Simd};

/// Bits of 2⁻⁵⁶, the smallest value that is kept.
const SMALLEST: u32 = (127 - 56) << 23;
/// Bits of infinity.
const INFINITY: u32 = 0x7f80_0000;

/// The bits of `x` as a bfloat16, rounded to nearest, ties to even. Below 2⁻⁵⁶ it is zero; NaN stays NaN,
/// and what rounds beyond the largest bfloat16 is infinite.
#[inline(always)]
pub(crate) fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let size = bits & !(1 << 31);
    let kept = if size < SMALLEST { 0 } else { bits };
    let rounded = kept.wrapping_add(0x7fff + ((kept >> 16) & 1)) >> 16;
    // Rounding could carry a NaN into infinity. The bit set makes it quiet.
    let nan = (bits >> 16) | 0x40;
    if size > INFINITY { nan } else { rounded }
}

/// Two values as a pair.
#[cfg(any(test, target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> u32 {
    round(first) | (round(second) << 16)
}

/// As [`round`], for what is a bfloat16 already.
#[inline(always)]
pub(crate) fn kept(x: bf16) -> u32 {
    let bits = x.to_bits();
    let size = bits & 0x7fff;
    // In this form the compiler vectorises it.
    let large = if u32::from(size) < SMALLEST >> 16 {
        0
    } else {
        bits
    };
    let quiet = if u32::from(size) > INFINITY >> 16 {
        0x40
    } else {
        0
    };
    u32::from(large | quiet)
}

/// Writes values as pairs, as the bits of `f32`; the partner of an odd last value is zero.
#[inline(always)]
pub(crate) fn pair_up<T>(values: &[T], out: &mut [f32], round: impl Fn(&T) -> u32) {
    let (pairs, rest) = values.as_chunks::<2>();
    for (out, [first, second]) in out.iter_mut().zip(pairs) {
        *out = f32::from_bits(round(first) | (round(second) << 16));
    }
    if let ([last], Some(out)) = (rest, out.last_mut()) {
        *out = f32::from_bits(round(last));
    }
}

/// Writes a row as pairs.
pub(crate) struct PairRow<'a> {
    pub(crate) row: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Kernel for PairRow<'_> {
    type Output = ();

    // A plain loop: the compiler vectorises it for each instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        pair_up(self.row, self.out, |x| round(*x));
    }
}

/// Fixed pairs and sums through [`Simd::fma_pairs`], to compare two instruction sets: the bits of the
/// results, NaN as one value.
// Only x86-64 has an instruction to compare.
#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) struct Trial;

#[cfg(any(test, target_arch = "x86_64"))]
impl Kernel for Trial {
    type Output = Vec<u32>;
    const PAIRS: bool = true;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<u32> {
        // A generator that every instruction set runs alike (xorshift, G. Marsaglia 2003).
        let mut state = 0x2545_f491_u32;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let edges = edges();
        let mut results = Vec::new();
        let mut sums = [0.0; LANES];
        for round in 0..256 {
            let mut draw = || {
                let bits = next();
                let [a, b] = [bits & 0xffff, bits >> 16];
                // Every fourth round from the edges, the others from all values that are kept.
                let value = |bits: u32| match round % 4 {
                    0 => edges[bits as usize % edges.len()],
                    _ => f32::from_bits(bits << 16),
                };
                pair(value(a), value(b))
            };
            let x: [u32; LANES] = std::array::from_fn(|_| draw());
            let w: [u32; LANES] = std::array::from_fn(|_| draw());
            // A chain over eight pairs, so that sums of all sizes come in; then from zero again.
            if round % 8 == 0 {
                sums = [0.0; LANES];
            }
            let sum = simd.load(&sums);
            let sum = simd.fma_pairs(simd.load_pairs(&x), simd.load_pairs(&w), sum);
            simd.store(sum, &mut sums);
            results.extend(sums.map(|s| if s.is_nan() { u32::MAX } else { s.to_bits() }));
        }
        results
    }
}

/// Values at which a product may go wrong, with both signs.
#[cfg(any(test, target_arch = "x86_64"))]
fn edges() -> Vec<f32> {
    let smallest = f32::from_bits(SMALLEST);
    let largest = f32::from_bits(INFINITY - (1 << 16));
    let one = 1.0 + f32::EPSILON * 65536.0;
    let sizes = [
        0.0,
        smallest,
        smallest * 1.9921875,
        smallest * 2.0,
        1.0,
        one,
        1.9921875,
        256.0,
        largest,
        f32::INFINITY,
        f32::NAN,
    ];
    sizes.into_iter().flat_map(|x| [x, -x]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simd::{Isa, Scalar};

    /// One call of `fma_pairs` for each vector of pairs and sums.
    struct Fma<'a>(&'a [([u32; LANES], [u32; LANES], [f32; LANES])]);

    impl Kernel for Fma<'_> {
        type Output = Vec<u32>;
        const PAIRS: bool = true;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<u32> {
            let mut out = Vec::new();
            for (x, w, sum) in self.0 {
                let sum = simd.load(sum);
                let sum = simd.fma_pairs(simd.load_pairs(x), simd.load_pairs(w), sum);
                let mut lanes = [0.0; LANES];
                simd.store(sum, &mut lanes);
                out.extend(lanes.map(bits));
            }
            out
        }
    }

    /// The bits of a result; every NaN is one value.
    fn bits(x: f32) -> u32 {
        if x.is_nan() { u32::MAX } else { x.to_bits() }
    }

    /// The definition, one lane at a time, in operations of the standard library.
    fn defined(x: u32, w: u32, sum: f32) -> u32 {
        let halves = |pair: u32| [pair << 16, pair & 0xffff_0000].map(f32::from_bits);
        let ([x0, x1], [w0, w1]) = (halves(x), halves(w));
        bits(x0.mul_add(w0, x1.mul_add(w1, sum)))
    }

    #[test]
    fn what_is_a_bfloat16_already_is_rounded_alike() {
        for bits in 0..=u16::MAX {
            let x = bf16::from_bits(bits);
            assert_eq!(kept(x), round(x.to_f32()), "{bits:x}");
        }
    }

    fn check(cases: &[([u32; LANES], [u32; LANES], [f32; LANES])]) {
        let want: Vec<u32> = cases
            .iter()
            .flat_map(|(x, w, sum)| (0..LANES).map(|i| defined(x[i], w[i], sum[i])))
            .collect();
        for isa in Isa::available() {
            let got = isa.run(Fma(cases));
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let (x, w, sum) = &cases[i / LANES];
                let lane = i % LANES;
                assert_eq!(
                    got,
                    want,
                    "{}: {:x}, {:x}, {:e}",
                    isa.name(),
                    x[lane],
                    w[lane],
                    sum[lane]
                );
            }
        }
    }

    #[test]
    fn every_pair_of_edges_gives_the_same_bits_with_every_instruction_set() {
        let edges = edges();
        // Sums that a chain can reach: multiples of 2^-126, and what is not finite.
        let sums: Vec<f32> = [
            0.0,
            1.0,
            1.1754944e-38,
            2.5e-38,
            3e38,
            f32::INFINITY,
            f32::NAN,
        ]
        .into_iter()
        .flat_map(|x| [x, -x])
        .collect();
        let mut lanes = Vec::new();
        for &x0 in &edges {
            for &w0 in &edges {
                for &x1 in &edges {
                    for &w1 in &edges {
                        let sum = sums[lanes.len() % sums.len()];
                        lanes.push((pair(x0, x1), pair(w0, w1), sum));
                    }
                }
            }
        }
        let vectors: Vec<_> = lanes
            .as_chunks::<LANES>()
            .0
            .iter()
            .map(|c| (c.map(|l| l.0), c.map(|l| l.1), c.map(|l| l.2)))
            .collect();
        check(&vectors);
    }

    #[test]
    fn four_million_random_lanes_give_the_same_bits_with_every_instruction_set() {
        let mut state = 1u64;
        // SplitMix64 (Steele, Lea and Flood 2014).
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        for _ in 0..256 {
            let mut value = || {
                let bits = next();
                // Half of them of the sizes of a network, where sums cancel; half of any size.
                match bits & 1 {
                    0 => (bits >> 40) as f32 / (1 << 23) as f32 - 1.0,
                    _ => f32::from_bits((bits >> 32) as u32),
                }
            };
            let cases: Vec<_> = (0..1024)
                .map(|_| {
                    let mut pairs = || std::array::from_fn(|_| pair(value(), value()));
                    let (x, w) = (pairs(), pairs());
                    // A sum as a chain has it: the result of a product.
                    let sum = (0..LANES).map(|_| (pair(value(), value()), pair(value(), value())));
                    let sum: Vec<f32> = sum
                        .map(|(x, w)| f32::from_bits(defined(x, w, 0.0)))
                        .collect();
                    (x, w, std::array::from_fn(|i| sum[i]))
                })
                .collect();
            check(&cases);
        }
    }

    #[test]
    fn the_trial_tells_apart_the_order_of_the_two_products() {
        /// Instructions that add the products in the other order.
        #[derive(Clone, Copy)]
        struct Swapped(Scalar);
        macro_rules! delegate {
            ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
                $(fn $name(self, $($arg: $type),*) -> $out { self.0.$name($($arg),*) })*
            };
        }
        type V = [f32; LANES];
        impl Simd for Swapped {
            type V = V;
            const ACCUMULATORS: usize = 4;
            delegate! {
                splat(x: f32) -> V; load(x: &V) -> V; load_bf16(x: &[u16; LANES]) -> V;
                load_pairs(x: &[u32; LANES]) -> V; widen_pairs(p: V) -> [V; 2];
                store(v: V, to: &mut V) -> (); load_part(x: &[f32]) -> V;
                store_part(v: V, to: &mut [f32]) -> (); add(a: V, b: V) -> V; sub(a: V, b: V) -> V;
                mul(a: V, b: V) -> V; div(a: V, b: V) -> V; fma(a: V, b: V, c: V) -> V;
                max(a: V, b: V) -> V; round(a: V) -> V; pow2(a: V) -> V;
                select_lt(a: V, b: V, x: V, y: V) -> V;
            }
            fn fma_pairs(self, a: V, b: V, c: V) -> V {
                let ([a0, a1], [b0, b1]) = (self.widen_pairs(a), self.widen_pairs(b));
                self.fma(a1, b1, self.fma(a0, b0, c))
            }
        }
        assert_ne!(Trial.run(Swapped(Scalar)), Trial.run(Scalar));
    }

    proptest! {
        #[test]
        fn rounding_is_that_of_the_half_crate(bits in any::<u32>()) {
            let x = f32::from_bits(bits);
            let got = bf16::from_bits(round(x) as u16);
            if x.is_nan() {
                prop_assert!(got.is_nan());
            } else if x.abs() < f32::from_bits(SMALLEST) {
                prop_assert_eq!(got.to_bits(), 0);
            } else {
                prop_assert_eq!(got, bf16::from_f32(x));
            }
        }

        #[test]
        fn no_product_or_sum_is_subnormal(values in prop::collection::vec(any::<u32>(), 64)) {
            let kept = |bits: u32| f32::from_bits(round(f32::from_bits(bits)) << 16);
            let mut sum = 0.0f32;
            for pair in values.as_chunks::<2>().0 {
                let product = kept(pair[0]) * kept(pair[1]);
                sum = kept(pair[0]).mul_add(kept(pair[1]), sum);
                prop_assert!(!product.is_subnormal() && !sum.is_subnormal());
            }
        }
    }
}
