//! Huber's weights for several least-squares fits that share one noise.
//!
//! # References
//! P. J. Huber (1964), *Annals of Mathematical Statistics* 35:73; P. J. Huber, E. M. Ronchetti (2009),
//! *Robust Statistics*, §7.8 (iterated weights).

use super::regression::{Block, LinearFit};

/// Residuals up to so many standard deviations keep their weight: 95 % efficiency under normal noise.
const TUNING: f64 = 1.345;
/// Median of |N(0, 1)|, which turns a median absolute residual into a standard deviation.
const MEDIAN_OF_NORMAL: f64 = 0.674_489_750_196_081_7;
/// Iterations, of which some ten are needed.
const MOST_STEPS: usize = 100;

/// Weights in (0, 1] of the observations of each block: `min(1, k·s/|r|)` with residuals `r` divided by
/// `√(1 − h)` and their scale `s` by the median over all blocks. All ones where a block cannot be
/// fitted or nothing scatters.
pub(crate) fn huber_weights(blocks: &[Block]) -> Vec<Vec<f64>> {
    let mut weights: Vec<Vec<f64>> = blocks.iter().map(|b| vec![1.0; b.y.len()]).collect();
    let Some(free) = (blocks.iter().zip(&weights))
        .map(|(b, w)| fit(b, w).map(|f| freedom(&f)))
        .collect::<Option<Vec<_>>>()
    else {
        return weights;
    };
    for _ in 0..MOST_STEPS {
        let Some(residuals) = (blocks.iter().zip(&weights).zip(&free))
            .map(|((b, w), free)| Some(standardised(&fit(b, w)?, free)))
            .collect::<Option<Vec<_>>>()
        else {
            return blocks.iter().map(|b| vec![1.0; b.y.len()]).collect();
        };
        let scale = median(residuals.iter().flatten().copied()) / MEDIAN_OF_NORMAL;
        // More than half of the residuals vanish: there is no noise to measure the others by.
        if scale.is_nan() || scale <= 0.0 {
            return weights;
        }
        let next: Vec<Vec<f64>> = (residuals.iter())
            .map(|r| r.iter().map(|r| (TUNING * scale / r).min(1.0)).collect())
            .collect();
        let change = (next.iter().flatten().zip(weights.iter().flatten()))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        weights = next;
        // Weights enter readings to first order: 1e-10 is below what any digit shows.
        if change < 1e-10 {
            break;
        }
    }
    weights
}

fn fit(block: &Block, weights: &[f64]) -> Option<LinearFit> {
    let columns: Vec<&[f64]> = block.columns.iter().map(Vec::as_slice).collect();
    LinearFit::weighted(&columns, &block.y, weights).ok()
}

/// `√(1 − h)` of the unweighted fit; 0 where the fit follows the observation whatever it is.
fn freedom(fit: &LinearFit) -> Vec<f64> {
    let free = |h: &f64| {
        if 1.0 - h > 1e-8 {
            (1.0 - h).sqrt()
        } else {
            0.0
        }
    };
    fit.leverages().iter().map(free).collect()
}

/// |residuals| over `√(1 − h)`; 0 for observations of leverage one.
fn standardised(fit: &LinearFit, free: &[f64]) -> Vec<f64> {
    (fit.residuals().iter().zip(free))
        .map(|(e, f)| if *f > 0.0 { e.abs() / f } else { 0.0 })
        .collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => 0.5 * (values[n / 2 - 1] + values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(shift: f64) -> Vec<Block> {
        let x: Vec<f64> = (0..20).map(f64::from).collect();
        let mut y: Vec<f64> = x
            .iter()
            .map(|x| 1.0 + 0.5 * x + 0.1 * (7.3 * x).sin())
            .collect();
        y[6] += shift;
        vec![Block {
            labels: (0..20).collect(),
            columns: vec![vec![1.0; 20], x],
            y,
        }]
    }

    #[test]
    fn an_outlier_loses_its_weight_and_the_rest_keep_theirs() {
        let weights = &huber_weights(&line(100.0))[0];
        assert!(weights[6] < 0.01, "{weights:?}");
        let rest = weights.iter().enumerate().filter(|(i, _)| *i != 6);
        assert!(
            rest.map(|(_, w)| *w).fold(1.0, f64::min) > 0.5,
            "{weights:?}"
        );
        let fit = fit(&line(100.0)[0], weights).unwrap();
        assert!((fit.coefficients()[1] - 0.5).abs() < 0.01);
    }

    #[test]
    fn weights_do_not_depend_on_units() {
        let one = huber_weights(&line(1.0));
        let mut scaled = line(1.0);
        scaled[0].y.iter_mut().for_each(|y| *y *= 1e3);
        for (a, b) in one[0].iter().zip(&huber_weights(&scaled)[0]) {
            assert!((a - b).abs() < 1e-7, "{a} {b}");
        }
        let exact = Block {
            y: (0..20).map(|x| 1.0 + 0.5 * f64::from(x)).collect(),
            ..line(0.0)[0].clone()
        };
        assert!(huber_weights(&[exact])[0].iter().all(|w| *w > 0.0));
    }
}
