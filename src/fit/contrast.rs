//! Linear contrasts of log errors: the one estimator behind every law.
//!
//! A contrast is a per-run scalar `y_r = Σ_d c_d ln E_dr`: with `c = (+1, −1)` it is the log ratio of
//! two distributions, with a single `+1` an absolute law, with `c_d = 1{d} − 1/D` an exponent that
//! no baseline enters. Parts from several corpora add their readings, each at its own frontier. Since
//! readings are linear in `y`, shared runs, a shared baseline and shared items are all treated exactly.

mod influence;

use super::between::Pairing;
use super::design::Design;
use super::error::FitError;
use super::estimate::{Coefficient, Estimate, LineCovariance, PerCoefficient};
use super::options::{ItemSampling, Options};
use super::readings::{ReadingRegression, Readout};
use super::stats::regression::LinearFit;
use super::view::CorpusView;

pub(crate) use self::influence::{Influence, without_clusters};

/// One corpus' share of a contrast.
#[derive(Debug, Clone)]
pub(crate) struct Part<'v, 'a> {
    pub(crate) view: &'v CorpusView<'a>,
    /// Distribution and coefficient.
    pub(crate) terms: Vec<(usize, f64)>,
}

/// A fitted contrast.
#[derive(Debug, Clone)]
pub(crate) struct FittedContrast {
    pub(crate) readings: Vec<f64>,
    pub(crate) fit: LinearFit,
    pub(crate) level: f64,
    pub(crate) slope: f64,
    /// Variance of a new reading about the line.
    pub(crate) sigma2: f64,
    pub(crate) run: LineCovariance,
    pub(crate) frontier: LineCovariance,
    pub(crate) specification: LineCovariance,
    pub(crate) item: LineCovariance,
    pub(crate) idiosyncratic: LineCovariance,
    /// Degrees of freedom of `run`.
    pub(crate) run_df: PerCoefficient<f64>,
    /// Degrees of freedom of `frontier`.
    frontier_df: f64,
    /// `Σ_d V_item,d² / (G_eff,d − 1)`.
    item_df: PerCoefficient<f64>,
    /// Effective number of clusters, the smallest of any distribution.
    pub(crate) effective: Option<f64>,
    /// If true, the clusters of some distribution carry no variance.
    pub(crate) lacks_item_variance: bool,
}

/// Largest number of degrees of freedom: further on a t quantile is the normal one to all digits, and
/// its iteration unstable.
pub(crate) const MOST_DF: f64 = 1e6;

/// Degrees of freedom of the specification variance: the square of one difference, of which a fixed
/// share is kept whatever its sign. One, that of a squared normal, would let noise in the check set the
/// quantile of intervals; three covered in the simulations of `tests/coverage`.
const SPECIFICATION_DF: f64 = 3.0;

/// Share of the squared difference between the two rules of reading that counts as variance.
fn specification_share(design: Design) -> f64 {
    match design {
        // The rules differ by the noise of the runs that they weight differently, and by the misfit of
        // a polynomial. Most of the square is noise, which the variance of runs has counted already:
        // with all of it 98 to 99 % of intervals cover, with none 90 % where budgets hold five sizes.
        Design::Isoflop => 0.25,
        // Readings are the runs themselves, and all noise is in the residuals of the plane: what is
        // left is the misfit of the plane.
        Design::Grid | Design::Rungs => 1.0,
    }
}

/// The variance that the disagreement `gap` of the two rules of reading stands for.
pub(crate) fn specification_variance(design: Design, gap: PerCoefficient<f64>) -> LineCovariance {
    LineCovariance::outer(gap).scaled(specification_share(design))
}

impl FittedContrast {
    /// Level or slope.
    pub(crate) fn value(&self, coefficient: Coefficient) -> f64 {
        match coefficient {
            Coefficient::Level => self.level,
            Coefficient::Slope => self.slope,
        }
    }

    /// Variance of level or slope over all that differs between runs (their noise, the frontier and
    /// the form of the profiles), with Satterthwaite's degrees of freedom.
    pub(crate) fn run_variance(&self, k: Coefficient) -> (f64, f64) {
        self.satterthwaite(
            k,
            &[
                self.run_part(k),
                self.frontier_part(k),
                (self.specification.variance(k), SPECIFICATION_DF),
            ],
        )
    }

