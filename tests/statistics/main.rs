//! The estimator from a ladder to its laws: goldens of other programs, known truths, properties, refusals.

#[path = "../common/random.rs"]
mod random;
#[path = "../common/rungs.rs"]
mod rungs;

mod accuracy;
mod autocorrelation;
mod axis;
mod contrasts;
mod corpora;
mod designs;
mod diagnostics;
mod error_rates;
mod golden_designs;
mod golden_laws;
mod isoflop;
mod known_errors;
mod messages;
mod partial_pooling;
mod passed_over;
mod paths;
mod prediction;
mod properties_designs;
mod properties_fit;
mod robustness;
mod strata;
mod worst_group;
