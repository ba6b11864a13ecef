//! Collecting runs and scores into a ladder.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::sum::Sum;
use super::{Cell, FlopConvention, Ladder, LadderError, Run, Scores, mean};

/// Collects runs and scores; [`build`](Self::build) checks them.
#[derive(Debug, Clone, Default)]
pub struct LadderBuilder {
    name: String,
    flop_convention: FlopConvention,
    scale_name: Option<String>,
    runs: Vec<Run>,
    run_index: HashMap<String, usize>,
    distributions: Vec<String>,
    distribution_index: HashMap<String, usize>,
    clusters: Vec<String>,
    cluster_index: HashMap<String, usize>,
    cells: HashMap<(usize, usize, usize), Accumulator>,
    chance: BTreeMap<String, f64>,
    scorers: BTreeMap<String, String>,
    unweighted: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Accumulator {
    loss: Sum,
    weight: Sum,
    rows: u64,
    /// `Σ (weight·standard error)²`, and the number of rows in it.
    variance: Sum,
    errors: u64,
}

impl LadderBuilder {
    /// Names the ladder.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = name.into();
        self
    }

    /// States the meaning of the FLOPs.
    pub fn flop_convention(&mut self, convention: FlopConvention) -> &mut Self {
        self.flop_convention = convention;
        self
    }

    /// Names a scale that is not training compute, such as `"test-time tokens"`: the `flops` and the
    /// budgets of the runs hold that quantity, the convention is [`FlopConvention::Other`], and
    /// sentences, tables and drawings say its name.
    ///
    /// The bottom of the ladder is its smallest value and the top its largest, to which predictions
    /// and backtests look. Where progress runs the other way (the share of data that is *removed*),
    /// give the inverse or the complement.
    pub fn scale_name(&mut self, name: impl Into<String>) -> &mut Self {
        self.scale_name = Some(name.into());
        self.flop_convention = FlopConvention::Other;
        self
    }

    /// Adds a run.
    ///
    /// # Errors
    ///
    /// - [`LadderError::EmptyName`] and [`LadderError::DuplicateRun`];
    /// - [`LadderError::RunField`] when the budget, the FLOPs, the parameters or the tokens are not
    ///   finite and positive.
    ///
    /// FLOPs that cannot be those of training are refused by [`build`](Self::build), when the
    /// convention is known.
    pub fn run(&mut self, run: Run) -> Result<&mut Self, LadderError> {
        run.check()?;
        if self.run_index.contains_key(&run.id) {
            return Err(LadderError::DuplicateRun { run: run.id });
        }
        self.run_index.insert(run.id.clone(), self.runs.len());
        self.runs.push(run);
        Ok(self)
    }

    /// Adds one row: the mean error `loss` of something with the normaliser `weight`.
    ///
    /// Rows of one (run, distribution, cluster) add up. **Units**: `loss` per unit of weight (bits
    /// per byte, nats per item, ...), at least 0; `weight` in bytes, tokens or items, above 0.
    ///
    /// # Errors
    ///
    /// A run that was not added, an empty distribution name, a loss that is negative or not finite,
    /// a weight that is not positive and finite.
    pub fn score(
        &mut self,
        run: &str,
        distribution: &str,
        cluster: &str,
        loss: f64,
        weight: f64,
    ) -> Result<&mut Self, LadderError> {
        let Some(&r) = self.run_index.get(run) else {
            return Err(LadderError::UnknownRun { run: run.into() });
        };
        if distribution.is_empty() {
            return Err(LadderError::EmptyName {
                what: "distribution",
            });
        }
        let bad = |what, value| LadderError::ScoreField {
            run: run.into(),
            distribution: distribution.into(),
            what,
            value,
        };
        // Zero is allowed here: an error rate may be zero, and only the fit knows which losses are
        // rates.
        if !(loss.is_finite() && loss >= 0.0) {
            return Err(bad("loss", loss));
        }
        // A weight of zero would divide by zero, a subnormal one lose the digits of the loss.
        if !(weight.is_normal() && weight > 0.0) {
            return Err(bad("weight", weight));
        }
        let total = loss * weight;
        // Both factors may be finite and their product not: 1e200 · 1e200.
        if !total.is_finite() {
            return Err(bad("loss times weight", total));
        }
        let d = intern(
            &mut self.distributions,
            &mut self.distribution_index,
            distribution,
        );
        let c = intern(&mut self.clusters, &mut self.cluster_index, cluster);
        let cell = self.cells.entry((d, r, c)).or_default();
        cell.loss.add(total);
        cell.weight.add(weight);
        // Counted so that a cluster with another number of items in some run can be told and left
        // out.
        cell.rows += 1;
        Ok(self)
    }

