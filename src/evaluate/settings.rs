//! Settings of an evaluation: windows, the beginning-of-sequence token, batch size.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The way items are cut into sequences and packed into batches.
///
/// [`Evaluation`](super::Evaluation) has a setter for each field. The struct is for programs that read
/// the settings from a file, or share them with the [`Key`](crate::log::Key) of a log.
// Exhaustive on purpose: every field but one changes scores, and code that pins how scores were made
// must not compile unchanged past a field it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Token budget of one batch, including the cached prefix. A single sequence longer than the
    /// budget is a batch of its own. Batches that share no prefix are smaller on models that are
    /// faster then ([`Model::enough_tokens`](crate::model::Model::enough_tokens)).
    ///
    /// The budget bounds memory and never changes a score: a reproducible backend gives the same
    /// bits for every value.
    pub batch_tokens: usize,
    /// Policy for the beginning-of-sequence token.
    pub bos: Bos,
    /// Input tokens per window of a running text; `None` for the model's context. A window shorter
    /// than every model's context makes models of different contexts comparable.
    pub context: Option<usize>,
    /// Newly scored tokens per window after the first; `None` for the whole window. With a smaller
    /// stride, windows overlap and every token after the first window has at least
    /// `context − stride` tokens before it.
    pub stride: Option<usize>,
    /// Truncates contexts on the left when context and choice exceed the model's context, and adds
    /// a [`Warning`](crate::scorer::Warning) to the item. If false, such an item is an error.
    ///
    /// The token of [`Bos::EveryWindow`] survives the truncation; that of [`Bos::First`] is dropped
    /// first.
    pub truncate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Two to four whole contexts of common checkpoints (2,048 or 4,096 tokens), and far more
            // rows than a matrix product needs to run at full speed.
            batch_tokens: 8192,
            bos: Bos::default(),
            context: None,
            stride: None,
            truncate: false,
        }
    }
}

impl Settings {
    /// Input tokens per window and newly scored tokens per later window, for a model whose context
    /// is `limit`.
    ///
    /// # Errors
    /// The first setting outside its range, by name.
    pub(super) fn window(&self, limit: usize) -> Result<(usize, usize), Error> {
        let context = self.context.unwrap_or(limit);
        let stride = self.stride.unwrap_or(context);
        let error = |option, message: String| Err(Error::Option { option, message });
        if self.batch_tokens == 0 {
            return error("batch_tokens", "at least 1".to_owned());
        }
        if context == 0 || context > limit {
            let message = format!("{context} is not in 1..={limit}, the model's");
            return error("context", message);
        }
        if stride == 0 || stride > context {
            let message = format!("{stride} is not in 1..={context}, the context");
            return error("stride", message);
        }
        Ok((context, stride))
    }
}

/// A policy for the beginning-of-sequence token.
///
/// A text that already begins with the token is left alone: the token is never doubled.
// Exhaustive on purpose: code that records how scores were made must name every policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Bos {
    /// Follows the checkpoint's own tokenizer: [`Bos::EveryWindow`] with its token if it adds one,
    /// otherwise (or without a tokenizer) [`Bos::Never`].
    #[default]
    ModelDefault,
    /// Adds no token. The first token of a text is not scored, and its bytes are not counted.
    Never,
    /// Adds this token before the first token of every text and context.
    First(u32),
    /// Adds this token before every window of a text and before every context.
    EveryWindow(u32),
}
