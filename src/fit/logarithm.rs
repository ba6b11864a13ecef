//! Logarithms and back, within what a result can hold.

/// Largest `|ln E|` and `|ln G|` of a result. Beyond it the ends of an interval, `exp(600 + t·SE)`,
/// overflow to infinity (`exp(709.8)`), which JSON cannot hold.
pub(crate) const LARGEST_LOG: f64 = 600.0;

/// `exp` that stays finite and positive, because JSON has no infinity: 700 is just inside the range of
/// `f64` (`exp(709.8)` overflows).
pub(crate) fn exp(x: f64) -> f64 {
    libm::exp(x.clamp(-700.0, 700.0))
}

/// If true, `log` is a logarithm that a result can hold.
pub(crate) fn is_representable(log: f64) -> bool {
    log.is_finite() && log.abs() < LARGEST_LOG
}

/// Smallest and largest of `values`.
pub(crate) fn range(values: &[f64]) -> [f64; 2] {
    [
        values.iter().copied().fold(f64::INFINITY, f64::min),
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    ]
}
