//! Refusals by their reason: of many corpora and treatments the same few come over and over.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::result::{Analysis, Refused};

/// Number of names that stand for all that were refused for one reason.
const EXAMPLES: usize = 3;

/// Refusals for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RefusedGroup {
    /// The reason; of several that differ in names or numbers, `…` stands for those.
    pub reason: String,
    /// Number of corpora, comparisons and distributions refused.
    pub count: usize,
    /// The first three of them: corpus and distribution.
    pub examples: Vec<String>,
}

/// One line: the reason, or the number of refusals with the reason and a few names.
impl fmt::Display for RefusedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.examples.join(", ");
        if self.count == 1 {
            return write!(f, "{names}: {}", self.reason);
        }
        let more = if self.count > self.examples.len() {
            ", …"
        } else {
            ""
        };
        write!(f, "{} times: {} ({names}{more})", self.count, self.reason)
    }
}

impl Analysis {
    /// Everything that could not be analysed, one entry per reason, in the order of the first of each.
    ///
    /// [`Analysis::refused`] has them all.
    #[must_use]
    pub fn refusals(&self) -> Vec<RefusedGroup> {
        grouped(&self.refused)
    }
}

/// Refusals by reason.
pub(crate) fn grouped(refused: &[Refused]) -> Vec<RefusedGroup> {
    let mut groups: Vec<(String, Vec<&Refused>)> = Vec::new();
    for one in refused {
        let key = without_numbers(&without_names(&one.reason));
        match groups.iter_mut().find(|g| g.0 == key) {
            Some(group) => group.1.push(one),
            None => groups.push((key, vec![one])),
        }
    }
    let group = |(key, members): (String, Vec<&Refused>)| {
        let all = |text: &dyn Fn(&str) -> String| {
            let first = text(&members[0].reason);
            members
                .iter()
                .all(|r| text(&r.reason) == first)
                .then_some(first)
        };
        RefusedGroup {
            reason: all(&str::to_owned)
                .or_else(|| all(&without_names))
                .unwrap_or(key),
            count: members.len(),
            examples: members.iter().take(EXAMPLES).map(|r| what(r)).collect(),
        }
    };
    groups.into_iter().map(group).collect()
}

fn what(refused: &Refused) -> String {
    match &refused.distribution {
        Some(distribution) => format!("{} {distribution}", refused.corpus),
        None => refused.corpus.clone(),
    }
}

/// `…` for everything in quotation marks, in which reasons set names.
fn without_names(reason: &str) -> String {
    let mut text = String::new();
    let mut characters = reason.chars();
    while let Some(c) = characters.next() {
        if c != '"' {
            text.push(c);
            continue;
        }
        text.push('…');
        while let Some(inside) = characters.next() {
            match inside {
                '"' => break,
                // A quotation mark within a name is written with a backslash.
                '\\' => drop(characters.next()),
                _ => {}
            }
        }
    }
    text
}

/// `…` for every number.
fn without_numbers(reason: &str) -> String {
    let of_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut text = String::new();
    let mut rest = reason;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        text += &rest[..start];
        text.push('…');
        rest = rest[start..].trim_start_matches(of_number);
        // 1e18 and 1e-3.
        if let Some(power) = rest.strip_prefix('e') {
            let power = power.strip_prefix('-').unwrap_or(power);
            if power.starts_with(|c: char| c.is_ascii_digit()) {
                rest = power.trim_start_matches(of_number);
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(corpus: &str, distribution: &str, reason: &str) -> Refused {
        Refused {
            corpus: corpus.into(),
            distribution: Some(distribution.into()),
            budget: None,
            reason: reason.into(),
        }
    }

    #[test]
    fn reasons_that_differ_in_names_or_numbers_are_one() {
        let of = |k: usize| format!("too few budgets of corpus \"c\\\"{k}\": {k} found, 3 needed");
        let mut all: Vec<Refused> = (0..4).map(|k| refused("c", "d", &of(k))).collect();
        all.push(refused("a", "news", "no such thing as \"news\""));
        all.push(refused("b", "law", "no such thing as \"law\""));
        all.push(refused("b", "law", "budget 1.5e18 is one"));
        let lines: Vec<String> = grouped(&all).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "4 times: too few budgets of corpus …: … found, … needed (c d, c d, c d, …)",
                "2 times: no such thing as … (a news, b law)",
                "b law: budget 1.5e18 is one",
            ]
        );
    }

    #[test]
    fn a_reason_given_twice_keeps_its_names() {
        let twice = [
            refused("a", "x", "no \"y\" 3"),
            refused("b", "x", "no \"y\" 3"),
        ];
        assert_eq!(
            grouped(&twice)[0].to_string(),
            "2 times: no \"y\" 3 (a x, b x)"
        );
        assert!(grouped(&[]).is_empty());
        assert_eq!(without_names("an open \"name"), "an open …");
        assert_eq!(without_numbers("e3 and 1e-3e"), "e… and …e");
    }
}
