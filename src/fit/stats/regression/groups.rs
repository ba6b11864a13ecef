//! Effects that the observations of a group share, as variance components of a fit's residuals.
//!
//! # References
//! - S. R. Searle, G. Casella, C. E. McCulloch (1992), *Variance Components*, §3.5 (analysis of
//!   variance).

use super::line::Line;
use super::linear::{LinearFit, subtract};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_length};
use crate::fit::stats::labels;
use crate::fit::stats::sums::dot;

/// Variances of an effect that the observations of a group share, and of what each has of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GroupEffects {
    /// Variance of the shared effect, at least 0.
    pub(crate) shared: f64,
    /// Variance of an observation about its group.
    pub(crate) own: f64,
}

impl GroupEffects {
    /// Variance of one observation of a new group.
    pub(crate) fn total(self) -> f64 {
        self.shared + self.own
    }
}

impl LinearFit {
    /// Components of the residual variance by groups that differ along the second of the `columns`
    /// that this fit has; the third and further ones vary within groups, which determine their p − 2
    /// coefficients. s_w² = RSS_w/(n − S − p + 2) of the regression within groups,
    /// s_b² = RSS_b/(S − 2) of the line through the means of the S groups without its part,
    /// shared = max(s_b² − s_w²·mean(1/m), 0) for groups of m observations, own = s_w².
    ///
    /// **Assumptions**: equal weights.
    ///
    /// # Errors
    /// When lengths differ, there are fewer than three groups, or no degree of freedom is left within
    /// them.
    pub(crate) fn group_effects(
        &self,
        columns: &[Vec<f64>],
        groups: &[usize],
    ) -> Result<GroupEffects, FitError> {
        let n = self.residuals.len();
        check_length("groups", groups.len(), n)?;
        check_count("columns", columns.len(), 2)?;
        let groups = Groups::new(groups);
        let inner: Vec<Vec<f64>> = columns[2..].iter().map(|c| groups.deviations(c)).collect();
        // Residuals instead of y: what the columns explain changes neither regression.
        let deviations = groups.deviations(&self.residuals);
        check_count(
            "observations within groups",
            n,
            groups.number() + inner.len() + 1,
        )?;
        let (within, rest) = if inner.is_empty() {
            (dot(&deviations, &deviations), self.residuals.clone())
        } else {
            let inner: Vec<&[f64]> = inner.iter().map(Vec::as_slice).collect();
            let fit = LinearFit::new(&inner, &deviations)?;
            let mut rest = self.residuals.clone();
            for (column, k) in columns[2..].iter().zip(fit.coefficients()) {
                subtract(&mut rest, *k, column);
            }
            (fit.rss(), rest)
        };
        let own = within / (n - groups.number() - inner.len()) as f64;
        let between = Line::new(&groups.means(&columns[1]), &groups.means(&rest))?;
        Ok(GroupEffects {
            shared: (between.fit().variance() - own * groups.mean_share()).max(0.0),
            own,
        })
    }

    /// The covariance matrix of β̂ under `effects` of `groups`, by rows:
    /// (X'X)⁻¹(own·X'X + shared·Σ_g X_g'11'X_g)(X'X)⁻¹.
    ///
    /// # Errors
    /// When `groups` are not one per observation.
    pub(crate) fn grouped_covariance(
        &self,
        effects: GroupEffects,
        groups: &[usize],
    ) -> Result<Vec<Vec<f64>>, FitError> {
        check_length("groups", groups.len(), self.residuals.len())?;
        let rows = &self.r_inverse;
        let mut covariance: Vec<Vec<f64>> = rows
            .iter()
            .map(|a| rows.iter().map(|b| effects.own * dot(a, b)).collect())
            .collect();
        for g in 0..labels::count(groups) {
            let of_group = |q: &Vec<f64>| -> f64 {
                let pairs = q.iter().zip(groups);
                pairs.filter(|(_, o)| **o == g).map(|(v, _)| v).sum()
            };
            let sums: Vec<f64> = self.q.iter().map(of_group).collect();
            let step: Vec<f64> = rows.iter().map(|row| dot(row, &sums)).collect();
            for (row, a) in covariance.iter_mut().zip(&step) {
                for (cell, b) in row.iter_mut().zip(&step) {
                    *cell += effects.shared * a * b;
                }
            }
        }
        Ok(covariance)
    }
}

/// Observations by group.
struct Groups<'a> {
    of: &'a [usize],
    count: Vec<f64>,
}

impl<'a> Groups<'a> {
    /// `of` numbers the groups from 0.
    fn new(of: &'a [usize]) -> Self {
        let mut count = vec![0.0; labels::count(of)];
        of.iter().for_each(|&g| count[g] += 1.0);
        Self { of, count }
    }

    fn number(&self) -> usize {
        self.count.len()
    }

