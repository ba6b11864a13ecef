//! Coarse sizes, corpora as arms, two grids and sizes at equal tokens against numpy and statsmodels
//! (`tests/data/designs/designs.py`).

use std::path::Path;

use relscale::fit::{Analysis, Flag, Options, ProfileFit, analyze};
use relscale::ladder::Ladder;
use serde_json::Value;

fn golden(part: &str) -> (Ladder, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/designs");
    let ladder = Ladder::load_csv(folder.join(format!("{part}.csv"))).unwrap();
    let text = std::fs::read_to_string(folder.join("designs.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    (ladder, all[part].clone())
}

#[track_caller]
fn close(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    let off = (found / expected - 1.0).abs();
    assert!(off <= tolerance, "{found} and {expected}");
}

#[test]
fn coarse_sizes_are_read_by_parabolas_through_four() {
    let (ladder, golden) = golden("coarse");
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
    let analysis = analyze(&ladder, &options).unwrap();
    let frontier = analysis.corpora[0].frontier.as_ref().unwrap();
    assert!(
        frontier
            .profiles
            .iter()
            .all(|p| *p == ProfileFit::Quadratic)
    );
    for (found, expected) in frontier
        .minima
        .iter()
        .zip(golden["minima"].as_array().unwrap())
    {
        close(*found, expected, 1e-8);
    }
    let law = &analysis.laws[0];
    assert!(law.flags.contains(&Flag::WideWindow));
    close(law.delta_beta.value, &golden["delta_beta"], 1e-8);
    close(law.gamma.value.ln(), &golden["level"], 1e-9);
    close(law.diagnostics.variance.run, &golden["run_variance"], 1e-6);
    let rules = &law.alternatives.rules;
    let cubic = rules.iter().find(|r| r.rule == "interpolated").unwrap();
    close(cubic.delta_beta.value, &golden["interpolated"], 1e-7);
}

#[test]
fn arms_are_a_line_through_the_differences() {
    let (ladder, golden) = golden("arms");
    let mut options = Options::new("news");
    options.corpus_baseline = Some("b".into());
    let analysis = analyze(&ladder, &options).unwrap();
    let law = &analysis.arms[0];
    assert_eq!((&*law.corpus, law.delta_beta.df), ("a", 4.0));
    close(law.delta_beta.value, &golden["delta_beta"], 1e-9);
    close(
        law.delta_beta.standard_error,
        &golden["standard_error"],
        1e-9,
    );
    close(law.delta_beta.p_value, &golden["p_value"], 1e-8);
    close(law.gamma.value, &golden["gamma"], 1e-10);
    close(law.reference_flops, &golden["reference_flops"], 1e-10);
}

#[test]
fn grids_are_a_plane_through_the_differences() {
    let (ladder, golden) = golden("grids");
    let analysis: Analysis = analyze(&ladder, &Options::new("baseline")).unwrap();
    let law = &analysis.cross_corpus[0];
    assert_eq!(law.corpora, ["a", "b"]);
    close(law.exponent.value, &golden["exponent"], 1e-8);
    close(law.level.value, &golden["level"], 1e-8);
}

#[test]
fn sizes_at_equal_tokens_have_the_slope_on_size() {
    let (ladder, golden) = golden("equal_tokens");
    let analysis = analyze(&ladder, &Options::new("baseline")).unwrap();
    let law = &analysis.laws[0];
    assert!(law.flags.contains(&Flag::EqualTokens));
    close(law.delta_beta.value, &golden["delta_beta"], 1e-9);
    let slope = law.alternatives.per_log_params.unwrap();
    close(slope.value, &golden["per_log_params"], 1e-9);
    close(slope.standard_error, &golden["standard_error"], 1e-9);
    close(slope.p_value, &golden["p_value"], 1e-8);
}
