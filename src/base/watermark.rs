//! A position that one owner advances and many wait on (HOUSE: "the positions").
//!
//! Waiting is blocking (`wait_for`) for threads; event loops do not wait, they are told through their mailbox.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A monotonically growing `u64`. Reading is one atomic load.
#[derive(Debug, Default)]
pub struct Watermark {
    value: AtomicU64,
    lock: Mutex<()>,
    moved: Condvar,
}

impl Watermark {
    /// A watermark that starts at `value`.
    pub fn new(value: u64) -> Self {
        Watermark { value: AtomicU64::new(value), ..Default::default() }
    }

    /// The position reached.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Moves to `value` if that is further, and wakes the waiters. Returns whether it moved.
    pub fn advance(&self, value: u64) -> bool {
        let moved = self.value.fetch_max(value, Ordering::AcqRel) < value;
        if moved {
            drop(self.lock.lock());
            self.moved.notify_all();
        }
        moved
    }

    /// Blocks until the position is at least `value` or `timeout` has passed; true when it was reached.
    pub fn wait_for(&self, value: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut guard = self.lock.lock();
        while self.get() < value {
            if self.moved.wait_until(&mut guard, deadline).timed_out() {
                return self.get() >= value;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_wakes_when_the_position_is_reached_and_never_goes_back() {
        let mark = std::sync::Arc::new(Watermark::new(3));
        let other = mark.clone();
        let waiter = std::thread::spawn(move || other.wait_for(10, Duration::from_secs(10)));
        assert!(mark.advance(10));
        assert!(!mark.advance(5));
        assert!(waiter.join().unwrap());
        assert_eq!(mark.get(), 10);
        assert!(!mark.wait_for(11, Duration::ZERO));
    }
}
