//! Comparisons of distributions that were scored differently.

use std::collections::{BTreeMap, BTreeSet};

use crate::ladder::{Ladder, Scores};

use super::error::FitError;
use super::options::Options;

/// Number of distributions that a message names per scorer.
const EXAMPLES: usize = 3;

/// Refuses comparisons of losses in different units, unless they are asked for.
///
/// The aggregate is not among them: it picks the sizes at which both sides are read, whatever its unit.
pub(crate) fn check_scorers(ladder: &Ladder, options: &Options) -> Result<(), FitError> {
    if options.across_scorers {
        return Ok(());
    }
    let baseline = [options.baseline.as_str()];
    let treatments: Vec<&str> = if options.treatments.is_empty() {
        let aggregate = options.aggregate.as_deref();
        let all = ladder.distributions();
        all.filter(|name| Some(*name) != aggregate).collect()
    } else {
        options.treatments.iter().map(String::as_str).collect()
    };
    check(ladder, treatments.into_iter().chain(baseline))?;
    for group in options.groups.keys() {
        check(ladder, members(options, group).into_iter().chain(baseline))?;
    }
    for contrast in &options.contrasts {
        // The two pairs of a difference may have two units: each ratio is without one.
        let second = contrast.minus.iter().map(|p| (&p.treatment, &p.baseline));
        for (t, b) in [(&contrast.treatment, &contrast.baseline)]
            .into_iter()
            .chain(second)
        {
            let sides = [t, b].into_iter().flat_map(|side| members(options, side));
            check(ladder, sides)?;
        }
    }
    Ok(())
}

/// The distributions of a group, or the one distribution that the name is.
fn members<'a>(options: &'a Options, name: &'a str) -> Vec<&'a str> {
    match options.groups.get(name) {
        Some(group) => group
            .shares()
            .into_iter()
            .map(|(member, _)| member)
            .collect(),
        None => vec![name],
    }
}

/// Refuses distributions of which two have different scorers. Names that the ladder lacks are refused
/// elsewhere.
fn check<'a>(ladder: &Ladder, names: impl Iterator<Item = &'a str>) -> Result<(), FitError> {
    let mut by_scorer: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in names {
        if let Some(scorer) = ladder.distribution(name).and_then(Scores::scorer) {
            by_scorer.entry(scorer).or_default().insert(name);
        }
    }
    if by_scorer.len() < 2 {
        return Ok(());
    }
    let of = |(scorer, names): (&&str, &BTreeSet<&str>)| {
        let first: Vec<String> = names
            .iter()
            .take(EXAMPLES)
            .map(|n| format!("{n:?}"))
            .collect();
        let more = if names.len() > EXAMPLES { ", …" } else { "" };
        format!("{scorer} ({}{more})", first.join(", "))
    };
    let scorers: Vec<String> = by_scorer.iter().map(of).collect();
    Err(FitError::Unsupported {
        reason: format!(
            "distributions scored by {} are compared, and losses in different units have no common \
             ratio; compare those of one scorer, or ask for the comparison with across_scorers",
            scorers.join(" and by ")
        ),
    })
}
