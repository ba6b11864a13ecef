//! Operations on one row at a time: norms, rotary embedding, activations, sums.

use std::sync::{Arc, Mutex, PoisonError};

use relscale::backend::{Activation, NormKind};

use crate::gemm::{load, store};
use crate::simd::{Kernel, LANES, Simd};

/// One row of [`norm`](relscale::backend::Backend::norm).
pub(crate) struct NormRow<'a> {
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f64,
    pub(crate) x: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for NormRow<'_> {
    /// If true, every sum of squares is finite.
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let mut is_finite = true;
        let width = self.weight.len();
        let groups = self
            .x
            .chunks_exact(width)
            .zip(self.out.chunks_exact_mut(width));
        for (x, out) in groups {
            let mean = match self.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => (f64::from(sum(simd, x)) / width as f64) as f32,
            };
            let center = simd.splat(mean);
            let mut squares = simd.splat(0.0);
            for chunk in x.chunks(LANES) {
                let mut v = simd.sub(load(simd, chunk), center);
                if chunk.len() < LANES {
                    // The padding is zero before the mean is subtracted, and must be zero after.
                    let mut lanes = [0.0; LANES];
                    simd.store(v, &mut lanes);
                    lanes[chunk.len()..].fill(0.0);
                    v = simd.load(&lanes);
                }
                squares = simd.fma(v, v, squares);
            }
            // One value per row, so double precision costs nothing, and the factor is rounded only
            // once.
            let variance = f64::from(simd.sum(squares)) / width as f64;
            is_finite &= variance.is_finite();
            let factor = simd.splat((1.0 / (variance + self.epsilon).sqrt()) as f32);
            for (i, (chunk, out)) in x.chunks(LANES).zip(out.chunks_mut(LANES)).enumerate() {
                let at = i * LANES..i * LANES + chunk.len();
                let v = simd.mul(simd.sub(load(simd, chunk), center), factor);
                let mut v = simd.mul(v, load(simd, &self.weight[at.clone()]));
                if let Some(bias) = self.bias {
                    v = simd.add(v, load(simd, &bias[at]));
                }
                store(simd, v, out);
            }
        }
        is_finite
    }
}

/// The sum, in sixteen partial sums and a fixed tree.
#[inline(always)]
fn sum<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let mut sum = simd.splat(0.0);
    for chunk in x.chunks(LANES) {
        sum = simd.add(sum, load(simd, chunk));
    }
    simd.sum(sum)
}

/// Cosines and sines of every rotated pair at every position up to a bound.
#[derive(Debug)]
pub(crate) struct Rotations {
    frequencies: Vec<f64>,
    scale: f64,
    /// Per position: the cosines, then the sines.
    table: Vec<f32>,
}

impl Rotations {
    /// A table with one entry per position, in the order of `positions`.
    pub(crate) fn new(
        frequencies: &[f64],
        scale: f64,
        positions: impl ExactSizeIterator<Item = usize>,
    ) -> Self {
        let mut table = Vec::with_capacity(2 * frequencies.len() * positions.len());
        for position in positions {
            // In double precision: at position 100,000 the rounding of an `f32` angle is some
            // thousandths of a radian. From `libm`, because the system's last digits differ.
            let angles = || frequencies.iter().map(|f| position as f64 * f);
            table.extend(angles().map(|a| (libm::cos(a) * scale) as f32));
            table.extend(angles().map(|a| (libm::sin(a) * scale) as f32));
        }
        Self {
            frequencies: frequencies.to_vec(),
            scale,
            table,
        }
    }

    /// Cosines and sines of entry `entry`.
    fn at(&self, entry: usize) -> (&[f32], &[f32]) {
        let half = self.frequencies.len();
        self.table[entry * 2 * half..][..2 * half].split_at(half)
    }
}

/// The tables in use, each up to the furthest position so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct RotationCache(Arc<Mutex<Vec<Arc<Rotations>>>>);

impl RotationCache {
    /// Rotations of these frequencies for positions below `positions`.
    pub(crate) fn get(&self, frequencies: &[f64], scale: f64, positions: usize) -> Arc<Rotations> {
        // A model alternates between two sets of frequencies at most; more are another model's.
        const KEPT: usize = 4;
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |r: &Rotations| r.frequencies == frequencies && r.scale == scale;
        let known = cache.iter().position(|r| same(r));
        let size = 2 * frequencies.len() * positions;
        if let Some(i) = known {
            // Entries do not depend on the length of the table, so a longer one gives the same
            // bits.
            if cache[i].table.len() >= size {
                return Arc::clone(&cache[i]);
            }
            cache.remove(i);
        }
        let rotations = Arc::new(Rotations::new(frequencies, scale, 0..positions));
        cache.push(Arc::clone(&rotations));
        if cache.len() > KEPT {
            cache.remove(0);
        }
        rotations
    }
}

