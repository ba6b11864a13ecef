//! Autocorrelated errors and known sampling errors: statsmodels, nlme and metafor.

use super::{Golden, TIGHT};
use crate::fit::stats::regression::LinearFit;

#[test]
fn autocorrelated_errors_are_those_of_statsmodels_and_nlme() {
    let mut golden = Golden::new("robust.json", include_str!("robust.json"));
    let mut r = Golden::new("robust_r.json", include_str!("robust_r.json"));
    for file in [&mut golden, &mut r] {
        file.not_compared("versions");
    }
    // Through a whole ladder, in the tests of laws.
    golden.not_compared("bent_counts");
    golden.not_compared("accuracy");
    let (x, y) = (golden.numbers("serial.x"), golden.numbers("serial.y"));
    let fit = LinearFit::new(&[&vec![1.0; x.len()], &x], &y).unwrap();
    let whole = [(0..x.len()).collect()];
    let serial = fit.serial(&whole).unwrap();
    let nodes = LinearFit::nodes();
    let logs: Vec<f64> = (nodes.iter())
        .map(|rho| fit.restricted(fit.residuals(), &whole, *rho).unwrap().0)
        .collect();
    let logs: Vec<f64> = logs.iter().map(|l| l - logs[40]).collect();
    for (file, group) in [(&mut golden, "statsmodels"), (&mut r, "nlme")] {
        file.close(group, "serial.rho", serial.rho, TIGHT);
        file.close(group, "serial.variance", serial.variance, TIGHT);
        for (k, log) in logs.iter().enumerate().filter(|(k, _)| *k != 40) {
            file.close(group, &format!("serial.log_likelihood.{k}"), *log, 1e-9);
        }
        assert_eq!(file.number("serial.log_likelihood.40"), 0.0);
    }
    for i in 0..2 {
        let path = format!("serial.covariance.{i}.{i}");
        golden.close("statsmodels", &path, serial.covariance[i][i], TIGHT);
        // x is centred: what is left of the covariance is rounding.
        let cross = golden.number(&format!("serial.covariance.{i}.{}", 1 - i));
        assert!(cross.abs() < 1e-18 && serial.covariance[i][1 - i].abs() < 1e-18);
    }
    known_errors(&mut r);
    golden.finish();
    r.finish();
}

/// An unweighted line under known variances.
fn known_errors(r: &mut Golden) {
    let (x, y, v) = (
        r.numbers("known.x"),
        r.numbers("known.y"),
        r.numbers("known.v"),
    );
    let fit = LinearFit::new(&[&vec![1.0; x.len()], &x], &y).unwrap();
    r.close("metafor", "known.slope", fit.coefficients()[1], TIGHT);
    for (key, contrast) in [("slope_se", [0.0, 1.0]), ("level_se", [1.0, 0.0])] {
        let weights = fit.weights_of(&contrast).unwrap();
        let variance: f64 = weights.iter().zip(&v).map(|(w, v)| w * w * v).sum();
        r.close("metafor", &format!("known.{key}"), variance.sqrt(), TIGHT);
    }
}
