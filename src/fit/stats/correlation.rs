//! Correlations of residuals, shrunk towards their mean.
//!
//! # References
//! J. Schäfer, K. Strimmer (2005), *Statistical Applications in Genetics and Molecular Biology* 4:32.

use super::sums::dot;

/// Correlations of `residuals` (of one length, about zero), each drawn towards the mean of all.
///
/// r* = λ·r̄ + (1 − λ)·r with λ = Σ (1 − r²)²/df / Σ (r − r̄)², at most 1: the share of their spread
/// that sampling explains when a correlation has `df` degrees of freedom. By rows, with a unit
/// diagonal; residuals that are all zero are correlated with nothing.
pub(crate) fn shrunk_correlation(residuals: &[&[f64]], df: f64) -> Vec<Vec<f64>> {
    let n = residuals.len();
    let unit: Vec<Vec<f64>> = residuals
        .iter()
        .map(|e| {
            let norm = dot(e, e).sqrt();
            e.iter()
                // An exact fit leaves residuals of zero: 0/0 would spread NaN over every pair.
                .map(|v| if norm > 0.0 { v / norm } else { 0.0 })
                .collect()
        })
        .collect();
    let pairs: Vec<(usize, usize, f64)> = (0..n)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| (i, j, dot(&unit[i], &unit[j])))
        .collect();
    // A single series has no pairs; `max(1)` keeps its mean at zero instead of NaN.
    let mean = pairs.iter().map(|p| p.2).sum::<f64>() / pairs.len().max(1) as f64;
    let noise: f64 = pairs.iter().map(|p| (1.0 - p.2 * p.2).powi(2) / df).sum();
    let spread: f64 = pairs.iter().map(|p| (p.2 - mean).powi(2)).sum();
    // Also true where both are zero: correlations that agree exactly have nothing left to shrink.
    let share = if spread > noise { noise / spread } else { 1.0 };
    let mut all = vec![vec![0.0; n]; n];
    for (i, row) in all.iter_mut().enumerate() {
        row[i] = 1.0;
    }
    for (i, j, r) in pairs {
        let r = share * mean + (1.0 - share) * r;
        (all[i][j], all[j][i]) = (r, r);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_and_its_copy_are_one_and_noise_is_drawn_together() {
        let e = [1.0, -2.0, 0.5, 0.5];
        let same = shrunk_correlation(&[&e, &e, &e], 2.0);
        assert!(same.iter().flatten().all(|r| (r - 1.0).abs() < 1e-12));
        // Spread no wider than that of noise is shrunk away altogether.
        let other = [1.0, -1.0, 1.0, -1.0];
        let third = [0.5, 0.5, -2.0, 1.0];
        let drawn = shrunk_correlation(&[&e, &other, &third], 1.0);
        assert_eq!(drawn[0][1], drawn[0][2]);
        assert_eq!(drawn[1][2], drawn[2][1]);
    }
}
