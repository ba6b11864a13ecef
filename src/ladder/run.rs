//! One run: its size, its training length and its compute.

use serde::{Deserialize, Serialize};

use super::LadderError;

/// The numbers that every run has, by name: a swapped pair cannot compile into a wrong ladder.
///
/// **Units**: parameters, training tokens and FLOPs (or whatever positive quantity the ladder is
/// scaled along). All three are finite and positive.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "callers write it as a literal; a new number that every run needs must break them"
)]
pub struct Scale {
    /// Model size. For a mixture of experts, the active parameters.
    pub params: f64,
    /// Training tokens.
    pub tokens: f64,
    /// Training compute as logged.
    pub flops: f64,
}

/// One trained model, or one checkpoint of a training run.
///
/// **Units**: `budget` and `flops` in FLOPs, or in whatever positive quantity the ladder is scaled
/// along; `params` in parameters, `tokens` in training tokens. All four are finite and positive,
/// which is checked where the run enters a ladder ([`LadderBuilder::run`]).
///
/// # Examples
/// ```
/// use relscale::ladder::{Run, Scale};
///
/// let run = Run::new("r0", Scale { params: 1e8, tokens: 1.7e9, flops: 1.02e18 })
///     .corpus("dclm")
///     .budget(1e18)
///     .seed(3);
/// assert_eq!((run.params, run.tokens), (1e8, 1.7e9));
/// ```
///
/// [`LadderBuilder::run`]: super::LadderBuilder::run
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Run {
    /// Name of the run, unique in the ladder.
    pub id: String,
    /// Training corpus, or arm of an experiment; every corpus is fitted by itself.
    pub corpus: String,
    /// Label of the compute budget: runs with one label are compared over sizes.
    pub budget: f64,
    /// Training compute as logged.
    pub flops: f64,
    /// Model size.
    pub params: f64,
    /// Training tokens.
    pub tokens: f64,
    /// Number of passes over the training data, if known: `tokens` is the number of distinct tokens times
    /// this number. Finite and positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Seed, if known. Runs that differ in nothing else are replicates.
    pub seed: Option<u64>,
    /// Training run that this checkpoint belongs to; `None` where the run stands by itself.
    pub trajectory: Option<String>,
    /// If true, the run is a target to predict and never enters a fit.
    #[serde(default)]
    pub held_out: bool,
}

impl Run {
    /// A run of the corpus `default` whose budget is its FLOPs, without a seed, the only checkpoint
    /// of its training run.
    #[must_use]
    pub fn new(id: impl Into<String>, scale: Scale) -> Self {
        Self {
            id: id.into(),
            corpus: "default".into(),
            budget: scale.flops,
            flops: scale.flops,
            params: scale.params,
            tokens: scale.tokens,
            epochs: None,
            seed: None,
            trajectory: None,
            held_out: false,
        }
    }

    /// Sets the training corpus.
    #[must_use]
    pub fn corpus(mut self, corpus: impl Into<String>) -> Self {
        self.corpus = corpus.into();
        self
    }

