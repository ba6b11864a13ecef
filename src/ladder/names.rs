//! Names as small numbers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::LadderError;

/// Names in the order in which they came, each with its number.
///
/// Rows of a table come in an order: a run is repeated, or the runs and items follow each other as they
/// did before. The name that is asked for is therefore compared with the last one and with the one that
/// came after it the last time; only a name in another place is hashed.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    names: Vec<Arc<str>>,
    /// Once there are more than [`FEW`]. With the standard hasher, whose collisions no table can choose.
    #[allow(
        clippy::box_collection,
        reason = "most lists have none, and a table may have as many lists as rows"
    )]
    numbers: Option<Box<HashMap<Arc<str>, u32>>>,
    /// The name that followed each name when it was last asked for.
    next: Vec<u32>,
    last: u32,
}

/// The first name that came before.
pub(super) fn repeated<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A table may have a million columns.
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// So many names are found without a hash table: a table of losses may have as many distributions as
/// rows, each with one cluster.
const FEW: usize = 8;

impl Names {
    /// The number of a name, if it has one.
    pub(super) fn find(&mut self, name: &str) -> Option<u32> {
        if self.is(self.last, name) {
            return Some(self.last);
        }
        let found = match self.next.get(self.last as usize) {
            Some(&next) if self.is(next, name) => next,
            _ => self.look_up(name)?,
        };
        self.follow(found);
        Some(found)
    }

    /// The number of a name, which it is given if it has none.
    ///
    /// # Errors
    /// More names than there are numbers.
    pub(super) fn number(&mut self, name: &str) -> Result<u32, LadderError> {
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        let new = u32::try_from(self.names.len()).map_err(|_| LadderError::Io {
            message: format!("more than {} names of one kind", u32::MAX),
        })?;
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        match &mut self.numbers {
            Some(numbers) => drop(numbers.insert(name, new)),
            None if self.names.len() > FEW => {
                let numbers = self.names.iter().cloned().zip(0..).collect();
                self.numbers = Some(Box::new(numbers));
            }
            None => {}
        }
        // Until another name follows, a name is followed by the first.
        self.next.push(0);
        self.follow(new);
        Ok(new)
    }

    pub(super) fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }

    /// The names in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.look_up(name).is_some()
    }

    /// The numbers in the order of their names.
    pub(super) fn sorted(&self) -> Vec<u32> {
        // The length was checked when the last name was added.
        let mut numbers: Vec<u32> = (0..self.names.len() as u32).collect();
        if !self.names.is_sorted() {
            numbers.sort_unstable_by_key(|&n| self.name(n));
        }
        numbers
    }

    fn look_up(&self, name: &str) -> Option<u32> {
        match &self.numbers {
            Some(numbers) => numbers.get(name).copied(),
            None => (0..)
                .zip(&self.names)
                .find(|(_, n)| &***n == name)
                .map(|found| found.0),
        }
    }

    fn is(&self, number: u32, name: &str) -> bool {
        (self.names.get(number as usize)).is_some_and(|known| **known == *name)
    }

    fn follow(&mut self, number: u32) {
        if let Some(next) = self.next.get_mut(self.last as usize) {
            *next = number;
        }
        self.last = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_in_any_order() {
        let mut names = Names::default();
        assert_eq!(names.find(""), None);
        let words = ["b", "a", "", "b", "c", "b", "a", "", "c", "a", "a", "b"];
        let numbers: Vec<u32> = words.iter().map(|w| names.number(w).unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 3, 0, 1, 2, 3, 1, 1, 0]);
        assert_eq!(names.sorted(), [2, 1, 0, 3]);
        for more in 0..100 {
            assert_eq!(names.find("d"), None);
            for (word, number) in words.iter().zip(&numbers) {
                assert_eq!(names.find(word), Some(*number));
                assert_eq!(names.name(*number), *word);
            }
            assert!(names.contains("") && !names.contains("d"));
            assert_eq!(names.number(&more.to_string()).unwrap(), more + 4);
        }
    }
}
