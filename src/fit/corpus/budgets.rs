//! Budgets that are written in several ways: logged FLOPs, or 6ND of whole tokens.

/// Largest distance from one log label to the next of the same budget. Budgets that a study keeps
/// apart differ by a third or more, logs of one budget by a few percent at most.
const GAP: f64 = 0.05;

/// Largest distance between any two log labels of one budget. A chain of labels that is longer, such
/// as the checkpoints of a training run, is no budget.
const LONGEST: f64 = 0.1;

/// Largest distance between two log labels of one budget with one size. Whole tokens and rounded logs
/// differ by less; the next checkpoint of a long training run by more.
const ROUNDING: f64 = 1e-3;

/// The label of each run's budget, made common to the runs whose labels mean the same budget: their
/// geometric mean. Labels stay as they are where all of a budget agree.
pub(super) fn common_labels(log_label: &[f64], label: &[f64], log_size: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..label.len()).collect();
    order.sort_by(|&a, &b| label[a].total_cmp(&label[b]).then(a.cmp(&b)));
    let mut common = label.to_vec();
    for group in order.chunk_by(|&a, &b| log_label[b] - log_label[a] <= GAP) {
        let (Some(&first), Some(&last)) = (group.first(), group.last()) else {
            continue;
        };
        if label[first] == label[last] {
            continue;
        }
        let length = log_label[last] - log_label[first];
        let one_size = (group.iter()).all(|&r| (log_size[r] - log_size[first]).abs() <= ROUNDING);
        if length <= if one_size { ROUNDING } else { LONGEST } {
            let mean = group.iter().map(|&r| log_label[r]).sum::<f64>() / group.len() as f64;
            for &r in group {
                common[r] = libm::exp(mean);
            }
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(label: &[f64], size: &[f64]) -> Vec<f64> {
        let log = |v: &[f64]| v.iter().map(|v| libm::log(*v)).collect::<Vec<_>>();
        common_labels(&log(label), label, &log(size))
    }

    fn distinct(label: &[f64], size: &[f64]) -> usize {
        let mut found = labels(label, size);
        found.sort_by(f64::total_cmp);
        found.dedup();
        found.len()
    }

    #[test]
    fn labels_that_agree_stay_to_the_bit() {
        let exact = [6e17, 6e17, 4e17, 1.1e18];
        assert_eq!(labels(&exact, &[1.0, 2.0, 1.0, 1.0]), exact);
    }

    #[test]
    fn jitter_is_one_budget_and_neighbours_are_two() {
        let sizes = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0];
        assert_eq!(distinct(&[1.0, 1.001, 0.98, 1.5, 1.53, 1.49], &sizes), 2);
        assert_eq!(distinct(&[1.0, 1.06, 1.12, 1.5, 1.53, 1.49], &sizes), 4);
    }

    #[test]
    fn checkpoints_are_no_budget() {
        let steps: Vec<f64> = (0..20).map(|i| 100.0 + f64::from(i)).collect();
        // One run; then several sizes, whose steps form a chain.
        assert_eq!(distinct(&steps, &[1.0; 20]), 20);
        let sizes: Vec<f64> = (0..20).map(|i| f64::from(1 + i % 4)).collect();
        assert_eq!(distinct(&steps, &sizes), 20);
        // Seeds of one size whose whole tokens differ.
        assert_eq!(distinct(&[1e18, 1.000_000_1e18], &[1e8, 1e8]), 1);
    }
}
