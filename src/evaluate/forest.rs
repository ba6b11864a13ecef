//! Token paths to a forest, in which a shared prefix stands once and is computed once.

use super::windows::Path;
use crate::error::Error;
use crate::model::Batch;

/// Length of the common prefix.
pub(super) fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The paths without their first `cached` tokens as a forest in which common prefixes stand once,
/// and the order in which the targets of the paths were asked for.
pub(super) fn forest(paths: &[&Path], cached: usize) -> Result<(Batch, Vec<usize>), Error> {
    let mut order: Vec<usize> = (0..paths.len()).collect();
    // Sorted paths with a common prefix are neighbours, so one pass finds every sharing. A stable
    // sort keeps equal paths in the caller's order.
    order.sort_by_key(|&path| &paths[path].inputs[cached..]);
    let inputs = |i: usize| &paths[order[i]].inputs[cached..];
    let mut batch = Batch::new();
    // The segment that holds the last token of each path, by the path's place in `order`.
    let mut leaf = vec![0usize; order.len()];
    // Stack of runs of `order` whose paths agree up to `depth`, the end of segment `parent`.
    // A stack instead of recursion: a path may branch at each of 100,000 tokens.
    let mut open = vec![(0..order.len(), 0usize, None::<usize>)];
    while let Some((range, depth, parent)) = open.pop() {
        // Neighbours with the same next token belong together. The paths are sorted, so a prefix
        // that the first and the last of a run share is shared by all between them.
        let mut start = range.start;
        while start < range.end {
            let first = inputs(start);
            let same = |&i: &usize| inputs(i).get(depth) == first.get(depth);
            let end = start + (start..range.end).take_while(same).count();
            let common = shared(first, inputs(end - 1));
            let segment = batch.segment(parent, &first[depth..common])?;
            // Paths that are wholly shared come first among the sorted ones and get no segment of
            // their own.
            let ended = (start..end)
                .take_while(|&i| inputs(i).len() == common)
                .count();
            leaf[start..start + ended].fill(segment);
            if start + ended < end {
                open.push((start + ended..end, common, Some(segment)));
            }
            start = end;
        }
    }
    for (place, &path) in order.iter().enumerate() {
        let path = paths[path];
        let from = path.inputs.len() - path.targets.len() - cached;
        for (i, &token) in path.targets.iter().enumerate() {
            let position = from + i;
            let mut segment = leaf[place];
            // A target may stand in an ancestor: a choice of one token is read at the last token of
            // the context it shares with the others.
            while batch.segments()[segment].position > position {
                segment = batch.segments()[segment]
                    .parent
                    .ok_or_else(|| Error::batch("a position before its root"))?;
            }
            let offset = position - batch.segments()[segment].position;
            batch.target(segment, offset, token)?;
        }
    }
    Ok((batch, order))
}
