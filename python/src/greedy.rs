//! Log-likelihoods of continuations with the answer whether greedy decoding would give them.

use std::ops::Range;

use relscale::Error;
use relscale::model::{Batch, Model};

/// Targets of one batch, which bound its memory to some tens of megabytes. The vocabulary is scored at
/// every place, all of it in one pass over the LM head.
const MAX_TARGETS: usize = 1 << 20;

/// Log-likelihood of each continuation after its context, and true if each of its tokens is the likeliest.
///
/// `stop` is told the tokens done and their total after every batch, and ends the work if it returns true.
///
/// # Errors
/// A pair without a context or a continuation; whatever the model returns; [`Error::Interrupted`].
pub(crate) fn log_likelihoods(
    model: &dyn Model,
    pairs: &[(Vec<u32>, Vec<u32>)],
    batch_tokens: usize,
    stop: &mut dyn FnMut((usize, usize)) -> bool,
) -> Result<Vec<(f64, bool)>, Error> {
    let empty = pairs.iter().position(|(c, t)| c.is_empty() || t.is_empty());
    if let Some(at) = empty {
        return Err(Error::item(at.to_string(), "no context or no continuation"));
    }
    let tokens = |range: Range<usize>| -> usize {
        pairs[range]
            .iter()
            .map(|(c, t)| c.len() + t.len() - 1)
            .sum()
    };
    let total = tokens(0..pairs.len());
    let mut answers = Vec::with_capacity(pairs.len());
    while answers.len() < pairs.len() {
        let start = answers.len();
        let mut end = start + 1;
        let places = |end: usize| -> usize { pairs[start..end].iter().map(|(_, t)| t.len()).sum() };
        while end < pairs.len()
            && tokens(start..end + 1) <= batch_tokens
            && places(end + 1) * model.vocab_size() <= MAX_TARGETS
        {
            end += 1;
        }
        answer(model, &pairs[start..end], &mut answers)?;
        if stop((tokens(0..end), total)) && end < pairs.len() {
            return Err(Error::Interrupted);
        }
    }
    Ok(answers)
}

/// Answers pairs in one batch.
fn answer(
    model: &dyn Model,
    pairs: &[(Vec<u32>, Vec<u32>)],
    answers: &mut Vec<(f64, bool)>,
) -> Result<(), Error> {
    let vocab = model.vocab_size();
    let all = u32::try_from(vocab).unwrap_or(u32::MAX);
    let mut batch = Batch::new();
    for (context, continuation) in pairs {
        let mut inputs = context.clone();
        inputs.extend(&continuation[..continuation.len() - 1]);
        let segment = batch.segment(None, &inputs)?;
        for place in 0..continuation.len() {
            for token in 0..all {
                batch.target(segment, context.len() - 1 + place, token)?;
            }
        }
    }
    let log_probs = model.log_likelihoods(&batch)?;
    let mut rows = log_probs.chunks_exact(vocab.max(1));
    for (_, continuation) in pairs {
        let (mut sum, mut greedy) = (0.0, true);
        for (&token, row) in continuation.iter().zip(&mut rows) {
            let of = row.get(token as usize).copied().ok_or_else(|| {
                Error::batch(format!("token {token} is not in the vocabulary of {vocab}"))
            })?;
            sum += of;
            // Of equal tokens the first is chosen, as everywhere.
            let before = &row[..token as usize];
            greedy &= before.iter().all(|p| *p < of) && row.iter().all(|p| *p <= of);
        }
        answers.push((sum, greedy));
    }
    Ok(())
}
