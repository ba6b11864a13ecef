//! The kit must notice: each backend here is the reference with one thing wrong.

use relscale::Error;
use relscale::backend::Reference;
use relscale::backend::{
    Activation, Attention, Backend, Choice, Columns, Linear, LogProb, Norm, NormKind, Pointwise,
    Rope, Route, Segment, Tensor,
};
use relscale::conformance::{Determinism, Kit, UNIT_ROUNDOFF_F32};

use Fault::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    RopeInterleaved,
    RopeRowAsPosition,
    WindowIgnored,
    WindowOneTooWide,
    CausalityOffByOne,
    SiblingsSeeEachOther,
    HeadsInTurn,
    EpsilonDoubled,
    MeanKept,
    BiasForgotten,
    BfloatProducts,
    GathersTheRowBefore,
    GatherClamps,
    UpForgotten,
    NanAtZero,
    CapForgotten,
    LastTokenLeftOut,
    RoundsByBatchSize,
    QueriesOfTheFirstRows,
    PrefixBelow,
    SlopesIgnored,
    ClipsAbove,
    TiesToTheLast,
    WeightsForgotten,
    Nothing,
}

/// The checks that must notice each fault. All other checks in [`KERNELS`] must pass.
const FAULTS: [(Fault, &[&str]); 25] = [
    (RopeInterleaved, &["rope", "model"]),
    (RopeRowAsPosition, &["rope", "model_sharing"]),
    (WindowIgnored, &["attention"]),
    (WindowOneTooWide, &["attention"]),
    (
        CausalityOffByOne,
        &["attention", "attention_causality", "model_causality"],
    ),
    (
        SiblingsSeeEachOther,
        &[
            "attention",
            "attention_sharing",
            "model_packing",
            "model_sharing",
        ],
    ),
    (HeadsInTurn, &["attention", "model"]),
    (EpsilonDoubled, &["norm"]),
    (MeanKept, &["norm"]),
    (BiasForgotten, &["linear", "model"]),
    (BfloatProducts, &["linear", "model"]),
    (GathersTheRowBefore, &["gather", "model"]),
    (GatherClamps, &["wrong_input"]),
    (UpForgotten, &["activate", "model"]),
    (NanAtZero, &["activate"]),
    (CapForgotten, &["log_prob"]),
    (LastTokenLeftOut, &["log_prob", "normalisation"]),
    // Within every bound: it breaks the promise of equal bits and nothing else.
    (RoundsByBatchSize, &["rows_alone", "model_packing"]),
    (QueriesOfTheFirstRows, &["attention_prefix", "model_prefix"]),
    (PrefixBelow, &["concat", "model_prefix"]),
    (SlopesIgnored, &["attention_slopes"]),
    (ClipsAbove, &["pointwise"]),
    (TiesToTheLast, &["route"]),
    (WeightsForgotten, &["add_rows"]),
    (Nothing, &[]),
];

const KERNELS: [&str; 14] = [
    "embed",
    "norm",
    "linear",
    "rope",
    "attention",
    "activate",
    "add",
    "gather",
    "concat",
    "pointwise",
    "route",
    "add_rows",
    "log_prob",
    "wrong_input",
];

#[test]
fn every_fault_is_noticed_where_it_is() {
    for (fault, expected) in FAULTS {
        let failing = failing(fault);
        println!("{:24} {}", format!("{fault:?}"), failing.join(" "));
        for check in expected {
            assert!(failing.contains(check), "{fault:?}: {check} passed");
        }
        for check in KERNELS {
            assert_eq!(
                failing.contains(&check),
                expected.contains(&check),
                "{fault:?}: {check}"
            );
        }
        assert_eq!(
            failing.is_empty(),
            expected.is_empty(),
            "{fault:?}: {failing:?}"
        );
    }
}

