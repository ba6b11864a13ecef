//! The regression of readings on scale: the level (at the origin of the scale) and the exponent.

use serde::{Deserialize, Serialize};

use super::error::FitError;
use super::options::{Options, VarianceForm};
use super::stats::regression::{Errors, LinearFit, TEstimate};
use super::stats::sums::dot;

/// A point estimate with its interval and two-sided test of zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Point estimate.
    pub value: f64,
    /// Standard error.
    pub standard_error: f64,
    /// Degrees of freedom of the t distribution that it is compared with.
    pub df: f64,
    /// Lower end of the `1 − alpha` interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Two-sided p-value of zero.
    pub p_value: f64,
}

impl Estimate {
    pub(crate) fn new(value: f64, variance: f64, df: f64, alpha: f64) -> Self {
        let bare = TEstimate {
            value,
            standard_error: variance.max(0.0).sqrt(),
            df,
        };
        let (lower, upper) = bare.interval(1.0 - alpha);
        Self {
            value,
            standard_error: bare.standard_error,
            df,
            lower,
            upper,
            p_value: bare.p_value(),
        }
    }

    /// The interval at another level.
    #[must_use]
    pub fn at_level(&self, level: f64) -> Interval {
        let (lower, upper) = self.bare().interval(level);
        Interval {
            value: self.value,
            lower,
            upper,
        }
    }

    /// p-value of the two one-sided tests of a true value beyond `margin`.
    #[must_use]
    pub fn equivalence_p(&self, margin: f64) -> f64 {
        self.bare().equivalence_p(margin)
    }

    fn bare(&self) -> TEstimate {
        TEstimate {
            value: self.value,
            standard_error: self.standard_error,
            df: self.df,
        }
    }

    pub(crate) fn interval(&self) -> Interval {
        Interval {
            value: self.value,
            lower: self.lower,
            upper: self.upper,
        }
    }
}

/// A value and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Point estimate.
    pub value: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl Interval {
    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            value: f(self.value),
            lower: f(self.lower),
            upper: f(self.upper),
        }
    }
}

/// Symmetric 2×2 matrix over (level, exponent).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Cov {
    pub(crate) level: f64,
    pub(crate) cross: f64,
    pub(crate) slope: f64,
}

impl Cov {
    pub(crate) fn outer(level: f64, slope: f64) -> Self {
        Self {
            level: level * level,
            cross: level * slope,
            slope: slope * slope,
        }
    }
    pub(crate) fn plus(self, o: Self) -> Self {
        Self {
            level: self.level + o.level,
            cross: self.cross + o.cross,
            slope: self.slope + o.slope,
        }
    }
    pub(crate) fn scaled(self, k: f64) -> Self {
        Self {
            level: self.level * k,
            cross: self.cross * k,
            slope: self.slope * k,
        }
    }
    /// Variance of `level + x · slope`.
    pub(crate) fn at(self, x: f64) -> f64 {
        (self.level + 2.0 * x * self.cross + x * x * self.slope).max(0.0)
    }
}

/// The regression that readings go through: its terms, weights and clusters, for any readings.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// By columns; the first is constant, the second the centred log scale.
    pub(crate) columns: Vec<Vec<f64>>,
    pub(crate) weights: Vec<f64>,
    /// Empty where every reading stands by itself.
    clusters: Vec<usize>,
    /// Groups whose readings may have an error in common without being one training run; empty: none.
    sizes: Vec<usize>,
    form: VarianceForm,
    /// Weights of the readings in level and exponent.
    coefficients: [Vec<f64>; 2],
    /// Degrees of freedom of level and exponent.
    df: [f64; 2],
}

impl Stage {
    pub(crate) fn new(
        columns: Vec<Vec<f64>>,
        weights: Vec<f64>,
        clusters: Vec<usize>,
        options: &Options,
    ) -> Result<Self, FitError> {
        let mut stage = Self {
            columns,
            weights,
            clusters,
            sizes: Vec::new(),
            form: options.variance,
            coefficients: [Vec::new(), Vec::new()],
            df: [0.0; 2],
        };
        // Weights of readings and degrees of freedom do not depend on what is read.
        let blank = stage.fit(&vec![0.0; stage.readings()])?;
        for k in 0..2 {
            let unit = stage.unit(k);
            stage.coefficients[k] = blank.weights_of(&unit)?;
            stage.df[k] = match stage.errors() {
                // HC3 is compared with t(J − p), as in the simulations that it was chosen by.
                Errors::Classical | Errors::Hc3 => blank.df() as f64,
                errors => blank.estimate(&unit, errors)?.df,
            };
        }
        if blank.df() == 0 {
            return Err(FitError::TooFew {
                what: "readings".into(),
                found: stage.readings(),
                needed: stage.columns.len() + 1,
            });
        }
        Ok(stage)
    }

