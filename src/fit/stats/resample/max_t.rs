//! The critical value of the largest of several correlated t statistics.
//!
//! # References
//! F. Bretz, T. Hothorn, P. Westfall (2010), *Multiple Comparisons Using R*, §2.1.

use nalgebra::{DMatrix, Dyn, SymmetricEigen};

use super::BOOTSTRAP_DRAWS;
use super::simulated::{SimulatedQuantile, sample_quantile};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_domain, check_length, check_probability};
use crate::fit::stats::random::Stream;

/// The critical value c with P(max_k |T_k| ≤ c) = `level` for jointly t-distributed T_k that
/// share one variance estimate with `df` degrees of freedom.
///
/// `correlation` is symmetric with a unit diagonal, by rows; directions of negative eigenvalue,
/// which rounding makes, are dropped. 9,999 seeded draws.
///
/// # Errors
/// When the matrix is empty, not square, or holds a number outside \[−1, 1\]; when `df` is not
/// positive or `level` is outside (0, 1).
pub(crate) fn max_t_critical(
    correlation: &[Vec<f64>],
    df: f64,
    level: f64,
    seed: u64,
) -> Result<SimulatedQuantile, FitError> {
    check_probability("confidence level", level)?;
    check_domain("degrees of freedom", df, df > 0.0)?;
    let root = root(correlation)?;
    let mut normals = vec![0.0; root.len()];
    let mut largest: Vec<f64> = (0..BOOTSTRAP_DRAWS as u64)
        .map(|replicate| {
            // One χ² per draw, not one per statistic: the laws share the degrees of freedom of one
            // ladder.
            let mut stream = Stream::new(seed, "max t", replicate);
            let scale = if df.is_finite() {
                (stream.chi2(df) / df).sqrt()
            } else {
                1.0
            };
            normals.iter_mut().for_each(|z| *z = stream.normal());
            let top = root.iter().fold(0.0_f64, |top, row| {
                let z: f64 = row.iter().zip(&normals).map(|(a, z)| a * z).sum();
                top.max(z.abs())
            });
            top / scale
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    Ok(sample_quantile(&largest, level))
}

/// A with AA' = `correlation`, by rows.
fn root(correlation: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, FitError> {
    let eigen = decomposed(correlation)?;
    let n = correlation.len();
    let entry =
        |i: usize, k: usize| eigen.eigenvectors[(i, k)] * eigen.eigenvalues[k].max(0.0).sqrt();
    Ok((0..n)
        .map(|i| (0..n).map(|k| entry(i, k)).collect())
        .collect())
}

/// The symmetric A with AA = `correlation`, by rows. Unlike [`root`] it moves little where the matrix
/// does: eigenvectors of near eigenvalues, of which rounding picks the signs and turns, cancel.
pub(super) fn symmetric_root(correlation: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, FitError> {
    let eigen = decomposed(correlation)?;
    let n = correlation.len();
    let entry = |i: usize, j: usize| {
        let of = |k: usize| {
            let scale = eigen.eigenvalues[k].max(0.0).sqrt();
            eigen.eigenvectors[(i, k)] * scale * eigen.eigenvectors[(j, k)]
        };
        (0..n).map(of).sum()
    };
    Ok((0..n)
        .map(|i| (0..n).map(|j| entry(i, j)).collect())
        .collect())
}

fn decomposed(correlation: &[Vec<f64>]) -> Result<SymmetricEigen<f64, Dyn>, FitError> {
    let n = correlation.len();
    check_count("statistics", n, 1)?;
    for row in correlation {
        check_length("a row of the correlation matrix", row.len(), n)?;
        for &value in row {
            // A quotient of covariances may round past one.
            let inside = (-1.0 - 1e-9..=1.0 + 1e-9).contains(&value);
            check_domain("a correlation", value, inside)?;
        }
    }
    let matrix = DMatrix::from_fn(n, n, |i, j| correlation[i.max(j)][i.min(j)]);
    // Eigenvalues instead of Cholesky: with more laws than readings the matrix is singular.
    SymmetricEigen::try_new(matrix, f64::EPSILON, 100_000).ok_or(FitError::NoConvergence {
        what: "the eigenvalues of the correlation matrix".to_owned(),
    })
}
