//! Scoring one file of items with one checkpoint.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use relscale::Error;
use relscale::checkpoint::Checkpoint;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Evaluation, Progress, Settings};
use relscale::log::{CheckpointPin, Key};
use relscale::scorer::Likelihoods;
use relscale::tokenizer::Tokenizer;

use super::part::{Header, Part};
use super::record::{Record, record};
use crate::engine::{Engine, Replicas};
use crate::interrupt;
use crate::output::{detail, note, progress, warn};

/// A checkpoint and the way it is asked.
pub(super) struct Scoring<'a> {
    pub(super) checkpoint: Checkpoint,
    pub(super) engine: &'a Engine,
    pub(super) settings: Settings,
    pub(super) special_tokens: bool,
    pub(super) per_token: bool,
    pub(super) repeat: usize,
    /// File of the scores so far.
    pub(super) part: Option<&'a Path>,
}

/// A model and the tokenizer of its texts.
struct Loaded {
    model: Replicas,
    tokenizer: Option<Tokenizer>,
}

impl Loaded {
    fn evaluation(&self) -> Evaluation<'_> {
        let evaluation = self.model.evaluation();
        match &self.tokenizer {
            Some(tokenizer) => evaluation.tokenizer(tokenizer),
            None => evaluation,
        }
    }
}

impl Scoring<'_> {
    /// The lines of all items, in their order. Those that the part holds are not computed again.
    ///
    /// # Errors
    /// A checkpoint or an item that cannot be used; [`Error::Interrupted`] if the user asks to stop.
    pub(super) fn run(&self, items: &Items) -> Result<Vec<Record>, Error> {
        let start = Instant::now();
        let Some(path) = self.part else {
            let model = self.load(items)?;
            let mut records = BTreeMap::new();
            let all: Vec<usize> = (0..items.len()).collect();
            for _ in 0..self.repeat {
                let mut keep = |index, record| {
                    records.insert(index, record);
                    Ok(())
                };
                self.measured(&model, items, &all, start.elapsed(), &mut keep)?;
            }
            return Ok(records.into_values().collect());
        };
        let pin = CheckpointPin::of(self.checkpoint.clone())?;
        let (mut part, model) = self.opened(path, items, &pin)?;
        let of = |i: &usize| !part.records().contains_key(i);
        let open: Vec<usize> = (0..items.len()).filter(of).collect();
        detail(&format!(
            "{}: {} of {} items are scored",
            path.display(),
            items.len() - open.len(),
            items.len()
        ));
        if !open.is_empty() {
            let model = match model {
                Some(model) => model,
                None => self.load(items)?,
            };
            pin.ensure_unchanged()?;
            let mut keep = |index, record| part.append(index, record);
            self.measured(&model, items, &open, start.elapsed(), &mut keep)?;
        }
        Ok(part.records().values().cloned().collect())
    }

    /// The part, and the model if it was loaded meanwhile.
    fn opened(
        &self,
        path: &Path,
        items: &Items,
        pin: &CheckpointPin,
    ) -> Result<(Part, Option<Loaded>), Error> {
        let header = |hash: String| -> Result<Header, Error> {
            let key = Key::new(hash, self.engine.name(), items, &[], &self.settings)?;
            Ok(Header {
                key: key
                    .with_special_tokens_parsed(self.special_tokens)
                    .with_backend_version(self.engine.version()),
                per_token: self.per_token,
            })
        };
        if path.exists() {
            // The part may be complete, and then no model is needed.
            return Ok((Part::open(path, &header(pin.hash()?)?)?, None));
        }
        // Side by side, since both read all weights.
        let (hash, model) = thread::scope(|scope| {
            let hash = scope.spawn(|| pin.hash());
            let model = self.load(items);
            (hash.join(), model)
        });
        let model = model?;
        let hash = hash.map_err(|_| Error::batch("hashing the checkpoint panicked"))??;
        Ok((Part::open(path, &header(hash)?)?, Some(model)))
    }

    fn load(&self, items: &Items) -> Result<Loaded, Error> {
        interrupt::check()?;
        let model = self
            .engine
            .load(self.checkpoint.clone(), self.settings.batch_tokens)?;
        let is_text = |i| items.item(i).is_ok_and(|item| item.content.is_text());
        // Items given as tokens need no tokenizer, and a checkpoint may come without one.
        let tokenizer = if (0..items.len()).any(is_text) {
            let tokenizer = Tokenizer::load(self.checkpoint.tokenizer()?)?;
            Some(tokenizer.with_special_tokens_parsed(self.special_tokens))
        } else {
            None
        };
        let loaded = Loaded { model, tokenizer };
        warn(self.checkpoint.path(), &loaded.evaluation().warnings());
        Ok(loaded)
    }

    /// Evaluates once, with progress and speed on standard error.
    fn measured(
        &self,
        model: &Loaded,
        items: &Items,
        open: &[usize],
        loading: Duration,
        keep: &mut dyn FnMut(usize, Record) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let bar = progress(0, "{pos}/{len} tokens, {per_sec}");
        let tokens = Cell::new(0);
        let start = Instant::now();
        let evaluation = model
            .evaluation()
            .settings(self.settings)
            .stop_when(interrupt::requested)
            .progress(|p: Progress| {
                bar.set_length(p.total as u64);
                bar.set_position(p.tokens as u64);
                tokens.set(p.tokens);
            });
        evaluation.for_each(items, open, |index, answer: Likelihoods| {
            keep(index, record(&answer, self.per_token))
        })?;
        bar.finish_and_clear();
        let seconds = start.elapsed().as_secs_f64();
        let tokens = tokens.get();
        note(&format!(
            "{} items, {tokens} tokens in {seconds:.4} s ({:.0} tokens/s); loaded in {:.3} s",
            open.len(),
            tokens as f64 / seconds,
            loading.as_secs_f64()
        ));
        Ok(())
    }
}
