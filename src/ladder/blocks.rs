//! Cells by run and distribution, while they are collected.

use std::collections::HashMap;
use std::vec::IntoIter;

use super::cells::Cells;
use super::names::Names;
use super::{Cell, LadderError};

/// The cells of one run on one distribution.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) distribution: u32,
    pub(super) run: u32,
    pub(super) cells: Cells,
}

/// Blocks in the order of their first rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    blocks: Vec<Block>,
    /// By distribution and run. A square table of both would be large where most are missing.
    places: HashMap<(u32, u32), usize>,
    /// The block that was asked for last.
    last: usize,
}

impl Blocks {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The place of a block, if it is there.
    pub(super) fn find(&mut self, distribution: u32, run: u32) -> Option<usize> {
        let last = self.blocks.get(self.last);
        if last.is_none_or(|b| (b.distribution, b.run) != (distribution, run)) {
            self.last = *self.places.get(&(distribution, run))?;
        }
        Some(self.last)
    }

    /// The place of a block, which is made if it is not there.
    pub(super) fn place(&mut self, distribution: u32, run: u32) -> usize {
        if let Some(found) = self.find(distribution, run) {
            return found;
        }
        self.last = self.blocks.len();
        self.places.insert((distribution, run), self.last);
        self.blocks.push(Block {
            distribution,
            run,
            cells: Cells::default(),
        });
        self.last
    }

    pub(super) fn get(&self, place: usize) -> &Block {
        &self.blocks[place]
    }

    pub(super) fn cells(&mut self, place: usize) -> &mut Cells {
        &mut self.blocks[place].cells
    }

    /// The blocks in the order of `distributions` and `runs`, which are ranks by number.
    pub(super) fn sorted(mut self, distributions: &[usize], runs: &[usize]) -> IntoIter<Block> {
        let rank = |b: &Block| (distributions[b.distribution as usize], runs[b.run as usize]);
        self.blocks.sort_unstable_by_key(rank);
        self.blocks.into_iter()
    }
}

/// The rank of each number in an order.
pub(super) fn ranks(order: &[u32]) -> Vec<usize> {
    let mut ranks = vec![0; order.len()];
    for (rank, &number) in order.iter().enumerate() {
        ranks[number as usize] = rank;
    }
    ranks
}

/// The names of the clusters of `distribution`, sorted, and its cells sorted by run and cluster: the next of
/// `blocks`, which are sorted. `runs` are the ranks of the runs.
pub(super) fn sorted(
    distribution: u32,
    blocks: &mut IntoIter<Block>,
    clusters: &Names,
    runs: &[usize],
) -> (Vec<String>, Vec<Cell>) {
    let order = clusters.sorted();
    let cluster_ranks = ranks(&order);
    let rest = blocks.as_slice().iter();
    let lengths = rest.map_while(|b| (b.distribution == distribution).then(|| b.cells.len()));
    let (count, length) = lengths.fold((0, 0), |(count, sum), n| (count + 1, sum + n));
    let mut cells = Vec::with_capacity(length);
    let mut places: Vec<(usize, usize)> = Vec::new();
    // By value: each block is freed when its cells are made, so that a large table is not there twice.
    for block in blocks.take(count) {
        let ranks = block.cells.clusters().iter();
        places.clear();
        places.extend(ranks.map(|&c| cluster_ranks[c as usize]).zip(0..));
        places.sort_unstable();
        cells.extend(places.iter().map(|&(cluster, place)| {
            let sums = block.cells.sums(place);
            Cell {
                run: runs[block.run as usize],
                cluster,
                loss: sums.loss,
                weight: sums.weight,
                rows: sums.rows,
                variance: sums.variance,
            }
        }));
    }
    let names = order.iter().map(|&c| clusters.name(c).to_owned());
    (names.collect(), cells)
}

/// The loss times the weight of a row.
///
/// # Errors
/// As [`LadderBuilder::score`](super::LadderBuilder::score) has them for fields.
pub(super) fn total(
    run: &str,
    distribution: &str,
    loss: f64,
    weight: f64,
) -> Result<f64, LadderError> {
    if distribution.is_empty() {
        return Err(LadderError::EmptyName {
            what: "distribution",
        });
    }
    let bad = |what, value| LadderError::ScoreField {
        run: run.into(),
        distribution: distribution.into(),
        what,
        value,
    };
    // Zero is allowed here: an error rate may be zero, and only the fit knows which losses are
    // rates.
    if !(loss.is_finite() && loss >= 0.0) {
        return Err(bad("loss", loss));
    }
    // A weight of zero would divide by zero, a subnormal one lose the digits of the loss.
    if !(weight.is_normal() && weight > 0.0) {
        return Err(bad("weight", weight));
    }
    let total = loss * weight;
    // Both factors may be finite and their product not: 1e200 · 1e200.
    if !total.is_finite() {
        return Err(bad("loss times weight", total));
    }
    Ok(total)
}

/// The square of the weight times the standard error of a row.
///
/// # Errors
/// As [`LadderBuilder::standard_error`](super::LadderBuilder::standard_error) has them for fields.
pub(super) fn square(
    run: &str,
    distribution: &str,
    standard_error: f64,
    weight: f64,
) -> Result<f64, LadderError> {
    let square = (weight * standard_error) * (weight * standard_error);
    if standard_error >= 0.0 && square.is_finite() {
        return Ok(square);
    }
    Err(LadderError::ScoreField {
        run: run.into(),
        distribution: distribution.into(),
        what: "standard error",
        value: standard_error,
    })
}
