//! Tables and drawings of analyses.

mod formats;
mod plots;
mod report;
