//! Fieller's confidence set for the ratio of two estimates.
//!
//! # References
//! E. C. Fieller (1954), *Journal of the Royal Statistical Society B* 16:175.

use serde::{Deserialize, Serialize};

/// A confidence set for a ratio; it need not be an interval.
///
/// # References
/// E. C. Fieller (1954), *Journal of the Royal Statistical Society B* 16:175.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
// Exhaustive: the solutions of a quadratic inequality take no other form.
pub enum ConfidenceSet {
    /// \[lower, upper\].
    Bounded {
        /// The lower end.
        lower: f64,
        /// The upper end.
        upper: f64,
    },
    /// (−∞, below\] ∪ \[above, ∞): the slope may be zero, so the crossing may be anywhere but near.
    Outside {
        /// The upper end of the lower ray.
        below: f64,
        /// The lower end of the upper ray.
        above: f64,
    },
    /// (−∞, upper\].
    Below {
        /// The upper end.
        upper: f64,
    },
    /// \[lower, ∞).
    Above {
        /// The lower end.
        lower: f64,
    },
    /// Every number: the data say nothing.
    Everything,
    /// No number: a line that is exactly flat and not zero.
    Empty,
}

impl ConfidenceSet {
    /// True if `x` belongs to the set.
    pub fn contains(&self, x: f64) -> bool {
        match *self {
            Self::Bounded { lower, upper } => lower <= x && x <= upper,
            Self::Outside { below, above } => x <= below || x >= above,
            Self::Below { upper } => x <= upper,
            Self::Above { lower } => x >= lower,
            Self::Everything => !x.is_nan(),
            Self::Empty => false,
        }
    }

    /// The set moved by `shift`.
    #[must_use]
    pub(crate) fn shifted(self, shift: f64) -> Self {
        match self {
            Self::Bounded { lower, upper } => Self::Bounded {
                lower: lower + shift,
                upper: upper + shift,
            },
            Self::Outside { below, above } => Self::Outside {
                below: below + shift,
                above: above + shift,
            },
            Self::Below { upper } => Self::Below {
                upper: upper + shift,
            },
            Self::Above { lower } => Self::Above {
                lower: lower + shift,
            },
            Self::Everything | Self::Empty => self,
        }
    }
}

/// Fieller's set for the x with a + d·x = 0: {x : (â + d̂x)² ≤ t²·Var(â + d̂x)}.
///
/// `point` is \[â, d̂\], `variance` is \[Var â, Cov(â, d̂), Var d̂\] and `critical` the two-sided t
/// quantile. The set is bounded exactly when the slope differs significantly from zero. With a
/// number that is not finite nothing is known, and the answer is [`ConfidenceSet::Everything`].
///
/// # References
/// E. C. Fieller (1954), *Journal of the Royal Statistical Society B* 16:175.
pub(crate) fn fieller(point: [f64; 2], variance: [f64; 3], critical: f64) -> ConfidenceSet {
    let [a, d] = point;
    let t2 = critical * critical;
    // A x² + 2B x + C ≤ 0.
    let qa = d * d - t2 * variance[2];
    let qb = a * d - t2 * variance[1];
    let qc = a * a - t2 * variance[0];
    let discriminant = qb * qb - qa * qc;
    // Squares of large logarithms overflow. Saying "anywhere" is the only honest answer then.
    if !(qa.is_finite() && qb.is_finite() && qc.is_finite() && discriminant.is_finite()) {
        return ConfidenceSet::Everything;
    }
    // The quadratic is a line: the set is a ray, or all or nothing.
    if qa == 0.0 {
        return match (qb == 0.0, qc <= 0.0) {
            (true, true) => ConfidenceSet::Everything,
            (true, false) => ConfidenceSet::Empty,
            (false, _) if qb > 0.0 => ConfidenceSet::Below {
                upper: -qc / (2.0 * qb),
            },
            (false, _) => ConfidenceSet::Above {
                lower: -qc / (2.0 * qb),
            },
        };
    }
    if discriminant <= 0.0 {
        return if qa > 0.0 {
            // The estimate always satisfies the inequality, so this is rounding at zero width.
            let x = -a / d;
            ConfidenceSet::Bounded { lower: x, upper: x }
        } else {
            ConfidenceSet::Everything
        };
    }
    // The root of larger size first, the other by Vieta, so that neither cancels.
    let large = -(qb + discriminant.sqrt().copysign(qb));
    let (one, two) = (large / qa, if large == 0.0 { 0.0 } else { qc / large });
    let (low, high) = (one.min(two), one.max(two));
    if !(low.is_finite() && high.is_finite()) {
        return ConfidenceSet::Everything;
    }
    if qa > 0.0 {
        ConfidenceSet::Bounded {
            lower: low,
            upper: high,
        }
    } else {
        ConfidenceSet::Outside {
            below: low,
            above: high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fieller_takes_every_form() {
        let t = 2.0;
        let contains_estimate = |a: f64, d: f64, set: ConfidenceSet| set.contains(-a / d);
        let bounded = fieller([1.0, 1.0], [0.01, 0.0, 0.01], t);
        assert!(matches!(bounded, ConfidenceSet::Bounded { .. }));
        assert!(contains_estimate(1.0, 1.0, bounded));
        let outside = fieller([1.0, 0.1], [0.01, 0.0, 0.01], t);
        assert!(matches!(outside, ConfidenceSet::Outside { .. }));
        assert!(contains_estimate(1.0, 0.1, outside) && !outside.contains(0.0));
        assert_eq!(
            fieller([0.1, 0.1], [1.0, 0.0, 1.0], t),
            ConfidenceSet::Everything
        );
        assert_eq!(fieller([1.0, 0.0], [0.0; 3], t), ConfidenceSet::Empty);
        assert_eq!(fieller([0.0, 0.0], [0.0; 3], t), ConfidenceSet::Everything);
        assert_eq!(
            fieller([1.0, 2.0], [0.0, 0.0, 1.0], t),
            ConfidenceSet::Below { upper: -0.25 }
        );
        assert_eq!(
            fieller([1.0, -2.0], [0.0, 0.0, 1.0], t),
            ConfidenceSet::Above { lower: 0.25 }
        );
        assert_eq!(
            fieller([f64::NAN, 1.0], [0.0; 3], t),
            ConfidenceSet::Everything
        );
    }
}