#[test]
fn determinism_up_to_rounding_does_not_ask_for_equal_bits() {
    let make = || Faulty(RoundsByBatchSize);
    let kit = Kit::new(make, UNIT_ROUNDOFF_F32, Determinism::UpToRounding);
    for (name, check) in Kit::checks() {
        if let Err(failure) = check(&kit) {
            panic!("{name}: {failure}");
        }
    }
}

/// Names of the checks that fail.
fn failing(fault: Fault) -> Vec<&'static str> {
    let make = move || Faulty(fault);
    let kit = Kit::new(make, UNIT_ROUNDOFF_F32, Determinism::Bitwise);
    Kit::checks()
        .into_iter()
        .filter(|(_, check)| check(&kit).is_err())
        .map(|(name, _)| name)
        .collect()
}

type Buffer = Vec<f32>;

struct Faulty(Fault);

/// The backend that the faulty one is otherwise.
fn right() -> Reference<f32> {
    Reference::new()
}

/// `order[i]` is the row of `x` that becomes row `i`.
fn rows_of(x: Columns<'_, Buffer>, order: &[usize]) -> Result<Buffer, Error> {
    right().gather(x, order)
}

/// Rotates neighbours, elements 2i and 2i + 1, instead of elements i and i + half.
fn rope_interleaved(x: Columns<'_, Buffer>, op: &Rope<'_>) -> Result<Buffer, Error> {
    let (dim, half) = (op.head_dim, op.frequencies.len());
    // Refuses what the reference refuses.
    right().rope(x, op)?;
    let mut dense = rows_of(x, &(0..x.rows).collect::<Vec<_>>())?;
    let order = |i: usize| match i {
        i if i < half => 2 * i,
        i if i < 2 * half => 2 * (i - half) + 1,
        i => i,
    };
    let heads = dense.clone();
    for (to, head) in dense.chunks_exact_mut(dim).zip(heads.chunks_exact(dim)) {
        (0..dim).for_each(|i| to[i] = head[order(i)]);
    }
    let turned = right().rope(Columns::all(&dense, x.rows, x.width), op)?;
    for (to, head) in dense.chunks_exact_mut(dim).zip(turned.chunks_exact(dim)) {
        (0..dim).for_each(|i| to[order(i)] = head[i]);
    }
    Ok(dense)
}

/// Queries, keys and values.
type Qkv<'a> = [Columns<'a, Buffer>; 3];

fn attend([q, k, v]: Qkv<'_>, op: &Attention<'_>) -> Result<Buffer, Error> {
    right().attention(q, k, v, op)
}

/// Takes the queries of the last rows for those of the first.
fn queries_of_the_first_rows([q, k, v]: Qkv<'_>, op: &Attention<'_>) -> Result<Buffer, Error> {
    let rows: Vec<usize> = (0..k.rows).map(|r| r % q.rows).collect();
    let repeated = rows_of(q, &rows)?;
    let mut all = attend([Columns::all(&repeated, k.rows, q.width), k, v], op)?;
    all.truncate(q.rows * q.width);
    Ok(all)
}

/// Shows each query the next key as well.
fn causality_off_by_one([q, k, v]: Qkv<'_>, op: &Attention<'_>) -> Result<Buffer, Error> {
    let next: Vec<usize> = (0..k.rows).map(|r| (r + 1).min(k.rows - 1)).collect();
    let (next_k, next_v) = (rows_of(k, &next)?, rows_of(v, &next)?);
    let k = Columns::all(&next_k, k.rows, k.width);
    attend([q, k, Columns::all(&next_v, v.rows, v.width)], op)
}

/// Gives query head h the key head h mod kv_heads, by permuting the query heads.
fn heads_in_turn([q, k, v]: Qkv<'_>, op: &Attention<'_>) -> Result<Buffer, Error> {
    let (heads, kv, dim) = (op.heads, op.kv_heads, op.head_dim);
    let place = |h: usize| (h % kv) * (heads / kv) + h / kv;
    let host = rows_of(q, &(0..q.rows).collect::<Vec<_>>())?;
    let mut turned = host.clone();
    for (to, from) in turned
        .chunks_exact_mut(q.width)
        .zip(host.chunks_exact(q.width))
    {
        for h in 0..heads {
            to[place(h) * dim..][..dim].copy_from_slice(&from[h * dim..][..dim]);
        }
    }
    let out = attend([Columns::all(&turned, q.rows, q.width), k, v], op)?;
    for (to, from) in turned
        .chunks_exact_mut(q.width)
        .zip(out.chunks_exact(q.width))
    {
        for h in 0..heads {
            to[h * dim..][..dim].copy_from_slice(&from[place(h) * dim..][..dim]);
        }
    }
    Ok(turned)
}

