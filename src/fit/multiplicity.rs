//! Adjusted p-values and simultaneous intervals.
