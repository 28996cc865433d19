//! The commit log: files, positions, and the one way in. Java's layout (STORE 3, 4.2), written with positioned writes.
//!
//! Several threads may append. Each reserves its positions under the lock, writes outside of it, and publishes in the
//! order of the positions: `appended` is always the end of a prefix without holes. When a write fails, everything
//! reserved behind it fails as well, and the reservation goes back to the end of the prefix; the bytes that may have
//! been written are zeroed durably before anything is written over them, so that no refused record ever comes back.
//!
//! It must never know what a queue's files look like.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use parking_lot::{Condvar, Mutex, MutexGuard};
use smallvec::SmallVec;

use super::batch::Batch;
use super::descriptors::{Descriptors, LOG};
use super::error::{AppendError, ReadError, StepError, is_no_space};
use super::flush_times::FlushTimes;
use super::layout::{BLANK_LEN, file_name};
use super::log_tail::LogTail;
use super::queue::Queue;
use super::read::{TIMESTAMP_WITHIN, front_time};
use crate::base::clock::Clock;
use crate::base::disk::{Disk, DiskFile, Open};
use crate::base::watermark::Watermark;
use crate::wire::message;

/// Blocks are allocated this far at once: large enough to be rare, small enough to leave the files as sparse as Java's.
const ALLOCATE_STEP: u64 = 64 << 20;
/// The allocator thread is called when less than this is allocated ahead.
const ALLOCATE_LOW: u64 = ALLOCATE_STEP / 2;
/// So much of the file system the log leaves free, at most …
const RESERVE_MAX: u64 = 256 << 20;
/// … and at most this part of it. Queues, index and state files need room when the log has none: a log file goes only
/// when they hold everything of it, so a log that took the last block could never be made smaller again.
const RESERVE_PART: u64 = 20;
/// Zeros are written in pieces of this size.
const ZEROS_LEN: usize = 64 << 10;

/// One file of the log, open.
#[derive(Debug)]
pub(super) struct LogFile {
    pub start: u64,
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    /// Blocks exist up to here (position in the file).
    allocated: AtomicU64,
}

/// A position in the log's order that consumers may not see before it is flushed.
#[derive(Debug)]
pub(super) struct Unflushed {
    pub end: u64,
    pub queue: Arc<Queue>,
    pub queue_end: u64,
    pub tags_code: i64,
}

/// Where the newest published record is, for the hint and the checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastRecord {
    pub phy: u64,
    pub size: u32,
    pub store_timestamp: i64,
}

/// What is guarded by the log's lock.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// End of what has been given out.
    reserved: u64,
    last_timestamp: i64,
    current: Option<Arc<LogFile>>,
    next: Option<Arc<LogFile>>,
    /// Reservations that are being written.
    inflight: usize,
    /// Everything reserved from here on fails.
    failing_from: Option<u64>,
    /// Queues whose numbers have to go back when the last failing write is through.
    failed_queues: Vec<Arc<Queue>>,
    /// Bytes of failed writes, to be zeroed before they are used.
    dirty: Option<(u64, u64)>,
    stopped: Option<AppendError>,
    /// Why appends are refused for the time being.
    refusal: Option<AppendError>,
    last: LastRecord,
    /// Queues with units that are not in their files yet.
    pub dirty_queues: Vec<Arc<Queue>>,
    /// Under sync flush: units that become visible with the next flushes.
    pub unflushed: std::collections::VecDeque<Unflushed>,
    /// Units in memory, in bytes.
    pub tail_bytes: u64,
    /// Why they were not written to their files, if the last try failed.
    pub held_back: Option<String>,
}

/// A part of a batch that goes into one file.
#[derive(Debug)]
struct Segment {
    file: Arc<LogFile>,
    at: u64,
    bytes: std::ops::Range<usize>,
    /// Position (in the file) and length of the end-of-file record behind it.
    blank: Option<(u64, u64)>,
}

/// Pauses of the background threads.
#[derive(Debug, Default)]
struct Pauses {
    /// There are none any more.
    over: bool,
    /// How often those under way were ended.
    cut: u64,
}

