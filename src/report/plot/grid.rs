//! Small panels in rows and columns.

use super::frame::Frame;
use super::span::Span;

/// The arrangement of small panels on a page.
#[derive(Debug)]
pub(super) struct Grid {
    columns: usize,
    rows: usize,
    width: f64,
}

/// Room beside a panel for its tick labels, and what is left of it on the left.
const BESIDE: (f64, f64) = (120.0, 90.0);
/// Room above and below a panel: ticks, and two lines of text.
const BETWEEN: f64 = 140.0;
/// The page is at least as wide as this, so that a note has few lines.
const NARROWEST: f64 = 1100.0;

impl Grid {
    /// The rows and columns for `count` panels.
    pub(super) fn of(count: usize) -> Self {
        let count = count.max(1);
        let columns = match count {
            1..=3 => count,
            4 => 2,
            // Few cells stay empty, and the page is about as tall as wide. Six columns would be too small to
            // read on a page.
            _ => (3..=5)
                .min_by_key(|n| {
                    let rows = count.div_ceil(*n);
                    2 * (rows * n - count) + rows.abs_diff(*n)
                })
                .unwrap_or(4),
        };
        Self {
            columns,
            rows: count.div_ceil(columns),
            width: (420.0 * columns as f64 + 60.0).max(NARROWEST),
        }
    }

    pub(super) fn width(&self) -> f64 {
        self.width
    }

    pub(super) fn height(&self) -> f64 {
        self.rows as f64 * (self.panel().1 + BETWEEN) - 20.0
    }

    /// Width and height of one panel.
    fn panel(&self) -> (f64, f64) {
        let step = (self.width - 60.0) / self.columns as f64;
        let width = step - BESIDE.0;
        // One panel alone is a picture of its own, twice as wide as tall.
        (width, (0.833 * width).min(480.0))
    }

    /// The frame of the k-th panel, `top` being that of the first row.
    pub(super) fn frame(&self, k: usize, top: f64, x: Span, y: Span) -> Frame {
        let (width, height) = self.panel();
        let left = 20.0 + BESIDE.1 + (k % self.columns) as f64 * (width + BESIDE.0);
        let top = top + (k / self.columns) as f64 * (height + BETWEEN);
        Frame {
            left,
            right: left + width,
            top,
            bottom: top + height,
            x,
            y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn few_cells_stay_empty() {
        for count in 1..=60 {
            let grid = Grid::of(count);
            let cells = grid.columns * grid.rows;
            assert!(cells >= count && cells - count < grid.columns, "{grid:?}");
            // No quarter of the page is bare.
            assert!(4 * (cells - count) < cells, "{count}: {grid:?}");
        }
        assert_eq!((Grid::of(17).columns, Grid::of(17).rows), (3, 6));
    }
}
