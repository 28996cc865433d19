//! L2: the commit log and what is derived from it — consume queues, key index, checkpoint — in Java's files. Knows no
//! socket, no topic configuration and no consumer; all time and all disk access come through their doors.
//!
//! The way of a message: an event loop stages records into its [`Batch`]; [`Store::append`] gives them their positions,
//! writes them with one positioned write and extends the queues' in-memory tails; consumers see them at once, or under
//! sync flush after the flush ([`Event::Grown`]). Behind it three background steps run: `flush` (durable log), `derive`
//! (queue files, index, checkpoint, recovery hint) and `allocate` (files and blocks ahead).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::base::clock::Clock;
use crate::base::disk::{Disk, DiskLock};
use crate::base::position::{PhyOffset, QueueId};
use crate::base::progress::Progress;
use crate::base::watermark::Watermark;

mod background;
mod batch;
mod clean;
mod config;
mod descriptors;
mod error;
mod flush_times;
mod index;
mod layout;
mod log;
mod log_tail;
mod queue;
mod read;
pub mod recover;
mod retention;
mod state;
#[cfg(test)]
mod tests;
mod walk;

pub use background::Background;
pub use batch::{Assigned, BATCH_BYTES_MAX, Batch};
pub use clean::{CleanCounts, Cleaned, Removing};
pub use config::{Config, FlushMode};
pub use error::{AppendError, CloseError, OpenError, ReadError, StageError, StepError};
pub use flush_times::{ALL as METRICS, FlushTimes};
pub use queue::Queue;
pub use read::{Boundary, Entry, Scan, ScanLimits, ScanStatus};
pub use recover::RecoveryReport;
pub use retention::{DiskLevel, DiskLimits, DiskState, PathSpace, Retention, StorePart, hours_text, parse_hours};

/// More units than this in memory start a derive step before its time.
const TAIL_BYTES_WANTED: u64 = 8 << 20;

/// What the store tells its listeners, from its own threads: a listener must not block.
#[derive(Clone, Debug)]
pub enum Event {
    /// The log is durable up to here; once per fsync.
    Flushed(PhyOffset),
    /// Under sync flush: queues in which messages became visible. Under async flush the appending loop knows it itself.
    Grown(Vec<Grown>),
    /// Writing has ended until a restart, and why.
    Poisoned(String),
    /// The oldest log file is about to go. This one may take its time: nobody waits for it but the file.
    Removing(Removing),
}

/// A queue with new messages.
#[derive(Clone, Debug)]
pub struct Grown {
    /// The queue; its `max` already includes them.
    pub queue: Arc<Queue>,
    /// Their tag hashes, in order.
    pub tags_codes: smallvec::SmallVec<[i64; 4]>,
}

type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

struct Inner {
    config: Config,
    disk: Arc<dyn Disk>,
    log: log::CommitLog,
    queues: queue::Queues,
    index: Option<index::Index>,
    checkpoint: state::CheckpointFile,
    /// Taken after `derive`, never before it.
    hint: Mutex<state::HintFile>,
    listeners: RwLock<Vec<Listener>>,
    derived_durable: Watermark,
    /// One derive step (or topic deletion) at a time.
    derive: Mutex<background::DeriveState>,
    retention: RwLock<Arc<Retention>>,
    intervals: Intervals,
    /// One clean step at a time; taken before `derive`, never after it.
    clean: Mutex<clean::CleanState>,
    disk_state: RwLock<Arc<DiskState>>,
    counts: clean::Counts,
    closing: AtomicBool,
    closed: AtomicBool,
    poison_told: AtomicBool,
    flushes: AtomicU64,
    _lock: Box<dyn DiskLock>,
}

/// How often the background works, milliseconds.
struct Intervals {
    flush_ms: AtomicU64,
    derive_ms: AtomicU64,
}

impl Intervals {
    fn of(config: &Config) -> Self {
        let Config { flush_interval_ms, derive_interval_ms, .. } = config;
        Intervals { flush_ms: AtomicU64::new(*flush_interval_ms), derive_ms: AtomicU64::new(*derive_interval_ms) }
    }
}

/// A message store. A cheap clone: all clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (min, max) = (self.log_min(), self.log_max());
        write!(f, "Store({}, log [{min}, {max}))", self.0.config.root.display())
    }
}

