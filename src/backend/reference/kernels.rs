//! One plain loop per operation.

use num_traits::{Float, NumCast};

#[cfg(doc)]
use crate::backend::Backend;
use crate::backend::check::outside_vocabulary;
use crate::backend::{
    Activation, Attention, Columns, Embed, Linear, LogProb, Norm, NormKind, Overflow, Pointwise,
    Rope, Segment, ShapeError, check_attention, check_len, check_rows, check_targets, check_width,
};

/// Converts between number types. `f32` and `f64` represent every value that occurs here.
pub(super) fn cast<A: NumCast, T: Float>(x: A) -> T {
    T::from(x).unwrap_or_else(T::nan)
}

/// Row `row` of a block that has been checked against its buffer.
fn row<'a, T>(x: &Columns<'a, Vec<T>>, row: usize) -> &'a [T] {
    let start = row * x.stride + x.start;
    &x.buffer[start..start + x.width]
}

/// Checks that the matrix `what` has `rows × cols` elements.
fn expect_shape(what: &str, len: usize, rows: usize, cols: usize) -> Result<(), ShapeError> {
    match rows.checked_mul(cols) {
        Some(want) => check_len(what, len, want),
        None => {
            let message = format!("{what} of {rows} × {cols} is larger than memory");
            Err(ShapeError::new(message))
        }
    }
}

/// See [`Backend::embed`].
pub(crate) fn embed<T: Float>(table: &[T], op: &Embed<'_>) -> Result<Vec<T>, ShapeError> {
    check_width("embedding", op.width)?;
    expect_shape("embedding table", table.len(), op.vocab, op.width)?;
    let scale: T = cast(op.scale);
    if let Some(token) = op.tokens.iter().find(|&&t| t as usize >= op.vocab) {
        return Err(outside_vocabulary(*token, op.vocab));
    }
    let mut out = Vec::with_capacity(op.tokens.len() * op.width);
    for &token in op.tokens {
        let token = token as usize;
        let row = &table[token * op.width..(token + 1) * op.width];
        out.extend(row.iter().map(|&x| x * scale));
    }
    Ok(out)
}

/// See [`Backend::norm`].
pub(crate) fn norm<T: Float>(
    x: Columns<'_, Vec<T>>,
    op: &Norm<'_, Vec<T>>,
) -> Result<Vec<T>, Box<dyn std::error::Error + Send + Sync>> {
    x.check(x.buffer.len())?;
    if op.width == 0 || !x.width.is_multiple_of(op.width) {
        let message = format!(
            "groups of {} do not divide a width of {}",
            op.width, x.width
        );
        return Err(ShapeError::new(message).into());
    }
    check_len("norm weight", op.weight.len(), op.width)?;
    if let Some(bias) = op.bias {
        check_len("norm bias", bias.len(), op.width)?;
    }
    let n: T = cast(op.width);
    let epsilon: T = cast(op.epsilon);
    let mut out = Vec::with_capacity(x.rows * x.width);
    for r in 0..x.rows {
        for group in row(&x, r).chunks_exact(op.width) {
            // Two passes: `E[x²] − E[x]²` cancels for values far from zero, and this is the oracle.
            let mean = match op.kind {
                NormKind::Rms => T::zero(),
                NormKind::Layer => group.iter().fold(T::zero(), |s, &v| s + v) / n,
            };
            let square = group
                .iter()
                .fold(T::zero(), |s, &v| s + (v - mean) * (v - mean))
                / n;
            if !square.is_finite() {
                return Err(Overflow::new("the sum of squares of a norm").into());
            }
            let factor = (square + epsilon).sqrt().recip();
            for (i, &v) in group.iter().enumerate() {
                let y = (v - mean) * factor * op.weight[i];
                out.push(op.bias.map_or(y, |b| y + b[i]));
            }
        }
    }
    Ok(out)
}

