//! Exact enumerations and seeded resampling.
