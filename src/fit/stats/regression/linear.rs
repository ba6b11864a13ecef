//! The least-squares fit itself: coefficients, residuals, leverages.
//!
//! Columns are orthogonalised one by one (Gram–Schmidt, twice), which yields the thin Q of the
//! design directly. Designs have a handful of columns, so clarity wins over blocking.
//!
//! # References
//! L. Giraud, J. Langou, M. Rozložník (2005), *Computers & Mathematics with Applications* 50:1069
//! (twice is enough).

use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_finite, check_length, check_positive};
use crate::fit::stats::sums::{compensated_sum, dot};

/// A column whose part orthogonal to its predecessors is below this fraction of its length is
/// treated as linearly dependent on them: 1e-10 leaves six digits to its coefficient.
const MIN_COLUMN_ANGLE: f64 = 1e-10;
/// An observation whose 1 − hᵢ is below this determines a coefficient alone: its residual is zero
/// whatever it says, so no variance made of residuals can see it.
const MIN_FREEDOM: f64 = 1e-8;

/// A least-squares fit y = Xβ, with everything that follows linearly from it.
///
/// **Shapes**: n observations, p columns, n ≥ p. With weights wᵢ, the fit minimises Σ wᵢ·eᵢ², and
/// leverages, influence and robust variances are those of the rows multiplied by √wᵢ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinearFit {
    pub(super) coefficients: Vec<f64>,
    pub(super) residuals: Vec<f64>,
    pub(super) root_weights: Vec<f64>,
    pub(super) leverages: Vec<f64>,
    /// Thin Q of √w·X, by columns.
    pub(super) q: Vec<Vec<f64>>,
    /// Upper triangular R⁻¹, by rows.
    pub(super) r_inverse: Vec<Vec<f64>>,
    pub(super) rss: f64,
}

impl LinearFit {
    /// Fits `y` by ordinary least squares on `columns`, each of the length of `y`.
    ///
    /// # Errors
    /// [`FitError`] when lengths differ, a number is not finite, there are fewer rows than
    /// columns, or a column depends linearly on those before it.
    pub(crate) fn new(columns: &[&[f64]], y: &[f64]) -> Result<Self, FitError> {
        Self::weighted(columns, y, &vec![1.0; y.len()])
    }

    /// Fits `y` by weighted least squares; `weights` are positive, of any scale.
    ///
    /// # Errors
    /// As [`LinearFit::new`], and when a weight is not positive.
    pub(crate) fn weighted(
        columns: &[&[f64]],
        y: &[f64],
        weights: &[f64],
    ) -> Result<Self, FitError> {
        let (n, p) = (y.len(), columns.len());
        check_count("columns", p, 1)?;
        check_count("observations", n, p)?;
        check_finite("y", y)?;
        check_length("weights", weights.len(), n)?;
        check_positive("weights", weights)?;
        let root_weights: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        // Not the normal equations, which square the condition number of a cubic in ln N.
        let (q, r) = orthogonalise(columns, &root_weights)?;
        let whitened: Vec<f64> = y.iter().zip(&root_weights).map(|(y, w)| y * w).collect();
        let r_inverse = invert_upper(&r);
        let rotated: Vec<f64> = q.iter().map(|basis| dot(basis, &whitened)).collect();
        let coefficients: Vec<f64> = r_inverse.iter().map(|row| dot(row, &rotated)).collect();
        // Twice-projected residuals: exact orthogonality keeps a noiseless fit at rounding level.
        let mut rest = whitened;
        for _ in 0..2 {
            for basis in &q {
                let projection = dot(basis, &rest);
                subtract(&mut rest, projection, basis);
            }
        }
        let residuals: Vec<f64> = rest.iter().zip(&root_weights).map(|(e, w)| e / w).collect();
        // From residuals, never y'y − b'X'y, which is negative where the fit is nearly exact.
        let rss = dot(&rest, &rest);
        let leverages = (0..n)
            // Rounding can leave a leverage at 1 + 1e-16, whose root of 1 − h is NaN.
            .map(|i| compensated_sum(q.iter().map(|basis| basis[i] * basis[i])).min(1.0))
            .collect();
        check_finite("coefficients", &coefficients)?;
        check_finite("residuals", &residuals)?;
        Ok(Self {
            coefficients,
            residuals,
            root_weights,
            leverages,
            q,
            r_inverse,
            rss,
        })
    }

    /// β̂, one per column.
    pub(crate) fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// y − Xβ̂, one per observation.
    pub(crate) fn residuals(&self) -> &[f64] {
        &self.residuals
    }

    /// Leverages hᵢ in \[0, 1\], summing to p.
    pub(crate) fn leverages(&self) -> &[f64] {
        &self.leverages
    }

