//! How long flushes of the log take, and for how long the one under way has been going on: a disk that stalls shows in the
//! second before it can show in the first. Knows no file.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::base::metrics::Histogram;

crate::base::metrics::table! {
    FLUSH_SECONDS = Histogram "rocketmq_store_flush_seconds" ("cluster,broker")
        "How long flushes of the log take.";
}

/// Flushes, one at a time.
#[derive(Debug)]
pub struct FlushTimes {
    took: Histogram,
    born: Instant,
    /// When the flush under way began, microseconds after `born`; 0 when there is none.
    began_us: AtomicU64,
}

impl Default for FlushTimes {
    fn default() -> Self {
        FlushTimes { took: FLUSH_SECONDS.histogram(), born: Instant::now(), began_us: AtomicU64::new(0) }
    }
}

impl FlushTimes {
    /// A flush begins; give what is returned to `end`.
    pub(super) fn begin(&self) -> Instant {
        let now = Instant::now();
        self.began_us.store((now.duration_since(self.born).as_micros() as u64).max(1), Relaxed);
        now
    }

    /// It has ended, well or not.
    pub(super) fn end(&self, began: Instant) {
        self.began_us.store(0, Relaxed);
        self.took.observe(began.elapsed().as_secs_f64());
    }

    /// How long they took.
    pub fn took(&self) -> &Histogram {
        &self.took
    }

    /// How long the one under way has been going on; zero when there is none.
    pub fn running(&self) -> Duration {
        match self.began_us.load(Relaxed) {
            0 => Duration::ZERO,
            began_us => self.born.elapsed().saturating_sub(Duration::from_micros(began_us)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_under_way_is_seen_until_it_ends() {
        let times = FlushTimes::default();
        assert_eq!(times.running(), Duration::ZERO);
        let began = times.begin();
        while times.running().is_zero() {
            std::thread::yield_now();
        }
        times.end(began);
        assert_eq!(times.running(), Duration::ZERO);
    }
}
