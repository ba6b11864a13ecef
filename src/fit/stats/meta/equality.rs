//! Tests that several effects are equal.
//!
//! # References
//! - T. W. Anderson (2003), *An Introduction to Multivariate Statistical Analysis*, §5.2
//!   (Hotelling's T²).
//! - B. L. Welch (1951), *Biometrika* 38:330; G. S. James (1951), *Biometrika* 38:324.

use nalgebra::{DMatrix, DVector};

use crate::fit::error::FitError;
use crate::fit::stats::checks::{
    check_count, check_domain, check_finite, check_length, check_positive,
};
use crate::fit::stats::quantile::f_sf;
use crate::fit::stats::sums::{compensated_sum, dot};

/// A test that several effects are equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EqualityTest {
    /// Q = (y − μ̂)'V⁻¹(y − μ̂) with the generalised-least-squares mean μ̂.
    pub(crate) q: f64,
    /// P(F > f) of the F statistic that Q was turned into.
    pub(crate) p_value: f64,
}

/// Tests the equality of `effects` whose covariance matrix was estimated with `df` degrees of
/// freedom: Hotelling's T² of their contrasts.
///
/// With k effects, Q is referred to (k − 1)·df/(df − k + 2) · F_{k−1, df−k+2}. χ² would reject
/// far too often with the five degrees of freedom of a seven-budget ladder.
///
/// # Errors
/// When the matrix is not square, not positive definite, or `df` < k − 1 (then the estimated
/// matrix is singular: use [`welch_james`]).
pub(crate) fn equality_test(
    effects: &[f64],
    covariance: &[Vec<f64>],
    df: f64,
) -> Result<EqualityTest, FitError> {
    let k = effects.len();
    check_count("effects", k, 2)?;
    check_finite("effects", effects)?;
    check_length("rows of the covariance matrix", covariance.len(), k)?;
    for row in covariance {
        check_length("a row of the covariance matrix", row.len(), k)?;
        check_finite("covariance", row)?;
    }
    let df1 = k as f64 - 1.0;
    let df2 = df - df1 + 1.0;
    check_domain(
        "degrees of freedom left for the test of equality",
        df2,
        df2 > 0.0 && df2.is_finite(),
    )?;
    let singular = || FitError::Singular {
        what: "the covariance matrix of the effects".to_owned(),
    };
    // Variances of exponents are about 1e-7; in units of the largest, the pivots can be judged.
    let scale = (0..k).fold(0.0_f64, |m, i| m.max(covariance[i][i]));
    if scale <= 0.0 {
        return Err(singular());
    }
    // One triangle is read twice: rounding may leave the other a bit different.
    let matrix = DMatrix::from_fn(k, k, |i, j| covariance[i.max(j)][i.min(j)] / scale);
    let cholesky = matrix.cholesky().ok_or_else(singular)?;
    let lower = cholesky.l();
    // A pivot that has lost twelve digits is rounding: the effects are linearly dependent.
    if (0..k).any(|i| lower[(i, i)].powi(2) < 1e-12 * covariance[i][i] / scale) {
        return Err(singular());
    }
    let ones = cholesky.solve(&DVector::from_element(k, 1.0));
    let mean = dot(ones.as_slice(), effects) / compensated_sum(ones.iter().copied());
    let deviation = DVector::from_iterator(k, effects.iter().map(|y| y - mean));
    let solved = cholesky.solve(&deviation);
    // Equal effects give a Q of rounding, which may be negative.
    let q = (dot(solved.as_slice(), deviation.as_slice()) / scale).max(0.0);
    let f = q * df2 / (df1 * df);
    Ok(EqualityTest {
        q,
        p_value: f_sf(f, df1, df2),
    })
}

/// Tests the equality of independent `effects` with estimated `variances`, each with its own
/// degrees of freedom (Welch–James).
///
/// With k effects yᵢ, wᵢ = 1/vᵢ and Λ = Σ (1 − wᵢ/Σw)²/dfᵢ, Q = Σ wᵢ(yᵢ − μ̂)² gives
/// F = Q/(k − 1)/(1 + 2(k − 2)Λ/(k² − 1)) with k − 1 and (k² − 1)/(3Λ) degrees of freedom.
///
/// # Errors
/// When lengths differ, there are fewer than two effects, a number is not finite, or a variance
/// or its degrees of freedom are not positive.
pub(crate) fn welch_james(
    effects: &[f64],
    variances: &[f64],
    df: &[f64],
) -> Result<EqualityTest, FitError> {
    let k = effects.len();
    check_count("effects", k, 2)?;
    check_finite("effects", effects)?;
    check_length("variances", variances.len(), k)?;
    check_length("degrees of freedom", df.len(), k)?;
    check_positive("variances", variances)?;
    for &value in df {
        check_domain("degrees of freedom", value, value > 0.0)?;
    }
    let total = compensated_sum(variances.iter().map(|v| 1.0 / v));
    let mean = compensated_sum(effects.iter().zip(variances).map(|(y, v)| y / v)) / total;
    let q = compensated_sum(
        effects
            .iter()
            .zip(variances)
            .map(|(y, v)| (y - mean).powi(2) / v),
    );
    // Λ is the price of estimated weights: with five degrees of freedom each, χ² rejects too often.
    let lambda = compensated_sum(
        variances
            .iter()
            .zip(df)
            .map(|(v, d)| (1.0 - 1.0 / v / total).powi(2) / d),
    );
    let k = k as f64;
    let f = q / (k - 1.0) / (1.0 + 2.0 * (k - 2.0) / (k * k - 1.0) * lambda);
    let df2 = (k * k - 1.0) / (3.0 * lambda);
    Ok(EqualityTest {
        q,
        p_value: f_sf(f, k - 1.0, df2),
    })
}