/// Leaves the last token out of the normaliser.
fn last_token_left_out(
    x: Columns<'_, Buffer>,
    op: &LogProb<'_, Buffer>,
) -> Result<Vec<f64>, Error> {
    let vocab = op.vocab - 1;
    let is_last = |token: u32| token as usize == vocab;
    if op.targets.iter().any(|t| is_last(t.token)) {
        // Its own probability is still known; the others are too large.
        let mut answer = right().log_prob(x, op)?;
        for (answer, target) in answer.iter_mut().zip(op.targets) {
            if !is_last(target.token) {
                *answer += 0.01;
            }
        }
        return Ok(answer);
    }
    let weight = op.weight[..vocab * op.inputs].to_vec();
    let bias = op.bias.map(|b| b[..vocab].to_vec());
    let op = LogProb {
        vocab,
        weight: &weight,
        bias: bias.as_ref(),
        ..*op
    };
    right().log_prob(x, &op)
}

impl Backend for Faulty {
    type Buffer = Buffer;

    fn name(&self) -> &str {
        "faulty"
    }

    fn upload(&self, tensor: &Tensor<'_>) -> Result<Buffer, Error> {
        right().upload(tensor)
    }

    fn read(&self, buffer: &Buffer) -> Result<Buffer, Error> {
        Ok(buffer.clone())
    }

    fn norm(&self, x: Columns<'_, Buffer>, op: &Norm<'_, Buffer>) -> Result<Buffer, Error> {
        let mut op = Norm { ..*op };
        match self.0 {
            EpsilonDoubled => op.epsilon *= 2.0,
            MeanKept => op.kind = NormKind::Rms,
            _ => {}
        }
        right().norm(x, &op)
    }

    fn linear(&self, x: Columns<'_, Buffer>, op: &Linear<'_, Buffer>) -> Result<Buffer, Error> {
        let mut op = Linear { ..*op };
        if self.0 == BiasForgotten && op.bias.is_some_and(|b| b.len() == op.outputs) {
            op.bias = None;
        }
        let mut out = right().linear(x, &op)?;
        for y in &mut out {
            match self.0 {
                BfloatProducts => *y = f32::from_bits(y.to_bits() & 0xffff_0000),
                RoundsByBatchSize if x.rows > 8 => *y *= 1.0 + f32::EPSILON,
                _ => {}
            }
        }
        Ok(out)
    }

    fn rope(&self, x: Columns<'_, Buffer>, op: &Rope<'_>) -> Result<Buffer, Error> {
        match self.0 {
            RopeInterleaved => rope_interleaved(x, op),
            RopeRowAsPosition => {
                let positions: Vec<u32> = (0..op.positions.len() as u32).collect();
                let positions = &positions;
                right().rope(x, &Rope { positions, ..*op })
            }
            _ => right().rope(x, op),
        }
    }

    fn attention(
        &self,
        q: Columns<'_, Buffer>,
        k: Columns<'_, Buffer>,
        v: Columns<'_, Buffer>,
        op: &Attention<'_>,
    ) -> Result<Buffer, Error> {
        let (qkv, mut op) = ([q, k, v], *op);
        // Refuses what the reference refuses.
        let answer = attend(qkv, &op)?;
        let chain = [Segment {
            start: 0,
            len: k.rows,
            parent: None,
            position: 0,
        }];
        match self.0 {
            SlopesIgnored => op.slopes = None,
            WindowIgnored => op.window = None,
            WindowOneTooWide => op.window = op.window.map(|w| w + 1),
            SiblingsSeeEachOther if k.rows > 0 => op.segments = &chain,
            QueriesOfTheFirstRows if (1..k.rows).contains(&q.rows) => {
                return queries_of_the_first_rows(qkv, &op);
            }
            CausalityOffByOne if k.rows > 0 => return causality_off_by_one(qkv, &op),
            HeadsInTurn => return heads_in_turn(qkv, &op),
            _ => return Ok(answer),
        }
        attend(qkv, &op)
    }

