//! The origin of scores: findings about model and tokenizer, and devices.

use super::Evaluation;
use crate::tokenizer::Tokenizer;

impl Evaluation<'_> {
    /// Non-fatal findings about the model and the tokenizer at load, one sentence each.
    ///
    /// They are about how files were read: a stored LM head that the configuration ties, settings that
    /// contradict each other. A program should show them; [`Log::score`](crate::log::Log::score)
    /// records them. Warnings about single items are with the items.
    pub fn warnings(&self) -> Vec<String> {
        let tokenizer = self.tokenizer.map_or(&[][..], Tokenizer::warnings);
        let all = self.models[0].warnings().iter().chain(tokenizer);
        all.cloned().collect()
    }

    /// The devices of the model and of its replicas, each once, where results may depend on them
    /// ([`Model::device`](crate::model::Model::device)).
    pub fn devices(&self) -> Vec<String> {
        let mut devices: Vec<String> = self.models.iter().filter_map(|m| m.device()).collect();
        devices.sort();
        devices.dedup();
        devices
    }
}
