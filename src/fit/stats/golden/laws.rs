//! Surfaces, counts and mixed models, by scipy and statsmodels.

use serde_json::Value;

use crate::fit::stats::counts::fit_counts;
use crate::fit::stats::laws::{SurfaceIntervals, fit_surface};
use crate::fit::stats::mixed::fit_mixed;

fn golden() -> Value {
    serde_json::from_str(include_str!("laws.json")).unwrap()
}

fn number(value: &Value, path: &str) -> f64 {
    value
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no number at {path}"))
}

fn numbers(value: &Value, path: &str) -> Vec<f64> {
    let list = value.pointer(path).and_then(Value::as_array);
    let list = list.unwrap_or_else(|| panic!("no list at {path}"));
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let error = (found - wanted).abs() / wanted.abs().max(1e-300);
    println!("{what}: {found:e}, off by {error:.1e}");
    assert!(
        error <= tolerance,
        "{what}: {found:e}, wanted {wanted:e}, off by {error:.1e}"
    );
}

fn check_surface(name: &str, data: [&[f64]; 3], huber: Option<f64>, fit: &Value, tolerance: f64) {
    let surface = fit_surface(data[0], data[1], data[2], huber).unwrap();
    for (key, found) in [
        ("floor", surface.floor),
        ("a", surface.a),
        ("b", surface.b),
        ("alpha", surface.alpha),
        ("beta", surface.beta),
        ("params_exponent", surface.params_exponent()),
    ] {
        let wanted = number(fit, &format!("/{key}"));
        close(&format!("{name} {key}"), found, wanted, tolerance);
    }
    // A least cost is flat: it agrees more closely than the parameters, and is never higher.
    let threshold = huber.unwrap_or(f64::INFINITY);
    let cost: f64 = (0..data[0].len())
        .map(|i| (data[2][i].ln() - surface.ln_loss(data[0][i], data[1][i])).abs())
        .map(|r| {
            if r <= threshold {
                0.5 * r * r
            } else {
                threshold * (r - 0.5 * threshold)
            }
        })
        .sum();
    let wanted = number(fit, "/cost");
    close(&format!("{name} cost"), cost, wanted, 1e-9);
    assert!(cost <= wanted * (1.0 + 1e-11));
    assert!(surface.certificate.gradient < 1e-6, "{surface:?}");
    if huber.is_some() {
        return;
    }
    let intervals = SurfaceIntervals::new(&surface, data, None, None, 0.95).unwrap();
    let allocation = intervals.allocation(&surface, 1e21, 6.0).unwrap();
    let n = number(fit, "/params_at_1e21");
    close(&format!("{name} N*"), allocation.params, n, tolerance);
    for (key, found) in [
        ("floor_interval", intervals.floor),
        ("alpha_interval", intervals.alpha),
        ("beta_interval", intervals.beta),
        ("params_exponent_interval", intervals.params_exponent),
        ("params_at_1e21_interval", allocation.params_interval),
    ] {
        let wanted = numbers(fit, &format!("/{key}"));
        for (found, wanted) in found.unwrap().into_iter().zip(wanted) {
            close(&format!("{name} {key}"), found, wanted, 10.0 * tolerance);
        }
    }
}

#[test]
fn surfaces_are_those_of_an_independent_fit() {
    let golden = golden();
    for (name, tolerance) in [("synthetic", 1e-6), ("synthetic_huber", 1e-5)] {
        let at = |key: &str| numbers(&golden, &format!("/{name}/{key}"));
        let (n, d, y) = (at("params"), at("tokens"), at("losses"));
        let huber = golden
            .pointer(&format!("/{name}/huber"))
            .and_then(Value::as_f64);
        let fit = golden.pointer(&format!("/{name}/fit")).unwrap();
        check_surface(name, [&n, &d, &y], huber, fit, tolerance);
    }
}

#[test]
fn surfaces_of_a_real_ladder_are_those_of_an_independent_fit() {
    let golden = golden();
    let mut table = csv::Reader::from_reader(include_str!("olmo.csv").as_bytes());
    let header = table.headers().unwrap().clone();
    let records: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let column = |name: &str| -> Vec<f64> {
        let k = header.iter().position(|h| h == name).unwrap();
        records.iter().map(|r| r[k].parse().unwrap()).collect()
    };
    let (n, d) = (column("N"), column("tokens"));
    for name in [
        "c4_en-validation",
        "pile-validation",
        "dolma_stack-validation",
    ] {
        let fit = golden.pointer(&format!("/olmo/{name}")).unwrap();
        check_surface(name, [&n, &d, &column(name)], None, fit, 1e-5);
    }
}

#[test]
fn counts_are_those_of_statsmodels() {
    let golden = golden();
    let at = |key: &str| numbers(&golden, &format!("/counts/{key}"));
    let (flops, items) = (at("flops"), at("items"));
    let mean = flops.iter().map(|c| c.ln()).sum::<f64>() / flops.len() as f64;
    let x: Vec<f64> = flops.iter().map(|c| c.ln() - mean).collect();
    for name in ["treatment", "baseline"] {
        let wrong = at(&format!("{name}/wrong"));
        let fit = fit_counts(&[&[1.0; 12], &x], &wrong, &items).unwrap();
        let error = |k: usize| (fit.dispersion * fit.inverse[(k, k)]).sqrt();
        for (key, found, tolerance) in [
            ("level", fit.coefficients[0], 1e-9),
            ("slope", fit.coefficients[1], 1e-9),
            ("dispersion", fit.dispersion, 1e-8),
            ("level_error", error(0), 1e-8),
            ("slope_error", error(1), 1e-8),
        ] {
            let wanted = number(&golden, &format!("/counts/{name}/{key}"));
            close(&format!("{name} {key}"), found, wanted, tolerance);
        }
    }
}

#[test]
fn mixed_models_are_those_of_statsmodels() {
    let golden = golden();
    for case in ["effects", "none"] {
        let at = |key: &str| numbers(&golden, &format!("/mixed/{case}/{key}"));
        let (x, y) = (at("x"), at("y"));
        let group: Vec<usize> = at("group").iter().map(|g| *g as usize).collect();
        let fit = fit_mixed(&[&vec![1.0; x.len()], &x], &y, &group).unwrap();
        let slope = fit.coefficients[1];
        let mut compared = vec![
            ("slope", slope.value, 1e-4),
            ("run_variance", fit.run_variance, 1e-4),
            ("budget_variance", fit.budget_variance, 1e-4),
            ("dense/slope_error", slope.standard_error, 1e-5),
            ("dense/df", slope.df, 1e-4),
            ("dense/budget_variance", fit.budget_variance, 1e-4),
        ];
        // Where the budget effect is nearly nothing, statsmodels' standard error is 1.9 % larger than
        // that of the dense matrices at the same variances: the matrices decide.
        if case == "effects" {
            compared.push(("slope_error", slope.standard_error, 1e-4));
        }
        for (key, found, tolerance) in compared {
            let wanted = number(&golden, &format!("/mixed/{case}/{key}"));
            close(&format!("{case} {key}"), found, wanted, tolerance);
        }
    }
}
