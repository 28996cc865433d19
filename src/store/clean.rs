//! Makes room: looks at the disk, refuses and takes writes, removes what is expired or has to go — log files first, then
//! the queue files and index files that lead only to them (STORE 9). A step beside flush, derive and allocate; what is
//! decided, `retention` decides. It must never know who consumes.
//!
//! A log file goes only when everything in it is in durable queue and index files, and never the one that holds the log's
//! end. Each removal is durable before the next begins, so that a power cut leaves no gap.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::background::SYNC_FILE_SYSTEM_FROM;
use super::error::{AppendError, ReadError, StepError};
use super::layout::queues_dir;
use super::queue::Queue;
use super::retention::{DiskLevel, DiskState, PathSpace, Retention, StorePart};
use super::{Event, Store};
use crate::base::clock::Millis;
use crate::base::position::{PhyOffset, QueueOffset};

/// How often the disk is looked at, milliseconds: Java looks every ten seconds, in which a fast disk takes 20 GiB.
const LOOK_INTERVAL_MS: u64 = 1000;
/// Memory of the log's newest bytes that was not written to for one to two of these is given back, milliseconds.
const TAIL_RELEASE_MS: u64 = 30_000;
/// How long a disk may take to show the room that a removed file left, milliseconds.
const ROOM_SEEN_MS: u64 = 2000;
/// So near to the limit at which the oldest files go whatever their age, per cent, the next one counts as leaving.
const FORCE_SOON_PERCENT: u32 = 3;
/// Queues that are trimmed in one step.
const QUEUES_AT_ONCE: usize = 256;
/// So many passes are made for one request of an administrator.
const PASSES_BY_HAND: u64 = 20;

/// A log file that is about to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removing {
    /// Its first byte.
    pub from: PhyOffset,
    /// Byte behind it: everything below is gone afterwards.
    pub to: PhyOffset,
    /// Whether it goes for lack of room although it is not expired.
    pub forced: bool,
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Log files removed.
    pub log_files: u64,
    /// Queue files removed.
    pub queue_files: u64,
    /// Index files removed.
    pub index_files: u64,
    /// Milliseconds until the next step is due.
    pub pause_ms: u64,
}

/// Files removed since the open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanCounts {
    /// Log files, all.
    pub log_files: u64,
    /// Of them, those that were not expired.
    pub forced_log_files: u64,
    /// Queue files.
    pub queue_files: u64,
    /// Index files.
    pub index_files: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    log_files: AtomicU64,
    forced_log_files: AtomicU64,
    queue_files: AtomicU64,
    index_files: AtomicU64,
}

/// What the clean step remembers.
#[derive(Debug, Default)]
pub(super) struct CleanState {
    /// When the next pass over the log may begin.
    next_pass: Millis,
    /// Log files that the running pass may still remove.
    left: u32,
    /// Queues and index are trimmed up to here in the log.
    trimmed: u64,
    /// Queues that are still to be trimmed for the log's oldest byte `trimming`.
    queues: Vec<Arc<Queue>>,
    trimming: u64,
    /// Directories from which a file was removed, not durably yet.
    unsynced: BTreeSet<PathBuf>,
    /// After a forced removal: how much was free before, and until when the disk may take to show the room.
    freed: Option<(u64, Millis)>,
    next_release: Millis,
    told_unknown: bool,
}

impl Store {
    /// The disk as it was seen last.
    pub fn disk_state(&self) -> Arc<DiskState> {
        self.0.disk_state.read().clone()
    }

    /// The retention in force.
    pub fn retention(&self) -> Arc<Retention> {
        self.0.retention.read().clone()
    }

    /// Files removed since the open.
    pub fn clean_counts(&self) -> CleanCounts {
        let counts = &self.0.counts;
        CleanCounts {
            log_files: counts.log_files.load(Ordering::Relaxed),
            forced_log_files: counts.forced_log_files.load(Ordering::Relaxed),
            queue_files: counts.queue_files.load(Ordering::Relaxed),
            index_files: counts.index_files.load(Ordering::Relaxed),
        }
    }

