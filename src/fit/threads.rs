//! Independent laws on as many threads as the machine has.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::threads;

/// The results of `task` for each of `items`, in their order.
///
/// Each is a function of its item alone, computed by one thread, so the number of threads changes no bit.
pub(super) fn map<T: Sync, R: Send>(items: &[T], task: impl Fn(&T) -> R + Sync) -> Vec<R> {
    map_on(threads::cores(), items, task)
}

fn map_on<T: Sync, R: Send>(count: usize, items: &[T], task: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    // One item at a time: laws differ in cost, and each takes far longer than this addition.
    let work = || {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                return found;
            };
            found.push((at, task(item)));
        }
    };
    let found = threads::run(count.min(items.len()), work);
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::map_on;

    #[test]
    fn results_are_in_the_order_of_the_items_on_any_number_of_threads() {
        let items: Vec<u64> = (0..100).collect();
        let squares: Vec<u64> = items.iter().map(|i| i * i).collect();
        for threads in [0, 1, 2, 3, 200] {
            // The first items take longest, so that later ones are done before them.
            let slow = |i: &u64| {
                std::thread::sleep(std::time::Duration::from_micros(100 - i));
                i * i
            };
            assert_eq!(map_on(threads, &items, slow), squares);
        }
        assert!(map_on(4, &[] as &[u64], |i| *i).is_empty());
    }

    #[test]
    #[should_panic(expected = "item 7")]
    fn a_panic_of_a_task_reaches_the_caller() {
        let items: Vec<u32> = (0..20).collect();
        map_on(3, &items, |&i| assert!(i != 7, "item {i}"));
    }
}
