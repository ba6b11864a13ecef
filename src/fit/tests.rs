//! The pipeline against direct calls of its numerical routines.

use super::simulate::Simulation;
use super::stats::regression::Line;
use super::stats::resample::crossed_bootstrap;
use super::{Options, analyze};

#[test]
fn the_crossed_bootstrap_is_that_of_the_readings() {
    let mut options = Options::new("baseline");
    options.treatments = vec!["treatment".into()];
    options.aggregate = Some("aggregate".into());
    options.crossed_bootstrap = true;
    let ladder = Simulation::default().ladder(3).unwrap();
    let analysis = analyze(&ladder, &options).unwrap();
    let law = &analysis.laws[0];
    let middle = law.reference_flops.ln();
    let x: Vec<f64> = (law.readings.iter())
        .map(|r| r.scale.ln() - middle)
        .collect();
    let y: Vec<f64> = law.readings.iter().map(|r| r.log_ratio).collect();
    let line = Line::new(&x, &y).unwrap();
    let extra = law.diagnostics.variance.frontier + law.diagnostics.variance.specification;
    let direct = crossed_bootstrap(&line, &[], extra, 0.0, 0.95, options.seed).unwrap();
    let found = law.alternatives.crossed_bootstrap.unwrap();
    for (a, b) in [(found.lower, direct.lower), (found.upper, direct.upper)] {
        assert!(
            (a.value - b.value).abs() < 1e-9 * b.value.abs(),
            "{a:?} {b:?}"
        );
        assert!(a.monte_carlo_error > 0.0 && a.draws == 9_999);
    }
}
