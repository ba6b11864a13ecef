//! Laws of error rates on ladders where they say nothing, or less than they seem to.

use relscale::fit::{
    Analysis, Averaging, DesignChoice, Flag, ItemSampling, Options, RateLaw, Verdict, analyze,
};
use relscale::ladder::{Ladder, Run, Scale};

const HEADER: &str = "corpus,run,budget,flops,params,tokens,distribution,loss,weight,chance\n";

/// Rungs with the rates of a treatment and a baseline, `items` each.
fn rungs(treatment: &[f64], baseline: &[f64], items: u32, chance: &str) -> Ladder {
    let mut csv = HEADER.to_owned();
    for (j, (t, b)) in treatment.iter().zip(baseline).enumerate() {
        let flops = 1e18 * 4_f64.powi(j as i32);
        let params = (flops / 120.0).sqrt();
        let tokens = flops / 6.0 / params;
        for (name, loss, chance) in [("t", t, chance), ("base", b, "0.75")] {
            csv += &format!(
                "c,r{j},{flops},{flops},{params},{tokens},{name},{loss},{items},{chance}\n"
            );
        }
    }
    Ladder::from_csv(csv.as_bytes(), "rates.csv").unwrap()
}

fn options() -> Options {
    let mut options = Options::new("base");
    options.design = DesignChoice::Rungs;
    options.error_rates = ["t", "base"].map(String::from).into();
    options
}

fn analysed(treatment: &[f64], items: u32, chance: &str) -> Analysis {
    let falling: Vec<f64> = (0..treatment.len())
        .map(|j| 0.6 * 0.9_f64.powi(j as i32))
        .collect();
    analyze(&rungs(treatment, &falling, items, chance), &options()).unwrap()
}

/// Eight rates that wander about a guess between four answers.
const GUESSES: [f64; 8] = [0.783, 0.761, 0.79, 0.772, 0.783, 0.768, 0.779, 0.785];
/// Eight rates that halve over four rungs.
const FALLING: [f64; 8] = [0.5, 0.42, 0.35, 0.3, 0.25, 0.21, 0.176, 0.148];

#[test]
fn a_guess_has_no_law() {
    let analysis = analysed(&GUESSES, 651, "0.75");
    let law = &analysis.counts[0];
    assert!(law.delta_beta.p_value < 1e-4, "the counts do differ");
    assert_eq!(law.verdict, Verdict::Inconclusive);
    assert!(law.flags.contains(&Flag::PreOnset), "{:?}", law.flags);
    assert!(law.sentence.contains("at chance"), "{}", law.sentence);
    assert!(analysis.details().contains("at chance (0.77"));
    // The same rates where guessing is worse are a plateau, of which the ratio is a finding.
    let law = &analysed(&GUESSES, 651, "0.9").counts[0];
    assert_eq!(law.verdict, Verdict::Widens, "{}", law.sentence);
}

#[test]
fn a_rate_that_does_not_fall_needs_its_chance_level() {
    let analysis = analysed(&GUESSES, 651, "");
    let law = &analysis.counts[0];
    assert_eq!(law.verdict, Verdict::Inconclusive);
    assert!(law.flags.contains(&Flag::ChanceUnknown), "{:?}", law.flags);
    assert!(law.sentence.contains("is not given"), "{}", law.sentence);
    // One that falls has left chance, whatever that is.
    let law = &analysed(&FALLING, 651, "").counts[0];
    assert!(!law.flags.contains(&Flag::ChanceUnknown));
    assert_ne!(law.verdict, Verdict::Inconclusive);
}

#[test]
fn an_option_overrides_the_column() {
    let falling: Vec<f64> = FALLING.to_vec();
    let ladder = rungs(&GUESSES, &falling, 651, "0.75");
    assert_eq!(ladder.distribution("t").unwrap().chance(), Some(0.75));
    let mut options = options();
    options.chance.insert("t".into(), 0.9);
    let analysis = analyze(&ladder, &options).unwrap();
    let rate = analysis
        .rates
        .iter()
        .find(|r| r.distribution == "t")
        .unwrap();
    assert_eq!(rate.ceiling, Some(0.9));
    let base = analysis
        .rates
        .iter()
        .find(|r| r.distribution == "base")
        .unwrap();
    assert_eq!(base.ceiling, Some(0.75));
}

