//! Held pulls of one loop (long polling; INTEROP 06 §4). A pull waits for its queue to grow by something it wants (or, if
//! it came before the heartbeat that it goes with, for that), for its time to be over, or for its connection to end.
//! Nothing is polled and nothing here runs a pull: slots come in and go out. Cheap by the 10,000s: waking costs the holds
//! of the queues that grew, never all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::net::service::{Conn, ConnId};
use crate::store::Queue;
use crate::wire::command::ReplyTo;

use super::filter::TagFilter;
use super::pull::OwnedPull;

/// Held pulls per loop, about 600 bytes each. One Java client holds one per queue, so this is thousands of clients; a
/// pull that finds no room is answered PULL_NOT_FOUND at once and comes back by itself.
pub const HELD_PULLS_MAX: usize = 100_000;

/// A pull that waits.
#[derive(Debug)]
pub struct HeldPull {
    /// Who asked.
    pub conn: Conn,
    /// How to answer.
    pub reply: ReplyTo,
    /// What was asked.
    pub pull: OwnedPull,
    /// The queue that has to grow.
    pub queue: Arc<Queue>,
    /// What it has to grow by; `None` waits for the client's heartbeat instead.
    pub filter: Option<TagFilter>,
    /// When it is answered at the latest, milliseconds since the epoch.
    pub deadline: Millis,
}

/// Place of a held pull.
pub type Slot = u32;

/// All held pulls of a loop.
#[derive(Debug, Default)]
pub struct Holds {
    slots: Vec<Option<Box<HeldPull>>>,
    free: Vec<Slot>,
    by_deadline: BTreeSet<(Millis, Slot)>,
    by_queue: BTreeSet<(usize, Slot)>,
    by_conn: BTreeSet<((u32, u32), Slot)>,
}

impl Holds {
    /// Number of held pulls.
    pub fn len(&self) -> usize {
        self.by_deadline.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.by_deadline.is_empty()
    }

    /// Keeps a pull.
    pub fn insert(&mut self, held: HeldPull) -> Slot {
        let slot = self.free.pop().unwrap_or(self.slots.len() as Slot);
        self.by_deadline.insert((held.deadline, slot));
        self.by_queue.insert((queue_key(&held.queue), slot));
        self.by_conn.insert((conn_key(held.conn.id), slot));
        let held = Some(Box::new(held));
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = held,
            None => self.slots.push(held),
        }
        slot
    }

    /// Takes a pull out.
    pub fn remove(&mut self, slot: Slot) -> Option<Box<HeldPull>> {
        let held = self.slots.get_mut(slot as usize)?.take()?;
        self.by_deadline.remove(&(held.deadline, slot));
        self.by_queue.remove(&(queue_key(&held.queue), slot));
        self.by_conn.remove(&(conn_key(held.conn.id), slot));
        self.free.push(slot);
        Some(held)
    }

    /// The pulls that wait for `queue` and may want a message with one of these tag hashes, into `woken`. A slot can come
    /// in more than once.
    pub fn grown(&self, queue: &Arc<Queue>, tags_codes: &[i64], woken: &mut Vec<Slot>) {
        let key = queue_key(queue);
        let end = queue.max().0 as i64;
        for (_, slot) in self.by_queue.range((key, 0)..=(key, Slot::MAX)) {
            let Some(held) = &self.slots[*slot as usize] else { continue };
            let Some(filter) = &held.filter else { continue };
            if end > held.pull.offset() && tags_codes.iter().any(|code| filter.matches(*code)) {
                woken.push(*slot);
            }
        }
    }

    /// The pulls of `conn` that wait for its heartbeat, into `woken`.
    pub fn heard_from(&self, conn: ConnId, woken: &mut Vec<Slot>) {
        let key = conn_key(conn);
        let waits = |slot: &Slot| self.slots[*slot as usize].as_ref().is_some_and(|held| held.filter.is_none());
        woken.extend(self.by_conn.range((key, 0)..=(key, Slot::MAX)).map(|(_, slot)| *slot).filter(waits));
    }

    /// The pulls whose time is over, into `woken`.
    pub fn expired(&self, now: Millis, woken: &mut Vec<Slot>) {
        woken.extend(self.by_deadline.range(..=(now, Slot::MAX)).map(|(_, slot)| *slot));
    }

    /// The pulls of topics that satisfy `gone`, into `woken`.
    pub fn of_topics(&self, gone: impl Fn(&str) -> bool, woken: &mut Vec<Slot>) {
        let held = self.slots.iter().enumerate().filter_map(|(slot, held)| Some((slot as Slot, held.as_ref()?)));
        woken.extend(held.filter(|(_, held)| gone(held.queue.topic())).map(|(slot, _)| slot));
    }

    /// All pulls, into `woken`: the loop ends, or something changed that no queue tells.
    pub fn all(&self, woken: &mut Vec<Slot>) {
        woken.extend(self.by_deadline.iter().map(|(_, slot)| *slot));
    }

    /// Forgets what a connection held.
    pub fn closed(&mut self, conn: ConnId) {
        let key = conn_key(conn);
        while let Some((_, slot)) = self.by_conn.range((key, 0)..=(key, Slot::MAX)).next().copied() {
            self.remove(slot);
        }
    }
}

/// A queue's identity. The hold keeps the queue alive, so the address is not reused while it is a key.
fn queue_key(queue: &Arc<Queue>) -> usize {
    Arc::as_ptr(queue) as usize
}

fn conn_key(conn: ConnId) -> (u32, u32) {
    (conn.slot, conn.generation)
}
