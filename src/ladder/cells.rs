//! The cells of one run on one distribution, while its rows are added.

use super::index::Index;
use super::sum::Sum;

/// Cells in the order of their first rows.
///
/// A table of millions of items has a cell for each, of one row: such a cell takes twenty bytes. What
/// only cells of several rows need is kept once one has a second row.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    clusters: Index,
    /// `Σ loss·weight` and `Σ weight` of each cell, without the rounding errors.
    totals: Vec<[f64; 2]>,
    /// Empty while every cell has one row.
    rest: Vec<Rest>,
    /// Empty while no row has a standard error.
    errors: Vec<Errors>,
}

/// The part of a cell besides its totals.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// Rounding errors of the totals.
    low: [f64; 2],
    rows: u64,
}

const ONE_ROW: Rest = Rest {
    low: [0.0; 2],
    rows: 1,
};

/// `Σ (weight·standard error)²`, and the number of rows in it.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    variance: Sum,
    rows: u64,
}

/// The sums of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sums {
    pub(super) loss: f64,
    pub(super) weight: f64,
    pub(super) rows: u64,
    /// The sampling variance of `loss`, if every row has a standard error.
    pub(super) variance: Option<f64>,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.clusters.len()
    }

    /// The clusters of the cells.
    pub(super) fn clusters(&self) -> &[u32] {
        self.clusters.numbers()
    }

    /// The place of the cell of a cluster.
    pub(super) fn find(&mut self, cluster: u32) -> Option<usize> {
        self.clusters.find(cluster)
    }

    /// Adds a row to the cell of a cluster, and returns the place of the cell.
    pub(super) fn add(&mut self, cluster: u32, total: f64, weight: f64) -> usize {
        let Some(cell) = self.clusters.find(cluster) else {
            // As a sum has it that begins at zero, for a loss of −0.
            self.totals.push([0.0 + total, 0.0 + weight]);
            if !self.rest.is_empty() {
                self.rest.push(ONE_ROW);
            }
            return self.clusters.push(cluster);
        };
        if self.rest.is_empty() {
            self.rest = vec![ONE_ROW; self.len()];
        }
        let (totals, rest) = (&mut self.totals[cell], &mut self.rest[cell]);
        for (at, value) in [total, weight].into_iter().enumerate() {
            let mut sum = Sum::of_parts(totals[at], rest.low[at]);
            sum.add(value);
            (totals[at], rest.low[at]) = sum.parts();
        }
        // Counted so that a cluster with another number of items in some run can be told and left
        // out.
        rest.rows += 1;
        cell
    }

    /// Adds the square of `weight·standard error` of a row of a cell.
    pub(super) fn add_square(&mut self, cell: usize, square: f64) {
        if self.errors.len() <= cell {
            self.errors.resize(self.len(), Errors::default());
        }
        self.errors[cell].variance.add(square);
        self.errors[cell].rows += 1;
    }

    /// The sums of a cell.
    pub(super) fn sums(&self, cell: usize) -> Sums {
        let [loss, weight] = self.totals[cell];
        let rest = self.rest.get(cell).copied().unwrap_or(ONE_ROW);
        let errors = self.errors.get(cell).copied().unwrap_or_default();
        Sums {
            loss: Sum::of_parts(loss, rest.low[0]).value(),
            weight: Sum::of_parts(weight, rest.low[1]).value(),
            rows: rest.rows,
            variance: (errors.rows == rest.rows).then(|| errors.variance.value()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_one_row_and_of_several_have_the_sums_of_their_rows() {
        let rows = [(3, 0.1, 1.0), (1, 1e16, 2.0), (3, 0.2, 0.3), (1, 1.0, 3.0)];
        let mut cells = Cells::default();
        for (at, (cluster, total, weight)) in rows.into_iter().enumerate() {
            let cell = cells.add(cluster, total, weight);
            if cluster == 3 || at == 1 {
                cells.add_square(cell, weight);
            }
        }
        cells.add(0, -0.0, 5.0);
        assert_eq!(cells.clusters(), [3, 1, 0]);
        let of = |values: [f64; 2]| values.into_iter().collect::<Sum>().value();
        let expected = Sums {
            loss: of([0.1, 0.2]),
            weight: of([1.0, 0.3]),
            rows: 2,
            variance: Some(of([1.0, 0.3])),
        };
        assert_eq!(cells.sums(0), expected);
        // The second row of this cell has no standard error.
        assert_eq!(cells.sums(1).variance, None);
        assert_eq!(cells.sums(1).loss, 1e16 + 1.0);
        let last = cells.sums(2);
        assert_eq!((last.rows, last.variance), (1, None));
        assert_eq!(last.loss.to_bits(), 0.0f64.to_bits());
    }
}
