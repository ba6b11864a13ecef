//! Least squares on small designs, with robust variances, influence, Fieller's set and ranks.

mod covariance;
mod estimate;
mod fieller;
mod groups;
mod influence;
mod line;
mod linear;
mod rank_trend;
#[cfg(test)]
mod tests;

pub(crate) use covariance::Errors;
pub(crate) use estimate::TEstimate;
pub use fieller::ConfidenceSet;
pub(crate) use fieller::fieller;
pub(crate) use groups::GroupEffects;
pub(crate) use line::Line;
pub(crate) use linear::LinearFit;
pub(crate) use rank_trend::rank_trend;
