//! Errors that are correlated from one observation to the next, with an autocorrelation that is not
//! known.
//!
//! The errors of a block have correlations `ρ^|i−j|` in the order of the block; blocks are independent.
//! With eight to twenty observations no estimate of ρ is good enough to be used as if it were the truth:
//! by REML its intervals cover 83 to 89 % at ρ = 0.6 where 95 % is nominal. The covariance matrix of the
//! least-squares coefficients is therefore averaged over ρ, uniform on (−1, 1) and weighted by its
//! restricted likelihood:
//!
//! ```text
//! Var(β̂) = Σ_k w_k·s²(ρ_k)·(X'X)⁻¹ X'V(ρ_k)X (X'X)⁻¹        w_k ∝ L_REML(ρ_k)
//! s²(ρ) = e'Pe/(n − p)      −2 ln L = (n − p) ln(e'Pe) + ln|V| + ln|X'V⁻¹X|
//! P = V⁻¹ − V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹
//! ```
//!
//! The coefficients themselves are those of least squares.
//!
//! # References
//! D. A. Harville (1977), *JASA* 72:320 (restricted likelihood); A. Zellner, G. C. Tiao (1964), *JASA*
//! 59:763 (averaging over ρ).

use super::linear::LinearFit;
use crate::fit::error::FitError;
use crate::fit::stats::sums::{compensated_sum, dot};

/// Values of ρ, the middles of equal parts of (−1, 1): with twice as many, variances change by less
/// than 1e-3 of themselves.
const NODES: usize = 64;

/// The covariance of coefficients under autocorrelated errors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SerialCovariance {
    /// Mean of ρ by its weights.
    pub(crate) rho: f64,
    /// Variance of one error.
    pub(crate) variance: f64,
    /// Covariance matrix of the coefficients, by rows.
    pub(crate) covariance: Vec<Vec<f64>>,
}

impl LinearFit {
    /// The covariance of the coefficients where errors are correlated within `blocks`, each a list of
    /// observations in their order. With weights wᵢ the correlations are those of `√wᵢ·eᵢ`.
    ///
    /// # Errors
    /// [`FitError`] without residual degrees of freedom, or where numbers leave their range.
    pub(crate) fn serial(&self, blocks: &[Vec<usize>]) -> Result<SerialCovariance, FitError> {
        let p = self.coefficients.len();
        let df = self.df() as f64;
        let e = self.whitened_residuals();
        let mut covariance = vec![vec![0.0; p]; p];
        // An exact fit has no errors whose correlation one could ask for.
        if self.rss <= 0.0 || df < 1.0 {
            return match df < 1.0 {
                true => Err(FitError::Singular {
                    what: "the variance of a line through as many points as it has terms".into(),
                }),
                false => Ok(SerialCovariance {
                    rho: 0.0,
                    variance: 0.0,
                    covariance,
                }),
            };
        }
        let nodes: Vec<(f64, f64, f64)> = (Self::nodes().into_iter())
            .map(|rho| {
                let (log_likelihood, s2) = self.restricted(&e, blocks, rho)?;
                Ok((rho, log_likelihood, s2))
            })
            .collect::<Result<_, FitError>>()?;
        let highest = nodes.iter().fold(f64::NEG_INFINITY, |m, n| m.max(n.1));
        let weights: Vec<f64> = nodes.iter().map(|n| libm::exp(n.1 - highest)).collect();
        let total = compensated_sum(weights.iter().copied());
        for (&(rho, _, s2), weight) in nodes.iter().zip(&weights) {
            let spread: Vec<Vec<f64>> = self.q.iter().map(|q| correlated(q, blocks, rho)).collect();
            let share = weight / total * s2;
            for (i, row) in covariance.iter_mut().enumerate() {
                for (j, value) in row.iter_mut().enumerate() {
                    // R⁻¹ Q'VQ R⁻ᵀ: Q and R are those of the least-squares fit.
                    let mut sum = 0.0;
                    for (a, q) in self.q.iter().enumerate() {
                        for (b, v) in spread.iter().enumerate() {
                            sum += self.r_inverse[i][a] * dot(q, v) * self.r_inverse[j][b];
                        }
                    }
                    *value += share * sum;
                }
            }
        }
        let mean = |of: &dyn Fn(&(f64, f64, f64)) -> f64| {
            compensated_sum(nodes.iter().zip(&weights).map(|(n, w)| of(n) * w / total))
        };
        Ok(SerialCovariance {
            rho: mean(&|n| n.0),
            variance: mean(&|n| n.2),
            covariance,
        })
    }

