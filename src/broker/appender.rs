//! Stores records from beside the event loops (deliveries of delayed messages, messages given back, replies) and tells
//! the loops and the delay delivery which queues grew. Knows neither: `Tell` reaches them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::base::clock::Clock;
use crate::store::{AppendError, Batch, Event, FlushMode, Grown, Store};

use super::stats::Stats;

/// What whoever waits has to know.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// The store says something.
    Stored(&'a Event),
    /// A topic, a group or an offset was changed: held pulls have to look again.
    RulesChanged,
}

/// Passes a notice on to whoever waits for it.
pub type Tell = Arc<dyn Fn(Notice<'_>) + Send + Sync>;

/// Appends and tells. Clones share everything.
#[derive(Clone)]
pub struct Appender {
    store: Store,
    tell: Tell,
    stats: Arc<Stats>,
    clock: Clock,
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Appender {
    /// Appends to `store`.
    pub fn new(store: Store, tell: Tell, stats: Arc<Stats>, clock: Clock) -> Self {
        Appender { store, tell, stats, clock }
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says that a topic, a group or an offset was changed.
    pub fn rules_changed(&self) {
        (self.tell)(Notice::RulesChanged);
    }

    /// Stores a batch; afterwards its positions are assigned. Under sync flush the store itself tells what became visible
    /// once it is durable. Does not wait for a flush.
    pub fn append(&self, batch: &mut Batch) -> Result<(), AppendError> {
        timed_append(&self.store, &self.stats, &self.clock, BESIDE_THE_LOOPS, batch)?;
        if self.store.flush_mode() == FlushMode::Async {
            (self.tell)(Notice::Stored(&Event::Grown(growth(batch))));
        }
        Ok(())
    }
}

/// The writer of what does not come from an event loop.
const BESIDE_THE_LOOPS: usize = usize::MAX;

/// Appends, counts how long it took, and tells it. `writer` is an event loop's number.
pub fn timed_append(
    store: &Store,
    stats: &Stats,
    clock: &Clock,
    writer: usize,
    batch: &mut Batch,
) -> Result<Duration, AppendError> {
    let begun = Instant::now();
    stats.put_times.begin(writer, clock.now());
    if let Err(error) = store.append(batch) {
        stats.put_times.fail(writer, batch.len() as u64);
        return Err(error);
    }
    let took = begun.elapsed();
    let took_ms = took.as_millis() as u64;
    stats.put_times.end(writer, batch.len() as u64, took_ms);
    if took_ms > 0 {
        for record in 0..batch.len() {
            batch.staged(record).0.put_took(took_ms);
        }
    }
    Ok(took)
}

/// The queues of a batch, each with the tag hashes that it was given.
pub fn growth(batch: &Batch) -> Vec<Grown> {
    let mut grown: Vec<Grown> = Vec::new();
    for record in 0..batch.len() {
        let (queue, tags_code) = batch.staged(record);
        // A batch brings few queues, and mostly runs of the same one.
        match grown.iter_mut().rev().find(|grown| Arc::ptr_eq(&grown.queue, queue)) {
            Some(grown) => grown.tags_codes.push(tags_code),
            None => grown.push(Grown { queue: queue.clone(), tags_codes: SmallVec::from_slice(&[tags_code]) }),
        }
    }
    grown
}
