//! The real disk: positioned reads and writes through `std` and `rustix`, no mapping.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::process::{Flock, FlockType};

use crate::base::machine;

use super::{DirEntry, Disk, DiskFile, DiskLock, DiskSpace, LockError, Open, Prepare, make_in_place};

/// Device and inode of the files that this process has locked: `fcntl` locks belong to the process, so the kernel
/// would give one to us twice.
static LOCKED: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// The machine's file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(fs::File);

impl DiskFile for RealFile {
    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, pos)
    }

    fn try_read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let part = &mut [io::IoSliceMut::new(&mut buf[done..])];
            match rustix::io::preadv2(&self.0, part, pos + done as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(rustix::io::Errno::INTR) => {}
                // File systems and old kernels (CentOS 7) without NOWAIT: reading plainly is the only way, and what every other broker does.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                    return self.0.read_exact_at(&mut buf[done..], pos + done as u64);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        self.0.write_all_at(buf, pos)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, pos: u64, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, pos, len) {
            // Allocation ahead is an optimisation where the file system offers it.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            other => other.map_err(Into::into),
        }
    }

    fn links(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.nlink())
    }

    fn next_data(&self, pos: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.0, SeekFrom::Data(pos)) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NXIO) => Ok(None),
            // File systems without holes: everything may be data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok((pos < self.len()?).then_some(pos)),
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Debug)]
struct RealLock {
    file: fs::File,
    inode: (u64, u64),
}

impl DiskLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Closing the file right after gives the lock back in any case.
        rustix::fs::fcntl_lock(&self.file, FlockOperation::NonBlockingUnlock).unwrap_or(());
        LOCKED.lock().retain(|inode| *inode != self.inode);
    }
}

/// A file in the directory of `path` that is gone with its descriptor; `None` where the file system has no such files
/// (before Linux 3.11, overlays, networks).
fn nameless(path: &Path) -> Option<RealFile> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let made = rustix::fs::open(path.parent()?, flags, Mode::from_raw_mode(0o666)).ok()?;
    Some(RealFile(made.into()))
}

fn named(file: &RealFile, path: &Path) -> Result<(), Errno> {
    let opened = format!("/proc/self/fd/{}", file.0.as_raw_fd());
    rustix::fs::linkat(CWD, opened, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(how != Open::Read).create(how == Open::Create).truncate(false);
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn make(&self, path: &Path, prepare: Prepare<'_>) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = nameless(path) {
            prepare(&file)?;
            if named(&file, path).is_ok() {
                return Ok(Arc::new(file));
            }
        }
        make_in_place(self, path, prepare)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            let is_dir = meta.is_dir();
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry { name, len: if is_dir { 0 } else { meta.len() }, is_dir });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            self.create_dir_all(parent)?;
            match fs::create_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                other => other?,
            }
            self.sync_dir(parent)?;
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        rustix::fs::syncfs(fs::File::open(path)?).map_err(Into::into)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        machine::disk_space(path).ok_or_else(|| io::Error::other("its file system tells no size"))
    }

    fn make_dirs(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let mut locked = LOCKED.lock();
        // Opening (and closing) a file that we have locked would drop the lock: look before touching it.
        if let Ok(meta) = fs::metadata(path)
            && locked.contains(&(meta.dev(), meta.ino()))
        {
            return Err(LockError::Held { pid: Some(std::process::id()) });
        }
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let meta = file.metadata()?;
        let inode = (meta.dev(), meta.ino());
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::ACCESS | Errno::AGAIN) => {
                let holder = rustix::process::fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).unwrap_or(None);
                let pid = holder.and_then(|lock| lock.pid).map(|pid| pid.as_raw_nonzero().get() as u32);
                return Err(LockError::Held { pid });
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
        if meta.len() == 0 {
            file.write_all_at(b"lock", 0)?;
        }
        locked.push(inode);
        Ok(Box::new(RealLock { file, inode }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_made_has_its_name_with_its_contents_or_not_at_all() {
        let dir = std::env::temp_dir().join(format!("rocketmq-made-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("the temporary folder is writable");
        let path = dir.join("made");
        let hidden = nameless(&path).is_some();
        let begin = |file: &dyn DiskFile| {
            assert!(!hidden || !path.exists(), "nobody sees it before it is whole");
            file.set_len(100)?;
            file.write_all_at(b"first", 0)
        };
        let file = RealDisk.make(&path, &begin).expect("room");
        file.write_all_at(b"last", 96).expect("it is open");
        let bytes = fs::read(&path).expect("it has its name");
        assert_eq!((bytes.len(), &bytes[..5], &bytes[96..]), (100, &b"first"[..], &b"last"[..]));
        assert_eq!(file.links().expect("it is open"), 1);

        let fails = |file: &dyn DiskFile| {
            file.set_len(100)?;
            Err(io::ErrorKind::StorageFull.into())
        };
        let other = dir.join("other");
        assert_eq!(RealDisk.make(&other, &fails).expect_err("it fails").kind(), io::ErrorKind::StorageFull);
        assert!(!other.exists());

        // A file of that name, such as one that another program was killed over, is taken.
        fs::write(&other, b"").expect("ours");
        RealDisk.make(&other, &|file| file.set_len(7)).expect("room");
        assert_eq!(fs::metadata(&other).expect("it is there").len(), 7);
        fs::remove_dir_all(&dir).expect("ours");
    }
}