    /// The values of ρ that are averaged over.
    pub(in crate::fit::stats) fn nodes() -> Vec<f64> {
        let step = 2.0 / NODES as f64;
        (0..NODES).map(|k| (k as f64 + 0.5) * step - 1.0).collect()
    }

    /// Restricted log-likelihood of ρ up to a constant, and `s²`.
    pub(in crate::fit::stats) fn restricted(
        &self,
        e: &[f64],
        blocks: &[Vec<usize>],
        rho: f64,
    ) -> Result<(f64, f64), FitError> {
        // In the basis Q the determinant of X'V⁻¹X changes by a factor without ρ, and residuals by
        // nothing.
        let columns: Vec<Vec<f64>> = self.q.iter().map(|q| whitened(q, blocks, rho)).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let fit = Self::new(&columns, &whitened(e, blocks, rho))?;
        let log_det_x: f64 = (0..columns.len())
            .map(|k| -2.0 * libm::log(fit.r_inverse[k][k].abs()))
            .sum();
        let steps: usize = blocks.iter().map(|b| b.len().saturating_sub(1)).sum();
        let log_det_v = steps as f64 * libm::log1p(-rho * rho);
        let df = self.df() as f64;
        let log_likelihood = -0.5 * (df * libm::log(fit.rss) + log_det_v + log_det_x);
        Ok((log_likelihood, fit.rss / df))
    }
}

/// `L⁻¹v` with `V = LL'`: the innovations of an autoregression over their standard deviation.
fn whitened(v: &[f64], blocks: &[Vec<usize>], rho: f64) -> Vec<f64> {
    let scale = 1.0 / (1.0 - rho * rho).sqrt();
    let mut out = v.to_vec();
    for block in blocks {
        for pair in block.windows(2) {
            out[pair[1]] = (v[pair[1]] - rho * v[pair[0]]) * scale;
        }
    }
    out
}

