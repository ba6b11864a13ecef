//! One treatment against the baseline over one corpus view, fitted once and shared by every step that
//! looks at it.

use super::contrast::{self, FittedContrast};
use super::corpus::Corpus;
use super::error::FitError;
use super::estimate::{Coefficient, Estimate};
use super::logarithm::is_representable;
use super::options::Options;
use super::readings::Readout;
use super::view::CorpusView;

/// A fitted comparison.
#[derive(Debug)]
pub(crate) struct Comparison<'v, 'a> {
    pub(crate) view: &'v CorpusView<'a>,
    pub(crate) treatment: usize,
    pub(crate) baseline: usize,
    /// `ln E_t − ln E_b` per run.
    pub(crate) y: Vec<f64>,
    /// `ln E_t` and `ln E_b` at the scales read.
    pub(crate) log_treatment: Vec<f64>,
    pub(crate) log_baseline: Vec<f64>,
    /// The fit with its own residual variance.
    pub(crate) unmoderated: FittedContrast,
    /// The fit that the law uses.
    pub(crate) fitted: FittedContrast,
    pub(crate) level: Estimate,
    pub(crate) delta_beta: Estimate,
}

impl<'v, 'a> Comparison<'v, 'a> {
    /// Fits the comparison; `moderated` is a residual variance drawn towards that of other treatments,
    /// with its degrees of freedom.
    pub(crate) fn new(
        view: &'v CorpusView<'a>,
        treatment: usize,
        baseline: usize,
        moderated: Option<&(f64, f64)>,
        options: &Options,
    ) -> Result<Self, FitError> {
        let terms = [(treatment, 1.0), (baseline, -1.0)];
        let y = view.scalar(&terms)?;
        let unmoderated = contrast::fit(view, &terms, options)?;
        let mut fitted = unmoderated.clone();
        if let Some(&(sigma2, df)) = moderated {
            fitted.moderate(sigma2, df);
        }
        let main = view.plan.main();
        let comparison = Self {
            view,
            treatment,
            baseline,
            y,
            log_treatment: main.readings(&view.corpus.losses(treatment)?.log_error),
            log_baseline: main.readings(&view.corpus.losses(baseline)?.log_error),
            level: fitted.estimate(Coefficient::Level, options.items, options.alpha),
            delta_beta: fitted.estimate(Coefficient::Slope, options.items, options.alpha),
            unmoderated,
            fitted,
        };
        comparison.check_representable(options)?;
        Ok(comparison)
    }

    pub(crate) fn corpus(&self) -> &'a Corpus<'a> {
        self.view.corpus
    }

    pub(crate) fn readout(&self) -> &'v Readout {
        self.view.plan.main()
    }

    pub(crate) fn terms(&self) -> [(usize, f64); 2] {
        [(self.treatment, 1.0), (self.baseline, -1.0)]
    }

    /// If true, both sides are errors: a ratio of errors tends to the ratio of their floors, which is not
    /// a floor.
    pub(crate) fn may_have_floors(&self) -> bool {
        let both = [self.treatment, self.baseline];
        !both.iter().any(|&d| self.corpus().is_ratio(d))
    }

    /// Name of a distribution.
    pub(crate) fn name(&self, distribution: usize) -> &'a str {
        self.corpus().name_of(distribution)
    }

    /// Refuses numbers that a result, written as JSON, cannot hold.
    fn check_representable(&self, options: &Options) -> Result<(), FitError> {
        let d = &self.delta_beta;
        let numbers = [
            d.value,
            d.lower,
            d.upper,
            d.standard_error,
            self.level.value,
        ];
        let logs = self.log_treatment.iter().chain(&self.log_baseline);
        let v = self.fitted.covariance(options.items);
        let variances = [v.level, v.cross, v.slope, self.fitted.sigma2];
        if numbers.iter().chain(logs).all(|&v| is_representable(v))
            && variances.iter().all(|v| v.is_finite())
        {
            return Ok(());
        }
        Err(FitError::Unsupported {
            reason: format!(
                "the errors of {:?} and {:?} in corpus {:?} are too far apart for a finite result",
                self.name(self.treatment),
                self.name(self.baseline),
                self.corpus().name
            ),
        })
    }
}