    fn activate(
        &self,
        gate: Columns<'_, Buffer>,
        up: Option<Columns<'_, Buffer>>,
        function: Activation,
    ) -> Result<Buffer, Error> {
        let mut out = right().activate(gate, up, function)?;
        match self.0 {
            UpForgotten => return right().activate(gate, None, function),
            NanAtZero => {
                let zeros = out.iter_mut().filter(|y| **y == 0.0);
                zeros.for_each(|y| *y = f32::NAN);
            }
            _ => {}
        }
        Ok(out)
    }

    fn gather(&self, x: Columns<'_, Buffer>, rows: &[usize]) -> Result<Buffer, Error> {
        let moved: Vec<usize> = match self.0 {
            GathersTheRowBefore => {
                rows_of(x, rows)?;
                rows.iter().map(|r| r.saturating_sub(1)).collect()
            }
            GatherClamps => rows.iter().map(|&r| r.min(x.rows - 1)).collect(),
            _ => rows.to_vec(),
        };
        rows_of(x, &moved)
    }

    fn pointwise(&self, x: Columns<'_, Buffer>, function: Pointwise) -> Result<Buffer, Error> {
        let out = right().pointwise(x, function)?;
        match function {
            Pointwise::Clip(bound) if self.0 == ClipsAbove => {
                let x = rows_of(x, &(0..x.rows).collect::<Vec<_>>())?;
                Ok(x.into_iter().map(|x| x.min(bound as f32)).collect())
            }
            _ => Ok(out),
        }
    }

    fn route(&self, logits: Columns<'_, Buffer>, op: &Route) -> Result<Vec<Choice>, Error> {
        let mut choices = right().route(logits, op)?;
        if self.0 == TiesToTheLast {
            let rows = rows_of(logits, &(0..logits.rows).collect::<Vec<_>>())?;
            for (choices, row) in choices.chunks_mut(op.top_k).zip(rows.chunks(logits.width)) {
                for choice in choices {
                    let same = |&i: &usize| row[i] == row[choice.expert];
                    choice.expert = (0..row.len()).rev().find(same).unwrap();
                }
            }
        }
        Ok(choices)
    }

    fn add_rows(
        &self,
        x: Buffer,
        y: Columns<'_, Buffer>,
        rows: &[usize],
        weights: &[f64],
    ) -> Result<Buffer, Error> {
        let right_sum = right().add_rows(x.clone(), y, rows, weights)?;
        match self.0 {
            WeightsForgotten => right().add_rows(x, y, rows, &vec![1.0; weights.len()]),
            _ => Ok(right_sum),
        }
    }

    fn concat(&self, x: Columns<'_, Buffer>, y: Columns<'_, Buffer>) -> Result<Buffer, Error> {
        match self.0 {
            PrefixBelow => right().concat(y, x),
            _ => right().concat(x, y),
        }
    }

    fn log_prob(
        &self,
        x: Columns<'_, Buffer>,
        op: &LogProb<'_, Buffer>,
    ) -> Result<Vec<f64>, Error> {
        let mut op = LogProb { ..*op };
        // Refuses what the reference refuses.
        let answer = right().log_prob(x, &op)?;
        match self.0 {
            CapForgotten => op.soft_cap = None,
            LastTokenLeftOut if op.vocab > 1 => return last_token_left_out(x, &op),
            _ => return Ok(answer),
        }
        right().log_prob(x, &op)
    }
}
