//! Rotary embedding: its options and the frequencies they give.

/// Rotary embedding: base, fraction of a head and scaling rule.
#[derive(Debug, Clone, Copy, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq)]
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
}

impl RopeConfig {
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
        (0..dim / 2).map(|i| self.scale(power(i))).collect()
    }

    fn scale(&self, frequency: f64) -> f64 {
        match self.scaling {
            RopeScaling::Default => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
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
