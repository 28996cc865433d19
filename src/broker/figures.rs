//! What the event loops count for metrics: a row of atomic counters per loop, written by that loop alone, so that counting
//! costs an uncontended addition. Knows no text format; `metrics` reads it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::base::metrics::Histogram;
use crate::wire::codes::{RESPONSES, response};

/// The counts of one loop, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub struct LoopFigures {
    /// Writes of a tick's batch to the log.
    pub append: Histogram,
    /// Sends that wait for the disk.
    pub flush_waits: AtomicUsize,
    /// Topics being made.
    pub topics_in_making: AtomicUsize,
    /// Sends that wait for a topic.
    pub sends_waiting: AtomicUsize,
    /// Bytes of their bodies.
    pub sends_waiting_bytes: AtomicUsize,
    /// Refused requests by the place of their code in `RESPONSES`; the last is for codes that are not there.
    refused: [AtomicU64; RESPONSES.len() + 1],
}

impl Default for LoopFigures {
    fn default() -> Self {
        LoopFigures {
            append: Histogram::default(),
            flush_waits: AtomicUsize::new(0),
            topics_in_making: AtomicUsize::new(0),
            sends_waiting: AtomicUsize::new(0),
            sends_waiting_bytes: AtomicUsize::new(0),
            refused: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl LoopFigures {
    /// A request was answered with an error. That a group has no offset yet is an answer like any other.
    pub fn refused(&self, code: i32) {
        if code != response::QUERY_NOT_FOUND {
            let place = RESPONSES.binary_search_by_key(&code, |(code, _)| *code).unwrap_or(RESPONSES.len());
            self.refused[place].fetch_add(1, Relaxed);
        }
    }
}

/// The counts of all loops, and of what runs beside them.
#[derive(Debug)]
pub struct Figures {
    loops: Box<[LoopFigures]>,
    /// Reads from the disk that wait for a thread or are under way.
    pub cold_reads: AtomicUsize,
}

impl Figures {
    /// For so many loops.
    pub fn new(loops: usize) -> Figures {
        Figures { loops: (0..=loops).map(|_| LoopFigures::default()).collect(), cold_reads: AtomicUsize::new(0) }
    }

    /// Those of a loop.
    pub fn of_loop(&self, index: usize) -> &LoopFigures {
        &self.loops[index.min(self.loops.len() - 1)]
    }

    /// Those of the threads beside the loops.
    pub fn beside(&self) -> &LoopFigures {
        self.of_loop(usize::MAX)
    }

    /// Every row.
    pub fn rows(&self) -> &[LoopFigures] {
        &self.loops
    }

    /// Refused requests by the name of their response code, in lower case; those that never happened are left out.
    pub fn refusals(&self) -> impl Iterator<Item = (String, u64)> {
        (0..=RESPONSES.len()).filter_map(|place| {
            let count: u64 = self.loops.iter().map(|row| row.refused[place].load(Relaxed)).sum();
            let name = RESPONSES.get(place).map_or_else(|| "other".to_owned(), |(_, name)| name.to_lowercase());
            (count > 0).then_some((name, count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_name_over_all_loops() {
        let figures = Figures::new(2);
        figures.of_loop(0).refused(response::TOPIC_NOT_EXIST);
        figures.of_loop(1).refused(response::TOPIC_NOT_EXIST);
        figures.beside().refused(-77);
        figures.beside().refused(response::QUERY_NOT_FOUND);
        let told: Vec<_> = figures.refusals().collect();
        assert_eq!(told, [("topic_not_exist".to_owned(), 2), ("other".to_owned(), 1)]);
    }
}
