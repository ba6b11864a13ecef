//! Floor laws and surfaces of known parameters.

use super::surface::{Certificate, LossSurface};
use super::*;

fn ladder(floor: f64, amplitude: f64, b: f64, noise: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let x: Vec<f64> = (0..noise.len()).map(|j| -2.3 + 0.75 * j as f64).collect();
    let errors = (x.iter().zip(noise))
        .map(|(x, e)| (floor + amplitude * (-b * x).exp()) * e.exp())
        .collect();
    (x, errors)
}
const NOISE: [f64; 7] = [1.1e-3, -0.7e-3, 0.3e-3, -1.2e-3, 0.9e-3, -0.4e-3, 0.2e-3];

#[test]
fn intervals_hold_the_estimate_and_open_where_nothing_is_known() {
    let (x, errors) = ladder(1.0, 3.0, 0.1, &NOISE);
    let law = fit_floor_law(&x, &errors, 0.95).unwrap();
    let (low, high) = law.exponent_interval;
    assert!(low.is_none_or(|l| l < law.exponent));
    assert!(high.is_none_or(|h| h > law.exponent));
    assert!(law.floor_interval.0.is_none_or(|l| l <= law.floor));
    assert!(law.floor_interval.1.is_none_or(|h| h >= law.floor));
    // The ends lie on the contour.
    let (low, high) = (low.unwrap(), high.unwrap());
    assert!(low > 0.0 && high < 1.0, "{law:?}");
}

#[test]
fn odd_input_is_refused() {
    let x = [0.0, 1.0, 2.0, 3.0];
    assert!(fit_floor_law(&x, &[1.0, 0.0, 1.0, 1.0], 0.95).is_err());
    assert!(fit_floor_law(&x[..3], &[1.0; 3], 0.95).is_err());
    assert!(fit_floor_law(&[1.0; 4], &[1.0; 4], 0.95).is_err());
    assert!(fit_surface(&x, &x, &x, Some(-1.0)).is_err());
    assert!(fit_floor_law(&x, &[1.0; 4], 0.95).is_ok());
    let wild = [1e-300, 1e300, 1.0, 1e-200];
    let _ = fit_floor_law(&x, &wild, 0.95);
    let _ = compare_laws(&[-1e8, 0.0, 1.0, 1e8], &wild, 0.95);
}

#[test]
fn floor_laws_are_recovered_over_a_wide_range() {
    for (floor, amplitude, b) in [
        (1.8, 1.2, 0.15),
        (0.02, 3.0, 0.4),
        (5e-4, 2e-5, 0.9),
        (700.0, 50.0, 0.05),
    ] {
        let (x, errors) = ladder(floor, amplitude, b, &[0.0; 7]);
        let law = fit_floor_law(&x, &errors, 0.95).unwrap();
        assert!((law.floor / floor - 1.0).abs() < 1e-6, "{law:?}");
        assert!((law.exponent / b - 1.0).abs() < 1e-6, "{law:?}");
    }
}

#[test]
fn a_pure_power_law_has_its_floor_at_zero() {
    let (x, errors) = ladder(0.0, 3.0, 0.1, &[0.0; 7]);
    let law = fit_floor_law(&x, &errors, 0.95).unwrap();
    assert!(law.floor < 1e-4 * 3.0, "{law:?}");
    assert!((law.exponent - 0.1).abs() < 1e-4, "{law:?}");
    assert!(law.floor_share(2.0) < 1e-3, "{law:?}");
}

#[test]
fn a_floor_is_told_from_a_power_law_where_it_shows() {
    let (x, errors) = ladder(1.0, 3.0, 0.4, &NOISE);
    let with = compare_laws(&x, &errors, 0.95).unwrap();
    assert!(with.floor_p_value < 1e-3 && with.aicc_difference.unwrap() < 0.0);
    let (x, errors) = ladder(0.0, 3.0, 0.4, &NOISE);
    let without = compare_laws(&x, &errors, 0.95).unwrap();
    assert!(without.floor_p_value > 0.05 && without.aicc_difference.unwrap() > 0.0);
}

#[test]
fn an_increasing_error_is_flat() {
    let (x, errors) = ladder(1.0, 0.3, -0.2, &[0.0; 6]);
    let law = fit_floor_law(&x, &errors, 0.95).unwrap();
    let (low, high) = (law.curve().ln_error(x[0]), law.curve().ln_error(x[5]));
    assert!((high - low).abs() < 2e-3, "{law:?}");
}

#[test]
fn equal_models_are_refused() {
    assert!(fit_surface(&[1e6; 6], &[1e9; 6], &[3.0; 6], None).is_err());
}

#[test]
fn the_surface_allocates_compute_where_its_derivatives_balance() {
    let surface = LossSurface {
        floor: 1.7,
        a: 400.0,
        b: 410.0,
        alpha: 0.34,
        beta: 0.28,
        rss: 0.0,
        certificate: Certificate {
            gradient: 0.0,
            condition: 1.0,
            starts: 1,
            agreeing: 1,
            at_bound: vec![],
        },
    };
    let (n, d) = surface.allocation(1e21, 6.0).unwrap();
    assert!((6.0 * n * d / 1e21 - 1.0).abs() < 1e-12);
    let best = surface.ln_loss(n, d);
    for k in [0.9, 1.1] {
        assert!(surface.ln_loss(n * k, d / k) > best);
    }
}

#[test]
fn a_noisy_surface_with_outliers_is_found_by_huber() {
    let (mut n, mut d, mut l) = (vec![], vec![], vec![]);
    for i in 0..7 {
        for j in 0..7 {
            let params = 5e7 * 2_f64.powi(i);
            let tokens = 1e9 * 2.5_f64.powi(j);
            let noise = 2e-4 * f64::from((i * 31 + j * 17) % 11 - 5);
            let wild = if (i + 2 * j) % 9 == 0 { 0.03 } else { 0.0 };
            n.push(params);
            d.push(tokens);
            let loss: f64 = 1.69 + 406.4 / params.powf(0.34) + 410.7 / tokens.powf(0.28);
            l.push(loss * (noise + wild).exp());
        }
    }
    let robust = fit_surface(&n, &d, &l, Some(1e-3)).unwrap();
    let plain = fit_surface(&n, &d, &l, None).unwrap();
    assert!(
        (robust.params_exponent() - 0.28 / 0.62).abs() < 0.02,
        "{robust:?}"
    );
    assert!(robust.certificate.gradient < 1e-6, "{robust:?}");
    assert!(
        (robust.params_exponent() - 0.28 / 0.62).abs()
            < (plain.params_exponent() - 0.28 / 0.62).abs()
    );
}
