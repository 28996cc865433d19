//! The disk's door: everything that the store and the state files do to a disk goes through `Disk`.
//!
//! Two implementations: `RealDisk` (positioned reads and writes on files) and the simulator's, which can crash at any
//! step, lose what was not synced, tear writes and refuse them (`tests/sim`). Paths are absolute.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a directory listing says of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// File name without its directory.
    pub name: String,
    /// Length in bytes (0 for a directory).
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Read only; it must exist.
    Read,
    /// Read and write; it must exist.
    Write,
    /// Read and write; made if missing, kept if present.
    Create,
}

/// An open file. All positions are absolute bytes; short reads and writes are looped over inside.
pub trait DiskFile: Debug + Send + Sync {
    /// Fills `buf` from `pos`; an early end of file is `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()>;
    /// As `read_exact_at`, but fails with `WouldBlock` instead of waiting for the device (`preadv2(RWF_NOWAIT)`).
    fn try_read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()>;
    /// Writes all of `buf` at `pos`.
    fn write_all_at(&self, buf: &[u8], pos: u64) -> io::Result<()>;
    /// Makes the contents durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    /// Makes contents and metadata (length) durable (`fsync`).
    fn sync_all(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Sets the length; growth reads as zeros and is sparse.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Allocates blocks for `[pos, pos + len)` without changing the contents; the length stays as it is.
    fn allocate(&self, pos: u64, len: u64) -> io::Result<()>;
    /// Number of directory entries that name this file: 0 means that somebody unlinked it under us.
    fn links(&self) -> io::Result<u64>;
    /// First position at or behind `pos` that may hold something other than zeros, `None` when only a hole or
    /// unwritten blocks follow (`SEEK_DATA`). May answer too early, never too late.
    fn next_data(&self, pos: u64) -> io::Result<Option<u64>> {
        Ok((pos < self.len()?).then_some(pos))
    }
}

pub use super::machine::DiskSpace;

/// A lock that is held until this is dropped.
pub trait DiskLock: Debug + Send + Sync {}

/// Why a lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process (or another store of this one) has it.
    #[error("{}", match pid { Some(pid) => format!("process {pid} holds it"), None => "another process holds it".to_string() })]
    Held {
        /// The holder, where the system says so.
        pid: Option<u32>,
    },
    /// The file could not be opened or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Gives a new file what it begins with.
pub type Prepare<'a> = &'a dyn Fn(&dyn DiskFile) -> io::Result<()>;

/// A file system.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a file, and shows it under its name when `prepare` has given it what it begins with: who is killed in between
    /// leaves none, where the file system can do that and the name is free. Not durable; after an error there is no file.
    fn make(&self, path: &Path, prepare: Prepare<'_>) -> io::Result<Arc<dyn DiskFile>> {
        make_in_place(self, path, prepare)
    }
    /// Lists a directory, sorted by name; a missing directory is `NotFound`.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Whether something is there.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Makes a directory and its parents; each new entry is made durable.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Atomically puts `from` in the place of `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable (`fsync` of the directory).
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes everything durable that was written to the file system of `path` (`syncfs`).
    fn sync_file_system(&self, path: &Path) -> io::Result<()>;
    /// Size of the file system of `path`, which exists.
    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// As `create_dir_all`, but nothing is durable before the file system is synced or every directory of it.
    fn make_dirs(&self, dir: &Path) -> io::Result<()> {
        self.create_dir_all(dir)
    }
    /// Takes the exclusive `fcntl` record lock of a file, which is made if missing: the kind that Java's
    /// `FileChannel.tryLock` sees (STORE 1; a BSD `flock` it does not). Closing any descriptor of the file would drop
    /// it, so nobody else may ever open that file.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let _ = path;
        Err(LockError::Io(io::ErrorKind::Unsupported.into()))
    }
}

/// `Disk::make` by the name from the beginning.
fn make_in_place<D: Disk + ?Sized>(disk: &D, path: &Path, prepare: Prepare<'_>) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open(path, Open::Create)?;
    if let Err(error) = prepare(&*file) {
        drop(file);
        if let Err(left) = disk.remove_file(path) {
            tracing::error!("cannot remove the unfinished file {}: {left}", path.display());
        }
        return Err(error);
    }
    Ok(file)
}

/// Reads a whole file.
pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The path of a sibling: `path` with `suffix` appended to its file name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

mod real;
#[cfg(test)]
pub(crate) mod watched;
pub use real::RealDisk;
