//! Rotary embedding: its options and the frequencies they give.

/// Rotary embedding: base, fraction of a head and scaling rule.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "the three numbers that define a rotary embedding"
)]
pub struct RopeConfig {
    /// Base θ of the geometric sequence of wavelengths.
    pub theta: f64,
    /// Fraction of a head that is rotated, in (0, 1].
    pub partial_rotary_factor: f64,
    /// Scaling of the frequencies for longer contexts.
    pub scaling: RopeScaling,
}

/// Scaling of rotary frequencies for longer contexts.
///
/// The rule `dynamic` of `transformers` (NTK-aware scaling) changes nothing up to
/// `max_position_embeddings` tokens, beyond which no sequence is accepted here, so it is read as
/// [`Default`](Self::Default).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// No scaling.
    Default,
    /// Every frequency divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// The rule of Llama 3.1: low frequencies are divided by `factor`, high ones kept, with a ramp
    /// between.
    Llama3 {
        /// Divisor of the frequencies of long wavelengths.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are short.
        high_freq_factor: f64,
        /// Context of the first training stage, in tokens.
        original_max_position_embeddings: f64,
    },
    /// YaRN: frequencies that turn seldom within the original context are divided by `factor`, those
    /// that turn often are kept, with a ramp over the pairs between (Peng et al. 2023, arXiv
    /// 2309.00071).
    Yarn {
        /// Divisor of the frequencies of long wavelengths.
        factor: f64,
        /// Number of turns within the original context above which a frequency is kept.
        beta_fast: f64,
        /// Number of turns within the original context below which a frequency is divided.
        beta_slow: f64,
        /// Context of the first training stage, in tokens.
        original_max_position_embeddings: f64,
        /// If true, the ramp starts and ends at whole pairs.
        truncate: bool,
        /// Factor on cosine and sine.
        attention_factor: f64,
    },
    /// LongRoPE: every frequency divided by a factor of its own (Ding et al. 2024, arXiv
    /// 2402.13753).
    ///
    /// Such files have a second list of divisors for texts longer than the original context. With it
    /// the score of a token would depend on what follows, so the context is that of the first list.
    LongRope {
        /// Divisor of each frequency.
        short_factor: Vec<f64>,
        /// Longest text that these divisors are for, in tokens.
        original_max_position_embeddings: f64,
        /// Factor on cosine and sine.
        attention_factor: f64,
    },
}

impl RopeConfig {
    /// The fraction of which `rotated` of `head` elements are rotated.
    pub(in crate::model) fn fraction(rotated: usize, head: usize) -> f64 {
        let fraction = rotated as f64 / head as f64;
        // The quotient may be rounded down, and its product with the head truncated.
        match (head as f64 * fraction) as usize == rotated {
            true => fraction,
            false => fraction.next_up(),
        }
    }

    /// Number of rotated elements of a head of `head_dim` elements.
    pub fn rotary_dim(&self, head_dim: usize) -> usize {
        (head_dim as f64 * self.partial_rotary_factor) as usize
    }

    /// Angular frequency of each rotated pair of a head of `head_dim` elements.
    ///
    /// **Units**: radians per position.
    ///
    /// θ^(−2i/d) for pair i of d rotated elements, then scaled.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f64> {
        let dim = self.rotary_dim(head_dim);
        // The `pow` of the standard library is the system's, whose last bit differs between systems.
        let power = |i: usize| libm::pow(self.theta, -2.0 * i as f64 / dim as f64);
        (0..dim / 2).map(|i| self.scale(i, dim, power(i))).collect()
    }

    /// Factor on the cosine and sine of every rotated pair.
    pub fn attention_factor(&self) -> f64 {
        match self.scaling {
            RopeScaling::Yarn {
                attention_factor, ..
            }
            | RopeScaling::LongRope {
                attention_factor, ..
            } => attention_factor,
            RopeScaling::Default | RopeScaling::Linear { .. } | RopeScaling::Llama3 { .. } => 1.0,
        }
    }

    /// Frequency `frequency` of pair `pair` of `dim` rotated elements, scaled.
    fn scale(&self, pair: usize, dim: usize, frequency: f64) -> f64 {
        match self.scaling {
            RopeScaling::Default => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::LongRope {
                ref short_factor, ..
            } => frequency / short_factor.get(pair).copied().unwrap_or(1.0),
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_position_embeddings: original,
                truncate,
                ..
            } => {
                let dim = dim as f64;
                // The pair, as a real number, that turns so often within the original context.
                let pair_of = |turns: f64| {
                    dim * libm::log(original / (turns * 2.0 * std::f64::consts::PI))
                        / (2.0 * libm::log(self.theta))
                };
                let (mut low, mut high) = (pair_of(beta_fast), pair_of(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                // `dim − 1` and not `dim/2 − 1`: the bound of the reference implementation.
                let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
                if low == high {
                    high += 0.001; // As the reference implementation avoids the division by zero.
                }
                let divided = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                frequency / factor * divided + frequency * (1.0 - divided)
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => {
                let wavelength = 2.0 * std::f64::consts::PI / frequency;
                if wavelength < original / high_freq_factor {
                    frequency
                } else if wavelength > original / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth = (original / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    }
}
