//! A disk in memory that can lose power. Every file has what programs see and what is durable; directories as well.
//! A crash keeps any mixture of both, sector by sector and entry by entry. Operations can be made to fail by name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use rocketmq::base::disk::{DirEntry, Disk, DiskFile, DiskLock, DiskSpace, LockError, Open};

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// What a crash does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process died: the page cache survives.
    Nothing,
    /// Everything that was not synced is gone.
    Everything,
    /// Any page may have been written back before.
    Pages,
    /// Any sector may have.
    Sectors,
}

impl Loss {
    pub fn any(rng: &mut fastrand::Rng) -> Loss {
        [Loss::Nothing, Loss::Everything, Loss::Pages, Loss::Sectors][rng.usize(..4)]
    }
}

/// A fault: operations of this name on paths that contain this text fail with this kind, so many times.
#[derive(Clone, Debug)]
pub struct Fault {
    pub operation: &'static str,
    pub path: &'static str,
    pub kind: io::ErrorKind,
    pub times: u32,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Sectors that a failed sync may have written or not.
    lost: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    live: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    locked: HashSet<PathBuf>,
    operations: u64,
    crash_at: Option<u64>,
    crashed: bool,
    faults: Vec<Fault>,
    /// The operation with this number fails with this kind; gone when it did.
    fail_at: Option<(u64, io::ErrorKind)>,
    /// The name and the path of that operation, once it failed.
    failed: Option<(String, PathBuf)>,
    /// Bytes of the file system, `None`: no matter how many.
    capacity: Option<u64>,
    /// Changing operations by name.
    counts: BTreeMap<String, u64>,
    writes: u64,
    rng: fastrand::Rng,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

fn crashed() -> io::Error {
    io::Error::other("the simulated machine has lost power")
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Loses power at the `after`-th changing operation from now on.
    pub fn crash_after(&self, after: u64, seed: u64) {
        let mut state = self.state();
        state.crash_at = Some(state.operations + after);
        state.rng = fastrand::Rng::with_seed(seed);
    }

    pub fn is_crashed(&self) -> bool {
        self.state().crashed
    }

    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Has the `after`-th changing operation from now on fail.
    pub fn fail_after(&self, after: u64, kind: io::ErrorKind) {
        let mut state = self.state();
        state.fail_at = Some((state.operations + after, kind));
    }

    /// Nothing is to fail any more and no power is to be lost, and no operation has failed.
    pub fn forget_failure(&self) {
        let mut state = self.state();
        (state.crash_at, state.fail_at, state.failed) = (None, None, None);
    }

    /// Which operation that was; `None` while it is still to come.
    pub fn failed(&self) -> Option<(String, PathBuf)> {
        self.state().failed.clone()
    }

    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Every file with its contents, as programs see them.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let files = state.live.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.clone(), state.inodes[*inode].data.clone())),
            Node::Dir => None,
        });
        files.collect()
    }

    /// Changes a file behind everybody's back, durably; makes it (and its directory) if it is missing.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let inode = match state.file(path) {
            Ok(inode) => inode,
            Err(_) => {
                for dir in path.ancestors().skip(1).filter(|dir| *dir != Path::new("/")) {
                    state.live.insert(dir.to_path_buf(), Node::Dir);
                    state.durable.insert(dir.to_path_buf(), Node::Dir);
                }
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.live.insert(path.to_path_buf(), Node::File(inode));
                inode
            }
        };
        state.durable.insert(path.to_path_buf(), Node::File(inode));
        let inode = &mut state.inodes[inode];
        change(&mut inode.data);
        inode.durable = inode.data.clone();
        inode.dirty.clear();
        inode.lost.clear();
    }

    /// Changing operations of this name so far.
    pub fn operations(&self, name: &str) -> u64 {
        self.state().counts.get(name).copied().unwrap_or_default()
    }

    /// Gives the file system a size; files count with their whole length, like those that were allocated ahead.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.state().capacity = capacity;
    }

    /// Removes a file, or a directory with everything in it, durably.
    pub fn erase(&self, path: &Path) {
        let mut state = self.state();
        state.live.retain(|other, _| !other.starts_with(path));
        state.durable.retain(|other, _| !other.starts_with(path));
    }

    /// Writes to files so far, those that failed as well.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// The disk after the crash, as the next start finds it.
    pub fn after(&self, loss: Loss, rng: &mut fastrand::Rng) -> SimDisk {
        let old = self.state();
        let mut live = BTreeMap::new();
        let paths: BTreeSet<&PathBuf> = old.live.keys().chain(old.durable.keys()).collect();
        for path in paths {
            let (new, durable) = (old.live.get(path), old.durable.get(path));
            let node = match loss {
                Loss::Nothing => new,
                Loss::Everything => durable,
                Loss::Pages | Loss::Sectors if rng.bool() => new,
                Loss::Pages | Loss::Sectors => durable,
            };
            let parent_there = path.parent().is_none_or(|parent| parent == Path::new("/") || live.contains_key(parent));
            if let Some(node) = node.filter(|_| parent_there) {
                live.insert(path.clone(), *node);
            }
        }
        let inodes = old.inodes.iter().map(|inode| inode.after(loss, rng)).collect();
        let durable = live.clone();
        let capacity = old.capacity;
        SimDisk(Arc::new(Mutex::new(State { inodes, live, durable, capacity, ..State::default() })))
    }
}

