//! Opens the state that the handles share, saves it and closes it. Knows no loop and no socket.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::base::changes::{self, Changes, OverlayError};
use crate::base::clock::{Clock, Millis};
use crate::base::disk::Disk;
use crate::base::position::{QueueId, QueueOffset};
use crate::store::{ScanLimits, Store};

use super::appender::{Appender, Notice};
use super::clients::{Clients, NotifyRule, Post};
use super::config::Config;
use super::delay::Delays;
use super::figures::Figures;
use super::groups::Groups;
use super::handles::{Handles, HeldCounts};
use super::live::Live;
use super::locks::Locks;
use super::offsets::Offsets;
use super::registration::Registration;
use super::state_file::{StateFile, StateFileError};
use super::stats::Stats;
use super::topics::{SCHEDULE_TOPIC, Topics};

/// A state file that keeps the broker from starting.
#[derive(Debug, Error)]
#[error("the broker's state in {folder} cannot be used: {source}")]
pub struct OpenError {
    /// The folder.
    folder: PathBuf,
    /// Which file, and what to do.
    source: Cause,
}

/// What is wrong with it.
#[derive(Debug, Error)]
enum Cause {
    #[error(transparent)]
    State(#[from] StateFileError),
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

impl Handles {
    /// Reads the state files of `<store>/config` and lowers offsets that point behind the log. Changes nothing on disk
    /// when it fails.
    pub fn open(
        config: Arc<Config>,
        disk: Arc<dyn Disk>,
        clock: Clock,
        store: Store,
        post: Post,
        tell: impl Fn(&HeldCounts, Notice<'_>) + Send + Sync + 'static,
    ) -> Result<Handles, OpenError> {
        let folder = config.store_path_root_dir.join("config");
        let file = |name: &str| StateFile::new(disk.clone(), folder.join(name));
        let fail = |source: StateFileError| OpenError { folder: folder.clone(), source: source.into() };
        let changes = Changes::open(disk.clone(), folder.join(changes::FILE_NAME))
            .map_err(|source| OpenError { folder: folder.clone(), source: source.into() })?;
        let topics = Topics::open((&*config).into(), file("topics.json"), clock.clone()).map_err(fail)?;
        let groups = Groups::open(config.auto_create_subscription_group, file("subscriptionGroup.json"), clock.clone())
            .map_err(fail)?;
        let offsets = Offsets::open(file("consumerOffset.json"), clock.clone()).map_err(fail)?;
        let lowered = offsets.clamp(|topic, queue| Some(store.find_queue(topic, queue)?.max().0 as i64));
        if lowered > 0 {
            tracing::warn!("{lowered} consumer offsets pointed behind the end of their queue and were set to it");
        }
        let delays = Arc::new(Delays::open(&store, file("delayOffset.json"), clock.clone()).map_err(fail)?);
        let held = HeldCounts::new(config.loops);
        let (told_held, told_delays) = (held.clone(), delays.clone());
        let tell = Arc::new(move |notice: Notice<'_>| {
            tell(&told_held, notice);
            if let Notice::Stored(event) = notice {
                told_delays.told(event);
            }
        });
        let stats = Arc::new(Stats::new(&config.broker_cluster_name, config.zone.clone(), &store, clock.now()));
        stats.delivered(SCHEDULE_TOPIC, &delays.delivered_to(), clock.now());
        Ok(Handles {
            appender: Appender::new(store.clone(), tell, stats.clone(), clock.clone()),
            delays,
            figures: Arc::new(Figures::new(&config, store.flush_times())),
            held,
            clients: Arc::new(Clients::new(config.notify_consumer_ids_changed_enable, post)),
            registration: Arc::new(Registration::new(&config.namesrv_addrs)),
            topics: Arc::new(topics),
            groups: Arc::new(groups),
            offsets: Arc::new(offsets),
            locks: Arc::new(Locks::new(config.rebalance_lock_max_live_time_ms)),
            relays: Arc::default(),
            losses: Arc::default(),
            stats,
            config: Live::new(config),
            changes,
            clock,
            store,
        })
    }

    /// Which groups hear of changes in their membership.
    pub fn notify_rule(&self) -> impl NotifyRule + '_ {
        |group: &str| self.groups.get(group).is_none_or(|group| group.notify_consumer_ids_changed_enable)
    }

    /// Whether a group without an offset may begin at 0 of a queue: the queue is empty, or its first record is still near
    /// the end of the log (INTEROP 06 §8.1, the rule of 4.x: with 22 for an empty queue a client asks for the end next, and
    /// skips what arrives in between).
    pub fn begins_at_zero(&self, topic: &str, queue: QueueId) -> bool {
        let Some(queue) = self.store.find_queue(topic, queue) else { return true };
        if queue.min().0 > 0 || queue.max().0 == 0 {
            return queue.max().0 == 0;
        }
        let limits = ScanLimits { max_messages: 1, max_units: 1, wait: false, ..ScanLimits::default() };
        let mut first = Vec::new();
        // What cannot be read without waiting is not near the end.
        let scanned = self.store.scan(&queue, QueueOffset(0), &limits, &mut |_| true, &mut first);
        let behind = first.first().map(|entry| self.store.log_max().0.saturating_sub(entry.phy.0));
        scanned.is_ok() && behind.is_some_and(|behind| behind <= limits.near_bytes)
    }

    /// Takes over how far the queues have grown, if that was not done just now; returns the time.
    pub fn refresh_stats(&self) -> Millis {
        let now = self.clock.now();
        self.stats.refresh(&self.store, |topic| self.topics.settings().is_system(topic), now);
        self.stats.delivered(SCHEDULE_TOPIC, &self.delays.delivered_to(), now);
        now
    }

    /// Writes what the state files do not have yet.
    pub fn save(&self) -> Result<(), StateFileError> {
        // One file that cannot be written must not keep the others from it.
        let saved = [self.groups.save_if_dirty(), self.offsets.save_if_dirty(), self.delays.save_if_dirty(&self.store)];
        saved.into_iter().collect()
    }

    /// The last save of a clean stop, behind the store's: every file is complete and exact.
    pub fn close(&self) -> Result<(), StateFileError> {
        let saved = [self.topics.save(), self.groups.save(), self.offsets.save(), self.delays.save(&self.store)];
        saved.into_iter().collect()
    }
}
