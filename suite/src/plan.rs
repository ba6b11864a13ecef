//! Which runs the ladder has: budgets, widths, and the batch and learning-rate rules.

use crate::shape::{CONTEXT, Shape};
use serde::{Deserialize, Serialize};

/// Steps aimed at; the batch is rounded up to a power of two, so runs take half to all of these.
const STEPS: f64 = 2_048.0;
/// The learning-rate rule `constant · √batch / hidden` and its ceiling, as the paper's (0.33 and 0.01 there).
pub const RATE_CONSTANT: f64 = 0.15;
const HIGHEST_RATE: f64 = 0.02;
const SMALLEST_BATCH: usize = 2;

/// Training FLOPs and the widths tried at that budget, corpus `mixed`.
const LADDER: [(f64, &[usize]); 5] = [
    (6e10, &[8, 12, 16, 20, 24, 32]),
    (2e11, &[8, 12, 16, 24, 32, 48]),
    (6e11, &[12, 16, 24, 32, 48, 64]),
    (2e12, &[16, 24, 32, 48, 64, 80]),
    (6e12, &[24, 32, 48, 64, 80, 96]),
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub name: String,
    pub corpus: String,
    /// Training FLOPs asked for; `steps` is rounded, see [`Run::flops`].
    pub budget: f64,
    pub shape: Shape,
    pub batch: usize,
    pub steps: usize,
    pub rate: f64,
    pub seed: u64,
}

impl Run {
    /// `None` when whole steps miss the budget by more than 1%.
    pub fn new(
        corpus: &str,
        budget: f64,
        hidden: usize,
        rate_constant: f64,
        seed: u64,
    ) -> Option<Run> {
        let shape = Shape::of_width(hidden);
        let window = shape.training_flops_per_token() as f64 * CONTEXT as f64;
        let mut batch = ((budget / (window * STEPS)).ceil() as usize)
            .next_power_of_two()
            .max(SMALLEST_BATCH);
        let rate = |batch: usize| rate_constant * (batch as f64).sqrt() / hidden as f64;
        while batch > SMALLEST_BATCH && rate(batch) > HIGHEST_RATE {
            batch /= 2;
        }
        let steps = (budget / (window * batch as f64)).round() as usize;
        let extra = if seed == 0 {
            String::new()
        } else {
            format!("-s{seed}")
        };
        let label = format!("{budget:e}").replace('e', "ep");
        let name = format!(
            "isoflop-{label}-d{hidden}-L{}-B{batch}-{corpus}{extra}",
            shape.layers
        );
        let run = Run {
            name,
            corpus: corpus.into(),
            budget,
            shape,
            batch,
            steps,
            rate: rate(batch).min(HIGHEST_RATE),
            seed,
        };
        ((run.flops() as f64 / budget - 1.0).abs() <= 0.01).then_some(run)
    }

    pub fn tokens(&self) -> u64 {
        (self.steps * self.batch * CONTEXT) as u64
    }

    pub fn flops(&self) -> u64 {
        self.tokens() * self.shape.training_flops_per_token()
    }

    /// The share of the full learning rate at a step: warm-up over 5%, then level, then down to 0 over the last 20%.
    pub fn schedule(&self, step: usize) -> f64 {
        let (at, all) = (step as f64 + 1.0, self.steps as f64);
        (at / (0.05 * all))
            .min((all - at + 0.5) / (0.2 * all))
            .clamp(0.0, 1.0)
    }
}

/// Every run of the ladder, the cheapest budget first, so that whole budgets are done early.
pub fn ladder() -> Vec<Run> {
    let runs = LADDER.iter().flat_map(|(budget, widths)| {
        widths
            .iter()
            .rev()
            .map(|&h| Run::new("mixed", *budget, h, RATE_CONSTANT, 0))
    });
    runs.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planned_run_lands_on_its_budget() {
        let runs = ladder();
        assert_eq!(
            runs.len(),
            LADDER.iter().map(|(_, w)| w.len()).sum::<usize>()
        );
        for run in &runs {
            assert!(
                (run.flops() as f64 / run.budget - 1.0).abs() < 0.01,
                "{}",
                run.name
            );
            assert!(
                run.schedule(0) < 0.1
                    && run.schedule(run.steps / 2) == 1.0
                    && run.schedule(run.steps - 1) < 0.01
            );
        }
    }

    #[test]
    fn names_are_like_the_papers() {
        let run = Run::new("mixed", 1e12, 64, RATE_CONSTANT, 0).map(|r| r.name);
        assert!(
            run.is_some_and(|n| n.starts_with("isoflop-1ep12-d64-L3-B") && n.ends_with("-mixed"))
        );
    }
}