/// See [`Backend::linear`].
pub(crate) fn linear<T: Float>(
    x: Columns<'_, Vec<T>>,
    op: &Linear<'_, Vec<T>>,
) -> Result<Vec<T>, ShapeError> {
    x.check(x.buffer.len())?;
    check_len("input row", x.width, op.inputs)?;
    check_width("product", op.outputs)?;
    expect_shape("weight", op.weight.len(), op.outputs, op.inputs)?;
    if let Some(bias) = op.bias {
        check_len("bias", bias.len(), op.outputs)?;
    }
    let mut out = Vec::with_capacity(x.rows * op.outputs);
    for r in 0..x.rows {
        let x = row(&x, r);
        for o in 0..op.outputs {
            let y = dot(x, &op.weight[o * op.inputs..(o + 1) * op.inputs]);
            out.push(op.bias.map_or(y, |b| y + b[o]));
        }
    }
    Ok(out)
}

/// See [`Backend::rope`].
pub(crate) fn rope<T: Float>(x: Columns<'_, Vec<T>>, op: &Rope<'_>) -> Result<Vec<T>, ShapeError> {
    x.check(x.buffer.len())?;
    check_len("positions", op.positions.len(), x.rows)?;
    let half = op.frequencies.len();
    if op.head_dim == 0 || !x.width.is_multiple_of(op.head_dim) || half > op.head_dim / 2 {
        let (dim, width) = (op.head_dim, x.width);
        return Err(ShapeError::new(format!(
            "{half} rotated pairs in heads of {dim} do not fit a width of {width}"
        )));
    }
    let mut out = Vec::with_capacity(x.rows * x.width);
    for r in 0..x.rows {
        // Angles in `f64` for every float type: at a million radians the steps of `f32` are 1/16.
        let position: f64 = op.positions[r].into();
        for head in row(&x, r).chunks_exact(op.head_dim) {
            let start = out.len();
            out.extend_from_slice(head);
            let out = &mut out[start..];
            for (i, &frequency) in op.frequencies.iter().enumerate() {
                let angle = position * frequency;
                let cos: T = cast(libm::cos(angle) * op.scale);
                let sin: T = cast(libm::sin(angle) * op.scale);
                let (a, b) = (head[i], head[half + i]);
                out[i] = a * cos - b * sin;
                out[half + i] = b * cos + a * sin;
            }
        }
    }
    Ok(out)
}

/// See [`Backend::attention`].
pub(crate) fn attention<T: Float>(
    q: Columns<'_, Vec<T>>,
    k: Columns<'_, Vec<T>>,
    v: Columns<'_, Vec<T>>,
    op: &Attention<'_>,
) -> Result<Vec<T>, ShapeError> {
    check_attention(&q, &k, &v, op)?;
    q.check(q.buffer.len())?;
    k.check(k.buffer.len())?;
    v.check(v.buffer.len())?;
    let (dim, group) = (op.head_dim, op.heads / op.kv_heads);
    let scale: T = cast(op.scale);
    let mut out = vec![T::zero(); q.rows * q.width];
    // The row of the first query.
    let first = k.rows - q.rows;
    for segment in op.segments {
        for r in segment.start.max(first)..segment.start + segment.len {
            let keys = visible(op.segments, segment, r, op.window);
            for h in 0..op.heads {
                let query = &row(&q, r - first)[h * dim..(h + 1) * dim];
                let columns = (h / group) * dim..(h / group + 1) * dim;
                let slope = op.slopes.map(|slopes| slopes[h]);
                let last = keys.len() - 1;
                let mut scores: Vec<T> = keys
                    .iter()
                    .enumerate()
                    .map(|(place, &j)| {
                        let product = dot(query, &row(&k, j)[columns.clone()]) * scale;
                        let score = cap(product, op.soft_cap);
                        // The keys end with the query's own and are neighbours.
                        match slope {
                            None => score,
                            Some(slope) => score - cast(slope * (last - place) as f64),
                        }
                    })
                    .collect();
                let max = scores.iter().fold(T::neg_infinity(), |m, &s| m.max(s));
                let mut sum = T::zero();
                for s in &mut scores {
                    *s = (*s - max).exp();
                    sum = sum + *s;
                }
                let out = &mut out[(r - first) * q.width + h * dim..][..dim];
                for (&j, &p) in keys.iter().zip(&scores) {
                    for (o, &value) in out.iter_mut().zip(&row(&v, j)[columns.clone()]) {
                        *o = *o + p * value;
                    }
                }
                for o in out {
                    *o = *o / sum;
                }
            }
        }
    }
    Ok(out)
}

