//! Minimum detectable exponents, power and designs.