    /// Looks at the disk, and does a bounded part of what is due: removes at most one log file, or files of some queues
    /// that lead only to removed ones. `pause_ms` says when to come again.
    pub fn clean_step(&self) -> Result<Cleaned, StepError> {
        let mut state = self.0.clean.lock();
        let now = self.log().clock().now();
        let settings = self.retention();
        let percent = self.measure(&mut state, &settings);
        if now >= state.next_release {
            state.next_release = now + TAIL_RELEASE_MS;
            self.log().release_idle_tail();
        }
        if !self.may_remove() {
            return Ok(Cleaned { pause_ms: LOOK_INTERVAL_MS, ..Cleaned::default() });
        }
        self.sync_removals(&mut state)?;
        let forced = settings.is_forced(percent);
        if state.left == 0 && (forced || now >= state.next_pass) {
            state.left = settings.files_max;
            state.next_pass = now + settings.interval_ms;
        }
        let mut cleaned = Cleaned { pause_ms: LOOK_INTERVAL_MS, ..Cleaned::default() };
        let may_expire = percent > settings.clean_percent || settings.is_time(now);
        if state.left > 0 && self.remove_from_log(&mut state, now, &settings, may_expire, forced)? {
            state.left -= 1;
            cleaned.log_files = 1;
            cleaned.pause_ms = settings.log_file_pause_ms;
            // Queues and index follow when the pass is over.
            if state.left > 0 {
                return Ok(cleaned);
            }
        }
        state.left = 0;
        let more = self.trim(&mut state, &mut cleaned)?;
        if more {
            cleaned.pause_ms = cleaned.pause_ms.min(settings.queue_file_pause_ms);
        }
        Ok(cleaned)
    }

    /// Removes what is expired now, whatever the hour and however much room there is, and everything that leads only
    /// there; for an administrator. At most as much as Java's twenty passes.
    pub fn delete_expired(&self) -> Result<Cleaned, StepError> {
        let mut state = self.0.clean.lock();
        let settings = self.retention();
        let now = self.log().clock().now();
        let mut cleaned = Cleaned::default();
        if !self.may_remove() {
            return Ok(cleaned);
        }
        self.sync_removals(&mut state)?;
        let most = u64::from(settings.files_max).saturating_mul(PASSES_BY_HAND);
        while cleaned.log_files < most && self.remove_from_log(&mut state, now, &settings, true, false)? {
            cleaned.log_files += 1;
        }
        while self.trim(&mut state, &mut cleaned)? {}
        Ok(cleaned)
    }

    /// Trims queues and index to the log's oldest byte now; for an administrator.
    pub fn trim_queues(&self) -> Result<Cleaned, StepError> {
        let mut state = self.0.clean.lock();
        let mut cleaned = Cleaned::default();
        if !self.may_remove() {
            return Ok(cleaned);
        }
        self.sync_removals(&mut state)?;
        state.trimmed = 0;
        while self.trim(&mut state, &mut cleaned)? {}
        Ok(cleaned)
    }

    /// Whether log files go soon, and which: those that expire within `lead_ms`, or the first when the disk is nearly as
    /// full as it takes to remove what is not expired.
    pub fn leaving(&self, lead_ms: Millis) -> Result<Option<Removing>, ReadError> {
        let log = self.log();
        let settings = self.retention();
        let then = log.clock().now().saturating_add(lead_ms);
        let (from, last) = (log.min(), log.appended.get().saturating_sub(1));
        let mut to = from;
        while to + log.file_size <= last {
            let newest = log.newest_time_below(to + log.file_size)?;
            if !newest.is_some_and(|newest| settings.is_expired(newest, then)) {
                break;
            }
            to += log.file_size;
        }
        let fullest = self.disk_state().fullest().map_or(0, |(_, percent)| percent);
        let forced = to == from && to + log.file_size <= last && settings.is_forced(fullest + FORCE_SOON_PERCENT);
        if forced {
            to += log.file_size;
        }
        Ok((to > from).then_some(Removing { from: PhyOffset(from), to: PhyOffset(to), forced }))
    }

    /// The first message of a queue at or behind a position of the log; the queue's end when there is none. Waits for the
    /// device.
    pub fn first_from(&self, queue: &Queue, position: PhyOffset) -> Result<QueueOffset, ReadError> {
        queue.first_from(position.0).map(QueueOffset)
    }

