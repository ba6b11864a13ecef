//! The regression of readings on scale: the level (at the origin of the scale) and the slope.

use crate::fit::error::FitError;
use crate::fit::estimate::{Coefficient, LineCovariance, PerCoefficient};
use crate::fit::options::{CovarianceType, Options};
use crate::fit::stats::regression::{Errors, LinearFit};
use crate::fit::stats::sums::dot;

/// The regression of readings on their scale: terms, weights and clusters, for any readings.
#[derive(Debug, Clone)]
pub(crate) struct ReadingRegression {
    /// Terms; the first is constant, the second the centred log scale.
    pub(crate) columns: Vec<Vec<f64>>,
    pub(crate) weights: Vec<f64>,
    /// Cluster of each reading; empty if every reading stands by itself.
    clusters: Vec<usize>,
    /// Size group of each reading: readings of one group may share an error without being one training
    /// run. Empty if there is none.
    sizes: Vec<usize>,
    kind: CovarianceType,
    /// Weights of the readings in level and slope.
    weights_of: PerCoefficient<Vec<f64>>,
    /// Degrees of freedom of level and slope.
    df: PerCoefficient<f64>,
}

impl ReadingRegression {
    pub(crate) fn new(
        columns: Vec<Vec<f64>>,
        weights: Vec<f64>,
        clusters: Vec<usize>,
        options: &Options,
    ) -> Result<Self, FitError> {
        let mut regression = Self {
            columns,
            weights,
            clusters,
            sizes: Vec::new(),
            kind: options.covariance,
            weights_of: PerCoefficient::default(),
            df: PerCoefficient::default(),
        };
        // Weights of readings and degrees of freedom do not depend on what is read.
        let blank = regression.fit(&vec![0.0; regression.readings()])?;
        for k in [Coefficient::Level, Coefficient::Slope] {
            let unit = regression.unit(k);
            regression.weights_of[k] = blank.weights_of(&unit)?;
            regression.df[k] = match regression.errors() {
                // HC3 is compared with t(J − p), as in the simulations that it was chosen by.
                Errors::Classical | Errors::Hc3 => blank.df() as f64,
                errors => blank.estimate(&unit, errors)?.df,
            };
        }
        if blank.df() == 0 {
            return Err(FitError::TooFew {
                what: "readings".into(),
                found: regression.readings(),
                needed: regression.columns.len() + 1,
            });
        }
        Ok(regression)
    }

    /// The same regression whose classical variance is never less than that by groups `sizes` (CR2),
    /// with as many degrees of freedom as groups less the two of a line.
    ///
    /// The effect of a size (its shape, its learning rate) does not average out over training lengths. The Satterthwaite degrees of freedom of CR2 alone, 1.7 for five sizes, give intervals
    /// twice as wide that cover no better in the simulations of `tests/coverage.rs`.
    pub(crate) fn by_size(mut self, sizes: Vec<usize>) -> Self {
        let groups = sizes.iter().max().map_or(0, |g| g + 1) as f64;
        if self.clusters.is_empty() && self.kind == CovarianceType::Ols {
            // Two sizes would leave none, and t has no quantile there.
            let fewest = (groups - 2.0).max(1.0);
            self.df = PerCoefficient::from_fn(|k| self.df[k].min(fewest));
            self.sizes = sizes;
        }
        self
    }

    /// The contrast of the terms that is one coefficient.
    fn unit(&self, coefficient: Coefficient) -> Vec<f64> {
        let mut unit = vec![0.0; self.columns.len()];
        unit[coefficient.column()] = 1.0;
        unit
    }

    fn errors(&self) -> Errors<'_> {
        match self.kind {
            _ if !self.clusters.is_empty() => Errors::Cr2(&self.clusters),
            CovarianceType::Ols => Errors::Classical,
            CovarianceType::Hc2 => Errors::Hc2,
            CovarianceType::Hc3 => Errors::Hc3,
        }
    }

    /// If true, readings are equally weighted and stand by themselves.
    pub(crate) fn plain(&self) -> bool {
        self.clusters.is_empty() && self.weights.windows(2).all(|w| w[0] == w[1])
    }

    /// If true, the variance is that of readings with equal variances that stand by themselves.
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

    /// Weights of the readings in level or slope.
    pub(crate) fn weights_of(&self, coefficient: Coefficient) -> &[f64] {
        &self.weights_of[coefficient]
    }

    /// Level or slope of the line through the readings `f`.
    pub(crate) fn coefficient(&self, coefficient: Coefficient, f: &[f64]) -> f64 {
        dot(self.weights_of(coefficient), f)
    }

    /// Covariance of level and slope by the chosen type, with the degrees of freedom of each.
    pub(crate) fn covariance(
        &self,
        fit: &LinearFit,
    ) -> Result<(LineCovariance, PerCoefficient<f64>), FitError> {
        let of = |errors| -> Result<LineCovariance, FitError> {
            let c = fit.covariance(errors)?;
            let [l, s] = [Coefficient::Level, Coefficient::Slope].map(Coefficient::column);
            Ok(LineCovariance {
                level: c[l][l],
                cross: c[l][s],
                slope: c[s][s],
            })
        };
        let mut cov = of(self.errors())?;
        if !self.sizes.is_empty() {
            let grouped = of(Errors::Cr2(&self.sizes))?;
            // With its own covariance: a larger variance beside the other's covariance may not be a
            // matrix.
            if grouped.slope > cov.slope {
                cov.slope = grouped.slope;
                cov.cross = grouped.cross;
            }
            cov.level = cov.level.max(grouped.level);
        }
        Ok((cov, self.df))
    }
}
