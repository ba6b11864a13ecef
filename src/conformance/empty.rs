//! Operations on nothing.

use super::attention::plain;
use super::inputs::{upload, vector};
use super::kit::{Failure, Kit};
use crate::backend::{
    Activation, Backend, Columns, Embed, HostTensor, Linear, LogProb, Norm, NormKind, Role, Rope,
    Tensor, Values,
};
use crate::error::Error;

/// Uploads a matrix without values.
fn nothing<B: Backend>(
    backend: &B,
    rows: usize,
    cols: usize,
    role: Role,
) -> Result<B::Buffer, Error> {
    backend.upload(&Tensor {
        values: Values::F32(&[]),
        rows,
        cols,
        role,
    })
}

fn norm<B: Backend>(backend: &B) -> Result<B::Buffer, Error> {
    let x = nothing(backend, 0, 3, Role::Dense)?;
    let weight = vector(backend, &[1.0; 3])?;
    let op = Norm {
        kind: NormKind::Rms,
        epsilon: 1e-5,
        width: 3,
        weight: &weight,
        bias: None,
    };
    backend.norm(Columns::all(&x, 0, 3), &op)
}

fn linear<B: Backend>(backend: &B) -> Result<B::Buffer, Error> {
    let weight = nothing(backend, 0, 3, Role::Matrix)?;
    let x = vector(backend, &[1.0; 3])?;
    let op = Linear {
        weight: &weight,
        bias: None,
        inputs: 3,
        outputs: 0,
    };
    backend.linear(Columns::all(&x, 1, 3), &op)
}

fn rope<B: Backend>(backend: &B) -> Result<B::Buffer, Error> {
    let x = nothing(backend, 0, 2, Role::Dense)?;
    let op = Rope {
        positions: &[],
        head_dim: 2,
        frequencies: &[1.0],
        scale: 1.0,
    };
    backend.rope(Columns::all(&x, 0, 2), &op)
}

fn attention<B: Backend>(backend: &B) -> Result<B::Buffer, Error> {
    let x = nothing(backend, 0, 2, Role::Dense)?;
    let x = Columns::all(&x, 0, 2);
    backend.attention(x, x, x, &plain(&[], 1, 1, 2, 0.5))
}

fn concat<B: Backend>(backend: &B) -> Result<B::Buffer, Error> {
    let x = nothing(backend, 0, 2, Role::Dense)?;
    let x = Columns::all(&x, 0, 2);
    backend.concat(x, x)
}

fn activate<B: Backend>(backend: &B) -> Result<B::Buffer, Error> {
    let x = nothing(backend, 0, 2, Role::Dense)?;
    backend.activate(Columns::all(&x, 0, 2), None, Activation::Silu)
}

fn gather<B: Backend>(backend: &B) -> Result<B::Buffer, Error> {
    let x = vector(backend, &[1.0, 2.0])?;
    backend.gather(Columns::all(&x, 1, 2), &[])
}

fn embed<B: Backend>(backend: &B) -> Result<B::Buffer, Error> {
    let table = nothing(backend, 0, 2, Role::Matrix)?;
    let op = Embed {
        tokens: &[],
        vocab: 0,
        width: 2,
        scale: 1.0,
    };
    backend.embed(&table, &op)
}

/// Log-probabilities without targets, under a head of `vocab` tokens.
fn log_prob<B: Backend>(backend: &B, vocab: usize) -> Result<Vec<f64>, Error> {
    let weight = HostTensor::F32(vec![0.5; vocab * 3]);
    let weight = upload(backend, &weight, vocab, 3, Role::Matrix)?;
    let x = vector(backend, &[1.0; 3])?;
    let op = LogProb {
        weight: &weight,
        bias: None,
        inputs: 3,
        vocab,
        soft_cap: None,
        targets: &[],
    };
    backend.log_prob(Columns::all(&x, 1, 3), &op)
}

impl<B: Backend> Kit<B> {
    /// An operation on nothing gives nothing or an error; it does not panic.
    pub fn empty(&self) -> Result<(), Failure> {
        let backend = self.backend();
        for kernel in [
            norm, linear, rope, attention, concat, activate, gather, embed,
        ] {
            // Refusing nothing is allowed. Values out of nothing, or a panic, are not.
            let Ok(result) = kernel(&backend) else {
                continue;
            };
            let read = backend.read(&result)?;
            if !read.is_empty() {
                let values = read.len();
                return Err(Failure::wrong(format!("{values} values out of nothing")));
            }
        }
        for vocab in [0, 2] {
            if log_prob(&backend, vocab).is_ok_and(|p| !p.is_empty()) {
                return Err(Failure::wrong("log-probabilities without targets"));
            }
        }
        Ok(())
    }
}