    fn run_part(&self, k: Coefficient) -> (f64, f64) {
        (self.run.variance(k), self.run_df[k])
    }

    fn frontier_part(&self, k: Coefficient) -> (f64, f64) {
        (self.frontier.variance(k), self.frontier_df)
    }

    /// The sum of independent variances, each with its degrees of freedom, and those of the sum.
    fn satterthwaite(&self, k: Coefficient, parts: &[(f64, f64)]) -> (f64, f64) {
        let total: f64 = parts.iter().map(|p| p.0).sum();
        let spread: f64 = parts.iter().map(|(v, df)| v * v / df).sum();
        // A noiseless ladder has no spread at all: 0/0.
        let df = if spread > 0.0 {
            (total * total / spread).min(MOST_DF)
        } else {
            self.run_df[k]
        };
        (total, df)
    }

    /// Variance and degrees of freedom of level or slope.
    pub(crate) fn variance(&self, k: Coefficient, items: ItemSampling) -> (f64, f64) {
        let (run, run_df) = self.run_variance(k);
        let item = self.item.variance(k);
        if items == ItemSampling::Fixed || item <= 0.0 {
            return (run, run_df);
        }
        // Noise of items within runs is part of both terms and counted once. It is an estimate, so that
        // the difference may fall below either term: the larger one is then the least one can say.
        let total = (run + item - self.idiosyncratic.variance(k))
            .max(run)
            .max(item);
        let spread = run * run / run_df + self.item_df[k];
        let df = if spread > 0.0 {
            total * total / spread
        } else {
            run_df
        };
        (total, df.clamp(1.0, MOST_DF))
    }

    /// The same readings along another quantity, with its `regression`, of which a unit is worth `rate`
    /// units of the scale. The sampling of items is carried over by that rate.
    pub(crate) fn along(
        &self,
        regression: &ReadingRegression,
        rate: f64,
    ) -> Result<Self, FitError> {
        let other = fit_readings(regression, self.readings.clone(), LineCovariance::default())?;
        let carried = |c: LineCovariance| LineCovariance {
            level: c.level,
            cross: c.cross * rate,
            slope: c.slope * rate * rate,
        };
        Ok(Self {
            item: carried(self.item),
            idiosyncratic: carried(self.idiosyncratic),
            item_df: PerCoefficient {
                level: self.item_df.level,
                slope: self.item_df.slope * rate.powi(4),
            },
            effective: self.effective,
            lacks_item_variance: self.lacks_item_variance,
            ..other
        })
    }

    /// Replaces the residual variance by a moderated one with `df` degrees of freedom.
    pub(crate) fn moderate(&mut self, sigma2: f64, df: f64) {
        // An exact fit has no variance to scale.
        if self.sigma2 > 0.0 {
            self.run = self.run.scaled(sigma2 / self.sigma2);
            self.run_df = PerCoefficient::from_fn(|_| df);
        }
    }

    /// Covariance of level and slope that the intervals use.
    pub(crate) fn covariance(&self, items: ItemSampling) -> LineCovariance {
        let level = self.variance(Coefficient::Level, items).0;
        let slope = self.variance(Coefficient::Slope, items).0;
        let run = self.run.cross + self.frontier.cross + self.specification.cross;
        let cross = match items {
            ItemSampling::Fixed => run,
            ItemSampling::Population => run + self.item.cross - self.idiosyncratic.cross,
        };
        // A variance may be the largest of its terms rather than their sum: the sum of the covariances is
        // then too large.
        let bound = (level * slope).sqrt();
        LineCovariance {
            level,
            cross: cross.clamp(-bound, bound),
            slope,
        }
    }

    /// Covariance of level and slope that does not come from the scatter of the readings: frontier,
    /// specification and items.
    pub(crate) fn beside_run(&self, items: ItemSampling) -> LineCovariance {
        self.covariance(items).plus(self.run.scaled(-1.0))
    }

    /// Level or slope with its interval.
    pub(crate) fn estimate(&self, k: Coefficient, items: ItemSampling, alpha: f64) -> Estimate {
        let (variance, df) = self.variance(k, items);
        Estimate::new(self.value(k), variance, df, alpha)
    }

