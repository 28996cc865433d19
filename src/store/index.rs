//! The key index in Java's layout (STORE 4.8): `index/<yyyyMMddHHmmssSSS>`, a hash table over `topic#key` with chains.
//!
//! ```text
//! header 40 | slots × i32: newest entry | entries × 20: i32 hash, i64 phy, i32 seconds, i32 previous entry (0: end)
//!  0 i64 begin time  8 i64 end time  16 i64 begin phy  24 i64 end phy  32 i32 slots in use  36 i32 next entry (from 1)
//! ```
//!
//! Built in batches, off the path of messages: entries are written and synced, then slots and header. So a slot never
//! points to an entry that a power cut could take, and after a crash the newest slots lead back to what the header
//! covers. It must never know how records are found.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{ReadError, StepError};
use crate::base::clock::Clock;
use crate::base::disk::{Disk, DiskFile, Open};
use crate::base::local_time::{Civil, Zone};
use crate::wire::message::{RecordView, java_hash, properties, sys_flag};

pub(super) const HEADER_LEN: u64 = 40;
const SLOT_LEN: u64 = 4;
const ENTRY_LEN: u64 = 20;
/// Slots are read and written in pieces of this alignment …
const PAGE_LEN: u64 = 4096;
/// … joined over small gaps up to this length.
const RUN_LEN_MAX: u64 = 256 << 10;
/// Entries of one chain that a query follows at most.
const CHAIN_MAX: u32 = 1 << 20;

/// One key of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub hash: u32,
    pub phy: u64,
    pub store_timestamp: i64,
}

/// The fixed part of an index file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub begin_timestamp: i64,
    pub end_timestamp: i64,
    pub begin_phy: i64,
    pub end_phy: i64,
    pub slot_count: u32,
    /// Number of the next entry; 1 in an empty file.
    pub next: u32,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_LEN as usize] {
        let mut bytes = [0; HEADER_LEN as usize];
        bytes[..8].copy_from_slice(&self.begin_timestamp.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.end_timestamp.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.begin_phy.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.end_phy.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.slot_count.to_be_bytes());
        bytes[36..].copy_from_slice(&self.next.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8; HEADER_LEN as usize]) -> Header {
        let i64_at = |at: usize| i64::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let u32_at = |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        Header {
            begin_timestamp: i64_at(0),
            end_timestamp: i64_at(8),
            begin_phy: i64_at(16),
            end_phy: i64_at(24),
            slot_count: u32_at(32),
            next: u32_at(36).max(1),
        }
    }

    fn is_empty(&self) -> bool {
        self.next <= 1
    }
}

#[derive(Debug)]
struct IndexFile {
    name: u64,
    header: Header,
    file: Arc<dyn DiskFile>,
}

/// What recovery says of the index when the store is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IndexStart {
    /// End of the log.
    pub log_end: u64,
    /// The newest file and its header as they were known to be durable.
    pub durable: Option<(u64, Header)>,
    /// Whether slots may point beyond the header.
    pub unclean: bool,
}

/// What opening found.
#[derive(Debug, Default)]
pub(super) struct IndexFindings {
    /// Entries or files beyond the log's end were cut.
    pub cut: bool,
    /// Files that were put back to what was durable, or repaired.
    pub kept: usize,
    /// Files that are not ours to read.
    pub foreign: Vec<PathBuf>,
}

/// All index files.
#[derive(Debug)]
pub(super) struct Index {
    disk: Arc<dyn Disk>,
    clock: Clock,
    zone: Zone,
    dir: PathBuf,
    slots: u32,
    entries: u32,
    files: Mutex<Vec<IndexFile>>,
}

/// A run of slots in memory.
struct Run {
    at: u64,
    bytes: Vec<u8>,
}

impl Run {
    fn slot(&mut self, at: u64) -> Option<&mut [u8]> {
        let from = at.checked_sub(self.at)? as usize;
        self.bytes.get_mut(from..from + SLOT_LEN as usize)
    }
}

impl Index {
    pub fn new(disk: Arc<dyn Disk>, clock: Clock, zone: Zone, dir: PathBuf, slots: u32, entries: u32) -> Self {
        Index { disk, clock, zone, dir, slots, entries, files: Mutex::default() }
    }

    fn file_len(&self) -> u64 {
        self.entry_at(0) + u64::from(self.entries) * ENTRY_LEN
    }