/// One row of [`rope`](relscale::backend::Backend::rope).
pub(crate) struct RopeRow<'a> {
    pub(crate) rotations: &'a Rotations,
    /// Entry of the rotations.
    pub(crate) entry: usize,
    pub(crate) head_dim: usize,
    pub(crate) x: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Kernel for RopeRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (cos, sin) = self.rotations.at(self.entry);
        let half = cos.len();
        let heads = self
            .x
            .chunks_exact(self.head_dim)
            .zip(self.out.chunks_exact_mut(self.head_dim));
        for (x, out) in heads {
            let (a, rest) = x.split_at(half);
            let (b, pass) = rest.split_at(half);
            let (out_a, out_rest) = out.split_at_mut(half);
            let (out_b, out_pass) = out_rest.split_at_mut(half);
            out_pass.copy_from_slice(pass);
            for from in (0..half).step_by(LANES) {
                let at = from..(from + LANES).min(half);
                let (va, vb) = (load(simd, &a[at.clone()]), load(simd, &b[at.clone()]));
                let (vc, vs) = (load(simd, &cos[at.clone()]), load(simd, &sin[at.clone()]));
                // a·cos − b·sin and b·cos + a·sin.
                let minus = simd.sub(simd.splat(0.0), vs);
                store(
                    simd,
                    simd.fma(vb, minus, simd.mul(va, vc)),
                    &mut out_a[at.clone()],
                );
                store(simd, simd.fma(va, vs, simd.mul(vb, vc)), &mut out_b[at]);
            }
        }
    }
}

/// One row of [`activate`](relscale::backend::Backend::activate).
pub(crate) struct ActivateRow<'a> {
    pub(crate) function: Activation,
    pub(crate) gate: &'a [f32],
    pub(crate) up: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for ActivateRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (i, out) in self.out.chunks_mut(LANES).enumerate() {
            let at = i * LANES..i * LANES + out.len();
            let x = load(simd, &self.gate[at.clone()]);
            let mut y = match self.function {
                Activation::Silu => silu(simd, x, x),
                // ½x(1 + tanh z) = x / (1 + e^−2z).
                // One exponential instead of a `tanh`, and no cancellation in `1 + tanh z` for
                // negative z.
                Activation::GeluTanh => {
                    let c = (2.0f64 * (2.0 / std::f64::consts::PI).sqrt()) as f32;
                    let cubic = simd.mul(simd.mul(x, x), simd.mul(x, simd.splat(0.044_715 * c)));
                    silu(simd, simd.fma(x, simd.splat(c), cubic), x)
                }
                // Zero times the input, so that NaN stays, and so does −∞, which is an overflow: as zero neither
                // would reach the norm that refuses them.
                Activation::Relu => simd.max(simd.mul(x, simd.splat(0.0)), x),
                Activation::GeluErf => simd.mul(x, simd.normal_cdf(x)),
            };
            if let Some(up) = self.up {
                y = simd.mul(y, load(simd, &up[at]));
            }
            store(simd, y, out);
        }
    }
}

/// `x / (1 + e^−z)`.
#[inline(always)]
fn silu<S: Simd>(simd: S, z: S::V, x: S::V) -> S::V {
    let e = simd.exp(simd.sub(simd.splat(0.0), z));
    simd.div(x, simd.add(simd.splat(1.0), e))
}

/// `x ← x + y`.
pub(crate) struct Add<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) y: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (x, y) in self.x.iter_mut().zip(self.y) {
            *x += y;
        }
    }
}

/// `c·tanh(x/c)`.
pub(crate) struct SoftCap<V> {
    cap: V,
    inverse: V,
}

impl<V: Copy> SoftCap<V> {
    #[inline(always)]
    pub(crate) fn new<S: Simd<V = V>>(simd: S, cap: f64) -> Self {
        Self {
            cap: simd.splat(cap as f32),
            inverse: simd.splat((1.0 / cap) as f32),
        }
    }

    #[inline(always)]
    pub(crate) fn apply<S: Simd<V = V>>(&self, simd: S, x: V) -> V {
        simd.mul(simd.tanh(simd.mul(x, self.inverse)), self.cap)
    }
}
