//! Options outside their domain.

use super::Options;
use super::named::check as check_named;
use crate::fit::error::FitError;

impl Options {
    /// Refuses numbers outside their domain, and contrasts and groups that mean nothing.
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let domain = |what: &str, value: f64| {
            Err(FitError::Domain {
                what: what.into(),
                value,
            })
        };
        // Above a half the two one-sided tests and the intervals at 1 − 2α lose their meaning.
        if !(self.alpha > 0.0 && self.alpha <= 0.5) {
            return domain("alpha (0.05 for 95 % intervals, 0.5 at most)", self.alpha);
        }
        if !(self.margin_percent > 0.0 && self.margin_percent.is_finite()) {
            return domain("margin_percent (more than 0)", self.margin_percent);
        }
        if !(self.gap_margin_percent > 0.0 && self.gap_margin_percent.is_finite()) {
            return domain("gap_margin_percent (more than 0)", self.gap_margin_percent);
        }
        for &value in self.tokens_per_param.iter().chain(&self.predict_at) {
            if !(value.is_normal() && value > 0.0) {
                return domain("predict_at or tokens_per_param (more than 0)", value);
            }
        }
        // Fewer draws than 2/α − 1 have no percentile that far out.
        let fewest = 2.0 / self.alpha - 1.0;
        for (what, draws) in [
            (
                "floor_draws (0, or 2/alpha - 1 to 100,000)",
                self.floor_draws,
            ),
            (
                "surface_draws (0, or 2/alpha - 1 to 100,000)",
                self.redrawn_surfaces(),
            ),
        ] {
            let draws = f64::from(draws);
            if draws != 0.0 && !(fewest - 1e-9..=1e5).contains(&draws) {
                return domain(what, draws);
            }
        }
        if let Some(value) = self.surface_huber
            && !(value.is_normal() && value > 0.0)
        {
            return domain("surface_huber", value);
        }
        for &value in self.chance.values() {
            if !(value.is_normal() && value > 0.0) {
                return domain("a chance level", value);
            }
        }
        for name in &self.error_rates {
            match self.chance.get(name) {
                // Chance of a rate is a share. Of a loss it may be any number, ln of the number of
                // choices for example.
                Some(&value) if value > 1.0 => return domain("the chance level of a rate", value),
                _ => {}
            }
        }
        for &value in self.covariate.values() {
            if !value.is_finite() {
                return domain("a covariate", value);
            }
        }
        check_named(&self.contrasts, &self.groups)
    }
}
