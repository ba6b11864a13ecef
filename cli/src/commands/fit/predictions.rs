//! Ratios predicted at scales and of runs that `relscale fit` is asked for.

use std::fmt::Write;

use relscale::fit::{Analysis, Holdout, Interval, Prediction, RelativeLaw};

/// Predictions at the scales of the options, and of the runs held out; nothing if there are none.
pub(super) fn text(analysis: &Analysis) -> String {
    let mut text = String::new();
    let level = analysis.options.level_percent();
    let laws = || {
        let contrasts = analysis.contrasts.iter().map(|c| (c.name.as_str(), &c.law));
        let laws = analysis.laws.iter().map(|l| (l.treatment.as_str(), l));
        laws.chain(contrasts)
    };
    if laws().any(|(_, law)| !law.predictions.is_empty()) {
        let scale = analysis.scale_in_words();
        let _ = writeln!(
            text,
            "Predicted ratio G by {scale}, with the {level}% interval of a new reading:"
        );
        for (name, law) in laws() {
            for prediction in &law.predictions {
                let _ = writeln!(text, "  {}", predicted(analysis, name, law, prediction));
            }
        }
    }
    let held_out = |law: &RelativeLaw| law.diagnostics.backtest.targets.clone();
    if laws().any(|(_, law)| !held_out(law).is_empty()) {
        let _ = writeln!(
            text,
            "Runs held out, with the {level}% interval of a new reading:"
        );
        let (mut all, mut inside) = (0, 0);
        for (name, law) in laws() {
            for target in held_out(law) {
                all += 1;
                inside += usize::from(target.inside);
                let _ = writeln!(text, "  {}", tested(analysis, name, law, &target));
            }
        }
        let _ = writeln!(
            text,
            "  {inside} of {all} readings lie inside their intervals."
        );
    }
    text
}

/// Corpora are named where there are several.
fn named(analysis: &Analysis, name: &str, law: &RelativeLaw) -> String {
    match analysis.corpora.len() {
        0 | 1 => name.to_owned(),
        _ => format!("{}, {name}", law.corpus),
    }
}

fn predicted(analysis: &Analysis, name: &str, law: &RelativeLaw, p: &Prediction) -> String {
    let name = named(analysis, name, law);
    let beyond = match p.decades_beyond {
        x if x > 0.0 => format!(", {x:.1} decades beyond the ladder"),
        _ => String::new(),
    };
    let warning = match p.beyond_one_ladder {
        true => ": only if the law goes on, which nothing here can tell",
        false => "",
    };
    format!(
        "{name} at {:.3e}: {}, of the law itself {}{beyond}{warning}",
        p.scale,
        with_ends(&p.ratio),
        ends(&p.line)
    )
}

fn tested(analysis: &Analysis, name: &str, law: &RelativeLaw, target: &Holdout) -> String {
    let name = named(analysis, name, law);
    let run = target.run.as_deref().unwrap_or("-");
    // The backtest is of ln G.
    let of = |i: &Interval| Interval {
        value: i.value.exp(),
        lower: i.lower.exp(),
        upper: i.upper.exp(),
    };
    let place = if target.inside { "inside" } else { "outside" };
    format!(
        "{name} of {run} at {:.3e}: predicted {}, read {:.4}, {place}",
        target.scale,
        with_ends(&of(&target.predicted)),
        target.actual.exp()
    )
}

fn with_ends(interval: &Interval) -> String {
    format!("{:.4} {}", interval.value, ends(interval))
}

fn ends(interval: &Interval) -> String {
    format!("[{:.4}, {:.4}]", interval.lower, interval.upper)
}
