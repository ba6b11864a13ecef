//! The regression of readings on scale: the level (at the origin of the scale) and the slope.

use crate::fit::error::FitError;
use crate::fit::estimate::{Coefficient, LineCovariance, PerCoefficient};
use crate::fit::options::{CovarianceType, Options};
use crate::fit::stats::labels;
use crate::fit::stats::regression::{Errors, GroupEffects, LinearFit, SerialCovariance};
use crate::fit::stats::sums::dot;

/// The scatter of readings about their line: what it leaves uncertain of the terms, and how far a new
/// reading lies from them. The interval of `Δβ`, predictions and the backtest all rest on it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scatter {
    /// Covariance of the terms, by rows.
    terms: Vec<Vec<f64>>,
    /// Covariance of level and slope.
    pub(crate) line: LineCovariance,
    /// Variance of one reading.
    pub(crate) reading: f64,
    /// Degrees of freedom of level and slope.
    pub(crate) df: PerCoefficient<f64>,
}

impl Scatter {
    fn new(terms: Vec<Vec<f64>>, reading: f64, df: PerCoefficient<f64>) -> Self {
        let [l, s] = [Coefficient::Level, Coefficient::Slope].map(Coefficient::column);
        Self {
            line: LineCovariance {
                level: terms[l][l],
                cross: terms[l][s],
                slope: terms[s][s],
            },
            terms,
            reading,
            df,
        }
    }

    /// Variance of the distance of a new reading with the terms `row` from its prediction.
    pub(crate) fn of_new(&self, row: &[f64]) -> f64 {
        let of = |r: &Vec<f64>| dot(r, row);
        let products: Vec<f64> = self.terms.iter().map(of).collect();
        // Rounding may leave the variance of a combination that hardly varies below zero.
        dot(row, &products).max(0.0) + self.reading
    }
}

