//! Tensors whose elements do not follow each other row by row: transposes and other views.

use std::ops::Range;

/// The part of a storage that some elements of a tensor lie in, in elements from the tensor's first.
pub(super) struct Span<'a> {
    shape: &'a [usize],
    strides: &'a [usize],
    part: Range<usize>,
    range: Range<usize>,
}

impl<'a> Span<'a> {
    /// The span of the elements `part`, counted row by row, of a tensor of at least one dimension.
    pub(super) fn of(shape: &'a [usize], strides: &'a [usize], part: Range<usize>) -> Self {
        let row: usize = shape[1..].iter().product();
        let range = if part.is_empty() {
            0..0
        } else {
            // Whole rows: the span of a part of a row would save little.
            let (first, last) = (part.start / row, (part.end - 1) / row);
            let within = shape[1..].iter().zip(&strides[1..]);
            let reach: usize = within.map(|(n, step)| (n - 1) * step).sum();
            first * strides[0]..last * strides[0] + reach + 1
        };
        Self {
            shape,
            strides,
            part,
            range,
        }
    }

    /// The span.
    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Positions of the elements in the span.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        self.part.clone().map(|mut element| {
            let mut at = 0;
            for (&length, &step) in self.shape.iter().zip(self.strides).rev() {
                at += element % length * step;
                element /= length;
            }
            at - self.range.start
        })
    }
}
