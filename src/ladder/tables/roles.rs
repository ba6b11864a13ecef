//! The part that each of several tables has.

use csv::StringRecord;

use crate::ladder::LadderError;
use crate::ladder::column::Column;
use crate::ladder::nearest::nearest;
use crate::ladder::source::Source;

/// Content of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// One row per loss.
    Long,
    /// A column of losses per distribution: those at the places, or those that the first row tells.
    Wide(Option<Vec<usize>>),
    /// Descriptions of runs.
    Runs,
}

/// The columns that say how large a run was.
const COST: [Column; 4] = [
    Column::Flops,
    Column::Params,
    Column::Tokens,
    Column::Budget,
];

/// The role of each table.
///
/// # Errors
/// Named distributions that no table has; no table with losses.
pub(super) fn of(
    sources: &[Source<'_>],
    distributions: &[String],
    scale: Option<&str>,
) -> Result<Vec<Role>, LadderError> {
    let headers: Vec<&StringRecord> = sources.iter().map(|s| &s.header).collect();
    if !distributions.is_empty() {
        check(sources, distributions)?;
    }
    let named = |header: &StringRecord| {
        let places = header.iter().enumerate();
        let places = places.filter(|(_, h)| distributions.iter().any(|d| d == h));
        places.map(|(place, _)| place).collect::<Vec<_>>()
    };
    // A table with one of the two columns is a long one that lacks the other.
    let is_long =
        |header: &StringRecord| has(header, Column::Loss) || has(header, Column::Distribution);
    let is_cost = |header: &StringRecord| {
        COST.iter().any(|column| has(header, *column))
            || scale.is_some_and(|scale| header.iter().any(|h| h == scale))
    };
    let some_long = headers.iter().any(|header| is_long(header));
    let some_bare = headers.iter().any(|header| !is_cost(header));
    let role = |header: &&StringRecord| {
        let named = named(header);
        if !named.is_empty() {
            Role::Wide(Some(named))
        } else if is_long(header) {
            Role::Long
        } else if !distributions.is_empty() || some_long || some_bare && is_cost(header) {
            Role::Runs
        } else {
            Role::Wide(None)
        }
    };
    Ok(headers.iter().map(role).collect())
}

fn has(header: &StringRecord, column: Column) -> bool {
    header.iter().any(|h| h == column.name())
}

/// Refuses distributions that are a column of no table.
fn check(sources: &[Source<'_>], distributions: &[String]) -> Result<(), LadderError> {
    let all: Vec<&str> = sources.iter().flat_map(|s| s.header.iter()).collect();
    match distributions.iter().find(|d| !all.contains(&d.as_str())) {
        None => Ok(()),
        Some(missing) => {
            let near = nearest(missing, all.iter().copied());
            let hint = near.map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
            Err(LadderError::Malformed {
                table: sources[0].name.clone(),
                line: Some(1),
                message: format!(
                    "no column named {missing:?} for the losses of that distribution; the first line has \
                     {}{hint}",
                    all.join(", ")
                ),
            })
        }
    }
}