/// The log.
#[derive(Debug)]
pub(super) struct CommitLog {
    disk: Arc<dyn Disk>,
    clock: Clock,
    pub dir: PathBuf,
    pub file_size: u64,
    descriptors: Arc<Descriptors>,
    /// Start of the first file.
    first: AtomicU64,
    head: Mutex<Head>,
    turn: Condvar,
    tail: LogTail,
    pub appended: Watermark,
    pub flushed: Watermark,
    /// One flush at a time; the one that failed. After it the system takes for written what is not, so that another
    /// sync would succeed and mean nothing.
    flush_lock: Mutex<Option<StepError>>,
    pub flush_times: FlushTimes,
    /// Files with bytes that may not be durable, oldest first.
    unflushed_files: Mutex<Vec<Arc<LogFile>>>,
    /// One who makes or removes files ahead at a time.
    allocate_lock: Mutex<()>,
    /// The allocator's bell: set when a file is half used.
    allocate_wanted: Mutex<bool>,
    allocate_bell: Condvar,
    /// Whether consumers wait for the flush.
    sync_visible: bool,
    tail_bytes_max: u64,
    tail_bytes_wanted: u64,
    derive_wanted: Mutex<bool>,
    derive_bell: Condvar,
    pauses: Mutex<Pauses>,
    pauses_bell: Condvar,
}

/// What recovery found out about the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogStart {
    pub first: u64,
    pub end: u64,
    /// Durable up to here; the files behind are synced with the first flush.
    pub flushed: u64,
    pub last: LastRecord,
}

impl CommitLog {
    #[expect(clippy::too_many_arguments, reason = "each is one thing the log owns")]
    pub fn new(
        disk: Arc<dyn Disk>,
        clock: Clock,
        dir: PathBuf,
        file_size: u64,
        descriptors: Arc<Descriptors>,
        sync_visible: bool,
        tail_bytes_max: u64,
        tail_bytes_wanted: u64,
        tail_cache_len: u64,
        start: LogStart,
    ) -> Result<Self, StepError> {
        let head = Head {
            reserved: start.end,
            last_timestamp: start.last.store_timestamp,
            last: start.last,
            ..Head::default()
        };
        let log = CommitLog {
            disk,
            clock,
            dir,
            file_size,
            descriptors,
            first: AtomicU64::new(start.first),
            head: Mutex::new(head),
            turn: Condvar::new(),
            tail: LogTail::new(tail_cache_len),
            appended: Watermark::new(start.end),
            flushed: Watermark::new(start.flushed),
            flush_lock: Mutex::default(),
            flush_times: FlushTimes::default(),
            unflushed_files: Mutex::default(),
            allocate_lock: Mutex::new(()),
            allocate_wanted: Mutex::new(true),
            allocate_bell: Condvar::new(),
            sync_visible,
            tail_bytes_max,
            tail_bytes_wanted,
            derive_wanted: Mutex::new(false),
            derive_bell: Condvar::new(),
            pauses: Mutex::default(),
            pauses_bell: Condvar::new(),
        };
        let mut file = log.file_start(start.flushed);
        while file < start.end {
            let opened = log.open_or_make(file)?;
            // What was written has its blocks: room is needed for what comes.
            opened.allocated.store((start.end - file).min(file_size), Ordering::Release);
            file += file_size;
        }
        Ok(log)
    }

    /// Largest record or group that fits into a file.
    pub fn record_max(&self) -> u64 {
        self.file_size - BLANK_LEN
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Start of the oldest file.
    pub fn min(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    pub fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock()
    }

    fn file_start(&self, position: u64) -> u64 {
        position - position % self.file_size
    }

    fn path_of(&self, start: u64) -> PathBuf {
        self.dir.join(file_name(start))
    }

    /// Stores a batch: see the head of this file.
    pub fn append(&self, batch: &mut Batch) -> Result<(), AppendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (start, end, segments) = self.reserve(batch)?;
        let written = write_segments(batch.bytes(), &segments);
        if written.is_ok() {
            for segment in &segments {
                self.tail.put(segment.file.start + segment.at, &batch.bytes()[segment.bytes.clone()]);
            }
        }
        self.publish(batch, start, end, written)
    }

