//! Small samples of large data.

use std::collections::{BTreeMap, BTreeSet};

use relscale::Error;
use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::tokenizer::Tokenizer;

/// The window that questions must fit into, by the tokenizer of the ladder.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) tokens: usize,
    pub(super) tokenizer: Tokenizer,
    /// If true, a beginning-of-sequence token precedes every context.
    pub(super) bos: bool,
}

impl Window {
    /// True if the context and its longest choice fit. The last token of a choice is no input.
    fn holds(&self, context: &str, choices: &[String]) -> Result<bool, Error> {
        for choice in choices {
            let pair = self.tokenizer.encode_pair(context, choice)?;
            let tokens = pair.context.len() + pair.continuation.len() + usize::from(self.bos);
            if tokens > self.tokens + 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) fn count(distributions: &[Items]) -> usize {
    distributions.iter().map(Items::len).sum()
}

pub(super) fn clusters(items: &Items) -> usize {
    let ids = (0..items.len()).filter_map(|i| Some(items.item(i).ok()?.cluster.clone()));
    ids.collect::<BTreeSet<_>>().len()
}

pub(super) fn text(content: &Content) -> &str {
    match content {
        Content::Text(text) => text,
        _ => "",
    }
}

/// The start of every document, about `bytes` bytes in total.
pub(super) fn starts(texts: &Items, bytes: usize) -> Result<Items, Error> {
    let each = (bytes / texts.len().max(1)).max(1);
    let items = (0..texts.len()).map(|index| {
        let item = texts.item(index)?;
        let text = text(&item.content);
        let end = (each.min(text.len())..=text.len()).find(|end| text.is_char_boundary(*end));
        Ok(Item {
            content: Content::Text(text[..end.unwrap_or(text.len())].to_owned()),
            ..item.into_owned()
        })
    });
    Items::new(texts.name(), items.collect::<Result<_, Error>>()?)
}

/// The first questions of every file that fit the window, at most `items` per file, and the number of
/// questions before the selection. A group without a fitting question is left out.
pub(super) fn sampled(
    groups: Vec<Items>,
    items: usize,
    window: &Window,
) -> Result<(Vec<Items>, usize), Error> {
    let of = count(&groups);
    let mut some = Vec::new();
    for group in groups {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let mut kept = Vec::new();
        for index in 0..group.len() {
            let item = group.item(index)?;
            let Content::Choices {
                context, choices, ..
            } = &item.content
            else {
                continue;
            };
            let file = item.id.rsplit_once('/').map_or("", |(file, _)| file);
            let taken = taken.entry(file.to_owned()).or_default();
            if *taken < items && window.holds(context, choices)? {
                *taken += 1;
                kept.push(item.into_owned());
            }
        }
        if !kept.is_empty() {
            some.push(Items::new(group.name(), kept)?);
        }
    }
    Ok((some, of))
}
