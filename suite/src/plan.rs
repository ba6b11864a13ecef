//! Runs of the suite: budgets, widths, and the rules of batch size and learning rate.

use crate::prepare::CORPORA;
use crate::shape::{CONTEXT, Shape};
use serde::{Deserialize, Serialize};

/// Steps aimed at; the batch is rounded up to a power of two, so runs take half to all of these.
const STEPS: f64 = 2_048.0;
/// The learning-rate rule `constant · √batch / hidden` and its ceiling, as the paper's (0.33 and 0.01 there).
pub const RATE_CONSTANT: f64 = 0.15;
const HIGHEST_RATE: f64 = 0.02;
const SMALLEST_BATCH: usize = 2;

/// Training FLOPs and widths of the suite, for every corpus: the paper's seven budgets in ratio and its
/// number of sizes at each.
const SUITE: [(f64, &[usize]); 7] = [
    (6e10, &[8, 12, 16, 20, 24]),
    (1.8e11, &[8, 10, 12, 14, 16, 20, 24, 28, 32, 40]),
    (
        3.6e11,
        &[8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 36, 40, 48, 56],
    ),
    (6e11, &[12, 16, 20, 24, 28, 32, 36, 40, 48, 64]),
    (
        1.8e12,
        &[12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 64, 72, 80],
    ),
    (
        3.6e12,
        &[20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72, 80, 96],
    ),
    (
        6e12,
        &[24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72, 80, 88, 96],
    ),
];
/// Further seeds at the cheapest budgets, for pure error.
const SEEDS: u64 = 2;
const SEEDED_BUDGETS: usize = 2;

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

/// Every run of the suite: three corpora, and further seeds at the cheapest budgets. Budget by budget,
/// the large models first.
pub fn runs() -> Vec<Run> {
    let mut runs = Vec::new();
    for (place, (budget, widths)) in SUITE.iter().enumerate() {
        let seeds = if place < SEEDED_BUDGETS { SEEDS } else { 0 };
        for seed in 0..=seeds {
            for (corpus, _) in &CORPORA {
                let of = |&h: &usize| Run::new(corpus, *budget, h, RATE_CONSTANT, seed);
                runs.extend(widths.iter().rev().filter_map(of));
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_has_the_pattern_of_the_papers() {
        let runs = runs();
        let count = |seed| runs.iter().filter(|r| r.seed == seed).count();
        assert_eq!([count(0), count(1), count(2), count(3)], [255, 45, 45, 0]);
        let total: u64 = runs.iter().map(Run::flops).sum();
        assert!((total as f64 / 5.66e14 - 1.0).abs() < 0.01, "{total:e}");
        for run in &runs {
            assert!((run.flops() as f64 / run.budget - 1.0).abs() < 0.01);
            // A run that is read back is known again, so that it is not trained twice.
            let json = serde_json::to_string(run).expect("serialisable");
            assert_eq!(
                serde_json::from_str::<Run>(&json).expect("as written"),
                *run
            );
            assert!(
                run.schedule(0) < 0.1
                    && run.schedule(run.steps / 2) == 1.0
                    && run.schedule(run.steps - 1) < 0.01
            );
        }
        let mut names: Vec<&str> = runs.iter().map(|r| r.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), runs.len());
    }

    #[test]
    fn names_are_like_the_papers() {
        let run = Run::new("balanced", 1e12, 64, RATE_CONSTANT, 0).map(|r| r.name);
        assert!(
            run.is_some_and(|n| n.starts_with("isoflop-1ep12-d64-L3-B") && n.ends_with("-balanced"))
        );
    }
}
