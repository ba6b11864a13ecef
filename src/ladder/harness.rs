//! Sample files of lm-evaluation-harness.