#[test]
fn a_rate_that_turns_is_flagged() {
    let turning = [0.5, 0.42, 0.36, 0.33, 0.33, 0.36, 0.42, 0.5];
    let analysis = analysed(&turning, 1000, "0.75");
    let rate = analysis
        .rates
        .iter()
        .find(|r| r.distribution == "t")
        .unwrap();
    assert!(rate.dispersion > 8.0, "{}", rate.dispersion);
    for flag in [Flag::PowerLawQuestioned, Flag::Overdispersed] {
        assert!(rate.flags.contains(&flag), "{:?}", rate.flags);
        assert!(analysis.counts[0].flags.contains(&flag));
    }
    let curvature = rate.curvature.coefficient.unwrap();
    assert!(curvature.value > 0.0 && curvature.p_value < 1e-3);
    // Exact powers bend nowhere.
    let straight = analysed(&FALLING, 1000, "0.75");
    for rate in &straight.rates {
        // A table without clusters is all that is said of them.
        assert_eq!(rate.flags, [Flag::NoItemVariance]);
    }
}

#[test]
fn a_run_that_decides_is_flagged() {
    // Equal exponents but for the last run.
    let mut rates: Vec<f64> = (0..8).map(|j| 0.5 * 0.9_f64.powi(j)).collect();
    rates[7] *= 0.6;
    let law = &analysed(&rates, 2000, "0.75").counts[0];
    assert_eq!(law.leave_one_out.delta_beta.len(), 8);
    let without_last = law.leave_one_out.delta_beta[7];
    assert!(without_last.abs() < 1e-3, "{without_last}");
    assert!(law.leave_one_out.lower < -0.02);
    assert!(
        law.flags.contains(&Flag::InfluentialReading),
        "{:?}",
        law.flags
    );
}

#[test]
fn what_was_fitted_is_in_the_file_and_in_the_picture() {
    let mut rates = FALLING;
    rates[7] = 0.0;
    let analysis = analysed(&rates, 60, "0.75");
    let law = &analysis.counts[0];
    assert_eq!(law.readings.len(), 8);
    assert_eq!(law.readings[7].log_ratio, None);
    let first = &law.readings[0];
    assert_eq!(first.run.as_deref(), Some("r0"));
    assert!((first.log_ratio.unwrap() - (0.5_f64 / 0.6).ln()).abs() < 1e-12);
    let rate = analysis
        .rates
        .iter()
        .find(|r| r.distribution == "t")
        .unwrap();
    assert_eq!(rate.readings[0].items, Some(60.0));
    assert!((rate.readings[0].rate - 0.5).abs() < 1e-12);
    let chi2: f64 = rate.readings.iter().map(|r| r.residual * r.residual).sum();
    assert!((chi2 / 6.0 - rate.dispersion).abs() < 1e-9);
    let json = serde_json::to_string(&analysis).unwrap();
    assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis);
    let summary = serde_json::to_value(analysis.summary()).unwrap();
    assert!(summary["counts"][0]["readings"].is_null());
    assert_eq!(summary["counts"][0]["treatment"], "t");
    let drawn = relscale::report::plot::all(&analysis).unwrap();
    let names: Vec<&str> = drawn.iter().map(|d| d.0.as_str()).collect();
    assert_eq!(
        names,
        ["rates-c.svg", "rates-forest-c.svg", "rate-ratio-c-t.svg"]
    );
    assert!(drawn.iter().all(|d| d.1.contains("</svg>")));
}

#[test]
fn rates_without_items_are_refused() {
    let header = "corpus,run,budget,flops,params,tokens,distribution,loss,weight\n";
    let table = |loss: &str, weight: &str| {
        let mut csv = header.to_owned();
        for j in 0..6 {
            let flops = 1e18 * 4_f64.powi(j);
            let params = (flops / 120.0).sqrt();
            let tokens = flops / 6.0 / params;
            let run = format!("c,r{j},{flops},{flops},{params},{tokens}");
            csv += &format!("{run},t,{loss},{weight}\n{run},base,0.5,100\n");
        }
        Ladder::from_csv(csv.as_bytes(), "t.csv").unwrap()
    };
    let error = analyze(&table("0.3", ""), &options())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"r0\"") && error.contains("number of items"),
        "{error}"
    );
    // What is written is refused as well.
    let mut written = Vec::new();
    table("0.3", "").write_csv(&mut written).unwrap();
    let read = Ladder::from_csv(written.as_slice(), "t.csv").unwrap();
    assert_eq!(read.distribution("t").unwrap().unweighted(), Some("r0"));
    // A loss that is no rate is a mean without a weight, and single answers weigh one.
    let mut losses = options();
    losses.error_rates.clear();
    assert!(analyze(&table("0.3", ""), &losses).is_ok());
    assert_eq!(table("1", "").distribution("t").unwrap().unweighted(), None);
}

