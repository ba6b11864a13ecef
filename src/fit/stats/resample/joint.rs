//! Critical values for the largest of several linear combinations of jointly t-distributed estimates.
//!
//! # References
//! F. Bretz, T. Hothorn, P. Westfall (2010), *Multiple Comparisons Using R*, §2.1.

use super::BOOTSTRAP_DRAWS;
use super::max_t::symmetric_root;
use super::simulated::sample_quantile;
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_domain, check_length, check_probability};
use crate::fit::stats::random::Stream;

/// A linear combination of estimates: positions and coefficients.
pub(crate) type Combination = Vec<(usize, f64)>;

/// Draws of the common error of several estimates, in units of their scale.
#[derive(Debug)]
pub(crate) struct JointErrors {
    /// One row per draw, one column per estimate.
    draws: Vec<Vec<f64>>,
    /// Standard error of a combination is the norm of the same combination of these rows.
    root: Vec<Vec<f64>>,
}

impl JointErrors {
    /// 9,999 seeded draws with the given covariance and one χ² of `df` degrees of freedom per draw.
    ///
    /// # Errors
    /// When the matrix is empty or not square, a number is not finite, or `df` is not positive.
    pub(crate) fn new(covariance: &[Vec<f64>], df: f64, seed: u64) -> Result<Self, FitError> {
        check_domain("degrees of freedom", df, df > 0.0)?;
        let n = covariance.len();
        for row in covariance {
            check_length("a row of the covariance matrix", row.len(), n)?;
        }
        let scale: Vec<f64> = (0..n).map(|i| covariance[i][i].sqrt()).collect();
        let correlation: Vec<Vec<f64>> = covariance
            .iter()
            .enumerate()
            .map(|(i, row)| {
                let of = |(j, v): (usize, &f64)| match v / (scale[i] * scale[j]) {
                    _ if i == j => 1.0,
                    // Estimates without error are correlated with nothing.
                    r if r.is_nan() => 0.0,
                    r => r.clamp(-1.0, 1.0),
                };
                row.iter().enumerate().map(of).collect()
            })
            .collect();
        let mut root = symmetric_root(&correlation)?;
        for (row, s) in root.iter_mut().zip(&scale) {
            check_domain("a standard error", *s, s.is_finite())?;
            row.iter_mut().for_each(|v| *v *= s);
        }
        let draw = |replicate| {
            let mut stream = Stream::new(seed, "largest combination", replicate);
            // Beyond, χ²/df is one to three digits and its inversion the slowest part.
            let chi = if df < 1e5 {
                (stream.chi2(df) / df).sqrt()
            } else {
                1.0
            };
            let normals: Vec<f64> = (0..root.len()).map(|_| stream.normal()).collect();
            let of = |row: &Vec<f64>| {
                let z: f64 = row.iter().zip(&normals).map(|(a, z)| a * z).sum();
                z / chi
            };
            root.iter().map(of).collect()
        };
        Ok(Self {
            draws: (0..BOOTSTRAP_DRAWS as u64).map(draw).collect(),
            root,
        })
    }

    /// Standard error of a combination.
    pub(crate) fn standard_error(&self, combination: &[(usize, f64)]) -> f64 {
        let n = self.root.len();
        (0..n)
            .map(|k| combination.iter().map(|(i, c)| c * self.root[*i][k]).sum())
            .map(|v: f64| v * v)
            .sum::<f64>()
            .sqrt()
    }

    /// The c with P(max_k T_k ≤ c) = `level`, or with |T_k| if `two_sided`, T_k the combinations over
    /// their standard errors. Combinations without error are left out; 0 if there are no others.
    ///
    /// # Errors
    /// When `level` is outside (0, 1).
    pub(crate) fn critical(
        &self,
        combinations: &[Combination],
        level: f64,
        two_sided: bool,
    ) -> Result<f64, FitError> {
        check_probability("confidence level", level)?;
        let with: Vec<(&Combination, f64)> = combinations
            .iter()
            .map(|c| (c, self.standard_error(c)))
            .filter(|c| c.1 > 0.0)
            .collect();
        if with.is_empty() {
            return Ok(0.0);
        }
        let mut largest: Vec<f64> = self
            .draws
            .iter()
            .map(|draw| {
                with.iter().fold(f64::NEG_INFINITY, |top, (c, error)| {
                    let t = c.iter().map(|(i, c)| c * draw[*i]).sum::<f64>() / error;
                    top.max(if two_sided { t.abs() } else { t })
                })
            })
            .collect();
        largest.sort_by(f64::total_cmp);
        Ok(sample_quantile(&largest, level).value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::stats::quantile::t_critical;

    #[test]
    fn one_estimate_has_the_t_quantile_and_copies_count_once() {
        let covariance = vec![vec![4.0, 4.0], vec![4.0, 4.0]];
        let joint = JointErrors::new(&covariance, 6.0, 1).unwrap();
        assert!((joint.standard_error(&[(1, 3.0)]) - 6.0).abs() < 1e-12);
        assert!(joint.standard_error(&[(0, 1.0), (1, -1.0)]) < 1e-7);
        let single: Combination = vec![(0, 1.0)];
        let one = joint
            .critical(std::slice::from_ref(&single), 0.95, true)
            .unwrap();
        assert!((one / t_critical(0.95, 6.0) - 1.0).abs() < 0.03, "{one}");
        let both = joint
            .critical(&[single, vec![(1, -2.0)]], 0.95, true)
            .unwrap();
        assert!((both - one).abs() < 1e-9);
    }

    #[test]
    fn the_largest_of_independent_normals_is_known() {
        let n = 5;
        let covariance: Vec<Vec<f64>> = (0..n)
            .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
            .collect();
        let joint = JointErrors::new(&covariance, 1e6, 2).unwrap();
        let all: Vec<Combination> = (0..n).map(|i| vec![(i, 1.0)]).collect();
        // Φ⁻¹(.5^(1/5)) and Φ⁻¹((1 + .95^(1/5))/2).
        let median = joint.critical(&all, 0.5, false).unwrap();
        assert!((median - 1.129).abs() < 0.03, "{median}");
        let two_sided = joint.critical(&all, 0.95, true).unwrap();
        assert!((two_sided - 2.569).abs() < 0.05, "{two_sided}");
        assert_eq!(joint.critical(&[], 0.95, true).unwrap(), 0.0);
    }

    #[test]
    fn odd_input_is_refused() {
        assert!(JointErrors::new(&[], 5.0, 0).is_err());
        assert!(JointErrors::new(&[vec![1.0, 0.0]], 5.0, 0).is_err());
        assert!(JointErrors::new(&[vec![f64::NAN]], 5.0, 0).is_err());
        assert!(JointErrors::new(&[vec![1.0]], 0.0, 0).is_err());
        let joint = JointErrors::new(&[vec![1.0]], 5.0, 0).unwrap();
        assert!(joint.critical(&[vec![(0, 1.0)]], 1.0, true).is_err());
    }
}
