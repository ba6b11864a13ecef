//! Items held in memory.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Content, Distribution, Item};
use crate::error::Error;

/// Items held in memory.
///
/// # Examples
/// ```
/// use relscale::distribution::{Content, Distribution, Item, Items};
///
/// let item = Item { id: "1".into(), cluster: "a".into(), content: Content::Text("Hello".into()) };
/// let greetings = Items::new("greetings", vec![item])?;
/// assert_eq!(greetings.len(), 1);
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Items {
    pub(super) name: String,
    pub(super) items: Vec<Item>,
}

impl Items {
    /// A distribution of `items`.
    ///
    /// # Errors
    /// The first item without anything to score, with a gold index out of range, or with the id of
    /// another item.
    pub fn new(name: impl Into<String>, items: Vec<Item>) -> Result<Self, Error> {
        let mut seen = HashSet::new();
        for item in &items {
            item.check()?;
            // Ids are the keys of a score log, where the second item would count as scored.
            if !seen.insert(item.id.as_str()) {
                return Err(Error::item(&item.id, "another item has the same id"));
            }
        }
        Ok(Self {
            name: name.into(),
            items,
        })
    }

    /// The same items under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Keeps the first `items` items of every cluster, in their order.
    ///
    /// # Examples
    /// ```
    /// use relscale::distribution::{Content, Distribution, Item, Items};
    ///
    /// let item = |id: &str, cluster: &str| Item {
    ///     id: id.into(),
    ///     cluster: cluster.into(),
    ///     content: Content::Text("Hello".into()),
    /// };
    /// let items = vec![item("1", "a"), item("2", "b"), item("3", "a")];
    /// assert_eq!(Items::new("greetings", items)?.first_of_cluster(1).len(), 2);
    /// # Ok::<(), relscale::Error>(())
    /// ```
    #[must_use]
    pub fn first_of_cluster(mut self, items: usize) -> Self {
        let mut taken: HashMap<String, usize> = HashMap::new();
        self.items.retain(|item| {
            let taken = taken.entry(item.cluster.clone()).or_default();
            *taken += 1;
            *taken <= items
        });
        self
    }

    /// Scores every choice after `context` too, a context without the question: `"Answer:"`, or an
    /// empty one if a beginning-of-sequence token is used. The normalisation
    /// [`Unconditional`](crate::scorer::Normalisation::Unconditional) needs it. Items in token ids
    /// are left alone.
    #[must_use]
    pub fn with_unconditional(mut self, context: &str) -> Self {
        for item in &mut self.items {
            if let Content::Choices { unconditional, .. } = &mut item.content {
                *unconditional = Some(context.to_owned());
            }
        }
        self
    }
}

impl Distribution for Items {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn item(&self, index: usize) -> Result<Cow<'_, Item>, Error> {
        match self.items.get(index) {
            Some(item) => Ok(Cow::Borrowed(item)),
            None => Err(Error::item(
                index.to_string(),
                format!("`{}` has {} items", self.name, self.items.len()),
            )),
        }
    }
}
