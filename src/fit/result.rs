//! Result types of an analysis.