    fn means(&self, v: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.number()];
        for (v, &g) in v.iter().zip(self.of) {
            sums[g] += v;
        }
        sums.iter().zip(&self.count).map(|(s, m)| s / m).collect()
    }

    fn deviations(&self, v: &[f64]) -> Vec<f64> {
        let means = self.means(v);
        v.iter().zip(self.of).map(|(v, &g)| v - means[g]).collect()
    }

    /// Mean of 1/m.
    fn mean_share(&self) -> f64 {
        self.count.iter().map(|m| 1.0 / m).sum::<f64>() / self.number() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::stats::random::Stream;

    /// Sizes × lengths with a size effect: columns (1, x, d) with x = 2·ln N + d, and y.
    fn grid(seed: u64, lengths: &[usize], size_sd: f64) -> (Vec<Vec<f64>>, Vec<f64>, Vec<usize>) {
        let mut stream = Stream::new(seed, "groups", 0);
        let (mut columns, mut y, mut groups) = (vec![vec![]; 3], vec![], vec![]);
        for (s, &m) in lengths.iter().enumerate() {
            let effect = size_sd * stream.normal();
            for k in 0..m {
                let (n, d) = (0.7 * s as f64, 0.6 * k as f64);
                let row = [1.0, 2.0 * n + d, d];
                (columns.iter_mut().zip(row)).for_each(|(c, v)| c.push(v));
                y.push(0.1 + 0.01 * row[1] - 0.02 * d + effect + 1e-3 * stream.normal());
                groups.push(s);
            }
        }
        (columns, y, groups)
    }

    fn fitted(columns: &[Vec<f64>], y: &[f64]) -> LinearFit {
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        LinearFit::new(&columns, y).unwrap()
    }

    #[test]
    fn on_a_balanced_grid_the_slope_is_that_of_the_line_through_the_sizes() {
        for seed in 0..20 {
            let (columns, y, groups) = grid(seed, &[4; 6], 0.01);
            let fit = fitted(&columns, &y);
            let effects = fit.group_effects(&columns, &groups).unwrap();
            let covariance = fit.grouped_covariance(effects, &groups).unwrap();
            // Size means with the slope along d taken out.
            let rho = fit.coefficients()[2];
            let mean = |v: &[f64], s: usize| v[4 * s..4 * s + 4].iter().sum::<f64>() / 4.0;
            let rest: Vec<f64> = y
                .iter()
                .zip(&columns[2])
                .map(|(y, d)| y - rho * d)
                .collect();
            let x: Vec<f64> = (0..6).map(|s| mean(&columns[1], s)).collect();
            let f: Vec<f64> = (0..6).map(|s| mean(&rest, s)).collect();
            let slope = Line::new(&x, &f).unwrap().slope();
            assert!((slope.value / fit.coefficients()[1] - 1.0).abs() < 1e-9);
            let error = covariance[1][1].sqrt();
            assert!((error / slope.standard_error - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_covariance_is_that_of_dense_matrices() {
        use nalgebra::DMatrix;
        let (columns, y, groups) = grid(7, &[3, 5, 2, 4, 6], 0.01);
        let fit = fitted(&columns, &y);
        let effects = fit.group_effects(&columns, &groups).unwrap();
        let n = y.len();
        let x = DMatrix::from_fn(n, 3, |i, k| columns[k][i]);
        let v = DMatrix::from_fn(n, n, |i, j| {
            let shared = if groups[i] == groups[j] {
                effects.shared
            } else {
                0.0
            };
            shared + if i == j { effects.own } else { 0.0 }
        });
        let bread = (x.transpose() * &x).try_inverse().unwrap();
        let wanted = &bread * x.transpose() * v * &x * &bread;
        let found = fit.grouped_covariance(effects, &groups).unwrap();
        for a in 0..3 {
            for b in 0..3 {
                let scale = (wanted[(a, a)] * wanted[(b, b)]).sqrt();
                assert!((found[a][b] - wanted[(a, b)]).abs() < 1e-10 * scale);
            }
        }
    }

    #[test]
    fn components_are_found_on_average_and_never_negative() {
        for size_sd in [0.0, 0.003] {
            let (mut shared, mut own) = (0.0, 0.0);
            for seed in 0..400 {
                let (columns, y, groups) = grid(seed, &[5, 6, 4, 5, 6, 5], size_sd);
                let fit = fitted(&columns, &y);
                let effects = fit.group_effects(&columns, &groups).unwrap();
                assert!(effects.shared >= 0.0 && effects.own > 0.0);
                shared += effects.shared / 400.0;
                own += effects.own / 400.0;
            }
            assert!((own / 1e-6 - 1.0).abs() < 0.05, "{own}");
            // Clipped at zero, the mean without an effect is a little above it.
            let error = shared - size_sd * size_sd;
            assert!((-1e-6..1.5e-6).contains(&error), "{shared}");
        }
    }

    #[test]
    fn two_groups_have_no_effects() {
        let (columns, y, groups) = grid(1, &[5, 5], 0.0);
        let fit = fitted(&columns, &y);
        assert!(fit.group_effects(&columns, &groups).is_err());
        let (columns, y, groups) = grid(1, &[1; 8], 0.0);
        let columns = &columns[..2];
        assert!(fitted(columns, &y).group_effects(columns, &groups).is_err());
    }
}