    /// Σ wᵢ·eᵢ².
    pub(crate) fn rss(&self) -> f64 {
        self.rss
    }

    /// Residual degrees of freedom n − p.
    pub(crate) fn df(&self) -> usize {
        self.residuals.len() - self.coefficients.len()
    }

    /// s² = Σ wᵢ·eᵢ²/(n − p); NaN when n = p.
    pub(crate) fn variance(&self) -> f64 {
        self.rss / self.df() as f64
    }

    /// The weights Wᵢ with contrast'β̂ = Σ Wᵢ·yᵢ.
    ///
    /// # Errors
    /// When `contrast` is not of length p.
    pub(crate) fn weights_of(&self, contrast: &[f64]) -> Result<Vec<f64>, FitError> {
        let mut weights = self.whitened_weights(contrast)?;
        for (w, root) in weights.iter_mut().zip(&self.root_weights) {
            *w *= root;
        }
        Ok(weights)
    }

    /// a with contrast'β̂ = Σ aᵢ·√wᵢ·yᵢ.
    pub(super) fn whitened_weights(&self, contrast: &[f64]) -> Result<Vec<f64>, FitError> {
        check_length("contrast", contrast.len(), self.coefficients.len())?;
        let loading = self.loading(contrast);
        Ok((0..self.residuals.len())
            .map(|i| compensated_sum(self.q.iter().zip(&loading).map(|(q, c)| q[i] * c)))
            .collect())
    }

    /// √wᵢ·eᵢ.
    pub(super) fn whitened_residuals(&self) -> Vec<f64> {
        self.residuals
            .iter()
            .zip(&self.root_weights)
            .map(|(e, w)| e * w)
            .collect()
    }

    /// R⁻ᵀ·contrast, for a contrast of length p.
    pub(super) fn loading(&self, contrast: &[f64]) -> Vec<f64> {
        (0..contrast.len())
            .map(|k| compensated_sum((0..=k).map(|j| contrast[j] * self.r_inverse[j][k])))
            .collect()
    }

    /// Refuses a fit in which an observation has leverage one.
    pub(super) fn check_leverages(&self) -> Result<(), FitError> {
        match self.leverages.iter().position(|h| 1.0 - h < MIN_FREEDOM) {
            Some(i) => Err(FitError::Singular {
                what: format!("the fit without observation {i}, whose leverage is one,"),
            }),
            None => Ok(()),
        }
    }
}

/// The thin Q (by columns) and R (by rows) of the columns with their rows multiplied by
/// `root_weights`.
type Factors = (Vec<Vec<f64>>, Vec<Vec<f64>>);

fn orthogonalise(columns: &[&[f64]], root_weights: &[f64]) -> Result<Factors, FitError> {
    let (n, p) = (root_weights.len(), columns.len());
    let mut q: Vec<Vec<f64>> = Vec::with_capacity(p);
    let mut r = vec![vec![0.0; p]; p];
    for (k, column) in columns.iter().enumerate() {
        check_length("column", column.len(), n)?;
        check_finite("column", column)?;
        let mut v: Vec<f64> = column
            .iter()
            .zip(root_weights)
            .map(|(x, w)| x * w)
            .collect();
        let length = dot(&v, &v).sqrt();
        for _ in 0..2 {
            for (j, basis) in q.iter().enumerate() {
                let projection = dot(basis, &v);
                r[j][k] += projection;
                subtract(&mut v, projection, basis);
            }
        }
        let rest = dot(&v, &v).sqrt();
        // Also refuses NaN, from a zero column or an overflowing square.
        if !(rest / length > MIN_COLUMN_ANGLE && rest.is_finite()) {
            return Err(FitError::Singular {
                what: format!("coefficient {k}"),
            });
        }
        r[k][k] = rest;
        v.iter_mut().for_each(|v| *v /= rest);
        q.push(v);
    }
    Ok((q, r))
}

/// v − k·basis, in place.
pub(super) fn subtract(v: &mut [f64], k: f64, basis: &[f64]) {
    for (v, b) in v.iter_mut().zip(basis) {
        *v -= k * b;
    }
}

/// R⁻¹ of an upper triangular R with a nonzero diagonal, by rows.
fn invert_upper(r: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let p = r.len();
    let mut inverse = vec![vec![0.0; p]; p];
    for k in 0..p {
        inverse[k][k] = 1.0 / r[k][k];
        for j in (0..k).rev() {
            let above = compensated_sum((j + 1..=k).map(|i| r[j][i] * inverse[i][k]));
            inverse[j][k] = -above / r[j][j];
        }
    }
    inverse
}
