//! Simulations that no machine could draw are refused before anything is allocated for them.

use super::{Shape, Simulation};

/// Limit of the losses of a ladder, and of the items and of the clusters of a distribution. Far beyond any
/// ladder that is fitted, and the exact value does not matter.
const MOST: f64 = 1e7;
/// Limit of the degrees of freedom of noise. Each takes a draw per loss, and a t with a hundred is a normal
/// to the eye.
const MOST_DF: usize = 10_000;

impl Simulation {
    /// Refuses settings that ask for more than can be drawn, by field.
    pub(super) fn check(&self) -> Result<(), String> {
        let cells = self.cells();
        // An empty factor draws nothing, and the loops over the others would run all the same.
        let factors = [self.corpora, self.seeds, self.distributions.len()];
        let losses = factors.map(|n| n.max(1) as f64).iter().product::<f64>() * cells.max(1.0);
        if losses > MOST {
            return Err(format!(
                "`corpora` ({}), `seeds` ({}), `shape` ({cells} configurations) and `distributions` \
                 ({}) make {losses:.1e} losses, more than {MOST:e}",
                self.corpora,
                self.seeds,
                self.distributions.len()
            ));
        }
        if let Some(df) = self.tails.filter(|df| *df > MOST_DF) {
            return Err(format!(
                "`tails`: {df} is more than {MOST_DF}; leave it out for normal noise"
            ));
        }
        for truth in &self.distributions {
            let Some(items) = &truth.items else { continue };
            for (field, count) in [("items", items.items), ("clusters", items.clusters)] {
                if count as f64 > MOST {
                    let name = &truth.name;
                    return Err(format!(
                        "`items.{field}` of {name:?}: {count} is more than {MOST:e}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Number of configurations of a corpus.
    fn cells(&self) -> f64 {
        let budgets = self.budgets.len() as f64;
        match &self.shape {
            Shape::Isoflop { sizes, .. } => budgets * *sizes as f64,
            Shape::Rungs | Shape::EqualTokens { .. } | Shape::OneSize { .. } => budgets,
            Shape::Grid {
                params,
                tokens_per_param,
            }
            | Shape::Trajectories {
                params,
                tokens_per_param,
                ..
            } => params.len() as f64 * tokens_per_param.len() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ItemTruth;
    use super::*;

    #[test]
    fn simulations_that_could_not_be_drawn_are_refused_by_field() {
        type Edit = fn(&mut Simulation);
        let cases: [(Edit, &str); 7] = [
            (|s| s.corpora = 1_000_000_000_000, "`corpora`"),
            (
                |s| {
                    s.corpora = usize::MAX;
                    s.seeds = 0;
                },
                "`corpora`",
            ),
            (|s| s.seeds = usize::MAX, "`seeds`"),
            (
                |s| {
                    s.shape = Shape::Isoflop {
                        sizes: usize::MAX,
                        drift: 0.0,
                    };
                },
                "`shape`",
            ),
            (|s| s.tails = Some(10_001), "`tails`"),
            (
                |s| s.distributions[0].items = Some(ItemTruth::new(10, usize::MAX / 2)),
                "`items.clusters` of \"treatment\"",
            ),
            (
                |s| s.distributions[1].items = Some(ItemTruth::new(usize::MAX, 10)),
                "`items.items` of \"baseline\"",
            ),
        ];
        for (edit, part) in cases {
            let mut simulation = Simulation::default();
            edit(&mut simulation);
            let errors = [
                simulation.ladder(0).unwrap_err().to_string(),
                simulation.exponent(0, 1).unwrap_err().to_string(),
            ];
            for error in errors {
                let is_named = error.contains(part) && error.starts_with("simulation: ");
                assert!(is_named, "no {part} in {error}");
            }
        }
        assert_eq!(Simulation::default().check(), Ok(()));
    }
}
