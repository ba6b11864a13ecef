//! Relative scaling laws: how the gap between test distributions evolves as language models scale.
#![forbid(unsafe_code)]
