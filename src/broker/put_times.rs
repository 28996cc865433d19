//! How long writes to the log take, for the runtime info (`broker_runtime_info.tsv`): the slowest, the spread of the last
//! full minute, its percentiles, and how long the one that is under way has been. Knows no topic.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::clock::Millis;

/// Lower ends of the buckets of `putMessageDistributeTime`, milliseconds, with Java's names.
const BUCKETS: [(u64, &str); 13] = [
    (0, "<=0ms"),
    (1, "0~10ms"),
    (10, "10~50ms"),
    (50, "50~100ms"),
    (100, "100~200ms"),
    (200, "200~500ms"),
    (500, "500ms~1s"),
    (1000, "1~2s"),
    (2000, "2~3s"),
    (3000, "3~4s"),
    (4000, "4~5s"),
    (5000, "5~10s"),
    (10_000, "10s~"),
];
/// Upper ends of the buckets from which percentiles are made: Java's up to 10 s, about a tenth of the time each.
const ENDS: [u64; 53] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    22,
    24,
    26,
    28,
    30,
    35,
    40,
    45,
    50,
    60,
    70,
    80,
    90,
    100,
    120,
    140,
    160,
    180,
    200,
    250,
    300,
    400,
    500,
    600,
    800,
    1000,
    2000,
    3000,
    4000,
    5000,
    10_000,
    u64::MAX,
];
/// Writers that are told apart: event loops by their number, what comes from beside them with the last.
const WRITERS: usize = 64;

/// The figures; messages are counted, in whatever batch they came.
#[derive(Debug)]
pub struct PutTimes {
    counts: [AtomicU64; ENDS.len()],
    spread: [AtomicU64; BUCKETS.len()],
    max_ms: AtomicU64,
    failed: AtomicU64,
    last_minute: Mutex<Option<Minute>>,
    /// When each writer's write began; 0 when it writes nothing.
    under_way: [AtomicU64; WRITERS],
}

#[derive(Clone, Copy, Debug)]
struct Minute {
    counts: [u64; ENDS.len()],
    spread: [u64; BUCKETS.len()],
}

impl Default for PutTimes {
    fn default() -> Self {
        PutTimes {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            spread: std::array::from_fn(|_| AtomicU64::new(0)),
            max_ms: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_minute: Mutex::new(None),
            under_way: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl PutTimes {
    fn writer(&self, writer: usize) -> &AtomicU64 {
        &self.under_way[writer.min(WRITERS - 1)]
    }

    /// A write begins.
    pub fn begin(&self, writer: usize, now: Millis) {
        self.writer(writer).store(now, Ordering::Relaxed);
    }

    /// It has stored so many messages within so many milliseconds.
    pub fn end(&self, writer: usize, messages: u64, took_ms: u64) {
        self.writer(writer).store(0, Ordering::Relaxed);
        let of = |ends: usize| ends.saturating_sub(1);
        let bucket = of(BUCKETS.partition_point(|(from, _)| *from <= took_ms));
        self.spread[bucket].fetch_add(messages, Ordering::Relaxed);
        self.counts[ENDS.partition_point(|end| *end < took_ms)].fetch_add(messages, Ordering::Relaxed);
        if took_ms > self.max_ms.load(Ordering::Relaxed) {
            self.max_ms.fetch_max(took_ms, Ordering::Relaxed);
        }
    }

    /// It has failed, and with it so many messages.
    pub fn fail(&self, writer: usize, messages: u64) {
        self.writer(writer).store(0, Ordering::Relaxed);
        self.failed.fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages that were not stored since the start.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// The slowest write since the start, milliseconds.
    pub fn max_ms(&self) -> u64 {
        self.max_ms.load(Ordering::Relaxed)
    }

    /// How long the oldest write that is under way has been, milliseconds; 0 when there is none.
    pub fn under_way_ms(&self, now: Millis) -> u64 {
        let begun = self.under_way.iter().map(|begun| begun.load(Ordering::Relaxed)).filter(|begun| *begun > 0).min();
        begun.map_or(0, |begun| now.saturating_sub(begun))
    }

    /// A minute is over.
    pub(super) fn turn(&self) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let minute = Minute {
            counts: std::array::from_fn(|bucket| take(&self.counts[bucket])),
            spread: std::array::from_fn(|bucket| take(&self.spread[bucket])),
        };
        *self.last_minute.lock() = Some(minute);
    }

    /// The messages of the last full minute by bucket; `None` before there is one.
    pub fn last_minute(&self) -> Option<[u64; BUCKETS.len()]> {
        self.last_minute.lock().map(|minute| minute.spread)
    }

    /// The last full minute as Java writes it; `null` before there is one.
    pub fn distribution(&self) -> String {
        let Some(minute) = *self.last_minute.lock() else { return "null".to_owned() };
        BUCKETS.iter().zip(minute.spread).map(|((_, name), count)| format!("[{name}]:{count} ")).collect()
    }

    /// Within how many milliseconds this share of the last full minute's messages was stored, as far as the buckets tell.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let Some(minute) = *self.last_minute.lock() else { return 0.0 };
        let wanted = minute.counts.iter().sum::<u64>() as f64 * share;
        let mut passed = 0.0;
        for (bucket, count) in minute.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if wanted <= passed + count {
                let from = bucket.checked_sub(1).map_or(0, |before| ENDS[before]);
                // Nobody knows how far the last one goes.
                let to = if ENDS[bucket] == u64::MAX { from } else { ENDS[bucket] };
                return from as f64 + (to - from) as f64 * (wanted - passed) / count;
            }
            passed += count;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(writes: &[(u64, u64)]) -> PutTimes {
        let times = PutTimes::default();
        for (took_ms, messages) in writes {
            times.begin(3, 1000);
            times.end(3, *messages, *took_ms);
        }
        times
    }

    #[test]
    fn write_times_are_told_for_the_last_full_minute_in_javas_form() {
        let times = of(&[(0, 2), (3, 1), (10, 1), (11, 1), (99_999, 1)]);
        assert_eq!((times.distribution().as_str(), times.percentile_ms(0.99)), ("null", 0.0));
        times.turn();
        let told = times.distribution();
        assert!(told.starts_with("[<=0ms]:2 [0~10ms]:1 [10~50ms]:2 [50~100ms]:0 "), "{told}");
        assert!(told.ends_with("[5~10s]:0 [10s~]:1 "), "{told}");
        assert_eq!(times.max_ms(), 99_999);
        times.turn();
        assert!(times.distribution().starts_with("[<=0ms]:0 "), "only the last minute");
    }

    #[test]
    fn percentiles_are_those_of_messages_not_of_writes() {
        let times = of(&[(0, 900), (4, 90), (150, 9), (20_000, 1)]);
        times.turn();
        assert_eq!(times.percentile_ms(0.5), 0.0);
        assert_eq!(times.percentile_ms(0.99), 4.0);
        assert_eq!(times.percentile_ms(0.999), 160.0);
        assert_eq!(times.percentile_ms(1.0), 10_000.0);
    }

    #[test]
    fn a_write_that_hangs_is_seen_while_it_does() {
        let times = PutTimes::default();
        assert_eq!(times.under_way_ms(5000), 0);
        times.begin(0, 4000);
        times.begin(999, 4900);
        assert_eq!(times.under_way_ms(5000), 1000);
        times.end(0, 1, 1000);
        assert_eq!(times.under_way_ms(5000), 100);
        times.fail(999, 7);
        assert_eq!((times.under_way_ms(5000), times.failed()), (0, 7));
    }
}
