//! The table of power laws of one corpus, one row per distribution.

use std::fmt;

use super::format::{Table, interval_of, number, open_interval};
use crate::fit::{AbsoluteLaw, Analysis, ConfidenceSet, CorpusReport};

pub(super) fn table(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let mut table = Table::new(&[
        "distribution",
        "β",
        "interval",
        "α at F0",
        "floor",
        "curved",
        "κ",
    ]);
    let laws = analysis.absolute_laws.iter();
    for law in laws.filter(|l| l.corpus == corpus.corpus) {
        let floor = law.floor.as_ref().map_or("-".to_owned(), |floor| {
            format!(
                "{} {}",
                number(floor.floor),
                open_interval(floor.floor_interval)
            )
        });
        table.row(vec![
            law.distribution.clone(),
            number(law.beta.value),
            interval_of(law.beta.lower, law.beta.upper),
            number(law.alpha.value),
            floor,
            if law.curvature.questioned { "yes" } else { "" }.to_owned(),
            kappa(analysis, law),
        ]);
    }
    f.write_str(&table.render())
}

/// κ of a distribution against the baseline, with its set.
fn kappa(analysis: &Analysis, law: &AbsoluteLaw) -> String {
    let found = (analysis.laws.iter())
        .find(|l| l.corpus == law.corpus && l.treatment == law.distribution)
        .and_then(|l| l.alternatives.loss_to_loss);
    let Some((kappa, set)) = found.and_then(|l| Some((l.kappa?, l.set))) else {
        return String::new();
    };
    match set {
        ConfidenceSet::Bounded { lower, upper } => {
            format!("{kappa:.4} [{lower:.4}, {upper:.4}]")
        }
        _ => format!("{kappa:.4} (unbounded)"),
    }
}
