//! Opening a store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, RwLock};

use super::descriptors::Descriptors;
use super::error::OpenError;
use super::layout::queues_dir;
use super::log::{CommitLog, LogStart};
use super::queue::{QueueFiles, Queues};
use super::{Config, FlushMode, Inner, Store, TAIL_BYTES_MAX, TAIL_BYTES_WANTED};
use crate::base::clock::Clock;
use crate::base::disk::{Disk, LockError, Open};
use crate::base::watermark::Watermark;

/// A row of the decision table of STORE 8.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row(pub &'static str);

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What opening found and did.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// One line per finding.
    pub notes: Vec<String>,
}

pub(super) fn open(config: Config, disk: Arc<dyn Disk>, clock: Clock) -> Result<(Store, RecoveryReport), OpenError> {
    let problems = config.check();
    if !problems.is_empty() {
        return Err(OpenError::Config { problems });
    }
    let root = config.root.clone();
    let io = |step: &'static str, path: &std::path::Path| {
        let path = path.to_path_buf();
        move |source| OpenError::Io { step, path, source }
    };
    disk.create_dir_all(&root).map_err(io("make the directory", &root))?;
    let lock = disk.lock(&root.join("lock")).map_err(|error| match error {
        LockError::Held { .. } => OpenError::Locked { root: root.clone(), reason: error.to_string() },
        LockError::Io(source) => OpenError::Io { step: "lock", path: root.join("lock"), source },
    })?;
    let log_dir = config.commit_log_dir();
    for dir in [&log_dir, &queues_dir(&root)] {
        disk.create_dir_all(dir).map_err(io("make the directory", dir))?;
        let left = disk.list(dir).map_err(io("list", dir))?;
        if !left.is_empty() {
            return Err(OpenError::Refused {
                row: Row("-"),
                path: dir.clone(),
                found: "a store with messages".to_string(),
                remedy: "recovery lands with the next change; use a fresh directory".to_string(),
            });
        }
    }
    disk.open(&root.join("abort"), Open::Create).map_err(io("make", &root.join("abort")))?;
    let descriptors = Arc::new(Descriptors::new(disk.clone(), config.open_files_max));
    let queue_files = Arc::new(QueueFiles {
        disk: disk.clone(),
        descriptors: descriptors.clone(),
        root: root.clone(),
        file_size: config.queue_file_size,
    });
    let log = CommitLog::new(
        disk.clone(),
        clock,
        log_dir,
        config.log_file_size,
        descriptors,
        config.flush_mode == FlushMode::Sync,
        TAIL_BYTES_MAX,
        TAIL_BYTES_WANTED,
        LogStart::default(),
    );
    let inner = Inner {
        config,
        disk,
        log,
        queues: Queues::new(queue_files),
        listeners: RwLock::default(),
        derived_durable: Watermark::new(0),
        derive: Mutex::default(),
        closing: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        poison_told: AtomicBool::new(false),
        flushes: AtomicU64::new(0),
        _lock: lock,
    };
    Ok((Store(Arc::new(inner)), RecoveryReport::default()))
}
