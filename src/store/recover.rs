//! Opening a store: look, decide by the table, then change. Until everything was looked at nothing is changed, so that
//! a refused start leaves the directory as it was (STORE 8, 13.2).
//!
//! Our own stores have a hint that says up to where queues and log are complete and durable: only what lies behind it
//! is looked at. Without one that fits (Java's stores, copies) Java's rules apply, made stricter by STORE 8.8.

mod queues;
mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

pub use table::{Decision, Outcome, Row, TABLE};

use self::queues::{OnDisk, Usable};
use super::background::DeriveState;
use super::clean::Counts;
use super::descriptors::{Descriptors, LOG};
use super::error::{OpenError, ReadError, StepError, is_no_space};
use super::index::{Index, IndexStart};
use super::layout::{UNIT_LEN, Unit, file_name, parse_file_name, queues_dir};
use super::log::{CommitLog, LastRecord, LogStart};
use super::queue::{Queue, QueueFiles, Queues, Touched};
use super::state::{self, Checkpoint, CheckpointFile, Hint, HintFile};
use super::walk::{Found, Walker};
use super::{Config, FlushMode, Inner, Intervals, Store, TAIL_BYTES_WANTED};
use crate::base::clock::Clock;
use crate::base::disk::{Disk, DiskFile, LockError};
use crate::base::progress::Progress;
use crate::base::watermark::Watermark;
use crate::wire::message::{MAGIC_V2, RecordView, properties, sys_flag};

/// Java may hold units back from the disk this long although its checkpoint counts them, twice (STORE 8.8 B4).
const DISTRUST_MS: i64 = 120_000;
/// As Java, a clean start looks at so many log files at least.
const LOG_FILES_SCANNED: usize = 3;
/// A record whose number is further ahead of its queue's end is appended there all the same; below, the gap is filled.
const GAP_UNITS_MAX: u64 = 100_000;
/// A queue number that no queue reaches: the field is not covered by any checksum.
const QUEUE_OFFSET_MAX: u64 = 1 << 40;
/// While units are rebuilt they are written out beyond this many bytes.
const REBUILD_BYTES_MAX: u64 = 64 << 20;
const ZERO_LEN: u64 = 1 << 20;
const ZERO_READ_LEN_MIN: u64 = 4096;
/// The log's end is written again in pieces of this size.
const WRITE_AGAIN_LEN: u64 = 1 << 20;
/// How many bad records in old files are listed.
const BAD_LISTED_MAX: usize = 16;
/// Value of `Hint::units` while queues are being removed.
pub(super) const UNITS_UNKNOWN: u64 = u64::MAX;
const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";

/// A row that was taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The row.
    pub row: Row,
    /// What was found, and where.
    pub detail: String,
}

/// What opening found and did: for the log and the start report.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Rows of the decision table, in the order in which they were taken.
    pub taken: Vec<Taken>,
    /// Whether `abort` was absent.
    pub clean: bool,
    /// Oldest byte of the log.
    pub log_min: u64,
    /// Byte behind the newest record.
    pub log_max: u64,
    /// Bytes of the log that were checked.
    pub scanned_bytes: u64,
    /// Queue units that were added.
    pub units_added: u64,
    /// How long it took.
    pub took: Duration,
}

impl RecoveryReport {
    fn take(&mut self, row: Row, detail: impl Into<String>) {
        self.taken.push(Taken { row, detail: detail.into() });
    }

    /// Whether a row was taken.
    pub fn took_row(&self, row: Row) -> bool {
        self.taken.iter().any(|taken| taken.row == row)
    }
}

/// Why a start is refused.
struct Refusal {
    row: Row,
    path: PathBuf,
    found: String,
    remedy: String,
}

impl Refusal {
    fn misplaced(path: PathBuf, found: String) -> Refusal {
        let remedy =
            "set the file sizes that the store was made with, or move the file out of the directory".to_string();
        Refusal { row: Row::C3, path, found, remedy }
    }
}

fn refuse<T>(refusal: Refusal) -> Result<T, OpenError> {
    let Refusal { row, path, found, remedy } = refusal;
    Err(OpenError::Refused { row, path, found, remedy })
}

fn io_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { step, path, source }
}

impl From<StepError> for OpenError {
    fn from(error: StepError) -> Self {
        let source = io::Error::new(error.kind, error.reason);
        OpenError::Io { step: error.step, path: error.path, source }
    }
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io { path, source } => OpenError::Io { step: "read", path, source },
            ReadError::WouldBlock | ReadError::Gone => {
                OpenError::Io { step: "read", path: PathBuf::new(), source: io::Error::other(error.to_string()) }
            }
        }
    }
}

/// First position in `[at, end)` that does not hold zero. Holes are stepped over, and reads begin small: with many
/// queues most of the time there is nothing behind the page that holds the last unit.
fn next_nonzero(file: &dyn DiskFile, mut at: u64, end: u64) -> io::Result<Option<u64>> {
    let mut buf = Vec::new();
    let mut want = ZERO_READ_LEN_MIN;
    while at < end {
        at = match file.next_data(at)? {
            Some(data) if data < end => at.max(data),
            _ => return Ok(None),
        };
        // Up to a boundary, so that the next question is about whole pages.
        let len = (want - at % ZERO_READ_LEN_MIN).min(end - at);
        buf.resize(len as usize, 0);
        file.read_exact_at(&mut buf, at)?;
        if let Some(found) = buf.iter().position(|byte| *byte != 0) {
            return Ok(Some(at + found as u64));
        }
        at += len;
        want = (want * 2).min(ZERO_LEN);
    }
    Ok(None)
}

