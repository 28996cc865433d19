//! How far something is that takes long: one part of the program moves it, others read it. Knows not what it is about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// A handle; clones are the same progress. Before the first step, and after the last, nothing is under way.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    step: Mutex<Option<&'static str>>,
    done: AtomicU64,
    total: AtomicU64,
}

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being done, in words for people.
    pub what: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do; not less than `done`.
    pub total: u64,
}

impl Step {
    /// How much is done, of a hundred.
    pub fn per_cent(&self) -> u64 {
        (u128::from(self.done) * 100).checked_div(u128::from(self.total)).unwrap_or(100) as u64
    }
}

impl Progress {
    /// Begins a step of `total` units, whatever they are.
    pub fn begin(&self, what: &'static str, total: u64) {
        let mut step = self.0.step.lock();
        self.0.done.store(0, Relaxed);
        self.0.total.store(total, Relaxed);
        *step = Some(what);
    }

    /// So many units of the step are done. One store, so that it may be called for every record.
    pub fn reached(&self, done: u64) {
        self.0.done.store(done, Relaxed);
    }

    /// Nothing is under way any more.
    pub fn end(&self) {
        *self.0.step.lock() = None;
    }

    /// What is under way now.
    pub fn step(&self) -> Option<Step> {
        let step = self.0.step.lock();
        let total = self.0.total.load(Relaxed);
        step.map(|what| Step { what, done: self.0.done.load(Relaxed).min(total), total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_tells_its_share_until_it_ends() {
        let progress = Progress::default();
        assert_eq!(progress.step(), None);
        progress.begin("reading", 200);
        progress.reached(50);
        let step = progress.clone().step().expect("it began");
        assert_eq!((step.what, step.per_cent()), ("reading", 25));
        progress.reached(900);
        assert_eq!(progress.step().map(|step| step.per_cent()), Some(100));
        progress.begin("nothing", 0);
        assert_eq!(progress.step().map(|step| step.per_cent()), Some(100));
        progress.end();
        assert_eq!(progress.step(), None);
    }
}
