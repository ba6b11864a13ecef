//! Rows that come twice.

use std::collections::HashMap;

use super::index::Index;
use super::table::Place;

/// The rows of one run on one distribution that were read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    items: Index,
    /// The place of each of `items`.
    places: Vec<Place>,
    #[allow(
        clippy::box_collection,
        reason = "tables with items have none, and a table may have as many blocks as rows"
    )]
    contents: Option<Box<HashMap<Content, Place>>>,
}

/// Distinguishes rows without items: cluster, loss and weight.
type Content = (u32, u64, u64);

/// The name of a row within its run and distribution.
///
/// With item names a row is its item. With clusters only, an exact repeat is a row pasted twice. With
/// neither, there is one row per run and distribution, of the item without a name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity {
    Item(u32),
    Content(Content),
}

impl Seen {
    /// Notes a row; the place of the first such row, if there is one.
    pub(super) fn insert(&mut self, row: Identity, place: Place) -> Option<Place> {
        match row {
            Identity::Item(item) => match self.items.find(item) {
                Some(first) => Some(self.places[first]),
                None => {
                    self.items.push(item);
                    self.places.push(place);
                    None
                }
            },
            Identity::Content(content) => {
                let contents = self.contents.get_or_insert_default();
                contents.insert(content, place)
            }
        }
    }
}
