//! Checks of operands that every backend needs, and the error they return.

use std::fmt;

use super::{Attention, Columns, Segment, Target};

/// Operands or parameters of a kernel that do not fit each other.
///
/// A backend returns it as the source of [`Error::Backend`](crate::Error::Backend), which tells a
/// call that no backend can compute from a failure of the device.
///
/// # Examples
/// ```
/// use relscale::Error;
/// use relscale::backend::{Segment, ShapeError, check_segments};
///
/// let segment = Segment { start: 0, len: 3, parent: None, position: 0 };
/// let misfit = check_segments(&[segment], 4).unwrap_err();
/// assert_eq!(misfit.to_string(), "segments cover 3 of 4 rows");
///
/// let Error::Backend { source, .. } = Error::backend("mine", misfit) else { unreachable!() };
/// assert!(source.is::<ShapeError>());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeError {
    message: String,
}

impl ShapeError {
    /// An error that says which operand does not fit and what was expected.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ShapeError {}

/// A result beyond the range of a backend's arithmetic.
///
/// A backend returns it as the source of [`Error::Backend`](crate::Error::Backend) where it would go on
/// with a number that is wrong and looks right: a norm by an infinite sum of squares is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overflow {
    result: &'static str,
    layer: Option<usize>,
}

impl Overflow {
    /// An overflow of `result` ("the sum of squares of a norm").
    pub fn new(result: &'static str) -> Self {
        Self {
            result,
            layer: None,
        }
    }

    /// The same error, in the layer of this number, from 0.
    #[must_use]
    pub fn in_layer(mut self, layer: usize) -> Self {
        self.layer = Some(layer);
        self
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layer) = self.layer {
            write!(f, "layer {layer}: ")?;
        }
        let result = self.result;
        write!(
            f,
            "{result} is not finite: the model's numbers are beyond the range of this precision; score \
             with `reference f64`, or look for damaged weights"
        )
    }
}

impl std::error::Error for Overflow {}

/// Checks that the operand `what` has `expected` elements.
///
/// # Errors
/// Another number of elements.
pub fn check_len(what: &str, len: usize, expected: usize) -> Result<(), ShapeError> {
    if len == expected {
        Ok(())
    } else {
        let message = format!("{what} has {len} elements, expected {expected}");
        Err(ShapeError::new(message))
    }
}

/// Checks that the rows of the result `what` have columns.
///
/// # Errors
/// A width of 0.
pub fn check_width(what: &str, width: usize) -> Result<(), ShapeError> {
    match width {
        0 => Err(ShapeError::new(format!("{what} would have no columns"))),
        _ => Ok(()),
    }
}

/// Checks the rules of [`Segment`] for a batch of `rows` rows.
///
/// # Errors
/// The first segment that breaks a rule, or segments that do not cover the rows.
pub fn check_segments(segments: &[Segment], rows: usize) -> Result<(), ShapeError> {
    let mut next = 0usize;
    for (index, segment) in segments.iter().enumerate() {
        let position = match segment.parent {
            None => 0,
            // Parents come first, so walking up from any segment ends: a cycle would be an endless
            // loop in a kernel.
            Some(parent) if parent < index => segments[parent].position + segments[parent].len,
            Some(parent) => {
                let message = format!("segment {index} precedes its parent {parent}");
                return Err(ShapeError::new(message));
            }
        };
        // Segments partition the rows. Kernels rely on it for memory safety: two segments with one
        // row would be written by two threads.
        if segment.start != next || segment.len == 0 || segment.position != position {
            return Err(ShapeError::new(format!(
                "segment {index} is {segment:?}, expected start {next} and position {position}"
            )));
        }
        next = next
            .checked_add(segment.len)
            .ok_or_else(|| ShapeError::new(format!("segment {index} is longer than memory")))?;
    }
    if next == rows {
        Ok(())
    } else {
        let message = format!("segments cover {next} of {rows} rows");
        Err(ShapeError::new(message))
    }
}

/// Checks an attention call, except for the lengths of the buffers ([`Columns::check`]).
///
/// # Errors
/// Segments that break the rules of [`Segment`], heads that do not divide the blocks, a window of
/// no positions.
pub fn check_attention<B>(
    q: &Columns<'_, B>,
    k: &Columns<'_, B>,
    v: &Columns<'_, B>,
    op: &Attention<'_>,
) -> Result<(), ShapeError> {
    check_segments(op.segments, k.rows)?;
    let width = |heads: usize| heads.checked_mul(op.head_dim);
    if op.heads == 0
        || op.kv_heads == 0
        || op.head_dim == 0
        || !op.heads.is_multiple_of(op.kv_heads)
    {
        let (heads, kv, dim) = (op.heads, op.kv_heads, op.head_dim);
        return Err(ShapeError::new(format!(
            "{heads} heads over {kv} key heads of {dim} elements"
        )));
    }
    if k.rows != v.rows
        // Queries are the last rows of the keys, so there cannot be more of them.
        || k.rows < q.rows
        || width(op.heads) != Some(q.width)
        || width(op.kv_heads) != Some(k.width)
        || k.width != v.width
    {
        return Err(ShapeError::new(format!(
            "queries {} × {}, keys {} × {} and values {} × {} do not fit {} heads over {} of {}",
            q.rows, q.width, k.rows, k.width, v.rows, v.width, op.heads, op.kv_heads, op.head_dim
        )));
    }
    if let Some(slopes) = op.slopes {
        check_len("slopes", slopes.len(), op.heads)?;
    }
    if op.window == Some(0) {
        return Err(ShapeError::new("a window of 0 positions sees nothing"));
    }
    Ok(())
}

/// Checks the rows of [`Backend::add_rows`](super::Backend::add_rows): they rise and are below `count`.
///
/// # Errors
/// The first row that does not.
pub fn check_rows(rows: &[usize], count: usize) -> Result<(), ShapeError> {
    let mut next = 0;
    for &row in rows {
        // Rising rows let threads share the work without two of them at one row.
        if row < next || row >= count {
            let message = format!("row {row} of {count} after row {next} less one");
            return Err(ShapeError::new(message));
        }
        next = row + 1;
    }
    Ok(())
}

/// Checks targets against the number of rows and the size of the vocabulary.
///
/// # Errors
/// The first target outside either, or a row below that of the target before.
pub fn check_targets(targets: &[Target], rows: usize, vocab: usize) -> Result<(), ShapeError> {
    let mut last = 0;
    for target in targets {
        // Sorted rows let a kernel find the targets of a tile by bisection.
        if target.row >= rows || target.row < last {
            return Err(ShapeError::new(format!(
                "target row {} of {rows} rows after row {last}",
                target.row
            )));
        }
        if target.token as usize >= vocab {
            return Err(outside_vocabulary(target.token, vocab));
        }
        last = target.row;
    }
    Ok(())
}

/// The error about a token that the vocabulary does not have.
pub(super) fn outside_vocabulary(token: u32, vocab: usize) -> ShapeError {
    ShapeError::new(format!(
        "token {token} is outside the vocabulary of {vocab}"
    ))
}
