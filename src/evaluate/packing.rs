//! Items to batches: neighbours with a common prefix share a batch, or a cached prefix.

use super::forest::shared;
use super::windows::Path;

/// Paths of one item that share a prefix and are computed in one batch.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) paths: Vec<Path>,
    /// Tokens to compute; a shared token counts once.
    pub(super) cost: usize,
}

impl Group {
    pub(super) fn new(mut paths: Vec<Path>) -> Self {
        // The cost below compares neighbours, which is right only for sorted paths.
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

    /// Length of the longest prefix that all paths share and none is scored in.
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
/// Items are sorted by the tokens of their first path, which makes neighbours of those with a common
/// prefix. The windows of one text stay together, so that the text is complete early. A group that
/// exceeds a batch is broken into its paths.
pub(super) fn order(mut items: Vec<Vec<Group>>, batch_tokens: usize) -> Vec<Group> {
    // A stable sort: equal items keep the order of the caller.
    items.sort_by(|a, b| {
        a.first()
            .map(Group::first)
            .cmp(&b.first().map(Group::first))
    });
    let mut groups = Vec::with_capacity(items.len());
    for group in items.into_iter().flatten() {
        // Sharing would need one batch beyond the budget. The paths alone may fit, and one that
        // does not is computed by itself.
        if group.cost > batch_tokens {
            groups.extend(group.paths.into_iter().map(|p| Group::new(vec![p])));
        } else {
            groups.push(group);
        }
    }
    groups
}

/// A batch: consecutive groups, computed in one pass.
#[derive(Debug)]
pub(super) struct Packed<'a> {
    groups: &'a [Group],
    /// Length of the cached prefix that all paths begin with.
    pub(super) cached: usize,
    /// Tokens to compute. A token that neighbours share counts once; a cached prefix counts in the
    /// first batch that uses it.
    pub(super) cost: usize,
}

impl<'a> Packed<'a> {
    /// The paths of its groups.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'a Path> {
        self.groups.iter().flat_map(|g| &g.paths)
    }

    /// The cached prefix.
    pub(super) fn prefix(&self) -> &'a [u32] {
        // `pack` makes no batch without groups.
        &self.groups[0].first()[..self.cached]
    }
}

/// Cuts the groups into batches of at most `batch_tokens` tokens, and of about `enough` where that costs
/// next to nothing ([`pieces`]).
///
/// A prefix that a full batch shares with the group after it is cached, if the model can, for as
/// long as groups begin with it: see [`Cached`]. Each token of a cached prefix takes the memory of
/// `prefix_cost` tokens of a batch, and the batches that use it are smaller by that much.
pub(super) fn pack(
    groups: &[Group],
    batch_tokens: usize,
    prefix_cost: Option<f64>,
    enough: Option<usize>,
) -> Vec<Packed<'_>> {
    let enough = enough.map_or(usize::MAX, |tokens| tokens.max(1));
    let mut batches = Vec::new();
    let mut rest = groups;
    while !rest.is_empty() {
        let end = fill(rest, batch_tokens, 0);
        let cached = prefix_cost.and_then(|cost| Cached::find(rest, end, batch_tokens, cost));
        let Some(cached) = cached else {
            let (groups, after) = rest.split_at(end);
            rest = after;
            batches.extend(pieces(groups, 0, enough));
            continue;
        };
        let (mut run, after) = rest.split_at(cached.groups);
        rest = after;
        let first = batches.len();
        while !run.is_empty() {
            let end = fill(run, cached.budget, cached.len);
            let (groups, after) = run.split_at(end);
            run = after;
            // Each batch copies the keys and values of the prefix, which many tokens must pay for.
            let enough = enough.max(2 * cached.len);
            batches.extend(pieces(groups, cached.len, enough));
        }
        // The prefix is computed with the first batch and counts there alone, so the costs add up to
        // the total.
        batches[first].cost += cached.len;
    }
    batches
}

