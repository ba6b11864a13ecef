//! Places of numbers in a list.

use std::collections::HashMap;

/// A list of numbers that differ, which finds the place of each.
///
/// Numbers that ascend need no hash: a new one is greater than the last, a known one is found by
/// bisection. The number that is asked for is compared first with the one that was found last and with
/// the one after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    numbers: Vec<u32>,
    /// The places, once the numbers do not ascend.
    #[allow(
        clippy::box_collection,
        reason = "most lists have none, and a table may have as many lists as rows"
    )]
    places: Option<Box<HashMap<u32, u32>>>,
    last: usize,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The place of a number, if it is in the list.
    pub(super) fn find(&mut self, number: u32) -> Option<usize> {
        let near = [self.last, self.last + 1];
        let near = near
            .into_iter()
            .find(|&p| self.numbers.get(p) == Some(&number));
        let found = match (near, &self.places) {
            (Some(place), _) => place,
            (None, Some(places)) => *places.get(&number)? as usize,
            (None, None) if self.numbers.last().is_none_or(|&last| last < number) => return None,
            (None, None) => self.numbers.binary_search(&number).ok()?,
        };
        self.last = found;
        Some(found)
    }

    /// Adds a number that is not in the list, and returns its place.
    pub(super) fn push(&mut self, number: u32) -> usize {
        let place = self.numbers.len();
        if self.places.is_none() && self.numbers.last().is_some_and(|&last| number < last) {
            let places = self.numbers.iter().copied().zip(0..).collect();
            self.places = Some(Box::new(places));
        }
        if let Some(places) = &mut self.places {
            // No list is longer than there are numbers.
            places.insert(number, place as u32);
        }
        self.numbers.push(number);
        self.last = place;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_numbers_in_any_order() {
        for order in [[1, 3, 4, 8, 9], [9, 8, 4, 3, 1], [4, 9, 1, 3, 8]] {
            let mut index = Index::default();
            for (place, number) in order.into_iter().enumerate() {
                assert_eq!(index.find(number), None, "{order:?}");
                assert_eq!(index.push(number), place);
                for (place, number) in order[..=place].iter().enumerate() {
                    assert_eq!(index.find(*number), Some(place), "{order:?}");
                }
                for absent in [0, 2, 5, 10] {
                    assert_eq!(index.find(absent), None);
                }
            }
            assert_eq!((index.len(), index.numbers()), (5, &order[..]));
        }
    }
}
