//! Accuracies as a sigmoid of the loss, against scipy.

use relscale::fit::{FitError, accuracy_curve};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../src/fit/stats/golden/robust.json")).unwrap()
}

fn numbers(path: &str) -> Vec<f64> {
    let golden = golden();
    let list = golden.pointer(&format!("/accuracy/{path}")).unwrap();
    list.as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect()
}

fn number(path: &str) -> f64 {
    golden()
        .pointer(&format!("/accuracy/{path}"))
        .unwrap()
        .as_f64()
        .unwrap()
}

fn close(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let error = (found / wanted - 1.0).abs();
    assert!(error <= tolerance, "{what}: {found}, wanted {wanted}");
}

#[test]
fn curves_and_predictions_are_those_of_scipy() {
    let (losses, accuracies) = (numbers("losses"), numbers("accuracies"));
    for (name, guess) in [("free", None), ("fixed", Some(0.25))] {
        let curve = accuracy_curve(&losses, &accuracies, guess).unwrap();
        let mut found = vec![curve.low, curve.height, curve.middle, curve.width.ln()];
        let mut errors = curve.standard_errors.to_vec();
        if guess.is_some() {
            assert_eq!((found.remove(0), errors.remove(0)), (0.25, 0.0));
        }
        let wanted = numbers(&format!("{name}/parameters"));
        for (f, w) in found.iter().zip(&wanted) {
            close(name, *f, *w, 1e-6);
        }
        // scipy's Jacobian is one of finite differences.
        for (f, w) in errors.iter().zip(&numbers(&format!("{name}/errors"))) {
            close(name, *f, *w, 1e-4);
        }
        close(
            "sd",
            curve.residual_sd,
            number(&format!("{name}/residual_sd")),
            1e-8,
        );
        assert_eq!(curve.df, number(&format!("{name}/df")));
        let p = curve.predict(0.7, 0.02, 0.95);
        close(
            "value",
            p.accuracy.value,
            number(&format!("{name}/value")),
            1e-7,
        );
        let half = |i: relscale::fit::Interval| 0.5 * (i.upper - i.lower);
        close(
            "curve",
            half(p.curve),
            number(&format!("{name}/half_curve")),
            1e-4,
        );
        close(
            "new",
            half(p.accuracy),
            number(&format!("{name}/half_new")),
            1e-4,
        );
        let json = serde_json::to_string(&curve).unwrap();
        assert_eq!(
            serde_json::from_str::<relscale::fit::AccuracyCurve>(&json).unwrap(),
            curve
        );
    }
}

#[test]
fn a_larger_error_of_the_loss_widens_and_shares_stay_shares() {
    let (losses, accuracies) = (numbers("losses"), numbers("accuracies"));
    let curve = accuracy_curve(&losses, &accuracies, Some(0.25)).unwrap();
    let width = |se: f64| {
        let p = curve.predict(0.9, se, 0.95).accuracy;
        p.upper - p.lower
    };
    assert!(width(0.0) < width(0.01) && width(0.01) < width(0.1));
    let far = curve.predict(-3.0, 0.1, 0.95).accuracy;
    assert!(far.upper <= 1.0 && far.lower >= 0.0 && far.value > 0.8);
    // Another unit of the loss is another width, and nothing else.
    let nats: Vec<f64> = losses.iter().map(|l| l * 1e3).collect();
    let scaled = accuracy_curve(&nats, &accuracies, Some(0.25)).unwrap();
    close("middle", scaled.middle, 1e3 * curve.middle, 1e-7);
    close("width", scaled.width, 1e3 * curve.width, 1e-6);
    // Order does not matter beyond rounding.
    let reverse = |v: &[f64]| v.iter().rev().copied().collect::<Vec<f64>>();
    let again = accuracy_curve(&reverse(&losses), &reverse(&accuracies), Some(0.25)).unwrap();
    close("height", again.height, curve.height, 1e-8);
}

#[test]
fn what_has_no_sigmoid_is_refused() {
    let losses = [1.5, 1.3, 1.2, 1.0, 0.9, 0.8, 0.7];
    let falling = [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2];
    assert!(accuracy_curve(&losses, &falling, None).is_err());
    assert!(accuracy_curve(&losses[..5], &falling[..5], None).is_err());
    assert!(accuracy_curve(&losses, &falling[..5], None).is_err());
    assert!(accuracy_curve(&losses, &[0.5; 7], Some(0.25)).is_err());
    let beyond = accuracy_curve(&losses, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.2], None);
    assert!(matches!(beyond, Err(FitError::Domain { .. })));
    assert!(accuracy_curve(&losses, &falling, Some(2.0)).is_err());
    assert!(accuracy_curve(&[f64::NAN; 7], &falling, None).is_err());
    assert!(accuracy_curve(&[1.0; 7], &falling, None).is_err());
}