    /// Not while the store closes; and a disk that failed is left as it is, for the recovery.
    fn may_remove(&self) -> bool {
        !self.is_closing() && self.log().stopped().is_none()
    }

    /// Makes removals durable that failed to become so before.
    fn sync_removals(&self, state: &mut CleanState) -> Result<(), StepError> {
        if state.unsynced.len() >= SYNC_FILE_SYSTEM_FROM {
            let root = self.root();
            let synced = self.0.disk.sync_file_system(root);
            synced.map_err(|error| StepError::new("make removals durable in", root, error))?;
            // The log's directory may lie elsewhere.
            let log_dir = &self.log().dir;
            state.unsynced.retain(|dir| dir == log_dir);
        }
        while let Some(dir) = state.unsynced.first().cloned() {
            let synced = self.0.disk.sync_dir(&dir);
            synced.map_err(|error| StepError::new("make removals durable in", &dir, error))?;
            state.unsynced.remove(&dir);
        }
        Ok(())
    }

    /// Removes the oldest log file if it has to go and can; true if it did.
    fn remove_from_log(
        &self,
        state: &mut CleanState,
        now: Millis,
        settings: &Retention,
        may_expire: bool,
        forced: bool,
    ) -> Result<bool, StepError> {
        let log = self.log();
        let (start, end) = (log.min(), log.min() + log.file_size);
        // Everything in it is durable in queues and index, and the log's last byte is not in it.
        let covered = self.derived_durable().get().min(log.flushed.get()).min(log.appended.get().saturating_sub(1));
        if end > covered {
            return Ok(false);
        }
        let newest = log.newest_time_below(end).map_err(|error| StepError::reading(&log.dir, error))?;
        let expired = may_expire && newest.is_some_and(|newest| settings.is_expired(newest, now));
        let free = || self.disk_state().part(StorePart::Log).and_then(|path| path.space).map_or(0, |space| space.free);
        if !expired {
            if !forced {
                return Ok(false);
            }
            // Some file systems give blocks back a little later: without waiting for them, more would go than has to.
            let waits = state
                .freed
                .is_some_and(|(before, until)| now < until && free() < before.saturating_add(log.file_size / 2));
            if waits {
                return Ok(false);
            }
        }
        self.tell(&Event::Removing(Removing { from: PhyOffset(start), to: PhyOffset(end), forced: !expired }));
        state.freed = (!expired).then(|| (free(), now + ROOM_SEEN_MS));
        let path = log.remove_first()?;
        state.unsynced.insert(log.dir.clone());
        let why = if expired { "it is expired" } else { "there is no room for it" };
        tracing::info!(
            "{} is removed, {why}; its newest message is of {}",
            path.display(),
            self.time_text(newest, settings)
        );
        self.0.counts.log_files.fetch_add(1, Ordering::Relaxed);
        if !expired {
            self.0.counts.forced_log_files.fetch_add(1, Ordering::Relaxed);
        }
        self.sync_removals(state)?;
        Ok(true)
    }

    fn time_text(&self, time: Option<i64>, settings: &Retention) -> String {
        let Some(time) = time.and_then(|time| u64::try_from(time).ok()) else { return "an unknown time".to_string() };
        let at = settings.zone.civil(time);
        format!("{}-{:02}-{:02} {:02}:{:02}:{:02}", at.year, at.month, at.day, at.hour, at.minute, at.second)
    }

