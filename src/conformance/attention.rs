//! Attention: its values, and their independence of rows that a query must not see.

use super::bounds::{UNDERFLOW, close, oracle};
use super::experts::computed;
use super::inputs::{Block, SplitMix64, forest, to_f64};
use super::kit::{Failure, Kit};
use crate::backend::{Attention, Backend, Segment, reference};
use crate::error::Error;

/// Inputs of an attention call.
struct Qkv {
    q: Block,
    k: Block,
    v: Block,
}

impl Qkv {
    /// Random inputs with queries in ±`size`. The larger the queries, the more the softmax prefers
    /// one key.
    fn new(random: &mut SplitMix64, op: &Attention<'_>, size: f32) -> Self {
        let rows = op.segments.iter().map(|s| s.len).sum();
        let queries = random.uniforms(rows * op.heads * op.head_dim);
        let width = rows * op.kv_heads * op.head_dim;
        Self {
            // Unequal margins, so that a backend which takes one block's stride for another's reads
            // NaN.
            q: Block::new(&queries, rows, (0, 3)).map(|x| x * size),
            k: Block::new(&random.uniforms(width), rows, (5, 0)),
            v: Block::new(&random.awkward(width), rows, (2, 2)),
        }
    }

    /// The same inputs for some rows only.
    fn pick(&self, rows: &[usize]) -> Self {
        Self {
            q: self.q.pick(rows),
            k: self.k.pick(rows),
            v: self.v.pick(rows),
        }
    }

    fn run<B: Backend>(&self, backend: &B, op: &Attention<'_>) -> Result<B::Buffer, Error> {
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|x| x.upload(backend));
        let (q, k, v) = (q?, k?, v?);
        backend.attention(
            self.q.columns(&q),
            self.k.columns(&k),
            self.v.columns(&v),
            op,
        )
    }

    /// The results in host memory.
    fn read<B: Backend>(&self, backend: &B, op: &Attention<'_>) -> Result<Vec<f64>, Error> {
        Ok(to_f64(&backend.read(&self.run(backend, op)?)?))
    }
}

/// A call with neither window nor soft cap.
pub(super) fn plain(
    segments: &[Segment],
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f64,
) -> Attention<'_> {
    Attention {
        segments,
        heads,
        kv_heads,
        head_dim,
        scale,
        window: None,
        soft_cap: None,
        slopes: None,
    }
}

/// Chains and forests with segments that end before, at and after multiples of 64, a common size
/// of key blocks.
fn forests() -> Vec<Vec<Segment>> {
    [
        &[(None, 1)][..],
        &[(None, 7)],
        &[(None, 65)],
        &[(None, 130)],
        &[(None, 5), (None, 1), (None, 17)],
        &[
            (None, 3),
            (Some(0), 2),
            (Some(0), 4),
            (Some(1), 1),
            (Some(2), 3),
            (Some(2), 1),
        ],
        &[
            (None, 63),
            (Some(0), 1),
            (Some(0), 2),
            (Some(2), 65),
            (Some(1), 3),
        ],
        &[
            (None, 64),
            (Some(0), 1),
            (None, 9),
            (Some(0), 64),
            (Some(2), 60),
        ],
        &[
            (None, 20),
            (Some(0), 20),
            (Some(1), 20),
            (Some(2), 20),
            (Some(1), 50),
            (Some(0), 1),
        ],
    ]
    .map(forest)
    .to_vec()
}

