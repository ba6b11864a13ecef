//! Wrong lengths, indices and shapes.

use super::attention::plain;
use super::inputs::{forest, upload, vector};
use super::kit::{Failure, Kit};
use crate::backend::{
    Activation, Attention, Backend, Columns, Embed, HostTensor, Linear, LogProb, Norm, NormKind,
    Pointwise, Role, Rope, Route, Routing, Segment, Target, Tensor, Values,
};
use crate::error::Error;

/// The calls that a backend accepted although it should have refused them.
#[derive(Default)]
struct Accepted(Vec<String>);

impl Accepted {
    fn refused<T>(&mut self, call: impl Into<String>, result: Result<T, Error>) {
        if result.is_ok() {
            self.0.push(call.into());
        }
    }
}

/// Well-formed operands; each call below has one thing wrong with how it describes them.
struct Operands<B: Backend> {
    backend: B,
    /// Buffers of so many ones.
    three: B::Buffer,
    six: B::Buffer,
    seven: B::Buffer,
    twelve: B::Buffer,
    /// A weight of 6 × 6.
    square: B::Buffer,
}

impl<B: Backend> Operands<B> {
    fn new(backend: B) -> Result<Self, Error> {
        let ones = |len: usize| vector(&backend, &vec![1.0; len]);
        let (three, six, seven, twelve) = (ones(3)?, ones(6)?, ones(7)?, ones(12)?);
        let square = matrix(&backend, 6, 6)?;
        Ok(Self {
            backend,
            three,
            six,
            seven,
            twelve,
            square,
        })
    }

    /// A matrix of 2 × 6.
    fn x(&self) -> Columns<'_, B::Buffer> {
        Columns::all(&self.twelve, 2, 6)
    }

    /// A matrix of 1 × 6.
    fn one_row(&self) -> Columns<'_, B::Buffer> {
        Columns::all(&self.six, 1, 6)
    }

    /// The first three columns of [`Operands::x`].
    fn narrow(&self) -> Columns<'_, B::Buffer> {
        Columns::block(&self.twelve, 2, 6, 0, 3)
    }

    /// A head of 6 inputs and 6 tokens.
    fn head<'a>(&'a self, targets: &'a [Target]) -> LogProb<'a, B::Buffer> {
        LogProb {
            weight: &self.square,
            bias: None,
            inputs: 6,
            vocab: 6,
            soft_cap: None,
            targets,
        }
    }
}

/// A weight of ones.
fn matrix<B: Backend>(backend: &B, rows: usize, cols: usize) -> Result<B::Buffer, Error> {
    let values = HostTensor::F32(vec![1.0; rows * cols]);
    upload(backend, &values, rows, cols, Role::Matrix)
}

const FIRST: Target = Target { row: 0, token: 0 };

impl<B: Backend> Kit<B> {
    /// Wrong lengths, indices and shapes are errors.
    ///
    /// Sizes near `usize::MAX` are among them: a product of sizes that wraps around must not pass
    /// for a small one.
    pub fn wrong_input(&self) -> Result<(), Failure> {
        let operands = Operands::new(self.backend())?;
        let mut accepted = Accepted::default();
        uploads(&operands, &mut accepted);
        tables(&operands, &mut accepted)?;
        // The last ones wrap around in a product or a sum, where an unchecked backend would find a
        // small number and pass it.
        for (rows, stride, start, width) in [
            (3, 6, 0, 6),
            (2, 7, 0, 6),
            (2, 6, 1, 6),
            (2, 6, usize::MAX, 6),
            (usize::MAX, 6, 0, 6),
            (2, usize::MAX, 0, 6),
            // Rows without columns, of which any buffer holds any number.
            (2, 6, 0, 0),
            (2, 0, 0, 0),
            (usize::MAX, 0, 0, 0),
        ] {
            let x = Columns::block(&operands.twelve, rows, stride, start, width);
            row_kernels_of_a_block(&operands, x, &mut accepted);
            attention_of_a_block(&operands, x, &mut accepted);
        }
        norms(&operands, &mut accepted);
        products(&operands, &mut accepted);
        rotations(&operands, &mut accepted);
        forests(&operands, &mut accepted);
        heads(&operands, &mut accepted);
        keys_and_values(&operands, &mut accepted);
        rows(&operands, &mut accepted)?;
        targets(&operands, &mut accepted);
        // All at once, because whoever writes a backend wants the whole list and not its first
        // entry.
        if accepted.0.is_empty() {
            return Ok(());
        }
        Err(Failure::wrong(format!(
            "accepted instead of refused: {}",
            accepted.0.join("; ")
        )))
    }
}

