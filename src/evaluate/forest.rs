//! Token paths to a forest: what shares a prefix is computed once.

use super::windows::Path;
use crate::error::Error;
use crate::model::Batch;

/// Length of the common prefix.
pub(super) fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The paths after their first `kept` tokens as a forest in which common prefixes stand once, and the
/// order of the paths in which their targets were asked for.
pub(super) fn forest(paths: &[&Path], kept: usize) -> Result<(Batch, Vec<usize>), Error> {
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_by_key(|&path| &paths[path].inputs[kept..]);
    let inputs = |i: usize| &paths[order[i]].inputs[kept..];
    let mut batch = Batch::new();
    // Where each path (by place in `order`) ends.
    let mut leaf = vec![0usize; order.len()];
    // Runs of `order` that agree up to `depth`, which ends segment `parent`.
    let mut open = vec![(0..order.len(), 0usize, None::<usize>)];
    while let Some((range, depth, parent)) = open.pop() {
        // Neighbours that go on with the same token belong together; the paths are sorted, so that
        // what the first and the last of a run share, all of it share.
        let mut start = range.start;
        while start < range.end {
            let first = inputs(start);
            let same = |&i: &usize| inputs(i).get(depth) == first.get(depth);
            let end = start + (start..range.end).take_while(same).count();
            let common = shared(first, inputs(end - 1));
            let segment = batch.segment(parent, &first[depth..common])?;
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
        let from = path.inputs.len() - path.targets.len() - kept;
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
