//! Seeded streams of pseudo-random numbers.
//!
//! **Reproducibility.** Draws come from ChaCha8, of which only `next_u64` is used; everything above
//! it is here, so that a minor release of a dependency cannot change a published number. Every
//! replicate has its own stream: results do not depend on the number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::quantile::{chi2_quantile, normal_quantile};

/// The seed that is used when none is given: "5EED" and the digits of arXiv:2510.24626.
pub(crate) const DEFAULT_SEED: u64 = 0x0005_EED2_5102_4626;

/// A stream of pseudo-random numbers: ChaCha8 keyed by a seed, a purpose and a replicate.
#[derive(Debug, Clone)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one `replicate` of one `purpose` under `seed`.
    pub(crate) fn new(seed: u64, purpose: &str, replicate: u64) -> Self {
        // FNV-1a, 64 bits. Published draws depend on it, so no other hash may take its place.
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // One stream per replicate: draws do not depend on the order in which threads take them.
        rng.set_stream(hash ^ replicate);
        Self(rng)
    }

    /// The next 64 random bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, each equally likely; 0 when `bound` is 0.
    ///
    /// # References
    /// D. Lemire (2019), *ACM TOMACS* 29:3.
    pub(crate) fn index(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // Products below the threshold are drawn again; `next % bound` would favour small numbers.
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform number strictly between 0 and 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        // 53 bits and half a step: neither 0 nor 1 occurs, whose normal quantiles are infinite.
        ((self.next_u64() >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A standard normal number, by inversion.
    pub(crate) fn normal(&mut self) -> f64 {
        // One uniform per normal. A rejection method would take a varying number of them, and a
        // changed method would shift every later draw of the stream.
        normal_quantile(self.uniform())
    }

    /// A χ² number with `df` > 0 degrees of freedom, by inversion.
    pub(crate) fn chi2(&mut self, df: f64) -> f64 {
        chi2_quantile(self.uniform(), df)
    }

    /// Puts `values` in random order (Fisher–Yates).
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            let j = self.index(i as u64 + 1) as usize;
            values.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pinned() {
        // Published numbers depend on these bits.
        let mut stream = Stream::new(DEFAULT_SEED, "pin", 3);
        let found: Vec<u64> = (0..3).map(|_| stream.next_u64()).collect();
        assert_eq!(found, PINNED, "{found:x?}");
    }
    const PINNED: [u64; 3] = [
        704_569_143_003_501_533,
        17_686_490_166_608_547_617,
        17_514_592_863_188_612_774,
    ];

    #[test]
    fn an_index_is_uniform() {
        let mut counts = [0_u32; 6];
        let mut stream = Stream::new(1, "die", 0);
        for _ in 0..60_000 {
            counts[stream.index(6) as usize] += 1;
        }
        assert!(
            counts.iter().all(|c| c.abs_diff(10_000) < 400),
            "{counts:?}"
        );
        assert_eq!(stream.index(1), 0);
        assert_eq!(stream.index(0), 0);
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut stream = Stream::new(2, "moments", 0);
        let normals: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean: f64 = normals.iter().sum::<f64>() / 20_000.0;
        let square: f64 = normals.iter().map(|z| z * z).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.04);
        let chi: f64 = (0..5_000).map(|_| stream.chi2(5.0)).sum::<f64>() / 5_000.0;
        assert!((chi - 5.0).abs() < 0.2);
    }
}
