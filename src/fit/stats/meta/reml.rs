//! The variance between effects by restricted maximum likelihood.

use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_length, check_positive};
use crate::fit::stats::regression::LinearFit;
use crate::fit::stats::sums::compensated_sum;

/// The data of a random-effects model: a mean, or a straight line in a covariate.
pub(super) struct Model<'a> {
    ones: Vec<f64>,
    covariate: Option<&'a [f64]>,
    effects: &'a [f64],
    variances: &'a [f64],
}

/// The moments of a weighted fit that τ² and I² need, W = diag(wᵢ), wᵢ = 1/(vᵢ + τ²).
pub(super) struct Moments {
    /// Σ wᵢ·eᵢ².
    pub(super) rss: f64,
    /// Σ wᵢ²·eᵢ² = y'PPy.
    weighted_squares: f64,
    /// tr P = Σ wᵢ(1 − hᵢ), P = W − WX(X'WX)⁻¹X'W.
    pub(super) trace_projection: f64,
}

/// A weighted straight line.
pub(super) struct WeightedLine {
    pub(super) moments: Moments,
    /// The slope over the square root of its entry in (X'WX)⁻¹.
    pub(super) slope_ratio: f64,
}

/// Two values of τ² between which the score changes from + to −, with its values there.
struct Bracket {
    low: f64,
    at_low: f64,
    high: f64,
    at_high: f64,
}

impl<'a> Model<'a> {
    pub(super) fn new(
        covariate: Option<&'a [f64]>,
        effects: &'a [f64],
        variances: &'a [f64],
    ) -> Result<Self, FitError> {
        let k = effects.len();
        let coefficients = 1 + usize::from(covariate.is_some());
        check_length("variances", variances.len(), k)?;
        check_length("covariate", covariate.map_or(k, <[f64]>::len), k)?;
        // Nothing is left to estimate τ² from with as many coefficients as effects.
        check_count("effects", k, coefficients + 1)?;
        check_positive("variances", variances)?;
        Ok(Self {
            ones: vec![1.0; k],
            covariate,
            effects,
            variances,
        })
    }

    /// The weighted least-squares fit at `tau2`.
    pub(super) fn fit(&self, tau2: f64) -> Result<LinearFit, FitError> {
        let mut columns = vec![self.ones.as_slice()];
        columns.extend(self.covariate);
        LinearFit::weighted(&columns, self.effects, &self.weights(tau2))
    }

    pub(super) fn moments(&self, tau2: f64) -> Result<Moments, FitError> {
        if let Some(z) = self.covariate {
            return Ok(self.straight_line(z, tau2).moments);
        }
        let weights = self.weights(tau2);
        let fit = self.fit(tau2)?;
        let each = |f: &dyn Fn(f64, f64, f64) -> f64| {
            compensated_sum(
                weights
                    .iter()
                    .zip(fit.residuals())
                    .zip(fit.leverages())
                    .map(|((w, e), h)| f(*w, *e, *h)),
            )
        };
        Ok(Moments {
            rss: fit.rss(),
            weighted_squares: each(&|w, e, _| (w * e).powi(2)),
            trace_projection: each(&|w, _, h| w * (1.0 - h)),
        })
    }

    /// The moments of a line in `z`, by plain sums: a permutation test refits it a million times.
    pub(super) fn straight_line(&self, z: &[f64], tau2: f64) -> WeightedLine {
        let rows = || {
            self.variances
                .iter()
                .zip(z)
                .zip(self.effects)
                .map(|((v, z), y)| (1.0 / (v + tau2), *z, *y))
        };
        let (mut sw, mut sz, mut sy) = (0.0, 0.0, 0.0);
        for (w, z, y) in rows() {
            sw += w;
            sz += w * z;
            sy += w * y;
        }
        let (mz, my) = (sz / sw, sy / sw);
        let (mut szz, mut szy) = (0.0, 0.0);
        for (w, z, y) in rows() {
            szz += w * (z - mz) * (z - mz);
            szy += w * (z - mz) * (y - my);
        }
        let slope = szy / szz;
        let mut moments = Moments {
            rss: 0.0,
            weighted_squares: 0.0,
            trace_projection: 0.0,
        };
        for (w, z, y) in rows() {
            let e = w * (y - my - slope * (z - mz));
            moments.rss += e * e / w;
            moments.weighted_squares += e * e;
            moments.trace_projection += w * (1.0 - w / sw - w * (z - mz) * (z - mz) / szz);
        }
        WeightedLine {
            moments,
            slope_ratio: slope * szz.sqrt(),
        }
    }

