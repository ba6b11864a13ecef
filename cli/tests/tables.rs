//! Tables of losses as people have them.

use relscale::fit::{self, Contrast, Options};
use relscale::ladder::{Ladder, LadderError};

/// A ladder of rungs on which `law` is scored by `scorer` and the other distributions by bits per byte.
fn table(scorer: &str) -> String {
    let mut text = "corpus,run,budget,flops,params,tokens,distribution,loss,scorer\n".to_owned();
    for i in 0..6 {
        let flops = 1e18 * 10f64.powi(i);
        let (params, tokens) = ((flops / 120.0).sqrt(), (flops / 0.3).sqrt());
        for (k, name) in ["web", "news", "law"].into_iter().enumerate() {
            let wobble = 1e-4 * f64::from((i * 7 + k as i32 * 5) % 4);
            let loss = 3.0 * (flops / 1e18).powf(-0.04 - 0.004 * k as f64 + wobble);
            let scorer = if name == "law" {
                scorer
            } else {
                "bits_per_byte"
            };
            text += &format!("c,r{i},{flops},{flops},{params},{tokens},{name},{loss},{scorer}\n");
        }
    }
    text
}

fn read(text: &str) -> Result<Ladder, LadderError> {
    Ladder::from_csv(text.as_bytes(), "t.csv")
}

#[test]
fn the_scorer_of_a_table_comes_back() {
    let ladder = read(&table("error_rate")).unwrap();
    let of = |l: &Ladder, name: &str| l.distribution(name).unwrap().scorer().map(str::to_owned);
    assert_eq!(of(&ladder, "law").as_deref(), Some("error_rate"));
    let mut written = Vec::new();
    ladder.write_csv(&mut written).unwrap();
    let again = read(std::str::from_utf8(&written).unwrap()).unwrap();
    assert_eq!(of(&again, "law").as_deref(), Some("error_rate"));
    assert_eq!(of(&again, "web").as_deref(), Some("bits_per_byte"));
    // A column `score` beside the losses is no misspelling.
    let text = table("").replace("loss,scorer", "loss,score");
    assert_eq!(of(&read(&text).unwrap(), "law"), None);
}

#[test]
fn two_scorers_of_a_distribution_are_refused_by_line() {
    let text = table("brier").replacen("brier", "error_rate", 1);
    let error = read(&text).unwrap_err().to_string();
    for part in [
        "t.csv, line 7",
        "\"law\"",
        "\"error_rate\"",
        "\"brier\"",
        "two names",
    ] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    let error = read(&table("brier").replacen("brier", "", 1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no named scorer"), "{error}");
}

#[test]
fn comparisons_across_scorers_are_refused_unless_asked_for() {
    let mixed = read(&table("error_rate")).unwrap();
    let mut options = Options::new("web");
    let error = fit::analyze(&mixed, &options).unwrap_err().to_string();
    for part in [
        "bits_per_byte (\"news\", \"web\")",
        "error_rate (\"law\")",
        "across_scorers",
    ] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    // The other treatments are compared by name, and all of them if asked for.
    options.treatments = vec!["news".into()];
    assert_eq!(fit::analyze(&mixed, &options).unwrap().laws.len(), 1);
    options.contrasts = vec![Contrast::new("law", "news")];
    assert!(fit::analyze(&mixed, &options).is_err());
    options.across_scorers = true;
    assert_eq!(fit::analyze(&mixed, &options).unwrap().contrasts.len(), 1);
    let mut all = Options::new("web");
    all.across_scorers = true;
    let with = fit::analyze(&mixed, &all).unwrap();
    assert_eq!(with.laws.len(), 2);
    // Without stated scorers, as in tables of before, nothing is refused and the laws are the same.
    let plain = read(&table("").replace("bits_per_byte", "")).unwrap();
    let without = fit::analyze(&plain, &Options::new("web")).unwrap();
    assert_eq!(format!("{:?}", with.laws), format!("{:?}", without.laws));
    let json = serde_json::to_string(&Options::new("web")).unwrap();
    assert!(!json.contains("across_scorers"), "{json}");
}
