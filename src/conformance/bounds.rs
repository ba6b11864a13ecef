//! Forward-error bounds, and comparison with the oracle.

use std::fmt;

use super::inputs::to_f64;
use super::kit::{Failure, Kit};
use crate::backend::Reference;

/// Unit roundoff of a backend that computes in `f32`: 2⁻²⁴.
pub const UNIT_ROUNDOFF_F32: f64 = f32::EPSILON as f64 / 2.0;
/// Unit roundoff of a backend that computes in `f64`: 2⁻⁵³.
pub const UNIT_ROUNDOFF_F64: f64 = f64::EPSILON / 2.0;

/// Unit roundoff of bfloat16: 2⁻⁸.
pub const UNIT_ROUNDOFF_BF16: f64 = 1.0 / 256.0;

/// The roundings that a backend makes.
///
/// Exhaustive: backends outside this crate make one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roundoff {
    /// Unit roundoff u of the arithmetic.
    pub arithmetic: f64,
    /// Unit roundoff r of weights, and of activations that are multiplied with them, if it is larger
    /// than that of the arithmetic.
    pub operands: f64,
    /// Bound τ below which such a value may count as zero.
    pub smallest: f64,
}

impl From<f64> for Roundoff {
    /// One unit roundoff for everything.
    fn from(arithmetic: f64) -> Self {
        Self {
            arithmetic,
            operands: 0.0,
            smallest: 0.0,
        }
    }
}

/// The allowance, in units of r, for results of a whole model whose operands are rounded to r.
///
/// About four times the largest error measured on the kit's tiny models with bfloat16, 4.2 r. An operand
/// that is rounded twice as coarsely is caught by the checks of the products.
pub(super) const MODEL_OPERAND_ROUNDOFFS: f64 = 16.0;

/// The allowance for intermediates that a device flushes to zero because they are subnormal.
///
/// Each costs less than the smallest normal `f32`, 1.2·10⁻³⁸; 64 leave room for several per
/// result, times factors above 1. A faulty kernel is off by many orders of magnitude more.
pub(super) const UNDERFLOW: f64 = f32::MIN_POSITIVE as f64 * 64.0;

/// The allowance, in units of u, for results that went through a whole model, and for two
/// computations of one item under [`Determinism::UpToRounding`](super::Determinism::UpToRounding).
///
/// No useful a-priori bound exists for a whole model. 1024 u is about 50 times the largest error
/// measured for `f32` on the kit's tiny models, so every order of summation passes. In `f32` it is
/// 2⁻¹⁴, an eighth of the roundoff of `f16` (2⁻¹¹), so a value that was stored in half precision
/// does not.
pub(super) const MODEL_ROUNDOFFS: f64 = 1024.0;

/// The reference kernels in `f64`, which define the right answer.
pub(super) fn oracle() -> Reference<f64> {
    Reference::new()
}

impl<B> Kit<B> {
    /// γ_k = k·u / (1 − k·u), the relative error of k roundings (Higham 2002, lemma 3.1).
    pub(super) fn gamma(&self, k: usize) -> f64 {
        let ku = k as f64 * self.roundoff.arithmetic;
        assert!(
            // The bound's denominator must stay positive (Higham, lemma 3.1).
            ku < 1.0,
            "a unit roundoff of {} gives no bound on {k} operations",
            self.roundoff.arithmetic
        );
        ku / (1.0 - ku)
    }
}

/// Returns true if |a − b| ≤ 1024 u·(1 + |a|). False if either is NaN.
pub(super) fn within_determinism(a: f64, b: f64, unit_roundoff: f64) -> bool {
    // `1 +`, because a log-probability near zero comes from logits that are not.
    (a - b).abs() <= MODEL_ROUNDOFFS * unit_roundoff * (1.0 + a.abs())
}

/// `factor`·|v| for every value.
pub(super) fn scaled(values: &[f64], factor: f64) -> Vec<f64> {
    values.iter().map(|v| v.abs() * factor).collect()
}

/// Fails on the first result outside its bound, to which the rounding of
/// [`Backend::read`](crate::backend::Backend::read) and [`UNDERFLOW`] are added.
pub(super) fn close(
    what: impl fmt::Display,
    got: &[f32],
    want: &[f64],
    bound: &[f64],
) -> Result<(), Failure> {
    let bound: Vec<f64> = want
        .iter()
        .zip(bound)
        .map(|(want, bound)| bound + UNIT_ROUNDOFF_F32 * (want.abs() + bound) + UNDERFLOW)
        .collect();
    close_f64(what, &to_f64(got), want, &bound)
}

/// Fails on the first result outside its bound.
pub(super) fn close_f64(
    what: impl fmt::Display,
    got: &[f64],
    want: &[f64],
    bound: &[f64],
) -> Result<(), Failure> {
    if got.len() != want.len() || want.len() != bound.len() {
        let (got, want) = (got.len(), want.len());
        return Err(Failure::wrong(format!(
            "{what}: {got} results, expected {want}"
        )));
    }
    for (i, ((&got, &want), &bound)) in got.iter().zip(want).zip(bound).enumerate() {
        let error = (got - want).abs();
        // `error <= bound` is false for NaN; `error > bound` would be too, and let NaN pass.
        let within = error <= bound && bound.is_finite();
        if !within {
            return Err(Failure::wrong(format!(
                "{what}: result {i} is {got:e}, expected {want:e}: off by {error:.2e}, allowed {bound:.2e}"
            )));
        }
    }
    Ok(())
}