    fn reserve(&self, batch: &mut Batch) -> Result<(u64, u64, SmallVec<[Segment; 2]>), AppendError> {
        let mut head = self.head.lock();
        while head.failing_from.is_some() {
            self.turn.wait(&mut head);
        }
        if let Some(refused) = self.why_refused(&head) {
            return Err(refused);
        }
        self.heal(&mut head)?;

        let timestamp = head.last_timestamp.max(i64::try_from(self.clock.now()).unwrap_or(i64::MAX));
        let start = head.reserved;
        let mut position = start;
        let mut segments: SmallVec<[Segment; 2]> = SmallVec::new();
        let mut segment_begin = 0; // in the batch's bytes
        let mut segment_at = start;
        let (mut current, mut next) = (head.current.clone(), head.next.clone());
        let (bytes, items) = batch.parts();
        let bytes_len = bytes.len();
        let mut index = 0;
        while index < items.len() {
            // A group is an item and the following ones that have to stay with it.
            let mut until = index + 1;
            let mut len = u64::from(items[index].len);
            while until < items.len() && items[until].joined {
                len += u64::from(items[until].len);
                until += 1;
            }
            let left = self.file_size - position % self.file_size;
            if len + BLANK_LEN > left {
                let boundary = position + left;
                let begin = items[index].at as usize;
                self.segment(
                    &mut segments,
                    (&mut current, &mut next),
                    segment_at,
                    segment_begin..begin,
                    Some((position % self.file_size, left)),
                )?;
                position = boundary;
                segment_at = boundary;
                segment_begin = begin;
            }
            for item in &mut items[index..until] {
                item.phy = position;
                item.store_timestamp = timestamp;
                position += u64::from(item.len);
            }
            index = until;
        }
        self.segment(&mut segments, (&mut current, &mut next), segment_at, segment_begin..bytes_len, None)?;

        for item in items.iter_mut() {
            item.queue_offset = item.queue.next.fetch_add(1, Ordering::Relaxed);
        }
        head.current = current;
        head.next = next;
        head.reserved = position;
        head.last_timestamp = timestamp;
        head.inflight += 1;
        drop(head);

        let (bytes, items) = batch.parts();
        for item in items.iter() {
            let record = &mut bytes[item.at as usize..(item.at + item.len) as usize];
            message::patch(record, item.queue_offset, item.phy, item.store_timestamp);
        }
        Ok((start, position, segments))
    }

    /// Adds the segment at `at`, with its file open and its blocks allocated.
    fn segment(
        &self,
        segments: &mut SmallVec<[Segment; 2]>,
        (current, next): (&mut Option<Arc<LogFile>>, &mut Option<Arc<LogFile>>),
        at: u64,
        bytes: std::ops::Range<usize>,
        blank: Option<(u64, u64)>,
    ) -> Result<(), AppendError> {
        let file_start = self.file_start(at);
        if current.as_ref().is_none_or(|file| file.start != file_start) {
            let file = match next.take() {
                Some(file) if file.start == file_start => file,
                _ => self.open_or_make(file_start).map_err(|error| self.refusal(error))?,
            };
            // Somebody else's broker, started on this directory by mistake, unlinks what it takes for empty files.
            if let Some(old) = current.as_ref().filter(|old| old.start < file_start)
                && old.file.links().unwrap_or(1) == 0
            {
                let reason = format!(
                    "the file {} was removed while it was written; is another broker started on {}?",
                    old.path.display(),
                    self.dir.display()
                );
                return Err(AppendError::Poisoned(reason));
            }
            let file = match file.file.links() {
                Ok(0) => {
                    self.descriptors.forget(LOG, |start| start == file_start);
                    self.unflushed_files.lock().retain(|other| other.start != file_start);
                    self.open_or_make(file_start).map_err(|error| self.refusal(error))?
                }
                _ => file,
            };
            *current = Some(file);
            self.want_allocation();
        }
        let Some(file) = current.clone() else { return Err(AppendError::ShuttingDown) };
        let in_file = at - file_start;
        let end = blank.map_or(in_file + bytes.len() as u64, |(position, _)| position + BLANK_LEN);
        self.allocate(&file, end)?;
        segments.push(Segment { file, at: in_file, bytes, blank });
        Ok(())
    }

