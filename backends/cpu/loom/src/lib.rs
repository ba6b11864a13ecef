//! The meeting of threads in `relscale-cpu`, under loom.
#![cfg(test)]

#[path = "../../src/parallel/gathering.rs"]
mod gathering;

mod sync {
    pub(super) use loom::hint::spin_loop;
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
    pub(super) use loom::sync::{Arc, Mutex};
    pub(super) use loom::thread::yield_now;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use loom::cell::UnsafeCell;
    use loom::sync::Mutex;
    use loom::thread;

    use super::gathering::together;

    /// Results of tasks. Loom notices if two threads are at one at a time, or if one reads what another wrote
    /// without being told.
    struct Results(Vec<UnsafeCell<u32>>);

    // SAFETY: each task writes its own result, and the caller reads them when no thread is inside any more;
    // loom checks that it is so.
    unsafe impl Sync for Results {}

    /// `tasks` tasks on the caller and at most `threads - 1` others, as `Threads::for_each` hands them out.
    fn every_order(threads: usize, tasks: usize, panics: Option<usize>) {
        let is_late = Arc::new(AtomicBool::new(false));
        let late = Arc::clone(&is_late);
        let mut model = loom::model::Builder::new();
        // Two switches from threads that could go on show most mistakes (Musuvathi and Qadeer 2007); all orders
        // of three threads take more than minutes.
        model.preemption_bound = (threads > 2).then_some(2);
        model.check(move || {
            let left = Mutex::new(0..tasks);
            let results = Results((0..tasks).map(|_| UnsafeCell::new(0)).collect());
            let results = &results;
            // Not of loom: a thread that calls too late must not be given time by what this test adds.
            let over = AtomicBool::new(false);
            let drain = || {
                // Of all orders together: a panic here would only reach the caller, who has gone.
                late.fetch_or(over.load(Ordering::SeqCst), Ordering::SeqCst);
                loop {
                    let next = left.lock().unwrap().next();
                    let Some(task) = next else { return };
                    assert_ne!(Some(task), panics, "as asked");
                    // SAFETY: of this task alone.
                    results.0[task].with_mut(|result| unsafe { *result += task as u32 + 1 });
                }
            };
            let run = || {
                together(threads, &drain, |gathering| {
                    drop(thread::spawn(move || gathering.enter()))
                })
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            assert_eq!(result.is_err(), panics.is_some());
            over.store(true, Ordering::SeqCst);
            thread::yield_now();
            // Written and not only read, and dropped at the end: a thread that is still inside would be seen.
            for (task, cell) in results.0.iter().enumerate() {
                // SAFETY: no thread is inside any more.
                let done = cell.with_mut(|result| unsafe { std::mem::replace(&mut *result, 9) });
                assert!(done == task as u32 + 1 || (panics.is_some() && done == 0));
            }
        });
        assert!(
            !is_late.load(Ordering::SeqCst),
            "called when nobody was waiting"
        );
    }

    #[test]
    fn one_thread_helps() {
        every_order(2, 2, None);
    }

    #[test]
    fn two_threads_help() {
        every_order(3, 2, None);
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        every_order(2, 2, Some(1));
    }
}