    /// Corrects the oldest message of queues and removes their files, and the index files, below the log's oldest byte: some
    /// of them; true when there are more.
    fn trim(&self, state: &mut CleanState, cleaned: &mut Cleaned) -> Result<bool, StepError> {
        let log_min = self.log().min();
        if state.trimmed == log_min && state.queues.is_empty() {
            return Ok(false);
        }
        if state.queues.is_empty() {
            state.trimming = log_min;
            state.queues = self.0.queues.all();
        }
        let round = state.queues.len().saturating_sub(QUEUES_AT_ONCE);
        let mut again: Vec<Arc<Queue>> = Vec::new();
        for queue in state.queues.split_off(round) {
            if queue.is_deleted() {
                continue;
            }
            queue.correct_min(log_min).map_err(|error| StepError::reading(queue.dir(), error))?;
            // No tail is written meanwhile.
            let _files_stay = self.0.derive.lock();
            if queue.remove_first_file()? {
                state.unsynced.insert(queue.dir());
                cleaned.queue_files += 1;
                again.push(queue);
            }
        }
        self.0.counts.queue_files.fetch_add(again.len() as u64, Ordering::Relaxed);
        // One file of each queue, then all of them durably, then the next: no power cut leaves a gap.
        self.sync_removals(state)?;
        state.queues.append(&mut again);
        if state.queues.is_empty() {
            if let Some(index) = &self.0.index {
                let removed = index.remove_below(state.trimming)?;
                cleaned.index_files += removed;
                self.0.counts.index_files.fetch_add(removed, Ordering::Relaxed);
            }
            state.trimmed = state.trimming;
        }
        Ok(state.trimmed != self.log().min() || !state.queues.is_empty())
    }

    /// Looks at the disk alone.
    pub(super) fn look_at_disk(&self) {
        let settings = self.retention();
        self.measure(&mut self.0.clean.lock(), &settings);
    }

    /// Measures the disk, refuses or takes writes, and says what changed; how full the fullest path is, in per cent.
    fn measure(&self, state: &mut CleanState, settings: &Retention) -> u32 {
        let path = |part, path: PathBuf| {
            let space = self.0.disk.space(&path).ok();
            PathSpace { part, path, space }
        };
        let before = self.disk_state();
        let mut now = DiskState {
            paths: vec![
                path(StorePart::Log, self.config().commit_log_dir()),
                path(StorePart::Queues, queues_dir(self.root())),
            ],
            limits: settings.limits(),
            ..DiskState::default()
        };
        let Some((fullest, percent)) = now.fullest() else {
            // Nothing is removed or refused for a number that nobody knows.
            if !std::mem::replace(&mut state.told_unknown, true) {
                tracing::warn!(
                    "the file system of {} tells no size: a full disk is noticed by writes that fail",
                    self.root().display()
                );
            }
            self.0.log.refuse(None);
            *self.0.disk_state.write() = Arc::new(now);
            return 0;
        };
        let level = settings.level(percent, before.level);
        let free = fullest.space.map_or(0, |space| space.free);
        let full = format!("{} is {percent} % full, {} MiB are free", fullest.path.display(), free >> 20);
        now.level = level;
        now.refusal = (level == DiskLevel::Refusing).then(|| {
            format!(
                "{full}; the limit is {} % (diskSpaceWarningLevelRatio). Writes go on by themselves at {} %: free or add disk space, \
                 or keep messages for less time (fileReservedTime)",
                now.limits.refuse_percent, now.limits.resume_percent
            )
        });
        match &now.refusal {
            // The figures in it move; the log is told each time, so that a remark is true.
            Some(refusal) => self.0.log.refuse(Some(AppendError::NearlyFull(refusal.clone()))),
            None => self.0.log.refuse(None),
        }
        if level != before.level {
            self.tell_level(before.level, &now, &full);
        }
        *self.0.disk_state.write() = Arc::new(now);
        percent
    }

    fn tell_level(&self, before: DiskLevel, now: &DiskState, full: &str) {
        let limits = now.limits;
        let taken = if before == DiskLevel::Refusing { "; messages are taken again" } else { "" };
        match now.level {
            DiskLevel::Refusing => {
                tracing::error!("messages are refused: {}", now.refusal.as_deref().unwrap_or(full));
            }
            DiskLevel::Forced => tracing::warn!(
                "{full}: the oldest messages are removed even if they are not expired, until it is at {} % \
                 (diskSpaceCleanForciblyRatio; cleanFileForciblyEnable=false keeps them and refuses writes instead){taken}",
                limits.force_percent.unwrap_or_default()
            ),
            DiskLevel::Cleaning => tracing::warn!(
                "{full}: expired files are removed at any hour, until it is at {} % (diskMaxUsedSpaceRatio){taken}",
                limits.clean_percent
            ),
            DiskLevel::Ok => tracing::info!("{full}: there is room again{taken}"),
        }
    }
}
