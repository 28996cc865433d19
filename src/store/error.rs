//! What can go wrong in the store, as a person is told: what was being done, to what, what was found, what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::recover::Row;
use crate::wire::message::RecordError;

/// Why a store was not opened. Nothing on disk was changed, unless the variant says otherwise.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Settings that cannot work.
    #[error("the store's settings are wrong: {}", problems.join("; "))]
    Config {
        /// One line per setting.
        problems: Vec<String>,
    },
    /// Another broker, ours or Java's, works on the directory.
    #[error("the store {root} is in use: {reason}; stop that broker, or give this one another directory")]
    Locked {
        /// The store's directory.
        root: PathBuf,
        /// Who holds it.
        reason: String,
    },
    /// A row of the decision table says that opening would destroy something (STORE 8.8).
    #[error("the store is not opened (rule {row}): {path}: {found}; {remedy}")]
    Refused {
        /// The row.
        row: Row,
        /// File or directory.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// The file system refused.
    #[error("cannot {step} {path}: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// Why a record was not staged; the batch is as it was before.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum StageError {
    /// The record cannot be encoded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It, or the group that has to stay in one file, would never fit into a log file (STORE 4.2).
    #[error("{len} bytes do not fit into a commit log file, which takes {max}")]
    TooLarge {
        /// Bytes of the record or group.
        len: u64,
        /// Bytes that fit.
        max: u64,
    },
    /// The batch is full; commit it first.
    #[error("the batch holds {len} bytes already, its bound is {max}")]
    BatchFull {
        /// Bytes staged.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// An empty group.
    #[error("a batch of no messages")]
    Empty,
}

/// Why a batch was not stored. None of its messages exists, and their offsets are not used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    /// No room; the next batch is tried again.
    #[error("the store's disk is full: {0}")]
    NoSpace(String),
    /// The disk is fuller than the limit; writes go on by themselves when there is room.
    #[error("the disk is nearly full: {0}")]
    NearlyFull(String),
    /// Writing has ended until a restart: a write or an fsync failed, so nothing more is acknowledged.
    #[error("writing has stopped until the broker is restarted: {0}")]
    Poisoned(String),
    /// The store is closed or closing.
    #[error("the store is shutting down")]
    ShuttingDown,
    /// A file could not be made or opened; the next batch is tried again.
    #[error("cannot write the commit log: {0}")]
    Io(String),
}

/// Why something was not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not in the page cache and waiting was not allowed; ask again from a thread that may block.
    #[error("not in the page cache")]
    WouldBlock,
    /// It is below the oldest or beyond the newest byte.
    #[error("not in the store (any more)")]
    Gone,
    /// The file system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// A background step that did not succeed; it is tried again unless the store is poisoned.
#[derive(Clone, Debug, Error)]
#[error("cannot {step} {path}: {reason}")]
pub struct StepError {
    /// What was being done.
    pub step: &'static str,
    /// To what.
    pub path: PathBuf,
    /// What the file system said.
    pub reason: String,
    /// The kind of it.
    pub kind: io::ErrorKind,
}

impl StepError {
    pub(super) fn new(step: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        StepError { step, path: path.into(), reason: source.to_string(), kind: source.kind() }
    }

    /// A failed read of something in `path`.
    pub(super) fn reading(path: impl Into<PathBuf>, error: ReadError) -> Self {
        match error {
            ReadError::Io { path, source } => StepError::new("read", path, source),
            other => StepError::new("read", path, io::Error::other(other.to_string())),
        }
    }

    /// Whether it is a lack of room, which passes, rather than a failing disk.
    pub fn is_no_space(&self) -> bool {
        is_no_space(self.kind)
    }
}

pub(super) fn is_no_space(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why a close was not clean: `abort` is still there, and the next open recovers.
#[derive(Debug, Error)]
pub enum CloseError {
    /// Writing had stopped before.
    #[error("the store was not closed cleanly: {0}; the next start recovers it")]
    Poisoned(String),
    /// A step failed.
    #[error("the store was not closed cleanly: {0}; the next start recovers it")]
    Step(#[from] StepError),
}
