//! How far each queue's files can be used: by looking at its last files as Java does, or by our hint. Reads only; what
//! has to be cut is remembered for `apply`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Refusal, Row, io_error, refuse};
use crate::base::disk::{Disk, DiskFile};
use crate::store::error::{OpenError, StepError};
use crate::store::layout::{UNIT_LEN, Unit, file_name, parse_file_name, queue_dir, queues_dir};
use crate::store::queue::{Queue, QueueFiles, Queues};

/// As Java: earlier files are not looked at.
const FILES_SCANNED: usize = 3;
const READ_LEN: u64 = 1 << 20;

/// A queue on disk.
#[derive(Debug)]
pub(super) struct OnDisk {
    pub queue: Arc<Queue>,
    dir: PathBuf,
    /// Starts of its files.
    starts: Vec<u64>,
    /// A file that was made and never given its length.
    empty: Option<PathBuf>,
}

/// What is usable of a queue, and what has to go.
#[derive(Debug, Default, Clone)]
pub(super) struct Usable {
    /// Byte positions of the files that stay.
    files: (u64, u64),
    /// Index behind the last unit.
    pub end: u64,
    /// Record end of the last unit.
    pub end_phy: u64,
    /// Files to remove, newest first.
    remove: Vec<u64>,
    /// The last file holds something behind the last unit.
    zero: bool,
    /// The last file had no unit.
    pub empty_last: bool,
    /// An invalid unit in front of valid ones, or behind the files' front.
    pub invalid: bool,
}

/// Finds all queues; refuses names and sizes that no broker makes.
pub(super) fn survey(files: &QueueFiles, queues: &Queues) -> Result<Vec<OnDisk>, OpenError> {
    let mut found = Vec::new();
    let disk = &*files.disk;
    let root = queues_dir(&files.root);
    for topic in list(disk, &root)?.into_iter().filter(|entry| entry.is_dir) {
        let topic_dir = root.join(&topic.name);
        for queue in list(disk, &topic_dir)?.into_iter().filter(|entry| entry.is_dir) {
            // Java skips what is no integer.
            let Ok(id) = queue.name.parse::<u32>() else { continue };
            if queue.name != id.to_string() {
                continue;
            }
            let dir = queue_dir(&files.root, &topic.name, id);
            let entries: Vec<_> = list(disk, &dir)?.into_iter().filter(|entry| !entry.is_dir).collect();
            let mut starts: Vec<u64> = Vec::new();
            let mut empty = None;
            for (at, entry) in entries.iter().enumerate() {
                let path = dir.join(&entry.name);
                let start = parse_file_name(&entry.name).filter(|start| start.is_multiple_of(files.file_size));
                let Some(start) = start else {
                    let found = "its name is not 20 digits that are a multiple of the file size".to_string();
                    return refuse(Refusal::misplaced(path, found));
                };
                if entry.len == 0 && at + 1 == entries.len() {
                    empty = Some(path);
                    continue;
                }
                if entry.len != files.file_size {
                    let found =
                        format!("it has {} bytes, mappedFileSizeConsumeQueue is {}", entry.len, files.file_size);
                    return refuse(Refusal::misplaced(path, found));
                }
                if starts.last().is_some_and(|last| last + files.file_size != start) {
                    let found = "files are missing in front of it".to_string();
                    return refuse(Refusal::misplaced(path, found));
                }
                starts.push(start);
            }
            let queue = queues.get(&topic.name, id);
            found.push(OnDisk { queue, dir, starts, empty });
        }
    }
    Ok(found)
}

fn list(disk: &dyn Disk, dir: &std::path::Path) -> Result<Vec<crate::base::disk::DirEntry>, OpenError> {
    match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(io_error("list", dir)),
    }
}

impl Usable {
    /// Whether any file stays.
    pub fn has_files(&self) -> bool {
        self.files.0 < self.files.1
    }
}