impl Store {
    /// Locks the directory, recovers what is there, and marks it as running. Changes nothing when it refuses.
    pub fn open(config: Config, disk: Arc<dyn Disk>, clock: Clock) -> Result<(Store, RecoveryReport), OpenError> {
        recover::open(config, disk, clock, Progress::default())
    }

    /// As `open`, and tells how far it is: a store without a hint of ours takes as long as reading its log.
    pub fn open_telling(
        config: Config,
        disk: Arc<dyn Disk>,
        clock: Clock,
        progress: Progress,
    ) -> Result<(Store, RecoveryReport), OpenError> {
        recover::open(config, disk, clock, progress)
    }

    /// Starts the background threads: flusher, deriver, allocator. Stop them with `Background::stop` after `close`.
    pub fn start(&self) -> io::Result<Background> {
        Background::start(self.clone())
    }

    /// Ends appending, makes everything durable and complete, and removes `abort` last: the next open, ours or Java's,
    /// is a clean one. Reads go on. Closing twice is closing once.
    pub fn close(&self) -> Result<(), CloseError> {
        if self.0.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.0.closing.store(true, Ordering::Release);
        if !self.0.log.stop(AppendError::ShuttingDown)
            && let Some(AppendError::Poisoned(reason)) = self.0.log.stopped()
        {
            return Err(CloseError::Poisoned(reason));
        }
        self.0.log.drain();
        self.flush_step()?;
        self.finish_deriving()?;
        self.0.closed.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether `close` was called: the background threads end then.
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Acquire)
    }

    /// The settings it was opened with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The settings in force: those it was opened with and what was changed since.
    pub fn settings(&self) -> Config {
        let Intervals { flush_ms, derive_ms } = &self.0.intervals;
        Config {
            retention: (*self.retention()).clone(),
            flush_interval_ms: flush_ms.load(Ordering::Relaxed),
            derive_interval_ms: derive_ms.load(Ordering::Relaxed),
            ..self.config().clone()
        }
    }

    /// Takes over what can change while the store is open: retention, from the next clean step on, and the intervals of
    /// flusher and deriver, at once.
    pub fn change(&self, settings: &Config) {
        *self.0.retention.write() = Arc::new(settings.retention.clone());
        let Intervals { flush_ms, derive_ms } = &self.0.intervals;
        let flush_before = flush_ms.swap(settings.flush_interval_ms, Ordering::Relaxed);
        let derive_before = derive_ms.swap(settings.derive_interval_ms, Ordering::Relaxed);
        if (flush_before, derive_before) != (settings.flush_interval_ms, settings.derive_interval_ms) {
            self.0.log.cut_pauses();
        }
    }

    /// The directory it lives in.
    pub fn root(&self) -> &Path {
        &self.0.config.root
    }

    fn log(&self) -> &log::CommitLog {
        &self.0.log
    }

    /// The queue with this number, made in memory when it is new. It gets files with its first message.
    pub fn queue(&self, topic: &str, id: QueueId) -> Arc<Queue> {
        self.0.queues.get(topic, id.0)
    }

    /// The queue with this number, if it ever held a message or was asked for by `queue`.
    pub fn find_queue(&self, topic: &str, id: QueueId) -> Option<Arc<Queue>> {
        self.0.queues.find(topic, id.0)
    }

    /// All queues of a topic, by number.
    pub fn queues_of(&self, topic: &str) -> Vec<Arc<Queue>> {
        self.0.queues.of_topic(topic)
    }

    /// Topics that have queues in the store.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.0.queues.topics()
    }

    /// Removes a topic's queues at once; its records stay in the log until their files expire (STORE 9.6).
    pub fn delete_topic(&self, topic: &str) -> Result<(), StepError> {
        {
            let _no_tail_is_written = self.0.derive.lock();
            {
                // A crash from here to the next derive step must not make recovery distrust the queues that stay.
                let mut hint = self.0.hint.lock();
                let unknown = state::Hint { units: recover::UNITS_UNKNOWN, ..hint.hint };
                hint.write(unknown)?;
            }
            self.0.queues.delete(topic)?;
        }
        // So that a crash does not bring the queues back from the records.
        self.derive_step()
    }

    /// Positions of records that may carry `key` in their UNIQ_KEY or KEYS, newest first, stored in `[begin, end]`
    /// (milliseconds). The index knows hashes only: the caller reads the records and compares.
    pub fn query(&self, topic: &str, key: &str, max: usize, begin: i64, end: i64) -> Result<Vec<PhyOffset>, ReadError> {
        let Some(index) = &self.0.index else { return Ok(Vec::new()) };
        if let Err(error) = self.index_now() {
            // The derive loop reports what is wrong; what is indexed is still found.
            tracing::debug!("a query of {topic} sees only what is indexed: {error}");
        }
        Ok(index.query(topic, key, max, begin, end)?.into_iter().map(PhyOffset).collect())
    }

    /// Store time and position of the newest indexed record, for the answer to a query; zeros when there is none.
    pub fn index_last_update(&self) -> (i64, i64) {
        self.0.index.as_ref().map_or((0, 0), index::Index::last_update)
    }

    /// Stores a batch: offsets and store time are assigned, the bytes are in the page cache, the queues have grown.
    /// On an error nothing of it exists. Blocks for the write, and never for a flush.
    pub fn append(&self, batch: &mut Batch) -> Result<(), AppendError> {
        let appended = self.0.log.append(batch);
        if let Err(AppendError::Poisoned(reason)) = &appended {
            self.poison(reason);
        }
        appended
    }

    /// End of the log: bytes in the page cache.
    pub fn appended(&self) -> &Watermark {
        &self.0.log.appended
    }

    /// End of the durable log.
    pub fn flushed(&self) -> &Watermark {
        &self.0.log.flushed
    }

    /// End of what consumers may see: `flushed` under sync flush, else `appended`.
    pub fn visible(&self) -> &Watermark {
        match self.flush_mode() {
            FlushMode::Sync => self.flushed(),
            FlushMode::Async => self.appended(),
        }
    }

    /// Consume queues and index on disk cover the log up to here.
    pub fn derived_durable(&self) -> &Watermark {
        &self.0.derived_durable
    }

    /// Whether answers wait for the flush.
    pub fn flush_mode(&self) -> FlushMode {
        self.0.config.flush_mode
    }

    /// Whether appends are taken, or why not: the store is closing or poisoned, or the disk is nearly full.
    pub fn write_state(&self) -> Result<(), AppendError> {
        self.0.log.refused().map_or(Ok(()), Err)
    }

    /// Oldest byte of the log.
    pub fn log_min(&self) -> PhyOffset {
        PhyOffset(self.0.log.min())
    }

    /// Byte behind the newest record.
    pub fn log_max(&self) -> PhyOffset {
        PhyOffset(self.0.log.appended.get())
    }

    /// Largest record, in bytes, that fits into a log file (STORE 4.2).
    pub fn record_max(&self) -> u64 {
        self.0.log.record_max()
    }

    /// How many flushes reached the disk since the open.
    pub fn flushes(&self) -> u64 {
        self.0.flushes.load(Ordering::Relaxed)
    }

    /// How long flushes take.
    pub fn flush_times(&self) -> &FlushTimes {
        &self.0.log.flush_times
    }

    /// Bytes of queue units that are in memory only, and how many may be.
    pub fn tail_bytes(&self) -> (u64, u64) {
        (self.0.log.head().tail_bytes, self.0.config.unwritten_units_len_max)
    }

    /// Has every later event told to `listener`, on the store's own threads: it must not block and not call `append`.
    pub fn listen(&self, listener: Arc<dyn Fn(&Event) + Send + Sync>) {
        self.0.listeners.write().push(listener);
    }

    fn tell(&self, event: &Event) {
        for listener in self.0.listeners.read().iter() {
            listener(event);
        }
    }

    /// Ends appending until a restart and says so, once.
    fn poison(&self, reason: &str) {
        self.0.log.stop(AppendError::Poisoned(reason.to_string()));
        if !self.0.poison_told.swap(true, Ordering::AcqRel) {
            tracing::error!(
                "writing to the store {} has stopped until a restart: {reason}; check the disk (dmesg, SMART), then restart",
                self.root().display()
            );
            self.tell(&Event::Poisoned(reason.to_string()));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.config.root.join(name)
    }

    /// How long the flusher sleeps without work.
    fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.0.intervals.flush_ms.load(Ordering::Relaxed))
    }
}
