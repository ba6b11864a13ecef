//! Closed forms, inversions and odd arguments.

use std::f64::consts::PI;

use super::*;

fn close(found: f64, wanted: f64, tolerance: f64) {
    assert!(
        (found - wanted).abs() <= tolerance * wanted.abs(),
        "{found:e} is not {wanted:e}"
    );
}

#[test]
fn far_tails_of_t_with_one_degree_of_freedom_are_cauchy() {
    for t in [0.5, 3.0, 1e3, 1e9, 1e12, 1e200] {
        close(t_sf(t, 1.0), (1.0 / t).atan() / PI, 1e-12);
    }
    // The case that statrs gets wrong by 97 %.
    close(
        t_quantile(1.0 - 1e-10, 1.0),
        1.0 / (PI * (1.0 - (1.0 - 1e-10_f64))).tan(),
        1e-12,
    );
    close(t_quantile(1e-10, 1.0), -1.0 / (PI * 1e-10).tan(), 1e-12);
    close(t_quantile(1e-300, 1.0), -1.0 / (PI * 1e-300), 1e-12);
}

#[test]
fn closed_forms() {
    // ν = 2: P(T > t) = ½ − t/(2√(2 + t²)); the F quantile with ν₁ = 2.
    for t in [0.1_f64, 1.0, 4.0] {
        close(t_sf(t, 2.0), 0.5 - t / (2.0 * (2.0 + t * t).sqrt()), 1e-13);
    }
    for df in [1.0_f64, 2.9, 5.0, 40.0] {
        for p in [0.001_f64, 0.3, 0.95, 0.9999] {
            let wanted = 0.5 * df * f64::exp_m1(-2.0 / df * (-p).ln_1p());
            close(f_quantile(p, 2.0, df), wanted, 1e-12);
        }
    }
    close(chi2_quantile(0.95, 2.0), -2.0 * 0.05_f64.ln(), 1e-13);
    close(normal_sf(1.96), 0.024997895148220435, 1e-14);
    close(normal_quantile(0.975), 1.959_963_984_540_054, 1e-14);
    close(normal_quantile(1e-300), -37.0471, 1e-5);
}

#[test]
fn quantiles_invert_tails() {
    for df in [0.7, 1.0, 2.9, 5.0, 30.0, 1e3, 9e4, 2e5, 1e9, f64::INFINITY] {
        for p in [1e-300, 1e-20, 1e-6, 0.01, 0.3, 0.4999] {
            let t = -t_quantile(p, df);
            if t.is_finite() {
                close(t_sf(t, df), p, 2e-12);
            }
        }
    }
    for (a, b) in [(0.5, 0.5), (1.0, 4.0), (3.3, 7.0), (50.0, 2.0), (1e4, 1e4)] {
        for p in [1e-12, 0.01, 0.5, 0.99, 1.0 - 1e-9] {
            close(f_tails(f_quantile(p, a, b), a, b).0, p, 1e-11);
            close(chi2_tails(chi2_quantile(p, a), a).0, p, 1e-11);
        }
    }
}

#[test]
fn continued_fraction_and_expansion_agree_where_they_meet() {
    for t in [0.01, 1.0, 3.0, 9.0] {
        let below = t_sf(t, HILL_DF);
        let above = normal_sf(hill_normal_deviate(t, HILL_DF));
        close(below, above, 1e-12);
    }
}

#[test]
fn noncentral_t_with_no_shift_is_central() {
    for df in [0.8, 1.0, 2.9, 5.0, 50.0, 1e4, 1e11] {
        for t in [-3.0, 0.0, 0.4, 2.5, 12.0] {
            close(nct_sf(t, df, 0.0), t_sf(t, df), 2e-13);
        }
    }
    // Normal limit and symmetry.
    close(nct_sf(2.0, 1e13, 0.5), normal_sf(1.5), 1e-10);
    close(nct_cdf(-1.0, 4.0, 0.7), nct_sf(1.0, 4.0, -0.7), 1e-15);
}

#[test]
fn nothing_panics_or_hangs_on_odd_arguments() {
    let odd = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -1.0,
        0.0,
        1e-300,
        1e-9,
        0.5,
        1.0,
        2.9,
        1e6,
        1e300,
    ];
    for a in odd {
        for b in odd {
            for c in odd {
                for value in [f_sf(a, b, c), f_quantile(a, b, c), nct_sf(a, b, c)] {
                    assert!(value.is_nan() || value >= 0.0);
                }
            }
            let _ = (
                t_sf(a, b),
                t_quantile(a, b),
                chi2_tails(a, b),
                chi2_quantile(a, b),
            );
        }
    }
}

#[test]
fn published_values() {
    close(2.0 * t_sf(2.5705818356363146, 5.0), 0.05, 1e-14);
    close(t_quantile(0.975, 2.9), 3.2454380624331107, 1e-12);
    close(
        nct_sf(2.5705818366147395, 5.0, 3.5),
        0.7970050994855892,
        1e-12,
    );
}
