//! Options of the estimator on the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use relscale::fit::{
    Averaging, Axis, Contrast, CovarianceType, DesignChoice, FamilyScope, Group, ItemSampling,
    Options, WorstOf,
};
use relscale::ladder::Ladder;

use super::covariate::CovariateColumn;
use super::{named, options_file};
use crate::commands::CommandError;
use crate::suggest::did_you_mean;

/// Options of the estimator. Those without a flag are set by `--options`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Estimator")]
pub(super) struct EstimatorArguments {
    /// Distribution that the others are compared with
    #[arg(long, value_name = "NAME", required_unless_present = "options")]
    baseline: Option<String>,
    /// Options in TOML or JSON, or an analysis whose options are used again; flags override the file
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
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
    /// Run that is predicted and never fitted; repeatable
    #[arg(long, value_name = "RUN")]
    held_out: Vec<String>,
    /// Design of the ladder [default: auto]
    #[arg(long, value_enum)]
    design: Option<Design>,
    /// Scale along which losses fall [default: flops, or the column of --scale]
    #[arg(long, value_enum, conflicts_with = "scale")]
    axis: Option<AxisName>,
    /// Tokens per parameter at which grids are read [default: mean of the runs]
    #[arg(long, value_name = "X")]
    tokens_per_param: Option<f64>,
    /// Scales at which the ratio is predicted, such as 1e22,1e23
    #[arg(long, value_name = "F[,F...]")]
    predict_at: Option<Numbers>,
    /// Column of a table by distribution, on which the exponents are regressed
    #[arg(long, value_name = "FILE:COLUMN")]
    covariate: Option<CovariateColumn>,
    /// Smallest change of the gap that matters, percent per decade of compute [default: 0.5]
    #[arg(long, value_name = "X")]
    margin_percent: Option<f64>,
    /// Largest gap that counts as none, percent of the ratio [default: 1]
    #[arg(long, value_name = "X")]
    gap_margin_percent: Option<f64>,
    /// Laws that one adjustment for multiple testing covers [default: corpus]
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// Significance level; intervals have level 1 − alpha [default: 0.05]
    #[arg(long, value_name = "X")]
    alpha: Option<f64>,
    /// Average of the clusters of a distribution; an error rate of several clusters needs micro
    /// [default: micro]
    #[arg(long, value_enum)]
    averaging: Option<AveragingName>,
    /// Population that the items stand for [default: population]
    #[arg(long, value_enum)]
    items: Option<Items>,
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
    /// Covariance of the line through the readings [default: ols]
    #[arg(long, value_enum)]
    covariance: Option<Covariance>,
    /// Weight down runs that lie far from their size profile (IsoFLOP ladders)
    #[arg(long)]
    robust: bool,
    /// Fit the surfaces L(N, D) with Huber's loss at this threshold, such as 1e-3 [default: least
    /// squares]
    #[arg(long, value_name = "X")]
    surface_huber: Option<f64>,
    /// Redrawn sets of runs behind the intervals of the surfaces; 0 linearises [default: 250 with
    /// --surface-huber, otherwise 0]
    #[arg(long, value_name = "N")]
    surface_draws: Option<u32>,
    /// Redrawn pairs behind the intervals of the ratio of two laws with floors; 0 leaves it out
    /// [default: 199]
    #[arg(long, value_name = "N")]
    floor_draws: Option<u32>,
    /// Distribution whose clusters are named `stratum/cluster`, with fixed strata, and no error rate;
    /// repeatable
    #[arg(long, value_name = "NAME")]
    stratified: Vec<String>,
    /// Add a mixed model with a random effect of the budget (ten budgets and seed replicates)
    #[arg(long)]
    mixed_model: bool,
    /// Add bootstrap intervals of runs crossed with item clusters
    #[arg(long)]
    crossed_bootstrap: bool,
    /// Add intervals by a wild bootstrap of the whole pipeline (runs, optima, frontier, readings)
    #[arg(long)]
    wild_bootstrap: bool,
    /// Add intervals that hold for all laws at once
    #[arg(long)]
    max_t: bool,
    /// Seed of random draws
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Numbers separated by commas: one value, so that a second flag is refused.
#[derive(Debug, Clone)]
struct Numbers(Vec<f64>);

impl std::str::FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |word: &str| {
            let number = word.trim().parse::<f64>();
            number.map_err(|_| format!("`{word}` is not a number"))
        };
        Ok(Self(text.split(',').map(number).collect::<Result<_, _>>()?))
    }
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
enum AxisName {
    /// The training FLOPs of the runs
    Flops,
    /// Parameters
    Params,
    /// Training tokens
    Tokens,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AveragingName {
    /// Ratio of sums over all items
    Micro,
    /// Mean over clusters of each cluster's error
    Macro,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Items {
    /// A sample: intervals hold for other items too
    Population,
    /// All there are: intervals hold for this benchmark only
    Fixed,
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
    /// Files that are read: the options and the table of the covariate.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let covariate = self.covariate.as_ref().map(CovariateColumn::path);
        self.options.as_deref().into_iter().chain(covariate)
    }

    /// The options that the file and the flags describe; a flag overrides the file.
    ///
    /// # Errors
    /// A file that is refused, or flags that contradict each other.
    pub(super) fn options(&self) -> Result<Options, CommandError> {
        let mut options = match (&self.options, &self.baseline) {
            (Some(path), baseline) => options_file::read(path, baseline.as_deref())?,
            (None, Some(baseline)) => Options::new(baseline),
            (None, None) => {
                let message = "one of --baseline and --options is needed".to_owned();
                return Err(CommandError::Usage(message));
            }
        };
        self.set_comparisons(&mut options)?;
        self.set_method(&mut options);
        self.set_tests(&mut options);
        self.set_scores(&mut options)?;
        self.set_extras(&mut options);
        if let Some(column) = &self.covariate {
            options.covariate = column.read()?;
        }
        Ok(options)
    }

    /// The ladder with the runs of `--held-out` held out.
    ///
    /// # Errors
    /// A run that the ladder does not have.
    pub(super) fn held_out(&self, mut ladder: Ladder) -> Result<Ladder, CommandError> {
        for run in &self.held_out {
            if !ladder.runs().iter().any(|r| r.id == *run) {
                let meant = did_you_mean(run, ladder.runs().iter().map(|r| r.id.as_str()));
                return Err(format!("--held-out {run}: the ladder has no such run{meant}").into());
            }
            ladder = ladder.hold_out(run)?;
        }
        Ok(ladder)
    }

    /// Distributions and their comparisons.
    fn set_comparisons(&self, options: &mut Options) -> Result<(), CommandError> {
        let baseline = &options.baseline;
        if self.treatment.contains(baseline) {
            return Err(CommandError::Usage(format!(
                "--treatment {baseline}: `{baseline}` is the baseline, and its ratio to itself is 1"
            )));
        }
        replace_list(&mut options.treatments, &self.treatment);
        replace_list(&mut options.contrasts, &self.contrast);
        replace_map(&mut options.groups, &self.group, |name| {
            format!("--group {name}: two groups have this name")
        })?;
        if let Some(worst) = self.worst {
            options.worst = Some(match worst {
                Worst::Treatments => WorstOf::Treatments,
                Worst::Groups => WorstOf::Groups,
            });
        }
        if self.corpus_baseline.is_some() {
            options.corpus_baseline.clone_from(&self.corpus_baseline);
        }
        Ok(())
    }

    /// Design, scale and the line through the readings.
    fn set_method(&self, options: &mut Options) {
        if self.aggregate.is_some() {
            options.aggregate.clone_from(&self.aggregate);
        }
        if let Some(design) = self.design {
            options.design = match design {
                Design::Auto => DesignChoice::Auto,
                Design::Isoflop => DesignChoice::Isoflop,
                Design::Rungs => DesignChoice::Rungs,
                Design::Grid => DesignChoice::Grid,
            };
        }
        if let Some(axis) = self.axis {
            options.axis = match axis {
                AxisName::Flops => Axis::Flops,
                AxisName::Params => Axis::Params,
                AxisName::Tokens => Axis::Tokens,
            };
        }
        if let Some(covariance) = self.covariance {
            options.covariance = match covariance {
                Covariance::Ols => CovarianceType::Ols,
                Covariance::Hc2 => CovarianceType::Hc2,
                Covariance::Hc3 => CovarianceType::Hc3,
                Covariance::Ar1 => CovarianceType::Ar1,
            };
        }
        options.robust |= self.robust;
        options.tokens_per_param = self.tokens_per_param.or(options.tokens_per_param);
        options.surface_huber = self.surface_huber.or(options.surface_huber);
        options.surface_draws = self.surface_draws.or(options.surface_draws);
        options.floor_draws = self.floor_draws.unwrap_or(options.floor_draws);
        options.seed = self.seed.unwrap_or(options.seed);
    }

    /// Margins and levels.
    fn set_tests(&self, options: &mut Options) {
        if let Some(family) = self.family {
            options.family = match family {
                Family::Corpus => FamilyScope::Corpus,
                Family::All => FamilyScope::All,
            };
        }
        options.margin_percent = self.margin_percent.unwrap_or(options.margin_percent);
        let gap_margin = self.gap_margin_percent;
        options.gap_margin_percent = gap_margin.unwrap_or(options.gap_margin_percent);
        options.alpha = self.alpha.unwrap_or(options.alpha);
    }

    /// The meaning of losses and items.
    fn set_scores(&self, options: &mut Options) -> Result<(), CommandError> {
        if let Some(averaging) = self.averaging {
            options.averaging = match averaging {
                AveragingName::Micro => Averaging::Micro,
                AveragingName::Macro => Averaging::Macro,
            };
        }
        if let Some(items) = self.items {
            options.items = match items {
                Items::Population => ItemSampling::Population,
                Items::Fixed => ItemSampling::Fixed,
            };
        }
        if !self.error_rate.is_empty() {
            options.error_rates = self.error_rate.iter().cloned().collect();
        }
        replace_map(&mut options.chance, &self.chance, |name| {
            format!("--chance {name}: two chance levels are given for it")
        })?;
        options.across_scorers |= self.across_scorers;
        replace_list(&mut options.stratified, &self.stratified);
        Ok(())
    }

    /// Results beside the laws.
    fn set_extras(&self, options: &mut Options) {
        if let Some(Numbers(scales)) = &self.predict_at {
            options.predict_at.clone_from(scales);
        }
        options.partial_pooling |= self.partial_pooling;
        options.mixed_model |= self.mixed_model;
        options.crossed_bootstrap |= self.crossed_bootstrap;
        options.wild_bootstrap |= self.wild_bootstrap;
        options.max_t |= self.max_t;
    }
}

/// A list of flags replaces that of the file.
fn replace_list<T: Clone>(field: &mut Vec<T>, flags: &[T]) {
    if !flags.is_empty() {
        field.clear();
        field.extend_from_slice(flags);
    }
}

/// Flags with a name replace those of the file; `twice` is the message about a name that comes twice.
fn replace_map<T: Clone>(
    field: &mut BTreeMap<String, T>,
    flags: &[(String, T)],
    twice: impl Fn(&str) -> String,
) -> Result<(), CommandError> {
    if !flags.is_empty() {
        field.clear();
    }
    for (name, value) in flags {
        if field.insert(name.clone(), value.clone()).is_some() {
            return Err(CommandError::Usage(twice(name)));
        }
    }
    Ok(())
}

/// A distribution and its chance level, `NAME=LOSS`.
fn chance(text: &str) -> Result<(String, f64), String> {
    // From the right: names may hold an equals sign, numbers do not.
    let (name, loss) = text.rsplit_once('=').ok_or("NAME=LOSS, such as arc=0.75")?;
    let loss = loss.parse().map_err(|e| format!("{loss:?}: {e}"))?;
    Ok((name.to_owned(), loss))
}

#[cfg(test)]
mod tests;
