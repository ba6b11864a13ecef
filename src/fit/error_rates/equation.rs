//! Regressions over the runs of a plan, of counts or of logarithms, and the variance of their
//! coefficients.

use nalgebra::DMatrix;

use crate::fit::error::FitError;
use crate::fit::readings::ReadingPlan;
use crate::fit::stats::counts::fit_counts;
use crate::fit::stats::labels;
use crate::fit::stats::regression::LinearFit;

/// Values of one distribution, one per run of a plan in the order of [`ReadingPlan::runs`].
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// An error rate: wrong answers and items.
    Counts { wrong: Vec<f64>, items: Vec<f64> },
    /// Logarithms of any other loss.
    Logarithms(Vec<f64>),
}

/// A regression over runs.
#[derive(Debug, Clone)]
pub(super) struct Equation {
    pub(super) coefficients: Vec<f64>,
    inverse: DMatrix<f64>,
    root_weights: Vec<f64>,
    /// Residuals, whitened: those of Pearson for counts.
    pub(super) residuals: Vec<f64>,
    /// Fitted error of each run.
    pub(super) fitted: Vec<f64>,
    /// Mean square of the residuals, and its degrees of freedom.
    pub(super) dispersion: f64,
    pub(super) df: usize,
}

impl Values {
    /// The error of each run.
    pub(super) fn errors(&self) -> Vec<f64> {
        match self {
            Self::Counts { wrong, items } => wrong.iter().zip(items).map(|(w, m)| w / m).collect(),
            Self::Logarithms(y) => y.iter().map(|y| libm::exp(*y)).collect(),
        }
    }

    /// The values of the runs `keep` (places in the order of the runs).
    pub(super) fn some(&self, keep: &[usize]) -> Self {
        let pick = |v: &[f64]| keep.iter().map(|&i| v[i]).collect();
        match self {
            Self::Counts { wrong, items } => Self::Counts {
                wrong: pick(wrong),
                items: pick(items),
            },
            Self::Logarithms(y) => Self::Logarithms(pick(y)),
        }
    }

    /// The regression of the values on `columns`.
    pub(super) fn fit(&self, columns: &[Vec<f64>]) -> Result<Equation, FitError> {
        let borrowed: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        match self {
            Self::Counts { wrong, items } => {
                let fit = fit_counts(&borrowed, wrong, items)?;
                Ok(Equation {
                    coefficients: fit.coefficients,
                    inverse: fit.inverse,
                    root_weights: fit.root_weights,
                    residuals: fit.residuals,
                    fitted: fit.rates,
                    dispersion: fit.dispersion,
                    df: fit.df,
                })
            }
            Self::Logarithms(y) => {
                let fit = LinearFit::new(&borrowed, y)?;
                let x = matrix(columns);
                let inverse = (x.transpose() * x).try_inverse();
                Ok(Equation {
                    coefficients: fit.coefficients().to_vec(),
                    inverse: inverse.ok_or_else(|| FitError::Singular {
                        what: "a line through the runs".into(),
                    })?,
                    root_weights: vec![1.0; y.len()],
                    fitted: (y.iter().zip(fit.residuals()))
                        .map(|(y, e)| libm::exp(y - e))
                        .collect(),
                    residuals: fit.residuals().to_vec(),
                    dispersion: fit.variance(),
                    df: fit.df(),
                })
            }
        }
    }
}

/// Columns of the regression over runs, in the order of `runs`.
pub(super) fn columns(plan: &ReadingPlan, runs: &[usize]) -> Vec<Vec<f64>> {
    let width = runs.first().map_or(0, |&m| plan.run_design[m].len());
    (0..width)
        .map(|k| runs.iter().map(|&m| plan.run_design[m][k]).collect())
        .collect()
}

