//! Tables and plots of an analysis.
