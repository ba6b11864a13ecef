//! Laws of error rates on ladders where they say nothing, or less than they seem to.

use relscale::fit::{Analysis, DesignChoice, Flag, Options, Verdict, analyze};
use relscale::ladder::Ladder;

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
        assert!(rate.flags.is_empty(), "{:?}", rate.flags);
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
