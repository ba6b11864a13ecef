//! Words, tables and plots of an analysis.
//!
//! An [`Analysis`] prints its first screen through [`std::fmt::Display`]: the answer in words and one
//! line per law. [`Analysis::details`] has every table behind it, [`markdown`], [`latex`] and [`csv()`]
//! write the laws for papers and programs, and the feature `plot` adds SVG drawings in `plot`.

use std::fmt;

use crate::fit::{Analysis, Flag};

mod absolute;
mod contrasts;
mod corpus;
mod export;
mod floors;
mod format;
mod laws;
mod methods;
#[cfg(feature = "plot")]
pub mod plot;
mod rates;
mod rows;
mod screen;
mod shapes;
mod sheet;
mod summary;
mod surfaces;
mod words;

pub use export::{csv, latex, markdown};
pub use format::flag_name;
pub use methods::{methods, references};
pub use rows::{LawKind, LawRow, Trend, law_rows};
pub use screen::{Part, Screen, Tone};
pub use sheet::{Audience, Cell, Column, Shape, Sheet, flag_mark};

impl Analysis {
    /// Everything needed to quote and to doubt the result, as aligned text: the tables of relative
    /// laws, contrasts, laws with floors, competing shapes, absolute laws and surfaces, with tests and
    /// refusals.
    #[must_use]
    pub fn details(&self) -> String {
        Details(self).to_string()
    }
}

/// The relative laws in words: per corpus one sentence per verdict, which names or counts each law once.
/// Contrasts and laws between corpora have sentences of their own.
#[must_use]
pub fn answer(analysis: &Analysis) -> Vec<String> {
    let rows = law_rows(analysis);
    let mut sentences = Vec::new();
    let mut start = 0;
    for k in 1..=rows.len() {
        let group = |r: &LawRow<'_>| {
            // Rates and laws share a table, and so do all laws between corpora.
            let kind = match r.kind {
                LawKind::ErrorRate => LawKind::Law,
                kind => kind,
            };
            (
                kind,
                (kind != LawKind::Corpora).then(|| r.corpus.to_owned()),
            )
        };
        if k == rows.len() || group(&rows[k]) != group(&rows[start]) {
            sentences.extend(words::answer(analysis, &rows[start..k]));
            start = k;
        }
    }
    sentences
}

struct Details<'a>(&'a Analysis);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let analysis = self.0;
        // Tables give a flag by its number in the list that `summary::flags` prints.
        let contrasts = analysis.contrasts.iter().map(|c| &c.law);
        let laws = analysis.laws.iter().chain(contrasts);
        let mut flags: Vec<Flag> = (laws.flat_map(|l| l.flags.clone()))
            .chain(analysis.counts.iter().flat_map(|l| l.flags.clone()))
            .chain(analysis.rates.iter().flat_map(|l| l.flags.clone()))
            .chain(analysis.arms.iter().flat_map(|l| l.flags.clone()))
            .chain(analysis.corpora.iter().flat_map(|c| c.flags.clone()))
            .collect();
        flags.sort_unstable();
        flags.dedup();
        summary::title(f, analysis)?;
        for corpus in &analysis.corpora {
            corpus::heading(f, analysis, corpus, &flags)?;
            laws::table(f, analysis, corpus, &flags)?;
            contrasts::named(f, analysis, &corpus.corpus, &flags)?;
            contrasts::worst(f, analysis, corpus)?;
            floors::table(f, analysis, corpus)?;
            shapes::table(f, analysis, corpus)?;
            corpus::refused_budgets(f, corpus)?;
            absolute::table(f, analysis, corpus)?;
            surfaces::table(f, analysis, corpus)?;
            corpus::heterogeneity(f, analysis, corpus)?;
            corpus::partial_pooling(f, analysis, corpus)?;
            corpus::covariate(f, analysis, corpus)?;
        }
        contrasts::without_report(f, analysis, &flags)?;
        // After all corpora: rates and contrasts belong to families that span them.
        rates::tables(f, analysis, &flags)?;
        contrasts::tables(f, analysis)?;
        contrasts::arms(f, analysis, &flags)?;
        summary::largest_t(f, analysis)?;
        summary::flags(f, &flags)?;
        summary::backtest(f, analysis)?;
        summary::refused(f, analysis)
    }
}
