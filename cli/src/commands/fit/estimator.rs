//! Options of the estimator on the command line.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use relscale::fit::{Contrast, CovarianceType, DesignChoice, FamilyScope, Group, Options, WorstOf};

use super::named;
use crate::commands::CommandError;

/// Options of the estimator, one per field of [`Options`].
#[derive(Debug, Args)]
pub(super) struct EstimatorArguments {
    /// Distribution that the others are compared with
    #[arg(long, value_name = "NAME")]
    baseline: String,
    /// Distribution to compare with the baseline; repeatable [default: all others]
    #[arg(long, value_name = "NAME")]
    treatment: Vec<String>,
    /// Comparison beside those with the baseline, or of two comparisons, T1:B1,T2:B2; repeatable
    #[arg(long, value_name = "[NAME=]T:B", value_parser = named::contrast)]
    contrast: Vec<Contrast>,
    /// Group of distributions, with weights if given as A:2,B:1; may be a side of contrasts; repeatable
    #[arg(long, value_name = "NAME=A,B", value_parser = named::group)]
    group: Vec<(String, Group)>,
    /// Follow the largest ratio among the treatments or the groups, corrected for being the largest
    #[arg(long, value_enum)]
    worst: Option<Worst>,
    /// Add exponents drawn towards their mean (four treatments or more)
    #[arg(long)]
    partial_pooling: bool,
    /// Training corpus that the others are compared with, distribution by distribution
    #[arg(long, value_name = "NAME")]
    corpus_baseline: Option<String>,
    /// Distribution whose loss picks the compute-optimal sizes [default: mean of all]
    #[arg(long, value_name = "NAME")]
    aggregate: Option<String>,
    /// Design of the ladder
    #[arg(long, value_enum, default_value_t = Design::Auto)]
    design: Design,
    /// Smallest change of the gap that matters, percent per decade of compute
    #[arg(long, value_name = "X", default_value_t = 0.5)]
    margin_percent: f64,
    /// Largest gap that counts as none, percent of the ratio
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    gap_margin_percent: f64,
    /// Laws that one adjustment for multiple testing covers
    #[arg(long, value_enum, default_value_t = Family::Corpus)]
    family: Family,
    /// Significance level; intervals have level 1 − alpha
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    alpha: f64,
    /// Distribution whose loss is the share of wrong answers among `weight` items, fitted to counts;
    /// repeatable
    #[arg(long, value_name = "NAME")]
    error_rate: Vec<String>,
    /// Loss of a model that knows nothing, such as 0.75 for the error rate of a choice of four;
    /// repeatable; overrides the column `chance`
    #[arg(long, value_name = "NAME=LOSS", value_parser = chance)]
    chance: Vec<(String, f64)>,
    /// Compare distributions that were scored differently (column `scorer`), in different units
    #[arg(long)]
    across_scorers: bool,
    /// Covariance of the line through the readings
    #[arg(long, value_enum, default_value_t = Covariance::Ols)]
    covariance: Covariance,
    /// Weight down runs that lie far from their size profile (IsoFLOP ladders)
    #[arg(long)]
    robust: bool,
    /// Fit the surfaces L(N, D) with Huber's loss at this threshold, such as 1e-3 [default: least
    /// squares]
    #[arg(long, value_name = "X")]
    surface_huber: Option<f64>,
    /// Distribution whose clusters are named `stratum/cluster`, with fixed strata; repeatable
    #[arg(long, value_name = "NAME")]
    stratified: Vec<String>,
    /// Add bootstrap intervals of runs crossed with item clusters
    #[arg(long)]
    crossed_bootstrap: bool,
    /// Add intervals by a wild bootstrap of the whole pipeline (runs, optima, frontier, readings)
    #[arg(long)]
    wild_bootstrap: bool,
    /// Add intervals that hold for all laws at once
    #[arg(long)]
    max_t: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Worst {
    /// All treatments
    Treatments,
    /// All groups
    Groups,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Covariance {
    /// Equal variances
    Ols,
    /// Unequal variances, HC2 with Satterthwaite degrees of freedom
    Hc2,
    /// Unequal variances, HC3
    Hc3,
    /// Neighbouring scales are correlated (eight readings or more)
    Ar1,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Family {
    /// The laws of one corpus
    Corpus,
    /// The laws of all corpora
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Design {
    /// Chosen by the shape of the ladder
    Auto,
    /// Several sizes per budget
    Isoflop,
    /// One size per budget
    Rungs,
    /// Sizes crossed with training lengths
    Grid,
}

impl EstimatorArguments {
    /// The options of the estimator that the flags describe.
    ///
    /// # Errors
    /// Flags that contradict each other.
    pub(super) fn options(&self) -> Result<Options, CommandError> {
        let name = &self.baseline;
        if self.treatment.contains(name) {
            return Err(CommandError::Usage(format!(
                "--treatment {name}: `{name}` is the baseline, and its ratio to itself is 1"
            )));
        }
        let mut options = Options::new(name);
        options.treatments.clone_from(&self.treatment);
        options.contrasts.clone_from(&self.contrast);
        for (name, group) in &self.group {
            if options.groups.insert(name.clone(), group.clone()).is_some() {
                let message = format!("--group {name}: two groups have this name");
                return Err(CommandError::Usage(message));
            }
        }
        options.worst = self.worst.map(|worst| match worst {
            Worst::Treatments => WorstOf::Treatments,
            Worst::Groups => WorstOf::Groups,
        });
        options.partial_pooling = self.partial_pooling;
        options.corpus_baseline.clone_from(&self.corpus_baseline);
        options.aggregate.clone_from(&self.aggregate);
        options.design = match self.design {
            Design::Auto => DesignChoice::Auto,
            Design::Isoflop => DesignChoice::Isoflop,
            Design::Rungs => DesignChoice::Rungs,
            Design::Grid => DesignChoice::Grid,
        };
        options.margin_percent = self.margin_percent;
        options.gap_margin_percent = self.gap_margin_percent;
        options.family = match self.family {
            Family::Corpus => FamilyScope::Corpus,
            Family::All => FamilyScope::All,
        };
        options.alpha = self.alpha;
        options.error_rates = self.error_rate.iter().cloned().collect::<BTreeSet<_>>();
        options.chance = self.chance.iter().cloned().collect();
        options.across_scorers = self.across_scorers;
        options.covariance = match self.covariance {
            Covariance::Ols => CovarianceType::Ols,
            Covariance::Hc2 => CovarianceType::Hc2,
            Covariance::Hc3 => CovarianceType::Hc3,
            Covariance::Ar1 => CovarianceType::Ar1,
        };
        options.robust = self.robust;
        options.surface_huber = self.surface_huber;
        options.stratified.clone_from(&self.stratified);
        options.crossed_bootstrap = self.crossed_bootstrap;
        options.wild_bootstrap = self.wild_bootstrap;
        options.max_t = self.max_t;
        Ok(options)
    }
}

/// A distribution and its chance level, `NAME=LOSS`.
fn chance(text: &str) -> Result<(String, f64), String> {
    // From the right: names may hold an equals sign, numbers do not.
    let (name, loss) = text.rsplit_once('=').ok_or("NAME=LOSS, such as arc=0.75")?;
    let loss = loss.parse().map_err(|e| format!("{loss:?}: {e}"))?;
    Ok((name.to_owned(), loss))
}
