//! The path of a ladder through sizes and training lengths, and runs that may be checkpoints of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::corpus::Corpus;
use super::logarithm::range;
use super::readings::{Group, SPREAD, training_runs};

/// The quantity that grows from rung to rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LadderPath {
    /// Sizes, all trained on the same number of tokens.
    EqualTokens,
    /// Training lengths of one size.
    EqualSize,
    /// Both, at a constant number of tokens per parameter.
    EqualRatio,
    /// Both, at changing numbers of tokens per parameter.
    Mixed,
}

impl LadderPath {
    /// The path in a few words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::EqualTokens => "sizes at equal tokens",
            Self::EqualSize => "training lengths of one size",
            Self::EqualRatio => "constant tokens per parameter",
            Self::Mixed => "changing tokens per parameter",
        }
    }
}

/// Largest range of `ln(D/N)` that is one ratio: lengths are rounded to whole steps, and sizes that are
/// quoted in millions carry up to five percent of rounding.
const ONE_RATIO: f64 = 0.1;

/// The path of the runs at `members` (positions); `None` where all are one size trained for one length,
/// so that another quantity grows.
pub(crate) fn ladder_path(corpus: &Corpus<'_>, members: &[usize]) -> Option<LadderPath> {
    let span = |f: &dyn Fn(usize) -> f64| {
        let values: Vec<f64> = members.iter().map(|&m| f(m)).collect();
        let [low, high] = range(&values);
        high - low
    };
    let sizes = span(&|m| corpus.size[m]);
    let tokens = span(&|m| corpus.size[m] + corpus.ratio[m]);
    let path = match (sizes <= SPREAD, tokens <= SPREAD) {
        (true, true) => return None,
        (false, true) => LadderPath::EqualTokens,
        (true, false) => LadderPath::EqualSize,
        _ if span(&|m| corpus.ratio[m]) <= ONE_RATIO => LadderPath::EqualRatio,
        _ => LadderPath::Mixed,
    };
    Some(path)
}

/// Fewest training lengths of one size and seed that look like checkpoints: two may be a short run and
/// a long one.
const FEWEST_CHECKPOINTS: usize = 3;

/// If true, runs without a trajectory look like checkpoints of one training run.
///
/// Of one size and seed, they were trained for several lengths. That alone is a design where there are
/// several sizes, and then their names decide.
pub(crate) fn unnamed_trajectory(corpus: &Corpus<'_>, members: &[usize]) -> bool {
    let runs = corpus.ladder.runs();
    let mut same: BTreeMap<(u64, Option<u64>), Vec<usize>> = BTreeMap::new();
    for &m in members {
        let run = &runs[corpus.runs[m]];
        if run.trajectory.is_none() {
            let key = (run.params.to_bits(), run.seed);
            same.entry(key).or_default().push(m);
        }
    }
    let one_size = ladder_path(corpus, members) == Some(LadderPath::EqualSize);
    same.values().any(|group| {
        let mut lengths: Vec<f64> = group.iter().map(|&m| corpus.ratio[m]).collect();
        lengths.sort_by(f64::total_cmp);
        lengths.dedup_by(|a, b| (*a - *b).abs() <= SPREAD);
        let names = group.iter().map(|&m| {
            let run = &runs[corpus.runs[m]];
            (run.id.as_str(), run.tokens)
        });
        lengths.len() >= FEWEST_CHECKPOINTS && (one_size || counted_by_tokens(names))
    })
}

/// Least and most epochs of the runs at `members`; `None` where no table says them.
pub(crate) fn epochs(corpus: &Corpus<'_>, members: &[usize]) -> Option<[f64; 2]> {
    let runs = corpus.ladder.runs();
    let known: Vec<f64> = members
        .iter()
        .filter_map(|&m| runs[corpus.runs[m]].epochs)
        .collect();
    (!known.is_empty()).then(|| range(&known))
}

/// If true, all readings are of checkpoints of the same training runs, by name: those of one, or means
/// over seeds that tie them together.
pub(crate) fn one_trajectory(corpus: &Corpus<'_>, groups: &[Group]) -> bool {
    groups.len() > 1 && training_runs(corpus, groups).iter().all(|&c| c == 0)
}

