//! The table of ratios of two laws with floors of one corpus, and their sentences.

use std::fmt;

use super::format::{Table, interval_of, number};
use crate::fit::{Analysis, CorpusReport, FloorRatio, Interval, RatioLimit};

pub(super) fn table(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let mut table = Table::new(&[
        "two floors",
        "G at top",
        "slope at top",
        "limit ε_t/ε_b",
        "predicted G",
    ]);
    let laws = analysis.laws.iter().filter(|l| l.corpus == corpus.corpus);
    let ratios: Vec<(&str, &FloorRatio)> = laws
        .filter_map(|l| Some((l.treatment.as_str(), l.alternatives.floor_ratio.as_ref()?)))
        .collect();
    for (treatment, ratio) in &ratios {
        table.row(row(treatment, ratio));
    }
    f.write_str(&table.render())?;
    if !ratios.is_empty() {
        writeln!(f, "  In words, by laws with floors:")?;
    }
    for (_, ratio) in &ratios {
        writeln!(f, "    {}", ratio.sentence)?;
    }
    Ok(())
}

fn row(treatment: &str, ratio: &FloorRatio) -> Vec<String> {
    let with = |i: &Interval| {
        let [value, lower, upper] = [i.value, i.lower, i.upper].map(number);
        format!("{value} [{lower}, {upper}]")
    };
    let limit = match &ratio.limit {
        RatioLimit::Identified(interval) => with(interval),
        RatioLimit::NotIdentified { .. } => "not identified".to_owned(),
    };
    let slope = &ratio.top_exponent;
    let predictions = ratio.predictions.iter();
    let predicted: Vec<String> = predictions
        .map(|p| format!("{} at {:.2e}", with(&p.ratio), p.scale))
        .collect();
    vec![
        treatment.to_owned(),
        with(&ratio.top),
        interval_of(slope.lower, slope.upper),
        limit,
        predicted.join("; "),
    ]
}