    /// States the sampling standard error of a row that was added with the same `weight`
    /// ([`score`](Self::score)).
    ///
    /// **Units**: those of the loss. Errors of the rows of one cell are independent. A cell of which
    /// not every row has one has none.
    ///
    /// # Errors
    ///
    /// A row that was not added, an error that is negative or not finite.
    pub fn standard_error(
        &mut self,
        run: &str,
        distribution: &str,
        cluster: &str,
        standard_error: f64,
        weight: f64,
    ) -> Result<&mut Self, LadderError> {
        let at = |names: &HashMap<String, usize>, name: &str| names.get(name).copied();
        let Some(r) = at(&self.run_index, run) else {
            return Err(LadderError::UnknownRun { run: run.into() });
        };
        let bad = |what, value| LadderError::ScoreField {
            run: run.into(),
            distribution: distribution.into(),
            what,
            value,
        };
        let square = (weight * standard_error) * (weight * standard_error);
        if !(standard_error >= 0.0 && square.is_finite()) {
            return Err(bad("standard error", standard_error));
        }
        let d = at(&self.distribution_index, distribution);
        let c = at(&self.cluster_index, cluster);
        let cell = (d.zip(c)).and_then(|(d, c)| self.cells.get_mut(&(d, r, c)));
        let Some(cell) = cell else {
            return Err(bad("standard error without a loss", standard_error));
        };
        cell.variance.add(square);
        cell.errors += 1;
        Ok(self)
    }

    /// States the loss of a model that knows nothing about `distribution`: `1 − 1/k` for the error rate
    /// of a choice of `k`, `ln k` nats for its log loss.
    ///
    /// Without it, a distribution that stays at chance cannot be told from one that stays elsewhere.
    /// [`Options::chance`](crate::fit::Options::chance) overrides it.
    ///
    /// # Errors
    ///
    /// [`LadderError::Chance`] when it is not finite and positive.
    pub fn chance(&mut self, distribution: &str, loss: f64) -> Result<&mut Self, LadderError> {
        if !(loss.is_normal() && loss > 0.0) {
            return Err(LadderError::Chance {
                distribution: distribution.into(),
                value: loss,
            });
        }
        self.chance.insert(distribution.into(), loss);
        Ok(self)
    }

    /// States the scorer behind the losses of `distribution`, such as `bits_per_byte`
    /// ([`Scores::scorer`]).
    ///
    /// Numbers of different scorers have different units; the fit refuses to compare them unless asked
    /// for ([`Options::across_scorers`](crate::fit::Options::across_scorers)).
    ///
    /// # Errors
    ///
    /// [`LadderError::EmptyName`]; [`LadderError::MixedScorers`] when another scorer was stated for the
    /// distribution.
    pub fn scorer(&mut self, distribution: &str, scorer: &str) -> Result<&mut Self, LadderError> {
        if scorer.is_empty() {
            return Err(LadderError::EmptyName { what: "scorer" });
        }
        match self.scorers.get(distribution) {
            Some(first) if first != scorer => {
                return Err(LadderError::MixedScorers {
                    distribution: distribution.into(),
                    first: first.clone(),
                    second: scorer.into(),
                });
            }
            Some(_) => {}
            None => {
                self.scorers.insert(distribution.into(), scorer.into());
            }
        }
        Ok(self)
    }

    /// Notes that a row of `distribution` had no weight and is not of a single item.
    pub(super) fn unweighted(&mut self, run: &str, distribution: &str) {
        let first = self.unweighted.entry(distribution.into());
        first.or_insert_with(|| run.into());
    }

