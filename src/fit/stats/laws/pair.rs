//! Noise of two series that are read from the same runs, and draws of it.

use crate::fit::stats::labels;
use crate::fit::stats::random::Stream;

/// Variance of the first series, covariance, variance of the second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct PairCovariance {
    pub(crate) first: f64,
    pub(crate) cross: f64,
    pub(crate) second: f64,
}

impl PairCovariance {
    /// From the variances of both series and of their difference.
    pub(crate) fn of_variances(first: f64, second: f64, difference: f64) -> Self {
        // Of series without noise, rounding may leave a variance below zero.
        let [first, second, difference] = [first, second, difference].map(|v| v.max(0.0));
        // Estimates of components are clipped one by one, so the three need not agree.
        let bound = (first * second).sqrt();
        Self {
            first,
            cross: (0.5 * (first + second - difference)).clamp(-bound, bound),
            second,
        }
    }

    /// Correlated numbers of two independent standard normal ones.
    fn draw(&self, [z, w]: [f64; 2]) -> [f64; 2] {
        let first = self.first.sqrt();
        if first == 0.0 {
            return [0.0, self.second.sqrt() * w];
        }
        let load = self.cross / first;
        [
            first * z,
            load * z + (self.second - load * load).max(0.0).sqrt() * w,
        ]
    }
}

/// Noise of two series: effects that the readings of a group share, and what each has of its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PairNoise {
    /// Number of readings.
    pub(crate) readings: usize,
    /// Group of each reading, numbered from 0; empty if there are none.
    pub(crate) groups: Vec<usize>,
    pub(crate) shared: PairCovariance,
    pub(crate) own: PairCovariance,
    /// Degrees of freedom of the estimated variances.
    pub(crate) df: f64,
}

/// One draw of the noise, in logarithms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PairDraw {
    /// Noise of every reading in the first series.
    pub(crate) first: Vec<f64>,
    /// Noise of every reading in the second series.
    pub(crate) second: Vec<f64>,
    /// Noise of the difference of the two series in a reading of a new group.
    pub(crate) new: f64,
    /// A standard normal number with the same error of the variance, for noise of known variance
    /// relative to it.
    pub(crate) other: f64,
}

impl PairNoise {
    /// Variance of the difference of the two series in a reading of a new group.
    pub(crate) fn difference(&self) -> f64 {
        let of = |c: &PairCovariance| c.first + c.second - 2.0 * c.cross;
        of(&self.shared) + of(&self.own)
    }

    /// Draw `replicate`: normal noise whose variance is that estimated times df/χ²(df).
    ///
    /// By this factor percentiles of redrawn estimates are those of Student's t where the estimate is
    /// linear; with four degrees of freedom normal ones would be short by 30 %.
    pub(crate) fn draw(&self, seed: u64, replicate: u64) -> PairDraw {
        let mut stream = Stream::new(seed, "floor ratio", replicate);
        let scale = (self.df / stream.chi2(self.df)).sqrt();
        let mut pair = |covariance: &PairCovariance| {
            let z = [stream.normal(), stream.normal()];
            covariance.draw(z).map(|v| scale * v)
        };
        let number = labels::count(&self.groups);
        let effects: Vec<[f64; 2]> = (0..number).map(|_| pair(&self.shared)).collect();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for i in 0..self.readings {
            let own = pair(&self.own);
            let effect = self.groups.get(i).map_or([0.0; 2], |&g| effects[g]);
            first.push(own[0] + effect[0]);
            second.push(own[1] + effect[1]);
        }
        let (own, effect) = (pair(&self.own), pair(&self.shared));
        PairDraw {
            first,
            second,
            new: own[0] + effect[0] - own[1] - effect[1],
            other: scale * stream.normal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_covariance_of_t_noise() {
        let noise = PairNoise {
            readings: 4,
            groups: vec![0, 0, 1, 1],
            shared: PairCovariance::of_variances(4.0, 1.0, 3.0),
            own: PairCovariance::of_variances(1.0, 9.0, 16.0),
            df: 30.0,
        };
        assert_eq!((noise.shared.cross, noise.own.cross), (1.0, -3.0));
        let n = 20_000;
        let draws: Vec<PairDraw> = (0..n).map(|r| noise.draw(1, r)).collect();
        let mean = |f: &dyn Fn(&PairDraw) -> f64| draws.iter().map(f).sum::<f64>() / n as f64;
        // The variance of t is df/(df − 2) of that of its scale.
        let t = 30.0 / 28.0;
        for (found, wanted) in [
            (mean(&|d| d.first[0].powi(2)), 5.0),
            (mean(&|d| d.second[3].powi(2)), 10.0),
            (mean(&|d| d.first[1] * d.second[1]), -2.0),
            (mean(&|d| d.first[0] * d.first[1]), 4.0),
            (mean(&|d| d.first[0] * d.second[1]), 1.0),
            (mean(&|d| d.first[0] * d.first[2]), 0.0),
            (mean(&|d| d.new.powi(2)), 19.0),
            (mean(&|d| d.other.powi(2)), 1.0),
        ] {
            assert!(
                (found - t * wanted).abs() < 0.03 * (wanted.abs() + 5.0),
                "{found} {wanted}"
            );
        }
        assert_eq!(noise.draw(1, 7), draws[7]);
    }

    #[test]
    fn components_that_do_not_agree_stay_a_covariance() {
        let c = PairCovariance::of_variances(0.0, 2.0, 0.0);
        assert_eq!(c.cross, 0.0);
        let c = PairCovariance::of_variances(1.0, 4.0, 0.0);
        assert_eq!(c.cross, 2.0);
        assert_eq!(c.draw([1.0, 1.0]), [1.0, 2.0]);
    }
}
