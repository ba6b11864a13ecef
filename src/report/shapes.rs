//! The table of competing shapes of one corpus.

use std::fmt;

use super::format::{Table, interval_of, number};
use crate::fit::{Analysis, CorpusReport, RatioShape, ShapeComparison};

pub(super) fn table(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let mut table = Table::new(&[
        "shapes (AICc weights)",
        "power",
        "others",
        "slope at top, averaged",
        "error at the largest readings",
        "predicted G, averaged",
    ]);
    let laws = analysis.laws.iter().filter(|l| l.corpus == corpus.corpus);
    let mut refused: Vec<(RatioShape, &str)> = Vec::new();
    for law in laws {
        if let Some(shapes) = &law.alternatives.shapes {
            table.row(row(&law.treatment, shapes));
            refused.extend(shapes.refused.iter().map(|r| (r.shape, r.reason.as_str())));
        }
    }
    f.write_str(&table.render())?;
    // One line per reason, not per law.
    let mut said: Vec<(RatioShape, &str)> = Vec::new();
    for line in refused {
        if !said.contains(&line) {
            said.push(line);
            writeln!(f, "  not compared: {}: {}", line.0.as_str(), line.1)?;
        }
    }
    Ok(())
}

fn row(treatment: &str, comparison: &ShapeComparison) -> Vec<String> {
    let power = comparison
        .shapes
        .iter()
        .find(|s| s.shape == RatioShape::Power);
    let others: Vec<String> = (comparison.shapes.iter())
        .filter(|s| s.shape != RatioShape::Power)
        .map(|s| format!("{} {:.2}", s.shape.as_str(), s.weight))
        .collect();
    let errors: Vec<String> = (comparison.shapes.iter())
        .filter_map(|s| {
            let errors = s.backtest_errors.iter().flatten();
            let worst = errors.copied().reduce(f64::max)?;
            Some(format!(
                "{} {:.2} %",
                s.shape.as_str(),
                100.0 * worst.exp_m1()
            ))
        })
        .collect();
    let slope = &comparison.top_exponent;
    let predictions = comparison.predictions.iter().map(|p| {
        let [value, lower, upper] = [p.ratio.value, p.ratio.lower, p.ratio.upper].map(number);
        format!("{value} [{lower}, {upper}] at {:.2e}", p.scale)
    });
    vec![
        treatment.to_owned(),
        power.map_or("-".to_owned(), |p| format!("{:.2}", p.weight)),
        others.join(", "),
        interval_of(slope.lower, slope.upper),
        errors.join(", "),
        predictions.collect::<Vec<_>>().join("; "),
    ]
}