/// The rows that row `r` of `segment` sees, by rising logical position.
pub(crate) fn visible(
    segments: &[Segment],
    segment: &Segment,
    r: usize,
    window: Option<usize>,
) -> Vec<usize> {
    // From the nearest key backwards, so that a window is a cut of the list.
    let mut keys: Vec<usize> = (segment.start..=r).rev().collect();
    let mut parent = segment.parent;
    while let Some(p) = parent {
        keys.extend((segments[p].start..segments[p].start + segments[p].len).rev());
        parent = segments[p].parent;
    }
    keys.truncate(window.unwrap_or(usize::MAX));
    keys.reverse();
    keys
}

/// See [`Backend::activate`].
pub(crate) fn activate<T: Float>(
    gate: Columns<'_, Vec<T>>,
    up: Option<Columns<'_, Vec<T>>>,
    function: Activation,
) -> Result<Vec<T>, ShapeError> {
    gate.check(gate.buffer.len())?;
    if let Some(up) = &up {
        up.check(up.buffer.len())?;
        check_len("up projection row", up.width, gate.width)?;
        check_len("up projection", up.rows, gate.rows)?;
    }
    let mut out = Vec::with_capacity(gate.rows * gate.width);
    for r in 0..gate.rows {
        let values = row(&gate, r).iter().map(|&x| apply(function, x));
        match &up {
            None => out.extend(values),
            Some(up) => out.extend(values.zip(row(up, r)).map(|(x, &y)| x * y)),
        }
    }
    Ok(out)
}

/// The activation function at `x`.
fn apply<T: Float>(function: Activation, x: T) -> T {
    let one = T::one();
    let half: T = cast(0.5);
    match function {
        Activation::Silu => x / (one + (-x).exp()),
        Activation::GeluTanh => {
            let c: T = cast((2.0 / std::f64::consts::PI).sqrt());
            let cubic: T = cast(0.044_715);
            half * x * (one + (c * (x + cubic * x * x * x)).tanh())
        }
        // NaN and −∞, an overflow, stay: as zero neither would reach the norm that refuses them.
        Activation::Relu if x < T::zero() && x.is_finite() => T::zero(),
        Activation::Relu => x,
        Activation::GeluErf => {
            // `erfc` of the negative and not `1 + erf`, which cancels for large negative arguments.
            let z: f64 = cast(x);
            x * cast::<f64, T>(0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2))
        }
    }
}

/// See [`Backend::pointwise`].
pub(crate) fn pointwise<T: Float>(
    x: Columns<'_, Vec<T>>,
    function: Pointwise,
) -> Result<Vec<T>, ShapeError> {
    x.check(x.buffer.len())?;
    let mut out = Vec::with_capacity(x.rows * x.width);
    for r in 0..x.rows {
        let values = row(&x, r).iter();
        match function {
            Pointwise::Scale(factor) => {
                let factor: T = cast(factor);
                out.extend(values.map(|&x| x * factor));
            }
            Pointwise::Clip(bound) => {
                let bound: T = cast(bound);
                out.extend(values.map(|&x| {
                    // Comparisons and not `min` and `max`, which drop NaN.
                    if x > bound {
                        bound
                    } else if x < -bound {
                        -bound
                    } else {
                        x
                    }
                }));
            }
        }
    }
    Ok(out)
}

