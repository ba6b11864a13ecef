//! Token streams and windows.

use crate::shape::{BOS, CONTEXT};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// Reads a stream of little-endian 16-bit tokens.
pub fn read_tokens(path: &Path) -> std::io::Result<Vec<u16>> {
    let bytes = std::fs::read(path)
        .map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    Ok(bytes
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .collect())
}

pub fn write_tokens(path: &Path, tokens: &[u16]) -> std::io::Result<()> {
    std::fs::write(
        path,
        tokens
            .iter()
            .flat_map(|t| t.to_le_bytes())
            .collect::<Vec<u8>>(),
    )
}

/// Appends one window: the targets are `tokens`, the inputs BOS and all of them but the last. What is
/// missing to a full window is filled up with BOS; causality keeps it from the tokens that count.
pub fn push_window(tokens: &[u16], inputs: &mut Vec<u16>, targets: &mut Vec<u16>) {
    inputs.push(BOS);
    inputs.extend(&tokens[..tokens.len() - 1]);
    targets.extend(tokens);
    let missing = CONTEXT - tokens.len();
    inputs.extend(std::iter::repeat_n(BOS, missing));
    targets.extend(std::iter::repeat_n(BOS, missing));
}

/// The order in which a run sees the training windows: a fresh permutation each epoch.
#[derive(Debug)]
pub struct Order {
    count: usize,
    seed: u64,
    epoch: Option<u64>,
    permutation: Vec<usize>,
}

impl Order {
    pub fn new(count: usize, seed: u64) -> Order {
        Order {
            count,
            seed,
            epoch: None,
            permutation: (0..count).collect(),
        }
    }

    /// The window seen as number `at` since the start of the run.
    pub fn window(&mut self, at: usize) -> usize {
        let epoch = (at / self.count) as u64;
        if self.epoch != Some(epoch) {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(epoch + 1);
            self.permutation = (0..self.count).collect();
            self.permutation.shuffle(&mut rng);
            self.epoch = Some(epoch);
        }
        self.permutation[at % self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_a_permutation_each_epoch_and_repeats() {
        let see = |seed| {
            let mut order = Order::new(50, seed);
            (0..100).map(|i| order.window(i)).collect::<Vec<_>>()
        };
        let seen = see(3);
        assert_eq!(seen, see(3));
        assert_ne!(seen, see(4));
        assert_ne!(seen[..50], seen[50..]);
        for epoch in [&seen[..50], &seen[50..]] {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn short_windows_are_filled() {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        push_window(&[5, 6, 7], &mut inputs, &mut targets);
        assert_eq!((inputs.len(), targets.len()), (CONTEXT, CONTEXT));
        assert_eq!(
            (&inputs[..4], &targets[..3]),
            (&[BOS, 5, 6, BOS][..], &[5, 6, 7][..])
        );
    }
}
