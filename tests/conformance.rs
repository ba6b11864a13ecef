//! The conformance kit on every backend in the tree, and proof that it notices wrong ones.

use relscale::backend::Reference;
use relscale::conformance::{Promise, UNIT_ROUNDOFF_F32, UNIT_ROUNDOFF_F64};
use relscale::conformance_tests;
use relscale_cpu::Cpu;

conformance_tests!(
    reference_f32,
    || Reference::<f32>::new(),
    UNIT_ROUNDOFF_F32,
    Promise::Bitwise
);
conformance_tests!(
    reference_f64,
    || Reference::<f64>::new(),
    UNIT_ROUNDOFF_F64,
    Promise::Bitwise
);
conformance_tests!(cpu, Cpu::new, UNIT_ROUNDOFF_F32, Promise::Bitwise);
conformance_tests!(
    cpu_one_thread,
    || Cpu::with_threads(1).unwrap(),
    UNIT_ROUNDOFF_F32,
    Promise::Bitwise
);
conformance_tests!(
    cpu_three_threads,
    || Cpu::with_threads(3).unwrap(),
    UNIT_ROUNDOFF_F32,
    Promise::Bitwise
);
conformance_tests!(
    cpu_scalar,
    || instructions("scalar"),
    UNIT_ROUNDOFF_F32,
    Promise::Bitwise
);
conformance_tests!(
    cpu_avx2,
    || instructions("avx2"),
    UNIT_ROUNDOFF_F32,
    Promise::Bitwise
);
conformance_tests!(
    cpu_avx512,
    || instructions("avx512"),
    UNIT_ROUNDOFF_F32,
    Promise::Bitwise
);

/// The CPU backend on one instruction set; on the best there is where the processor lacks it.
fn instructions(name: &str) -> Cpu {
    Cpu::new().with_instructions(name).unwrap_or_else(|error| {
        println!("skipped: {error}");
        Cpu::new()
    })
}