/// The training run of each run (or its size, where one has several), counted from 0; empty if every run
/// stands by itself.
pub(super) fn clusters(plan: &ReadingPlan) -> Vec<usize> {
    // Clusters are those of readings, which may be means over replicates.
    let of_readings = plan.main().regression.clusters();
    (of_readings.iter().zip(&plan.groups))
        .flat_map(|(c, g)| std::iter::repeat_n(*c, g.members.len()))
        .collect()
}

fn matrix(columns: &[Vec<f64>]) -> DMatrix<f64> {
    let n = columns.first().map_or(0, Vec::len);
    DMatrix::from_fn(n, columns.len(), |r, k| columns[k][r])
}

/// A regression with the influence of a unit residual of each run on its coefficients.
struct Influences<'e> {
    equation: &'e Equation,
    rows: DMatrix<f64>,
}

impl<'e> Influences<'e> {
    fn new(equation: &'e Equation, x: &DMatrix<f64>) -> Self {
        let mut rows = x * &equation.inverse;
        for (r, w) in equation.root_weights.iter().enumerate() {
            rows.row_mut(r).scale_mut(*w);
        }
        Self { equation, rows }
    }
}

/// One regression, or the difference of two over the same runs.
pub(super) struct Difference<'e> {
    t: Influences<'e>,
    b: Option<Influences<'e>>,
    clusters: &'e [usize],
    left: f64,
}

impl<'e> Difference<'e> {
    pub(super) fn new(
        columns: &[Vec<f64>],
        clusters: &'e [usize],
        t: &'e Equation,
        b: Option<&'e Equation>,
    ) -> Self {
        let x = matrix(columns);
        Self {
            left: (x.nrows() - x.ncols()) as f64,
            t: Influences::new(t, &x),
            b: b.map(|b| Influences::new(b, &x)),
            clusters,
        }
    }

    /// Coefficient `k`.
    pub(super) fn coefficient(&self, k: usize) -> f64 {
        let of = |i: &Influences<'_>| i.equation.coefficients[k];
        of(&self.t) - self.b.as_ref().map_or(0.0, of)
    }

    /// Degrees of freedom of the variances.
    pub(super) fn df(&self) -> f64 {
        match self.groups() {
            0 => self.left,
            groups => (groups as f64 - 1.0).max(1.0),
        }
    }

    /// Variance of coefficient `k`.
    pub(super) fn variance(&self, k: usize) -> f64 {
        match self.groups() {
            0 => self.independent(k),
            groups => self.clustered(k, groups),
        }
    }

    fn groups(&self) -> usize {
        labels::count(self.clusters)
    }

    /// With residuals that are independent between runs, of two sides in one run not.
    fn independent(&self, k: usize) -> f64 {
        let form = |one: &Influences<'_>, two: &Influences<'_>| {
            let residuals = one.equation.residuals.iter().zip(&two.equation.residuals);
            let dispersion = residuals.map(|(a, b)| a * b).sum::<f64>() / self.left;
            dispersion * one.rows.column(k).dot(&two.rows.column(k))
        };
        let own = form(&self.t, &self.t);
        match &self.b {
            // Two distributions that are equal leave rounding.
            Some(b) => (own + form(b, b) - 2.0 * form(&self.t, b)).max(0.0),
            None => own,
        }
    }

    /// With noise that the checkpoints of one training run share.
    fn clustered(&self, k: usize, groups: usize) -> f64 {
        let mut sums = vec![0.0; groups];
        for (r, &cluster) in self.clusters.iter().enumerate() {
            let of = |i: &Influences<'_>| i.rows[(r, k)] * i.equation.residuals[r];
            sums[cluster] += of(&self.t) - self.b.as_ref().map_or(0.0, of);
        }
        let (g, n) = (groups as f64, self.clusters.len() as f64);
        // Not CR2: the two regressions have weights of their own and no common hat matrix.
        let factor = g / (g - 1.0).max(1.0) * (n - 1.0) / self.left;
        factor * sums.iter().map(|s| s * s).sum::<f64>()
    }
}
