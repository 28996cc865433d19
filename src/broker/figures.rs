//! What the event loops count for metrics: the crate's histograms and counters for what happens less often than messages, and
//! a row of atomic numbers per loop, written by that loop alone. Knows no text format; `metrics` reads it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::base::metrics::{self, Histogram, IntCounterVec, Registry};
use crate::store::FlushTimes;
use crate::wire::codes::{RESPONSES, response};

use super::config::Config;

metrics::table! {
    APPEND_SECONDS = Histogram "rocketmq_store_append_seconds" ("cluster,broker")
        "How long the writes of a tick's messages to the log take.";
    REFUSED = Counter "rocketmq_requests_refused_total" ("cluster,broker,reason")
        "Requests that were answered with an error, by the name of its code.";
}

/// How much of what is bounded a loop uses, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct LoopFigures {
    /// Sends that wait for the disk.
    pub flush_waits: AtomicUsize,
    /// Topics being made.
    pub topics_in_making: AtomicUsize,
    /// Sends that wait for a topic.
    pub sends_waiting: AtomicUsize,
    /// Bytes of their bodies.
    pub sends_waiting_bytes: AtomicUsize,
}

/// The counts of all loops, and of what runs beside them.
#[derive(Debug)]
pub struct Figures {
    loops: Box<[LoopFigures]>,
    /// Reads from the disk that wait for a thread or are under way.
    pub cold_reads: AtomicUsize,
    /// Writes of a tick's batch to the log; each loop counts for itself and adds up now and then.
    pub append: Histogram,
    refused: IntCounterVec,
    registry: Registry,
}

impl Figures {
    /// Those of a broker; `flushes` are its store's.
    pub fn new(config: &Config, flushes: &FlushTimes) -> Figures {
        let labels = [("cluster", &*config.broker_cluster_name), ("broker", &*config.broker_name)];
        let registry = metrics::registry(labels);
        let (append, refused) = (APPEND_SECONDS.histogram(), REFUSED.counters());
        registry.register(Box::new(append.clone())).expect(ONCE);
        registry.register(Box::new(refused.clone())).expect(ONCE);
        registry.register(Box::new(flushes.took().clone())).expect(ONCE);
        Figures {
            loops: (0..config.loops).map(|_| LoopFigures::default()).collect(),
            cold_reads: AtomicUsize::new(0),
            append,
            refused,
            registry,
        }
    }

    /// Those of a loop.
    pub fn of_loop(&self, index: usize) -> &LoopFigures {
        &self.loops[index]
    }

    /// The largest of one figure over the loops.
    pub fn most(&self, of: fn(&LoopFigures) -> &AtomicUsize) -> u64 {
        self.loops.iter().map(|row| of(row).load(Relaxed)).max().unwrap_or(0) as u64
    }

    /// A request was answered with this code. That a group has no offset yet is an answer like any other.
    pub fn answered(&self, code: i32) {
        if !matches!(code, response::SUCCESS | response::QUERY_NOT_FOUND) {
            let place = RESPONSES.binary_search_by_key(&code, |(code, _)| *code);
            let reason = place.map_or_else(|_| "other".to_owned(), |place| RESPONSES[place].1.to_lowercase());
            self.refused.with_label_values(&[reason]).inc();
        }
    }

    /// So many requests were refused until now for a reason that the loops count themselves.
    pub fn refused_by_loops(&self, reason: &str, count: u64) {
        let counter = self.refused.with_label_values(&[reason]);
        counter.inc_by(count.saturating_sub(counter.get()));
    }

    /// What is counted as it happens.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Why nothing can be refused: each broker has a registry of its own.
const ONCE: &str = "it is registered once";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_name() {
        let figures = Figures::new(&Config::default(), &FlushTimes::default());
        for code in
            [response::TOPIC_NOT_EXIST, response::TOPIC_NOT_EXIST, -77, response::QUERY_NOT_FOUND, response::SUCCESS]
        {
            figures.answered(code);
        }
        let mut page = metrics::Page::default();
        page.registered(figures.registry());
        let text = page.finish();
        let told: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("rocketmq_requests_refused_total{reason=\"")?.split_once('"'))
            .map(|(reason, rest)| (reason, rest.rsplit(' ').next().unwrap_or_default()))
            .collect();
        assert_eq!(told, [("other", "1"), ("topic_not_exist", "2")], "{text}");
    }
}
