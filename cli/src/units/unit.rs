//! One piece of work.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::UnitError;
use crate::names::encoded;
use relscale::Error;

/// Some items of one distribution, to be scored with one checkpoint.
///
/// Exhaustive: it mirrors the fields of `plan.json`, whose format has a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Name of the run that the checkpoint belongs to.
    pub run: String,
    /// Name of the distribution.
    pub distribution: String,
    /// Positions of the items in the distribution.
    pub items: Range<usize>,
    /// Estimated cost, `2·N·T` FLOPs for N parameters and T tokens, with four bytes of text counted as
    /// one token. A context shared by several choices counts once.
    ///
    /// Bytes stand for tokens so that planning needs no tokenizer; every checkpoint may have another.
    /// Within a distribution, where units are cut, the two are nearly proportional.
    pub flops: f64,
}

impl Unit {
    /// Run, distribution and items: `small/english-help/0-16` for the first sixteen.
    ///
    /// Bytes other than ASCII letters, digits, `-`, `_` and `.` are written `%2F`, and so is a `.`
    /// at the start, so that the name is a path inside the folder of logs. Of a long name, the rest is a
    /// hash.
    #[must_use]
    pub fn name(&self) -> String {
        let (run, distribution) = (encoded(&self.run), encoded(&self.distribution));
        format!(
            "{run}/{distribution}/{}-{}",
            self.items.start, self.items.end
        )
    }

    pub(super) fn error(&self, source: Error) -> UnitError {
        UnitError::Unit {
            unit: self.name(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_and_differ() {
        let name = |run: &str, distribution: &str| {
            let (run, distribution) = (run.to_owned(), distribution.to_owned());
            let unit = Unit {
                run,
                distribution,
                items: 0..7,
                flops: 1.0,
            };
            unit.name()
        };
        assert_eq!(name("a-1_x.5", "b"), "a-1_x.5/b/0-7");
        assert_eq!(name("..", "a/b c"), "%2E./a%2Fb%20c/0-7");
        assert_ne!(name("a%2F", "b"), name("a/", "b"));
        assert_eq!(name("é", "b"), "%C3%A9/b/0-7");
    }
}
