//! The estimator: relative scaling laws with honest uncertainty.

pub mod contrast;
pub mod design;
pub mod diagnostics;
pub mod error;
pub mod frontier;
pub mod inference;
pub mod laws;
pub mod meta;
pub mod multiplicity;
pub mod options;
pub mod planning;
pub mod quantile;
pub mod regression;
pub mod resample;
pub mod result;
pub mod simulate;
pub mod verdict;
