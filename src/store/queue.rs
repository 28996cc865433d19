//! A queue: its numbers, its in-memory tail, and its files of 20-byte units in Java's layout (STORE 4.5).
//!
//! ```text
//!  files: units [.., tail.first)      tail: units [tail.first, end)      next ≥ end ≥ visible ≥ min
//! ```
//!
//! It must never know what a record looks like, and never allocates a file ahead: an empty last file is poison to Java
//! (STORE 8.2).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::descriptors::Descriptors;
use super::error::{ReadError, StepError};
use super::layout::{UNIT_LEN, Unit, file_name, queue_dir, queues_dir};
use crate::base::disk::{Disk, DiskFile};
use crate::base::position::{QueueId, QueueOffset};

/// Pre-blank units are written in pieces of so many.
const BLANKS_AT_ONCE: u64 = 4096;

/// What queues need of their store.
#[derive(Debug)]
pub(super) struct QueueFiles {
    pub disk: Arc<dyn Disk>,
    pub descriptors: Arc<Descriptors>,
    pub root: PathBuf,
    pub file_size: u64,
}

#[derive(Debug, Default)]
struct Tail {
    /// Logical index of the first unit in `units`.
    first: u64,
    /// Encoded units that are not in the files yet.
    units: Vec<u8>,
    /// Byte positions of the queue's files: start of the first, end of the last. Equal: no file.
    files: (u64, u64),
    /// Record end of the newest unit, in the log.
    end_phy: u64,
}

/// One queue of one topic.
pub struct Queue {
    topic: Arc<str>,
    id: QueueId,
    /// Number for the table of descriptors.
    pub(super) owner: u64,
    /// Number of the next record; only moved under the log's lock.
    pub(super) next: AtomicU64,
    end: AtomicU64,
    visible: AtomicU64,
    min: AtomicU64,
    /// Bytes of records since the process began, for statistics.
    bytes_put: AtomicU64,
    put_ms: AtomicU64,
    deleted: AtomicBool,
    tail: Mutex<Tail>,
    files: Arc<QueueFiles>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({} {} [{}, {}))", self.topic, self.id, self.min(), self.max())
    }
}

/// What writes of queues' tails touched, and whose units stay in memory until all of it is durable.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub files: Vec<(PathBuf, Arc<dyn DiskFile>)>,
    /// Directories that got a file or a directory, not durably yet.
    pub dirs: BTreeSet<PathBuf>,
    written: Vec<Written>,
    /// Bytes of units that left the memory.
    bytes: u64,
}

/// Units of a queue that are in its files, perhaps not durably.
#[derive(Debug)]
struct Written {
    queue: Arc<Queue>,
    bytes: usize,
    /// Byte positions of its files with them.
    files: (u64, u64),
}

impl Touched {
    /// Everything touched is durable: what was written leaves the memory. Returns how many bytes, and adds the queues
    /// that have units left to `left`.
    pub fn settle(self, left: &mut Vec<Arc<Queue>>) -> u64 {
        let mut bytes = self.bytes;
        for Written { queue, bytes: written, files } in self.written {
            bytes += written as u64;
            if !queue.settle(written, files) {
                left.push(queue);
            }
        }
        bytes
    }

    /// It did not become durable. What a failed sync leaves on the disk nobody knows, and another one would not tell: the
    /// next step writes the same units again. Returns and adds as `settle` does.
    pub fn give_up(self, left: &mut Vec<Arc<Queue>>) -> u64 {
        left.extend(self.written.into_iter().map(|written| written.queue));
        self.bytes
    }
}