impl<B: Backend> Kit<B> {
    /// Attention over chains and forests, with grouped heads, windows and soft caps.
    ///
    /// Bound, for a query that sees n keys in heads of d elements, with scores s and softmax
    /// weights p:
    /// - a score is off by at most δ = γ_{d+3}·scale·max Σ|q||k|, plus γ₆·c under a soft cap c,
    ///   whose slope is at most 1;
    /// - a weight relative to the largest is therefore off by a factor within 1 ± η with
    ///   η = e^{2δ + 2u·(s_max − s_min)} − 1;
    /// - sums over the keys, in one pass or rescaled on the way, add γ_{4n+16}.
    ///
    /// In all |Δy| ≤ ((1 + η)(1 + γ_{4n+16}) − 1)·Σp|v|. Weights may underflow to zero.
    pub fn attention(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(5));
        for (case, segments) in forests().into_iter().enumerate() {
            // Heads narrower than a register, as wide, and one element wider than two.
            for (heads, kv_heads, dim) in [(1, 1, 1), (4, 2, 6), (3, 1, 16), (2, 2, 33), (6, 3, 7)]
            {
                // Sizes of 40 make the softmax nearly one-hot, where an error in the largest score
                // shows; a window of 1 sees the query's own key alone; 64 and 100 end at and within
                // a block.
                for (window, soft_cap, size) in [
                    (None, None, 1.0),
                    (Some(1), None, 1.0),
                    (Some(5), Some(1.5), 3.0),
                    (Some(64), None, 40.0),
                    (None, Some(30.0), 40.0),
                    (Some(100), None, 3.0),
                ] {
                    let scale = 1.0 / (dim as f64).sqrt();
                    let op = Attention {
                        window,
                        soft_cap,
                        ..plain(&segments, heads, kv_heads, dim, scale)
                    };
                    let input = Qkv::new(&mut random, &op, size);
                    let got = backend.read(&input.run(&backend, &op)?)?;
                    let want = input.run(&oracle(), &op)?;
                    let what = format!(
                        "attention, forest {case}, {heads}/{kv_heads} heads of {dim}, \
                         window {window:?}, cap {soft_cap:?}"
                    );
                    close(what, &got, &want, &self.attention_bound(&input, &op)?)?;
                }
            }
        }
        Ok(())
    }

    /// Attention with linear biases, whose slopes differ between the heads of a group.
    ///
    /// Bound: that of [`Kit::attention`], with the bias as one more product of a score.
    pub fn attention_slopes(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(18));
        for (case, segments) in forests().into_iter().enumerate() {
            for (heads, kv_heads, dim) in [(1, 1, 1), (4, 2, 6), (3, 1, 16)] {
                for (window, soft_cap) in [(None, None), (Some(70), None), (None, Some(1.5))] {
                    let slopes: Vec<f64> = (0..heads).map(|h| 0.7 / (1 << h) as f64).collect();
                    let op = Attention {
                        window,
                        soft_cap,
                        slopes: Some(&slopes),
                        ..plain(&segments, heads, kv_heads, dim, 0.5)
                    };
                    let input = Qkv::new(&mut random, &op, 3.0);
                    let Some(got) = computed(input.run(&backend, &op))? else {
                        return Ok(());
                    };
                    let want = input.run(&oracle(), &op)?;
                    let what = format!(
                        "attention with slopes, forest {case}, {heads}/{kv_heads} heads of {dim}, \
                         window {window:?}, cap {soft_cap:?}"
                    );
                    let bound = self.attention_bound(&input, &op)?;
                    close(what, &backend.read(&got)?, &want, &bound)?;
                }
            }
        }
        Ok(())
    }

    /// The bound of [`Kit::attention`] on every result.
    fn attention_bound(&self, input: &Qkv, op: &Attention<'_>) -> Result<Vec<f64>, Error> {
        let (queries, keys) = (input.q.content(), input.k.content());
        let values = input.v.content();
        let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        // Σp|v|, to become the bound in place.
        let magnitudes = Qkv {
            q: input.q.clone(),
            k: input.k.clone(),
            v: input.v.map(f32::abs),
        };
        let mut bound = magnitudes.run(&oracle(), op)?;
        let (dim, group) = (op.head_dim, op.heads / op.kv_heads);
        for segment in op.segments {
            for row in segment.start..segment.start + segment.len {
                let visible = reference::visible(op.segments, segment, row, op.window);
                for head in 0..op.heads {
                    let at = (row * op.heads + head) * dim;
                    let seen = visible
                        .iter()
                        .map(|j| &keys[(j * op.kv_heads + head / group) * dim..][..dim]);
                    let slope = op.slopes.map_or(0.0, |slopes| slopes[head]);
                    let query = &queries[at..at + dim];
                    let factor = self.attention_factor(query, seen, op, slope);
                    let underflow = visible.len() as f64 * UNDERFLOW * largest;
                    for b in &mut bound[at..at + dim] {
                        *b = factor * *b + underflow;
                    }
                }
            }
        }
        Ok(bound)
    }

    /// (1 + η)(1 + γ_{4n+16}) − 1 for one query and the keys it sees.
    fn attention_factor<'k>(
        &self,
        query: &[f64],
        keys: impl ExactSizeIterator<Item = &'k [f64]>,
        op: &Attention<'_>,
        slope: f64,
    ) -> f64 {
        let n = keys.len();
        let (mut size, mut low, mut high) = (0.0f64, f64::INFINITY, f64::NEG_INFINITY);
        for (place, key) in keys.enumerate() {
            let bias = slope * (n - 1 - place) as f64;
            let products = || query.iter().zip(key).map(|(a, b)| a * b * op.scale);
            let score: f64 = products().sum();
            let score = op.soft_cap.map_or(score, |c| c * (score / c).tanh()) - bias;
            size = size.max(products().map(f64::abs).sum::<f64>() + bias);
            (low, high) = (low.min(score), high.max(score));
        }
        let cap = op.soft_cap.map_or(0.0, |c| self.gamma(6) * c);
        let delta = self.gamma(op.head_dim + 3) * size + cap;
        let eta = (2.0 * delta + 2.0 * self.roundoff.arithmetic * (high - low)).exp_m1();
        (1.0 + eta) * (1.0 + self.gamma(4 * n + 16)) - 1.0
    }

    /// A change of later tokens changes no result before them.
    pub fn attention_causality(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(11));
        let segments = forest(&[(None, 80)]);
        let op = plain(&segments, 4, 2, 9, 0.3);
        let mut input = Qkv::new(&mut random, &op, 2.0);
        let before = input.read(&backend, &op)?;
        // From the end towards the start, so that each comparison sees all changes so far; 63 to
        // 65 surround the end of a block of keys.
        for from in [79, 65, 64, 63, 17, 1] {
            for block in [&mut input.k, &mut input.v, &mut input.q] {
                block.change_from(from, |x| 1.0 - x);
            }
            let after = input.read(&backend, &op)?;
            let earlier = from * op.heads * op.head_dim;
            let what = format!("attention before token {from} of 80 after a change of the rest");
            self.same(what, &before[..earlier], &after[..earlier])?;
            // A backend that returned zeros would pass the comparison above.
            if before[earlier..] == after[earlier..] {
                return Err(Failure::wrong(format!(
                    "attention from token {from} on ignores its input"
                )));
            }
        }
        Ok(())
    }

    /// Every path of a forest gives the results that it gives alone, as one segment.
    pub fn attention_sharing(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(12));
        for (case, segments) in forests().into_iter().enumerate() {
            // Within a block, and across one wherever it begins.
            for window in [None, Some(9), Some(70)] {
                let op = Attention {
                    window,
                    ..plain(&segments, 4, 2, 6, 0.4)
                };
                let input = Qkv::new(&mut random, &op, 2.0);
                let shared = input.read(&backend, &op)?;
                for (index, segment) in segments.iter().enumerate() {
                    let last = segment.start + segment.len - 1;
                    let path = reference::visible(&segments, segment, last, None);
                    let chain = forest(&[(None, path.len())]);
                    let chain = Attention {
                        segments: &chain,
                        ..op
                    };
                    let alone = input.pick(&path).read(&backend, &chain)?;
                    let width = op.heads * op.head_dim;
                    let shared = &shared[segment.start * width..(last + 1) * width];
                    let alone = &alone[segment.position * width..];
                    let what = format!("forest {case}, window {window:?}, segment {index}");
                    self.same(what, shared, alone)?;
                }
            }
        }
        Ok(())
    }

    /// The last rows give the same results when the first rows have keys and values but no
    /// queries, as after a prefix that was computed before.
    pub fn attention_prefix(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(15));
        for (case, segments) in forests().into_iter().enumerate() {
            for (window, dim) in [(None, 6), (Some(9), 16), (Some(70), 7)] {
                let op = Attention {
                    window,
                    ..plain(&segments, 4, 2, dim, 0.5)
                };
                let mut input = Qkv::new(&mut random, &op, 2.0);
                let whole = input.read(&backend, &op)?;
                let queries = input.q.clone();
                let rows = queries.rows;
                // Models start at a segment; a backend must also start within one.
                let starts = segments.iter().map(|s| s.start);
                for past in starts.chain([1, rows / 2, rows - 1, rows]) {
                    let asked: Vec<usize> = (past..rows).collect();
                    input.q = queries.pick(&asked);
                    let got = input.read(&backend, &op)?;
                    let what = format!("forest {case}, window {window:?}, queries from row {past}");
                    self.same(what, &whole[past * 4 * dim..], &got)?;
                }
            }
        }
        Ok(())
    }
}
