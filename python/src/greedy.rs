//! Log-likelihoods of continuations with the answer whether greedy decoding would give them.

use std::ops::Range;

use relscale::Error;
use relscale::model::{Batch, Model};

/// Targets of one batch, which bound its memory to some tens of megabytes. The vocabulary is scored at
/// every place, all of it in one pass over the LM head.
const MAX_TARGETS: usize = 1 << 20;

/// Some places of the continuation of a pair, whose probabilities are asked for together.
struct Piece {
    pair: usize,
    places: Range<usize>,
}

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
    let most = (MAX_TARGETS / model.vocab_size().max(1)).max(1);
    let pieces = pieces(pairs, most);
    // Of a later piece, what is before it is computed again.
    let tokens = |piece: &Piece| pairs[piece.pair].0.len() + piece.places.end - 1;
    let total: usize = pieces.iter().map(tokens).sum();
    let mut answers = vec![(0.0, true); pairs.len()];
    let (mut start, mut done) = (0, 0);
    while start < pieces.len() {
        let (mut end, mut inputs, mut places) = (start, 0, 0);
        while let Some(piece) = pieces.get(end) {
            let (more, further) = (tokens(piece), piece.places.len());
            if end > start && (inputs + more > batch_tokens || places + further > most) {
                break;
            }
            inputs += more;
            places += further;
            end += 1;
        }
        answer(model, pairs, &pieces[start..end], &mut answers)?;
        (start, done) = (end, done + inputs);
        if stop((done, total)) && start < pieces.len() {
            return Err(Error::Interrupted);
        }
    }
    Ok(answers)
}

/// The continuations of all pairs, cut where they have more than `most` places.
fn pieces(pairs: &[(Vec<u32>, Vec<u32>)], most: usize) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(pairs.len());
    for (pair, (_, continuation)) in pairs.iter().enumerate() {
        for start in (0..continuation.len()).step_by(most) {
            let places = start..continuation.len().min(start + most);
            pieces.push(Piece { pair, places });
        }
    }
    pieces
}

/// Adds the probabilities of pieces to the answers of their pairs, in one batch.
fn answer(
    model: &dyn Model,
    pairs: &[(Vec<u32>, Vec<u32>)],
    pieces: &[Piece],
    answers: &mut [(f64, bool)],
) -> Result<(), Error> {
    let vocab = model.vocab_size();
    let all = u32::try_from(vocab).unwrap_or(u32::MAX);
    let mut batch = Batch::new();
    for Piece { pair, places } in pieces {
        let (context, continuation) = &pairs[*pair];
        let mut inputs = context.clone();
        inputs.extend(&continuation[..places.end - 1]);
        let segment = batch.segment(None, &inputs)?;
        for place in places.clone() {
            for token in 0..all {
                batch.target(segment, context.len() - 1 + place, token)?;
            }
        }
    }
    let log_probs = model.log_likelihoods(&batch)?;
    let mut rows = log_probs.chunks_exact(vocab.max(1));
    for Piece { pair, places } in pieces {
        let (sum, greedy) = &mut answers[*pair];
        for (&token, row) in pairs[*pair].1[places.clone()].iter().zip(&mut rows) {
            let of = row.get(token as usize).copied().ok_or_else(|| {
                Error::batch(format!("token {token} is not in the vocabulary of {vocab}"))
            })?;
            *sum += of;
            // Of equal tokens the first is chosen, as everywhere.
            let before = &row[..token as usize];
            *greedy &= before.iter().all(|p| *p < of) && row.iter().all(|p| *p <= of);
        }
    }
    Ok(())
}
