//! Ladders as people write them: budgets that are logged FLOPs, any number of seeds, tables of other
//! programs; and verdicts on levels that are not known.

use std::path::Path;

use relscale::fit::simulate::{Scenario, Simulation};
use relscale::fit::{Analysis, Design, FamilyScope, Flag, Options, Verdict, analyze};
use relscale::ladder::{Ladder, LadderError, Run, Scale};

fn case(name: &str) -> Result<Ladder, LadderError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases");
    Ladder::load_csv(folder.join(name))
}

fn web(ladder: &Ladder) -> Analysis {
    analyze(ladder, &Options::new("web")).unwrap()
}

#[test]
fn budgets_are_grouped_by_what_they_mean() {
    let exact = web(&case("budget_exact.csv").unwrap());
    assert_eq!(exact.corpora[0].budget_labels, 5);
    for name in ["budget_noise.csv", "budget_6nd.csv"] {
        let other = web(&case(name).unwrap());
        let corpus = &other.corpora[0];
        assert_eq!(corpus.design, Design::Isoflop, "{name}");
        assert_eq!((corpus.budgets, corpus.scales.len()), (5, 5), "{name}");
        assert!(corpus.budget_labels > 5, "{name}");
        let line = format!("5 budgets from {} labels", corpus.budget_labels);
        assert!(other.details().contains(&line), "{name}");
        let (a, b) = (&exact.laws[0].delta_beta, &other.laws[0].delta_beta);
        // Scales differ by 1e-9 of themselves.
        assert!((a.value - b.value).abs() < 1e-9, "{name}: {a:?} {b:?}");
        assert!((a.lower - b.lower).abs() < 1e-8, "{name}: {a:?} {b:?}");
        assert_eq!(exact.laws[0].flags, other.laws[0].flags, "{name}");
    }
}

/// Five budgets of five sizes with the FLOPs `flops(budget, size)` and some seeds.
fn isoflop(seeds: impl Fn(i32, i32) -> u64, flops: impl Fn(f64, i32) -> f64) -> Ladder {
    let mut builder = Ladder::builder();
    for j in 0..5 {
        for k in 0..5 {
            let budget = 1e18 * 4_f64.powi(j);
            let z = 0.5 * (f64::from(k) - 2.0);
            let params = 0.1 * budget.sqrt() * z.exp();
            let c = flops(budget, k);
            for seed in 0..seeds(j, k) {
                let id = format!("run-{j}-{k}-{seed}");
                let run = Run::new(
                    &id,
                    Scale {
                        params,
                        tokens: c / (6.0 * params),
                        flops: c,
                    },
                );
                builder.run(run.seed(seed)).unwrap();
                let wobble = 1e-3 * f64::from(17 * j + 5 * k + 3 * seed as i32).sin();
                let base = 3.0 * budget.powf(-0.05) * (0.03 * z * z).exp();
                builder.score(&id, "web", "", base, 1.0).unwrap();
                let other = base * (0.3 + 0.01 * f64::from(j) + wobble).exp();
                builder.score(&id, "code", "", other, 1.0).unwrap();
            }
        }
    }
    builder.build().unwrap()
}

#[test]
fn any_number_of_seeds_is_an_isoflop_ladder() {
    let exact = |budget: f64, _| budget;
    let uneven = |j: i32, k: i32| if (j, k) == (1, 2) { 3 } else { 2 };
    let ladders = [
        isoflop(|_, _| 1, exact),
        isoflop(|_, _| 3, exact),
        isoflop(|_, _| 5, exact),
        isoflop(uneven, exact),
    ];
    for ladder in &ladders {
        let a = web(ladder);
        assert_eq!(a.corpora[0].design, Design::Isoflop);
        assert_eq!(a.corpora[0].scales.len(), 5);
    }
}

#[test]
fn a_budget_of_unequal_counts_is_flagged_and_of_another_convention_refused() {
    let spread = |by: f64| isoflop(|_, _| 1, move |b, k| b * (1.0 + by * f64::from(k - 2)));
    let law = |by: f64| web(&spread(by)).laws[0].clone();
    assert!(!law(0.005).flags.contains(&Flag::BudgetSpread));
    let wide = law(0.02);
    assert_eq!(wide.design, Design::Isoflop);
    assert!(wide.flags.contains(&Flag::BudgetSpread));

    // A third of the FLOPs under the same label: forward passes only.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases/budget_exact.csv");
    let table = std::fs::read_to_string(path).unwrap();
    let other = table.replace("r0_2,1e+18,1e+18,", "r0_2,1e+18,3.3e+17,");
    assert_ne!(other, table);
    let ladder = Ladder::from_csv(other.as_bytes(), "inline").unwrap();
    let error = analyze(&ladder, &Options::new("web")).unwrap_err();
    assert!(error.to_string().contains("one FLOP count"), "{error}");
}