    /// τ²: the outermost root of the REML score, or 0.
    pub(super) fn tau2(&self) -> Result<f64, FitError> {
        // By bracketing: Fisher scoring, the usual way, need not converge and stops at the root
        // nearest its start.
        match self.bracket()? {
            Some(bracket) => self.false_position(bracket),
            None => Ok(0.0),
        }
    }

    fn weights(&self, tau2: f64) -> Vec<f64> {
        self.variances.iter().map(|v| 1.0 / (v + tau2)).collect()
    }

    /// Twice the derivative of the restricted log-likelihood by τ²: Σ wᵢ²eᵢ² − tr P.
    fn score(&self, tau2: f64) -> Result<f64, FitError> {
        let moments = self.moments(tau2)?;
        let value = moments.weighted_squares - moments.trace_projection;
        if value.is_finite() {
            Ok(value)
        } else {
            Err(unconverged())
        }
    }

    /// The outermost change of sign of the score; `None` where it is negative down to zero.
    fn bracket(&self) -> Result<Option<Bracket>, FitError> {
        // The score falls off as 1/τ² or faster above the spread of the effects.
        let mean = compensated_sum(self.effects.iter().copied()) / self.effects.len() as f64;
        let mut high = compensated_sum(self.effects.iter().map(|y| (y - mean).powi(2)))
            + compensated_sum(self.variances.iter().copied());
        let mut at_high = self.score(high)?;
        // 4^60 = 1e36 times the spread of the effects: a score still positive there is not to be
        // trusted.
        for _ in 0..60 {
            if at_high <= 0.0 {
                break;
            }
            high *= 4.0;
            at_high = self.score(high)?;
        }
        if at_high > 0.0 {
            return Err(unconverged());
        }
        // Step down by factors of four until the score is positive: of two roots of a likelihood
        // the outer one. 4^-22 of the top is zero.
        let bottom = high * 5e-14;
        let (mut low, mut at_low) = (high, at_high);
        while at_low <= 0.0 {
            (high, at_high) = (low, at_low);
            low = if low < bottom { 0.0 } else { 0.25 * low };
            at_low = self.score(low)?;
            if low == 0.0 && at_low <= 0.0 {
                return Ok(None);
            }
        }
        Ok(Some(Bracket {
            low,
            at_low,
            high,
            at_high,
        }))
    }

    /// False position, Illinois variant (M. Dowell, P. Jarratt 1971, *BIT* 11:168), with every
    /// eighth step a bisection in case it creeps.
    fn false_position(&self, bracket: Bracket) -> Result<f64, FitError> {
        let Bracket {
            mut low,
            mut at_low,
            mut high,
            mut at_high,
        } = bracket;
        let mut last_rose = None;
        // Every eighth step halves the bracket, so 300 steps alone would reach rounding.
        for step in 0..300 {
            // The Illinois variant halves the retained end's value; plain false position stalls on
            // a curved score.
            let guess = (low * at_high - high * at_low) / (at_high - at_low);
            let next = if step % 8 == 7 || !(guess > low && guess < high) {
                0.5 * (low + high)
            } else {
                guess
            };
            if next <= low || next >= high || high - low <= 1e-15 * high {
                break;
            }
            let value = self.score(next)?;
            if value == 0.0 {
                return Ok(next);
            }
            let rose = value > 0.0;
            let again = last_rose == Some(rose);
            last_rose = Some(rose);
            if rose {
                (low, at_low) = (next, value);
                at_high *= if again { 0.5 } else { 1.0 };
            } else {
                (high, at_high) = (next, value);
                at_low *= if again { 0.5 } else { 1.0 };
            }
        }
        Ok(0.5 * (low + high))
    }
}

fn unconverged() -> FitError {
    FitError::NoConvergence {
        what: "the variance between effects".to_owned(),
    }
}
