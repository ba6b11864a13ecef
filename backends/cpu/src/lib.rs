//! SIMD CPU backend of relscale.
