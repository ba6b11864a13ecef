//! Results across the distributions and corpora of an analysis.

use serde::{Deserialize, Serialize};

use super::{Estimate, Interval, SimulatedQuantile};

/// A linear combination of log errors, `Σ c_d ln E_d`, followed along the scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// Exponents of the treatments of one corpus, drawn towards their mean (empirical Bayes).
///
/// `θ̃ = B·μ̂ + (1 − B)·Δβ` with `B = w/(w + τ²)`, `w` the variance of an exponent without the error that
/// all share. Intervals add the error of `μ̂`, that of `τ²` and the shared one; they cover on average
/// over the treatments, not each for itself.
///
/// **Assumptions**: the treatments are a sample of one kind, with normal exponents; the errors of two
/// treatments are correlated by one common part only (the baseline and shared runs).
///
/// # References
///
/// C. N. Morris (1983), *JASA* 78:47; N. G. N. Prasad, J. N. K. Rao (1990), *JASA* 85:163; G. S. Datta,
/// P. Lahiri (2000), *Statistica Sinica* 10:613.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PartialPooling {
    /// The corpus.
    pub corpus: String,
    /// Mean exponent against the baseline.
    pub mean: Estimate,
    /// `τ`, the standard deviation between treatments (REML).
    pub tau: f64,
    /// Standard error that all treatments share, such as that of the baseline.
    pub shared_error: f64,
    /// Treatments that every run has.
    pub treatments: Vec<ShrunkExponent>,
}

/// One exponent drawn towards the mean of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ShrunkExponent {
    /// The treatment.
    pub treatment: String,
    /// `Δβ` by itself, as its law has it.
    pub raw: Estimate,
    /// `Δβ` drawn towards the mean.
    pub delta_beta: Estimate,
    /// Share of the way to the mean, `B`.
    pub share: f64,
}

/// Slope of the exponents on a covariate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