fn uploads<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) {
    for (rows, cols) in [
        (2, 4),
        (0, 3),
        (7, 1),
        (usize::MAX, 2),
        // The product wraps around to 0.
        (usize::MAX / 2 + 1, 2),
    ] {
        for role in [Role::Dense, Role::Matrix] {
            let tensor = Tensor {
                values: Values::F32(&[1.0; 6]),
                rows,
                cols,
                role,
            };
            let call = format!("upload of 6 values as {rows} × {cols}");
            accepted.refused(call, o.backend.upload(&tensor));
        }
    }
}

fn tables<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) -> Result<(), Error> {
    let table = matrix(&o.backend, 5, 3)?;
    for (tokens, vocab, width) in [
        (&[0, 5][..], 5, 3),
        (&[u32::MAX], 5, 3),
        (&[0], 6, 3),
        (&[0], 5, 4),
        (&[0], 4, 3),
        (&[0], usize::MAX, 3),
        (&[0], 5, usize::MAX),
    ] {
        let op = Embed {
            tokens,
            vocab,
            width,
            scale: 1.0,
        };
        accepted.refused(format!("{op:?} of 5 × 3"), o.backend.embed(&table, &op));
    }
    // A backend may refuse to upload it.
    if let Ok(table) = matrix(&o.backend, 5, 0) {
        let op = Embed {
            tokens: &[0],
            vocab: 5,
            width: 0,
            scale: 1.0,
        };
        accepted.refused("embeddings without columns", o.backend.embed(&table, &op));
    }
    Ok(())
}

/// Name of a block in failures.
fn block_name<T>(x: &Columns<'_, T>) -> String {
    let (rows, stride, start, width) = (x.rows, x.stride, x.start, x.width);
    format!("block {start}+{width} of {rows} rows of {stride}")
}

/// Every kernel but attention, on a block that does not fit its buffer.
fn row_kernels_of_a_block<B: Backend>(
    o: &Operands<B>,
    x: Columns<'_, B::Buffer>,
    accepted: &mut Accepted,
) {
    let (backend, name) = (&o.backend, block_name(&x));
    let norm = Norm {
        kind: NormKind::Rms,
        epsilon: 1e-5,
        width: 6,
        weight: &o.six,
        bias: None,
    };
    accepted.refused(format!("norm, {name}"), backend.norm(x, &norm));
    let linear = Linear {
        weight: &o.square,
        bias: None,
        inputs: 6,
        outputs: 6,
    };
    accepted.refused(format!("linear, {name}"), backend.linear(x, &linear));
    // As many positions as rows, where that many fit memory.
    let positions = vec![0; x.rows.min(3)];
    let rope = Rope {
        positions: &positions,
        head_dim: 6,
        frequencies: &[1.0],
        scale: 1.0,
    };
    accepted.refused(format!("rope, {name}"), backend.rope(x, &rope));
    accepted.refused(format!("above, {name}"), backend.concat(x, o.x()));
    accepted.refused(format!("below, {name}"), backend.concat(o.x(), x));
    let silu = Activation::Silu;
    accepted.refused(format!("gate, {name}"), backend.activate(x, None, silu));
    let up = backend.activate(o.x(), Some(x), silu);
    accepted.refused(format!("up, {name}"), up);
    accepted.refused(format!("gather, {name}"), backend.gather(x, &[0]));
    let scale = Pointwise::Scale(2.0);
    accepted.refused(format!("scale, {name}"), backend.pointwise(x, scale));
    let log_prob = backend.log_prob(x, &o.head(&[FIRST]));
    accepted.refused(format!("log_prob, {name}"), log_prob);
}