/// The largest number of first groups, at least one, that cost at most `budget` tokens beyond a
/// prefix of `cached` tokens that all of them begin with.
fn fill(groups: &[Group], budget: usize, cached: usize) -> usize {
    let mut cost = 0;
    let fits = |(i, more): &(usize, usize)| {
        cost += more;
        *i == 0 || cost <= budget
    };
    costs(groups, cached).enumerate().take_while(fits).count()
}

/// The tokens that each group adds to those before it, beyond a prefix of `cached` tokens that all of
/// them begin with.
fn costs(groups: &[Group], cached: usize) -> impl Iterator<Item = usize> {
    (0..groups.len()).map(move |i| {
        let before = i
            .checked_sub(1)
            .map_or(0, |j| common(&groups[j], &groups[i]));
        groups[i].cost - before.max(cached)
    })
}

/// Cuts the groups of a batch, which begin with `cached` tokens, into batches of about `enough` tokens.
///
/// Groups that share more than 1/32 of `enough` stay together: it would be computed in both batches.
fn pieces(groups: &[Group], cached: usize, enough: usize) -> Vec<Packed<'_>> {
    let costs: Vec<usize> = costs(groups, cached).collect();
    let total: usize = costs.iter().sum();
    let count = total.saturating_add(enough / 2) / enough;
    let target = total / count.max(1);
    let mut pieces: Vec<Packed<'_>> = Vec::new();
    let (mut start, mut cost, mut left) = (0, 0, total);
    for (i, more) in costs.into_iter().enumerate() {
        let again = groups[i].cost - cached - more;
        // As near to the target as whole groups come, and nothing small before or behind.
        let is_full = cost >= target / 2 && cost + more / 2 > target && left >= target / 2;
        if i > start && is_full && again <= enough / 32 {
            pieces.push(Packed {
                groups: &groups[start..i],
                cached,
                cost,
            });
            (start, cost) = (i, again);
        }
        cost += more;
        left -= more;
    }
    pieces.push(Packed {
        groups: &groups[start..],
        cached,
        cost,
    });
    pieces
}

/// Length of the prefix that a group shares with the one before it. The paths of a group are sorted,
/// so its last path shares the most.
fn common(before: &Group, group: &Group) -> usize {
    let last = before.paths.last().map_or(&[][..], |p| &p.inputs);
    shared(last, group.first())
}

/// A prefix that is computed once for the batches of several groups.
struct Cached {
    len: usize,
    /// Number of groups that begin with it.
    groups: usize,
    /// Token budget of a batch that uses it.
    budget: usize,
}

impl Cached {
    /// The prefix that the first `end` groups, which fill a batch, share with the group after them,
    /// if it is worth caching and leaves room beside it.
    ///
    /// Later groups may begin with less of the prefix. It is shortened for them if that saves more
    /// tokens in total, as long as half of the length stays.
    fn find(groups: &[Group], end: usize, batch_tokens: usize, prefix_cost: f64) -> Option<Self> {
        let mut best: Option<Self> = None;
        // Of the groups so far: the length of their common prefix, and the largest cost.
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
            // Below 1/32 of a batch the saving is not worth a pass of its own over the prefix.
            // A prefix of less than half the best length would need more than twice the groups to
            // save as much. Looking for that would walk to the end of the list for every batch.
            let least = best.as_ref().map_or(batch_tokens / 32, |best| best.len / 2);
            // Rounded up: the budget is a promise about memory.
            let taken = (len as f64 * prefix_cost).ceil() as usize;
            let budget = batch_tokens.saturating_sub(taken);
            // A group is never cut, so the largest one must fit beside the prefix. An eighth of the
            // budget keeps batches large enough for fast matrix products.
            if len < least.max(1) || budget < batch_tokens.div_ceil(8).max(largest - len) {
                break;
            }
            let cached = Self {
                len,
                groups: i + 1,
                budget,
            };
            let saved = |cached: &Self| cached.len * cached.groups;
            if best
                .as_ref()
                // With equal savings the longer run wins: the prefix then serves more batches.
                .is_none_or(|best| saved(best) <= saved(&cached))
            {
                best = Some(cached);
            }
        }
        best
    }
}