impl Inode {
    fn after(&self, loss: Loss, rng: &mut fastrand::Rng) -> Inode {
        let data = match loss {
            Loss::Nothing => self.data.clone(),
            Loss::Everything => self.durable.clone(),
            Loss::Pages | Loss::Sectors => {
                let mut data = self.durable.clone();
                let len_changed = self.data.len() != self.durable.len();
                if len_changed && rng.bool() {
                    data.resize(self.data.len(), 0);
                }
                let mut keep = BTreeMap::new();
                // Most of it, some of it, or little of it.
                let odds = [0.9, 0.5, 0.1][rng.usize(..3)];
                for sector in self.dirty.union(&self.lost) {
                    let unit = if loss == Loss::Pages { sector * SECTOR / PAGE } else { *sector };
                    if *keep.entry(unit).or_insert_with(|| rng.f64() < odds) {
                        let from = sector * SECTOR;
                        let to = (from + SECTOR).min(data.len()).min(self.data.len());
                        if from < to {
                            data[from..to].copy_from_slice(&self.data[from..to]);
                        }
                    }
                }
                data
            }
        };
        Inode { durable: data.clone(), data, ..Inode::default() }
    }

    fn sync(&mut self) {
        let Inode { data, durable, dirty, lost } = self;
        durable.resize(data.len(), 0);
        for sector in std::mem::take(dirty) {
            lost.remove(&sector);
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(data.len());
            if from < to {
                durable[from..to].copy_from_slice(&data[from..to]);
            }
        }
    }

    /// A failed sync: programs still see what they wrote, but the system takes it for written, and no later sync does it.
    fn lose(&mut self) {
        self.lost.append(&mut self.dirty);
    }

    fn write(&mut self, buf: &[u8], at: usize) {
        let end = at + buf.len();
        if end > self.data.len() {
            self.data.resize(end, 0);
        }
        self.data[at..end].copy_from_slice(buf);
        self.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
    }
}

impl State {
    /// Counts a changing operation; fails when the power is gone or a fault is due.
    fn operation(&mut self, name: &str, path: &Path) -> io::Result<()> {
        if self.crashed {
            return Err(crashed());
        }
        self.operations += 1;
        *self.counts.entry(name.to_string()).or_default() += 1;
        if self.crash_at.is_some_and(|at| self.operations >= at) {
            self.crashed = true;
            return Err(crashed());
        }
        if let Some((_, kind)) = self.fail_at.take_if(|(at, _)| *at == self.operations) {
            self.failed = Some((name.to_string(), path.to_path_buf()));
            return Err(kind.into());
        }
        self.fault(name, path)
    }