    /// The same regression whose classical variance is never less than that by groups `sizes` (CR2),
    /// with as many degrees of freedom as groups less the two of a line.
    ///
    /// What a size has of its own (its shape, its learning rate) does not average out over training
    /// lengths. The Satterthwaite degrees of freedom of CR2 alone, 1.7 for five sizes, give intervals
    /// twice as wide that cover no better in the simulations of `tests/coverage.rs`.
    pub(crate) fn by_size(mut self, sizes: Vec<usize>) -> Self {
        let groups = sizes.iter().max().map_or(0, |g| g + 1) as f64;
        if self.clusters.is_empty() && self.form == VarianceForm::Ols {
            self.df = self.df.map(|df| df.min((groups - 2.0).max(1.0)));
            self.sizes = sizes;
        }
        self
    }

    fn unit(&self, k: usize) -> Vec<f64> {
        (0..self.columns.len())
            .map(|i| if i == k { 1.0 } else { 0.0 })
            .collect()
    }

    fn errors(&self) -> Errors<'_> {
        match self.form {
            _ if !self.clusters.is_empty() => Errors::Cr2(&self.clusters),
            VarianceForm::Ols => Errors::Classical,
            VarianceForm::Hc2 => Errors::Hc2,
            VarianceForm::Hc3 => Errors::Hc3,
        }
    }

    /// Whether readings are equally weighted and stand by themselves.
    pub(crate) fn plain(&self) -> bool {
        self.clusters.is_empty() && self.weights.windows(2).all(|w| w[0] == w[1])
    }

    /// Whether the variance is that of readings with equal variances that stand by themselves.
    pub(crate) fn classical(&self) -> bool {
        self.sizes.is_empty() && self.errors() == Errors::Classical
    }

    pub(crate) fn clusters(&self) -> &[usize] {
        &self.clusters
    }

    pub(crate) fn readings(&self) -> usize {
        self.weights.len()
    }

    pub(crate) fn fit(&self, f: &[f64]) -> Result<LinearFit, FitError> {
        let columns: Vec<&[f64]> = self.columns.iter().map(Vec::as_slice).collect();
        LinearFit::weighted(&columns, f, &self.weights)
    }

    /// The same regression of some of the readings, without clusters.
    pub(crate) fn fit_some(&self, readings: &[usize], f: &[f64]) -> Result<LinearFit, FitError> {
        let pick = |v: &[f64]| -> Vec<f64> { readings.iter().map(|&i| v[i]).collect() };
        let columns: Vec<Vec<f64>> = self.columns.iter().map(|c| pick(c)).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        LinearFit::weighted(&columns, &pick(f), &pick(&self.weights))
    }

    /// Weights of the readings in the level (0) or the exponent (1).
    pub(crate) fn weights_of(&self, coefficient: usize) -> &[f64] {
        &self.coefficients[coefficient.min(1)]
    }

    pub(crate) fn coefficient(&self, k: usize, f: &[f64]) -> f64 {
        dot(self.weights_of(k), f)
    }

    /// Covariance of (level, exponent) by the chosen form, with the degrees of freedom of each.
    pub(crate) fn covariance(&self, fit: &LinearFit) -> Result<(Cov, [f64; 2]), FitError> {
        let of = |errors| -> Result<Cov, FitError> {
            let c = fit.covariance(errors)?;
            Ok(Cov {
                level: c[0][0],
                cross: c[0][1],
                slope: c[1][1],
            })
        };
        let mut cov = of(self.errors())?;
        if !self.sizes.is_empty() {
            let grouped = of(Errors::Cr2(&self.sizes))?;
            if grouped.slope > cov.slope {
                cov.slope = grouped.slope;
                cov.cross = grouped.cross;
            }
            cov.level = cov.level.max(grouped.level);
        }
        Ok((cov, self.df))
    }
}
