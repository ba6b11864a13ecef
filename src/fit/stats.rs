//! The numerical floor of the estimator: slices in, numbers out.
//!
//! Nothing here knows of ladders, designs or options; the pipeline above does. Designs have a
//! handful of columns and at most a few thousand rows, so clarity wins over blocking. Every sum runs
//! serially in index order, so that results depend neither on the number of threads nor on the
//! instruction set.

pub(super) mod checks;
pub(super) mod correlation;
pub(super) mod counts;
#[cfg(test)]
mod golden;
pub(super) mod huber;
pub(super) mod labels;
pub(super) mod laws;
pub(super) mod meta;
pub(super) mod mixed;
pub(super) mod multiplicity;
pub(super) mod quantile;
pub(super) mod random;
pub(super) mod regression;
pub(super) mod resample;
mod special;
pub(super) mod sums;