/// `Vv`.
fn correlated(v: &[f64], blocks: &[Vec<usize>], rho: f64) -> Vec<f64> {
    let mut out = v.to_vec();
    for block in blocks {
        // Σ ρ^(i−j) v_j over all j before i, and over all after it, by recursion.
        let mut before = 0.0;
        for pair in block.windows(2) {
            before = rho * (before + v[pair[0]]);
            out[pair[1]] += before;
        }
        let mut after = 0.0;
        for pair in block.windows(2).rev() {
            after = rho * (after + v[pair[1]]);
            out[pair[0]] += after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::stats::quantile::t_critical;
    use crate::fit::stats::random::Stream;

    #[test]
    fn recursions_are_their_matrices() {
        let v = [0.3, -1.0, 2.0, 0.7, 0.1];
        let blocks = [vec![0, 2, 4], vec![3, 1]];
        let rho = 0.6_f64;
        let place = |i: usize| {
            blocks
                .iter()
                .enumerate()
                .find_map(|(b, m)| m.iter().position(|k| *k == i).map(|at| (b, at as i32)))
        };
        let correlation = |i: usize, j: usize| match (place(i).unwrap(), place(j).unwrap()) {
            ((a, i), (b, j)) if a == b => rho.powi((i - j).abs()),
            _ => 0.0,
        };
        let product = correlated(&v, &blocks, rho);
        for (i, found) in product.iter().enumerate() {
            let wanted: f64 = (0..5).map(|j| correlation(i, j) * v[j]).sum();
            assert!((found - wanted).abs() < 1e-14);
        }
        // v'V⁻¹(Vv) = v'v.
        let (a, b) = (whitened(&v, &blocks, rho), whitened(&product, &blocks, rho));
        assert!((dot(&a, &b) - dot(&v, &v)).abs() < 1e-12);
    }

    #[test]
    fn blocks_of_one_have_the_classical_variance() {
        let x = [-2.0, -1.0, 0.0, 1.0, 2.5];
        let y = [0.1, 0.4, 0.2, 0.8, 0.9];
        let fit = LinearFit::new(&[&[1.0; 5], &x], &y).unwrap();
        let alone: Vec<Vec<usize>> = (0..5).map(|i| vec![i]).collect();
        let serial = fit.serial(&alone).unwrap();
        let classical = fit.covariance(super::super::Errors::Classical).unwrap();
        for (a, b) in serial
            .covariance
            .iter()
            .flatten()
            .zip(classical.iter().flatten())
        {
            assert!((a - b).abs() < 1e-14, "{a} {b}");
        }
        assert!(serial.rho.abs() < 1e-12);
    }

    #[test]
    fn a_trend_of_errors_widens_and_scale_does_not_matter() {
        let x: Vec<f64> = (0..12).map(f64::from).collect();
        let drift =
            |k: f64| -> Vec<f64> { x.iter().map(|x| k * (0.1 * x + (0.9 * x).sin())).collect() };
        let variance = |y: &[f64]| {
            let fit = LinearFit::new(&[&[1.0; 12], &x], y).unwrap();
            let whole = vec![(0..12).collect()];
            let serial = fit.serial(&whole).unwrap();
            let classical = fit.covariance(super::super::Errors::Classical).unwrap();
            (serial.rho, serial.covariance[1][1], classical[1][1])
        };
        let (rho, serial, classical) = variance(&drift(1.0));
        assert!(
            rho > 0.3 && serial > 2.0 * classical,
            "{rho} {serial} {classical}"
        );
        let (same, scaled, _) = variance(&drift(1e-6));
        assert!((same - rho).abs() < 1e-9 && (scaled / serial / 1e-12 - 1.0).abs() < 1e-6);
    }

    /// Coverage and mean half-width of the slope by least squares and by this variance, over lines
    /// without a slope; and the share of false claims of the first that the second does not make.
    #[test]
    #[ignore = "a minute of simulation: cargo test --release --lib serial -- --ignored --nocapture"]
    fn intervals_of_correlated_lines_cover() {
        const REPLICATES: u64 = 4000;
        println!(
            "| readings | ρ | ols coverage % | half-width | ar1 coverage % | half-width | \
             claims left % |\n|---|---:|---:|---:|---:|---:|---:|"
        );
        for n in [8, 10, 14, 20] {
            let x: Vec<f64> = (0..n)
                .map(|i| 2.0 * i as f64 / (n - 1) as f64 - 1.0)
                .collect();
            let whole = [(0..n).collect::<Vec<usize>>()];
            let t = t_critical(0.95, (n - 2) as f64);
            for rho in [0.0, 0.3, 0.6, 0.8_f64] {
                let (mut inside, mut half, mut left) = ([0.0; 2], [0.0; 2], 0.0);
                for replicate in 0..REPLICATES {
                    let mut stream = Stream::new(1, "serial", replicate);
                    let mut y = vec![stream.normal()];
                    for i in 1..n {
                        y.push(rho * y[i - 1] + (1.0 - rho * rho).sqrt() * stream.normal());
                    }
                    let fit = LinearFit::new(&[&vec![1.0; n], &x], &y).unwrap();
                    let classical = fit.covariance(super::super::Errors::Classical).unwrap();
                    let serial = fit.serial(&whole).unwrap().covariance;
                    let slope = fit.coefficients()[1].abs();
                    let widths = [classical, serial].map(|c| t * c[1][1].sqrt());
                    for k in 0..2 {
                        inside[k] += f64::from(u8::from(slope <= widths[k]));
                        half[k] += widths[k];
                    }
                    left += f64::from(u8::from(widths.iter().all(|w| slope > *w)));
                }
                let r = REPLICATES as f64;
                let [plain, serial] = inside.map(|i| 100.0 * i / r);
                println!(
                    "| {n} | {rho} | {plain:.1} | {:.2} | {serial:.1} | {:.2} | {:.1} |",
                    half[0] / r,
                    half[1] / r,
                    100.0 * left / r
                );
                // With eight readings a correlation of 0.8 is a trend to every method.
                assert!(serial >= if rho < 0.7 { 91.0 } else { 84.0 }, "{n} {rho}");
            }
        }
    }
}