/// Attention, with a block that does not fit its buffer as queries, keys or values.
fn attention_of_a_block<B: Backend>(
    o: &Operands<B>,
    x: Columns<'_, B::Buffer>,
    accepted: &mut Accepted,
) {
    let (good, name) = (o.x(), block_name(&x));
    let segments = forest(&[(None, x.rows.min(3))]);
    let op = plain(&segments, 1, 1, 6, 0.5);
    for (part, q, k, v) in [
        ("queries", x, good, good),
        ("keys", good, x, good),
        ("values", good, good, x),
    ] {
        let result = o.backend.attention(q, k, v, &op);
        accepted.refused(format!("{part}, {name}"), result);
    }
}

fn norms<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) {
    for (width, weight, bias) in [
        (0, &o.six, None),
        (4, &o.six, None),
        (6, &o.three, None),
        (6, &o.seven, None),
        (6, &o.six, Some(&o.three)),
    ] {
        let op = Norm {
            kind: NormKind::Layer,
            epsilon: 1e-5,
            width,
            weight,
            bias,
        };
        let call = format!("norm in groups of {width}");
        accepted.refused(call, o.backend.norm(o.x(), &op));
    }
}

fn products<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) {
    for (inputs, outputs, bias) in [
        (5, 6, None),
        (6, 5, None),
        (6, 7, None),
        (7, 6, None),
        (6, usize::MAX, None),
        (6, 6, Some(&o.three)),
        (6, 6, Some(&o.seven)),
    ] {
        let op = Linear {
            weight: &o.square,
            bias,
            inputs,
            outputs,
        };
        let call = format!("linear {inputs} → {outputs} on 6 × 6");
        accepted.refused(call, o.backend.linear(o.x(), &op));
        let op = LogProb {
            bias,
            inputs,
            vocab: outputs,
            ..o.head(&[FIRST])
        };
        let call = format!("log_prob {inputs} → {outputs} on 6 × 6");
        accepted.refused(call, o.backend.log_prob(o.x(), &op));
    }
    if let Ok(weight) = matrix(&o.backend, 0, 6) {
        let op = Linear {
            weight: &weight,
            bias: None,
            inputs: 6,
            outputs: 0,
        };
        accepted.refused("linear 6 → 0", o.backend.linear(o.x(), &op));
    }
}

fn rotations<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) {
    for (positions, head_dim, frequencies) in [
        (&[0][..], 6, &[1.0][..]),
        (&[0, 1, 2], 6, &[1.0]),
        (&[0, 1], 0, &[]),
        (&[0, 1], 4, &[1.0]),
        (&[0, 1], 6, &[1.0; 4]),
        (&[0, 1], 3, &[1.0; 2]),
        (&[0, 1], usize::MAX, &[1.0]),
    ] {
        let op = Rope {
            positions,
            head_dim,
            frequencies,
            scale: 1.0,
        };
        accepted.refused(format!("{op:?} on 2 × 6"), o.backend.rope(o.x(), &op));
    }
}

/// Segments that break the ordering rules of [`Segment`] or do not cover the rows.
fn forests<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) {
    let segment = |start, len, parent, position| Segment {
        start,
        len,
        parent,
        position,
    };
    let kv = o.narrow();
    for segments in [
        vec![],
        vec![segment(0, 1, None, 0)],
        vec![segment(0, 3, None, 0)],
        vec![segment(1, 1, None, 0)],
        vec![segment(0, 2, None, 1)],
        vec![segment(0, 2, Some(0), 0)],
        vec![segment(0, 2, Some(usize::MAX), 0)],
        vec![segment(0, 1, Some(1), 1), segment(1, 1, None, 0)],
        vec![segment(0, 1, None, 0), segment(1, 1, Some(0), 0)],
        vec![segment(0, 1, None, 0), segment(1, 1, None, 1)],
        vec![segment(0, 0, None, 0), segment(0, 2, None, 0)],
        vec![segment(0, 1, None, 0), segment(0, 1, None, 0)],
        // The lengths wrap around to 2.
        vec![
            segment(0, usize::MAX, None, 0),
            segment(usize::MAX, 3, None, 0),
        ],
    ] {
        let op = plain(&segments, 2, 1, 3, 0.5);
        let call = format!("{segments:?} for 2 rows");
        accepted.refused(call, o.backend.attention(o.x(), kv, kv, &op));
    }
}