    fn entry_at(&self, number: u32) -> u64 {
        HEADER_LEN + u64::from(self.slots) * SLOT_LEN + u64::from(number) * ENTRY_LEN
    }

    fn slot_at(&self, hash: u32) -> u64 {
        HEADER_LEN + u64::from(hash % self.slots) * SLOT_LEN
    }

    fn path_of(&self, name: u64) -> PathBuf {
        self.dir.join(format!("{name:017}"))
    }

    /// Loads what is there, cuts what lies beyond the log's end, and repairs slots after a crash (STORE 8.8 B7, C6).
    pub fn load(&self, start: IndexStart) -> Result<IndexFindings, StepError> {
        let mut findings = IndexFindings::default();
        self.disk.create_dir_all(&self.dir).map_err(|error| StepError::new("make the directory", &self.dir, error))?;
        let entries = self.disk.list(&self.dir).map_err(|error| StepError::new("list", &self.dir, error))?;
        let mut files: Vec<IndexFile> = Vec::new();
        let mut removed = false;
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            let path = self.dir.join(&entry.name);
            let digits = entry.name.bytes().all(|byte| byte.is_ascii_digit());
            let Some(name) = entry.name.parse().ok().filter(|_| digits && entry.name.len() == 17) else { continue };
            if entry.len == 0 {
                // Made, and not yet filled when the machine stopped.
                self.remove(&path)?;
                removed = true;
                continue;
            }
            if entry.len != self.file_len() {
                findings.foreign.push(path);
                continue;
            }
            let file = self.disk.open(&path, Open::Write).map_err(|error| StepError::new("open", &path, error))?;
            let mut bytes = [0; HEADER_LEN as usize];
            file.read_exact_at(&mut bytes, 0).map_err(|error| StepError::new("read", &path, error))?;
            files.push(IndexFile { name, header: Header::decode(&bytes), file });
        }
        if let Some((name, header)) = start.durable.filter(|_| start.unclean) {
            // What came after the last durable state is built again.
            while files.last().is_some_and(|file| file.name > name) {
                if let Some(file) = files.pop() {
                    self.remove(&self.path_of(file.name))?;
                    removed = true;
                }
            }
            if let Some(file) = files.last_mut().filter(|file| file.name == name && file.header.next >= header.next) {
                file.header = header;
            }
        }
        let log_end = start.log_end as i64;
        while let Some(newest) = files.last_mut() {
            let insane = newest.header.next > self.entries || newest.header.end_phy < 0;
            if newest.header.begin_phy >= log_end && !newest.header.is_empty() || insane {
                let name = newest.name;
                files.pop();
                self.remove(&self.path_of(name))?;
                removed = true;
                findings.cut = true;
                continue;
            }
            if newest.header.end_phy >= log_end && newest.header.end_phy > 0 {
                self.cut(newest, start.log_end)?;
                findings.cut = true;
            }
            break;
        }
        if removed {
            self.disk.sync_dir(&self.dir).map_err(|error| StepError::new("make durable", &self.dir, error))?;
        }
        if let Some(newest) = files.last_mut().filter(|_| start.unclean || findings.cut) {
            self.repair_slots(newest)?;
            newest
                .file
                .write_all_at(&newest.header.encode(), 0)
                .and_then(|()| newest.file.sync_data())
                .map_err(|error| StepError::new("write to", self.path_of(newest.name), error))?;
        }
        findings.kept = files.len();
        *self.files.lock() = files;
        Ok(findings)
    }

    fn remove(&self, path: &std::path::Path) -> Result<(), StepError> {
        self.disk.remove_file(path).map_err(|error| StepError::new("remove", path, error))
    }

    fn entry(&self, file: &IndexFile, number: u32) -> io::Result<(Key, u32)> {
        let mut bytes = [0; ENTRY_LEN as usize];
        file.file.read_exact_at(&mut bytes, self.entry_at(number))?;
        let u32_at = |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let phy = u64::from_be_bytes(std::array::from_fn(|byte| bytes[4 + byte]));
        let seconds = i64::from(u32_at(12) as i32);
        let store_timestamp = file.header.begin_timestamp.saturating_add(seconds * 1000);
        Ok((Key { hash: u32_at(0), phy, store_timestamp }, u32_at(16)))
    }

    /// Forgets the entries at and behind `log_end`; entries stand in the order of the log.
    fn cut(&self, file: &mut IndexFile, log_end: u64) -> Result<(), StepError> {
        let name = self.path_of(file.name);
        let read = |file: &IndexFile, number| {
            self.entry(file, number).map_err(|error| StepError::new("read", name.clone(), error))
        };
        let (mut low, mut high) = (1, file.header.next);
        while low < high {
            let middle = low + (high - low) / 2;
            if read(file, middle)?.0.phy < log_end {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        file.header.next = low;
        if low > 1 {
            let (last, _) = read(file, low - 1)?;
            file.header.end_phy = last.phy as i64;
            file.header.end_timestamp = file.header.end_timestamp.min(last.store_timestamp + 999);
        } else {
            file.header = Header { next: 1, ..Header::default() };
        }
        Ok(())
    }

    /// Leads slots that point at or beyond the header's end back to the newest entry in front of it.
    fn repair_slots(&self, file: &mut IndexFile) -> Result<(), StepError> {
        let name = self.path_of(file.name);
        let failed = |error| StepError::new("repair", name.clone(), error);
        let table_end = self.entry_at(0);
        let mut at = HEADER_LEN;
        while at < table_end {
            match file.file.next_data(at).map_err(failed)? {
                None => break,
                Some(data) if data >= table_end => break,
                Some(data) => at = at.max(data - data % PAGE_LEN).max(HEADER_LEN),
            }
            // Slots stand at multiples of 4 from byte 40 on, pages at multiples of 4 as well.
            let len = RUN_LEN_MAX.min(table_end - at);
            let mut bytes = vec![0; len as usize];
            file.file.read_exact_at(&mut bytes, at).map_err(failed)?;
            let mut changed = false;
            for (index, slot) in bytes.chunks_exact_mut(SLOT_LEN as usize).enumerate() {
                let value = u32::from_be_bytes(std::array::from_fn(|byte| slot[byte]));
                if value < file.header.next {
                    continue;
                }
                let slot_number = ((at - HEADER_LEN) / SLOT_LEN) as u32 + index as u32;
                let value = self.covered(file, slot_number, value).map_err(failed)?;
                slot.copy_from_slice(&value.to_be_bytes());
                changed = true;
            }
            if changed {
                file.file.write_all_at(&bytes, at).map_err(failed)?;
            }
            at += len;
        }
        Ok(())
    }

    /// Of the chain that a slot's `value` begins, the newest entry that the header covers; 0 when there is none.
    fn covered(&self, file: &IndexFile, slot_number: u32, mut value: u32) -> io::Result<u32> {
        while value >= file.header.next {
            if value >= self.entries {
                return Ok(0);
            }
            let (key, previous) = self.entry(file, value)?;
            if key.hash % self.slots != slot_number || previous >= value {
                return Ok(0);
            }
            value = previous;
        }
        Ok(value)
    }

    /// Where indexing has to go on by the files' own word: the newest record that has entries.
    pub fn end_phy(&self) -> Option<u64> {
        self.files.lock().last().map(|file| file.header.end_phy.max(0) as u64)
    }

    /// The newest file's name and header.
    pub fn newest(&self) -> Option<(u64, Header)> {
        self.files.lock().last().map(|file| (file.name, file.header))
    }

    /// Adds keys in the order of the log. `before_header` is called with the newest store time once the entries of a
    /// file are durable and before its header covers them.
    pub fn add(
        &self,
        keys: &[Key],
        before_header: &mut dyn FnMut(i64) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let mut files = self.files.lock();
        let end = files.last().map_or(-1, |file| if file.header.is_empty() { -1 } else { file.header.end_phy });
        let seen = keys.iter().take_while(|key| (key.phy as i64) <= end).count();
        let mut keys = &keys[seen..];
        while !keys.is_empty() {
            if files.last().is_none_or(|file| file.header.next >= self.entries) {
                let file = self.make(files.last())?;
                files.push(file);
            }
            let Some(file) = files.last_mut() else { break };
            let room = (self.entries - file.header.next) as usize;
            let (now, later) = keys.split_at(room.min(keys.len()));
            self.add_to(file, now, before_header)?;
            keys = later;
        }
        Ok(())
    }

    fn add_to(
        &self,
        file: &mut IndexFile,
        keys: &[Key],
        before_header: &mut dyn FnMut(i64) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return Ok(()) };
        let path = self.path_of(file.name);
        let failed = |error| StepError::new("write to", path.clone(), error);
        let mut header = file.header;
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|at| keys[*at].hash % self.slots);
        let mut runs = self.read_runs(file, &order, keys).map_err(failed)?;

        // Entries, in the order of the keys; each leads to the one before it in its slot.
        let mut entries = vec![0; keys.len() * ENTRY_LEN as usize];
        let mut run = 0;
        let mut slot_before = None;
        for at in order {
            let key = &keys[at];
            let slot_at = self.slot_at(key.hash);
            while runs.get(run).is_some_and(|run| run.at + (run.bytes.len() as u64) <= slot_at) {
                run += 1;
            }
            let Some(slot) = runs.get_mut(run).and_then(|run| run.slot(slot_at)) else { continue };
            let mut previous = u32::from_be_bytes(std::array::from_fn(|byte| slot[byte]));
            if slot_before.replace(slot_at) != Some(slot_at) && previous >= header.next {
                // An attempt that failed has written its slots: its entries are durable and lead back to what counts.
                previous = self.covered(file, key.hash % self.slots, previous).map_err(failed)?;
            }
            let number = header.next + at as u32;
            if previous == 0 {
                header.slot_count += 1;
            }
            slot.copy_from_slice(&number.to_be_bytes());
            // Relative to the file's begin; of a later file's first entry, to the time that the file was seeded with.
            let begin = match (header.is_empty(), at) {
                (true, 0) if header.begin_timestamp <= 0 => key.store_timestamp,
                (true, 1..) => first.store_timestamp,
                _ => header.begin_timestamp,
            };
            let seconds = (key.store_timestamp - begin) / 1000;
            let seconds = seconds.clamp(0, i64::from(i32::MAX)) as u32;
            let entry = &mut entries[at * ENTRY_LEN as usize..(at + 1) * ENTRY_LEN as usize];
            entry[..4].copy_from_slice(&key.hash.to_be_bytes());
            entry[4..12].copy_from_slice(&key.phy.to_be_bytes());
            entry[12..16].copy_from_slice(&seconds.to_be_bytes());
            entry[16..].copy_from_slice(&previous.to_be_bytes());
        }
        file.file.write_all_at(&entries, self.entry_at(header.next)).map_err(failed)?;
        file.file.sync_data().map_err(failed)?;

        if header.is_empty() {
            header.begin_phy = first.phy as i64;
            header.begin_timestamp = first.store_timestamp;
        }
        header.end_phy = last.phy as i64;
        header.end_timestamp = last.store_timestamp;
        header.next += keys.len() as u32;
        before_header(header.end_timestamp)?;
        for run in &runs {
            file.file.write_all_at(&run.bytes, run.at).map_err(failed)?;
        }
        file.file.write_all_at(&header.encode(), 0).map_err(failed)?;
        file.file.sync_data().map_err(failed)?;
        file.header = header;
        Ok(())
    }

    /// Reads the slots of `keys` in page runs; `order` has the keys by slot.
    fn read_runs(&self, file: &IndexFile, order: &[usize], keys: &[Key]) -> io::Result<Vec<Run>> {
        let table_end = self.entry_at(0);
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for at in order {
            let slot_at = self.slot_at(keys[*at].hash);
            let page = slot_at - slot_at % PAGE_LEN;
            let (from, to) = (page.max(HEADER_LEN), (page + PAGE_LEN).min(table_end));
            match spans.last_mut() {
                Some(last) if from <= last.1 + PAGE_LEN && to - last.0 <= RUN_LEN_MAX => last.1 = last.1.max(to),
                // Already covered by a run that is full.
                Some(last) if to <= last.1 => {}
                _ => spans.push((from, to)),
            }
        }
        let mut runs = Vec::with_capacity(spans.len());
        for (from, to) in spans {
            let mut bytes = vec![0; (to - from) as usize];
            file.file.read_exact_at(&mut bytes, from)?;
            runs.push(Run { at: from, bytes });
        }
        Ok(runs)
    }

    /// Makes the next file, seeded with the end of the one before.
    fn make(&self, before: Option<&IndexFile>) -> Result<IndexFile, StepError> {
        // Local times, as Java's: whoever opens the files next takes them in the order of their names.
        let mut name = file_time(self.zone.civil(self.clock.now()));
        let mut header = Header { next: 1, ..Header::default() };
        if let Some(before) = before {
            name = name.max(before.name + 1);
            header.begin_phy = before.header.end_phy;
            header.end_phy = before.header.end_phy;
            header.begin_timestamp = before.header.end_timestamp;
            header.end_timestamp = before.header.end_timestamp;
        }
        let path = self.path_of(name);
        let make = || {
            let file = self.disk.open(&path, Open::Create)?;
            file.set_len(self.file_len())?;
            file.write_all_at(&header.encode(), 0)?;
            file.sync_all()?;
            self.disk.sync_dir(&self.dir)?;
            Ok(file)
        };
        match make() {
            Ok(file) => Ok(IndexFile { name, header, file }),
            Err(error) => {
                if let Err(left) = self.disk.remove_file(&path)
                    && left.kind() != io::ErrorKind::NotFound
                {
                    tracing::error!("cannot remove the unfinished file {}: {left}", path.display());
                }
                Err(StepError::new("make", &path, error))
            }
        }
    }

    /// Removes files whose newest record lies below the log's oldest byte, but never the newest file; returns how many.
    pub fn remove_below(&self, log_min: u64) -> Result<u64, StepError> {
        let mut files = self.files.lock();
        let mut removed = 0;
        while files.len() > 1 && files[0].header.end_phy < log_min as i64 {
            self.remove(&self.path_of(files[0].name))?;
            files.remove(0);
            removed += 1;
        }
        if removed > 0 {
            self.disk.sync_dir(&self.dir).map_err(|error| StepError::new("make durable", &self.dir, error))?;
        }
        Ok(removed)
    }

    /// Positions of records that may have `key`, newest first: a hash is not a proof, the caller compares.
    pub fn query(&self, topic: &str, key: &str, max: usize, begin: i64, end: i64) -> Result<Vec<u64>, ReadError> {
        let hash = key_hash(&mut String::new(), topic, key);
        let files = self.files.lock();
        let mut found = Vec::new();
        for file in files.iter().rev() {
            let header = &file.header;
            if header.is_empty() || header.begin_timestamp > end || header.end_timestamp < begin {
                continue;
            }
            let failed = |source| ReadError::Io { path: self.path_of(file.name), source };
            let mut slot = [0; SLOT_LEN as usize];
            file.file.read_exact_at(&mut slot, self.slot_at(hash)).map_err(failed)?;
            let mut number = u32::from_be_bytes(slot);
            let mut steps = 0;
            while number > 0 && number < header.next && steps < CHAIN_MAX && found.len() < max {
                let (entry, previous) = self.entry(file, number).map_err(failed)?;
                // Times are kept in whole seconds.
                let in_time = entry.store_timestamp + 999 >= begin && entry.store_timestamp <= end;
                if entry.hash == hash && in_time && !found.contains(&entry.phy) {
                    found.push(entry.phy);
                }
                if previous >= number {
                    break;
                }
                number = previous;
                steps += 1;
            }
            if found.len() >= max {
                break;
            }
        }
        Ok(found)
    }

    /// Time and position of the newest entry: `indexLastUpdateTimestamp`, `indexLastUpdatePhyoffset` of a query's answer.
    pub fn last_update(&self) -> (i64, i64) {
        self.files.lock().last().map_or((0, 0), |file| (file.header.end_timestamp, file.header.end_phy))
    }
}

