//! Shapes, parameter counts and training FLOPs: the paper's rules scaled down.

use serde::{Deserialize, Serialize};

/// Bytes 0–255, 256 = beginning of text and document separator, 257–259 never used.
pub const VOCABULARY: usize = 260;
pub const BOS: u16 = 256;
/// Tokens a window holds: BOS and 255 bytes in, 256 tokens out.
pub const CONTEXT: usize = 256;
pub const HEAD_DIM: usize = 16;
pub const ROPE_THETA: f64 = 10_000.0;
pub const NORM_EPS: f64 = 1e-6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub mlp: usize,
}

impl Shape {
    /// The paper's rules at an eighth of its widths: `layers = round(h / (9 + 4·log2 h − 9))`, where it has 64 for
    /// the first 9; `max(1, h div 16)` heads of 16, where it has 128; a gated MLP of width 4h.
    pub fn of_width(hidden: usize) -> Shape {
        let h = hidden as f64;
        let layers = (h / (4.0 * h.log2())).round_ties_even().max(1.0) as usize;
        Shape {
            hidden,
            layers,
            heads: (hidden / HEAD_DIM).max(1),
            mlp: 4 * hidden,
        }
    }

    pub fn attention_width(&self) -> usize {
        self.heads * HEAD_DIM
    }

    pub fn non_embedding_parameters(&self) -> usize {
        let (h, a) = (self.hidden, self.attention_width());
        self.layers * (4 * h * a + 3 * h * self.mlp + 2 * h + 2 * HEAD_DIM) + h
    }

    pub fn parameters(&self) -> usize {
        self.non_embedding_parameters() + 2 * VOCABULARY * self.hidden
    }

    /// Forward FLOPs of one token, the paper's count: a multiply-add is 2, attention is unmasked S²,
    /// softmax 3 S² a head; norms, rotary embedding and activation are not counted.
    pub fn forward_flops_per_token(&self) -> u64 {
        let (h, a, m, s) = (self.hidden, self.attention_width(), self.mlp, CONTEXT);
        let layer =
            6 * h * m + 2 * h * 3 * a + 2 * a * h + 2 * s * a + 3 * s * self.heads + 2 * s * a;
        (self.layers * layer + 2 * h * VOCABULARY) as u64
    }

    /// Training FLOPs of one token: forward, and twice that for backward.
    pub fn training_flops_per_token(&self) -> u64 {
        3 * self.forward_flops_per_token()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_a_hand_count() {
        let shape = Shape::of_width(32);
        assert_eq!(
            shape,
            Shape {
                hidden: 32,
                layers: 2,
                heads: 2,
                mlp: 128
            }
        );
        // a layer: q, k, v, o 4·32², MLP 3·32·128, two norms of 32, two of 16
        assert_eq!(
            shape.non_embedding_parameters(),
            2 * (4096 + 12288 + 64 + 32) + 32
        );
        assert_eq!(shape.parameters(), 32992 + 2 * 260 * 32);
        // 2 a weight, plus attention 4·S·a + 3·S·heads a layer
        let weights = 2 * (4096 + 12288) + 260 * 32;
        let attention = 2 * (4 * 256 * 32 + 3 * 256 * 2);
        assert_eq!(shape.forward_flops_per_token(), 2 * weights + attention);
        assert_eq!(
            shape.training_flops_per_token(),
            3 * (2 * weights + attention)
        );
    }

    #[test]
    fn layers_follow_the_rule() {
        let layers: Vec<usize> = [16, 24, 32, 48, 64, 80, 96, 128, 160]
            .map(|h| Shape::of_width(h).layers)
            .into();
        assert_eq!(layers, [1, 1, 2, 2, 3, 3, 4, 5, 5]);
        assert_eq!(
            [8, 24, 40, 64].map(|h| Shape::of_width(h).heads),
            [1, 1, 2, 4]
        );
        // the paper's own constants at its own widths
        let paper = |h: f64| (h / (64.0 + 4.0 * h.log2() - 9.0)).round_ties_even();
        assert_eq!((paper(512.0), paper(4096.0)), (6.0, 40.0));
    }
}
