//! The columns of tables.

/// A column that is read, in the order in which tables are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Corpus,
    Run,
    Budget,
    Flops,
    Params,
    Tokens,
    Seed,
    Distribution,
    Cluster,
    Loss,
    Weight,
    Item,
    Trajectory,
    FlopConvention,
    HeldOut,
    ScaleName,
    Checkpoint,
    Chance,
    Epochs,
    StandardError,
    Scorer,
    Model,
    Base,
}

impl Column {
    /// All of them, in the order of the declaration, so that `column as usize` is the place.
    pub(super) const ALL: [Self; 23] = [
        Self::Corpus,
        Self::Run,
        Self::Budget,
        Self::Flops,
        Self::Params,
        Self::Tokens,
        Self::Seed,
        Self::Distribution,
        Self::Cluster,
        Self::Loss,
        Self::Weight,
        Self::Item,
        Self::Trajectory,
        Self::FlopConvention,
        Self::HeldOut,
        Self::ScaleName,
        Self::Checkpoint,
        Self::Chance,
        Self::Epochs,
        Self::StandardError,
        Self::Scorer,
        Self::Model,
        Self::Base,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Corpus => "corpus",
            Self::Run => "run",
            Self::Budget => "budget",
            Self::Flops => "flops",
            Self::Params => "params",
            Self::Tokens => "tokens",
            Self::Seed => "seed",
            Self::Distribution => "distribution",
            Self::Cluster => "cluster",
            Self::Loss => "loss",
            Self::Weight => "weight",
            Self::Item => "item",
            Self::Trajectory => "trajectory",
            Self::FlopConvention => "flop_convention",
            Self::HeldOut => "held_out",
            Self::ScaleName => "scale_name",
            Self::Checkpoint => "checkpoint",
            Self::Chance => "chance",
            Self::Epochs => "epochs",
            Self::StandardError => "standard_error",
            Self::Scorer => "scorer",
            Self::Model => "model",
            Self::Base => "base",
        }
    }
}
