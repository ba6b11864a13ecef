//! The sources and the documentation agree, and modules know those below them alone.

mod docs;
mod layers;
