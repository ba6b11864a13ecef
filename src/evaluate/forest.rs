//! Token paths to batches: what shares a prefix is computed together, once.

use super::windows::Path;
use crate::error::Error;
use crate::model::Batch;

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
}

/// Length of the common prefix.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The groups of all items in the order of computing.
///
/// Items stand in the order of the tokens of their first path, so that those with a common prefix
/// are neighbours, and the windows of one text stay together, so that it is complete early. Groups
/// that do not fit a batch are broken into paths.
pub(super) fn order(mut items: Vec<Vec<Group>>, max_tokens: usize) -> Vec<Group> {
    // Stable, so that the order is that of the caller among equals.
    items.sort_by(|a, b| first(a).cmp(first(b)));
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

/// The inputs of the first path.
fn first(groups: &[Group]) -> &[u32] {
    groups
        .first()
        .and_then(|g| g.paths.first())
        .map_or(&[], |p| &p.inputs)
}

/// Groups that are computed together.
#[derive(Debug)]
pub(super) struct Packed<'a> {
    pub(super) groups: &'a [Group],
    /// Tokens computed, with what neighbours share counted once.
    pub(super) cost: usize,
}

impl<'a> Packed<'a> {
    /// The paths of its groups.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'a Path> {
        self.groups.iter().flat_map(|g| &g.paths)
    }
}

/// Consecutive groups of at most `max_tokens` tokens.
pub(super) fn pack(groups: &[Group], max_tokens: usize) -> Vec<Packed<'_>> {
    let mut batches = Vec::new();
    let mut start = 0;
    let mut cost = 0;
    for (i, group) in groups.iter().enumerate() {
        let mut more = group.cost;
        if i > start {
            // The paths of a group are sorted: what it shares with the one before, it shares with
            // the last path of that one.
            let before = groups[i - 1].paths.last().map_or(&[][..], |p| &p.inputs);
            let common = shared(before, first(&groups[i..]));
            if common >= WORTH_SHARING {
                more -= common;
            }
            if cost + more > max_tokens {
                batches.push(Packed {
                    groups: &groups[start..i],
                    cost,
                });
                start = i;
                cost = 0;
                more = group.cost;
            }
        }
        cost += more;
    }
    if start < groups.len() {
        batches.push(Packed {
            groups: &groups[start..],
            cost,
        });
    }
    batches
}

/// A shared prefix shorter than this is computed again: a segment of its own would cost more.
const WORTH_SHARING: usize = 8;

/// The paths as a forest in which common prefixes stand once, and the order of the paths in which
/// their targets were asked for.
pub(super) fn forest(paths: &[&Path]) -> Result<(Batch, Vec<usize>), Error> {
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_by(|&a, &b| paths[a].inputs.cmp(&paths[b].inputs));
    let inputs = |i: usize| paths[order[i]].inputs.as_slice();
    let mut batch = Batch::new();
    // Where each path (by place in `order`) ends.
    let mut leaf = vec![0usize; order.len()];
    // Runs of `order` that agree up to `depth`, which ends segment `parent`.
    let mut open = vec![(0..order.len(), 0usize, None::<usize>)];
    while let Some((range, depth, parent)) = open.pop() {
        // Neighbours that share enough more belong together; the paths are sorted, so that what
        // the first and the last of a run share, all of it share.
        let mut start = range.start;
        while start < range.end {
            let mut end = start + 1;
            while end < range.end {
                let common = shared(inputs(start), inputs(end));
                let whole = common == inputs(start).len() && common == inputs(end).len();
                if common < depth + WORTH_SHARING && !whole {
                    break;
                }
                end += 1;
            }
            let (first, last) = (inputs(start), inputs(end - 1));
            let common = shared(first, last);
            let segment = if common > depth {
                Some(batch.segment(parent, &first[depth..common])?)
            } else {
                parent
            };
            let ended = (start..end)
                .take_while(|&i| inputs(i).len() == common)
                .count();
            let at = segment.ok_or_else(|| Error::batch("a path without inputs"))?;
            leaf[start..start + ended].fill(at);
            if start + ended < end {
                open.push((start + ended..end, common, segment));
            }
            start = end;
        }
    }
    for (place, &path) in order.iter().enumerate() {
        let path = paths[path];
        let from = path.inputs.len() - path.targets.len();
        for (i, &token) in path.targets.iter().enumerate() {
            let position = from + i;
            let mut segment = leaf[place];
            while batch.segments()[segment].position > position {
                segment = batch.segments()[segment]
                    .parent
                    .ok_or_else(|| Error::batch("a position before its root"))?;
            }
            batch.target(
                segment,
                position - batch.segments()[segment].position,
                token,
            )?;
        }
    }
    Ok((batch, order))
}
