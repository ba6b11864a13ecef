//! Self-attention of a layer: queries, keys and values, and what a backend makes of them.

use super::Transformer;
use super::forward::Pass;
use crate::backend::{Attention, Backend, Columns, Pointwise, Rope};
use crate::error::Error;

/// Queries, keys and values of some rows.
pub(super) struct Heads<T> {
    /// All three as one projection returned them.
    projected: T,
    /// Queries and keys after their norms and rotation, if they have any.
    turned: Option<Turned<T>>,
    rows: usize,
    stride: usize,
    q_width: usize,
    kv_width: usize,
}

/// Queries and keys after their norms and rotation.
enum Turned<T> {
    /// Each in a buffer of its own.
    Apart([T; 2]),
    /// In one, the queries first.
    Together(T),
}

impl<T> Heads<T> {
    fn qk_width(&self) -> usize {
        self.q_width + self.kv_width
    }

    fn q(&self) -> Columns<'_, T> {
        match &self.turned {
            None => Columns::block(&self.projected, self.rows, self.stride, 0, self.q_width),
            Some(Turned::Apart([q, _])) => Columns::all(q, self.rows, self.q_width),
            Some(Turned::Together(qk)) => {
                Columns::block(qk, self.rows, self.qk_width(), 0, self.q_width)
            }
        }
    }

    pub(super) fn k(&self) -> Columns<'_, T> {
        let (rows, start, width) = (self.rows, self.q_width, self.kv_width);
        match &self.turned {
            None => Columns::block(&self.projected, rows, self.stride, start, width),
            Some(Turned::Apart([_, k])) => Columns::all(k, rows, width),
            Some(Turned::Together(qk)) => Columns::block(qk, rows, self.qk_width(), start, width),
        }
    }

    pub(super) fn v(&self) -> Columns<'_, T> {
        let start = self.q_width + self.kv_width;
        Columns::block(
            &self.projected,
            self.rows,
            self.stride,
            start,
            self.kv_width,
        )
    }
}

impl<B: Backend> Transformer<B> {
    /// Queries, keys and values of layer `index`.
    pub(super) fn heads(
        &self,
        index: usize,
        x: &B::Buffer,
        positions: &[u32],
    ) -> Result<Heads<B::Buffer>, Error> {
        let (config, backend, rows) = (&self.config, &self.backend, positions.len());
        let layer = &self.layers[index];
        let dim = config.head_dim;
        let mut heads = Heads {
            projected: self.project(x, rows, &layer.qkv)?,
            turned: None,
            rows,
            stride: layer.qkv.outputs,
            q_width: config.num_attention_heads * dim,
            kv_width: config.num_key_value_heads * dim,
        };
        // Norms before the rotation, which is how these models were trained.
        if let Some([q, k]) = &layer.qk_norm {
            let normed = [self.norm(heads.q(), q)?, self.norm(heads.k(), k)?];
            heads.turned = Some(Turned::Apart(normed));
        }
        if let Some(bound) = config.clip_qkv {
            let clip = Pointwise::Clip(bound);
            if let Some(Turned::Apart([q, k])) = &mut heads.turned {
                *q = backend.pointwise(Columns::all(q, rows, heads.q_width), clip)?;
                *k = backend.pointwise(Columns::all(k, rows, heads.kv_width), clip)?;
            }
            // Of queries and keys with norms this clips what is no longer read.
            let all = Columns::all(&heads.projected, rows, heads.stride);
            heads.projected = backend.pointwise(all, clip)?;
        }
        if let Some(rotations) = self.rotations.as_ref().filter(|_| config.is_rotary(index)) {
            let rotation = &rotations[usize::from(config.is_sliding(index))];
            let rope = Rope {
                positions,
                head_dim: dim,
                frequencies: &rotation.frequencies,
                scale: rotation.scale,
            };
            heads.turned = Some(match &heads.turned {
                // Side by side they are rotated in one call: a rotation knows heads only.
                None => {
                    let (stride, width) = (heads.stride, heads.qk_width());
                    let qk = Columns::block(&heads.projected, rows, stride, 0, width);
                    Turned::Together(backend.rope(qk, &rope)?)
                }
                Some(_) => {
                    let [q, k] = [heads.q(), heads.k()];
                    Turned::Apart([backend.rope(q, &rope)?, backend.rope(k, &rope)?])
                }
            });
        }
        Ok(heads)
    }

    /// Self-attention of layer `index` before its output projection.
    pub(super) fn attend(
        &self,
        index: usize,
        heads: &Heads<B::Buffer>,
        pass: &Pass<'_, B::Buffer>,
    ) -> Result<B::Buffer, Error> {
        let (config, backend) = (&self.config, &self.backend);
        let op = Attention {
            segments: &pass.segments,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            scale: config.attention_scale,
            window: config.sliding_window.filter(|_| config.is_sliding(index)),
            soft_cap: config.attn_logit_softcapping,
            slopes: self.slopes.as_deref(),
        };
        let (q, k, v) = (heads.q(), heads.k(), heads.v());
        let Some([keys, values]) = pass.kept.get(index) else {
            return backend.attention(q, k, v, &op);
        };
        let (rows, width) = (pass.past + heads.rows, heads.kv_width);
        let before = |kept| Columns::all(kept, pass.past, width);
        // Kept keys were rotated by their own positions, so they need no further work.
        let keys = backend.concat(before(keys), k)?;
        let values = backend.concat(before(values), v)?;
        let all = |buffer| Columns::all(buffer, rows, width);
        backend.attention(q, all(&keys), all(&values), &op)
    }
}
