//! The work behind the appends: flush, derive, allocate. Each is a step that a thread repeats in the product and that
//! the simulator calls by hand.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::error::StepError;
use super::index::{Key, keys_of};
use super::log::LastRecord;
use super::queue::{Queue, Touched};
use super::recover::UNITS_UNKNOWN;
use super::state::{Checkpoint, Hint};
use super::walk::{Found, Walker};
use super::{AppendError, Event, FlushMode, Grown, Store};
use crate::base::position::PhyOffset;
use crate::base::pulse::Beat;

/// From so many touched files on, one `syncfs` is cheaper than a `fdatasync` for each (PERFORMANCE 2).
pub(super) const SYNC_FILE_SYSTEM_FROM: usize = 64;
/// After a step that failed for lack of room, the next try comes after this pause.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long one flush may take before the flusher counts as stuck: a busy disk needs seconds, a broken one for ever.
const FLUSH_PATIENCE: Duration = Duration::from_secs(30);

/// How often the flusher of a store under sync flush, which appends wake, looks whether the store is closing.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// One derive step reads about this much of the log for the index.
const INDEX_BYTES_PER_STEP: u64 = 64 << 20;
/// So many bad records met by the index are reported.
const BAD_TOLD_MAX: u32 = 16;

/// How far the derived files are, as the derive step knows it.
#[derive(Debug, Default)]
pub(super) struct DeriveState {
    /// Queue files hold every record below.
    pub queues: u64,
    /// The index holds every record below.
    pub indexed: u64,
    /// Newest record below `queues`.
    pub last: LastRecord,
    /// As it is on disk.
    pub checkpoint: Checkpoint,
    pub told_bad: u32,
}

/// The store's threads.
#[derive(Debug)]
pub struct Background {
    store: Store,
    threads: Vec<JoinHandle<()>>,
    flusher: Beat,
}