#[test]
fn chance_levels_are_of_all_rows_or_none() {
    let row = |chance: &str, loss: &str, weight: &str| {
        format!("c,r,1e18,1e18,1e8,1.6e9,t,{loss},{weight},{chance}\n")
    };
    let read =
        |rows: &[String]| Ladder::from_csv((HEADER.to_owned() + &rows.concat()).as_bytes(), "t");
    let mixed = [row("0.5", "0.1", "1"), row("0.8", "0.2", "2")];
    let header = HEADER.replace("distribution", "item,distribution");
    let mixed = mixed.map(|r| r.replacen(",t,", &format!(",i{},t,", r.len()), 1));
    let mixed = mixed[0].replace("1.6e9,i", "1.6e9,a") + &mixed[1];
    let ladder = Ladder::from_csv((header + &mixed).as_bytes(), "t").unwrap();
    let chance = ladder.distribution("t").unwrap().chance().unwrap();
    assert!((chance - 0.7).abs() < 1e-15, "{chance}");
    for (rows, expected) in [
        (
            [row("0.5", "0.1", "1"), row("", "0.2", "2")],
            "a number, as in",
        ),
        (
            [row("", "0.1", "1"), row("0.5", "0.2", "2")],
            "nothing, as in",
        ),
        (
            [row("0", "0.1", "1"), row("0.5", "0.2", "2")],
            "a number above 0",
        ),
    ] {
        let rows = rows.map(|r| r);
        let cluster = |r: String, k: usize| r.replacen("c,r,", &format!("c,r{k},"), 1);
        let [one, two] = rows;
        let error = read(&[cluster(one, 0), cluster(two, 1)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut builder = Ladder::builder();
    builder.chance("nowhere", 0.5).unwrap();
    assert!(builder.chance("t", f64::NAN).is_err());
}

/// Distribution, cluster, loss and weight.
type Row = (&'static str, String, f64, f64);

/// Eight rungs with the rows `rows(j)`.
fn clustered(rows: impl Fn(i32) -> Vec<Row>) -> Ladder {
    let mut builder = Ladder::builder();
    for j in 0..8 {
        let flops = 1e18 * 4_f64.powi(j);
        let params = (flops / 120.0).sqrt();
        let scale = Scale {
            params,
            tokens: flops / 6.0 / params,
            flops,
        };
        let id = format!("r{j}");
        builder.run(Run::new(&id, scale).corpus("c")).unwrap();
        for (name, cluster, loss, weight) in rows(j) {
            builder.score(&id, name, &cluster, loss, weight).unwrap();
        }
    }
    builder.build().unwrap()
}

/// A rate over `n` clusters of a hundred items, of which the later ones fall faster.
fn rate(name: &'static str, n: usize, j: i32) -> Vec<Row> {
    (0..n)
        .map(|g| {
            let speed = 1.0 + 0.3 * g as f64 / n as f64;
            let share = 0.5 * 0.85_f64.powf(f64::from(j) * speed);
            let wrong = (100.0 * share).round();
            (name, format!("q{g}"), wrong / 100.0, 100.0)
        })
        .collect()
}

/// A loss without clusters.
fn loss(j: i32) -> Row {
    let wobble = 2e-3 * f64::from(7 * j).sin();
    (
        "base",
        String::new(),
        2.0 * (wobble - 0.05 * f64::from(j)).exp(),
        1.0,
    )
}

/// The options of rungs on which these distributions are error rates.
fn rates_of(names: &[&str]) -> Options {
    let mut options = options();
    options.error_rates = names.iter().map(|n| (*n).to_owned()).collect();
    options
}

fn rate_of<'a>(analysis: &'a Analysis, name: &str) -> &'a RateLaw {
    let mut rates = analysis.rates.iter();
    rates.find(|r| r.distribution == name).unwrap()
}

#[test]
fn a_side_without_clusters_leaves_the_item_variance_of_the_other() {
    let ladder = clustered(|j| [rate("t", 10, j), vec![loss(j)]].concat());
    let mut options = rates_of(&["t"]);
    let analysis = analyze(&ladder, &options).unwrap();
    let law = &analysis.counts[0];
    assert!(law.item_variance.is_some_and(|v| v > 0.0));
    assert!(law.flags.contains(&Flag::NoItemVariance), "{:?}", law.flags);
    // The rate itself has clusters enough.
    let own = rate_of(&analysis, "t");
    assert!(!own.flags.contains(&Flag::NoItemVariance));
    assert!(!own.flags.contains(&Flag::FewClusters));
    options.items = ItemSampling::Fixed;
    let fixed = analyze(&ladder, &options).unwrap();
    assert_eq!(fixed.counts[0].item_variance, None);
    assert!(fixed.counts[0].delta_beta.standard_error < law.delta_beta.standard_error);
}

#[test]
fn a_rate_that_rests_on_one_cluster_has_no_item_variance() {
    let ladder = clustered(|j| {
        let mut rows = rate("t", 10, j);
        // Without the first cluster there is no error, and so no law.
        rows[1..].iter_mut().for_each(|r| r.2 = 0.0);
        [rows, rate("base", 10, j)].concat()
    });
    let mut options = rates_of(&["t", "base"]);
    let analysis = analyze(&ladder, &options).unwrap();
    let law = &analysis.counts[0];
    assert!(law.flags.contains(&Flag::NoItemVariance), "{:?}", law.flags);
    assert!(law.item_variance.is_some_and(|v| v > 0.0));
    let flagged = |name| {
        rate_of(&analysis, name)
            .flags
            .contains(&Flag::NoItemVariance)
    };
    assert!(flagged("t") && !flagged("base"));
    // Nothing is refitted where items are all there are.
    options.items = ItemSampling::Fixed;
    let fixed = analyze(&ladder, &options).unwrap();
    assert!(!fixed.counts[0].flags.contains(&Flag::NoItemVariance));
}

#[test]
fn few_clusters_of_a_rate_are_flagged() {
    for (n, few) in [(5, true), (8, false)] {
        let ladder = clustered(|j| [rate("t", n, j), rate("base", 10, j)].concat());
        let analysis = analyze(&ladder, &rates_of(&["t", "base"])).unwrap();
        for flags in [&analysis.counts[0].flags, &rate_of(&analysis, "t").flags] {
            assert_eq!(flags.contains(&Flag::FewClusters), few, "{n}: {flags:?}");
            assert!(!flags.contains(&Flag::NoItemVariance));
        }
        let base = &rate_of(&analysis, "base").flags;
        assert!(!base.contains(&Flag::FewClusters), "{base:?}");
    }
}

#[test]
fn runs_and_clusters_that_a_rate_leaves_out_are_flagged() {
    let ladder = clustered(|j| {
        let mut rows = rate("base", 10, j);
        if j < 7 {
            rows.extend(rate("t", 10, j));
        }
        let mut other = rate("u", 10, j);
        if j == 3 {
            other.pop();
        }
        rows.extend(other);
        rows
    });
    let analysis = analyze(&ladder, &rates_of(&["t", "u", "base"])).unwrap();
    let law = |name: &str| {
        let mut laws = analysis.counts.iter();
        &laws.find(|l| l.treatment == name).unwrap().flags
    };
    let of_data = |flags: &[Flag]| -> Vec<Flag> {
        let wanted = [Flag::DroppedClusters, Flag::DroppedRuns];
        let flags = flags.iter().copied();
        flags.filter(|f| wanted.contains(f)).collect()
    };
    assert_eq!(of_data(law("t")), [Flag::DroppedRuns]);
    // The law of the baseline, which comes with another pair, says nothing about this one.
    assert_eq!(of_data(law("u")), [Flag::DroppedClusters]);
    let own = |name| of_data(&rate_of(&analysis, name).flags);
    assert_eq!(own("t"), [Flag::DroppedRuns]);
    assert_eq!(own("u"), [Flag::DroppedClusters]);
}

#[test]
fn options_that_counts_cannot_follow_are_refused() {
    let ladder = clustered(|j| [rate("t", 10, j), vec![loss(j)]].concat());
    let mut options = rates_of(&["t"]);
    options.averaging = Averaging::Macro;
    let error = analyze(&ladder, &options).unwrap_err().to_string();
    assert!(
        error.contains("averaging = macro") && error.contains("\"t\""),
        "{error}"
    );
    // Of one cluster both averages are the same.
    let one = clustered(|j| [rate("t", 1, j), vec![loss(j)]].concat());
    assert!(analyze(&one, &options).is_ok());
    options.averaging = Averaging::Micro;
    options.stratified = vec!["t".to_owned()];
    let error = analyze(&ladder, &options).unwrap_err().to_string();
    assert!(
        error.contains("stratified") && error.contains("\"t\""),
        "{error}"
    );
    options.stratified = vec!["base".to_owned()];
    assert!(analyze(&ladder, &options).is_ok());
}
