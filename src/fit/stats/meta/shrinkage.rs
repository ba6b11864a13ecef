//! Effects drawn towards their mean: empirical Bayes with intervals.

use super::reml::Model;
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_domain};

/// Effects drawn towards their random-effects mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shrinkage {
    /// Variance between effects.
    pub(crate) tau2: f64,
    /// Random-effects mean, and its variance with the error that all effects share.
    pub(crate) mean: (f64, f64),
    pub(crate) effects: Vec<ShrunkEffect>,
}

/// One effect drawn towards the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ShrunkEffect {
    pub(crate) value: f64,
    /// Variance of `value` about the true effect.
    pub(crate) variance: f64,
    /// Share of the way to the mean, `B = v/(v + τ²)`.
    pub(crate) share: f64,
}

/// Draws `effects` with own sampling `variances` towards their mean. `common` is the variance of an
/// error that all effects share, such as that of a baseline.
///
/// θ̃ᵢ = Bᵢ·μ̂ + (1 − Bᵢ)·yᵢ with Bᵢ = vᵢ/(vᵢ + τ²), τ² by REML and μ̂ the weighted mean with weights
/// wᵢ = 1/(vᵢ + τ²). A common error leaves τ², wᵢ and Bᵢ as they are, because 1 is in the column space
/// of the model, and moves every θ̃ᵢ by itself. The variance is Prasad and Rao's
/// g₁ + g₂ + 2·g₃ with g₁ = (1 − Bᵢ)·vᵢ, g₂ = Bᵢ²/Σw, g₃ = vᵢ²/(vᵢ + τ²)³·Var τ̂² (the error of τ²,
/// twice for the bias of g₁ at REML's estimate), plus `common`.
///
/// # Errors
/// When lengths differ, there are fewer than four effects, a number is not finite, a variance is not
/// positive, `common` is negative, or τ² cannot be bracketed.
///
/// # References
/// - C. N. Morris (1983), *JASA* 78:47.
/// - N. G. N. Prasad, J. N. K. Rao (1990), *JASA* 85:163; G. S. Datta, P. Lahiri (2000),
///   *Statistica Sinica* 10:613 (REML).
pub(crate) fn shrink(
    effects: &[f64],
    variances: &[f64],
    common: f64,
) -> Result<Shrinkage, FitError> {
    check_domain("the common variance", common, common >= 0.0)?;
    let model = Model::new(None, effects, variances)?;
    // Stein: drawing three or fewer means together gains nothing on average.
    check_count("effects to draw together", effects.len(), 4)?;
    let tau2 = model.tau2()?;
    let w: Vec<f64> = variances.iter().map(|v| 1.0 / (v + tau2)).collect();
    let power = |k: i32| w.iter().map(|w| w.powi(k)).sum::<f64>();
    let total = power(1);
    let mean = w.iter().zip(effects).map(|(w, y)| w * y).sum::<f64>() / total;
    // tr PP, P = W − W11'W/Σw: the information on τ² in the restricted likelihood is half of it.
    let information = power(2) - 2.0 * power(3) / total + (power(2) / total).powi(2);
    let tau2_variance = 2.0 / information;
    let of = |((y, v), w): ((&f64, &f64), &f64)| {
        let share = v * w;
        let g = [
            (1.0 - share) * v,
            share * share / total,
            2.0 * v * v * w.powi(3) * tau2_variance,
        ];
        ShrunkEffect {
            value: share * mean + (1.0 - share) * y,
            variance: g.iter().sum::<f64>() + common,
            share,
        }
    };
    Ok(Shrinkage {
        tau2,
        mean: (mean, 1.0 / total + common),
        effects: effects.iter().zip(variances).zip(&w).map(of).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coverage of 95 % normal intervals, and their mean width over that of the raw ones.
    fn coverage(k: usize, tau: f64, common: f64) -> (f64, f64) {
        use crate::fit::stats::random::Stream;
        let (mut inside, mut all, mut width) = (0.0, 0.0, 0.0);
        for replicate in 0..2_000 {
            let mut s = Stream::new(1, "shrinkage", replicate);
            let shared = common.sqrt() * s.normal();
            let v: Vec<f64> = (0..k).map(|i| 0.5 + (i % 4) as f64 / 3.0).collect();
            let truth: Vec<f64> = (0..k).map(|_| 0.3 + tau * s.normal()).collect();
            let y: Vec<f64> = (truth.iter().zip(&v))
                .map(|(t, v)| t + shared + v.sqrt() * s.normal())
                .collect();
            let found = shrink(&y, &v, common).unwrap();
            for ((e, t), v) in found.effects.iter().zip(&truth).zip(&v) {
                let half = 1.959_963_985 * e.variance.sqrt();
                inside += f64::from((e.value - t).abs() <= half);
                width += (e.variance / (v + common)).sqrt();
                all += 1.0;
            }
        }
        (inside / all, width / all)
    }

    #[test]
    fn shrunken_intervals_cover_and_are_no_wider() {
        for (k, tau, common) in [
            (6, 0.0, 0.0),
            (6, 0.5, 0.0),
            (6, 1.0, 1.0),
            (12, 0.3, 0.0),
            (12, 1.0, 0.5),
            (30, 0.5, 0.2),
            (30, 3.0, 0.0),
        ] {
            let (covered, width) = coverage(k, tau, common);
            // On average over effects, in 2,000 replicates of six or more. Above 95 % where τ is near
            // zero: its error is counted twice, and is truncated.
            assert!(covered > 0.935, "{k} {tau} {common}: {covered}");
            assert!(width < 1.02, "{k} {tau} {common}: {width}");
        }
        // Thirty effects without spread are one effect.
        assert!(coverage(30, 0.0, 0.0).1 < 0.5);
    }

    #[test]
    fn a_common_error_moves_effects_alike_and_widens_them() {
        let (y, v) = ([1.0, 2.0, 4.0, 3.5, 0.0], [0.2, 0.5, 0.3, 0.4, 0.6]);
        let (bare, with) = (shrink(&y, &v, 0.0).unwrap(), shrink(&y, &v, 0.7).unwrap());
        let moved = shrink(&y.map(|y| y + 10.0), &v, 0.7).unwrap();
        for ((a, b), c) in bare.effects.iter().zip(&with.effects).zip(&moved.effects) {
            assert_eq!((a.value, a.share), (b.value, b.share));
            assert!((b.variance - a.variance - 0.7).abs() < 1e-12);
            assert!((c.value - b.value - 10.0).abs() < 1e-9);
        }
        let scaled = shrink(&y.map(|y| 1e3 * y), &v.map(|v| 1e6 * v), 0.0).unwrap();
        for (a, b) in bare.effects.iter().zip(&scaled.effects) {
            assert!((b.value / a.value / 1e3 - 1.0).abs() < 1e-9);
            assert!((b.variance / a.variance / 1e6 - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn odd_input_is_refused() {
        let v = [1.0; 4];
        assert!(shrink(&[1.0, 2.0, 3.0], &v[..3], 0.0).is_err());
        assert!(shrink(&[1.0; 4], &v, -1.0).is_err());
        assert!(shrink(&[1.0; 4], &v, f64::NAN).is_err());
        assert!(shrink(&[1.0; 4], &[0.0; 4], 0.0).is_err());
    }
}
