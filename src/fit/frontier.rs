//! The compute-optimal frontier of an IsoFLOP ladder.