/// Numbers of heads that do not fit each other or the widths of the blocks.
fn heads<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) {
    let segments = forest(&[(None, 2)]);
    for (heads, kv_heads, head_dim, q, kv) in [
        (1, 0, 6, 6, 6),
        (3, 2, 2, 6, 4),
        (0, 1, 6, 0, 6),
        (2, 2, 0, 0, 0),
        (2, 1, 3, 6, 6),
        (2, 2, 3, 3, 6),
        (1, 1, 5, 6, 6),
        (usize::MAX, 1, 2, 6, 2),
    ] {
        let op = plain(&segments, heads, kv_heads, head_dim, 0.5);
        let block = |width| Columns::block(&o.twelve, 2, 6, 0, width);
        let call = format!("{heads} over {kv_heads} heads of {head_dim} on {q} and {kv}");
        let result = o.backend.attention(block(q), block(kv), block(kv), &op);
        accepted.refused(call, result);
    }
}

/// Keys and values that do not fit the queries, and a window that sees nothing.
fn keys_and_values<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) {
    let (x, one, narrow) = (o.x(), o.one_row(), o.narrow());
    let segments = forest(&[(None, 2)]);
    let op = plain(&segments, 1, 1, 6, 0.5);
    let short = forest(&[(None, 1)]);
    let fewer = plain(&short, 1, 1, 6, 0.5);
    let blind = Attention {
        window: Some(0),
        ..op
    };
    let sloped = Attention {
        slopes: Some(&[0.5, 0.25]),
        ..op
    };
    for (call, q, k, v, op) in [
        ("keys of 1 row", x, one, x, op),
        ("values of 1 row", x, x, one, op),
        ("narrow values", x, x, narrow, op),
        ("2 queries of 1 row", x, one, one, fewer),
        ("a window of 0", x, x, x, blind),
        ("2 slopes of 1 head", x, x, x, sloped),
    ] {
        accepted.refused(call, o.backend.attention(q, k, v, &op));
    }
}

/// Second operands of other sizes, and rows that are not there.
fn rows<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) -> Result<(), Error> {
    let (backend, x) = (&o.backend, o.x());
    accepted.refused("narrow rows below", backend.concat(x, o.narrow()));
    for (call, up) in [("a narrow up", o.narrow()), ("a short up", o.one_row())] {
        accepted.refused(call, backend.activate(x, Some(up), Activation::Silu));
    }
    let ones = |len: usize| vector(backend, &vec![1.0; len]);
    accepted.refused("6 + 7", backend.add(ones(6)?, &o.seven));
    accepted.refused("7 + 6", backend.add(ones(7)?, &o.six));
    accepted.refused("gather row 2 of 2", backend.gather(x, &[0, 2]));
    accepted.refused("gather the last row", backend.gather(x, &[usize::MAX]));
    for top_k in [0, 7] {
        let op = Route {
            top_k,
            function: Routing::Softmax,
            normalise: true,
        };
        accepted.refused(format!("{top_k} of 6 experts"), backend.route(x, &op));
    }
    for (call, rows, weights) in [
        ("rows that fall", [1, 0], &[1.0; 2][..]),
        ("a row twice", [1, 1], &[1.0; 2]),
        ("row 2 of 2", [0, 2], &[1.0; 2]),
        ("1 weight for 2 rows", [0, 1], &[1.0]),
    ] {
        accepted.refused(call, backend.add_rows(ones(12)?, x, &rows, weights));
    }
    Ok(())
}

/// Targets outside the rows or the vocabulary, or out of order.
fn targets<B: Backend>(o: &Operands<B>, accepted: &mut Accepted) {
    let target = |row, token| Target { row, token };
    for targets in [
        [target(2, 0), target(2, 0)],
        [target(0, 6), target(1, 0)],
        [target(0, 0), target(1, u32::MAX)],
        [target(1, 0), target(0, 0)],
        [target(0, 0), target(usize::MAX, 0)],
    ] {
        let call = format!("{targets:?} of 2 rows and 6 tokens");
        accepted.refused(call, o.backend.log_prob(o.x(), &o.head(&targets)));
    }
}
