//! Messages that a newcomer reads after a mistake: they say what is there and what is wanted.

use relscale::fit::{DesignChoice, Options, analyze};
use relscale::ladder::{FlopConvention, Ladder, LadderError, Run, Scale};

const HEADER: &str = "corpus,run,budget,flops,params,tokens,distribution,loss\n";

/// Rungs of five budgets on two distributions.
fn table() -> String {
    let mut table = HEADER.to_owned();
    for (i, budget) in [1e18_f64, 3e18, 1e19, 3e19, 1e20].iter().enumerate() {
        for (name, beta) in [("web", 0.050), ("news", 0.062)] {
            let loss = (1.0 + 0.002 * (i % 2) as f64) * (budget / 1e19).powf(-beta);
            table += &format!(
                "c,r{i},{budget},{budget},1e8,{},{name},{loss}\n",
                budget / 6e8
            );
        }
    }
    table
}

#[test]
fn a_table_that_cannot_be_read_says_why() {
    let good = table();
    let without_loss = good.replacen("loss", "Loss", 1);
    let short = format!("{HEADER}c,r,1e18\n");
    let comma = format!("{HEADER}c,r,1e18,1e18,1e8,1e10,web,3,5\n");
    for (text, message) in [
        (
            without_loss.as_str(),
            "t.csv: no column named \"loss\"; the first line has corpus, run, budget, flops, \
             params, tokens, distribution, Loss; did you mean \"Loss\"? Rename it, or map it \
             (loss=Loss)",
        ),
        (
            &HEADER.replace(',', ";"),
            "t.csv: no column named \"corpus\"; the first line has \"corpus;run;budget;flops;\
             params;tokens;distribution;loss\", which is not separated by commas",
        ),
        (
            "",
            "t.csv: no column named \"corpus\"; the first line has none",
        ),
        (HEADER, "the ladder has no runs"),
        (&short, "t.csv, line 2: 3 fields, the first line has 8"),
        (&comma, "t.csv, line 2: 9 fields, the first line has 8"),
    ] {
        let error = Ladder::from_csv(text.as_bytes(), "t.csv").unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let latin = [HEADER.as_bytes(), b"c,r\xfc,1,1,1,1,web,1\n"].concat();
    let error = Ladder::from_csv(latin.as_slice(), "t.csv").unwrap_err();
    assert_eq!(error.to_string(), "t.csv, line 2: field 2 is not UTF-8");

    let error = Ladder::load_csv("no/such.csv").unwrap_err().to_string();
    assert!(error.starts_with("no/such.csv: "), "{error}");
}

#[test]
fn columns_that_would_be_read_past_in_silence_are_refused() {
    let with = |column: &str, field: &str| -> String {
        let lines = table();
        let mut lines = lines.lines();
        let header = format!("{},{column}\n", lines.next().unwrap());
        header + &lines.map(|l| format!("{l},{field}\n")).collect::<String>()
    };
    let read = |text: String| Ladder::from_csv(text.as_bytes(), "t.csv");
    for (column, field, message) in [
        (
            "Weights",
            "1",
            "t.csv, line 1: a column \"Weights\" is not read; name it \"weight\" if that is meant, or \
             something less like it",
        ),
        (
            "heldout",
            "true",
            "t.csv, line 1: a column \"heldout\" is not read; name it \"held_out\" if that is meant, \
             or something less like it",
        ),
        ("loss", "1", "t.csv, line 1: two columns are named \"loss\""),
    ] {
        let error = read(with(column, field)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    // Other columns are the table's own.
    let plain = read(table()).unwrap();
    for column in ["layers", "learning_rate", "date"] {
        assert_eq!(read(with(column, "x")).unwrap(), plain, "{column}");
    }
}

#[test]
fn flops_in_other_units_are_refused_with_the_numbers() {
    let table = |convention: &str| {
        format!(
            "corpus,run,budget,flops,params,tokens,distribution,loss,flop_convention\n\
             c,r0,1e18,1e18,0.1,1.7,web,3,{convention}\n"
        )
    };
    let error = Ladder::from_csv(table("").as_bytes(), "t.csv").unwrap_err();
    assert_eq!(
        error.to_string(),
        "t.csv, line 2: run \"r0\" has 1e18 FLOPs for 1e-1 parameters and 1.7e0 tokens, 5.9e18 per \
         parameter and token (training: about 6; accepted: 0.1 to 100); if the axis is not training \
         compute, the FLOP convention is \"other\""
    );
    let ladder = Ladder::from_csv(table("other").as_bytes(), "t.csv").unwrap();
    assert_eq!(ladder.runs()[0].params, 0.1);

    let mut builder = Ladder::builder();
    let scale = Scale {
        params: 1e8,
        tokens: 1.7,
        flops: 1e18,
    };
    builder.run(Run::new("r0", scale)).unwrap();
    builder.score("r0", "web", "", 3.0, 1.0).unwrap();
    let error = builder.clone().build().unwrap_err();
    assert!(matches!(error, LadderError::Flops { run, tokens: 1.7, .. } if run == "r0"));
    builder.flop_convention(FlopConvention::Other);
    assert!(builder.build().is_ok());
}

#[test]
fn a_spreadsheet_may_begin_with_a_byte_order_mark() {
    let text = format!("\u{feff}{}", table().replace('\n', "\r\n"));
    let ladder = Ladder::from_csv(text.as_bytes(), "t.csv").unwrap();
    assert_eq!(ladder.runs().len(), 5);
}

#[test]
fn an_analysis_that_cannot_be_made_says_why() {
    let ladder = Ladder::from_csv(table().as_bytes(), "t.csv").unwrap();
    assert_eq!(
        analyze(&ladder, &Options::new("wbe"))
            .unwrap_err()
            .to_string(),
        "no distribution named \"wbe\" in the ladder, which has news, web"
    );
    let mut percent = Options::new("web");
    percent.alpha = 95.0;
    assert_eq!(
        analyze(&ladder, &percent).unwrap_err().to_string(),
        "alpha (0.05 for 95 % intervals, 0.5 at most) is 95, outside its domain"
    );
    let keep = |wanted: &str| {
        let table = table();
        let lines: Vec<&str> = table
            .lines()
            .enumerate()
            .filter(|(i, line)| *i == 0 || line.contains(wanted))
            .map(|(_, line)| line)
            .collect();
        Ladder::from_csv(lines.join("\n").as_bytes(), "t.csv").unwrap()
    };
    // One distribution alone has no relative law, and is no error.
    let alone = analyze(&keep(",web,"), &Options::new("web")).unwrap();
    assert!(alone.laws.is_empty() && alone.absolute_laws.len() == 1);
    // Several sizes at one budget: what is missing is budgets, not a design.
    let one = format!(
        "{}c,s,1e18,1e18,2e8,8e8,web,3\nc,s,1e18,1e18,2e8,8e8,news,4\n",
        table()
            .lines()
            .take(3)
            .map(|l| format!("{l}\n"))
            .collect::<String>()
            .replace("1000000000000000000", "1e18")
    );
    let one = Ladder::from_csv(one.as_bytes(), "t.csv").unwrap();
    for design in [DesignChoice::Auto, DesignChoice::Rungs] {
        let mut options = Options::new("web");
        options.design = design;
        assert_eq!(
            analyze(&one, &options).unwrap_err().to_string(),
            "too few budgets of corpus \"c\": 1 found, 3 needed"
        );
    }
}

#[test]
fn a_model_of_the_hubs_cache_is_told_from_its_checkpoint() {
    let dir = std::env::temp_dir().join(format!("relscale-messages-{}", std::process::id()));
    let model = dir.join("models--a--b");
    std::fs::create_dir_all(model.join("snapshots/0123")).unwrap();
    let error = relscale::model::Config::load(&model).unwrap_err();
    std::fs::remove_dir_all(&dir).unwrap();
    let message = error.to_string();
    assert!(
        message.ends_with(
            "models--a--b: is a model in the hub's cache; its checkpoints are the folders below \
             `snapshots`"
        ),
        "{message}"
    );
}
