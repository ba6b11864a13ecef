//! Clusters that are a sample within strata, against numpy and against what must hold.
//!
//! `tests/fixtures/strata.py` made the table and the numbers.

use proptest::prelude::*;
use relscale::fit::{Analysis, FitError, Options, RelativeLaw, analyze};
use relscale::ladder::{Ladder, Run, Scale};
use serde_json::Value;

fn options(stratified: &[&str]) -> Options {
    let mut o = Options::new("base");
    o.stratified = stratified.iter().map(|s| (*s).to_owned()).collect();
    o
}

fn law<'a>(a: &'a Analysis, treatment: &str) -> &'a RelativeLaw {
    a.laws.iter().find(|l| l.treatment == treatment).unwrap()
}

#[test]
fn numpy_finds_the_same() {
    let table = include_str!("../fixtures/strata.csv");
    let golden: Value = serde_json::from_str(include_str!("../fixtures/strata.json")).unwrap();
    let ladder = Ladder::from_csv(table.as_bytes(), "strata.csv").unwrap();
    let mut worst = 0.0_f64;
    for (how, names) in [
        ("stratified", &["base", "domain", "twin"][..]),
        ("plain", &[]),
    ] {
        let analysis = analyze(&ladder, &options(names)).unwrap();
        for treatment in ["domain", "twin"] {
            let l = law(&analysis, treatment);
            for (key, found) in [
                ("delta", l.delta_beta.value),
                ("run", l.diagnostics.variance.run),
                ("item", l.diagnostics.variance.item),
                ("idiosyncratic", l.diagnostics.variance.idiosyncratic),
                ("total", l.diagnostics.variance.total),
                ("df", l.delta_beta.df),
                ("effective", l.diagnostics.items.effective_clusters.unwrap()),
                ("lower", l.delta_beta.lower),
                ("upper", l.delta_beta.upper),
            ] {
                let expected = golden[how][treatment][key].as_f64().unwrap();
                let off = (found / expected - 1.0).abs();
                assert!(off < 1e-9, "{how} {treatment} {key}: {found}, {expected}");
                worst = worst.max(off);
            }
        }
        let strata = law(&analysis, "domain").diagnostics.items.treatment_strata;
        assert_eq!(strata, if names.is_empty() { 1 } else { 3 });
    }
    println!("worst relative difference {worst:.1e}");
}

#[test]
fn a_distribution_that_is_not_there_is_refused() {
    let table = include_str!("../fixtures/strata.csv");
    let ladder = Ladder::from_csv(table.as_bytes(), "strata.csv").unwrap();
    let error = analyze(&ladder, &options(&["physics"])).unwrap_err();
    assert!(matches!(error, FitError::Unknown { ref name, .. } if name == "physics"));
}

/// Five rungs; clusters of both distributions by the names given, with numbers of no pattern.
fn ladder(names: &[String], wobble: &[f64]) -> Ladder {
    let mut b = Ladder::builder();
    for r in 0..5 {
        let flops = 1e18 * 4_f64.powi(r);
        let id = format!("r{r}");
        b.run(
            Run::new(
                &id,
                Scale {
                    params: 1e8,
                    tokens: flops / 6e8,
                    flops,
                },
            )
            .corpus("web"),
        )
        .unwrap();
        for (g, name) in names.iter().enumerate() {
            let w = wobble[(5 * g + r as usize) % wobble.len()];
            let slope = -0.05 + 0.01 * wobble[g % wobble.len()];
            let loss = (slope * (flops / 1e18).ln() + 0.1 * w).exp();
            let weight = 10.0 + (7 * g % 11) as f64;
            b.score(&id, "base", name, 2.0 * loss, weight).unwrap();
            b.score(&id, "domain", name, 3.0 * loss.powf(1.1 + 0.05 * w), weight)
                .unwrap();
        }
    }
    b.build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// One stratum is none, whatever its name, and so are nothing but strata of one cluster.
    #[test]
    fn one_stratum_is_none(
        clusters in 2_usize..12,
        wobble in proptest::collection::vec(-1.0..1.0_f64, 60..61),
    ) {
        let both = options(&["base", "domain"]);
        let numbers = |names: &[String], o: &Options| {
            let a = analyze(&ladder(names, &wobble), o).unwrap();
            let l = law(&a, "domain");
            (l.delta_beta, l.diagnostics.variance, l.alternatives.crossed_bootstrap)
        };
        let mut o = options(&[]);
        o.crossed_bootstrap = true;
        let mut both = both;
        both.crossed_bootstrap = true;
        let plain: Vec<String> = (0..clusters).map(|g| format!("c{g:02}")).collect();
        let one: Vec<String> = plain.iter().map(|n| format!("s/{n}")).collect();
        let lone: Vec<String> = plain.iter().map(|n| format!("{n}/x")).collect();
        let expected = numbers(&plain, &o);
        prop_assert_eq!(numbers(&plain, &both), expected);
        prop_assert_eq!(numbers(&one, &both), expected);
        prop_assert_eq!(numbers(&lone, &both), expected);
    }

    /// A level that all clusters of a stratum share is no sampling error: moving strata apart changes
    /// the item variance only through the shares of the strata in the error.
    #[test]
    fn differences_between_strata_do_not_count(
        apart in 0.5..2.0_f64,
        wobble in proptest::collection::vec(-1.0..1.0_f64, 60..61),
    ) {
        // Exponents differ between strata and not within them.
        let mut b = Ladder::builder();
        for r in 0..5 {
            let flops = 1e18 * 4_f64.powi(r);
            let id = format!("r{r}");
            b.run(Run::new(&id, Scale { params: 1e8, tokens: flops / 6e8, flops }).corpus("web")).unwrap();
            for g in 0..12 {
                let slope = -0.05 - 0.02 * apart * f64::from(g % 3);
                let loss = (slope * (flops / 1e18).ln()).exp();
                let name = format!("s{}/{g}", g % 3);
                b.score(&id, "domain", &name, loss, 1.0).unwrap();
                let w = wobble[(g + r) as usize % wobble.len()];
                b.score(&id, "base", &name, 2.0 * (1e-3 * w).exp(), 1.0).unwrap();
            }
        }
        let ladder = b.build().unwrap();
        let mut o = options(&["domain", "base"]);
        o.treatments = vec!["domain".into()];
        let within = law(&analyze(&ladder, &o).unwrap(), "domain").diagnostics.variance.item;
        o.stratified.clear();
        let plain = law(&analyze(&ladder, &o).unwrap(), "domain").diagnostics.variance.item;
        prop_assert!(within < 1e-3 * plain, "{within} and {plain}");
    }
}