/// `|hash(topic#key)|`, with Java's smallest number as 0.
fn key_hash(scratch: &mut String, topic: &str, key: &str) -> u32 {
    scratch.clear();
    scratch.push_str(topic);
    scratch.push('#');
    scratch.push_str(key);
    java_hash(scratch).checked_abs().unwrap_or(0) as u32
}

/// The keys of a record: UNIQ_KEY, then each word of KEYS. Rolled back halves have none.
pub(super) fn keys_of(record: &RecordView<'_>, scratch: &mut String, into: &mut Vec<Key>) {
    if sys_flag::transaction(record.sys_flag()) == sys_flag::TRANSACTION_ROLLBACK {
        return;
    }
    let (phy, store_timestamp) = (record.phy_offset() as u64, record.store_timestamp());
    let mut add = |key: &str| {
        let hash = key_hash(scratch, record.topic(), key);
        into.push(Key { hash, phy, store_timestamp });
    };
    let (mut unique, mut keys) = (None, None);
    for (name, value) in properties::iter(record.properties()) {
        match name {
            properties::UNIQ_KEY => unique = Some(value),
            properties::KEYS => keys = Some(value),
            _ => {}
        }
    }
    if let Some(unique) = unique {
        add(unique);
    }
    for key in keys.unwrap_or("").split(' ').filter(|key| !key.is_empty()) {
        add(key);
    }
}