/// The kit must notice. Each of these backends is the reference with one thing wrong.
mod wrong {
    use super::*;
    use relscale::Error;
    use relscale::backend::{
        Activation, Attention, Backend, Columns, Linear, LogProb, Norm, NormKind, Rope, Segment,
        Tensor,
    };
    use relscale::conformance::Kit;

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
        Nothing,
    }
    use Fault::*;

    /// The kernels each fault must be noticed in; all other kernel checks must pass.
    const FAULTS: [(Fault, &[&str]); 21] = [
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
        // Within every bound, so that only the promise of equal bits is broken.
        (RoundsByBatchSize, &["rows_alone", "model_packing"]),
        (QueriesOfTheFirstRows, &["attention_prefix", "model_prefix"]),
        (PrefixBelow, &["concat", "model_prefix"]),
        (Nothing, &[]),
    ];

    const KERNELS: [&str; 11] = [
        "embed",
        "norm",
        "linear",
        "rope",
        "attention",
        "activate",
        "add",
        "gather",
        "concat",
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
    fn a_promise_of_bounds_does_not_ask_for_equal_bits() {
        let make = || Wrong(RoundsByBatchSize);
        let kit = Kit::new(make, UNIT_ROUNDOFF_F32, Promise::WithinBound);
        for (name, check) in Kit::checks() {
            if let Err(failure) = check(&kit) {
                panic!("{name}: {failure}");
            }
        }
    }

    /// Names of the checks that fail.
    fn failing(fault: Fault) -> Vec<&'static str> {
        let kit = Kit::new(move || Wrong(fault), UNIT_ROUNDOFF_F32, Promise::Bitwise);
        let checks = Kit::checks().into_iter();
        checks
            .filter(|(_, check)| check(&kit).is_err())
            .map(|(name, _)| name)
            .collect()
    }

    type Buffer = Vec<f32>;

    struct Wrong(Fault);

    /// What it is right about.
    fn right() -> Reference<f32> {
        Reference::new()
    }

    impl Backend for Wrong {
        type Buffer = Buffer;

        fn name(&self) -> &str {
            "wrong"
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
            let (dim, half) = (op.head_dim, op.frequencies.len());
            match self.0 {
                RopeInterleaved => {
                    right().rope(x, op)?;
                    let mut dense = right().gather(x, &(0..x.rows).collect::<Vec<_>>())?;
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
                RopeRowAsPosition => {
                    let positions: Vec<u32> = (0..op.positions.len() as u32).collect();
                    right().rope(
                        x,
                        &Rope {
                            positions: &positions,
                            ..*op
                        },
                    )
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
            let right_answer = right().attention(q, k, v, op)?;
            let chain = [Segment {
                start: 0,
                len: k.rows,
                parent: None,
                position: 0,
            }];
            match self.0 {
                WindowIgnored => right().attention(
                    q,
                    k,
                    v,
                    &Attention {
                        window: None,
                        ..*op
                    },
                ),
                WindowOneTooWide => {
                    let window = op.window.map(|w| w + 1);
                    right().attention(q, k, v, &Attention { window, ..*op })
                }
                QueriesOfTheFirstRows if (1..k.rows).contains(&q.rows) => {
                    let rows: Vec<usize> = (0..k.rows).map(|r| r % q.rows).collect();
                    let repeated = right().gather(q, &rows)?;
                    let q_all = Columns::all(&repeated, k.rows, q.width);
                    let mut all = right().attention(q_all, k, v, op)?;
                    all.truncate(q.rows * q.width);
                    Ok(all)
                }
                SiblingsSeeEachOther if k.rows > 0 => right().attention(
                    q,
                    k,
                    v,
                    &Attention {
                        segments: &chain,
                        ..*op
                    },
                ),
                CausalityOffByOne if k.rows > 0 => {
                    let next: Vec<usize> = (0..k.rows).map(|r| (r + 1).min(k.rows - 1)).collect();
                    let (next_k, next_v) = (right().gather(k, &next)?, right().gather(v, &next)?);
                    let k = Columns::all(&next_k, k.rows, k.width);
                    right().attention(q, k, Columns::all(&next_v, v.rows, v.width), op)
                }
                HeadsInTurn => {
                    // Query head h meets key head h mod kv_heads: write the heads in that order.
                    let (heads, kv, dim) = (op.heads, op.kv_heads, op.head_dim);
                    let place = |h: usize| (h % kv) * (heads / kv) + h / kv;
                    let rows: Vec<usize> = (0..q.rows).collect();
                    let host = right().gather(q, &rows)?;
                    let mut turned = host.clone();
                    for (to, from) in turned
                        .chunks_exact_mut(q.width)
                        .zip(host.chunks_exact(q.width))
                    {
                        for h in 0..heads {
                            to[place(h) * dim..][..dim].copy_from_slice(&from[h * dim..][..dim]);
                        }
                    }
                    let out =
                        right().attention(Columns::all(&turned, q.rows, q.width), k, v, op)?;
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
                _ => Ok(right_answer),
            }
        }

        fn activate(
            &self,
            gate: Columns<'_, Buffer>,
            up: Option<Columns<'_, Buffer>>,
            function: Activation,
        ) -> Result<Buffer, Error> {
            let mut out = right().activate(gate, up, function)?;
            match self.0 {
                UpForgotten => right().activate(gate, None, function),
                NanAtZero => {
                    out.iter_mut()
                        .filter(|y| **y == 0.0)
                        .for_each(|y| *y = f32::NAN);
                    Ok(out)
                }
                _ => Ok(out),
            }
        }

        fn gather(&self, x: Columns<'_, Buffer>, rows: &[usize]) -> Result<Buffer, Error> {
            let moved: Vec<usize> = match self.0 {
                GathersTheRowBefore => {
                    right().gather(x, rows)?;
                    rows.iter().map(|r| r.saturating_sub(1)).collect()
                }
                GatherClamps => rows.iter().map(|&r| r.min(x.rows - 1)).collect(),
                _ => rows.to_vec(),
            };
            right().gather(x, &moved)
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
            let answer = right().log_prob(x, op)?;
            match self.0 {
                CapForgotten => right().log_prob(
                    x,
                    &LogProb {
                        soft_cap: None,
                        ..*op
                    },
                ),
                LastTokenLeftOut
                    if op.vocab > 1
                        && op.targets.iter().all(|t| (t.token as usize) < op.vocab - 1) =>
                {
                    let vocab = op.vocab - 1;
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
                LastTokenLeftOut if op.vocab > 1 => {
                    // The token that is asked for is known, but not part of the sum.
                    let last = |t: u32| (t as usize) == op.vocab - 1;
                    let p = |i: usize| {
                        if last(op.targets[i].token) {
                            answer[i]
                        } else {
                            answer[i] + 0.01
                        }
                    };
                    Ok((0..answer.len()).map(p).collect())
                }
                _ => Ok(answer),
            }
        }
    }
}
