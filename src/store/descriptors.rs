//! A bounded set of open files: hosts cap descriptors, and 10,000 queues have 10,000 files (PERFORMANCE 2).
//! It must never know what is in them.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::disk::{Disk, DiskFile, Open};

/// Whose file: 0 is the commit log, every queue has a number of its own.
pub(crate) type Owner = u64;

/// Owner number of the commit log.
pub(crate) const LOG: Owner = 0;

#[derive(Debug)]
struct Entry {
    file: Arc<dyn DiskFile>,
    used: u64,
}

#[derive(Debug, Default)]
struct Table {
    files: HashMap<(Owner, u64), Entry>,
    clock: u64,
}

/// Open files by owner and start; the least recently used are closed when there are too many.
#[derive(Debug)]
pub(crate) struct Descriptors {
    disk: Arc<dyn Disk>,
    max: usize,
    table: Mutex<Table>,
}

impl Descriptors {
    pub fn new(disk: Arc<dyn Disk>, max: usize) -> Self {
        Descriptors { disk, max, table: Mutex::default() }
    }

    /// The file of `owner` that starts at `start`, opened for reading and writing if it is not open.
    pub fn get(&self, owner: Owner, start: u64, path: impl FnOnce() -> PathBuf) -> io::Result<Arc<dyn DiskFile>> {
        {
            let mut table = self.table.lock();
            table.clock += 1;
            let clock = table.clock;
            if let Some(entry) = table.files.get_mut(&(owner, start)) {
                entry.used = clock;
                return Ok(entry.file.clone());
            }
        }
        let file = self.disk.open(&path(), Open::Write)?;
        self.put(owner, start, file.clone());
        Ok(file)
    }

    /// Remembers an open file.
    pub fn put(&self, owner: Owner, start: u64, file: Arc<dyn DiskFile>) {
        let mut table = self.table.lock();
        table.clock += 1;
        let used = table.clock;
        table.files.insert((owner, start), Entry { file, used });
        if table.files.len() > self.max {
            // A quarter at once, so that the search for the oldest is paid once in many openings.
            let mut ages: Vec<u64> = table.files.values().map(|entry| entry.used).collect();
            let at = ages.len() / 4;
            let (_, limit, _) = ages.select_nth_unstable(at);
            let limit = *limit;
            table.files.retain(|_, entry| entry.used > limit);
        }
    }

    /// Forgets the files of an owner for which `gone` holds.
    pub fn forget(&self, owner: Owner, gone: impl Fn(u64) -> bool) {
        self.table.lock().files.retain(|(of, start), _| *of != owner || !gone(*start));
    }
}
