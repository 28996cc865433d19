//! The work behind the appends: flush, derive, allocate. Each is a step that a thread repeats in the product and that
//! the simulator calls by hand.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::error::StepError;
use super::queue::{Queue, Touched};
use super::{Event, FlushMode, Grown, Store};
use crate::base::disk::DiskFile;
use crate::base::position::PhyOffset;

/// From so many touched files on, one `syncfs` is cheaper than a `fdatasync` for each (PERFORMANCE 2).
const SYNC_FILE_SYSTEM_FROM: usize = 64;
/// After a step that failed for lack of room, the next try comes after this pause.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the derive step remembers between two runs.
#[derive(Debug, Default)]
pub(super) struct DeriveState {}

/// The store's threads.
#[derive(Debug)]
pub struct Background {
    store: Store,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    pub(super) fn start(store: Store) -> io::Result<Self> {
        let mut background = Background { store: store.clone(), threads: Vec::new() };
        let works: [(&str, fn(&Store)); 3] =
            [("store-flush", flush_loop), ("store-derive", derive_loop), ("store-allocate", allocate_loop)];
        for (name, work) in works {
            let store = store.clone();
            background.threads.push(std::thread::Builder::new().name(name.to_string()).spawn(move || work(&store))?);
        }
        Ok(background)
    }

    /// Waits for the threads to end; they do once the store is closing.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.store.0.closing.store(true, Ordering::Release);
        self.store.log().wake_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a background thread of the store has panicked");
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.join();
    }
}

fn flush_loop(store: &Store) {
    while !store.is_closing() {
        let flushed = store.flushed().get();
        match store.flush_mode() {
            // Whatever arrived while the last flush ran goes with the next one: no linger.
            FlushMode::Sync => {
                if !store.appended().wait_for(flushed + 1, store.flush_interval()) {
                    continue;
                }
            }
            FlushMode::Async => store.log().sleep(store.flush_interval()),
        }
        if store.flush_step().is_err() {
            // Poisoned and reported; nothing will ever be flushed again.
            return;
        }
    }
}

fn derive_loop(store: &Store) {
    let interval = Duration::from_millis(store.config().derive_interval_ms);
    let mut last_report: Option<Instant> = None;
    while !store.is_closing() {
        store.log().wait_for_derive(interval);
        if store.is_closing() {
            return;
        }
        if let Err(error) = store.derive_step() {
            if last_report.is_none_or(|at| at.elapsed() > Duration::from_secs(10)) {
                tracing::warn!("queues and index are behind, the next step tries again: {error}");
                last_report = Some(Instant::now());
            }
            store.log().sleep(RETRY_AFTER);
        }
    }
}

fn allocate_loop(store: &Store) {
    while !store.is_closing() {
        store.log().wait_for_allocation(Duration::from_secs(60));
        if store.is_closing() {
            return;
        }
        if let Err(error) = store.allocate_step() {
            // Not fatal: appends allocate what they need, or are refused with the reason.
            tracing::warn!("cannot prepare the next commit log file: {error}");
            store.log().sleep(RETRY_AFTER);
        }
    }
}

impl Store {
    /// Makes the appended log durable, lets consumers see what they waited for, and tells the listeners.
    pub fn flush_step(&self) -> Result<(), StepError> {
        let before = self.flushed().get();
        let flushed = self.0.log.flush();
        if let Err(error) = &flushed {
            self.poison(&error.to_string());
        }
        let flushed = flushed?;
        if flushed > before {
            self.0.flushes.fetch_add(1, Ordering::Relaxed);
            self.show_flushed(flushed);
            self.tell(&Event::Flushed(PhyOffset(flushed)));
        }
        Ok(())
    }

    fn show_flushed(&self, flushed: u64) {
        if self.flush_mode() != FlushMode::Sync {
            return;
        }
        let mut grown: Vec<Grown> = Vec::new();
        let mut places: HashMap<u64, usize> = HashMap::new();
        {
            let mut head = self.0.log.head();
            while head.unflushed.front().is_some_and(|unit| unit.end <= flushed) {
                let Some(unit) = head.unflushed.pop_front() else { break };
                unit.queue.show(unit.queue_end);
                let place = *places.entry(unit.queue.owner).or_insert_with(|| {
                    grown.push(Grown { queue: unit.queue.clone(), tags_codes: SmallVec::new() });
                    grown.len() - 1
                });
                grown[place].tags_codes.push(unit.tags_code);
            }
        }
        if !grown.is_empty() {
            self.tell(&Event::Grown(grown));
        }
    }

    /// Makes the next log file and blocks ahead.
    pub fn allocate_step(&self) -> Result<(), StepError> {
        self.0.log.allocate_step()
    }

    /// Writes queue tails and index, and moves checkpoint and hint. Afterwards everything that was appended when it
    /// began is durable in every form.
    pub fn derive_step(&self) -> Result<(), StepError> {
        // Nothing derived is ever on disk before the log it is derived from.
        self.flush_step()?;
        let mut state = self.0.derive.lock();
        self.derive(&mut state)
    }

    fn derive(&self, _state: &mut DeriveState) -> Result<(), StepError> {
        let (limit, queues) = {
            let mut head = self.0.log.head();
            (self.flushed().get(), std::mem::take(&mut head.dirty_queues))
        };
        let mut touched = Touched::default();
        let mut left: Vec<Arc<Queue>> = Vec::new();
        let mut failed = None;
        for queue in queues {
            if failed.is_some() {
                left.push(queue);
                continue;
            }
            match queue.write_tail(limit, &mut touched) {
                Ok(true) => {}
                Ok(false) => left.push(queue),
                Err(error) => {
                    failed = Some(error);
                    left.push(queue);
                }
            }
        }
        {
            let mut head = self.0.log.head();
            head.dirty_queues.append(&mut left);
            head.tail_bytes = head.tail_bytes.saturating_sub(touched.bytes);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.sync_files(&touched.files)?;
        self.0.derived_durable.advance(limit);
        Ok(())
    }

    fn sync_files(&self, files: &[(PathBuf, Arc<dyn DiskFile>)]) -> Result<(), StepError> {
        if files.len() >= SYNC_FILE_SYSTEM_FROM {
            let root = self.root();
            return self
                .0
                .disk
                .sync_file_system(root)
                .map_err(|error| StepError::new("make durable the file system of", root, error));
        }
        for (path, file) in files {
            file.sync_data().map_err(|error| StepError::new("make durable", path, error))?;
        }
        Ok(())
    }

    /// The last derive step of a store that takes no more appends.
    pub(super) fn finish_deriving(&self) -> Result<(), StepError> {
        let mut state = self.0.derive.lock();
        self.derive(&mut state)?;
        self.0.log.remove_empty_files()?;
        let abort = self.path("abort");
        self.0.disk.remove_file(&abort).map_err(|error| StepError::new("remove", &abort, error))?;
        self.0.disk.sync_dir(self.root()).map_err(|error| StepError::new("make durable", self.root(), error))
    }
}
