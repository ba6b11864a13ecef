//! Estimates with intervals, and the two coefficients of a law with their covariance.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use super::stats::regression::TEstimate;

/// A point estimate with its interval and two-sided test of zero.
// Exhaustive: a statistic, its interval and its test are all there is, and callers build their own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Estimate {
    /// Point estimate.
    pub value: f64,
    /// Standard error.
    pub standard_error: f64,
    /// Degrees of freedom of the t distribution that the estimate is compared with.
    pub df: f64,
    /// Lower end of the `1 − alpha` interval.
    pub lower: f64,
    /// Upper end of the `1 − alpha` interval.
    pub upper: f64,
    /// Two-sided p-value of zero.
    pub p_value: f64,
}

impl Estimate {
    pub(crate) fn new(value: f64, variance: f64, df: f64, alpha: f64) -> Self {
        let bare = TEstimate {
            value,
            // Variances are sums of estimates; a negative one is rounding, and its root would be
            // NaN.
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

    /// The estimate of the quantity with its sign reversed.
    pub(crate) fn negated(self) -> Self {
        Self {
            value: -self.value,
            lower: -self.upper,
            upper: -self.lower,
            ..self
        }
    }

    /// The interval at another confidence level.
    #[must_use]
    pub fn at_level(&self, level: f64) -> Interval {
        let (lower, upper) = self.bare().interval(level);
        Interval {
            value: self.value,
            lower,
            upper,
        }
    }

    /// p-value of the two one-sided tests of a true value beyond `margin` in either direction.
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
// Exhaustive: three numbers by definition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// One of the two coefficients of a law `ln G = level + slope · ln(F/F0)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coefficient {
    /// `ln G` at `F0`.
    Level,
    /// The exponent.
    Slope,
}

impl Coefficient {
    /// Its column in a regression whose first term is constant and whose second is the scale.
    pub(crate) fn column(self) -> usize {
        match self {
            Self::Level => 0,
            Self::Slope => 1,
        }
    }
}

/// One value per coefficient of a law.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct PerCoefficient<T> {
    pub(crate) level: T,
    pub(crate) slope: T,
}

impl<T> PerCoefficient<T> {
    pub(crate) fn from_fn(mut f: impl FnMut(Coefficient) -> T) -> Self {
        Self {
            level: f(Coefficient::Level),
            slope: f(Coefficient::Slope),
        }
    }
}

impl<T> Index<Coefficient> for PerCoefficient<T> {
    type Output = T;
    fn index(&self, coefficient: Coefficient) -> &T {
        match coefficient {
            Coefficient::Level => &self.level,
            Coefficient::Slope => &self.slope,
        }
    }
}

impl<T> IndexMut<Coefficient> for PerCoefficient<T> {
    fn index_mut(&mut self, coefficient: Coefficient) -> &mut T {
        match coefficient {
            Coefficient::Level => &mut self.level,
            Coefficient::Slope => &mut self.slope,
        }
    }
}

/// Covariance matrix of level and slope.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct LineCovariance {
    /// Variance of the level.
    pub(crate) level: f64,
    /// Covariance of level and slope.
    pub(crate) cross: f64,
    /// Variance of the slope.
    pub(crate) slope: f64,
}

impl LineCovariance {
    pub(crate) fn outer(v: PerCoefficient<f64>) -> Self {
        Self {
            level: v.level * v.level,
            cross: v.level * v.slope,
            slope: v.slope * v.slope,
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

    pub(crate) fn variance(&self, coefficient: Coefficient) -> f64 {
        match coefficient {
            Coefficient::Level => self.level,
            Coefficient::Slope => self.slope,
        }
    }

    /// Variance of `level + x · slope`.
    pub(crate) fn at(self, x: f64) -> f64 {
        // A clamped covariance may leave rounding below zero where the band is narrowest.
        (self.level + 2.0 * x * self.cross + x * x * self.slope).max(0.0)
    }
}