/// Zeros `[at, end)` durably, touching only what is not zero already (STORE 13.1 rule 11).
fn zero_from(file: &dyn DiskFile, mut at: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_LEN as usize];
    let mut changed = false;
    while let Some(found) = next_nonzero(file, at, end)? {
        let len = ZERO_LEN.min(end - found);
        file.write_all_at(&zeros[..len as usize], found)?;
        changed = true;
        at = found + len;
    }
    if changed { file.sync_data() } else { Ok(()) }
}

/// What a record adds to its queue: topic, queue number, the unit, and the number that the record claims. `None` for
/// records that no queue holds: halves and their roll-backs (STORE 7), and those whose topic is no name for a directory.
pub(super) fn unit_of<'a>(record: &RecordView<'a>, delay_levels_ms: &[u64]) -> Option<(&'a str, u32, Unit, u64)> {
    let transaction = sys_flag::transaction(record.sys_flag());
    if transaction == sys_flag::TRANSACTION_PREPARED || transaction == sys_flag::TRANSACTION_ROLLBACK {
        return None;
    }
    let id = u32::try_from(record.queue_id()).ok()?;
    // No checksum covers a topic, and one bit makes an `o` a slash: nothing is made beside or outside of the queues.
    if record.topic().contains(['/', '\0']) || [".", ".."].contains(&record.topic()) {
        return None;
    }
    let (mut tags_code, mut level) = (0, 0);
    for (name, value) in properties::iter(record.properties()) {
        match name {
            properties::TAGS => tags_code = properties::tags_code(value),
            properties::DELAY => level = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    if level > 0 && record.topic() == SCHEDULE_TOPIC {
        let level: usize = level;
        let delay = delay_levels_ms.get(level.min(delay_levels_ms.len()).wrapping_sub(1)).copied().unwrap_or(1000);
        tags_code = record.store_timestamp().saturating_add(delay as i64);
    }
    let unit = Unit { phy: record.phy_offset() as u64, size: record.total_size() as u32, tags_code };
    Some((record.topic(), id, unit, u64::try_from(record.queue_offset()).unwrap_or(0)))
}

/// The log's files as they are found.
#[derive(Debug, Default)]
struct LogOnDisk {
    dir: PathBuf,
    file_size: u64,
    starts: Vec<u64>,
    /// The last file, when it never got its length.
    empty: Option<PathBuf>,
}

impl LogOnDisk {
    fn survey(disk: &dyn Disk, dir: PathBuf, file_size: u64) -> Result<LogOnDisk, OpenError> {
        let mut log = LogOnDisk { dir, file_size, ..LogOnDisk::default() };
        let entries = match disk.list(&log.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(log),
            other => other.map_err(io_error("list", &log.dir))?,
        };
        let files: Vec<_> = entries.into_iter().filter(|entry| !entry.is_dir).collect();
        for (at, entry) in files.iter().enumerate() {
            let path = log.dir.join(&entry.name);
            let start = parse_file_name(&entry.name).filter(|start| start.is_multiple_of(file_size));
            let Some(start) = start else {
                let found = "its name is not 20 digits that are a multiple of mappedFileSizeCommitLog".to_string();
                return refuse(Refusal::misplaced(path, found));
            };
            if entry.len == 0 && at + 1 == files.len() {
                log.empty = Some(path);
                continue;
            }
            if entry.len != file_size {
                let found = format!("it has {} bytes, mappedFileSizeCommitLog is {file_size}", entry.len);
                return refuse(Refusal::misplaced(path, found));
            }
            if let Some(last) = log.starts.last().filter(|last| *last + file_size != start) {
                return refuse(Refusal {
                    row: Row::H4,
                    path,
                    found: format!("the file before it is {}, and what lies between is missing", file_name(*last)),
                    remedy: "put the missing files back; to give up the older messages, move the older files away"
                        .into(),
                });
            }
            log.starts.push(start);
        }
        Ok(log)
    }

    fn first(&self) -> u64 {
        self.starts.first().copied().unwrap_or(0)
    }

    /// Byte behind the last file.
    fn files_end(&self) -> u64 {
        self.starts.last().map_or(0, |start| start + self.file_size)
    }

    fn path(&self, start: u64) -> PathBuf {
        self.dir.join(file_name(start))
    }

    /// Index of the file that holds `position`.
    fn index_of(&self, position: u64) -> usize {
        (position.saturating_sub(self.first()) / self.file_size) as usize
    }
}

/// What the walk over the log found.
#[derive(Debug, Default)]
struct LogFound {
    end: u64,
    last: LastRecord,
    /// Files behind the end, oldest first.
    remove: Vec<u64>,
}

struct Opening {
    config: Config,
    disk: Arc<dyn Disk>,
    clock: Clock,
    descriptors: Arc<Descriptors>,
    files: Arc<QueueFiles>,
    queues: Queues,
    log: LogOnDisk,
    on_disk: Vec<OnDisk>,
    unclean: bool,
    checkpoint: Checkpoint,
    report: RecoveryReport,
    progress: Progress,
}

pub(super) fn open(
    config: Config,
    disk: Arc<dyn Disk>,
    clock: Clock,
    progress: Progress,
) -> Result<(Store, RecoveryReport), OpenError> {
    let began = Instant::now();
    let problems = config.check();
    if !problems.is_empty() {
        return Err(OpenError::Config { problems });
    }
    let root = config.root.clone();
    disk.create_dir_all(&root).map_err(io_error("make the directory", &root))?;
    let lock = disk.lock(&root.join("lock")).map_err(|error| match error {
        LockError::Held { .. } => OpenError::Locked { root: root.clone(), reason: error.to_string() },
        LockError::Io(source) => OpenError::Io { step: "lock", path: root.join("lock"), source },
    })?;

    refuse_other_kinds(&*disk, &root)?;
    let log = LogOnDisk::survey(&*disk, config.commit_log_dir(), config.log_file_size)?;
    let descriptors = Arc::new(Descriptors::new(disk.clone(), config.open_files_max));
    let files = Arc::new(QueueFiles {
        disk: disk.clone(),
        descriptors: descriptors.clone(),
        root: root.clone(),
        file_size: config.queue_file_size,
    });
    let queues = Queues::new(files.clone());
    let on_disk = queues::survey(&files, &queues)?;
    let (unclean, token) = state::read_abort(&*disk, &root).map_err(io_error("read", &root.join("abort")))?;
    let checkpoint_path = root.join("checkpoint");
    let checkpoint = CheckpointFile::read(&*disk, &checkpoint_path).map_err(io_error("read", &checkpoint_path))?;
    let hint_path = root.join("recovery.hint");
    let hint = HintFile::read(&*disk, &hint_path).map_err(io_error("read", &hint_path))?;

    let report = RecoveryReport { clean: !unclean, ..RecoveryReport::default() };
    let told = progress.clone();
    let mut opening = Opening {
        config,
        disk,
        clock,
        descriptors,
        files,
        queues,
        log,
        on_disk,
        unclean,
        checkpoint,
        report,
        progress,
    };
    opening.refuse_lost_log(hint.as_ref())?;
    let hint = opening.believe(hint, token)?;
    let (hint, usable) = opening.usable_queues(hint)?;
    let opened = opening.finish(hint, usable, lock, began);
    told.end();
    opened
}

/// Kinds of stores that we would take for empty or damaged ones (STORE 13.2 rule 8).
fn refuse_other_kinds(disk: &dyn Disk, root: &Path) -> Result<(), OpenError> {
    let remedy = "open it with the broker that wrote it, or give this broker another directory".to_string();
    for (name, kind) in [
        ("consumequeue/CURRENT", "the consume queues are a RocksDB database (storeType=defaultRocksDB)"),
        ("batchconsumequeue", "there are queues of batch type (queue.type=BatchCQ)"),
    ] {
        let path = root.join(name);
        if disk.exists(&path).map_err(io_error("look at", &path))? {
            return refuse(Refusal { row: Row::H5, path, found: kind.to_string(), remedy });
        }
    }
    Ok(())
}

impl Opening {
    fn open_log_file(&self, start: u64) -> Result<Option<Arc<dyn DiskFile>>, ReadError> {
        if self.log.starts.binary_search(&start).is_err() {
            return Ok(None);
        }
        let path = self.log.path(start);
        let file = self.descriptors.get(LOG, start, || path.clone());
        file.map(Some).map_err(|source| ReadError::Io { path, source })
    }

    /// The hint, if there is one that belongs to what is on disk.
    fn believe(&mut self, hint: Option<Hint>, token: Option<u64>) -> Result<Option<Hint>, OpenError> {
        let Some(hint) = hint else { return Ok(None) };
        match self.doubt(&hint, token)? {
            None => Ok(Some(hint)),
            Some(doubt) => {
                self.report.take(Row::H2, doubt);
                Ok(None)
            }
        }
    }

    fn doubt(&self, hint: &Hint, token: Option<u64>) -> Result<Option<String>, OpenError> {
        let sizes = (hint.log_file_size, hint.queue_file_size);
        if sizes != (self.config.log_file_size, self.config.queue_file_size) {
            return Ok(Some("it was made with other file sizes".to_string()));
        }
        if self.unclean {
            if token != Some(hint.token) {
                return Ok(Some("another broker has run on the directory since".to_string()));
            }
        } else if !hint.clean {
            return Ok(Some("another broker has closed the store".to_string()));
        } else if hint.checkpoint != self.checkpoint {
            return Ok(Some("another broker has moved the checkpoint".to_string()));
        }
        let within =
            hint.queues <= hint.flushed && hint.queues <= self.log.files_end() && hint.queues >= self.log.first();
        if !within {
            return Ok(Some(format!(
                "it says that the log reaches {}, but its files are {} to {}",
                hint.queues,
                self.log.first(),
                self.log.files_end()
            )));
        }
        if hint.last.size > 0 && hint.last.phy >= self.log.first() {
            let open = |start| self.open_log_file(start);
            let end = hint.last.phy + u64::from(hint.last.size);
            let mut walker = Walker::new(&open, self.log.file_size, hint.last.phy, end, false);
            let same = matches!(walker.step()?, Found::Record(_, record)
                if record.total_size() as u32 == hint.last.size && record.store_timestamp() == hint.last.store_timestamp);
            if !same {
                return Ok(Some(format!("the record that it names at {} is not there", hint.last.phy)));
            }
        }
        Ok(None)
    }

    /// How far each queue is usable; by the hint if the queues agree with it.
    fn usable_queues(&mut self, hint: Option<Hint>) -> Result<(Option<Hint>, Vec<Usable>), OpenError> {
        let usable = |of: &dyn Fn(&OnDisk) -> Result<Usable, OpenError>| -> Result<Vec<Usable>, OpenError> {
            self.on_disk.iter().map(of).collect()
        };
        if let Some(hint) = hint {
            let found = usable(&|queue| queue.by_limit(&self.files, hint.queues))?;
            let units: u64 = found.iter().filter(|usable| usable.has_files()).map(|usable| usable.end).sum();
            if units == hint.units || hint.units == UNITS_UNKNOWN {
                self.report.take(Row::H1, format!("complete up to {}", hint.queues));
                return Ok((Some(hint), found));
            }
            self.report
                .take(Row::H2, format!("the queues hold {units} units below {}, it says {}", hint.queues, hint.units));
        }
        let found = self.on_disk.iter().map(|queue| queue.by_scan(&self.files)).collect::<Result<Vec<_>, _>>()?;
        Ok((None, found))
    }

    /// Java would delete every queue here; numbers would begin at 0 again (STORE 8.4, C1).
    fn refuse_lost_log(&self, hint: Option<&Hint>) -> Result<(), OpenError> {
        let mut queues = hint.is_some_and(|hint| hint.last.size > 0);
        let mut empty = self.log.starts.is_empty();
        if self.log.starts == [0] {
            let file = self.open_log_file(0)?;
            let first = file.map_or(Ok(None), |file| next_nonzero(&*file, 0, self.log.file_size));
            empty = first.map_err(io_error("read", &self.log.path(0)))?.is_none();
        }
        if empty {
            for queue in &self.on_disk {
                queues |= queue.has_units(&self.files)?;
            }
        }
        if empty && queues {
            return refuse(Refusal {
                row: Row::C1,
                path: self.log.dir.clone(),
                found: "there is no commit log, but there are queues with messages".to_string(),
                remedy: "put the commit log files back (is the disk mounted?); to give the messages up, remove consumequeue, \
                         index, checkpoint, abort and recovery.hint as well"
                    .to_string(),
            });
        }
        Ok(())
    }

    /// Store time of the first record of file `at`.
    fn first_time(&self, at: usize) -> Result<Option<i64>, OpenError> {
        let open = |start| self.open_log_file(start);
        let start = self.log.starts[at];
        let mut walker = Walker::new(&open, self.log.file_size, start, start + self.log.file_size, false);
        let time = match walker.step()? {
            Found::Record(_, record) => Some(record.store_timestamp()),
            Found::Blank | Found::Bad { .. } | Found::End => None,
        };
        Ok(time.filter(|time| *time > 0))
    }

    /// The newest file whose first record is not younger than `time`.
    fn file_by_time(&self, time: i64) -> Result<Option<usize>, OpenError> {
        for at in (0..self.log.starts.len()).rev() {
            if self.first_time(at)?.is_some_and(|first| first <= time) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The file from which the log is checked, without a hint: index into `starts`.
    fn start_by_java(&mut self, newest_unit: Option<u64>) -> Result<usize, OpenError> {
        let third_last = self.log.starts.len().saturating_sub(LOG_FILES_SCANNED);
        if !self.unclean {
            return Ok(newest_unit.map_or(0, |end| self.log.index_of(end).min(third_last)));
        }
        let time = self.checkpoint.minimum();
        if time == 0 {
            self.report.take(Row::B2, "the checkpoint is missing or says nothing");
            return Ok(0);
        }
        match self.file_by_time(time)? {
            Some(at) => {
                self.report.take(Row::B1, format!("file {}", file_name(self.log.starts[at])));
                Ok(at.min(third_last))
            }
            None => {
                self.report.take(Row::B3, format!("nothing is older than {time}"));
                Ok(0)
            }
        }
    }

    /// Checks the log from `from` on and finds its end.
    fn find_end(&mut self, from: u64, hint: Option<&Hint>) -> Result<LogFound, OpenError> {
        let mut found = LogFound { end: from, ..LogFound::default() };
        if self.log.starts.is_empty() {
            return Ok(found);
        }
        let mut taken: Vec<Taken> = Vec::new();
        let open = |start| self.open_log_file(start);
        let file_size = self.log.file_size;
        let mut walker = Walker::new(&open, file_size, from, self.log.files_end(), self.config.check_crc_on_recover);
        walker.check_torn = self.unclean;
        let mut second_version = false;
        self.progress.begin("checking the commit log", self.log.files_end().saturating_sub(from));
        let (at, why, nothing) = loop {
            self.progress.reached(walker.position.saturating_sub(from));
            match walker.step()? {
                Found::Record(phy, record) => {
                    let size = record.total_size() as u32;
                    second_version |= record.magic() == MAGIC_V2;
                    found.last = LastRecord { phy, size, store_timestamp: record.store_timestamp() };
                }
                Found::Blank => {}
                Found::End => break (walker.position, String::new(), true),
                Found::Bad { at, why, nothing } => {
                    let start = at - at % file_size;
                    let later = self.log.starts.iter().copied().filter(|later| *later > start);
                    let mut with_data = None;
                    for later in later {
                        if self.holds_data(later)? {
                            with_data = Some(later);
                            break;
                        }
                    }
                    let Some(with_data) = with_data else { break (at, why, nothing) };
                    if let Some(hint) = hint.filter(|hint| at >= hint.flushed && self.unclean) {
                        let detail = format!("{why} at {at}; the log was flushed up to {}", hint.flushed);
                        taken.push(Taken { row: Row::H3, detail });
                        break (at, why, nothing);
                    }
                    let next = start + file_size;
                    let goes_on = Walker::new(&open, file_size, next, next + file_size, true)
                        .step()
                        .map(|first| matches!(first, Found::Record(..)))?;
                    if nothing && goes_on {
                        let detail = format!("{} ends at {at} without its end-of-file record", file_name(start));
                        taken.push(Taken { row: Row::A10, detail });
                        walker.position = next;
                        continue;
                    }
                    return refuse(Refusal {
                        row: if self.unclean { Row::B9 } else { Row::A8 },
                        path: self.log.path(start),
                        found: format!("{why} at {at}, and {} holds data as well", file_name(with_data)),
                        remedy: "restore the file from a replica or a backup; to give up everything from there on, move this \
                                 and all later files away"
                            .to_string(),
                    });
                }
            }
        };
        let read = walker.bytes_read;
        drop(walker);
        self.report.scanned_bytes += read;
        found.end = at;
        let start = at - at % file_size;
        found.remove = self.log.starts.iter().copied().filter(|later| *later > start).collect();
        if at == start && start < self.log.files_end() && at > self.log.first() && nothing {
            // The file at the end is empty as well, the log ends with the one before.
            found.remove.insert(0, start);
        }
        let cut_later = taken.iter().any(|taken| taken.row == Row::H3);
        if !cut_later && (!nothing || self.tail_dirty(at)?) {
            let why = if nothing { "something behind the last record".to_string() } else { why };
            taken.push(Taken { row: Row::B9, detail: format!("{why} at {at}") });
        }
        let empties = found.remove.len() + usize::from(self.log.empty.is_some());
        if empties > 0 && !cut_later {
            taken.push(Taken { row: Row::A9, detail: format!("{empties} empty files behind {at}") });
        }
        if second_version {
            taken.push(Taken { row: Row::C7, detail: "do not give this store to a 4.9.x broker".to_string() });
        }
        self.report.taken.append(&mut taken);
        Ok(found)
    }

    fn holds_data(&self, start: u64) -> Result<bool, OpenError> {
        let Some(file) = self.open_log_file(start)? else { return Ok(false) };
        let found = next_nonzero(&*file, 0, self.log.file_size).map_err(io_error("read", &self.log.path(start)))?;
        Ok(found.is_some())
    }

    fn tail_dirty(&self, at: u64) -> Result<bool, OpenError> {
        let start = at - at % self.log.file_size;
        let Some(file) = self.open_log_file(start)? else { return Ok(false) };
        let found = next_nonzero(&*file, at - start, self.log.file_size);
        Ok(found.map_err(io_error("read", &self.log.path(start)))?.is_some())
    }

    /// Makes the log's files end where the log ends, durably.
    fn apply_log(&mut self, found: &LogFound) -> Result<(), OpenError> {
        let dir = self.log.dir.clone();
        let mut paths: Vec<PathBuf> = found.remove.iter().map(|start| self.log.path(*start)).collect();
        paths.extend(self.log.empty.take());
        self.descriptors.forget(LOG, |start| found.remove.contains(&start));
        // Newest first, each durably: a crash in between must not leave a gap.
        for path in paths.iter().rev() {
            self.disk.remove_file(path).map_err(io_error("remove", path))?;
            self.disk.sync_dir(&dir).map_err(io_error("make durable", &dir))?;
        }
        self.log.starts.retain(|start| !found.remove.contains(start));
        let start = found.end - found.end % self.log.file_size;
        if let Some(file) = self.open_log_file(start)? {
            let path = self.log.path(start);
            zero_from(&*file, found.end - start, self.log.file_size).map_err(io_error("zero the end of", &path))?;
        }
        Ok(())
    }

    /// Whether a record of file `at` has no unit although its queue's files were looked at; bad records are reported.
    fn needs_repair(&mut self, at: usize, end: u64) -> Result<bool, OpenError> {
        let start = self.log.starts[at];
        let limit = end.min(start + self.log.file_size);
        let open = |start| self.open_log_file(start);
        let mut walker = Walker::new(&open, self.log.file_size, start, limit, false);
        let mut bad = None;
        self.progress.begin("looking for messages that no consume queue has", limit - start.min(limit));
        let needs = loop {
            self.progress.reached(walker.position.saturating_sub(start));
            if walker.position >= limit {
                break false;
            }
            match walker.step()? {
                Found::Record(_, record) => {
                    let Some((topic, id, unit, _)) = unit_of(&record, &self.config.delay_levels_ms) else { continue };
                    if self.queues.find(topic, id).is_none_or(|queue| queue.end_phy() <= unit.phy) {
                        break true;
                    }
                }
                Found::Blank | Found::End => break false,
                Found::Bad { at, why, .. } => {
                    // Such a file proves nothing: go on with the one before.
                    bad = Some(format!("{why} at {at}"));
                    break true;
                }
            }
        };
        let read = walker.bytes_read;
        drop(walker);
        self.report.scanned_bytes += read;
        if let Some(bad) = bad
            && self.report.taken.iter().filter(|taken| taken.row == Row::B10).count() < BAD_LISTED_MAX
        {
            self.report.take(Row::B10, bad);
        }
        Ok(needs)
    }

    /// Adds the unit of every record in `[from, end)` that has none; returns the queues that have some in memory, and
    /// whether some went to the files already.
    fn derive(
        &mut self,
        from: u64,
        end: u64,
        newest_unit: u64,
        java_start: u64,
    ) -> Result<(Vec<Arc<Queue>>, bool), OpenError> {
        let open = |start| self.open_log_file(start);
        let mut walker = Walker::new(&open, self.log.file_size, from, end, false);
        let mut dirty: Vec<Arc<Queue>> = Vec::new();
        let (mut bytes, mut written) = (0, false);
        let mut rows: Vec<(Row, u64, String)> = Vec::new();
        let mut note = |row: Row, detail: &dyn Fn() -> String| match rows.iter_mut().find(|(other, ..)| *other == row) {
            Some((_, count, _)) => *count += 1,
            None => rows.push((row, 1, detail())),
        };
        let mut added = 0;
        self.progress.begin("completing the consume queues", end.saturating_sub(from));
        while walker.position < end {
            self.progress.reached(walker.position.saturating_sub(from));
            let record = match walker.step()? {
                Found::Record(_, record) => record,
                Found::Blank => continue,
                Found::End => break,
                Found::Bad { at, .. } => {
                    // A hole that was accepted, or a bad record in an old file that was reported.
                    walker.position = at - at % self.log.file_size + self.log.file_size;
                    continue;
                }
            };
            let Some((topic, id, unit, number)) = unit_of(&record, &self.config.delay_levels_ms) else { continue };
            let queue = self.queues.get(topic, id);
            if unit.phy < queue.end_phy() {
                continue;
            }
            let at = unit.phy;
            let known = queue.end();
            if queue.has_no_units() && number > known && number < QUEUE_OFFSET_MAX {
                queue.begin_at(number);
                note(Row::C4, &|| format!("{topic} {id} begins at {number}"));
            } else if number > known && number - known <= GAP_UNITS_MAX {
                // The number that clients know decides the place; what should stand in between is lost.
                for _ in known..number {
                    push(&queue, Unit::PRE_BLANK, &mut dirty);
                    bytes += UNIT_LEN;
                }
            } else if number < known {
                note(Row::C6a, &|| format!("{topic} {id}: the record at {at} says {number}, its queue is at {known}"));
            }
            push(&queue, unit, &mut dirty);
            added += 1;
            bytes += UNIT_LEN;
            let detail = || format!("{topic} {id} from {known} on, the record at {at}");
            if self.unclean {
                note(if at < java_start { Row::B4 } else { Row::B5 }, &detail);
            } else if newest_unit == 0 {
                note(Row::A4, &detail);
            } else {
                note(if at < newest_unit { Row::A3 } else { Row::A2 }, &detail);
            }
            if bytes > REBUILD_BYTES_MAX {
                // Before any of these queues gets another file.
                self.write_units(&mut dirty)?;
                bytes = 0;
                written = true;
            }
        }
        let read = walker.bytes_read;
        drop(walker);
        self.report.scanned_bytes += read;
        for (row, count, detail) in rows {
            self.report.take(row, if count > 1 { format!("{detail}, and {} more", count - 1) } else { detail });
        }
        self.report.units_added = added;
        Ok((dirty, written))
    }

    /// Writes all units that are in memory, durably.
    fn write_units(&self, dirty: &mut Vec<Arc<Queue>>) -> Result<(), OpenError> {
        if dirty.is_empty() {
            return Ok(());
        }
        let mut touched = Touched::default();
        for queue in dirty.drain(..) {
            queue.write_tail(u64::MAX, &mut touched)?;
        }
        let root = &self.config.root;
        self.disk.sync_file_system(root).map_err(io_error("make durable the file system of", root))?;
        touched.settle(dirty);
        Ok(())
    }

    fn finish(
        mut self,
        hint: Option<Hint>,
        mut usable: Vec<Usable>,
        lock: Box<dyn crate::base::disk::DiskLock>,
        began: Instant,
    ) -> Result<(Store, RecoveryReport), OpenError> {
        let newest_unit = usable.iter().map(|usable| usable.end_phy).max().unwrap_or(0);
        let file_size = self.log.file_size;
        let from = match &hint {
            Some(hint) => hint.queues,
            None if self.log.starts.is_empty() => 0,
            None => {
                let at = self.start_by_java(Some(newest_unit).filter(|end| *end > 0))?;
                self.log.starts[at]
            }
        };
        let mut found = self.find_end(from, hint.as_ref())?;
        if let Some(hint) = hint.filter(|_| found.last.size == 0) {
            found.last = hint.last;
        }
        let end = found.end;

        // Everything was looked at; from here on things are changed.
        for dir in [self.log.dir.clone(), queues_dir(&self.config.root)] {
            self.disk.create_dir_all(&dir).map_err(io_error("make the directory", &dir))?;
        }
        self.apply_log(&found)?;
        let mut beyond: Vec<String> = Vec::new();
        for (queue, usable) in self.on_disk.iter().zip(&mut usable) {
            if hint.is_none() {
                if let Some(row) = queue.empty_row(usable, self.unclean) {
                    self.report.taken.push(Taken { row, detail: format!("{:?}", queue.queue) });
                }
                if usable.invalid {
                    self.report.taken.push(Taken { row: Row::A7, detail: format!("{:?}", queue.queue) });
                }
            }
            if queue.cut(&self.files, usable, end)? {
                beyond.push(format!("{} {}", queue.queue.topic(), queue.queue.id()));
            }
            queue.apply(&self.files, usable)?;
        }
        if let Some(first) = beyond.first() {
            let row = if self.unclean { Row::B6 } else { Row::A5 };
            self.report.take(row, format!("{} queues, {first} among them", beyond.len()));
        }

        let derive_from = match &hint {
            Some(_) => from,
            None => self.derive_start(from, end, &found)?,
        };
        let (mut dirty, written) = self.derive(derive_from, end, newest_unit.min(end), from)?;
        let mut derived = derive_from;
        if hint.is_none() || written {
            // What was added becomes durable now: there is nothing that says from where it would have to be added again.
            self.write_units(&mut dirty)?;
            derived = end;
        }
        if !self.unclean && hint.is_none() && self.report.units_added == 0 && newest_unit > 0 && newest_unit <= end {
            self.report.take(Row::A1, format!("the log ends at {end}"));
        }
        let first = if self.log.starts.is_empty() { end - end % file_size } else { self.log.first() };
        let mut corrected = 0;
        for queue in self.queues.all() {
            let before = queue.min();
            queue.correct_min(first)?;
            corrected += usize::from(queue.min() != before);
        }
        if corrected > 0 {
            self.report.take(Row::C2, format!("{corrected} queues, the log begins at {first}"));
        }
        self.assemble(hint, found.last, (first, end), derived, dirty, lock, began)
    }

    /// Without a hint: the file from which units are checked, going back until a whole file needs no repair (B4).
    fn derive_start(&mut self, from: u64, end: u64, found: &LogFound) -> Result<u64, OpenError> {
        if self.log.starts.is_empty() {
            return Ok(end);
        }
        let mut at = self.log.index_of(from).min(self.log.starts.len() - 1);
        if self.unclean {
            let time = self.checkpoint.minimum();
            let newest = found.last.store_timestamp;
            if newest > 0 && self.checkpoint.physic.max(self.checkpoint.logics) > newest {
                self.report.take(Row::C8, format!("it says {time}, the newest record is of {newest}"));
            }
            if time > 0 {
                let time = if newest > 0 { time.min(newest) } else { time };
                at = at.min(self.file_by_time(time - DISTRUST_MS)?.unwrap_or(0));
            }
        }
        while at > 0 && self.needs_repair(at, end)? {
            at -= 1;
        }
        Ok(self.log.starts[at].min(end))
    }

    /// Up to where the log is durable. After a crash its end may be in the page cache only: under sync flush it is made
    /// durable before it is shown to anybody, else the first flush does it.
    fn durable_up_to(&self, hint: Option<&Hint>, end: u64) -> Result<u64, OpenError> {
        if !self.unclean {
            return Ok(end);
        }
        let newest = self.log.starts.iter().rev().nth(LOG_FILES_SCANNED - 1).copied().unwrap_or(self.log.first());
        let flushed = hint.map_or(newest, |hint| hint.flushed).min(end);
        if hint.is_some() {
            self.write_again(flushed, end)?;
        }
        // Without a hint the queues were just made durable, and nothing derived may be ahead of the log.
        if self.config.flush_mode == FlushMode::Async && hint.is_some() {
            return Ok(flushed);
        }
        for start in self.log.starts.iter().filter(|start| **start < end && **start + self.log.file_size > flushed) {
            if let Some(file) = self.open_log_file(*start)? {
                file.sync_data().map_err(io_error("make durable", &self.log.path(*start)))?;
            }
        }
        Ok(end)
    }

    /// Writes what is in the log from `from` to `end` over itself. If a sync failed before the process ended, the system
    /// shows it and takes it for written, and the next sync would succeed without it.
    fn write_again(&self, from: u64, end: u64) -> Result<(), OpenError> {
        let mut buf = Vec::new();
        let mut at = from;
        while at < end {
            let start = at - at % self.log.file_size;
            let len = (end - at).min(start + self.log.file_size - at).min(WRITE_AGAIN_LEN);
            let path = self.log.path(start);
            if let Some(file) = self.open_log_file(start)? {
                buf.resize(len as usize, 0);
                file.read_exact_at(&mut buf, at - start).map_err(io_error("read", &path))?;
                match file.write_all_at(&buf, at - start) {
                    // File systems that write elsewhere need room for it; a start does not.
                    Err(error) if is_no_space(error.kind()) => {
                        tracing::warn!("the end of {} could not be written again: {error}", path.display());
                        return Ok(());
                    }
                    other => other.map_err(io_error("write to", &path))?,
                }
            }
            at += len;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts are made in one place and used in one place")]
    fn assemble(
        mut self,
        hint: Option<Hint>,
        last: LastRecord,
        (first, end): (u64, u64),
        derived: u64,
        dirty: Vec<Arc<Queue>>,
        lock: Box<dyn crate::base::disk::DiskLock>,
        began: Instant,
    ) -> Result<(Store, RecoveryReport), OpenError> {
        let root = self.config.root.clone();
        let (index, indexed) = if self.config.index_enable {
            let index = Index::new(
                self.disk.clone(),
                self.clock.clone(),
                self.config.retention.zone.clone(),
                root.join("index"),
                self.config.index_slots,
                self.config.index_entries,
            );
            let durable = hint.as_ref().map(|hint| (hint.index_name, hint.index_header));
            let findings = index.load(IndexStart { log_end: end, durable, unclean: self.unclean || hint.is_none() })?;
            if findings.cut {
                self.report.take(Row::C6, format!("the log ends at {end}"));
            }
            if self.unclean && findings.kept > 0 {
                self.report.take(Row::B7, format!("{} files", findings.kept));
            }
            for foreign in findings.foreign {
                tracing::warn!(
                    "{} is no index file of the configured maxHashSlotNum and maxIndexNum: it is left alone and not searched",
                    foreign.display()
                );
            }
            let known = index.end_phy().unwrap_or(0);
            let indexed = hint.as_ref().map_or(known, |hint| hint.indexed).clamp(first, end.max(first));
            (Some(index), indexed)
        } else {
            (None, end)
        };
        if self.report.took_row(Row::C8) || self.checkpoint.minimum() > last.store_timestamp {
            // Java would believe it: from now on it claims no more than we do.
            self.checkpoint = Checkpoint::default();
        }

        let last_at_derived = match &hint {
            Some(hint) if hint.queues == derived => hint.last,
            _ if derived == end => last,
            _ => LastRecord::default(),
        };
        let flushed = self.durable_up_to(hint.as_ref(), end)?;
        let token =
            hint.as_ref().map_or_else(|| self.clock.now() << 20 | u64::from(std::process::id()), |hint| hint.token);
        let units = self.queues.all().iter().map(|queue| queue.units_in_files()).sum();
        let newest_index = index.as_ref().and_then(Index::newest).unwrap_or_default();
        let hint = Hint {
            sequence: hint.map_or(0, |hint| hint.sequence),
            token,
            log_file_size: self.config.log_file_size,
            queue_file_size: self.config.queue_file_size,
            clean: false,
            flushed,
            queues: derived.min(flushed),
            indexed,
            units,
            last: last_at_derived,
            checkpoint: self.checkpoint,
            index_name: newest_index.0,
            index_header: newest_index.1,
        };
        let mut hint_file = HintFile::open(&*self.disk, root.join("recovery.hint"), hint)?;
        let checkpoint_file = CheckpointFile::open(&*self.disk, root.join("checkpoint"))?;
        state::write_abort(&*self.disk, &root, token)?;
        checkpoint_file.write(&self.checkpoint)?;
        hint_file.write(hint)?;
        self.disk.sync_dir(&root).map_err(io_error("make durable", &root))?;

        self.report.log_min = first;
        self.report.log_max = end;
        self.report.took = began.elapsed();
        let report = self.report;
        let log = CommitLog::new(
            self.disk.clone(),
            self.clock,
            self.log.dir,
            self.config.log_file_size,
            self.descriptors,
            self.config.flush_mode == FlushMode::Sync,
            self.config.unwritten_units_len_max,
            TAIL_BYTES_WANTED.min(self.config.unwritten_units_len_max / 2),
            self.config.tail_cache_len,
            LogStart { first, end, flushed, last },
        )?;
        {
            let mut head = log.head();
            head.tail_bytes = dirty.iter().map(|queue| queue.tail_len()).sum();
            head.dirty_queues = dirty;
        }
        let state = DeriveState { queues: derived, indexed, last, checkpoint: self.checkpoint, told_bad: 0 };
        let retention = Arc::new(self.config.retention.clone());
        let intervals = Intervals::of(&self.config);
        let inner = Inner {
            config: self.config,
            disk: self.disk,
            log,
            queues: self.queues,
            index,
            checkpoint: checkpoint_file,
            hint: Mutex::new(hint_file),
            listeners: RwLock::default(),
            derived_durable: Watermark::new(derived.min(indexed)),
            derive: Mutex::new(state),
            retention: RwLock::new(retention),
            intervals,
            clean: Mutex::default(),
            disk_state: RwLock::default(),
            counts: Counts::default(),
            closing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            poison_told: AtomicBool::new(false),
            flushes: AtomicU64::new(0),
            _lock: lock,
        };
        let store = Store(Arc::new(inner));
        // A disk that is too full refuses from the first message on.
        store.look_at_disk();
        Ok((store, report))
    }
}

fn push(queue: &Arc<Queue>, unit: Unit, dirty: &mut Vec<Arc<Queue>>) {
    if queue.push(unit) {
        dirty.push(queue.clone());
    }
    let end = queue.end();
    queue.next.store(end, std::sync::atomic::Ordering::Relaxed);
    queue.show(end);
}
