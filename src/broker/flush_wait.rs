//! Stored sends that wait for the disk under sync flush: one loop's queue in the order of the log, so that one look at
//! its head answers everything that a flush made durable, and one at its deadline everything that took too long.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::base::clock::Millis;
use crate::base::position::PhyOffset;
use crate::net::service::ConnId;
use crate::store::Assigned;
use crate::wire::command::ReplyTo;

/// Sends per loop that may wait for the disk, about 200 bytes each. Far more than clients have in flight within one
/// flush; when it is reached the disk is stuck and further sends are refused as busy.
pub const FLUSH_WAITS_MAX: usize = 262_144;

/// A stored send whose answer waits.
#[derive(Debug)]
pub struct FlushWait {
    /// Durable once the log is flushed to here.
    pub end: PhyOffset,
    /// When FLUSH_DISK_TIMEOUT is answered instead, milliseconds since the epoch.
    pub deadline: Millis,
    /// Who asked.
    pub conn: ConnId,
    /// How to answer.
    pub reply: ReplyTo,
    /// Queue that was written to.
    pub queue_id: i32,
    /// Where its records went.
    pub records: SmallVec<[Assigned; 1]>,
    /// UNIQ_KEY, 32 characters as a rule.
    pub unique_key: SmallVec<[u8; 64]>,
}

/// The waits of one loop.
#[derive(Debug, Default)]
pub struct FlushWaits {
    queue: VecDeque<FlushWait>,
}

impl FlushWaits {
    /// Adds a wait; ends and deadlines never go back.
    pub fn push(&mut self, wait: FlushWait) {
        debug_assert!(self.queue.back().is_none_or(|last| last.end <= wait.end));
        self.queue.push_back(wait);
    }

    /// The next wait that `flushed` fulfils.
    pub fn pop_flushed(&mut self, flushed: PhyOffset) -> Option<FlushWait> {
        self.queue.front().filter(|wait| wait.end <= flushed)?;
        self.queue.pop_front()
    }

    /// The next wait whose time is over.
    pub fn pop_expired(&mut self, now: Millis) -> Option<FlushWait> {
        self.queue.front().filter(|wait| wait.deadline <= now)?;
        self.queue.pop_front()
    }

    /// The next wait, whatever it waits for.
    pub fn pop(&mut self) -> Option<FlushWait> {
        self.queue.pop_front()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
