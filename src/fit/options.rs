//! Options of an analysis.
