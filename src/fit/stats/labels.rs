//! Labels that put observations into groups: one number per observation, counted from 0.

use std::collections::{BTreeMap, BTreeSet};

/// Number of groups; none of no labels.
pub(crate) fn count(labels: &[usize]) -> usize {
    labels.iter().max().map_or(0, |most| most + 1)
}

/// Observations of one key are one group. Groups are numbered in the order of their first observation.
pub(crate) fn by_key<K: Ord>(keys: impl IntoIterator<Item = K>) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let label = |key| {
        let next = numbers.len();
        *numbers.entry(key).or_insert(next)
    };
    keys.into_iter().map(label).collect()
}

/// Observations that have a key in common are one group, directly or by way of others. Groups are numbered
/// in the order of their first observation.
pub(crate) fn by_shared_keys<K: Ord>(keys: impl IntoIterator<Item = Vec<K>>) -> Vec<usize> {
    let mut of_key: BTreeMap<K, usize> = BTreeMap::new();
    let mut labels: Vec<usize> = Vec::new();
    for (i, keys) in keys.into_iter().enumerate() {
        let known = keys.iter().filter_map(|key| of_key.get(key).copied());
        let known: BTreeSet<usize> = known.collect();
        let label = known.first().copied().unwrap_or(i);
        if known.len() > 1 {
            let all = labels.iter_mut().chain(of_key.values_mut());
            all.filter(|l| known.contains(l)).for_each(|l| *l = label);
        }
        of_key.extend(keys.into_iter().map(|key| (key, label)));
        labels.push(label);
    }
    by_key(labels)
}

/// Groups of observations that either of two labellings puts together; the other labelling where one is empty.
pub(crate) fn joined(a: &[usize], b: &[usize]) -> Vec<usize> {
    if a.is_empty() || b.is_empty() {
        return [a, b].concat();
    }
    by_shared_keys(a.iter().zip(b).map(|(a, b)| vec![(0, a), (1, b)]))
}

/// The labels of some of the observations, numbered anew in the same order; none of none.
pub(crate) fn pick(labels: &[usize], observations: &[usize]) -> Vec<usize> {
    if labels.is_empty() {
        return Vec::new();
    }
    let picked: Vec<usize> = observations.iter().map(|&i| labels[i]).collect();
    let mut names = picked.clone();
    names.sort_unstable();
    names.dedup();
    (picked.iter())
        .map(|l| names.partition_point(|n| n < l))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn groups_that_share_a_key_by_way_of_a_third_are_one() {
        let keys = [vec!["a"], vec!["b"], vec!["c"], vec!["b", "a"]];
        assert_eq!(by_shared_keys(keys), [0, 0, 1, 0]);
        assert_eq!(joined(&[0, 1, 2, 2], &[0, 0, 1, 2]), [0, 0, 1, 1]);
        assert_eq!(joined(&[], &[0, 1]), [0, 1]);
    }

    #[test]
    fn picked_labels_have_no_gaps() {
        assert_eq!(pick(&[0, 3, 1, 3], &[1, 2, 3]), [1, 0, 1]);
        assert_eq!(pick(&[], &[1, 2]), [0; 0]);
        assert_eq!((count(&[]), count(&[1, 0])), (0, 2));
    }

    proptest! {
        /// Against the closure of the relation by Warshall's algorithm.
        #[test]
        fn joined_labels_are_the_transitive_closure(pairs in prop::collection::vec((0..6_usize, 0..6_usize), 1..12)) {
            let (a, b): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
            let n = pairs.len();
            let mut same = vec![vec![false; n]; n];
            for i in 0..n {
                for j in 0..n {
                    same[i][j] = a[i] == a[j] || b[i] == b[j];
                }
            }
            for k in 0..n {
                for i in 0..n {
                    for j in 0..n {
                        same[i][j] |= same[i][k] && same[k][j];
                    }
                }
            }
            let labels = joined(&a, &b);
            for i in 0..n {
                for j in 0..n {
                    prop_assert_eq!(labels[i] == labels[j], same[i][j]);
                }
                prop_assert!(labels[i] <= count(&labels[..i]));
            }
        }
    }
}