/// If true, the names are one name but for a number that is proportional to the tokens, as the step of
/// a checkpoint is.
fn counted_by_tokens<'a>(names: impl Iterator<Item = (&'a str, f64)>) -> bool {
    /// Largest ratio of the tokens per unit of that number: lengths are rounded in names.
    const ROUNDED: f64 = 1.1;
    let parsed: Vec<(String, Vec<f64>, f64)> = names
        .map(|(name, tokens)| {
            let (pattern, numbers) = without_numbers(name);
            (pattern, numbers, tokens)
        })
        .collect();
    let Some((pattern, numbers, _)) = parsed.first() else {
        return false;
    };
    if parsed.iter().any(|p| p.0 != *pattern) {
        return false;
    }
    let differing: Vec<usize> = (0..numbers.len())
        .filter(|&k| parsed.iter().any(|p| p.1[k] != numbers[k]))
        .collect();
    let [k] = differing[..] else {
        return false;
    };
    let per_unit: Vec<f64> = parsed.iter().map(|p| p.2 / p.1[k]).collect();
    let [low, high] = range(&per_unit);
    high.is_finite() && high <= ROUNDED * low
}

/// A name with `#` for its numbers, and the numbers. A letter for thousands and so on belongs to its
/// number: `500M` and `1B` are of one pattern.
fn without_numbers(name: &str) -> (String, Vec<f64>) {
    let (mut pattern, mut numbers) = (String::new(), Vec::new());
    let mut rest = name;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        pattern += before;
        pattern.push('#');
        let mut end = digits(from);
        if let Some(decimals) = from[end..].strip_prefix('.').map(digits)
            && decimals > 0
        {
            end += 1 + decimals;
        }
        let (number, after) = from.split_at(end);
        let mut value: f64 = number.parse().unwrap_or(f64::NAN);
        rest = after;
        let mut letters = after.chars();
        let unit = match letters.next().map(|c| c.to_ascii_uppercase()) {
            Some('K') => 1e3,
            Some('M') => 1e6,
            Some('B' | 'G') => 1e9,
            Some('T') => 1e12,
            _ => 1.0,
        };
        if unit > 1.0 && letters.next().is_none_or(|c| !c.is_alphanumeric()) {
            value *= unit;
            rest = &after[1..];
        }
        numbers.push(value);
    }
    pattern += rest;
    (pattern, numbers)
}

/// Number of digits at the start.
fn digits(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_ascii_digit());
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_checkpoints_are_told_from_names_of_runs() {
        let counted = |names: &[(&str, f64)]| counted_by_tokens(names.iter().copied());
        assert!(counted(&[
            ("70m/step1000", 2e9),
            ("70m/step2000", 4e9),
            ("70m/step143000", 286e9)
        ]));
        assert!(counted(&[
            ("a-0.5B", 5e8),
            ("a-1B", 1.02e9),
            ("a-2000M", 2e9)
        ]));
        // Numbered in their order; named by other words; of other sizes.
        assert!(!counted(&[("run-1", 1e9), ("run-2", 2e9), ("run-3", 4e9)]));
        assert!(!counted(&[("run-0", 1e9), ("run-1", 2e9)]));
        assert!(!counted(&[("short", 1e9), ("long", 2e9)]));
        assert!(!counted(&[("70m-1B", 1e9), ("160m-2B", 2e9)]));
        assert!(!counted(&[]));
    }

    #[test]
    fn numbers_leave_the_pattern_of_a_name() {
        let (pattern, numbers) = without_numbers("pythia-1.4b-step512.ckpt");
        assert_eq!(pattern, "pythia-#-step#.ckpt");
        assert_eq!(numbers, [1.4e9, 512.0]);
        assert_eq!(without_numbers("v2beta"), ("v#beta".into(), vec![2.0]));
        assert_eq!(without_numbers("3."), ("#.".into(), vec![3.0]));
        assert_eq!(without_numbers("größe"), ("größe".into(), vec![]));
    }
}
