//! Variances, intervals and tests of the exponent.