    fn allocate(&self, file: &LogFile, end: u64) -> Result<(), AppendError> {
        let allocated = file.allocated.load(Ordering::Acquire);
        if end > allocated {
            let mut step = (end + ALLOCATE_STEP).min(self.file_size);
            if self.room_left(step - allocated).is_err() {
                step = end;
                self.room_left(end - allocated).map_err(AppendError::NoSpace)?;
            }
            let done = file.file.allocate(allocated, step - allocated).map(|()| step).or_else(|error| {
                // The disk is nearly full: take what this batch needs, to the last block.
                if is_no_space(error.kind()) {
                    file.file.allocate(allocated, end - allocated).map(|()| end)
                } else {
                    Err(error)
                }
            });
            match done {
                Ok(done) => file.allocated.fetch_max(done, Ordering::AcqRel),
                Err(error) => return Err(self.refusal(StepError::new("allocate blocks of", &file.path, error))),
            };
        }
        if self.file_size > file.allocated.load(Ordering::Acquire) && end + ALLOCATE_LOW > allocated {
            self.want_allocation();
        }
        Ok(())
    }

    /// Whether `len` more bytes leave enough for what is not the log, or why not.
    fn room_left(&self, len: u64) -> Result<(), String> {
        // What cannot be asked is found out by trying.
        let Ok(space) = self.disk.space(&self.dir) else { return Ok(()) };
        if space.used == 0 && space.free == 0 {
            return Ok(());
        }
        let reserve = (space.used.saturating_add(space.free) / RESERVE_PART).min(RESERVE_MAX);
        if space.free >= len.saturating_add(reserve) {
            return Ok(());
        }
        Err(format!(
            "{} has {} KiB free, and {} KiB are kept for queues, index and state files",
            self.dir.display(),
            space.free >> 10,
            reserve >> 10
        ))
    }

    fn refusal(&self, error: StepError) -> AppendError {
        if error.is_no_space() { AppendError::NoSpace(error.to_string()) } else { AppendError::Io(error.to_string()) }
    }