    /// Checks and sorts.
    ///
    /// # Errors
    ///
    /// - [`LadderError::Empty`] without runs or scores, [`LadderError::EmptyName`] for a scale
    ///   without a name;
    /// - [`LadderError::UnknownDistribution`] when a chance level or a scorer is of a distribution
    ///   without scores;
    /// - [`LadderError::Flops`] when the FLOPs of a run are below 0.1 or above 100 per parameter and
    ///   token, unless the convention is [`FlopConvention::Other`];
    /// - [`LadderError::NotPositive`] when the error of a run on a distribution is not finite. An
    ///   error of zero is a fact about an error rate; of any other loss, the fit refuses it.
    pub fn build(self) -> Result<Ladder, LadderError> {
        if self.runs.is_empty() {
            return Err(LadderError::Empty { what: "runs" });
        }
        if self.cells.is_empty() {
            return Err(LadderError::Empty { what: "scores" });
        }
        if self.scale_name.as_ref().is_some_and(String::is_empty) {
            return Err(LadderError::EmptyName { what: "scale" });
        }
        let known = |d: &&String| !self.distribution_index.contains_key(*d);
        let mut stated = self.chance.keys().chain(self.scorers.keys());
        if let Some(distribution) = stated.find(known) {
            return Err(LadderError::UnknownDistribution {
                distribution: distribution.clone(),
            });
        }
        let order = self.order();
        let scores = self.sorted_scores(&order);
        let runs: Vec<Run> = order.iter().map(|&r| self.runs[r].clone()).collect();
        for run in &runs {
            // At the end, because the convention may be stated after the runs.
            run.check_flops(self.flop_convention)?;
        }
        for s in &scores {
            for (r, run) in runs.iter().enumerate() {
                let cells = s.run(r);
                let value = mean(cells);
                // A sum that overflowed or a quotient that underflowed has lost its digits.
                if !(cells.is_empty() || value == 0.0 || value.is_normal() && value > 0.0) {
                    return Err(LadderError::NotPositive {
                        run: run.id.clone(),
                        distribution: s.name.clone(),
                        value,
                    });
                }
            }
        }
        Ok(Ladder {
            name: self.name,
            flop_convention: self.flop_convention,
            scale_name: self.scale_name,
            runs,
            scores,
        })
    }

    /// Indices of the runs by corpus, budget, size and name.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&self.runs[a], &self.runs[b]);
            (a.corpus.cmp(&b.corpus))
                .then(a.budget.total_cmp(&b.budget))
                .then(a.params.total_cmp(&b.params))
                // Names are unique, so that the order is total and no input order shows in a
                // result.
                .then(a.id.cmp(&b.id))
        });
        order
    }

    /// The cells by distribution, run and cluster, the runs numbered by their place in `order`.
    fn sorted_scores(&self, order: &[usize]) -> Vec<Scores> {
        let mut rank = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old] = new;
        }
        let mut by_name: BTreeMap<&str, Vec<(usize, &str, &Accumulator)>> = BTreeMap::new();
        for (&(d, r, c), cell) in &self.cells {
            let rows = by_name.entry(&self.distributions[d]).or_default();
            rows.push((rank[r], &self.clusters[c], cell));
        }
        let scores = by_name.into_iter().map(|(name, mut rows)| {
            // The cells come out of a hash map, whose order differs between two runs of one
            // program.
            rows.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
            let names: BTreeSet<&str> = rows.iter().map(|r| r.1).collect();
            let clusters: Vec<String> = names.into_iter().map(String::from).collect();
            let cells = rows.into_iter().map(|(run, cluster, cell)| Cell {
                run,
                cluster: clusters.partition_point(|c| c.as_str() < cluster),
                loss: cell.loss.value(),
                weight: cell.weight.value(),
                rows: cell.rows,
                variance: (cell.errors == cell.rows).then(|| cell.variance.value()),
            });
            Scores {
                chance: self.chance.get(name).copied(),
                scorer: self.scorers.get(name).cloned(),
                unweighted: self.unweighted.get(name).cloned(),
                name: name.into(),
                cells: cells.collect(),
                clusters,
            }
        });
        scores.collect()
    }
}

fn intern(names: &mut Vec<String>, index: &mut HashMap<String, usize>, name: &str) -> usize {
    if let Some(&i) = index.get(name) {
        return i;
    }
    let i = names.len();
    names.push(name.into());
    index.insert(name.into(), i);
    i
}