    /// Level or slope with the variance of runs and frontier only, to compare rules with one another.
    pub(crate) fn plain_estimate(&self, k: Coefficient, alpha: f64) -> Estimate {
        let (variance, df) = self.satterthwaite(k, &[self.run_part(k), self.frontier_part(k)]);
        Estimate::new(self.value(k), variance, df, alpha)
    }
}

/// Reads `y` by one rule of a plan.
pub(crate) fn fit_readout(readout: &Readout, y: &[f64]) -> Result<FittedContrast, FitError> {
    let readings = readout.readings(y);
    let slope = readout.mean_slope(y);
    fit_readings(
        &readout.regression,
        readings,
        frontier_variance(readout, slope),
    )
}

/// `s̄² Var(e)` for level and slope of the frontier.
pub(crate) fn frontier_variance(readout: &Readout, mean_slope: f64) -> LineCovariance {
    match &readout.frontier {
        None => LineCovariance::default(),
        Some(f) => LineCovariance {
            level: f.line.level().standard_error.powi(2),
            // The line of the frontier is centred, so its level and slope are uncorrelated.
            cross: 0.0,
            slope: f.line.slope().standard_error.powi(2),
        }
        .scaled(mean_slope * mean_slope),
    }
}

/// The line through `readings`, with the variance of runs and frontier.
pub(crate) fn fit_readings(
    regression: &ReadingRegression,
    readings: Vec<f64>,
    frontier: LineCovariance,
) -> Result<FittedContrast, FitError> {
    let fit = regression.fit(&readings)?;
    let scatter = regression.scatter(&fit)?;
    Ok(FittedContrast {
        level: regression.coefficient(Coefficient::Level, &readings),
        slope: regression.coefficient(Coefficient::Slope, &readings),
        sigma2: scatter.reading,
        readings,
        fit,
        run: scatter.line,
        frontier,
        specification: LineCovariance::default(),
        item: LineCovariance::default(),
        idiosyncratic: LineCovariance::default(),
        frontier_df: scatter.df.slope,
        run_df: scatter.df,
        item_df: PerCoefficient::default(),
        effective: None,
        lacks_item_variance: false,
    })
}

/// Fits a contrast of one corpus.
pub(crate) fn fit(
    view: &CorpusView<'_>,
    terms: &[(usize, f64)],
    options: &Options,
) -> Result<FittedContrast, FitError> {
    let terms = terms.to_vec();
    fit_parts(&[Part { view, terms }], None, options)
}

/// Fits a contrast over one corpus, or over the two of `pairing` that match their readings one to one.
pub(crate) fn fit_parts(
    parts: &[Part<'_, '_>],
    pairing: Option<&Pairing>,
    options: &Options,
) -> Result<FittedContrast, FitError> {
    let mut scalars = Vec::with_capacity(parts.len());
    let mut terms = Vec::new();
    let mut silent = false;
    for part in parts {
        scalars.push((part.view, part.view.scalar(&part.terms)?));
        let own = part.view.corpus.expanded(&part.terms);
        for (d, c) in own.into_iter().filter(|t| t.1 != 0.0) {
            match part.view.influence(d) {
                Some(i) => terms.push((i, c, part.view)),
                None => silent = true,
            }
        }
    }
    fit_scalars(&scalars, &terms, silent, pairing, options)
}

/// Fits a per-run scalar of one corpus with the item influences of its terms.
pub(crate) fn fit_scalar(
    view: &CorpusView<'_>,
    y: &[f64],
    influences: &[(&Influence, f64)],
    lacks_item_variance: bool,
    options: &Options,
) -> Result<FittedContrast, FitError> {
    let terms: Vec<_> = influences.iter().map(|&(i, c)| (i, c, view)).collect();
    let scalars = [(view, y.to_vec())];
    fit_scalars(&scalars, &terms, lacks_item_variance, None, options)
}