impl Background {
    pub(super) fn start(store: Store) -> io::Result<Self> {
        let flusher = Beat::new("the flusher", flush_patience(store.flush_interval()));
        let mut background = Background { store: store.clone(), threads: Vec::new(), flusher: flusher.clone() };
        type Work = (&'static str, Box<dyn FnOnce(&Store) + Send>);
        let works: [Work; 4] = [
            ("store-flush", Box::new(move |store| flush_loop(store, &flusher))),
            ("store-derive", Box::new(derive_loop)),
            ("store-allocate", Box::new(allocate_loop)),
            ("store-clean", Box::new(clean_loop)),
        ];
        for (name, work) in works {
            let store = store.clone();
            background.threads.push(std::thread::Builder::new().name(name.to_string()).spawn(move || work(&store))?);
        }
        Ok(background)
    }

    /// Signs of life of the flusher: it beats at every turn, with and without work, and ends when nothing can ever be
    /// flushed again.
    pub fn flusher(&self) -> &Beat {
        &self.flusher
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

fn flush_loop(store: &Store, beat: &Beat) {
    flush_until_the_end(store, beat);
    beat.end();
}

/// How long the flusher may be silent when it pauses for `interval`.
fn flush_patience(interval: Duration) -> Duration {
    FLUSH_PATIENCE + 2 * interval
}

fn flush_until_the_end(store: &Store, beat: &Beat) {
    while !store.is_closing() {
        beat.beat();
        let flushed = store.flushed().get();
        match store.flush_mode() {
            // Whatever arrived while the last flush ran goes with the next one: no linger.
            FlushMode::Sync => {
                if !store.appended().wait_for(flushed + 1, LOOK_INTERVAL) {
                    continue;
                }
            }
            FlushMode::Async => store.log().sleep(|| {
                let interval = store.flush_interval();
                beat.beat_for(flush_patience(interval));
                interval
            }),
        }
        if store.flush_step().is_err() {
            // Poisoned and reported; nothing will ever be flushed again.
            return;
        }
    }
}

fn derive_loop(store: &Store) {
    let mut told = Told::default();
    let mut more = false;
    while !store.is_closing() {
        if !more {
            let interval = store.0.intervals.derive_ms.load(Ordering::Relaxed);
            store.log().wait_for_derive(Duration::from_millis(interval));
        }
        if store.is_closing() {
            return;
        }
        let step = store.derive_some();
        more = matches!(step, Ok(true));
        if let Err(error) = step {
            if matches!(store.write_state(), Err(AppendError::Poisoned(_))) {
                // Reported; the recovery of the restart completes queues and index.
                return;
            }
            if told.is_due() {
                tracing::warn!("queues and index are behind, the next step tries again: {error}");
            }
            store.log().sleep(|| RETRY_AFTER);
        }
    }
}

fn allocate_loop(store: &Store) {
    let mut told = Told::default();
    while !store.is_closing() {
        store.log().wait_for_allocation(Duration::from_secs(60));
        if store.is_closing() {
            return;
        }
        if let Err(error) = store.allocate_step() {
            // Not fatal: appends allocate what they need, or are refused with the reason.
            if told.is_due() {
                tracing::warn!("cannot prepare the next commit log file: {error}");
            }
            store.log().sleep(|| RETRY_AFTER);
        }
    }
}

fn clean_loop(store: &Store) {
    let mut told = Told::default();
    while !store.is_closing() {
        let pause = match store.clean_step() {
            Ok(cleaned) => Duration::from_millis(cleaned.pause_ms),
            Err(error) => {
                if told.is_due() {
                    tracing::warn!("old files are not removed, the next step tries again: {error}");
                }
                RETRY_AFTER
            }
        };
        store.log().sleep(|| pause);
    }
}

/// A complaint that lasts is repeated every ten seconds, not at every try.
#[derive(Default)]
struct Told(Option<Instant>);

impl Told {
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|at| at.elapsed() > Duration::from_secs(10));
        if due {
            self.0 = Some(Instant::now());
        }
        due
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
            let file_size = self.config().log_file_size;
            if flushed / file_size != before / file_size
                && let Err(error) = self.note_flushed(flushed)
            {
                if !error.is_no_space() {
                    return Err(error);
                }
                // What is flushed is flushed; the derive steps write the same hint, as soon as there is room.
                tracing::warn!("the log is durable up to {flushed}, which is not noted yet: {error}");
            }
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

    /// A whole log file became durable: recovery may cut the log behind `flushed` only, and has to know.
    fn note_flushed(&self, flushed: u64) -> Result<(), StepError> {
        let mut hint = self.0.hint.lock();
        let next = Hint { flushed: hint.hint.flushed.max(flushed), ..hint.hint };
        let written = hint.write(next);
        drop(hint);
        self.poison_if_fatal(written)
    }

    /// Writes queue tails and index, and moves checkpoint and hint. Afterwards everything that was appended when it
    /// began is durable in every form.
    pub fn derive_step(&self) -> Result<(), StepError> {
        while self.derive_some()? {}
        Ok(())
    }

    /// Indexes what is in the log when it is called: a query finds what its sender was just told is stored, as with Java,
    /// which indexes each message within milliseconds. One bounded step, so that after the recovery of a long log a
    /// query does not wait for all of it; several at once share the work.
    pub(super) fn index_now(&self) -> Result<(), StepError> {
        let wanted = self.appended().get();
        let mut state = self.0.derive.lock();
        if state.indexed >= wanted {
            return Ok(());
        }
        let derived = self.derive(&mut state);
        drop(state);
        self.poison_if_fatal(derived).map(|_more| ())
    }

    /// A bounded part of `derive_step`; true when the index is not complete yet.
    fn derive_some(&self) -> Result<bool, StepError> {
        let mut state = self.0.derive.lock();
        let derived = self.derive(&mut state);
        drop(state);
        self.poison_if_fatal(derived)
    }

    /// A lack of room passes, also one that a sync finds: what is derived is still in memory or in the log, and is written
    /// again. A write or a sync that failed otherwise is a failing disk: the recovery of a restart makes its files right.
    fn poison_if_fatal<T>(&self, result: Result<T, StepError>) -> Result<T, StepError> {
        if let Err(error) = &result {
            let writes = error.step.starts_with("make durable") || error.step.starts_with("write");
            if writes && !error.is_no_space() {
                self.poison(&error.to_string());
            }
        }
        result
    }

    fn derive(&self, state: &mut DeriveState) -> Result<bool, StepError> {
        let (limit, last, queues) = {
            let mut head = self.0.log.head();
            let (limit, last) = self.0.log.published(&head);
            (limit, last, std::mem::take(&mut head.dirty_queues))
        };
        // Nothing derived is ever on disk before the log that it is derived from.
        let mut failed = self.0.log.check_name().and_then(|()| self.flush_step()).err();
        let mut touched = Touched::default();
        let mut left: Vec<Arc<Queue>> = Vec::new();
        for queue in queues {
            if failed.is_none() {
                failed = queue.write_tail(limit, &mut touched).err();
            }
            if failed.is_some() {
                left.push(queue);
            }
        }
        // Also when a later queue failed: what was written has to be durable before the next step counts it.
        let bytes = match self.sync_touched(&touched) {
            Ok(()) => touched.settle(&mut left),
            Err(error) => {
                failed = Some(error);
                touched.give_up(&mut left)
            }
        };
        {
            let mut head = self.0.log.head();
            head.dirty_queues.append(&mut left);
            head.tail_bytes = head.tail_bytes.saturating_sub(bytes);
            head.held_back = failed.as_ref().map(StepError::to_string);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        state.queues = limit;
        if last.size > 0 {
            state.last = last;
        }
        let more = self.index_some(state, limit)?;
        let claims = match last.store_timestamp {
            // A checkpoint of the queues must not run ahead of the index: Java adds to both from the same file on.
            time if !more && time > 0 => Checkpoint { physic: time, logics: time, ..state.checkpoint },
            _ => state.checkpoint,
        };
        if claims != state.checkpoint {
            self.0.checkpoint.write(&claims)?;
            state.checkpoint = claims;
        }
        let mut hint = self.0.hint.lock();
        let (index_name, index_header) = self.0.index.as_ref().and_then(|index| index.newest()).unwrap_or_default();
        let next = Hint {
            flushed: hint.hint.flushed.max(self.flushed().get()),
            queues: state.queues,
            indexed: state.indexed,
            last: state.last,
            checkpoint: claims,
            index_name,
            index_header,
            ..hint.hint
        };
        if next != hint.hint || next.units == UNITS_UNKNOWN {
            let units = self.0.queues.all().iter().map(|queue| queue.units_in_files()).sum();
            hint.write(Hint { units, ..next })?;
        }
        drop(hint);
        self.0.derived_durable.advance(state.queues.min(state.indexed));
        Ok(more)
    }

    /// Indexes the next part of the log below `limit`; true when something is left.
    fn index_some(&self, state: &mut DeriveState, limit: u64) -> Result<bool, StepError> {
        let Some(index) = &self.0.index else {
            state.indexed = limit;
            return Ok(false);
        };
        if state.indexed >= limit {
            return Ok(false);
        }
        let file_size = self.config().log_file_size;
        let open = |start| self.0.log.file(start);
        let mut walker = Walker::new(&open, file_size, state.indexed.max(self.log_min().0), limit, false);
        let until = walker.position + INDEX_BYTES_PER_STEP;
        let (mut keys, mut scratch): (Vec<Key>, String) = Default::default();
        while walker.position < limit.min(until) {
            let found = walker.step().map_err(|error| StepError::reading(&self.0.log.dir, error))?;
            match found {
                Found::Record(_, record) => keys_of(&record, &mut scratch, &mut keys),
                Found::Blank => {}
                Found::End => break,
                Found::Bad { at, why, .. } => {
                    // Reported once each; the keys of the rest of that file are not found, its messages are (STORE 14 row 4).
                    if state.told_bad < BAD_TOLD_MAX {
                        state.told_bad += 1;
                        tracing::warn!("the key index goes on behind a bad record of the commit log at {at}: {why}");
                    }
                    walker.position = at - at % file_size + file_size;
                }
            }
        }
        let position = walker.position.min(limit);
        let checkpoint = &mut state.checkpoint;
        index.add(&keys, &mut |time| {
            // Java removes an index file that is newer than this says, so it is told before the header says so.
            let claims = Checkpoint { index: time, ..*checkpoint };
            if claims != *checkpoint {
                self.0.checkpoint.write(&claims)?;
                *checkpoint = claims;
            }
            Ok(())
        })?;
        state.indexed = position;
        Ok(position < limit)
    }

    fn sync_touched(&self, touched: &Touched) -> Result<(), StepError> {
        let Touched { files, dirs, .. } = touched;
        if files.len() + dirs.len() >= SYNC_FILE_SYSTEM_FROM {
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
        for dir in dirs {
            self.0.disk.sync_dir(dir).map_err(|error| StepError::new("make durable", dir, error))?;
        }
        Ok(())
    }

    /// The last derive step of a store that takes no more appends.
    pub(super) fn finish_deriving(&self) -> Result<(), StepError> {
        self.derive_step()?;
        let _state = self.0.derive.lock();
        self.0.log.remove_empty_files()?;
        {
            let mut hint = self.0.hint.lock();
            let closed = Hint { clean: true, flushed: self.flushed().get(), ..hint.hint };
            hint.write(closed)?;
        }
        let abort = self.path("abort");
        self.0.disk.remove_file(&abort).map_err(|error| StepError::new("remove", &abort, error))?;
        self.0.disk.sync_dir(self.root()).map_err(|error| StepError::new("make durable", self.root(), error))
    }
}
