//! Recipes that make no sense are refused before a run is planned.

use std::fmt;

use super::{Bracket, Recipe};
use crate::ladder::FlopConvention;

/// Limit of the sizes that are tried at all budgets together. Far beyond any suite, and the exact value does
/// not matter.
const MOST_TRIED: f64 = 1e6;

/// A field of a [`Recipe`] whose value makes no sense.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecipeError {
    /// Field of [`Recipe`].
    pub field: &'static str,
    /// The complaint about its value.
    pub message: String,
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recipe: `{}`: {}", self.field, self.message)
    }
}

impl std::error::Error for RecipeError {}

impl Recipe {
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        self.check_budgets()?;
        if matches!(
            self.convention,
            FlopConvention::Unspecified | FlopConvention::Other
        ) {
            let message = format!(
                "`{}` is not one of forward_only, training, 6nd",
                self.convention.as_str()
            );
            return Err(error("convention", message));
        }
        self.check_widths()?;
        self.check_counts()?;
        for (field, value) in [
            ("step_target", self.step_target),
            ("lr_scale", self.lr_scale),
            ("lr_max", self.lr_max),
            ("beta2_base", self.beta2_base),
            ("beta2_batch", self.beta2_batch),
            ("tolerance", self.tolerance),
        ] {
            positive(field, value)?;
        }
        // At 1 a run of no steps would still be within it.
        if self.tolerance >= 1.0 {
            let message = format!("{} is not below 1", self.tolerance);
            return Err(error("tolerance", message));
        }
        match &self.bracket {
            Some(bracket) => bracket.check(),
            None => Ok(()),
        }
    }

    fn check_budgets(&self) -> Result<(), RecipeError> {
        if self.budgets.is_empty() {
            return Err(error("budgets", "there are none"));
        }
        for &budget in &self.budgets {
            positive("budgets", budget)?;
        }
        let mut sorted = self.budgets.clone();
        sorted.sort_by(f64::total_cmp);
        if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1]) {
            return Err(error("budgets", format!("{:e} is there twice", twice[0])));
        }
        Ok(())
    }

    fn check_widths(&self) -> Result<(), RecipeError> {
        for w in &self.widths {
            // 2^20 is far beyond any model trained; it bounds the loop over widths, and the exact
            // value does not matter.
            if w.first == 0 || w.step == 0 || w.last < w.first || w.last > 1 << 20 {
                let (first, last, step) = (w.first, w.last, w.step);
                let message = format!("{first} to {last} by {step}: not within 1..=2^20");
                return Err(error("widths", message));
            }
            let budgets = self.budgets.len();
            let sizes = f64::from((w.last - w.first) / w.step + 1);
            if sizes * budgets as f64 > MOST_TRIED {
                let message =
                    format!("{sizes} sizes at {budgets} budgets are more than {MOST_TRIED:e}");
                return Err(error("widths", message));
            }
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), RecipeError> {
        for (field, value) in [
            ("head_dim", self.head_dim),
            ("mlp_ratio", self.mlp_ratio),
            ("vocab", self.vocab),
            ("sequence", self.sequence),
            ("batch_min", self.batch_min),
        ] {
            // 2^24 is beyond any vocabulary or sequence length; the exact value does not matter.
            if value == 0 || value > 1 << 24 {
                return Err(error(field, format!("{value} is not in 1..=2^24")));
            }
        }
        // Times the largest hidden size, 2^20, this is still 32 bits.
        if self.mlp_ratio > 1 << 10 {
            return Err(error(
                "mlp_ratio",
                format!("{} is above 1024", self.mlp_ratio),
            ));
        }
        Ok(())
    }
}

impl Bracket {
    fn check(&self) -> Result<(), RecipeError> {
        positive("bracket.params", self.params)?;
        positive("bracket.flops", self.flops)?;
        // Two sizes bracket no minimum.
        if self.sizes < 3 {
            return Err(error("bracket.sizes", format!("{} is below 3", self.sizes)));
        }
        if !(self.span > 1.0 && self.span.is_finite() && self.exponent.is_finite()) {
            return Err(error(
                "bracket.span",
                format!("{} is not above 1", self.span),
            ));
        }
        Ok(())
    }
}

pub(super) fn error(field: &'static str, message: impl Into<String>) -> RecipeError {
    RecipeError {
        field,
        message: message.into(),
    }
}

fn positive(field: &'static str, value: f64) -> Result<(), RecipeError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(error(field, format!("{value} is not positive")))
    }
}