    fn fault(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let text = path.to_string_lossy();
        for fault in &mut self.faults {
            if fault.times > 0 && fault.operation == name && text.contains(fault.path) {
                fault.times -= 1;
                return Err(fault.kind.into());
            }
        }
        Ok(())
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.live.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
    path: PathBuf,
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.crashed {
            return Err(crashed());
        }
        state.fault("read", &self.path)?;
        let data = &state.inodes[self.inode].data;
        let from = pos as usize;
        let bytes = data.get(from..from + buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn try_read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.read_exact_at(buf, pos)
    }

    fn write_all_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.writes += 1;
        let alive = !state.crashed;
        let result = state.operation("write", &self.path);
        let mut len = buf.len();
        if result.is_err() {
            // A torn write: some of its sectors got there.
            len = if alive { state.rng.usize(..=buf.len()) } else { 0 };
            if len < buf.len() {
                len = len.saturating_sub((pos as usize + len) % SECTOR);
            }
        }
        state.inodes[self.inode].write(&buf[..len], pos as usize);
        result
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let synced = state.operation("sync", &self.path);
        let inode = &mut state.inodes[self.inode];
        if synced.is_ok() {
            inode.sync()
        } else {
            inode.lose()
        }
        synced
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].data.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation("set_len", &self.path)?;
        state.inodes[self.inode].data.resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, _pos: u64, _len: u64) -> io::Result<()> {
        self.disk.state().operation("allocate", &self.path)
    }

    fn links(&self) -> io::Result<u64> {
        let state = self.disk.state();
        Ok(state.live.values().filter(|node| **node == Node::File(self.inode)).count() as u64)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.crashed {
            return Err(crashed());
        }
        let inode = match state.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && how == Open::Create => {
                state.operation("create", path)?;
                if !path.parent().is_none_or(|parent| state.live.contains_key(parent)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.live.insert(path.to_path_buf(), Node::File(inode));
                inode
            }
            other => other?,
        };
        Ok(Arc::new(SimFile { disk: self.clone(), inode, path: path.to_path_buf() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state();
        if state.crashed {
            return Err(crashed());
        }
        if state.live.get(dir) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let children = state.live.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(children
            .map(|(path, node)| DirEntry {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                len: if let Node::File(inode) = node { state.inodes[*inode].data.len() as u64 } else { 0 },
                is_dir: *node == Node::Dir,
            })
            .collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state().live.contains_key(path))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let mut missing: Vec<PathBuf> = Vec::new();
        for ancestor in dir.ancestors().filter(|ancestor| *ancestor != Path::new("/")) {
            if !state.live.contains_key(ancestor) {
                missing.push(ancestor.to_path_buf());
            }
        }
        for dir in missing.into_iter().rev() {
            state.operation("create_dir", &dir)?;
            state.live.insert(dir.clone(), Node::Dir);
            state.durable.insert(dir, Node::Dir);
        }
        if state.crashed { Err(crashed()) } else { Ok(()) }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation("remove", path)?;
        state.file(path)?;
        state.live.remove(path);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation("remove", path)?;
        state.live.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation("rename", from)?;
        let node = state.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live.insert(to.to_path_buf(), node);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation("sync_dir", dir)?;
        let State { live, durable, .. } = &mut *state;
        durable.retain(|path, _| path.parent() != Some(dir) || live.contains_key(path));
        for (path, node) in live.iter().filter(|(path, _)| path.parent() == Some(dir)) {
            durable.insert(path.clone(), *node);
        }
        Ok(())
    }

    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if let Err(error) = state.operation("sync_file_system", path) {
            state.inodes.iter_mut().for_each(Inode::lose);
            return Err(error);
        }
        state.inodes.iter_mut().for_each(Inode::sync);
        state.durable = state.live.clone();
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<DiskSpace> {
        let state = self.state();
        let files = state.live.values();
        let used =
            files.map(|node| if let Node::File(inode) = node { state.inodes[*inode].data.len() as u64 } else { 0 });
        let used: u64 = used.sum();
        let total = state.capacity.unwrap_or(1 << 40);
        Ok(DiskSpace { total, used: used.min(total), free: total.saturating_sub(used) })
    }

    fn make_dirs(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let missing: Vec<PathBuf> = dir
            .ancestors()
            .filter(|ancestor| *ancestor != Path::new("/") && !state.live.contains_key(*ancestor))
            .map(Path::to_path_buf)
            .collect();
        for dir in missing.into_iter().rev() {
            state.operation("create_dir", &dir)?;
            state.live.insert(dir, Node::Dir);
        }
        if state.crashed { Err(crashed()) } else { Ok(()) }
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let mut state = self.state();
        if state.crashed {
            return Err(LockError::Io(crashed()));
        }
        if !state.locked.insert(path.to_path_buf()) {
            return Err(LockError::Held { pid: Some(1) });
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_path_buf() }))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.path);
    }
}
