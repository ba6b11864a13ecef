//! Variances of least-squares coefficients: classical, heteroskedasticity-robust, clustered.
//!
//! # References
//! - J. G. MacKinnon, H. White (1985), *Journal of Econometrics* 29:305 (HC2, HC3).
//! - R. M. Bell, D. F. McCaffrey (2002), *Survey Methodology* 28:169 (CR2 and its degrees of
//!   freedom); J. E. Pustejovsky, E. Tipton (2018), *JBES* 36:672.
//! - F. E. Satterthwaite (1946), *Biometrics Bulletin* 2:110.

use nalgebra::{DMatrix, SymmetricEigen};

use super::estimate::TEstimate;
use super::linear::{LinearFit, subtract};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_length};
use crate::fit::stats::sums::{compensated_sum, dot};

/// Eigenvalues of I − H_gg below this belong to directions that a cluster determines alone.
// Such directions have zero residuals, so leaving them out (a pseudo-inverse) loses nothing.
const MIN_EIGENVALUE: f64 = 1e-10;

/// An estimator of the variance of least-squares coefficients.
///
/// Clusters are given as one label per observation; labels need not be contiguous. Degrees of
/// freedom are n − p for the classical form and Satterthwaite's, (Σ P_gg)²/Σ P_gh², for all
/// others. P is the covariance matrix, under independent errors of equal variance, of the terms
/// a_g'A_g·e_g that the robust variance squares and adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors<'a> {
    /// s²(X'X)⁻¹.
    Classical,
    /// Residuals divided by √(1 − hᵢ).
    Hc2,
    /// Residuals divided by 1 − hᵢ (close to the jackknife).
    Hc3,
    /// Residuals of a cluster multiplied by (I − H_gg)^(−½); singletons give HC2.
    Cr2(&'a [usize]),
}

impl LinearFit {
    /// contrast'β̂ with its standard error and degrees of freedom.
    ///
    /// # Errors
    /// When `contrast` is not of length p, no residual degree of freedom is left, cluster labels
    /// are not one per observation or name fewer than two clusters, or an observation of
    /// leverage one makes the form of `errors` undefined.
    pub(crate) fn estimate(
        &self,
        contrast: &[f64],
        errors: Errors<'_>,
    ) -> Result<TEstimate, FitError> {
        check_count(
            "observations",
            self.residuals.len(),
            self.coefficients.len() + 1,
        )?;
        check_length("contrast", contrast.len(), self.coefficients.len())?;
        if errors == Errors::Classical {
            return Ok(self.classical(contrast));
        }
        let weights = self.whitened_weights(contrast)?;
        let blocks = self.blocks(errors)?;
        let residuals = self.whitened_residuals();
        // A block's contribution is a linear form in y: (a_g'A_g) e_g = q_g'y, q_g = (I − H)A_g a_g.
        // The contrast is carried through before squaring: the variance is a sum of squares and
        // cannot turn negative, unlike contrast'·V·contrast with a rounded V.
        let forms: Vec<Vec<f64>> = blocks.iter().map(|b| b.adjusted(&weights)).collect();
        let variance = compensated_sum(
            blocks
                .iter()
                .zip(&forms)
                .map(|(block, form)| block.dot(form, &residuals).powi(2)),
        );
        Ok(TEstimate {
            value: dot(contrast, &self.coefficients),
            standard_error: variance.sqrt(),
            df: self.satterthwaite(&blocks, &forms),
        })
    }

    /// The covariance matrix of β̂, by rows.
    ///
    /// # Errors
    /// As [`LinearFit::estimate`].
    pub(crate) fn covariance(&self, errors: Errors<'_>) -> Result<Vec<Vec<f64>>, FitError> {
        let p = self.coefficients.len();
        check_count("observations", self.residuals.len(), p + 1)?;
        if errors == Errors::Classical {
            let variance = self.variance();
            let entry = |a: &[f64], b: &[f64]| variance * dot(a, b);
            let rows = &self.r_inverse;
            return Ok(rows
                .iter()
                .map(|a| rows.iter().map(|b| entry(a, b)).collect())
                .collect());
        }
        let residuals = self.whitened_residuals();
        let mut covariance = vec![vec![0.0; p]; p];
        for block in self.blocks(errors)? {
            let adjusted = block.adjusted(&residuals);
            let scores: Vec<f64> = self.q.iter().map(|q| block.dot(&adjusted, q)).collect();
            let step: Vec<f64> = self.r_inverse.iter().map(|row| dot(row, &scores)).collect();
            for (row, a) in covariance.iter_mut().zip(&step) {
                for (cell, b) in row.iter_mut().zip(&step) {
                    *cell += a * b;
                }
            }
        }
        Ok(covariance)
    }

    /// contrast'β̂ under errors of equal variance.
    pub(super) fn classical(&self, contrast: &[f64]) -> TEstimate {
        let loading = self.loading(contrast);
        let variance = self.variance() * dot(&loading, &loading);
        TEstimate {
            value: dot(contrast, &self.coefficients),
            standard_error: variance.sqrt(),
            df: self.df() as f64,
        }
    }