/// See [`Backend::add_rows`].
pub(crate) fn add_rows<T: Float>(
    x: &mut [T],
    y: Columns<'_, Vec<T>>,
    rows: &[usize],
    weights: &[f64],
) -> Result<(), ShapeError> {
    y.check(y.buffer.len())?;
    check_len("rows", rows.len(), y.rows)?;
    check_len("weights", weights.len(), y.rows)?;
    check_rows(rows, x.len().checked_div(y.width).unwrap_or(0))?;
    for (r, (&to, &weight)) in rows.iter().zip(weights).enumerate() {
        let weight: T = cast(weight);
        let x = &mut x[to * y.width..][..y.width];
        for (x, &y) in x.iter_mut().zip(row(&y, r)) {
            *x = *x + weight * y;
        }
    }
    Ok(())
}

/// See [`Backend::add`].
pub(crate) fn add<T: Float>(x: &mut [T], y: &[T]) -> Result<(), ShapeError> {
    check_len("summand", y.len(), x.len())?;
    for (x, &y) in x.iter_mut().zip(y) {
        *x = *x + y;
    }
    Ok(())
}

/// See [`Backend::concat`].
pub(crate) fn concat<T: Float>(
    x: Columns<'_, Vec<T>>,
    y: Columns<'_, Vec<T>>,
) -> Result<Vec<T>, ShapeError> {
    x.check(x.buffer.len())?;
    y.check(y.buffer.len())?;
    check_len("row of the second block", y.width, x.width)?;
    let mut out = Vec::new();
    for block in [&x, &y] {
        for r in 0..block.rows {
            out.extend_from_slice(row(block, r));
        }
    }
    Ok(out)
}

/// See [`Backend::gather`].
pub(crate) fn gather<T: Float>(
    x: Columns<'_, Vec<T>>,
    rows: &[usize],
) -> Result<Vec<T>, ShapeError> {
    x.check(x.buffer.len())?;
    let mut out = Vec::with_capacity(rows.len() * x.width);
    for &r in rows {
        if r >= x.rows {
            return Err(ShapeError::new(format!(
                "row {r} of {} was asked for",
                x.rows
            )));
        }
        out.extend_from_slice(row(&x, r));
    }
    Ok(out)
}

/// See [`Backend::log_prob`].
pub(crate) fn log_prob<T: Float>(
    x: Columns<'_, Vec<T>>,
    op: &LogProb<'_, Vec<T>>,
) -> Result<Vec<f64>, ShapeError> {
    x.check(x.buffer.len())?;
    check_targets(op.targets, x.rows, op.vocab)?;
    let head = Linear {
        weight: op.weight,
        bias: op.bias,
        inputs: op.inputs,
        outputs: op.vocab,
    };
    let mut out = Vec::with_capacity(op.targets.len());
    // Logits of one row serve all its targets; questions with many one-token choices have them on
    // one row.
    for same_row in op.targets.chunk_by(|a, b| a.row == b.row) {
        let hidden = row(&x, same_row[0].row).to_vec();
        let mut logits = linear(Columns::all(&hidden, 1, x.width), &head)?;
        for logit in &mut logits {
            *logit = cap(*logit, op.soft_cap);
        }
        let max = logits.iter().fold(T::neg_infinity(), |m, &s| m.max(s));
        let sum = logits.iter().fold(T::zero(), |s, &l| s + (l - max).exp());
        let normaliser = max + sum.ln();
        out.extend(same_row.iter().map(|t| {
            let log_prob: f64 = cast(logits[t.token as usize] - normaliser);
            log_prob
        }));
    }
    Ok(out)
}

/// `c·tanh(x/c)`, or `x` without a cap.
fn cap<T: Float>(x: T, soft_cap: Option<f64>) -> T {
    match soft_cap {
        None => x,
        Some(c) => {
            let c: T = cast(c);
            c * (x / c).tanh()
        }
    }
}

/// Sum of products in index order.
fn dot<T: Float>(x: &[T], y: &[T]) -> T {
    x.iter().zip(y).fold(T::zero(), |s, (&a, &b)| s + a * b)
}
