//! Tables and plots of an analysis.
//!
//! An [`Analysis`] prints as a table through [`std::fmt::Display`]; the feature `plot` adds SVG
//! drawings in `plot`.

use std::fmt;

use crate::fit::{Analysis, Flag};

mod absolute;
mod contrasts;
mod corpus;
mod floors;
mod format;
mod laws;
#[cfg(feature = "plot")]
pub mod plot;
mod rates;
mod shapes;
mod summary;
mod surfaces;

/// Everything needed to quote the result, as aligned text.
impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tables give a flag by its number in the list that `summary::flags` prints.
        let contrasts = self.contrasts.iter().map(|c| &c.law);
        let laws = self.laws.iter().chain(contrasts);
        let mut flags: Vec<Flag> = (laws.flat_map(|l| l.flags.clone()))
            .chain(self.counts.iter().flat_map(|l| l.flags.clone()))
            .chain(self.rates.iter().flat_map(|l| l.flags.clone()))
            .chain(self.arms.iter().flat_map(|l| l.flags.clone()))
            .chain(self.corpora.iter().flat_map(|c| c.flags.clone()))
            .collect();
        flags.sort_unstable();
        flags.dedup();
        summary::title(f, self)?;
        for corpus in &self.corpora {
            corpus::heading(f, self, corpus, &flags)?;
            laws::table(f, self, corpus, &flags)?;
            contrasts::named(f, self, corpus, &flags)?;
            contrasts::worst(f, self, corpus)?;
            floors::table(f, self, corpus)?;
            shapes::table(f, self, corpus)?;
            corpus::refused_budgets(f, corpus)?;
            absolute::table(f, self, corpus)?;
            surfaces::table(f, self, corpus)?;
            corpus::heterogeneity(f, self, corpus)?;
            corpus::partial_pooling(f, self, corpus)?;
            corpus::covariate(f, self, corpus)?;
        }
        // After all corpora: rates and contrasts belong to families that span them.
        rates::tables(f, self, &flags)?;
        contrasts::tables(f, self)?;
        contrasts::arms(f, self, &flags)?;
        summary::largest_t(f, self)?;
        summary::flags(f, &flags)?;
        summary::backtest(f, self)?;
        summary::refused(f, self)
    }
}
