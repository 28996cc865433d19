//! Which client may consume which queue in order (INTEROP 06 §5, LOCK_BATCH_MQ and UNLOCK_BATCH_MQ).
//!
//! A lock belongs to a client id, not to a connection: a consumer whose connection broke still works on what it fetched,
//! so its queues stay closed to others until the lock expires. Pure: time comes with each call.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::base::clock::Millis;

/// A queue as clients name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockedQueue {
    /// Topic.
    pub topic: String,
    /// Name of the broker.
    pub broker_name: String,
    /// Queue.
    pub queue_id: i32,
}

#[derive(Debug)]
struct Lock {
    client_id: String,
    renewed: Millis,
}

impl Lock {
    fn is_live(&self, live_ms: u64, now: Millis) -> bool {
        self.renewed + live_ms >= now
    }
}

/// All locks, by group.
#[derive(Debug)]
pub struct Locks {
    live_ms: u64,
    groups: Mutex<HashMap<String, HashMap<LockedQueue, Lock>>>,
}

impl Locks {
    /// No lock yet. A lock lives `live_ms` milliseconds without being renewed; clients renew every 20 seconds.
    pub fn new(live_ms: u64) -> Locks {
        Locks { live_ms, groups: Mutex::default() }
    }

    /// Takes or renews what is free, expired or the client's own; returns the queues that are now the client's.
    pub fn lock(&self, group: &str, client_id: &str, queues: Vec<LockedQueue>, now: Millis) -> Vec<LockedQueue> {
        let mut groups = self.groups.lock();
        let locks = groups.entry(group.to_owned()).or_default();
        // Expired locks of other queues go as well: a group's table never outgrows what it held in one such time.
        locks.retain(|_, lock| lock.is_live(self.live_ms, now));
        let mut owned = Vec::with_capacity(queues.len());
        for queue in queues {
            let lock =
                locks.entry(queue.clone()).or_insert_with(|| Lock { client_id: client_id.to_owned(), renewed: now });
            if lock.client_id == client_id {
                lock.renewed = now;
                owned.push(queue);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
        owned
    }

    /// Gives up the client's own locks; those of others stay.
    pub fn unlock(&self, group: &str, client_id: &str, queues: &[LockedQueue]) {
        let mut groups = self.groups.lock();
        let Some(locks) = groups.get_mut(group) else { return };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| lock.client_id == client_id) {
                locks.remove(queue);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Forgets what has expired: a group that is gone for good asks for nothing any more.
    pub fn expire(&self, now: Millis) {
        self.groups.lock().retain(|_, locks| {
            locks.retain(|_, lock| lock.is_live(self.live_ms, now));
            !locks.is_empty()
        });
    }

    /// Whether a group holds any lock: then it consumes in order, and what it gives back goes to the dead letters
    /// (INTEROP 06 §3, the rule of 5.1.1+).
    pub fn any_of(&self, group: &str, now: Millis) -> bool {
        self.groups.lock().get(group).is_some_and(|locks| locks.values().any(|lock| lock.is_live(self.live_ms, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE_MS: u64 = 60_000;

    fn queue(queue_id: i32) -> LockedQueue {
        LockedQueue { topic: "T".into(), broker_name: "b".into(), queue_id }
    }

    #[test]
    fn a_queue_belongs_to_one_client_until_it_unlocks_or_is_silent_for_a_minute() {
        let locks = Locks::new(LIVE_MS);
        let both = || vec![queue(0), queue(1)];
        assert_eq!(locks.lock("G", "a", both(), 0), both());
        assert_eq!(locks.lock("G", "b", both(), 10), []);
        assert_eq!(locks.lock("H", "b", both(), 10), both(), "another group");
        assert_eq!(locks.lock("G", "a", vec![queue(0)], 30_000), [queue(0)]);
        assert_eq!(locks.lock("G", "b", both(), LIVE_MS + 1), [queue(1)], "0 was renewed, 1 was not");
        locks.unlock("G", "b", &both());
        assert_eq!(locks.lock("G", "a", vec![queue(1)], LIVE_MS + 2), [queue(1)]);
        locks.unlock("G", "a", &both());
        assert!(!locks.any_of("G", LIVE_MS + 3));
    }

    #[test]
    fn a_group_counts_as_ordered_while_a_lock_of_it_lives() {
        let locks = Locks::new(LIVE_MS);
        locks.lock("G", "a", vec![queue(0)], 5);
        assert!(locks.any_of("G", LIVE_MS + 5));
        assert!(!locks.any_of("G", LIVE_MS + 6));
        assert!(!locks.any_of("H", 5));
        locks.expire(LIVE_MS + 5);
        assert!(!locks.groups.lock().is_empty());
        locks.expire(LIVE_MS + 6);
        assert!(locks.groups.lock().is_empty(), "nothing is kept of it");
    }
}
