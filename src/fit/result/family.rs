//! Results across the distributions and corpora of an analysis.

use serde::{Deserialize, Serialize};

use super::{Estimate, Interval, SimulatedQuantile};

/// A linear combination of log errors, `Σ c_d ln E_d`, followed along the scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContrastLaw {
    /// Name of the contrast, for example `news` or `news: web − books`.
    pub name: String,
    /// The corpus, or both.
    pub corpora: Vec<String>,
    /// Exponent of the contrast.
    pub exponent: Estimate,
    /// Level of the contrast at the reference scale, in nats.
    pub level: Interval,
    /// Holm-adjusted p-value over the contrasts of this kind.
    pub holm_p: f64,
}

/// Spread of the exponents of the distributions of one corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Heterogeneity {
    /// The corpus.
    pub corpus: String,
    /// Number of distributions.
    pub distributions: usize,
    /// Test statistic of equal centred exponents.
    pub q: f64,
    /// p-value of that test.
    pub p_value: f64,
    /// Standard deviation between distributions (REML).
    pub tau: f64,
    /// Share of the spread that is not noise.
    pub i_squared: f64,
    /// If true, the common covariance was simplified, because there are more distributions than
    /// readings or because items or groups of readings enter it.
    pub approximate: bool,
}

/// Slope of the exponents on a covariate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CovariateSlope {
    /// The corpus.
    pub corpus: String,
    /// Number of distributions that have the covariate.
    pub distributions: usize,
    /// Slope for these distributions.
    pub fixed: Estimate,
    /// Slope with the distributions as a sample (REML, Knapp–Hartung).
    pub sample: Option<Estimate>,
    /// Permutation p-value over the distributions.
    pub permutation_p: Option<f64>,
}

/// The largest |t| over all laws: its quantile by 9,999 draws from a multivariate t.
///
/// The correlations of the laws come from the residuals of readings that they share, shrunk towards
/// their mean (as many laws share a baseline), and from clusters of items that they share; laws over
/// other runs are taken as uncorrelated, which is on the safe side. The degrees of freedom are the
/// fewest of any law.
///
/// # References
///
/// O. Ledoit, M. Wolf (2004), *Journal of Portfolio Management* 30:110 (constant correlation);
/// J. Schäfer, K. Strimmer (2005), *SAGMB* 4:32 (intensity); Z. Šidák (1967), *JASA* 62:626.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MaxT {
    /// Number of laws in the family.
    pub laws: usize,
    /// Degrees of freedom.
    pub df: f64,
    /// The `1 − alpha` quantile of the largest |t|.
    pub critical: SimulatedQuantile,
    /// Level of the interval of each law that goes with it.
    pub level: f64,
}
