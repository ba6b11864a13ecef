//! Threads that parse blocks.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;

use super::blocks::Block;
use super::parse::{Parsed, Shape, parse};

/// Threads that parse blocks while this lives.
#[derive(Debug)]
pub(super) struct Workers {
    jobs: Sender<Job>,
    threads: usize,
}

#[derive(Debug)]
struct Job {
    block: Block,
    shape: Shape,
    done: Sender<Parsed>,
}

/// A block that is parsed.
#[derive(Debug)]
pub(super) enum Pending {
    Here(Parsed),
    Elsewhere(Receiver<Parsed>),
}

impl Workers {
    /// Starts as many threads as asked for, or fewer where the system gives no more.
    pub(super) fn start(threads: usize) -> Self {
        let (jobs, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let started = (0..threads).map_while(|_| {
            let waiting = Arc::clone(&waiting);
            Builder::new().spawn(move || work(&waiting)).ok()
        });
        Self {
            jobs,
            threads: started.count(),
        }
    }

    /// Number of blocks that keep the threads busy while one is used.
    pub(super) fn ahead(&self) -> usize {
        2 * self.threads + 1
    }

    /// Parses a block on some thread.
    pub(super) fn parse(&self, block: Block, shape: Shape) -> Pending {
        if self.threads == 0 {
            return Pending::Here(parse(block, shape));
        }
        let (done, parsed) = channel();
        match self.jobs.send(Job { block, shape, done }) {
            Ok(()) => Pending::Elsewhere(parsed),
            // No thread is there any more.
            Err(e) => Pending::Here(parse(e.0.block, shape)),
        }
    }
}

impl Pending {
    /// The rows, once they are there; `None` if the thread that parsed them is gone.
    pub(super) fn wait(self) -> Option<Parsed> {
        match self {
            Self::Here(parsed) => Some(parsed),
            Self::Elsewhere(parsed) => parsed.recv().ok(),
        }
    }
}

/// Parses blocks until no more can come.
fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        // Held while this thread waits for a block, not while it parses one.
        let job = match waiting.lock() {
            Ok(waiting) => waiting.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        // Whoever gave the block may have met an error and be gone.
        let _ = job.done.send(parse(job.block, job.shape));
    }
}
