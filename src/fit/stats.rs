//! The numerical floor of the estimator: slices in, numbers out.
//!
//! Nothing here knows of ladders, designs or options.

pub mod counts;
pub mod laws;
pub mod meta;
pub mod mixed;
pub mod multiplicity;
pub mod quantile;
pub mod regression;
pub mod resample;
