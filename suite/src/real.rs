//! The number types the model runs in: `f32` to train, `f64` to check the gradient.

use num_traits::{Float, FromPrimitive, NumAssign, ToPrimitive};

pub trait Real:
    Float + NumAssign + FromPrimitive + ToPrimitive + Default + Send + Sync + std::fmt::Debug + 'static
{
    /// `e^x`, in a form that compilers turn into vector instructions.
    fn fast_exp(self) -> Self;

    fn of(x: f64) -> Self {
        Self::from_f64(x).unwrap_or_else(Self::nan)
    }

    fn f64(self) -> f64 {
        self.to_f64().unwrap_or(f64::NAN)
    }
}

impl Real for f64 {
    fn fast_exp(self) -> f64 {
        self.exp()
    }
}

impl Real for f32 {
    /// Cody-Waite reduction and a polynomial of degree 6 on ±ln(2)/2: within 2 units in the last place.
    #[inline(always)]
    fn fast_exp(self) -> f32 {
        const MAGIC: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer kept in the low bits
        let x = self.clamp(-87.0, 88.0);
        let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
        let n = shifted - MAGIC;
        let r = n.mul_add(-0.693_145_75, x);
        let r = n.mul_add(-1.428_606_8e-6, r);
        let mut p = 1.0f32 / 720.0;
        for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            p = p.mul_add(r, c);
        }
        let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
        p * scale
    }
}

#[cfg(test)]
mod tests {
    use super::Real;

    #[test]
    fn fast_exp_is_accurate() {
        for i in -8600..=8700 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((x.fast_exp().f64() / exact - 1.0).abs() < 3e-7, "{x}");
        }
    }
}