/// A time as `yyyyMMddHHmmssSSS`.
fn file_time(at: Civil) -> u64 {
    let date = at.year as u64 * 10_000 + u64::from(at.month * 100 + at.day);
    let time = u64::from(at.hour * 10_000 + at.minute * 100 + at.second);
    (date * 1_000_000 + time) * 1000 + u64::from(at.millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::RealDisk;
    use crate::store::tests::Dir;

    fn index(dir: &Dir) -> Index {
        let clock = Clock::manual(1_700_000_000_000);
        Index::new(Arc::new(RealDisk), clock, Zone::default(), dir.0.join("index"), 100, 400)
    }

    fn key(number: u64) -> Key {
        let hash = key_hash(&mut String::new(), "T", &format!("k{number}"));
        Key { hash, phy: number * 100, store_timestamp: 1_700_000_000_000 + number as i64 }
    }

    #[test]
    fn the_bytes_are_those_of_the_lab() {
        // STORE 16: hash("T#k0") = 2539444, slot 44 of 100, entry 1.
        let dir = Dir::new();
        let index = index(&dir);
        index.load(IndexStart::default()).unwrap();
        let hash = key_hash(&mut String::new(), "T", "k0");
        assert_eq!(hash, 2_539_444);
        index.add(&[Key { hash, phy: 0, store_timestamp: 0x1a1_fbae_82f9 }], &mut |_| Ok(())).unwrap();
        let bytes = std::fs::read(index.path_of(index.newest().unwrap().0)).unwrap();
        assert_eq!(bytes.len(), 40 + 400 + 8000);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let header = "000001a1fbae82f9000001a1fbae82f9000000000000000000000000000000000000000100000002";
        assert_eq!(hex(&bytes[..40]), header);
        assert_eq!(hex(&bytes[40 + 44 * 4..][..4]), "00000001");
        assert_eq!(hex(&bytes[440 + 20..][..20]), "0026bfb4000000000000000000000000".to_string() + "00000000");
    }

    #[test]
    fn every_key_is_found_over_several_files_and_after_a_reload() {
        let dir = Dir::new();
        let start = IndexStart { log_end: 1 << 30, ..IndexStart::default() };
        let first = index(&dir);
        first.load(start).unwrap();
        for batch in (0..1000).collect::<Vec<_>>().chunks(37) {
            first.add(&batch.iter().map(|number| key(*number)).collect::<Vec<_>>(), &mut |_| Ok(())).unwrap();
        }
        let again = index(&dir);
        again.load(IndexStart { unclean: true, ..start }).unwrap();
        for index in [&first, &again] {
            assert_eq!(index.files.lock().len(), 3, "399 entries go into one");
            for number in 0..1000 {
                let found = index.query("T", &format!("k{number}"), 32, 0, i64::MAX - 1000).unwrap();
                assert!(found.contains(&(number * 100)), "{number}: {found:?}");
            }
        }
    }

    #[test]
    fn entries_beyond_the_log_are_cut_and_their_chains_survive() {
        let dir = Dir::new();
        let first = index(&dir);
        let start = IndexStart { log_end: 1 << 30, ..IndexStart::default() };
        first.load(start).unwrap();
        first.add(&(0..600).map(key).collect::<Vec<_>>(), &mut |_| Ok(())).unwrap();
        for log_end in [50_000, 20_000] {
            let again = index(&dir);
            assert!(again.load(IndexStart { log_end, ..start }).unwrap().cut);
            let kept = log_end / 100;
            assert_eq!(again.end_phy(), Some((kept - 1) * 100));
            again.add(&[Key { phy: log_end, ..key(kept) }], &mut |_| Ok(())).unwrap();
            for number in 0..kept + 1 {
                let found = again.query("T", &format!("k{number}"), 32, 0, i64::MAX - 1000).unwrap();
                assert!(found.contains(&(number * 100)), "{number}: {found:?}");
            }
        }
    }

    #[test]
    fn file_names_are_times() {
        let utc = |millis| file_time(Zone::default().civil(millis));
        assert_eq!(utc(0), 19_700_101_000_000_000);
        assert_eq!(utc(1_700_000_000_123), 20_231_114_221_320_123);
        assert_eq!(utc(951_782_400_000), 20_000_229_000_000_000);
        let new_york = Zone::load(&RealDisk, Some("EST5"));
        assert_eq!(file_time(new_york.civil(1_700_000_000_123)), 20_231_114_171_320_123);
    }
}
