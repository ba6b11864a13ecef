//! Log-probabilities under the LM head.

use relscale::backend::{Backend, Columns, LogProb, Role, Target};
use relscale_cuda::Precision;

use crate::common::on_device;
use crate::trial::{Trial, gamma, in_every_precision};

fn run<B: Backend>(
    backend: &B,
    x: Columns<'_, B::Buffer>,
    weight: &B::Buffer,
    bias: Option<&B::Buffer>,
    (vocab, soft_cap): (usize, Option<f64>),
    targets: &[Target],
) -> Vec<f64> {
    let op = LogProb {
        weight,
        bias,
        inputs: x.width,
        vocab,
        soft_cap,
        targets,
    };
    backend.log_prob(x, &op).unwrap()
}

/// Three targets per row, with rows left out and in one case a row that has four.
fn some_targets(rows: usize, vocab: usize) -> Vec<Target> {
    let mut targets: Vec<Target> = (0..rows)
        .filter(|row| row % 4 != 1)
        .flat_map(|row| {
            [0, vocab / 2, vocab - 1].map(|token| Target {
                row,
                token: token as u32,
            })
        })
        .collect();
    if rows == 4 {
        targets.push(Target { row: 3, token: 7 });
    }
    targets
}

/// Loss: logits stay in `f32` and are off by δ = γ_{n+3}·(Σ|x||w| + |b|), plus γ₈·c under a cap c.
/// δ enters twice; the normaliser adds γ_{V+24} and the rounding of its parts.
#[test]
fn log_prob() {
    in_every_precision("log_prob", 11, |t| {
        for (rows, inputs, vocab) in [(1, 8, 1), (3, 16, 255), (4, 24, 257), (70, 9, 40)] {
            for (biased, soft_cap) in [(false, None), (true, Some(3.0)), (true, None)] {
                let x = t.matrix(rows, inputs, 1.0, Role::Dense);
                let weight = t.matrix(vocab, inputs, 1.0, Role::Matrix);
                let bias = t.matrix(1, vocab, 1.0, Role::Dense);
                let targets = some_targets(rows, vocab);
                let (on_cuda, on_host) = x.all();
                let head = (vocab, soft_cap);
                let b = biased.then_some(&bias.cuda);
                let got = run(&t.cuda, on_cuda, &weight.cuda, b, head, &targets);
                let b = biased.then_some(&bias.host);
                let want = run(&t.oracle, on_host, &weight.host, b, head, &targets);
                // Inputs, weights and biases are below 1.
                let logit = inputs as f64 + 1.0;
                let delta = gamma(inputs + 3) * logit + soft_cap.map_or(0.0, |c| gamma(8) * c);
                let bound = 2.0 * delta + gamma(vocab + 24) + gamma(4) * (3.0 * logit + 6.0);
                t.close_f64(&format!("log_prob of {vocab}"), &got, &want, |_| bound);
            }
        }
    });
}

/// A vocabulary of several turns of a thread, with logits that grow, so that every turn has a new maximum.
#[test]
fn log_prob_of_many_tokens() {
    in_every_precision("tokens", 18, |t| {
        let (rows, vocab) = (3, 8199);
        let x = t.given(&[1.0, 2.0, -1.0], rows, 1, Role::Dense);
        let weights: Vec<f32> = (0..vocab).map(|i| i as f32 / 1024.0).collect();
        let weight = t.given(&weights, vocab, 1, Role::Matrix);
        let targets = some_targets(rows, vocab);
        let (on_cuda, on_host) = x.all();
        let head = (vocab, None);
        let got = run(&t.cuda, on_cuda, &weight.cuda, None, head, &targets);
        let want = run(&t.oracle, on_host, &weight.host, None, head, &targets);
        // Logits of up to 17 are exact; the normaliser adds γ_{V+24}, and each part of it 4u of them.
        let bound = gamma(vocab + 24) + gamma(8) * (3.0 * 17.0 + 6.0);
        t.close_f64("log_prob", &got, &want, |_| bound);
    });
}

/// More rows than one chunk of logits holds give what they give in a chunk of their own.
#[test]
fn log_prob_in_chunks() {
    on_device(|| {
        let mut t = Trial::new(Precision::F32, 13);
        // Rows are apart by more than their width, in a way that a product takes as they are.
        let (rows, inputs, vocab) = (2060, 4, 3);
        let x = t.matrix(2112, inputs + 4, 1.0, Role::Dense);
        let weight = t.matrix(vocab, inputs, 1.0, Role::Matrix);
        let targets: Vec<Target> = (0..rows)
            .map(|row| Target {
                row,
                token: (row % vocab) as u32,
            })
            .collect();
        let on_cuda = Columns::block(&x.cuda, rows, inputs + 4, 4, inputs);
        let on_host = Columns::block(&x.host, rows, inputs + 4, 4, inputs);
        let head = (vocab, None);
        let got = run(&t.cuda, on_cuda, &weight.cuda, None, head, &targets);
        let want = run(&t.oracle, on_host, &weight.host, None, head, &targets);
        t.close_f64("chunks", &got, &want, |_| gamma(64) * 4.0);
    });
}
