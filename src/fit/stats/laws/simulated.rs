//! Surfaces of simulated IsoFLOP ladders: coverage, invariance, designs.

use proptest::prelude::*;

use super::{SurfaceIntervals, check_surface_design, fit_surface};
use crate::fit::error::FitError;
use crate::fit::stats::random::Stream;

/// An IsoFLOP ladder of `budgets` × seven sizes with noise of one standard deviation `sd`.
fn simulated(budgets: i32, decades: f64, sd: f64, stream: &mut Stream) -> [Vec<f64>; 3] {
    let (mut n, mut d, mut y) = (vec![], vec![], vec![]);
    for j in 0..budgets {
        let flops = 6e18 * 10_f64.powf(decades * f64::from(j) / f64::from(budgets - 1));
        let centre = 0.6 * (flops / 120.0).sqrt();
        for k in -3..=3 {
            let params = centre * 2_f64.powf(0.75 * f64::from(k));
            let tokens = flops / 6.0 / params;
            let loss = 1.69 + 406.4 / params.powf(0.34) + 410.7 / tokens.powf(0.28);
            n.push(params);
            d.push(tokens);
            y.push(loss * (sd * stream.normal()).exp());
        }
    }
    [n, d, y]
}

#[test]
fn intervals_of_a_surface_cover() {
    const REPLICATES: u64 = 400;
    for (budgets, decades, sd) in [(7, 2.0, 2e-3), (5, 1.5, 5e-3), (9, 3.0, 1e-2)] {
        let mut hits = [0_u32; 6];
        let mut missing = 0;
        for replicate in 0..REPLICATES {
            let mut stream = Stream::new(7, "surface", replicate);
            let [n, d, y] = simulated(budgets, decades, sd, &mut stream);
            let surface = fit_surface(&n, &d, &y, None).unwrap();
            let i = SurfaceIntervals::new(&surface, [&n, &d, &y], None, None, 0.95).unwrap();
            let a = i.allocation(&surface, 1e21, 6.0).unwrap();
            let truth = 1e21_f64 / 6.0;
            let best = ((0.34 * 406.4 / (0.28 * 410.7)) * truth.powf(0.28)).powf(1.0 / 0.62);
            for (hit, (found, truth)) in hits.iter_mut().zip([
                (i.floor, 1.69),
                (i.a, 406.4),
                (i.alpha, 0.34),
                (i.beta, 0.28),
                (i.params_exponent, 0.28 / 0.62),
                (a.params_interval, best),
            ]) {
                match found {
                    Some([lower, upper]) => *hit += u32::from(lower <= truth && truth <= upper),
                    None => missing += 1,
                }
            }
        }
        let share = hits.map(|h| 100.0 * f64::from(h) / REPLICATES as f64);
        println!(
            "{budgets} budgets over {decades} decades, noise {sd}: coverage of E {:.1}, A {:.1}, \
             α {:.1}, β {:.1}, a {:.1}, N* {:.1} %; {missing} without an interval",
            share[0], share[1], share[2], share[3], share[4], share[5]
        );
        // Nominally 95; the Monte Carlo error of a share is 1.1 and linearised intervals lose a little.
        assert!(share.iter().all(|s| (90.0..=98.5).contains(s)), "{share:?}");
        assert!(missing < 20, "{missing}");
    }
}

#[test]
fn designs_that_do_not_identify_a_surface_are_refused() {
    let flops: Vec<f64> = (0..9).map(|j| 1e18 * 3_f64.powi(j)).collect();
    let n: Vec<f64> = flops.iter().map(|c| (c / 120.0).sqrt()).collect();
    let d: Vec<f64> = n.iter().map(|n| 20.0 * n).collect();
    let error = check_surface_design(&n, &d).unwrap_err();
    assert!(matches!(error, FitError::Singular { .. }), "{error}");
    let two_sizes: Vec<f64> = (0..9).map(|j| if j < 4 { 1e8 } else { 2e8 }).collect();
    let error = check_surface_design(&two_sizes, &d).unwrap_err();
    assert!(error.to_string().contains("sizes"), "{error}");
    let error = check_surface_design(&n[..5], &d[..5]).unwrap_err();
    assert!(
        matches!(error, FitError::TooFew { found: 5, .. }),
        "{error}"
    );
    let [n, d, _] = simulated(5, 2.0, 0.0, &mut Stream::new(1, "design", 0));
    assert!(check_surface_design(&n, &d).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_surface_does_not_depend_on_units_or_order(
        seed in 0_u64..1000,
        loss_unit in 0.1_f64..10.0,
        params_unit in 1e-3_f64..1e3,
        tokens_unit in 1e-3_f64..1e3,
    ) {
        let [n, d, y] = simulated(5, 2.0, 1e-3, &mut Stream::new(seed, "units", 0));
        let scale = |v: &[f64], k: f64| v.iter().rev().map(|v| k * v).collect::<Vec<f64>>();
        let (n2, d2, y2) = (scale(&n, params_unit), scale(&d, tokens_unit), scale(&y, loss_unit));
        let one = fit_surface(&n, &d, &y, None).unwrap();
        let two = fit_surface(&n2, &d2, &y2, None).unwrap();
        let same = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-5;
        prop_assert!(same(two.alpha, one.alpha) && same(two.beta, one.beta), "{one:?} {two:?}");
        prop_assert!(same(two.floor, loss_unit * one.floor));
        prop_assert!(same(two.a, loss_unit * one.a * params_unit.powf(one.alpha)));
        prop_assert!(same(two.b, loss_unit * one.b * tokens_unit.powf(one.beta)));
        let level = 0.95;
        let i = SurfaceIntervals::new(&one, [&n, &d, &y], None, None, level).unwrap();
        let k = SurfaceIntervals::new(&two, [&n2, &d2, &y2], None, None, level).unwrap();
        let (a, b) = (i.alpha.unwrap(), k.alpha.unwrap());
        prop_assert!(same(a[0], b[0]) && same(a[1], b[1]));
        // Compute is counted in parameters times tokens.
        let one = i.allocation(&one, 1e21, 6.0).unwrap();
        let two = k.allocation(&two, 1e21 * params_unit * tokens_unit, 6.0).unwrap();
        prop_assert!(same(two.params, params_unit * one.params));
        let (a, b) = (one.params_interval.unwrap(), two.params_interval.unwrap());
        prop_assert!(same(b[0], params_unit * a[0]) && same(b[1], params_unit * a[1]));
        prop_assert!(same(6.0 * one.params * one.tokens, 1e21));
        // A wider level holds a narrower one; one run to a cluster is no cluster.
        let trajectories: Vec<usize> = (0..n.len()).collect();
        let surface = fit_surface(&n, &d, &y, None).unwrap();
        let wide =
            SurfaceIntervals::new(&surface, [&n, &d, &y], Some(&trajectories), None, 0.99).unwrap();
        prop_assert!(wide.beta.unwrap()[0] < i.beta.unwrap()[0]);
        prop_assert_eq!(wide.df, i.df);
    }
}
