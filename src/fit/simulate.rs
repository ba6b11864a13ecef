//! Ladders of known truth.