/// The regression of readings on their scale: terms, weights and clusters, for any readings.
#[derive(Debug, Clone)]
pub(crate) struct ReadingRegression {
    /// Terms; the first is constant, the second the centred log scale.
    pub(crate) columns: Vec<Vec<f64>>,
    pub(crate) weights: Vec<f64>,
    /// Cluster of each reading; empty if every reading stands by itself.
    clusters: Vec<usize>,
    /// Training run of each reading, along which errors may be correlated. Empty if they are `clusters`.
    series: Vec<usize>,
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
        Self::of_kind(columns, weights, clusters, options.covariance)
    }

    fn of_kind(
        columns: Vec<Vec<f64>>,
        weights: Vec<f64>,
        clusters: Vec<usize>,
        kind: CovarianceType,
    ) -> Result<Self, FitError> {
        let mut regression = Self {
            columns,
            weights,
            clusters,
            series: Vec::new(),
            sizes: Vec::new(),
            kind,
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

    /// The same regression of readings that fall into groups `sizes`, numbered from 0.
    ///
    /// The effect of a size (its shape, its learning rate) does not average out over training lengths.
    /// If readings otherwise stand by themselves and have equal variances, the variance is that of
    /// a random effect of the size, with as many degrees of freedom as sizes less the two of a line.
    pub(crate) fn by_size(mut self, sizes: Vec<usize>) -> Self {
        self.sizes = sizes;
        if self.has_size_effects() {
            let groups = labels::count(&self.sizes) as f64;
            // Two sizes would leave none, and t has no quantile there.
            let fewest = (groups - 2.0).max(1.0);
            self.df = PerCoefficient::from_fn(|k| self.df[k].min(fewest));
        }
        self
    }

    /// The same regression of readings that are checkpoints of the training runs `series`, numbered from 0,
    /// where clusters are more than these.
    pub(crate) fn along(mut self, series: Vec<usize>) -> Self {
        self.series = series;
        self
    }

    /// The same regression of some of the readings.
    pub(crate) fn of_some(&self, readings: &[usize]) -> Result<Self, FitError> {
        let pick = |v: &[f64]| -> Vec<f64> { readings.iter().map(|&i| v[i]).collect() };
        let columns = self.columns.iter().map(|c| pick(c)).collect();
        let clusters = labels::pick(&self.clusters, readings);
        let some = Self::of_kind(columns, pick(&self.weights), clusters, self.kind)?;
        let some = some.along(labels::pick(&self.series, readings));
        Ok(some.by_size(labels::pick(&self.sizes, readings)))
    }

    /// If true, the variance is that of a random effect of the size.
    fn has_size_effects(&self) -> bool {
        self.clusters.is_empty() && self.kind == CovarianceType::Ols && !self.sizes.is_empty()
    }

    /// Terms of the differences between these readings and those of `other` that `order` names: the means
    /// of both.
    pub(crate) fn mean_columns(&self, other: &Self, order: &[usize]) -> Vec<Vec<f64>> {
        let mean = |(a, b): (&Vec<f64>, &Vec<f64>)| {
            let pairs = a.iter().zip(order);
            pairs.map(|(a, &j)| 0.5 * (a + b[j])).collect()
        };
        self.columns.iter().zip(&other.columns).map(mean).collect()
    }

    /// The regression of those differences, in which the readings of a training run, and those of a
    /// size, stay together.
    pub(crate) fn paired(
        &self,
        other: &Self,
        order: &[usize],
        options: &Options,
    ) -> Result<Self, FitError> {
        let theirs = match other.clusters.is_empty() {
            true => Vec::new(),
            false => order.iter().map(|&j| other.clusters[j]).collect(),
        };
        let columns = self.mean_columns(other, order);
        let mut clusters = labels::joined(&self.clusters, &theirs);
        // One cluster has no variance: the readings stand by themselves, as in a ladder of one training run.
        if labels::count(&clusters) == 1 {
            clusters.clear();
        }
        let paired = Self::new(columns, self.weights.clone(), clusters, options)?;
        Ok(paired
            .along(self.series.clone())
            .by_size(self.sizes.clone()))
    }

    /// A line in another quantity, with the weights and clusters of this regression.
    pub(crate) fn of_line(&self, x: &[f64], options: &Options) -> Result<Self, FitError> {
        let columns = super::line_columns(x);
        Self::new(
            columns,
            self.weights.clone(),
            self.clusters.clone(),
            options,
        )
    }

    /// The contrast of the terms that is one coefficient.
    fn unit(&self, coefficient: Coefficient) -> Vec<f64> {
        let mut unit = vec![0.0; self.columns.len()];
        unit[coefficient.column()] = 1.0;
        unit
    }

    fn errors(&self) -> Errors<'_> {
        match self.kind {
            // For degrees of freedom and for fits of some of the readings only.
            CovarianceType::Ar1 => Errors::Classical,
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
        self.sizes.is_empty()
            && self.kind != CovarianceType::Ar1
            && self.errors() == Errors::Classical
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

    /// Scatter of the readings behind `fit`, by the chosen type of covariance.
    pub(crate) fn scatter(&self, fit: &LinearFit) -> Result<Scatter, FitError> {
        if self.kind == CovarianceType::Ar1 {
            return Ok(self.serial(fit)?.0);
        }
        let effects = self.group_effects(fit);
        let terms = match effects {
            // A plane: of more terms, some are determined between sizes as the line is.
            Some(effects) if self.has_size_effects() && self.columns.len() <= 3 => {
                fit.grouped_covariance(effects, &self.sizes)?
            }
            _ if self.has_size_effects() => self.larger_covariance(fit)?,
            _ => fit.covariance(self.errors())?,
        };
        let reading = effects.map_or(fit.variance(), GroupEffects::total);
        Ok(Scatter::new(terms, reading, self.df))
    }

    /// Scatter of readings whose errors are correlated along the scale (within training runs, where
    /// readings are their checkpoints), and the mean autocorrelation.
    pub(crate) fn serial(&self, fit: &LinearFit) -> Result<(Scatter, f64), FitError> {
        let mut order: Vec<usize> = (0..self.readings()).collect();
        let x = &self.columns[Coefficient::Slope.column()];
        // Ties by position, so that the order does not depend on the sort.
        order.sort_by(|&a, &b| x[a].total_cmp(&x[b]).then(a.cmp(&b)));
        let runs = match self.series.is_empty() {
            true => &self.clusters,
            false => &self.series,
        };
        let cluster = |i: usize| runs.get(i).copied().unwrap_or(0);
        let groups = runs.iter().max().map_or(1, |m| m + 1);
        let mut blocks = vec![Vec::new(); groups];
        for i in order {
            blocks[cluster(i)].push(i);
        }
        let s: SerialCovariance = fit.serial(&blocks)?;
        let df = PerCoefficient::from_fn(|_| fit.df() as f64);
        Ok((Scatter::new(s.covariance, s.variance, df), s.rho))
    }

    /// Effects that readings share in `series`, of one value per reading, once the terms are taken out.
    pub(crate) fn effects_in(&self, series: &[f64]) -> Option<GroupEffects> {
        self.group_effects(&self.fit(series).ok()?)
    }

    /// Groups of readings that share an effect, numbered from 0; empty if there are none.
    pub(crate) fn groups(&self) -> &[usize] {
        // By size also where runs are clusters: what is predicted is a size not yet trained.
        if self.sizes.is_empty() {
            &self.clusters
        } else {
            &self.sizes
        }
    }

    /// Effects that readings share by size on a grid, by training run elsewhere; `None` without groups
    /// or where they cannot be told apart.
    fn group_effects(&self, fit: &LinearFit) -> Option<GroupEffects> {
        let groups = self.groups();
        if groups.is_empty() {
            return None;
        }
        fit.group_effects(&self.columns, groups).ok()
    }

    /// The classical covariance, or that by size (CR2) where its slope varies more: for two sizes, and
    /// for terms that sizes determine beside the line, where effects cannot be told apart.
    fn larger_covariance(&self, fit: &LinearFit) -> Result<Vec<Vec<f64>>, FitError> {
        let [l, s] = [Coefficient::Level, Coefficient::Slope].map(Coefficient::column);
        let classical = fit.covariance(Errors::Classical)?;
        let grouped = fit.covariance(Errors::Cr2(&self.sizes))?;
        let level = classical[l][l].max(grouped[l][l]);
        // As a whole matrix: a larger variance beside the other's covariance may not be one.
        let mut larger = if grouped[s][s] > classical[s][s] {
            grouped
        } else {
            classical
        };
        larger[l][l] = level;
        Ok(larger)
    }
}
