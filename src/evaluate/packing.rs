//! Items to batches: what shares a prefix is computed together, or after what is kept of it.

use super::forest::shared;
use super::windows::Path;

/// Paths that are computed together because they share a prefix.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) paths: Vec<Path>,
    /// Tokens computed, with what they share counted once.
    pub(super) cost: usize,
}

impl Group {
    pub(super) fn new(mut paths: Vec<Path>) -> Self {
        paths.sort_by(|a, b| a.inputs.cmp(&b.inputs));
        let mut cost = paths.first().map_or(0, |p| p.inputs.len());
        for pair in paths.windows(2) {
            cost += pair[1].inputs.len() - shared(&pair[0].inputs, &pair[1].inputs);
        }
        Self { paths, cost }
    }

    /// The inputs of the first path.
    fn first(&self) -> &[u32] {
        self.paths.first().map_or(&[], |p| &p.inputs)
    }

    /// How many tokens all its paths begin with before any of them is scored.
    fn unscored(&self) -> usize {
        let before = |path: &Path| path.inputs.len() - path.targets.len();
        let common = match &*self.paths {
            [first, .., last] => shared(&first.inputs, &last.inputs),
            _ => usize::MAX,
        };
        self.paths.iter().map(before).fold(common, usize::min)
    }
}

/// The groups of all items in the order of computing.
///
/// Items stand in the order of the tokens of their first path, so that those with a common prefix
/// are neighbours, and the windows of one text stay together, so that it is complete early. Groups
/// that do not fit a batch are broken into paths.
pub(super) fn order(mut items: Vec<Vec<Group>>, max_tokens: usize) -> Vec<Group> {
    // Stable, so that the order is that of the caller among equals.
    items.sort_by(|a, b| {
        a.first()
            .map(Group::first)
            .cmp(&b.first().map(Group::first))
    });
    let mut groups = Vec::with_capacity(items.len());
    for group in items.into_iter().flatten() {
        if group.cost > max_tokens {
            groups.extend(group.paths.into_iter().map(|p| Group::new(vec![p])));
        } else {
            groups.push(group);
        }
    }
    groups
}

/// Groups that are computed together.
#[derive(Debug)]
pub(super) struct Packed<'a> {
    groups: &'a [Group],
    /// Length of the prefix of all its paths that is kept from batch to batch.
    pub(super) kept: usize,
    /// Tokens computed, with what neighbours share counted once, and what is kept with the first
    /// batch of those that share it.
    pub(super) cost: usize,
}

impl<'a> Packed<'a> {
    /// The paths of its groups.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'a Path> {
        self.groups.iter().flat_map(|g| &g.paths)
    }

    /// The prefix that is kept from batch to batch.
    pub(super) fn prefix(&self) -> &'a [u32] {
        // `pack` makes none without groups.
        &self.groups[0].first()[..self.kept]
    }
}

/// Consecutive groups of at most `max_tokens` tokens.
///
/// A prefix that a full batch shares with the group after it is kept, where the model can, for as
/// long as groups have it: see [`Kept`]. What it takes in memory, `prefix_cost` tokens for each of
/// its own, the batches after it are smaller.
pub(super) fn pack(
    groups: &[Group],
    max_tokens: usize,
    prefix_cost: Option<f64>,
) -> Vec<Packed<'_>> {
    let mut batches = Vec::new();
    let mut rest = groups;
    while !rest.is_empty() {
        let (end, cost) = fill(rest, max_tokens, 0);
        let kept = prefix_cost.and_then(|cost| Kept::find(rest, end, max_tokens, cost));
        let Some(kept) = kept else {
            let (groups, after) = rest.split_at(end);
            rest = after;
            batches.push(Packed {
                groups,
                kept: 0,
                cost,
            });
            continue;
        };
        let (mut run, after) = rest.split_at(kept.groups);
        rest = after;
        let mut once = kept.len;
        while !run.is_empty() {
            let (end, cost) = fill(run, kept.budget, kept.len);
            let (groups, after) = run.split_at(end);
            run = after;
            batches.push(Packed {
                groups,
                kept: kept.len,
                cost: cost + once,
            });
            once = 0;
        }
    }
    batches
}

/// How many of the first groups, at least one, are at most `budget` tokens after a prefix of `kept`
/// tokens that all of them have, and how many tokens they are.
fn fill(groups: &[Group], budget: usize, kept: usize) -> (usize, usize) {
    let mut cost = groups[0].cost - kept;
    for (i, pair) in groups.windows(2).enumerate() {
        let more = pair[1].cost - common(&pair[0], &pair[1]).max(kept);
        if cost + more > budget {
            return (i + 1, cost);
        }
        cost += more;
    }
    (groups.len(), cost)
}

/// What a group shares with the one before it: the paths of a group are sorted, so that it shares
/// this with the last of them.
fn common(before: &Group, group: &Group) -> usize {
    let last = before.paths.last().map_or(&[][..], |p| &p.inputs);
    shared(last, group.first())
}

/// A prefix that is computed once for the batches of several groups.
struct Kept {
    len: usize,
    /// How many of the groups have it.
    groups: usize,
    /// Tokens of a batch after it.
    budget: usize,
}

impl Kept {
    /// The prefix of the first `end` groups, which fill a batch, and of the one after them, if it is
    /// at least a 32nd of the batch, so that the work saved is worth a pass of its own, and leaves at
    /// least an eighth of the batch beside it.
    ///
    /// Of later groups that have less of it, those are taken with which most is saved, as long as
    /// they have half of it.
    fn find(groups: &[Group], end: usize, max_tokens: usize, prefix_cost: f64) -> Option<Self> {
        let mut best: Option<Self> = None;
        // Of the groups so far: the length of what they have in common, and the largest cost.
        let (mut len, mut largest) = (usize::MAX, 0);
        for (i, group) in groups.iter().enumerate() {
            if i > 0 {
                len = len.min(common(&groups[i - 1], group));
            }
            len = len.min(group.unscored());
            largest = largest.max(group.cost);
            if i < end {
                continue;
            }
            let least = best.as_ref().map_or(max_tokens / 32, |best| best.len / 2);
            let taken = (len as f64 * prefix_cost).ceil() as usize;
            let budget = max_tokens.saturating_sub(taken);
            // A group is never cut: it has to find room in a batch.
            if len < least.max(1) || budget < max_tokens.div_ceil(8).max(largest - len) {
                break;
            }
            let kept = Self {
                len,
                groups: i + 1,
                budget,
            };
            let saved = |kept: &Self| kept.len * kept.groups;
            if best.as_ref().is_none_or(|best| saved(best) <= saved(&kept)) {
                best = Some(kept);
            }
        }
        best
    }
}
