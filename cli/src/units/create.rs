//! Planning a study: reading its inputs, pinning them by their hashes and cutting them into units.

use std::ops::Range;
use std::path::Path;

use super::cut::{cut, quarters};
use super::plan::{PinnedDistribution, PinnedRun, absolute};
use super::{Source, Study, StudyPlan, Unit};
use crate::hub::Hub;
use crate::runs::name_base;
use relscale::Error;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Bos, Evaluation};
use relscale::ladder::{Run, RunTable};
use relscale::log::{checkpoint_hash, distribution_hash};
use relscale::model::{Batch, Model};
use relscale::scorer::Scorer;
use relscale::tokenizer::Tokenizer;

impl StudyPlan {
    /// Plans a study and writes the plan into `folder`, which is created if necessary.
    ///
    /// Every checkpoint is read once to hash it; `progress` is called with the next run. For each
    /// run, every distribution is cut into `⌈cost / unit_flops⌉` ranges of nearly equal cost, each of
    /// at least one item.
    ///
    /// # Errors
    /// Inputs that cannot be read; a distribution that is empty or occurs twice; a scorer that is
    /// unknown or refuses the first item; a `unit_flops` that is not positive; a folder that holds
    /// another plan.
    pub fn create(
        folder: impl AsRef<Path>,
        study: &Study,
        progress: &mut dyn FnMut(&Run),
    ) -> Result<Self, Error> {
        Self::create_with(&Hub::default(), folder, study, progress)
    }

    /// As [`create`](Self::create), with checkpoints of `hub` (`hf://…`), which are pinned by their commits.
    ///
    /// # Errors
    /// As there, and those of [`Hub::hold`].
    pub fn create_with(
        hub: &Hub,
        folder: impl AsRef<Path>,
        study: &Study,
        progress: &mut dyn FnMut(&Run),
    ) -> Result<Self, Error> {
        let folder = absolute(folder.as_ref())?;
        if !(study.unit_flops.is_finite() && study.unit_flops > 0.0) {
            return Err(Error::Option {
                option: "unit_flops",
                message: format!("{} is not above 0", study.unit_flops),
            });
        }
        let mut table = read_runs(study)?;
        if let Some(base) = &study.base {
            name_base(&mut table.runs, base, hub)?;
        }
        let mut plan = Self::empty(folder, study, table.flop_convention);
        let mut sizes = Vec::new();
        for source in &study.distributions {
            plan.pin_source(source, &mut sizes)?;
        }
        if plan.distributions.is_empty() {
            return Err(Error::Option {
                option: "distributions",
                message: "there are none".to_owned(),
            });
        }
        for trained in table.runs {
            progress(&trained.run);
            plan.cut_run(&trained.run, &sizes, study.unit_flops);
            let trained = hub.pin_run(&trained)?;
            let base = trained.base.as_deref().map(|base| plan.relative(base));
            let held = hub.hold(&trained.checkpoint, trained.base.as_deref())?;
            plan.runs.push(PinnedRun {
                checkpoint_hash: checkpoint_hash(held.checkpoint().clone())?,
                checkpoint: plan.relative(&trained.checkpoint)?,
                base: base.transpose()?,
                run: trained.run,
            });
        }
        plan.write()?;
        Ok(plan)
    }

    /// Adds a source with its distributions, and the running costs of each to `sizes`.
    fn pin_source(&mut self, source: &Source, sizes: &mut Vec<Vec<u64>>) -> Result<(), Error> {
        let number = self.sources.len();
        let refuse = |message: String| Err(Error::format(&source.path, message));
        let scorers = source.scorers()?;
        for items in source.load("")? {
            let name = items.name().to_owned();
            if name.is_empty() {
                return refuse(format!("the distribution `{name}` has no name"));
            }
            if self.distributions.iter().any(|d| d.name == name) {
                return refuse(format!(
                    "the distribution `{name}` has a name that another has"
                ));
            }
            if items.is_empty() {
                return refuse(format!("`{name}` has no items"));
            }
            try_scorers(&items, &scorers)
                .map_err(|e| Error::format(&source.path, format!("`{name}`: {e}")))?;
            self.distributions.push(PinnedDistribution {
                name,
                source: number,
                items: items.len(),
                hash: distribution_hash(&items)?,
            });
            sizes.push(quarters(&items)?);
        }
        let path = self.relative(&source.path)?;
        self.sources.push(Source {
            path,
            ..source.clone()
        });
        Ok(())
    }

    /// Adds the units of a run, distribution by distribution.
    fn cut_run(&mut self, run: &Run, sizes: &[Vec<u64>], unit_flops: f64) {
        for (distribution, quarters) in self.distributions.iter().zip(sizes) {
            // 2·N FLOPs per token of four bytes.
            let flops = |range: &Range<usize>| {
                0.5 * run.params * (quarters[range.end] - quarters[range.start]) as f64
            };
            let whole = flops(&(0..distribution.items));
            // The cast saturates; a unit has at least one item.
            let pieces = (whole / unit_flops).ceil() as usize;
            for items in cut(quarters, pieces.clamp(1, distribution.items)) {
                self.units.push(Unit {
                    run: run.id.clone(),
                    distribution: distribution.name.clone(),
                    flops: flops(&items),
                    items,
                });
            }
        }
    }
}

/// Reads the table of runs; its errors name the file once.
fn read_runs(study: &Study) -> Result<RunTable, Error> {
    RunTable::from_csv(&study.runs).map_err(|e| {
        let message = e.to_string();
        let prefix = format!("{}: ", study.runs.display());
        let message = message.strip_prefix(&prefix).unwrap_or(&message);
        Error::format(&study.runs, message)
    })
}

/// A model that gives every token the same log-likelihood.
struct Uniform;

impl Model for Uniform {
    fn vocab_size(&self) -> usize {
        usize::MAX
    }

    fn context_len(&self) -> usize {
        1 << 30
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        Ok(vec![-1.0; batch.targets().len()])
    }
}

/// Scores the first item with [`Uniform`], so that a scorer that does not fit the items is refused
/// here and not later on every machine.
fn try_scorers(items: &Items, scorers: &[Box<dyn Scorer>]) -> Result<(), Error> {
    let tokenizer = Tokenizer::bytes();
    let evaluation = Evaluation::new(&Uniform)
        .tokenizer(&tokenizer)
        .bos(Bos::First(u32::MAX));
    evaluation.for_each(items, &[0], |_, answer| {
        scorers
            .iter()
            .try_for_each(|s| s.score(&answer).map(|_| ()))
    })
}