#[test]
fn tables_of_pandas_and_of_windows_are_read() {
    let exact = web(&case("budget_exact.csv").unwrap());
    let pandas = case("pandas_held_out.csv").unwrap();
    assert!(pandas.runs().iter().all(|r| !r.held_out));
    assert_eq!(web(&pandas).laws[0].delta_beta, exact.laws[0].delta_beta);
    let error = case("crlf_line.csv").unwrap_err();
    assert!(
        matches!(error, LadderError::Field { line: 10, .. }),
        "{error:?}"
    );
    let row = |seed: &str, held_out: &str| {
        let text = format!(
            "corpus,run,budget,flops,params,tokens,distribution,loss,seed,held_out\n\
             c,r,1e18,1e18,1e8,1e9,web,3,{seed},{held_out}\n"
        );
        Ladder::from_csv(text.as_bytes(), "inline").map(|l| l.runs()[0].clone())
    };
    for (seed, number) in [("0.0", 0), ("10.0", 10), ("7.", 7), ("100", 100)] {
        assert_eq!(row(seed, "FALSE").unwrap().seed, Some(number));
    }
    assert!(row("1", "True").unwrap().held_out);
    for seed in ["0.5", "-1", ".0", "1e3"] {
        assert!(row(seed, "").is_err(), "{seed}");
    }
}

/// Seven rungs on 20 documents per distribution whose difficulty has a log standard deviation of a
/// half: the exponent is precise and the level is not.
fn documents(exponent: f64, distributions: &[&str]) -> Ladder {
    let mut builder = Ladder::builder();
    for j in 0..7 {
        let flops = 1e18 * 10_f64.powf(f64::from(j) / 3.0);
        let id = format!("run-{j}");
        let run = Run::new(
            &id,
            Scale {
                params: flops.sqrt() / 10.0,
                tokens: flops.sqrt() / 0.6,
                flops,
            },
        );
        builder.run(run).unwrap();
        for (d, name) in distributions.iter().enumerate() {
            for c in 0..20 {
                let difficulty = (0.5 * (f64::from(37 * c + 11 * d as i32)).sin() * 1.41).exp();
                let noise = 1e-4 * f64::from(13 * j + 7 * d as i32).sin();
                let slope = if d == 0 { 0.0 } else { exponent };
                let loss = 3.0 * difficulty * (flops / 1e19).powf(slope - 0.05) * noise.exp();
                let cluster = format!("{name}-{c}");
                builder.score(&id, name, &cluster, loss, 1.0).unwrap();
            }
        }
    }
    builder.build().unwrap()
}

#[test]
fn a_precise_exponent_with_an_uncertain_level_is_told() {
    for (exponent, verdict, verb) in [
        (0.0152, Verdict::RatioRises, "rises by 3.5"),
        (-0.0152, Verdict::RatioFalls, "falls by 3.4"),
    ] {
        let analysis = web(&documents(exponent, &["web", "code"]));
        let law = &analysis.laws[0];
        assert!(
            law.gamma.lower < 1.0 && 1.0 < law.gamma.upper,
            "{:?}",
            law.gamma
        );
        assert!(law.multiplicity.holm_p < 1e-4);
        assert_eq!(law.verdict, verdict);
        assert!(law.sentence.contains(verb), "{}", law.sentence);
        assert!(
            law.sentence.contains("side of parity is open"),
            "{}",
            law.sentence
        );
        assert!(analysis.details().contains(&law.sentence));
        let json = serde_json::to_value(analysis.summary()).unwrap();
        assert_eq!(json["laws"][0]["sentence"], law.sentence.as_str());
    }
    // Without a change, a level that may be one is no absence of a gap.
    let still = web(&documents(0.0, &["web", "code"]));
    assert_ne!(still.laws[0].verdict, Verdict::NoGap);
    assert!(still.laws[0].gap.p_value > 0.5);
}

#[test]
fn a_family_is_the_laws_of_a_corpus_unless_all_are_asked_for() {
    let mut simulation = Simulation::scenario(Scenario::Items);
    simulation.corpora = 2;
    for k in 2..5 {
        let mut t = simulation.distributions[0].clone();
        t.name = format!("treatment-{k}");
        simulation.distributions.push(t);
    }
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
    let ladder = simulation.ladder(1).unwrap();
    for (family, size) in [(FamilyScope::Corpus, 4), (FamilyScope::All, 8)] {
        options.family = family;
        let a = analyze(&ladder, &options).unwrap();
        assert_eq!(a.laws.len(), 8);
        for law in &a.laws {
            let m = &law.multiplicity;
            assert_eq!((m.family, m.family_size), (family, size));
            let excludes = m.decision.lower > 0.0 || m.decision.upper < 0.0;
            assert_eq!(excludes, m.holm_p <= options.alpha);
            assert!(m.decision.lower <= law.delta_beta.lower);
            assert!(m.decision.upper >= law.delta_beta.upper);
            assert!(law.sentence.contains(&format!("adjusted for {size} laws")));
        }
        assert!(a.details().contains(&format!(": {size};")));
    }
}
