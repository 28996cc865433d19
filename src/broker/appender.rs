//! Stores records from beside the event loops (deliveries of delayed messages, messages given back, replies) and tells
//! the loops and the delay delivery which queues grew. Knows neither: `Tell` reaches them.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::store::{AppendError, Batch, Event, FlushMode, Grown, Store};

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
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Appender {
    /// Appends to `store`.
    pub fn new(store: Store, tell: Tell) -> Self {
        Appender { store, tell }
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
        self.store.append(batch)?;
        if self.store.flush_mode() == FlushMode::Async {
            (self.tell)(Notice::Stored(&Event::Grown(growth(batch))));
        }
        Ok(())
    }
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
