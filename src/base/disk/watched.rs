//! The real disk with somebody who watches: asked before each step whether it is to fail, and told of it by that. For
//! tests: what they count, break and hold up is theirs to say. Knows no store.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{DirEntry, Disk, DiskFile, DiskLock, DiskSpace, LockError, Open, RealDisk};

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file is opened, and perhaps made.
    Open,
    /// A read that may not wait.
    TryRead,
    /// A write; one that fails leaves half of its bytes.
    Write,
    /// `DiskFile::sync_data`.
    SyncData,
    /// `DiskFile::sync_all`.
    SyncAll,
    /// A file gets its length.
    SetLen,
    /// A file is removed.
    Remove,
    /// A file is renamed; the old name is told.
    Rename,
    /// A directory is synced.
    SyncDir,
}

type Watcher = dyn Fn(Step, &Path) -> io::Result<()> + Send + Sync;
type Space = dyn Fn() -> Option<DiskSpace> + Send + Sync;

/// The disk.
#[derive(Clone)]
pub struct WatchedDisk {
    watcher: Arc<Watcher>,
    space: Arc<Space>,
}

impl std::fmt::Debug for WatchedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchedDisk")
    }
}

impl WatchedDisk {
    /// The real disk, with `watcher` asked before each step.
    pub fn new(watcher: impl Fn(Step, &Path) -> io::Result<()> + Send + Sync + 'static) -> WatchedDisk {
        WatchedDisk { watcher: Arc::new(watcher), space: Arc::new(|| None) }
    }

    /// The same, with another size where `space` knows one.
    #[allow(dead_code, reason = "not every test that shares this file wants it")]
    pub fn with_space(self, space: impl Fn() -> Option<DiskSpace> + Send + Sync + 'static) -> WatchedDisk {
        WatchedDisk { space: Arc::new(space), ..self }
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn DiskFile>,
    path: Box<Path>,
    disk: WatchedDisk,
}

impl WatchedFile {
    fn ask(&self, step: Step) -> io::Result<()> {
        (self.disk.watcher)(step, &self.path)
    }
}

impl DiskFile for WatchedFile {
    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, pos)
    }

    fn try_read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.ask(Step::TryRead)?;
        self.file.try_read_exact_at(buf, pos)
    }

    fn write_all_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        if let Err(error) = self.ask(Step::Write) {
            return self.file.write_all_at(&buf[..buf.len() / 2], pos).and(Err(error));
        }
        self.file.write_all_at(buf, pos)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(Step::SyncData)?;
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.ask(Step::SyncAll)?;
        self.file.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ask(Step::SetLen)?;
        self.file.set_len(len)
    }

    fn allocate(&self, pos: u64, len: u64) -> io::Result<()> {
        self.file.allocate(pos, len)
    }

    fn links(&self) -> io::Result<u64> {
        self.file.links()
    }

    fn next_data(&self, pos: u64) -> io::Result<Option<u64>> {
        self.file.next_data(pos)
    }
}

impl Disk for WatchedDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        (self.watcher)(Step::Open, path)?;
        Ok(Arc::new(WatchedFile { file: RealDisk.open(path, how)?, path: path.into(), disk: self.clone() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        (self.watcher)(Step::Remove, path)?;
        RealDisk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.watcher)(Step::Rename, from)?;
        RealDisk.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        (self.watcher)(Step::SyncDir, dir)?;
        RealDisk.sync_dir(dir)
    }

    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_file_system(path)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        (self.space)().map_or_else(|| RealDisk.space(path), Ok)
    }

    fn make_dirs(&self, dir: &Path) -> io::Result<()> {
        RealDisk.make_dirs(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        RealDisk.lock(path)
    }
}
