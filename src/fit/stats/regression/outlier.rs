//! Outliers among the observations of several fits that share one noise.
//!
//! # References
//! R. D. Cook, S. Weisberg (1982), *Residuals and Influence in Regression*, §2.2.2 (externally
//! studentised residuals with Bonferroni's bound).

use super::linear::LinearFit;
use crate::fit::stats::quantile::t_two_sided;

/// Columns and values of one fit, with a label per observation.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) labels: Vec<usize>,
    pub(crate) columns: Vec<Vec<f64>>,
    pub(crate) y: Vec<f64>,
}

/// An observation that its fit, made without it, does not expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outlier {
    pub(crate) label: usize,
    /// `e / (s₍ᵢ₎ √(1 − h))`, with the variance `s₍ᵢ₎²` of all fits without this observation.
    pub(crate) studentised: f64,
    /// Two-sided p-value, times the number of observations tested, at most 1.
    pub(crate) p_value: f64,
}

/// Leverage from which a residual says nothing of its observation: the fit follows it.
const HIGHEST_LEVERAGE: f64 = 1.0 - 1e-8;
/// Fewest degrees of freedom of the variance without an observation: with fewer, t has tails so heavy
/// that no outlier can be told from them.
const FEWEST_DF: usize = 3;

impl Block {
    fn fit(&self) -> Option<LinearFit> {
        let columns: Vec<&[f64]> = self.columns.iter().map(Vec::as_slice).collect();
        LinearFit::new(&columns, &self.y).ok()
    }

    fn remove(&mut self, label: usize) {
        if let Some(at) = self.labels.iter().position(|l| *l == label) {
            self.labels.remove(at);
            self.y.remove(at);
            self.columns.iter_mut().for_each(|c| {
                c.remove(at);
            });
        }
    }
}

/// The outliers of `blocks` with p-values of at most `level`, the largest first.
///
/// One is taken out at a time and the rest fitted again, because two outliers hide each other; at most
/// a tenth of the observations (one, if there are fewer than ten).
pub(crate) fn outliers(mut blocks: Vec<Block>, level: f64) -> Vec<Outlier> {
    let n: usize = blocks.iter().map(|b| b.y.len()).sum();
    let mut found = Vec::new();
    while found.len() < (n / 10).max(1) {
        let Some(worst) = largest(&blocks).filter(|o| o.p_value <= level) else {
            break;
        };
        blocks.iter_mut().for_each(|b| b.remove(worst.label));
        found.push(worst);
    }
    found
}

/// The observation with the largest studentised residual.
fn largest(blocks: &[Block]) -> Option<Outlier> {
    // A block that has lost its terms to deletion leaves the test, not the others.
    let fits: Vec<(&Block, LinearFit)> = (blocks.iter())
        .filter_map(|b| Some((b, b.fit()?)))
        .filter(|(_, f)| f.df() > 0)
        .collect();
    let df: usize = fits.iter().map(|(_, f)| f.df()).sum();
    if df < FEWEST_DF + 1 {
        return None;
    }
    let rss: f64 = fits.iter().map(|(_, f)| f.rss()).sum();
    let size: f64 = (fits.iter())
        .flat_map(|(b, _)| b.y.iter().map(|y| y * y))
        .sum();
    let mut tested = 0;
    let mut worst: Option<(usize, f64)> = None;
    for (block, fit) in &fits {
        for (i, (&e, &h)) in fit.residuals().iter().zip(fit.leverages()).enumerate() {
            // Residuals of values without noise are rounding.
            if h > HIGHEST_LEVERAGE || e * e <= 1e-24 * size {
                continue;
            }
            tested += 1;
            let left = (rss - e * e / (1.0 - h)).max(0.0) / (df - 1) as f64;
            // Where one observation holds all the misfit, the rest is exact.
            let t = e / (left * (1.0 - h)).sqrt().max(f64::MIN_POSITIVE);
            if worst.is_none_or(|w| t.abs() > w.1.abs()) {
                worst = Some((block.labels[i], t));
            }
        }
    }
    let (label, t) = worst?;
    let t = t.clamp(-1e150, 1e150);
    Some(Outlier {
        label,
        studentised: t,
        p_value: (f64::from(tested) * t_two_sided(t, (df - 1) as f64)).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two lines through eight points each, with wobbles of a hundredth.
    fn blocks(shifts: &[(usize, f64)]) -> Vec<Block> {
        let mut blocks: Vec<Block> = (0..2)
            .map(|b| Block {
                labels: (8 * b..8 * b + 8).collect(),
                columns: vec![vec![1.0; 8], (0..8).map(f64::from).collect()],
                y: (0..8)
                    .map(|i| f64::from(i) + 0.01 * (f64::from(i * 7 + 3 * b as i32) * 2.3).sin())
                    .collect(),
            })
            .collect();
        for &(label, shift) in shifts {
            blocks[label / 8].y[label % 8] += shift;
        }
        blocks
    }

    #[test]
    fn a_shifted_observation_is_found_and_no_other() {
        assert_eq!(outliers(blocks(&[]), 0.05), []);
        let found = outliers(blocks(&[(11, 0.2)]), 0.01);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].label, 11);
        assert!(found[0].studentised > 5.0);
    }

    #[test]
    fn studentised_residuals_are_those_without_the_observation() {
        let all = blocks(&[(5, 0.1)]);
        let found = largest(&all).unwrap();
        assert_eq!(found.label, 5);
        // By hand: leave it out, predict it, and divide by the error of the prediction.
        let mut rest = all.clone();
        rest.iter_mut().for_each(|b| b.remove(5));
        let fits: Vec<LinearFit> = rest.iter().map(|b| b.fit().unwrap()).collect();
        let df = fits.iter().map(LinearFit::df).sum::<usize>() as f64;
        let s2 = fits.iter().map(LinearFit::rss).sum::<f64>() / df;
        let c = fits[0].coefficients();
        let z = 5.0 - (0..8).filter(|i| *i != 5).sum::<i32>() as f64 / 7.0;
        let szz: f64 = (0..8)
            .filter(|i| *i != 5)
            .map(|i| (f64::from(i) - 23.0 / 7.0).powi(2))
            .sum();
        let t = (all[0].y[5] - c[0] - 5.0 * c[1]) / (s2 * (1.0 + 1.0 / 7.0 + z * z / szz)).sqrt();
        assert!((found.studentised - t).abs() < 1e-9 * t, "{found:?} {t}");
        assert!((found.p_value - 16.0 * t_two_sided(t, df)).abs() < 1e-12);
    }

    #[test]
    fn two_outliers_do_not_hide_each_other() {
        // With two of sixteen shifted, the first test has the other in its variance.
        let mut many = blocks(&[(3, 0.3), (12, -0.25)]);
        let more: Vec<Block> = blocks(&[]);
        many.extend(more.into_iter().map(|mut b| {
            b.labels.iter_mut().for_each(|l| *l += 16);
            b
        }));
        let labels: Vec<usize> = outliers(many, 0.01).iter().map(|o| o.label).collect();
        assert_eq!(labels, [3, 12]);
    }

    #[test]
    fn exact_lines_have_no_outliers() {
        let mut exact = blocks(&[]);
        for b in &mut exact {
            b.y = (0..8).map(f64::from).collect();
        }
        assert_eq!(outliers(exact.clone(), 0.05), []);
        exact[0].y[2] += 1.0;
        assert_eq!(outliers(exact, 0.05)[0].label, 2);
    }
}
