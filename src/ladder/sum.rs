//! Sums that do not depend on the order of their terms.

/// A sum in double-double arithmetic. Plain summation depends on the order of the rows in its last
/// digits; this one does so only with a probability of about `n·2⁻⁵³`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    /// The sum with these [`parts`](Self::parts).
    pub(super) fn of_parts(high: f64, low: f64) -> Self {
        Self { high, low }
    }

    /// The rounded sum, and the sum of the rounding errors.
    pub(super) fn parts(self) -> (f64, f64) {
        (self.high, self.low)
    }

    pub(super) fn add(&mut self, value: f64) {
        let s = self.high + value;
        // Knuth's two-sum, without a branch on which term is larger; the error of the addition is
        // exact.
        let b = s - self.high;
        self.low += (self.high - (s - b)) + (value - b);
        self.high = s;
    }

    pub(super) fn value(self) -> f64 {
        // An overflow leaves NaN in `low`; the infinity is the honest value.
        if self.high.is_finite() {
            self.high + self.low
        } else {
            self.high
        }
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(iter: I) -> Self {
        let mut sum = Self::default();
        for v in iter {
            sum.add(v);
        }
        sum
    }
}
