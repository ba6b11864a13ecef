//! Least squares on small designs, with robust variances, influence, Fieller's set and ranks.

mod covariance;
mod estimate;
mod fieller;
mod groups;
mod influence;
mod line;
mod linear;
mod outlier;
mod rank_trend;
mod serial;
#[cfg(test)]
mod tests;

pub(crate) use covariance::Errors;
pub(crate) use estimate::TEstimate;
pub use fieller::ConfidenceSet;
pub(crate) use fieller::fieller;
pub(crate) use groups::GroupEffects;
pub(crate) use line::Line;
pub(crate) use linear::LinearFit;
pub(crate) use outlier::{Block, outliers};
pub(crate) use rank_trend::rank_trend;
pub(crate) use serial::SerialCovariance;