    /// (tr P)²/tr P² with P_gh = q_g'q_h.
    fn satterthwaite(&self, blocks: &[Block], forms: &[Vec<f64>]) -> f64 {
        let projected: Vec<Vec<f64>> = blocks
            .iter()
            .zip(forms)
            .map(|(block, form)| {
                // The form is projected rather than I − H formed: with clusters, groups × n numbers
                // instead of n × n.
                let mut full = vec![0.0; self.residuals.len()];
                for (i, v) in block.members.iter().zip(form) {
                    full[*i] = *v;
                }
                for basis in &self.q {
                    subtract(&mut full, block.dot(form, basis), basis);
                }
                full
            })
            .collect();
        let (mut trace, mut square) = (0.0, 0.0);
        for (g, a) in projected.iter().enumerate() {
            for (h, b) in projected.iter().enumerate().take(g + 1) {
                let product = dot(a, b);
                if g == h {
                    trace += product;
                    square += product * product;
                } else {
                    square += 2.0 * product * product;
                }
            }
        }
        trace * trace / square
    }

    /// The blocks of a robust variance, with their adjustments.
    fn blocks(&self, errors: Errors<'_>) -> Result<Vec<Block>, FitError> {
        let power = match errors {
            Errors::Cr2(labels) => return self.clusters(labels),
            Errors::Classical => 0.0,
            Errors::Hc2 => -0.5,
            Errors::Hc3 => -1.0,
        };
        self.check_leverages()?;
        Ok((self.leverages.iter().enumerate())
            .map(|(i, h)| Block {
                members: vec![i],
                own: (1.0 - h).powf(power),
                inner: Vec::new(),
                rows: Vec::new(),
            })
            .collect())
    }

    /// Clusters in order of their labels, each with (I − H_gg)^(−½).
    fn clusters(&self, labels: &[usize]) -> Result<Vec<Block>, FitError> {
        check_length("cluster labels", labels.len(), self.residuals.len())?;
        let mut order: Vec<usize> = (0..labels.len()).collect();
        // A stable sort fixes the order of the sums, hence their last bit.
        order.sort_by_key(|i| labels[*i]);
        let groups: Vec<&[usize]> = order.chunk_by(|a, b| labels[*a] == labels[*b]).collect();
        check_count("clusters", groups.len(), 2)?;
        (groups.into_iter())
            .map(|members| self.inverse_root(members))
            .collect()
    }

    /// (I − H_gg)^(−½), leaving out the directions that the cluster determines alone.
    ///
    /// H_gg = Q_g·Q_g' has the rank of the coefficients, few beside a cluster of checkpoints, so that the
    /// eigenvalues s of Q_g'Q_g say all: the root is I + Q_g·V·c·V'·Q_g' with c = ((1 − s)^(−½) − 1)/s.
    fn inverse_root(&self, members: &[usize]) -> Result<Block, FitError> {
        let rows: Vec<Vec<f64>> = (self.q.iter())
            .map(|q| members.iter().map(|i| q[*i]).collect())
            .collect();
        let p = rows.len();
        let product =
            |a: usize, b: usize| compensated_sum(rows[a].iter().zip(&rows[b]).map(|(x, y)| x * y));
        let matrix = DMatrix::from_fn(p, p, |a, b| product(a.min(b), a.max(b)));
        let eigen = SymmetricEigen::try_new(matrix, f64::EPSILON, 10_000).ok_or(
            FitError::NoConvergence {
                what: "the eigenvalues of a cluster's leverage matrix".to_owned(),
            },
        )?;
        let scale = |s: f64| {
            if 1.0 - s < MIN_EIGENVALUE {
                -1.0 / s
            } else if s < f64::EPSILON {
                0.5
            } else {
                libm::expm1(-0.5 * libm::log1p(-s)) / s
            }
        };
        let vectors = &eigen.eigenvectors;
        let inner = |a: usize, b: usize| {
            let values = eigen.eigenvalues.iter().enumerate();
            compensated_sum(values.map(|(k, s)| vectors[(a, k)] * scale(*s) * vectors[(b, k)]))
        };
        Ok(Block {
            members: members.to_vec(),
            own: 1.0,
            inner: (0..p)
                .map(|a| (0..p).map(|b| inner(a, b)).collect())
                .collect(),
            rows,
        })
    }
}

/// One term of a robust variance Σ_g (a_g'A_g·e_g)².
struct Block {
    /// The observations g.
    members: Vec<usize>,
    /// A_g = own·I + rows'·inner·rows.
    own: f64,
    /// By rows; empty with `rows`.
    inner: Vec<Vec<f64>>,
    /// Per coefficient, a number per observation of the block.
    rows: Vec<Vec<f64>>,
}

impl Block {
    /// A_g·v_g, for a v over all observations.
    fn adjusted(&self, v: &[f64]) -> Vec<f64> {
        let mut adjusted: Vec<f64> = self.members.iter().map(|i| v[*i]).collect();
        let projected: Vec<f64> = self.rows.iter().map(|row| dot(row, &adjusted)).collect();
        for value in &mut adjusted {
            *value *= self.own;
        }
        for (row, inner) in self.rows.iter().zip(&self.inner) {
            subtract(&mut adjusted, -dot(inner, &projected), row);
        }
        adjusted
    }

    /// own'v_g, for `own` over this block and v over all observations.
    fn dot(&self, own: &[f64], v: &[f64]) -> f64 {
        compensated_sum(self.members.iter().zip(own).map(|(i, a)| a * v[*i]))
    }
}