impl OnDisk {
    /// Whether any of its files begins with a unit.
    pub fn has_units(&self, files: &QueueFiles) -> Result<bool, OpenError> {
        for start in &self.starts {
            if self.unit(files, *start, 0)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn file(&self, files: &QueueFiles, start: u64) -> Result<Arc<dyn DiskFile>, OpenError> {
        let path = self.dir.join(file_name(start));
        files.descriptors.get(self.queue.owner, start, || path.clone()).map_err(io_error("open", &path))
    }

    fn read(&self, files: &QueueFiles, start: u64, at: u64, buf: &mut [u8]) -> Result<(), OpenError> {
        let file = self.file(files, start)?;
        file.read_exact_at(buf, at).map_err(io_error("read", &self.dir.join(file_name(start))))
    }

    fn unit(&self, files: &QueueFiles, start: u64, index: u64) -> Result<Option<Unit>, OpenError> {
        let mut buf = [0; UNIT_LEN as usize];
        self.read(files, start, index * UNIT_LEN, &mut buf)?;
        Ok(Unit::decode(&buf))
    }

    /// Whether the file that starts at `start` holds anything but zeros from `at` on.
    fn anything_from(&self, files: &QueueFiles, start: u64, at: u64) -> Result<bool, OpenError> {
        let path = self.dir.join(file_name(start));
        let file = self.file(files, start)?;
        Ok(super::next_nonzero(&*file, at, files.file_size).map_err(io_error("read", &path))?.is_some())
    }

    /// Java's way: the last files are read, the first invalid unit ends the queue.
    pub fn by_scan(&self, files: &QueueFiles) -> Result<Usable, OpenError> {
        let mut usable = Usable::default();
        let mut starts = self.starts.clone();
        while let Some(last) = starts.last() {
            if self.unit(files, *last, 0)?.is_some() {
                break;
            }
            usable.empty_last = true;
            usable.invalid |= self.anything_from(files, *last, 0)?;
            usable.remove.push(*last);
            starts.pop();
        }
        let Some(newest) = starts.last().copied() else { return Ok(self.without_files(usable)) };
        let first_scanned = starts.len().saturating_sub(FILES_SCANNED);
        // Index behind the last unit that is a message, and the end of its record.
        let mut last_message = starts[first_scanned] / UNIT_LEN;
        let mut end = (newest + files.file_size, None);
        let mut buf = Vec::new();
        'files: for start in &starts[first_scanned..] {
            let mut at = 0;
            while at < files.file_size {
                let len = READ_LEN.min(files.file_size - at) / UNIT_LEN * UNIT_LEN;
                buf.resize(len as usize, 0);
                self.read(files, *start, at, &mut buf)?;
                for unit in buf.chunks_exact(UNIT_LEN as usize) {
                    match Unit::decode(unit) {
                        Some(unit) => {
                            at += UNIT_LEN;
                            if !unit.is_pre_blank() {
                                last_message = (start + at) / UNIT_LEN;
                                usable.end_phy = unit.end();
                            }
                        }
                        None => {
                            end = (start + at, Some(*start));
                            break 'files;
                        }
                    }
                }
            }
        }
        if let (_, Some(broken)) = end {
            while let Some(later) = starts.pop_if(|start| *start > broken) {
                usable.remove.push(later);
                usable.invalid = true;
            }
        }
        // No queue may end in units that stand for nothing.
        let in_last = last_message * UNIT_LEN;
        while let Some(later) = starts.pop_if(|start| *start >= in_last) {
            usable.remove.push(later);
        }
        let Some(last) = starts.last().copied() else { return Ok(self.without_files(usable)) };
        usable.end = last_message;
        usable.zero = in_last < last + files.file_size && self.anything_from(files, last, in_last - last)?;
        usable.invalid |= usable.zero;
        usable.files = (starts[0], last + files.file_size);
        Ok(usable)
    }

    /// By our hint: everything below `limit` in the log has its unit durably, everything above is built again.
    pub fn by_limit(&self, files: &QueueFiles, limit: u64) -> Result<Usable, OpenError> {
        let mut usable = Usable::default();
        let mut starts = self.starts.clone();
        let good = |unit: Option<Unit>| unit.filter(|unit| unit.end() <= limit);
        while let Some(last) = starts.last() {
            if good(self.unit(files, *last, 0)?).is_some() {
                break;
            }
            usable.remove.push(*last);
            starts.pop();
        }
        let Some(last) = starts.last().copied() else { return Ok(self.without_files(usable)) };
        // In growing steps from the front: most queues fill little of their last file, and reading its empty part would
        // fill the page cache with zeros.
        let (mut low, mut high) = (1, files.file_size / UNIT_LEN);
        let mut step = 1;
        while low < high && low + step < high {
            if good(self.unit(files, last, low + step - 1)?).is_none() {
                high = low + step - 1;
                break;
            }
            low += step;
            step *= 2;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if good(self.unit(files, last, middle)?).is_some() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        usable.end = last / UNIT_LEN + low;
        usable.end_phy = self.unit(files, last, low - 1)?.map_or(0, |unit| unit.end());
        usable.zero = low * UNIT_LEN < files.file_size && self.anything_from(files, last, low * UNIT_LEN)?;
        usable.files = (starts[0], last + files.file_size);
        Ok(usable)
    }

    /// No file is left: the number of the first file is all that is known.
    fn without_files(&self, mut usable: Usable) -> Usable {
        let first = self.starts.first().copied().unwrap_or(0);
        usable.files = (0, 0);
        usable.end = first / UNIT_LEN;
        usable.end_phy = 0;
        usable
    }

    /// Cuts what lies at or behind `log_end`; true when there is such a unit.
    pub fn cut(&self, files: &QueueFiles, usable: &mut Usable, log_end: u64) -> Result<bool, OpenError> {
        if usable.end_phy <= log_end {
            return Ok(false);
        }
        let kept = OnDisk {
            queue: self.queue.clone(),
            dir: self.dir.clone(),
            starts: self.starts.iter().copied().filter(|start| !usable.remove.contains(start)).collect(),
            empty: None,
        };
        let mut cut = kept.by_limit(files, log_end)?;
        let mut remove = std::mem::take(&mut usable.remove);
        remove.append(&mut cut.remove);
        *usable = Usable { remove, empty_last: usable.empty_last, invalid: usable.invalid, ..cut };
        if usable.files == (0, 0) {
            usable.end = self.starts.first().copied().unwrap_or(0) / UNIT_LEN;
        }
        Ok(true)
    }

    /// Makes the disk what `usable` says, durably, and gives the numbers to the queue.
    pub fn apply(&self, files: &QueueFiles, usable: &Usable) -> Result<(), StepError> {
        let disk = &*files.disk;
        let mut paths: Vec<PathBuf> = self.empty.iter().cloned().collect();
        paths.extend(usable.remove.iter().map(|start| self.dir.join(file_name(*start))));
        files.descriptors.forget(self.queue.owner, |start| usable.remove.contains(&start));
        for path in &paths {
            disk.remove_file(path).map_err(|error| StepError::new("remove", path, error))?;
            disk.sync_dir(&self.dir).map_err(|error| StepError::new("make durable", &self.dir, error))?;
        }
        if usable.zero {
            let last = usable.files.1 - files.file_size;
            let path = self.dir.join(file_name(last));
            let file = files
                .descriptors
                .get(self.queue.owner, last, || path.clone())
                .map_err(|error| StepError::new("open", &path, error))?;
            super::zero_from(&*file, usable.end * UNIT_LEN - last, files.file_size)
                .map_err(|error| StepError::new("zero the end of", &path, error))?;
        }
        self.queue.restore(usable.files, usable.end, usable.end_phy);
        Ok(())
    }

    /// The row for files that were made and hold nothing.
    pub fn empty_row(&self, usable: &Usable, unclean: bool) -> Option<Row> {
        if !usable.empty_last && self.empty.is_none() {
            return None;
        }
        Some(if usable.files == (0, 0) {
            Row::C5
        } else if unclean {
            Row::B8
        } else {
            Row::A6
        })
    }
}
