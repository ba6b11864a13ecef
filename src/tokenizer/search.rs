//! Searches with the regular expressions of a `tokenizer.json`, which end in an error or in time.
//!
//! The `tokenizers` library searches with the same engine, but takes the rest of a text for one word
//! where a search is given up.

use std::cell::Cell;
use std::sync::OnceLock;

use fancy_regex::{Error, Regex, RegexBuilder, RuntimeError};
use tokenizers::Offsets;
use tokenizers::pattern::Pattern;

/// Most ways of matching that one search tries before it is tried again with the next limit. The last is
/// that of the library.
// Words of released expressions take a dozen.
pub(super) const LIMITS: [usize; 4] = [256, 4096, 65_536, 1_000_000];
/// Ways of matching that all searches of one text may try together, beside those that cost nothing.
const FREE: u64 = 4_000_000;
/// The same per byte that is searched. A run of digits takes a number of them that grows with its length
/// where an expression groups them from the right, as `\d{1,3}(?=(?:\d{3})*\b)` does.
const PER_BYTE: u64 = 2000;

/// An expression.
#[derive(Debug)]
pub(super) struct Expression {
    source: String,
    /// The expression with each of the limits; those that are needed rarely are compiled when they are.
    engines: [OnceLock<Regex>; LIMITS.len()],
}

impl Expression {
    /// # Errors
    /// An expression that the engine does not read.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        let expression = Self {
            source: source.to_owned(),
            engines: Default::default(),
        };
        expression.engine(0)?;
        Ok(expression)
    }

    /// The engine that stops at the limit of this number.
    fn engine(&self, number: usize) -> Result<&Regex, String> {
        if let Some(engine) = self.engines[number].get() {
            return Ok(engine);
        }
        let engine = RegexBuilder::new(&self.source)
            .backtrack_limit(LIMITS[number])
            .build()
            .map_err(|e| e.to_string())?;
        Ok(self.engines[number].get_or_init(|| engine))
    }

    /// The first match at or after the byte `start`.
    ///
    /// # Errors
    /// A message if the search is given up.
    fn find(&self, text: &str, start: usize, budget: &Budget) -> Result<Option<Offsets>, String> {
        let given_up = || {
            let shown: String = self.source.chars().take(60).collect();
            format!("the expression {shown:?} backtracks too much after byte {start} of a text")
        };
        for (number, limit) in LIMITS.into_iter().enumerate() {
            // The first limit is so low that every search may reach it.
            if number > 0 && !budget.spend(limit as u64) {
                return Err(given_up());
            }
            let engine = self.engine(number)?;
            match engine.find_from_pos(text, start) {
                Ok(found) => return Ok(found.map(|found| (found.start(), found.end()))),
                Err(Error::RuntimeError(RuntimeError::BacktrackLimitExceeded)) => {}
                // Among them a run of more than a million letters, for which no limit is raised.
                Err(_) => return Err(given_up()),
            }
        }
        Err(given_up())
    }
}

/// The steps that the searches of one text may still take.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Cell::new(FREE))
    }

    /// Adds what a search through so many bytes may cost.
    fn earn(&self, bytes: usize) {
        let earned = PER_BYTE.saturating_mul(bytes as u64);
        self.0.set(self.0.get().saturating_add(earned));
    }

    /// Takes so many steps from it; false if it has fewer.
    fn spend(&self, steps: u64) -> bool {
        let left = self.0.get().checked_sub(steps);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// The matches of an expression and what lies between them, as the library asks for them.
pub(super) struct Matches<'a> {
    pub(super) expression: &'a Expression,
    pub(super) budget: &'a Budget,
    /// If true, what lies between the matches takes their place.
    pub(super) invert: bool,
}

impl Pattern for Matches<'_> {
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if text.is_empty() {
            return Ok(vec![((0, 0), self.invert)]);
        }
        self.budget.earn(text.len());
        let mut parts = Vec::new();
        // Where the last match ended, and where the next search begins.
        let (mut ended, mut at) = (None, 0);
        while at <= text.len() {
            let Some((start, end)) = self.expression.find(text, at, self.budget)? else {
                break;
            };
            if start < end {
                at = end;
            } else {
                // A match of nothing: the next letter, and none right after another match.
                at = end + text[end..].chars().next().map_or(1, char::len_utf8);
                if ended == Some(end) {
                    continue;
                }
            }
            let before = ended.unwrap_or(0);
            if before < start {
                parts.push(((before, start), self.invert));
            }
            parts.push(((start, end), !self.invert));
            ended = Some(end);
        }
        let before = ended.unwrap_or(0);
        if before < text.len() {
            parts.push(((before, text.len()), self.invert));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::utils::SysRegex;

    use super::*;

    fn matches(source: &str, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        let expression = Expression::new(source).unwrap();
        let (expression, budget, invert) = (&expression, &Budget::new(), false);
        Matches {
            expression,
            budget,
            invert,
        }
        .find_matches(text)
    }

    const SOURCES: [&str; 9] = [
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        r"\d{1,3}(?=(?:\d{3})*\b)",
        r"(?<=\d)(?=(\d{3})+(?!\d))",
        r"\p{N}{1,3}",
        "",
        "a*",
        r"(?=a)|\b",
        ".",
    ];

    proptest! {
        #[test]
        fn matches_are_those_of_the_library(
            source in 0..SOURCES.len(),
            text in r"([a'0 é\n中\t]|[0-9]{1,7}|'s|  ){0,24}",
        ) {
            let source = SOURCES[source];
            let library = SysRegex::new(source).unwrap();
            let theirs = (&library).find_matches(&text).unwrap();
            prop_assert_eq!(matches(source, &text).unwrap(), theirs);
        }
    }

    #[test]
    fn a_search_that_is_given_up_is_an_error() {
        // The library takes all of these texts for one word.
        let gives_up = |source: &str, text: &str| {
            let message = matches(source, text).unwrap_err().to_string();
            assert!(
                message.contains("backtracks too much after byte"),
                "{message}"
            );
        };
        gives_up(r"(?:a+)+(?!b)c", &"a".repeat(40));
        gives_up(r"\s+(?!\S)", &(" ".repeat(1_100_000) + "a word"));
        // Each search stays below the limit of the library, and there is one per byte.
        let slow = r"(?:(?=a)|(?=.)|(?=\w)){12}c|a";
        assert!(matches(slow, "aaa").is_ok());
        gives_up(slow, &"a".repeat(4000));
    }

    #[test]
    fn long_runs_of_released_tokenizers_are_matched() {
        for letter in ["1", " ", "A", "\n", "中"] {
            for source in &SOURCES[..5] {
                let text = letter.repeat(3000) + " a word " + &letter.repeat(500);
                assert!(matches(source, &text).is_ok(), "{source}: {letter:?}");
            }
        }
    }
}