fn fit_scalars(
    scalars: &[(&CorpusView<'_>, Vec<f64>)],
    terms: &[(&Influence, f64, &CorpusView<'_>)],
    lacks_item_variance: bool,
    pairing: Option<&Pairing>,
    options: &Options,
) -> Result<FittedContrast, FitError> {
    let Some((first, _)) = scalars.first() else {
        return Err(FitError::TooFew {
            what: "parts of a contrast".into(),
            found: 0,
            needed: 1,
        });
    };
    let own = &first.plan.main().regression;
    let regression = pairing.map_or(own, |p| &p.regression);
    let mut readings = vec![0.0; regression.readings()];
    let mut frontier = LineCovariance::default();
    let mut gap = PerCoefficient::default();
    for (k, (view, y)) in scalars.iter().enumerate() {
        let main = view.plan.main();
        let f = main.readings(y);
        if f.len() != readings.len() {
            return Err(FitError::Length {
                what: "readings of two corpora".into(),
                found: f.len(),
                needed: readings.len(),
            });
        }
        let order = pairing.filter(|_| k > 0).map(|p| &p.order);
        for (i, reading) in readings.iter_mut().enumerate() {
            *reading += f[order.map_or(i, |o| o[i])];
        }
        frontier = frontier.plus(frontier_variance(main, main.mean_slope(y)));
        if let Some(check) = view.plan.check() {
            let other = check.readings(y);
            gap = PerCoefficient::from_fn(|k| {
                // Signed, and squared after the sum: a difference that both corpora share cancels
                // between them.
                gap[k] + (main.coefficient(k, &f) - check.coefficient(k, &other))
            });
        }
    }
    // Here rather than in the fit, which could not name the corpus.
    if !readings.iter().all(|f| f.is_finite()) {
        return Err(FitError::Unsupported {
            reason: format!("a reading of corpus {:?} is not finite", first.corpus.name),
        });
    }
    let mut fitted = fit_readings(regression, readings, frontier)?;
    if options.specification_term {
        if first.plan.design == Design::Grid {
            // The quadratic form of a grid is centred elsewhere: its level is not the plane's.
            gap.level = 0.0;
        }
        fitted.specification = specification_variance(first.plan.design, gap);
    }
    fitted.lacks_item_variance = lacks_item_variance;
    add_items(&mut fitted, terms);
    Ok(fitted)
}

/// Adds the sampling of items: clusters of one name are left out of every distribution and corpus at
/// once.
fn add_items(fitted: &mut FittedContrast, terms: &[(&Influence, f64, &CorpusView<'_>)]) {
    fitted.effective = (terms.iter().map(|t| t.0.effective))
        .filter(|e| *e < influence::KNOWN)
        .reduce(f64::min);
    // Covariances through shared clusters enter with the sign of both coefficients: for treatment
    // and baseline they subtract, and difficulty common to both cancels.
    let mut any_shared = false;
    for (n, &(one, c, view)) in terms.iter().enumerate() {
        fitted.item = fitted.item.plus(one.item.scaled(c * c));
        fitted.idiosyncratic = fitted.idiosyncratic.plus(one.idiosyncratic.scaled(c * c));
        for &(two, e, other) in &terms[..n] {
            // Noise of items in runs is shared within a run only: other corpora have other runs.
            let weights = std::ptr::eq(view, other).then_some(&view.weights);
            if let Some((item, noise)) = one.with(two, weights) {
                any_shared = true;
                fitted.item = fitted.item.plus(item.scaled(2.0 * c * e));
                fitted.idiosyncratic = fitted.idiosyncratic.plus(noise.scaled(2.0 * c * e));
            }
        }
    }
    // Clusters in common that cancel leave rounding, of either sign.
    for c in [&mut fitted.item, &mut fitted.idiosyncratic] {
        c.level = c.level.max(0.0);
        c.slope = c.slope.max(0.0);
    }
    let total = fitted.item;
    // Clusters of two distributions that are one sample cannot count as two sets of degrees of
    // freedom.
    let fewest = (fitted.effective.unwrap_or(2.0) - 1.0).max(1.0);
    fitted.item_df = PerCoefficient::from_fn(|k| {
        if any_shared {
            let v = total.variance(k);
            return v * v / fewest;
        }
        let mut spread = 0.0;
        for (i, c, _) in terms {
            let v = i.item.scaled(c * c).variance(k);
            spread += v * v / (i.effective - 1.0).max(1.0);
        }
        spread
    });
}
