//! Lines about one corpus: its design, refused budgets, heterogeneity and covariate.

use std::fmt;

use super::format::{Table, interval_of, number, numbers, p_phrase, signed};
use crate::fit::{Analysis, CorpusReport, Flag};

/// Design, runs, scales and the frontier.
pub(super) fn heading(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
    flags: &[Flag],
) -> fmt::Result {
    let (least, most) = ends(&corpus.scales);
    writeln!(f)?;
    write!(
        f,
        "Corpus {}: {}, {} runs, {} scales from {least:.3e} to {most:.3e}, F0 = {:.3e}",
        corpus.corpus,
        corpus.design.as_str(),
        corpus.runs,
        corpus.scales.len(),
        corpus.reference_flops,
    )?;
    if let Some(name) = &analysis.scale_name {
        write!(f, ", scale: {name}")?;
    }
    if corpus.budgets != corpus.budget_labels {
        write!(
            f,
            ", {} budgets from {} labels",
            corpus.budgets, corpus.budget_labels
        )?;
    }
    if let Some(frontier) = &corpus.frontier {
        write!(
            f,
            ", N* ~ F^{:.3} (scatter {:.3} nats)",
            frontier.exponent.value, frontier.residual_sd
        )?;
    }
    if let Some(path) = corpus.path {
        write!(f, ", {}", path.meaning())?;
    }
    match corpus.epochs {
        Some([least, most]) if least < most => write!(f, ", {least} to {most} epochs")?,
        Some([_, most]) => write!(f, ", {most} epochs")?,
        None => {}
    }
    if !corpus.flags.is_empty() {
        write!(f, ", flags {}", numbers(&corpus.flags, flags))?;
    }
    writeln!(f)
}

/// Budgets that could not be read, with the reason.
pub(super) fn refused_budgets(f: &mut fmt::Formatter<'_>, corpus: &CorpusReport) -> fmt::Result {
    for refused in &corpus.refused_budgets {
        let budget = refused.budget.map_or(String::new(), |b| format!("{b:.3e}"));
        writeln!(f, "  budget {budget} left out: {}", refused.reason)?;
    }
    Ok(())
}

/// Differences of the exponents of the corpus between distributions.
pub(super) fn heterogeneity(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let found = analysis.heterogeneity.iter();
    for h in found.filter(|h| h.corpus == corpus.corpus) {
        writeln!(
            f,
            "  heterogeneity of {} distributions: {}, τ = {}, I² = {:.0} %{}",
            h.distributions,
            p_phrase(h.p_value),
            number(h.tau),
            100.0 * h.i_squared,
            if h.approximate { " (approximate)" } else { "" },
        )?;
    }
    Ok(())
}

/// Exponents drawn towards their mean, beside the raw ones.
pub(super) fn partial_pooling(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let found = analysis.partial_pooling.iter();
    for pooled in found.filter(|p| p.corpus == corpus.corpus) {
        let mean = &pooled.mean;
        writeln!(
            f,
            "  partial pooling: mean Δβ {} {}, τ = {}, shared error {}",
            signed(mean.value),
            interval_of(mean.lower, mean.upper),
            number(pooled.tau),
            number(pooled.shared_error),
        )?;
        let columns = [
            "treatment",
            "raw Δβ",
            "interval",
            "pooled Δβ",
            "interval",
            "drawn",
        ];
        let mut table = Table::new(&columns);
        for t in &pooled.treatments {
            table.row(vec![
                t.treatment.clone(),
                signed(t.raw.value),
                interval_of(t.raw.lower, t.raw.upper),
                signed(t.delta_beta.value),
                interval_of(t.delta_beta.lower, t.delta_beta.upper),
                format!("{:.0} %", 100.0 * t.share),
            ]);
        }
        f.write_str(&table.render())?;
    }
    Ok(())
}

/// The slope of the exponents on a covariate of the distributions.
pub(super) fn covariate(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let found = analysis.covariate.iter();
    for slope in found.filter(|s| s.corpus == corpus.corpus) {
        writeln!(
            f,
            "  slope on the covariate: {} {} for these distributions{}",
            signed(slope.fixed.value),
            interval_of(slope.fixed.lower, slope.fixed.upper),
            slope.sample.map_or(String::new(), |s| format!(
                "; {} {} with distributions as a sample",
                signed(s.value),
                interval_of(s.lower, s.upper)
            )),
        )?;
    }
    Ok(())
}

/// Least and greatest; NaN for none.
fn ends(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        // `min` and `max` take the number of a pair with NaN, so NaN is the neutral start.
        .fold((f64::NAN, f64::NAN), |(a, b), v| (a.min(*v), b.max(*v)))
}