impl Queue {
    fn new(files: Arc<QueueFiles>, topic: Arc<str>, id: QueueId, owner: u64) -> Self {
        Queue {
            topic,
            id,
            owner,
            next: AtomicU64::new(0),
            end: AtomicU64::new(0),
            visible: AtomicU64::new(0),
            min: AtomicU64::new(0),
            bytes_put: AtomicU64::new(0),
            put_ms: AtomicU64::new(0),
            deleted: AtomicBool::new(false),
            tail: Mutex::default(),
            files,
        }
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its number within the topic.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Index of the oldest message; equal to `max` when there is none.
    pub fn min(&self) -> QueueOffset {
        QueueOffset(self.min.load(Ordering::Acquire).min(self.visible.load(Ordering::Acquire)))
    }

    /// Index behind the newest message that consumers may see.
    pub fn max(&self) -> QueueOffset {
        QueueOffset(self.visible.load(Ordering::Acquire))
    }

    /// Bytes of records that came to this queue since the process began; for statistics.
    pub fn bytes_put(&self) -> u64 {
        self.bytes_put.load(Ordering::Relaxed)
    }

    /// Says that storing one of its records took so long; what took less than a millisecond need not be said.
    pub fn put_took(&self, took_ms: u64) {
        self.put_ms.fetch_add(took_ms, Ordering::Relaxed);
    }

    /// What was said of that since the store was opened.
    pub fn put_ms(&self) -> u64 {
        self.put_ms.load(Ordering::Relaxed)
    }

    /// Index behind the newest message in the log.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Record end (in the log) of the newest unit; 0 without units.
    pub(super) fn end_phy(&self) -> u64 {
        self.tail.lock().end_phy
    }

    pub(super) fn set_min(&self, min: u64) {
        self.min.store(min, Ordering::Release);
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Adds a unit behind the newest; true when the tail was empty before.
    pub(super) fn push(&self, unit: Unit) -> bool {
        let mut tail = self.tail.lock();
        let was_empty = tail.units.is_empty();
        tail.units.extend_from_slice(&unit.encode());
        tail.end_phy = unit.end().max(tail.end_phy);
        self.end.fetch_add(1, Ordering::AcqRel);
        self.bytes_put.fetch_add(u64::from(unit.size), Ordering::Relaxed);
        was_empty
    }

    /// Lets consumers see the units below `end`.
    pub(super) fn show(&self, end: u64) {
        debug_assert!(end <= self.end());
        self.visible.fetch_max(end, Ordering::AcqRel);
    }

    /// State after recovery looked at the files: byte positions of the files, units in them, record end of the last.
    pub(super) fn restore(&self, files: (u64, u64), end: u64, end_phy: u64) {
        let mut tail = self.tail.lock();
        *tail = Tail { first: end, units: Vec::new(), files, end_phy };
        self.end.store(end, Ordering::Release);
        self.next.store(end, Ordering::Release);
        self.visible.store(end, Ordering::Release);
        let first = if files.0 < files.1 { files.0 / UNIT_LEN } else { end };
        self.min.store(first, Ordering::Release);
    }

    /// Whether it has no unit at all, neither in files nor in memory.
    pub(super) fn has_no_units(&self) -> bool {
        let tail = self.tail.lock();
        tail.files.0 == tail.files.1 && tail.units.is_empty()
    }

    /// Puts the queue's numbers to `first`, for a queue without units whose first record has that number.
    pub(super) fn begin_at(&self, first: u64) {
        let mut tail = self.tail.lock();
        debug_assert!(tail.units.is_empty());
        tail.first = first;
        for number in [&self.end, &self.next, &self.visible, &self.min] {
            number.store(first, Ordering::Release);
        }
    }

    fn path_of(&self, start: u64) -> PathBuf {
        queue_dir(&self.files.root, &self.topic, self.id.0).join(file_name(start))
    }

    fn file(&self, start: u64) -> Result<Arc<dyn DiskFile>, ReadError> {
        let path = || self.path_of(start);
        self.files.descriptors.get(self.owner, start, path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ReadError::Gone,
            _ => ReadError::Io { path: path(), source },
        })
    }

    /// Copies units from index `from` on into `buf` (a multiple of 20 bytes), at most up to the end of a file;
    /// returns how many. `wait` as in `Store::read_into`.
    pub(super) fn units(&self, from: u64, buf: &mut [u8], wait: bool) -> Result<usize, ReadError> {
        let in_files = {
            let tail = self.tail.lock();
            if from >= tail.first {
                let at = ((from - tail.first) * UNIT_LEN) as usize;
                let Some(units) = tail.units.get(at..) else { return Ok(0) };
                let len = units.len().min(buf.len());
                buf[..len].copy_from_slice(&units[..len]);
                return Ok(len / UNIT_LEN as usize);
            }
            tail.first - from
        };
        let position = from * UNIT_LEN;
        let in_file = position % self.files.file_size;
        let len = (buf.len() as u64).min(in_files * UNIT_LEN).min(self.files.file_size - in_file);
        let file = self.file(position - in_file)?;
        let buf = &mut buf[..len as usize];
        let read = if wait { file.read_exact_at(buf, in_file) } else { file.try_read_exact_at(buf, in_file) };
        read.map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => ReadError::WouldBlock,
            io::ErrorKind::UnexpectedEof => ReadError::Gone,
            _ => ReadError::Io { path: self.path_of(position - in_file), source },
        })?;
        Ok((len / UNIT_LEN) as usize)
    }

    /// The unit at `index`, waiting for the device if need be.
    pub(super) fn unit(&self, index: u64) -> Result<Option<Unit>, ReadError> {
        let mut buf = [0; UNIT_LEN as usize];
        Ok(if self.units(index, &mut buf, true)? == 1 { Unit::decode(&buf) } else { None })
    }

    /// Writes the units whose records end at or below `limit` to the files. They leave the memory with `Touched::settle`,
    /// once the caller has synced what was touched. One caller at a time.
    pub(super) fn write_tail(self: &Arc<Self>, limit: u64, touched: &mut Touched) -> Result<(), StepError> {
        if self.is_deleted() {
            let mut tail = self.tail.lock();
            touched.bytes += tail.units.len() as u64;
            tail.first += tail.units.len() as u64 / UNIT_LEN;
            tail.units = Vec::new();
            return Ok(());
        }
        let (first, units, mut files) = {
            let tail = self.tail.lock();
            let mut len = tail.units.len();
            while len > 0
                && Unit::decode(&tail.units[len - UNIT_LEN as usize..len]).is_some_and(|unit| unit.end() > limit)
            {
                len -= UNIT_LEN as usize;
            }
            (tail.first, tail.units[..len].to_vec(), tail.files)
        };
        let before = files;
        let wrote = self.write_units(first, &units, &mut files, touched);
        if wrote.is_err() {
            self.unmake(before, files);
        }
        wrote?;
        touched.written.push(Written { queue: self.clone(), bytes: units.len(), files });
        Ok(())
    }

    /// Writes encoded units from index `first` on, into files that are made where they are missing.
    fn write_units(
        &self,
        first: u64,
        units: &[u8],
        files: &mut (u64, u64),
        touched: &mut Touched,
    ) -> Result<(), StepError> {
        let mut written = 0;
        while written < units.len() {
            let position = first * UNIT_LEN + written as u64;
            let in_file = position % self.files.file_size;
            let start = position - in_file;
            let len = (units.len() - written).min((self.files.file_size - in_file) as usize);
            self.write_into(start, in_file, &units[written..written + len], files, touched)?;
            written += len;
        }
        Ok(())
    }

    /// Removes the files that were made in vain, newest first and each durably, so that no power cut leaves a gap: a
    /// queue's last file without a unit is poison to Java, and a full disk may stay full for long (STORE 13.1 rule 24).
    fn unmake(&self, before: (u64, u64), files: (u64, u64)) {
        let kept = if before.0 < before.1 { before.1 } else { files.0 };
        let mut end = files.1;
        while end > kept {
            end -= self.files.file_size;
            self.files.descriptors.forget(self.owner, |start| start == end);
            let removed = self.files.disk.remove_file(&self.path_of(end));
            if let Err(error) = removed.and_then(|()| self.files.disk.sync_dir(&self.dir())) {
                tracing::error!("cannot remove the unfinished file {}: {error}", self.path_of(end).display());
                return;
            }
        }
    }

    /// Drops the first `written` bytes of units, which are durable in `files`; whether none are left.
    fn settle(&self, written: usize, files: (u64, u64)) -> bool {
        let mut tail = self.tail.lock();
        tail.files = files;
        tail.first += written as u64 / UNIT_LEN;
        if written == tail.units.len() {
            tail.units = Vec::new();
        } else {
            tail.units.drain(..written);
        }
        tail.units.is_empty()
    }

    /// Writes units into the file at byte position `start`, from its byte `in_file` on. A new file has them from its
    /// beginning: Java does not start with an empty one (STORE 13.1 rule 24), not even after a kill.
    fn write_into(
        &self,
        start: u64,
        in_file: u64,
        units: &[u8],
        files: &mut (u64, u64),
        touched: &mut Touched,
    ) -> Result<(), StepError> {
        let path = self.path_of(start);
        let known = files.0 < files.1;
        if known && start >= files.0 && start < files.1 {
            let file = self
                .files
                .descriptors
                .get(self.owner, start, || path.clone())
                .map_err(|error| StepError::new("open", &path, error))?;
            // One queue after the other: only its own last file can be there already.
            if touched.files.last().is_none_or(|(other, _)| *other != path) {
                touched.files.push((path.clone(), file.clone()));
            }
            return file.write_all_at(units, in_file).map_err(|error| StepError::new("write to", &path, error));
        }
        let disk = &*self.files.disk;
        let dir = self.dir();
        // Ten thousand new queues are made durable together, by the caller. But of one queue never two files: if only the
        // second survived a power cut, the first would be missing in front of it.
        if touched.dirs.contains(&dir) {
            self.sync_made(touched)?;
        }
        disk.make_dirs(&dir).map_err(|error| StepError::new("make the directory", &dir, error))?;
        let made = disk.make(&path, &|file| {
            file.set_len(self.files.file_size)?;
            // The first file of a queue that starts late: nothing stands in front of its first unit.
            let mut at = if known { in_file } else { 0 };
            while at < in_file {
                let count = ((in_file - at) / UNIT_LEN).min(BLANKS_AT_ONCE);
                file.write_all_at(&Unit::PRE_BLANK.encode().repeat(count as usize), at)?;
                at += count * UNIT_LEN;
            }
            file.write_all_at(units, in_file)
        });
        let file = made.map_err(|error| StepError::new("make", &path, error))?;
        // The queue's, its topic's and that of all topics.
        touched.dirs.extend(dir.ancestors().take(3).map(Path::to_path_buf));
        self.files.descriptors.put(self.owner, start, file.clone());
        *files = if known { (files.0, start + self.files.file_size) } else { (start, start + self.files.file_size) };
        touched.files.push((path, file));
        Ok(())
    }

    /// Makes the file durable that this queue got last in this step.
    fn sync_made(&self, touched: &Touched) -> Result<(), StepError> {
        let Some((path, file)) = touched.files.last() else { return Ok(()) };
        file.sync_all().map_err(|error| StepError::new("make durable", path, error))?;
        for dir in self.dir().ancestors().take(3) {
            let synced = self.files.disk.sync_dir(dir);
            synced.map_err(|error| StepError::new("make durable", dir, error))?;
        }
        Ok(())
    }

    /// Where its files are.
    pub(super) fn dir(&self) -> PathBuf {
        queue_dir(&self.files.root, &self.topic, self.id.0)
    }

    /// Removes its first file, not durably yet, if no unit in it leads to a message any more and it is not the last; true if
    /// it did. No tail may be written meanwhile.
    pub(super) fn remove_first_file(&self) -> Result<bool, StepError> {
        let (start, end) = self.tail.lock().files;
        let next = start + self.files.file_size;
        if next >= end || next / UNIT_LEN > self.min.load(Ordering::Acquire) || self.is_deleted() {
            return Ok(false);
        }
        let path = self.path_of(start);
        self.files.disk.remove_file(&path).map_err(|error| StepError::new("remove", &path, error))?;
        self.tail.lock().files.0 = next;
        self.files.descriptors.forget(self.owner, |other| other <= start);
        Ok(true)
    }

    /// Index behind the newest unit that is in a file; 0 without files.
    pub(super) fn units_in_files(&self) -> u64 {
        let tail = self.tail.lock();
        if tail.files.0 < tail.files.1 { tail.first } else { 0 }
    }

    /// Bytes of units in memory.
    pub(super) fn tail_len(&self) -> u64 {
        self.tail.lock().units.len() as u64
    }

    /// Makes `min` the first unit whose record is not below `log_min` (STORE 8.2; all gone: min = max).
    pub(super) fn correct_min(&self, log_min: u64) -> Result<(), ReadError> {
        let first = self.first_from(log_min)?;
        self.set_min(first);
        Ok(())
    }

    /// The first unit from `min` on whose record is not below `position`; the end when there is none.
    pub(super) fn first_from(&self, position: u64) -> Result<u64, ReadError> {
        let (mut low, mut high) = (self.min.load(Ordering::Acquire), self.end());
        // Pre-blank units count as below everything, also when the log starts at 0.
        let below = |index: u64| -> Result<bool, ReadError> {
            Ok(self.unit(index)?.is_none_or(|unit| unit.is_pre_blank() || unit.phy < position))
        };
        if low >= high || !below(low)? {
            return Ok(low);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if below(middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

type ByTopic = HashMap<Arc<str>, BTreeMap<u32, Arc<Queue>>>;

/// All queues of a store.
#[derive(Debug)]
pub(super) struct Queues {
    files: Arc<QueueFiles>,
    by_topic: RwLock<ByTopic>,
    owners: AtomicU64,
}

impl Queues {
    pub fn new(files: Arc<QueueFiles>) -> Self {
        // Owner 0 is the log.
        Queues { files, by_topic: RwLock::default(), owners: AtomicU64::new(1) }
    }

    pub fn find(&self, topic: &str, id: u32) -> Option<Arc<Queue>> {
        self.by_topic.read().get(topic)?.get(&id).cloned()
    }

    pub fn get(&self, topic: &str, id: u32) -> Arc<Queue> {
        if let Some(queue) = self.find(topic, id) {
            return queue;
        }
        let mut by_topic = self.by_topic.write();
        let name = match by_topic.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => Arc::from(topic),
        };
        let queues = by_topic.entry(name.clone()).or_default();
        let make = || {
            let owner = self.owners.fetch_add(1, Ordering::Relaxed);
            Arc::new(Queue::new(self.files.clone(), name.clone(), QueueId(id), owner))
        };
        queues.entry(id).or_insert_with(make).clone()
    }

    pub fn of_topic(&self, topic: &str) -> Vec<Arc<Queue>> {
        self.by_topic.read().get(topic).map(|queues| queues.values().cloned().collect()).unwrap_or_default()
    }

    pub fn all(&self) -> Vec<Arc<Queue>> {
        self.by_topic.read().values().flat_map(|queues| queues.values().cloned()).collect()
    }

    pub fn topics(&self) -> Vec<Arc<str>> {
        self.by_topic.read().keys().cloned().collect()
    }

    /// Forgets a topic's queues and removes their files. No tail may be written meanwhile.
    pub fn delete(&self, topic: &str) -> Result<(), StepError> {
        let gone = self.by_topic.write().remove(topic);
        for queue in gone.iter().flat_map(|queues| queues.values()) {
            queue.deleted.store(true, Ordering::Release);
            self.files.descriptors.forget(queue.owner, |_| true);
        }
        let disk = &*self.files.disk;
        let dir = queues_dir(&self.files.root).join(topic);
        if remove_tree(disk, &dir, 2)? {
            let parent = queues_dir(&self.files.root);
            disk.sync_dir(&parent).map_err(|error| StepError::new("make durable", &parent, error))?;
        }
        Ok(())
    }
}

/// Removes a directory with its files and sub-directories down to `depth`; false when there is none.
fn remove_tree(disk: &dyn Disk, dir: &Path, depth: u32) -> Result<bool, StepError> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|error| StepError::new("list", dir, error))?,
    };
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.is_dir && depth > 0 {
            remove_tree(disk, &path, depth - 1)?;
        } else {
            disk.remove_file(&path).map_err(|error| StepError::new("remove", &path, error))?;
        }
    }
    disk.remove_dir(dir).map_err(|error| StepError::new("remove", dir, error))?;
    Ok(true)
}
