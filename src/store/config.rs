//! What a store has to be told: where it lives, the sizes of its files, how it flushes. Lives beside the code that it
//! configures; it must never know what a broker or a configuration file is.

use std::path::PathBuf;

use super::layout::UNIT_LEN;
use super::retention::Retention;

/// Whether an answer waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushMode {
    /// Answers when the bytes are in the page cache; the flusher runs at intervals (`ASYNC_FLUSH`).
    #[default]
    Async,
    /// Answers, and shows messages to consumers, only after `fdatasync` (`SYNC_FLUSH`).
    Sync,
}

/// The store's settings; the defaults are Java's (STORE 15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `storePathRootDir`.
    pub root: PathBuf,
    /// `storePathCommitLog`; absent: `<root>/commitlog`.
    pub commit_log_dir: Option<PathBuf>,
    /// `mappedFileSizeCommitLog`, bytes.
    pub log_file_size: u64,
    /// `mappedFileSizeConsumeQueue`, bytes; a multiple of 20.
    pub queue_file_size: u64,
    /// `messageIndexEnable`.
    pub index_enable: bool,
    /// `maxHashSlotNum`: slots of an index file.
    pub index_slots: u32,
    /// `maxIndexNum`: entries of an index file, of which the first is never used.
    pub index_entries: u32,
    /// `flushDiskType`.
    pub flush_mode: FlushMode,
    /// `flushIntervalCommitLog`, milliseconds: how often the log is flushed under `FlushMode::Async`.
    pub flush_interval_ms: u64,
    /// `flushIntervalConsumeQueue`, milliseconds: how often queues and index are written and the checkpoint moves.
    pub derive_interval_ms: u64,
    /// `checkCRCOnRecover`: whether recovery compares each body with its checksum.
    pub check_crc_on_recover: bool,
    /// Delays of the levels of `messageDelayLevel`, milliseconds; level 1 is the first. Needed to rebuild the queues of
    /// `SCHEDULE_TOPIC_XXXX`, whose units hold the time of delivery.
    pub delay_levels_ms: Vec<u64>,
    /// Bytes of the log's end that are kept in memory for consumers that follow it; 0 keeps none.
    pub tail_cache_len: u64,
    /// Bytes of queue entries in memory (queue files that cannot be written) from which on appends are refused.
    pub unwritten_units_len_max: u64,
    /// How many descriptors of queue, index and old log files are kept open.
    pub open_files_max: usize,
    /// When files go, and from when on writes are refused. `Store::change` changes it while the store is open.
    pub retention: Retention,
}

impl Config {
    /// Java's defaults for a store at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        const SECOND: u64 = 1000;
        const MINUTE: u64 = 60 * SECOND;
        Config {
            root: root.into(),
            commit_log_dir: None,
            log_file_size: 1 << 30,
            queue_file_size: 300_000 * UNIT_LEN,
            index_enable: true,
            index_slots: 5_000_000,
            index_entries: 20_000_000,
            flush_mode: FlushMode::Async,
            flush_interval_ms: 500,
            derive_interval_ms: 1000,
            check_crc_on_recover: true,
            delay_levels_ms: [1, 5, 10, 30]
                .iter()
                .map(|seconds| seconds * SECOND)
                .chain([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 60, 120].iter().map(|minutes| minutes * MINUTE))
                .collect(),
            // Half a second of the fastest senders, a minute of most; a third of what a loaded broker may take.
            tail_cache_len: 64 << 20,
            // Three million messages.
            unwritten_units_len_max: 64 << 20,
            open_files_max: 1024,
            retention: Retention::default(),
        }
    }

    /// Where the log's files are.
    pub fn commit_log_dir(&self) -> PathBuf {
        self.commit_log_dir.clone().unwrap_or_else(|| self.root.join("commitlog"))
    }

    /// All problems at once, each with the key's Java name, the value and the limit.
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(4096..=1 << 40).contains(&self.log_file_size) {
            problems.push(format!("mappedFileSizeCommitLog is {}, it must be 4096 to 2^40 bytes", self.log_file_size));
        }
        if self.queue_file_size == 0 || !self.queue_file_size.is_multiple_of(UNIT_LEN) {
            problems.push(format!(
                "mappedFileSizeConsumeQueue is {}, it must be a multiple of {UNIT_LEN} bytes",
                self.queue_file_size
            ));
        }
        if !(1..=1 << 30).contains(&self.index_slots) {
            problems.push(format!("maxHashSlotNum is {}, it must be 1 to 2^30", self.index_slots));
        }
        if !(2..=1 << 30).contains(&self.index_entries) {
            problems.push(format!("maxIndexNum is {}, it must be 2 to 2^30", self.index_entries));
        }
        if self.flush_interval_ms == 0 || self.derive_interval_ms == 0 {
            problems.push("flushIntervalCommitLog and flushIntervalConsumeQueue must be at least 1 ms".to_string());
        }
        if self.open_files_max < 8 {
            problems.push(format!("{} open files are too few, at least 8 are needed", self.open_files_max));
        }
        problems
    }
}