    /// Opens the file at `start`, or makes it with its full length.
    fn open_or_make(&self, start: u64) -> Result<Arc<LogFile>, StepError> {
        let path = self.path_of(start);
        if let Some(known) = self.unflushed_files.lock().iter().find(|file| file.start == start) {
            return Ok(known.clone());
        }
        let there = match self.disk.open(&path, Open::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other.map_err(|error| StepError::new("open", &path, error))?),
        };
        let len = there.as_ref().map_or(Ok(0), |file| file.len());
        let len = len.map_err(|error| StepError::new("look at", &path, error))?;
        let file = match there.filter(|_| len == self.file_size) {
            Some(file) => file,
            None => self.make(&path).map_err(|error| StepError::new("make", &path, error))?,
        };
        self.descriptors.put(LOG, start, file.clone());
        let file = Arc::new(LogFile { start, path, file, allocated: AtomicU64::new(0) });
        self.unflushed_files.lock().push(file.clone());
        Ok(file)
    }

    /// A durable file of full length. One of another length, or one whose name is not durable, would stop a later start.
    fn make(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.make(path, &|file| {
            file.set_len(self.file_size)?;
            file.sync_all()
        })?;
        self.disk.sync_dir(&self.dir).inspect_err(|_| {
            if let Err(left) = self.disk.remove_file(path) {
                tracing::error!("cannot remove the unfinished file {}: {left}", path.display());
            }
        })?;
        Ok(file)
    }

    /// Zeros what failed writes may have left, durably; afterwards the log can be written again.
    fn heal(&self, head: &mut Head) -> Result<(), AppendError> {
        let Some((from, to)) = head.dirty else { return Ok(()) };
        let zeros = vec![0; ZEROS_LEN];
        let mut position = from;
        while position < to {
            let start = self.file_start(position);
            let until = to.min(start + self.file_size);
            let file = self.open_or_make(start).map_err(|error| self.refusal(error))?;
            let healed = file.file.allocate(position - start, until - position).and_then(|()| {
                let mut at = position - start;
                while at < until - start {
                    let len = (until - start - at).min(ZEROS_LEN as u64);
                    file.file.write_all_at(&zeros[..len as usize], at)?;
                    at += len;
                }
                file.file.sync_data()
            });
            if let Err(error) = healed {
                return Err(self.refusal(StepError::new("zero the end of", &file.path, error)));
            }
            position = until;
        }
        head.dirty = None;
        Ok(())
    }

    /// Makes a written batch part of the log, in the order of the positions; or takes a failed one back.
    fn publish(
        &self,
        batch: &mut Batch,
        start: u64,
        end: u64,
        written: Result<(), StepError>,
    ) -> Result<(), AppendError> {
        let mut head = self.head.lock();
        let mut refusal = None;
        if let Err(error) = written {
            refusal = Some(if error.is_no_space() {
                AppendError::NoSpace(error.to_string())
            } else {
                let stop = AppendError::Poisoned(error.to_string());
                head.stopped.get_or_insert_with(|| stop.clone());
                stop
            });
            head.failing_from = Some(head.failing_from.map_or(start, |from| from.min(start)));
            self.turn.notify_all();
        }
        while self.appended.get() != start && head.failing_from.is_none_or(|from| from > start) {
            self.turn.wait(&mut head);
        }
        if head.failing_from.is_some_and(|from| from <= start) {
            let (from, to) = head.dirty.unwrap_or((start, end));
            head.dirty = Some((from.min(start), to.max(end)));
            let (_, items) = batch.parts();
            for item in items.iter() {
                if !head.failed_queues.iter().any(|queue| Arc::ptr_eq(queue, &item.queue)) {
                    head.failed_queues.push(item.queue.clone());
                }
            }
            self.finish_one(&mut head);
            return Err(refusal.unwrap_or_else(|| {
                head.stopped.clone().unwrap_or_else(|| {
                    AppendError::NoSpace("a batch in front of this one could not be written".to_string())
                })
            }));
        }
        let (_, items) = batch.parts();
        for item in items.iter() {
            let unit = super::layout::Unit { phy: item.phy, size: item.len, tags_code: item.unit_tags() };
            self.extend(&mut head, &item.queue, item.queue_offset, unit);
        }
        if let Some(item) = items.last() {
            head.last = LastRecord { phy: item.phy, size: item.len, store_timestamp: item.store_timestamp };
        }
        self.appended.advance(end);
        // Only now: a reader on another loop that sees a message must find its bytes below `appended`, or it would
        // take it for removed and go on behind it.
        if !self.sync_visible {
            let (_, items) = batch.parts();
            items.iter().for_each(|item| item.queue.show(item.queue_offset + 1));
        }
        batch.set_end(end);
        let units = head.tail_bytes;
        self.finish_one(&mut head);
        drop(head);
        if units > self.tail_bytes_wanted {
            self.want_derive();
        }
        Ok(())
    }

    fn finish_one(&self, head: &mut Head) {
        head.inflight -= 1;
        if head.inflight == 0 && head.failing_from.take().is_some() {
            head.reserved = self.appended.get();
            for queue in std::mem::take(&mut head.failed_queues) {
                queue.next.store(queue.end(), Ordering::Relaxed);
            }
            let start = self.file_start(head.reserved);
            if head.current.as_ref().is_some_and(|file| file.start != start) {
                head.current = None;
            }
        }
        self.turn.notify_all();
    }

    /// Extends a queue's tail by one unit. Consumers see it once `appended` is behind it, or with the flush.
    pub fn extend(&self, head: &mut Head, queue: &Arc<Queue>, queue_offset: u64, unit: super::layout::Unit) {
        let end = unit.phy + u64::from(unit.size);
        if queue.push(unit) {
            head.dirty_queues.push(queue.clone());
        }
        head.tail_bytes += super::layout::UNIT_LEN;
        debug_assert_eq!(queue.end(), queue_offset + 1, "a queue's units follow its numbers");
        if self.sync_visible {
            let tags_code = unit.tags_code;
            head.unflushed.push_back(Unflushed { end, queue: queue.clone(), queue_end: queue_offset + 1, tags_code });
        }
    }

    /// Position and newest record of what is published, under the lock.
    pub fn published(&self, head: &Head) -> (u64, LastRecord) {
        (self.appended.get(), head.last)
    }

    /// Makes durable whatever is appended now; returns what is durable afterwards. An error poisons the log, for lack of
    /// room too: nobody has these bytes but the page cache.
    pub fn flush(&self) -> Result<u64, StepError> {
        let mut failed = self.flush_lock.lock();
        if let Some(error) = &*failed {
            return Err(error.clone());
        }
        let target = self.appended.get();
        if target <= self.flushed.get() {
            return Ok(target);
        }
        let files: Vec<Arc<LogFile>> =
            self.unflushed_files.lock().iter().filter(|file| file.start < target).cloned().collect();
        for file in files {
            let began = self.flush_times.begin();
            let synced = file.file.sync_data();
            self.flush_times.end(began);
            if let Err(error) = synced {
                let error = StepError::new("make durable", &file.path, error);
                self.stop(AppendError::Poisoned(error.to_string()));
                *failed = Some(error.clone());
                return Err(error);
            }
            let end = file.start + self.file_size;
            if end <= target {
                self.unflushed_files.lock().retain(|other| other.start != file.start);
            }
            self.flushed.advance(end.min(target));
        }
        // Everything up to `target` was in the files just synced.
        self.flushed.advance(target);
        Ok(target)
    }

    /// Ends appending for good; the first reason stays.
    pub fn stop(&self, reason: AppendError) -> bool {
        let mut head = self.head.lock();
        let first = head.stopped.is_none();
        head.stopped.get_or_insert(reason);
        first
    }

    /// Waits until nothing is being written; call after `stop`.
    pub fn drain(&self) {
        let mut head = self.head.lock();
        while head.inflight > 0 {
            self.turn.wait(&mut head);
        }
    }

    /// Whether the file being written still has a name: a Java broker that is started on a live store by mistake unlinks
    /// files before it notices (STORE 1).
    pub fn check_name(&self) -> Result<(), StepError> {
        let current = self.head.lock().current.clone();
        match current {
            Some(file) if file.file.links().is_ok_and(|links| links == 0) => {
                let gone = io::Error::other("it was removed while it was written; is another broker started here?");
                Err(StepError::new("write on to", &file.path, gone))
            }
            _ => Ok(()),
        }
    }

    /// Why nothing can be appended, if so.
    pub fn stopped(&self) -> Option<AppendError> {
        self.head.lock().stopped.clone()
    }

    /// Why appends are refused, for good or for the time being.
    pub fn refused(&self) -> Option<AppendError> {
        self.why_refused(&self.head.lock())
    }

    fn why_refused(&self, head: &Head) -> Option<AppendError> {
        if let Some(refused) = head.stopped.as_ref().or(head.refusal.as_ref()) {
            return Some(refused.clone());
        }
        (head.tail_bytes > self.tail_bytes_max).then(|| {
            let why = head.held_back.as_deref().unwrap_or("they come faster than they are written");
            AppendError::NoSpace(format!("{} bytes of consume queues wait in memory: {why}", head.tail_bytes))
        })
    }

    /// Refuses appends until this is called with `None`.
    pub fn refuse(&self, refusal: Option<AppendError>) {
        self.head.lock().refusal = refusal;
    }

    fn want_allocation(&self) {
        *self.allocate_wanted.lock() = true;
        self.allocate_bell.notify_one();
    }

    /// Asks for a derive step before its time.
    pub fn want_derive(&self) {
        *self.derive_wanted.lock() = true;
        self.derive_bell.notify_one();
    }

    /// Blocks until a derive step is asked for, or `timeout` has passed.
    pub fn wait_for_derive(&self, timeout: std::time::Duration) {
        let mut wanted = self.derive_wanted.lock();
        if !*wanted {
            self.derive_bell.wait_for(&mut wanted, timeout);
        }
        *wanted = false;
    }

    /// A pause of a background thread, which `wake_all` and `cut_pauses` end. `timeout` is asked under the lock: what
    /// changes it before `cut_pauses` is never slept over.
    pub fn sleep(&self, timeout: impl FnOnce() -> std::time::Duration) {
        let mut pauses = self.pauses.lock();
        let deadline = std::time::Instant::now() + timeout();
        let cut = pauses.cut;
        while !pauses.over && pauses.cut == cut {
            if self.pauses_bell.wait_until(&mut pauses, deadline).timed_out() {
                return;
            }
        }
    }

    /// Ends the pauses that are under way: they may be longer than what is wanted now.
    pub fn cut_pauses(&self) {
        self.pauses.lock().cut += 1;
        self.pauses_bell.notify_all();
        self.want_derive();
    }

    /// Ends every pause, for good.
    pub fn wake_all(&self) {
        self.pauses.lock().over = true;
        self.pauses_bell.notify_all();
        self.want_allocation();
        self.want_derive();
    }

    /// Blocks until the allocator has something to do, or `timeout` has passed.
    pub fn wait_for_allocation(&self, timeout: std::time::Duration) {
        let mut wanted = self.allocate_wanted.lock();
        if !*wanted {
            self.allocate_bell.wait_for(&mut wanted, timeout);
        }
        *wanted = false;
    }

    /// Makes the next file and allocates blocks ahead, so that appends find both.
    pub fn allocate_step(&self) -> Result<(), StepError> {
        let _one = self.allocate_lock.lock();
        let (current, has_next, reserved, stopped) = {
            let head = self.head.lock();
            (head.current.clone(), head.next.is_some(), head.reserved, head.stopped.is_some())
        };
        let Some(current) = current.filter(|_| !stopped) else { return Ok(()) };
        let used = reserved.saturating_sub(current.start).min(self.file_size);
        let allocated = current.allocated.load(Ordering::Acquire);
        if allocated < self.file_size && used + ALLOCATE_LOW > allocated {
            let until = (used + ALLOCATE_STEP).min(self.file_size);
            let step = until.saturating_sub(allocated);
            if self.room_left(step).is_err() {
                // Appends take what they need, or are refused with the reason.
                return Ok(());
            }
            current
                .file
                .allocate(allocated, step)
                .map_err(|error| StepError::new("allocate blocks of", &current.path, error))?;
            current.allocated.fetch_max(until, Ordering::AcqRel);
        }
        if !has_next && self.room_left(ALLOCATE_STEP.min(self.file_size)).is_ok() {
            let next = self.open_or_make(current.start + self.file_size)?;
            let first = ALLOCATE_STEP.min(self.file_size);
            next.file.allocate(0, first).map_err(|error| StepError::new("allocate blocks of", &next.path, error))?;
            next.allocated.fetch_max(first, Ordering::AcqRel);
            let mut head = self.head.lock();
            if head.next.is_none() && head.current.as_ref().is_some_and(|file| file.start < next.start) {
                head.next = Some(next);
            }
        }
        Ok(())
    }

    /// Removes files made ahead that hold nothing; for a clean stop (STORE 13.1 rule 3).
    pub fn remove_empty_files(&self) -> Result<(), StepError> {
        let _one = self.allocate_lock.lock();
        let mut head = self.head.lock();
        head.next = None;
        let end = self.appended.get();
        let keep_until = self.file_start(end.saturating_sub(1)) + self.file_size;
        let entries = match self.disk.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| StepError::new("list", &self.dir, error))?,
        };
        let mut removed = false;
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            let Some(start) = super::layout::parse_file_name(&entry.name) else { continue };
            if start >= keep_until || end == 0 {
                self.descriptors.forget(LOG, |other| other == start);
                self.unflushed_files.lock().retain(|file| file.start != start);
                let path = self.path_of(start);
                self.disk.remove_file(&path).map_err(|error| StepError::new("remove", &path, error))?;
                removed = true;
            }
        }
        if removed {
            self.disk.sync_dir(&self.dir).map_err(|error| StepError::new("make durable", &self.dir, error))?;
        }
        Ok(())
    }

    /// When the newest record below `end`, a file's end, was stored at the latest, milliseconds: the next one is not older.
    /// `None` when nothing readable tells.
    pub fn newest_time_below(&self, end: u64) -> Result<Option<i64>, ReadError> {
        let mut start = end;
        while start < self.appended.get() {
            let mut front = [0; TIMESTAMP_WITHIN];
            match self.read(start, &mut front, true) {
                Ok(()) => {
                    if let Some(time) = front_time(&front, start) {
                        return Ok(Some(time));
                    }
                }
                Err(ReadError::Gone) => {}
                Err(error) => return Err(error),
            }
            start += self.file_size;
        }
        let last = self.head.lock().last;
        Ok((last.size > 0).then_some(last.store_timestamp))
    }

    /// Removes the first file, not durably yet; returns its path. The caller has made sure that it is not the last.
    pub fn remove_first(&self) -> Result<PathBuf, StepError> {
        let start = self.min();
        let path = self.path_of(start);
        self.disk.remove_file(&path).map_err(|error| StepError::new("remove", &path, error))?;
        self.first.store(start + self.file_size, Ordering::Release);
        // Also what a reader opened again since the last removal.
        self.descriptors.forget(LOG, |other| other <= start);
        Ok(path)
    }

    /// Gives back memory of newest bytes that nobody wrote to lately.
    pub fn release_idle_tail(&self) {
        self.tail.release_idle();
    }

    /// Appends `len` bytes from `position` on to `out`, or nothing when it fails; otherwise as `read`.
    pub fn read_to(&self, position: u64, len: usize, out: &mut BytesMut, wait: bool) -> Result<(), ReadError> {
        let end = position.checked_add(len as u64).ok_or(ReadError::Gone)?;
        if position >= self.min() && end <= self.appended.get() && self.tail.read(position, len, out) {
            return Ok(());
        }
        let at = out.len();
        out.resize(at + len, 0);
        let read = self.read(position, &mut out[at..], wait);
        if read.is_err() {
            out.truncate(at);
        }
        read
    }

    /// Fills `buf` from `position`; the bytes have to lie in one file and below `appended`.
    pub fn read(&self, position: u64, buf: &mut [u8], wait: bool) -> Result<(), ReadError> {
        let end = position.checked_add(buf.len() as u64).ok_or(ReadError::Gone)?;
        let start = self.file_start(position);
        if position < self.min() || end > self.appended.get() || end > start + self.file_size {
            return Err(ReadError::Gone);
        }
        let path = || self.path_of(start);
        let file = match self.descriptors.get(LOG, start, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::Gone),
            other => other.map_err(|source| ReadError::Io { path: path(), source })?,
        };
        let read = if wait {
            file.read_exact_at(buf, position - start)
        } else {
            file.try_read_exact_at(buf, position - start)
        };
        read.map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => ReadError::WouldBlock,
            io::ErrorKind::UnexpectedEof => ReadError::Gone,
            _ => ReadError::Io { path: path(), source },
        })
    }

    /// The file that starts at `start`, open; `None` when it is not there (any more).
    pub fn file(&self, start: u64) -> Result<Option<Arc<dyn DiskFile>>, ReadError> {
        let path = || self.path_of(start);
        match self.descriptors.get(LOG, start, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(|source| ReadError::Io { path: path(), source }),
        }
    }
}

fn write_segments(bytes: &[u8], segments: &[Segment]) -> Result<(), StepError> {
    for segment in segments {
        let name = |error| StepError::new("write to", &segment.file.path, error);
        if !segment.bytes.is_empty() {
            segment.file.file.write_all_at(&bytes[segment.bytes.clone()], segment.at).map_err(name)?;
        }
        if let Some((at, left)) = segment.blank {
            let mut blank = [0; BLANK_LEN as usize];
            blank[..4].copy_from_slice(&(left as u32).to_be_bytes());
            blank[4..].copy_from_slice(&message::MAGIC_BLANK.to_be_bytes());
            segment.file.file.write_all_at(&blank, at).map_err(name)?;
        }
    }
    Ok(())
}
