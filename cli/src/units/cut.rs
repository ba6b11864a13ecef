//! Cutting a distribution into ranges of nearly equal cost.

use std::ops::Range;

use relscale::Error;
use relscale::distribution::{Content, Distribution, Item, Items};

/// Running sums of item costs, starting with 0, in quarters of a token (one byte of text).
///
/// Integers, so that every machine cuts a distribution at the same items.
pub(super) fn quarters(items: &Items) -> Result<Vec<u64>, Error> {
    let mut sums = vec![0];
    let mut sum = 0;
    for index in 0..items.len() {
        let Item { content, .. } = &*items.item(index)?;
        let size = match content {
            Content::Text(text) => text.len(),
            Content::Tokens(tokens) => 4 * tokens.len(),
            Content::Choices {
                context,
                choices,
                unconditional,
                ..
            } => {
                let choices: usize = choices.iter().map(String::len).sum();
                let second = unconditional.as_ref().map_or(0, |u| u.len() + choices);
                context.len() + choices + second
            }
            Content::Pairs { pairs, .. } => pairs.iter().map(|(a, b)| a.len() + b.len()).sum(),
            Content::ChoicesTokens {
                context,
                choices,
                unconditional,
                ..
            } => {
                let choices: usize = choices.iter().map(Vec::len).sum();
                let second = unconditional.as_ref().map_or(0, |u| u.len() + choices);
                4 * (context.len() + choices + second)
            }
        };
        // An empty item still costs a record.
        sum += size.max(1) as u64;
        sums.push(sum);
    }
    Ok(sums)
}

/// Splits items into at most `pieces` ranges of nearly equal cost; no range is empty.
pub(super) fn cut(sums: &[u64], pieces: usize) -> Vec<Range<usize>> {
    let (items, total) = (sums.len() - 1, u128::from(sums[sums.len() - 1]));
    let mut ranges = Vec::with_capacity(pieces);
    let mut start = 0;
    for piece in 1..=pieces {
        // Floats could round differently from one machine to the next.
        let target = total * piece as u128;
        let end = sums.partition_point(|sum| u128::from(*sum) * (pieces as u128) < target);
        let end = end.min(items);
        if end > start {
            ranges.push(start..end);
            start = end;
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_nearly_equal_costs_and_every_item_once() {
        let sizes: Vec<u64> = (0..100).map(|i| 1 + (i * 7919) % 50).collect();
        let mut sums = vec![0];
        sums.extend(sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        }));
        for pieces in 1..=100 {
            let ranges = cut(&sums, pieces);
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, 100));
            assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
            let mean = sums[100] as f64 / pieces as f64;
            for range in ranges {
                assert!(!range.is_empty());
                let cost = (sums[range.end] - sums[range.start]) as f64;
                assert!(
                    (cost - mean).abs() <= 50.0 || range.len() == 1,
                    "{cost} {mean}"
                );
            }
        }
        // One item is larger than all the others.
        let ranges = cut(&[0, 1, 2, 1000], 3);
        assert_eq!((ranges.len(), &ranges[0]), (1, &(0..3)));
        assert_eq!(cut(&[0, 1000, 1001], 2), [0..1, 1..2]);
    }
}
