//! Sampling standard errors that a table states, where it has no items.

use relscale::fit::{Analysis, DesignChoice, Flag, ItemSampling, Options, analyze};
use relscale::ladder::Ladder;
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../src/fit/stats/golden/robust_r.json")).unwrap()
}

fn numbers(key: &str) -> Vec<f64> {
    let golden = golden();
    let list = golden
        .pointer(&format!("/known/{key}"))
        .unwrap()
        .as_array()
        .unwrap();
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

fn number(key: &str) -> f64 {
    golden()
        .pointer(&format!("/known/{key}"))
        .unwrap()
        .as_f64()
        .unwrap()
}

/// Rungs at log scales `x` whose log ratio is `y`; the errors of the treatment are `√v` of its log, times
/// `scale`, those of the baseline vanish.
fn rungs(scale: Option<f64>) -> Ladder {
    let (x, y, v) = (numbers("x"), numbers("y"), numbers("v"));
    let mut csv =
        String::from("corpus,run,budget,flops,params,tokens,distribution,loss,standard_error\n");
    for j in 0..x.len() {
        let flops = 1e20 * x[j].exp();
        let (params, tokens) = (
            (flops / 120.0).sqrt(),
            (flops / 6.0) / (flops / 120.0).sqrt(),
        );
        let loss = 2.0 * y[j].exp();
        let run = format!("c,r{j},{flops},{flops},{params},{tokens}");
        let error = scale.map_or_else(String::new, |s| (s * v[j].sqrt() * loss).to_string());
        let none = scale.map_or("", |_| "0");
        csv += &format!("{run},t,{loss},{error}\n{run},base,2.0,{none}\n");
    }
    Ladder::from_csv(csv.as_bytes(), "known.csv").unwrap()
}

fn options() -> Options {
    let mut options = Options::new("base");
    options.design = DesignChoice::Rungs;
    options
}

fn fitted(scale: Option<f64>) -> Analysis {
    analyze(&rungs(scale), &options()).unwrap()
}

#[test]
fn the_variance_of_a_line_is_that_of_metafor() {
    let law = &fitted(Some(1.0)).laws[0];
    let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
    close(law.delta_beta.value, number("slope"));
    let v = law.diagnostics.variance;
    // Errors of the runs that are independent add up as metafor's known variances do.
    close(v.idiosyncratic, number("slope_se").powi(2));
    // On top of them what all runs may share, (Σ W_r σ_r)².
    let (x, errors) = (numbers("x"), numbers("v"));
    let sxx: f64 = x.iter().map(|x| x * x).sum();
    let shared: f64 = x.iter().zip(&errors).map(|(x, v)| x * v.sqrt() / sxx).sum();
    close(v.item, number("slope_se").powi(2) + shared * shared);
    // The level is the worse for it: all readings move together.
    let mean: f64 = errors.iter().map(|v| v.sqrt()).sum::<f64>() / 6.0;
    assert!(law.line.level_variance >= mean * mean);
}

#[test]
fn stated_errors_take_the_place_of_clusters() {
    let (without, with) = (fitted(None), fitted(Some(1.0)));
    let [without, with] = [&without.laws[0], &with.laws[0]];
    assert_eq!(without.delta_beta.value, with.delta_beta.value);
    assert!(without.flags.contains(&Flag::NoItemVariance));
    for flag in [Flag::NoItemVariance, Flag::FewClusters] {
        assert!(!with.flags.contains(&flag), "{:?}", with.flags);
    }
    let items = &with.diagnostics.items;
    assert!(items.treatment_errors_stated && items.baseline_errors_stated);
    assert_eq!(items.effective_clusters, None);
    assert!(with.delta_beta.standard_error >= without.delta_beta.standard_error);
    assert!(with.gamma.upper > without.gamma.upper);
    // Large errors rule, and small ones change nothing.
    let large = &fitted(Some(100.0)).laws[0];
    let small = &fitted(Some(1e-6)).laws[0];
    assert!(large.delta_beta.standard_error > 50.0 * number("slope_se"));
    assert!((small.delta_beta.standard_error / without.delta_beta.standard_error - 1.0) < 1e-6);
    let mut fixed = options();
    fixed.items = ItemSampling::Fixed;
    let law = &analyze(&rungs(Some(100.0)), &fixed).unwrap().laws[0];
    assert_eq!(law.delta_beta, without.delta_beta);
}

#[test]
fn what_is_written_is_read_again_and_what_is_wrong_refused() {
    let ladder = rungs(Some(1.0));
    let mut written = Vec::new();
    ladder.write_csv(&mut written).unwrap();
    let read = Ladder::from_csv(written.as_slice(), "known.csv").unwrap();
    let variance = |l: &Ladder| l.distribution("t").unwrap().cells()[2].variance.unwrap();
    assert!((variance(&read) / variance(&ladder) - 1.0).abs() < 1e-12);
    let header = "corpus,run,budget,flops,params,tokens,distribution,loss,standard_error\n";
    let row = |run: &str, error: &str| format!("c,{run},1e18,1e18,1e8,1.6e9,t,1.0,{error}\n");
    for (rows, expected) in [
        (row("a", "0.1") + &row("b", ""), "a number, as in"),
        (row("a", "") + &row("b", "0.1"), "nothing, as in"),
        (row("a", "-0.1"), "standard error"),
        (row("a", "x"), "a number"),
    ] {
        let error = Ladder::from_csv((header.to_owned() + &rows).as_bytes(), "t").unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    // Errors of independent rows add up.
    let mut builder = Ladder::builder();
    let scale = relscale::ladder::Scale {
        params: 1e8,
        tokens: 1.6e9,
        flops: 1e18,
    };
    builder.run(relscale::ladder::Run::new("a", scale)).unwrap();
    assert!(builder.standard_error("a", "t", "", 0.1, 1.0).is_err());
    for _ in 0..2 {
        builder.score("a", "t", "", 1.0, 3.0).unwrap();
        builder.standard_error("a", "t", "", 0.1, 3.0).unwrap();
    }
    let cell = builder.build().unwrap().distribution("t").unwrap().cells()[0];
    assert!((cell.variance.unwrap() - 2.0 * 0.09).abs() < 1e-15);
}
