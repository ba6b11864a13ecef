//! Fits, variances and influence against their definitions.

use super::*;
use crate::fit::error::FitError;
use crate::fit::stats::sums::dot;

#[test]
fn contrast_weights_reproduce_the_estimate() {
    let x = [0.3, 1.0, 1.7, 2.9, 4.0];
    let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
    let y = [1.0, 0.2, -0.4, 0.9, 3.0];
    let weights = [1.0, 2.0, 0.5, 4.0, 1.0];
    let fit = LinearFit::weighted(&[&[1.0; 5], &x, &squares], &y, &weights).unwrap();
    let contrast = [0.3, -1.0, 2.0];
    let w = fit.weights_of(&contrast).unwrap();
    let direct = dot(&contrast, fit.coefficients());
    assert!((dot(&w, &y) - direct).abs() < 1e-13);
    let classical = fit.covariance(Errors::Classical).unwrap();
    let robust = fit.covariance(Errors::Hc3).unwrap();
    for (matrix, kind) in [(classical, Errors::Classical), (robust, Errors::Hc3)] {
        let quadratic: f64 = (0..3)
            .flat_map(|i| (0..3).map(move |j| (i, j)))
            .map(|(i, j)| contrast[i] * matrix[i][j] * contrast[j])
            .sum();
        let estimate = fit.estimate(&contrast, kind).unwrap();
        assert!((estimate.standard_error - quadratic.sqrt()).abs() < 1e-12);
    }
}

#[test]
fn influence_is_the_refit() {
    let x = [0.3, 1.0, 1.7, 2.9, 4.0, 4.4];
    let y = [1.0, 0.2, -0.4, 0.9, 3.0, 3.3];
    let line = Line::new(&x, &y).unwrap();
    let influence = line.fit().influence().unwrap();
    for i in 0..6 {
        let keep = |v: &[f64]| -> Vec<f64> {
            v.iter()
                .enumerate()
                .filter(|(k, _)| *k != i)
                .map(|(_, v)| *v)
                .collect()
        };
        let refit = Line::new(&keep(&x), &keep(&y)).unwrap();
        assert!((refit.slope().value - influence.without[i][1]).abs() < 1e-12);
    }
}

#[test]
fn bad_inputs_are_refused_by_name() {
    assert!(matches!(Line::new(&[], &[]), Err(FitError::TooFew { .. })));
    assert!(matches!(
        Line::new(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]),
        Err(FitError::Singular { .. })
    ));
    assert!(matches!(
        Line::new(&[1.0, f64::NAN, 2.0], &[1.0; 3]),
        Err(FitError::Domain { .. })
    ));
    assert!(matches!(
        Line::new(&[1.0], &[1.0; 3]),
        Err(FitError::Length { .. })
    ));
    assert!(Line::new(&[-1e300, 0.0, 1e300], &[1e300, 0.0, -1e300]).is_err());
    let line = Line::new(&[0.0, 1.0, 2.0, 3.0], &[0.0, 1.0, 2.0, 3.5]).unwrap();
    let one = Errors::Cr2(&[0, 0, 0, 0]);
    assert!(line.fit().estimate(&[0.0, 1.0], one).is_err());
    assert!(line.fit().estimate(&[0.0, 1.0], Errors::Cr2(&[0])).is_err());
    assert!(line.fit().estimate(&[1.0], Errors::Hc3).is_err());
    // A point that alone determines the slope.
    let lever = Line::new(&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 2.0, 3.0]).unwrap();
    assert!(lever.fit().estimate(&[0.0, 1.0], Errors::Hc3).is_err());
    assert!(lever.fit().influence().is_err());
}

#[test]
fn a_line_is_centred_on_its_points() {
    let line = Line::new(&[1.0, 2.0, 3.0, 4.0], &[2.0, 4.1, 5.9, 8.0]).unwrap();
    assert!((line.slope().value - 1.98).abs() < 1e-12);
    assert!((line.at(line.x_mean()).value - 5.0).abs() < 1e-12);
}