    /// Sets the label of the compute budget. IsoFLOP runs of one budget differ a little in the
    /// FLOPs they spent, so that the label groups them.
    #[must_use]
    pub fn budget(mut self, budget: f64) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the number of passes over the training data: above 1 the run saw tokens more than once.
    #[must_use]
    pub fn epochs(mut self, epochs: f64) -> Self {
        self.epochs = Some(epochs);
        self
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the run a checkpoint of the training run `trajectory`.
    #[must_use]
    pub fn trajectory(mut self, trajectory: impl Into<String>) -> Self {
        self.trajectory = Some(trajectory.into());
        self
    }

    /// Makes the run a target to predict, which never enters a fit.
    #[must_use]
    pub fn held_out(mut self) -> Self {
        self.held_out = true;
        self
    }

    /// Name of the training run: the trajectory, or the id of a run that is no checkpoint of one. An id
    /// cannot repeat within a ladder.
    pub(crate) fn training_run(&self) -> &str {
        self.trajectory.as_deref().unwrap_or(&self.id)
    }

    /// Refuses names that are empty and numbers that are not finite and positive.
    pub(super) fn check(&self) -> Result<(), LadderError> {
        if self.id.is_empty() || self.corpus.is_empty() {
            return Err(LadderError::EmptyName {
                what: if self.id.is_empty() { "run" } else { "corpus" },
            });
        }
        for (what, value) in [
            ("budget", self.budget),
            ("flops", self.flops),
            ("params", self.params),
            ("tokens", self.tokens),
            ("epochs", self.epochs.unwrap_or(1.0)),
        ] {
            if !(value.is_normal() && value > 0.0) {
                return Err(LadderError::RunField {
                    run: self.id.clone(),
                    what,
                    value,
                });
            }
        }
        Ok(())
    }

    /// Refuses FLOPs that cannot be those of training on so many tokens.
    pub(super) fn check_flops(&self, convention: FlopConvention) -> Result<(), LadderError> {
        // Two divisions: the product of parameters and tokens could overflow.
        let ratio = self.flops / self.params / self.tokens;
        if convention == FlopConvention::Other
            || (LEAST_FLOPS_RATIO..=GREATEST_FLOPS_RATIO).contains(&ratio)
        {
            return Ok(());
        }
        Err(LadderError::Flops {
            run: self.id.clone(),
            flops: self.flops,
            params: self.params,
            tokens: self.tokens,
        })
    }

    /// Corpus, name, budget, FLOPs, parameters, tokens and seed: the first columns of every table.
    pub(crate) fn first_columns(&self) -> [String; 7] {
        [
            self.corpus.clone(),
            self.id.clone(),
            // Powers of ten are read at a glance, and the digits are the shortest that read back.
            format!("{:e}", self.budget),
            format!("{:e}", self.flops),
            self.params.to_string(),
            self.tokens.to_string(),
            self.seed.map_or_else(String::new, |s| s.to_string()),
        ]
    }

    /// The column of epochs, empty where they are not known.
    pub(crate) fn epochs_column(&self) -> String {
        self.epochs.map_or_else(String::new, |e| e.to_string())
    }

    /// Trajectory, FLOP convention and `held_out`: the last columns of every table.
    pub(crate) fn last_columns(&self, convention: FlopConvention) -> [&str; 3] {
        [
            self.trajectory.as_deref().unwrap_or(""),
            convention.as_str(),
            if self.held_out { "true" } else { "" },
        ]
    }
}

/// Least and greatest FLOPs per parameter and training token.
///
/// Real ladders have 6 for training and 2 for forward passes, less where input embeddings are most
/// of the parameters (1.5 in the smallest models of an 85-run suite), more where attention and the
/// LM head are most of the compute (13 in models of 5,000 parameters, 54 if only their parameters
/// outside the embeddings are counted); mixtures of experts with all experts counted come down to
/// 0.2. The ends are a factor 1,000 apart, so that a count in thousands, millions or billions where
/// single ones are meant (or the reverse) always leaves them.
pub(super) const LEAST_FLOPS_RATIO: f64 = 0.1;
/// See [`LEAST_FLOPS_RATIO`].
pub(super) const GREATEST_FLOPS_RATIO: f64 = 100.0;

/// Meaning of the FLOPs of a ladder. Exponents do not depend on it as long as it is one convention
/// throughout; every absolute axis does, so it is a field and never a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlopConvention {
    /// Not stated.
    #[default]
    Unspecified,
    /// Forward and backward passes of training as logged or computed layer by layer.
    Training,
    /// Forward passes only (a third of training, nearly).
    ForwardOnly,
    /// The approximation 6·parameters·tokens.
    #[serde(rename = "6nd")]
    SixNd,
    /// The axis is not training compute (test-time compute, parameters, data, …), or the compute was not
    /// spent on these parameters and tokens. Under every other convention, FLOPs must be 0.1 to 100 per
    /// parameter and token.
    Other,
}

impl FlopConvention {
    /// The name used in files: `unspecified`, `training`, `forward_only`, `6nd` or `other`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Training => "training",
            Self::ForwardOnly => "forward_only",
            Self::SixNd => "6nd",
            Self::Other => "other",
        }
    }

    /// The convention with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Unspecified,
            Self::Training,
            Self::ForwardOnly,
            Self::SixNd,
            Self::Other,
        ]
        .into_iter()
        .find(|c| c.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(flops: f64) -> Result<(), LadderError> {
        let scale = Scale {
            params: 1e8,
            tokens: 1e9,
            flops,
        };
        Run::new("r0", scale).check_flops(FlopConvention::Training)
    }

    #[test]
    fn flops_of_real_ladders_pass_and_other_units_do_not() {
        // Mixtures, forward passes, embeddings left out; see LEAST_FLOPS_RATIO.
        for real in [0.2, 1.5, 2.0, 6.0, 13.0, 54.0] {
            assert_eq!(ratio(real * 1e17), Ok(()), "{real}");
            for slip in [1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9] {
                assert!(ratio(real * slip * 1e17).is_err(), "{real} {slip}");
            }
        }
        let text = ratio(6e8).unwrap_err().to_string();
        for part in ["\"r0\"", "6e8", "1e8", "1e9", "6.0e-9", "other"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn another_axis_is_not_held_to_the_compute_of_training() {
        let scale = Scale {
            params: 1e8,
            tokens: 1e9,
            flops: 64.0,
        };
        let run = Run::new("r0", scale);
        assert_eq!(run.check_flops(FlopConvention::Other), Ok(()));
    }
}
