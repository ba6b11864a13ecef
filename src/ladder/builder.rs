//! Collecting runs and scores into a ladder.

use std::collections::BTreeMap;

use super::blocks::{Blocks, ranks, sorted, square, total};
use super::names::Names;
use super::{FlopConvention, Ladder, LadderError, Run, Scores, mean};

/// Collects runs and scores; [`build`](Self::build) checks them.
#[derive(Debug, Clone, Default)]
pub struct LadderBuilder {
    name: String,
    flop_convention: FlopConvention,
    scale_name: Option<String>,
    runs: Vec<Run>,
    run_names: Names,
    distributions: Names,
    /// Names of the clusters of each distribution.
    clusters: Vec<Names>,
    /// The first run of each distribution that had a row without a weight, not of a single item.
    unweighted: Vec<Option<u32>>,
    blocks: Blocks,
    chance: BTreeMap<String, f64>,
    scorers: BTreeMap<String, String>,
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
        if self.run_names.contains(&run.id) {
            return Err(LadderError::DuplicateRun { run: run.id });
        }
        self.run_names.number(&run.id)?;
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
        let Some(r) = self.run_names.find(run) else {
            return Err(LadderError::UnknownRun { run: run.into() });
        };
        let total = total(run, distribution, loss, weight)?;
        let d = self.distribution(distribution)?;
        let cluster = self.cluster(d, cluster)?;
        let block = self.block(d, r);
        self.add(block, cluster, total, weight);
        Ok(self)
    }

    /// States the sampling standard error of a row that was added with the same `weight`
    /// ([`score`](Self::score)).
    ///
    /// **Units**: those of the loss. The errors of the rows of one cell are taken as independent. A cell has
    /// a standard error only if every one of its rows has one.
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
        let Some(r) = self.run_names.find(run) else {
            return Err(LadderError::UnknownRun { run: run.into() });
        };
        let square = square(run, distribution, standard_error, weight)?;
        let Some((block, cell)) = self.find(r, distribution, cluster) else {
            return Err(LadderError::ScoreField {
                run: run.into(),
                distribution: distribution.into(),
                what: "standard error without a loss",
                value: standard_error,
            });
        };
        self.add_square(block, cell, square);
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

    /// Number of the run that was added with this name.
    pub(super) fn run_number(&mut self, run: &str) -> Option<u32> {
        self.run_names.find(run)
    }

    pub(super) fn described(&self, run: u32) -> &Run {
        &self.runs[run as usize]
    }

    /// Number of a distribution, which becomes one of the ladder: rows must follow.
    pub(super) fn distribution(&mut self, name: &str) -> Result<u32, LadderError> {
        let number = self.distributions.number(name)?;
        if self.clusters.len() <= number as usize {
            self.clusters.push(Names::default());
            self.unweighted.push(None);
        }
        Ok(number)
    }

    pub(super) fn distribution_name(&self, number: u32) -> &str {
        self.distributions.name(number)
    }

    /// Number of a cluster of a distribution; a row of it must follow.
    pub(super) fn cluster(&mut self, distribution: u32, name: &str) -> Result<u32, LadderError> {
        self.clusters[distribution as usize].number(name)
    }

    /// Place of the cells of a run on a distribution; a row must follow.
    pub(super) fn block(&mut self, distribution: u32, run: u32) -> usize {
        self.blocks.place(distribution, run)
    }

    /// Adds a row that was checked, and returns the place of its cell.
    pub(super) fn add(&mut self, block: usize, cluster: u32, total: f64, weight: f64) -> usize {
        self.blocks.cells(block).add(cluster, total, weight)
    }

    /// Adds the square of weight times standard error of a row of a cell.
    pub(super) fn add_square(&mut self, block: usize, cell: usize, square: f64) {
        self.blocks.cells(block).add_square(cell, square);
    }

    /// Notes that a row had no weight and is not of a single item.
    pub(super) fn unweighted(&mut self, block: usize) {
        let block = self.blocks.get(block);
        self.unweighted[block.distribution as usize].get_or_insert(block.run);
    }

    /// The block and the cell of a cluster.
    fn find(&mut self, run: u32, distribution: &str, cluster: &str) -> Option<(usize, usize)> {
        let d = self.distributions.find(distribution)?;
        let cluster = self.clusters[d as usize].find(cluster)?;
        let block = self.blocks.find(d, run)?;
        Some((block, self.blocks.cells(block).find(cluster)?))
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
        if self.blocks.is_empty() {
            return Err(LadderError::Empty { what: "scores" });
        }
        if self.scale_name.as_ref().is_some_and(String::is_empty) {
            return Err(LadderError::EmptyName { what: "scale" });
        }
        let unknown = |d: &&String| !self.distributions.contains(d);
        let mut stated = self.chance.keys().chain(self.scorers.keys());
        if let Some(distribution) = stated.find(unknown) {
            return Err(LadderError::UnknownDistribution {
                distribution: distribution.clone(),
            });
        }
        let order = self.order();
        let runs: Vec<Run> = (order.iter().map(|&r| self.described(r).clone())).collect();
        for run in &runs {
            // At the end, because the convention may be stated after the runs.
            run.check_flops(self.flop_convention)?;
        }
        let (name, flop_convention) = (self.name.clone(), self.flop_convention);
        let scale_name = self.scale_name.clone();
        let scores = self.sorted_scores(&order);
        for s in &scores {
            for cells in s.cells.chunk_by(|a, b| a.run == b.run) {
                let value = mean(cells);
                // A sum that overflowed or a quotient that underflowed has lost its digits.
                if !(value == 0.0 || value.is_normal() && value > 0.0) {
                    return Err(LadderError::NotPositive {
                        run: runs[cells[0].run].id.clone(),
                        distribution: s.name.clone(),
                        value,
                    });
                }
            }
        }
        Ok(Ladder {
            name,
            flop_convention,
            scale_name,
            runs,
            scores,
        })
    }

    /// Indices of the runs by corpus, budget, size and name.
    fn order(&self) -> Vec<u32> {
        // Their names have numbers.
        let mut order: Vec<u32> = (0..self.runs.len() as u32).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (self.described(a), self.described(b));
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
    fn sorted_scores(self, order: &[u32]) -> Vec<Scores> {
        let runs = ranks(order);
        let order = self.distributions.sorted();
        let mut blocks = self.blocks.sorted(&ranks(&order), &runs);
        let scores = order.into_iter().map(|number| {
            let (name, d) = (self.distributions.name(number), number as usize);
            let (clusters, cells) = sorted(number, &mut blocks, &self.clusters[d], &runs);
            let unweighted = self.unweighted[d].map(|r| self.run_names.name(r).to_owned());
            Scores {
                chance: self.chance.get(name).copied(),
                scorer: self.scorers.get(name).cloned(),
                unweighted,
                name: name.into(),
                cells,
                clusters,
            }
        });
        scores.collect()
    }
}
