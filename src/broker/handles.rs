//! What the loops and the slow requests of one broker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::changes::Changes;
use crate::base::clock::Clock;
use crate::store::Store;

use super::appender::Appender;
use super::clients::Clients;
use super::delay::Delays;
use super::figures::Figures;
use super::groups::Groups;
use super::live::Live;
use super::locks::Locks;
use super::losses::Losses;
use super::offsets::Offsets;
use super::registration::Registration;
use super::relays::Relays;
use super::stats::Stats;
use super::topics::Topics;

/// The handles of one broker.
pub struct Handles {
    /// Settings in force.
    pub config: Live,
    /// Settings that were changed while the broker ran.
    pub changes: Changes,
    /// Time.
    pub clock: Clock,
    /// The store.
    pub store: Store,
    /// Topics.
    pub topics: Arc<Topics>,
    /// Groups.
    pub groups: Arc<Groups>,
    /// Consumer offsets.
    pub offsets: Arc<Offsets>,
    /// Connected clients.
    pub clients: Arc<Clients>,
    /// Who may consume which queue in order.
    pub locks: Arc<Locks>,
    /// Delayed messages.
    pub delays: Arc<Delays>,
    /// Stores records from beside the loops.
    pub appender: Appender,
    /// Requests of ours that clients have not answered yet.
    pub relays: Arc<Relays>,
    /// Messages that go unconsumed.
    pub losses: Arc<Losses>,
    /// Figures for tools.
    pub stats: Arc<Stats>,
    /// The name servers.
    pub registration: Arc<Registration>,
    /// What the loops count.
    pub figures: Arc<Figures>,
    /// Held pulls of each loop.
    pub held: HeldCounts,
}

/// How many pulls each loop holds, so that a loop that stored something writes only to those that may want it.
///
/// A loop counts a pull before it looks at the queue once more; whoever makes a queue grow looks here afterwards. One of
/// the two sees the other.
#[derive(Clone, Debug)]
pub struct HeldCounts {
    loops: Arc<[AtomicUsize]>,
}

impl HeldCounts {
    /// Counts for `loops` loops.
    pub fn new(loops: usize) -> Self {
        HeldCounts { loops: (0..loops).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// Publishes the number of pulls that a loop holds.
    pub fn set(&self, loop_index: usize, held: usize) {
        if let Some(count) = self.loops.get(loop_index) {
            count.store(held, Ordering::SeqCst);
        }
    }

    /// The loops that hold something.
    pub fn holding(&self) -> impl Iterator<Item = usize> {
        // The fence orders the growth of a queue before these loads.
        std::sync::atomic::fence(Ordering::SeqCst);
        self.loops.iter().enumerate().filter(|(_, count)| count.load(Ordering::SeqCst) > 0).map(|(index, _)| index)
    }

    /// Pulls held by the loop that holds most.
    pub fn most(&self) -> usize {
        self.loops.iter().map(|count| count.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// Pulls held by all loops.
    pub fn total(&self) -> usize {
        self.loops.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}
