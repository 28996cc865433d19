//! Delayed messages: they wait in `SCHEDULE_TOPIC_XXXX`, one queue per level, and are delivered to their real topic when
//! they are due; how far each level is delivered is kept in `config/delayOffset.json` (INTEROP 06 §7, STORE 5.6).
//!
//! One thread waits for the exact next due time and nothing polls: whoever appends to a schedule queue calls `grew`, which
//! wakes the thread only if the message is due before the thread would look by itself. Levels are FIFO.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::{Clock, Millis};
use crate::base::position::{QueueId, QueueOffset};
use crate::store::{Batch, Entry, Event, ScanLimits, ScanStatus, Store};
use crate::wire::body::DataVersion;
use crate::wire::message::properties::{self, DELAY, REAL_QID, REAL_TOPIC, TAGS};
use crate::wire::message::{NewRecord, RecordView};

use super::appender::Appender;
use super::state_file::{StateFile, StateFileError};
use super::topics::SCHEDULE_TOPIC;

/// Most messages of one level that are delivered before the next level has its turn.
const DELIVERIES_PER_TURN: usize = 256;
/// Most bytes of them.
const DELIVERY_BYTES_PER_TURN: usize = 4 << 20;
/// How long a delivery that could not be stored waits for the next attempt, milliseconds.
const RETRY_MS: u64 = 200;
/// Where Java puts half messages; a delayed one is thrown away at its delivery, as every version does.
const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// The level that a DELAY property asks for: `None` when the message is not delayed, clamped to the highest.
///
/// The error is the text itself: not a whole number.
pub fn level(text: &str, highest: usize) -> Result<Option<usize>, String> {
    let level: i32 = text.trim().parse().map_err(|_| text.to_owned())?;
    Ok(usize::try_from(level).ok().filter(|level| *level > 0).map(|level| level.min(highest)))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DelayDocument {
    #[serde(default)]
    data_version: DataVersion,
    offset_table: BTreeMap<u32, u64>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// How far one level is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Next message to deliver.
    next: u64,
    /// End of the log behind the last delivery: once that is durable, `next` may be.
    log_end: u64,
    /// What the file may say.
    durable: u64,
    /// Bytes that were delivered since the start.
    bytes: u64,
}

#[derive(Debug, Default)]
struct Wake {
    /// Counts the calls that may have brought something earlier.
    calls: u64,
    stop: bool,
}

/// The levels and how far each is delivered.
#[derive(Debug)]
pub struct Delays {
    clock: Clock,
    levels_ms: Vec<u64>,
    file: StateFile,
    progress: Mutex<Vec<Progress>>,
    saving: Mutex<(DataVersion, Map<String, Value>)>,
    dirty: AtomicBool,
    /// The last turn failed and said so: it is not said again until one succeeds.
    failing: AtomicBool,
    wake: Mutex<Wake>,
    woken: Condvar,
    /// When the thread looks by itself; `u64::MAX` while it is looking.
    next_look: AtomicU64,
}

impl Delays {
    /// Reads `delayOffset.json` and puts every level into the range of its queue.
    pub fn open(store: &Store, file: StateFile, clock: Clock) -> Result<Delays, StateFileError> {
        let document = file.load::<DelayDocument>()?;
        let levels_ms = store.config().delay_levels_ms.clone();
        let (mut saved, mut kept) = (BTreeMap::new(), (DataVersion::default(), Map::new()));
        if let Some(document) = document {
            saved = document.offset_table;
            kept = (document.data_version, document.unknown);
        }
        let progress = (1..=levels_ms.len() as u32)
            .map(|level| {
                let queue = store.find_queue(SCHEDULE_TOPIC, QueueId(level - 1));
                let (min, max) = queue.map_or((0, 0), |queue| (queue.min().0, queue.max().0));
                let next = saved.get(&level).copied().unwrap_or(0).clamp(min, max);
                Progress { next, log_end: 0, durable: next, bytes: 0 }
            })
            .collect();
        Ok(Delays {
            clock,
            levels_ms,
            file,
            progress: Mutex::new(progress),
            saving: Mutex::new(kept),
            dirty: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            wake: Mutex::default(),
            woken: Condvar::new(),
            next_look: AtomicU64::new(u64::MAX),
        })
    }

    /// Number of levels; a message that asks for more gets the last.
    pub fn highest(&self) -> usize {
        self.levels_ms.len()
    }

    /// The delay of a level, milliseconds; levels begin at 1.
    pub fn delay_ms(&self, level: usize) -> u64 {
        level.checked_sub(1).and_then(|index| self.levels_ms.get(index)).copied().unwrap_or(0)
    }

    /// Says that a schedule queue got a message that is due at `due` (its queue unit's number). Cheap unless it is the next.
    pub fn grew(&self, due: i64) {
        // The queue has grown before this look, and the thread says that it looks before it looks at the queue.
        fence(Ordering::SeqCst);
        if u64::try_from(due).unwrap_or(0) >= self.next_look.load(Ordering::SeqCst) {
            return;
        }
        self.wake.lock().calls += 1;
        self.woken.notify_all();
    }

    /// As `grew`, for each schedule queue that an event says has grown.
    pub fn told(&self, event: &Event) {
        let Event::Grown(grown) = event else { return };
        for grown in grown.iter().filter(|grown| grown.queue.topic() == SCHEDULE_TOPIC) {
            grown.tags_codes.iter().for_each(|due| self.grew(*due));
        }
    }

    /// How far a level is delivered, and the end of its queue: `scheduleMessageOffset_<level>` of the runtime info.
    pub fn standing(&self, store: &Store) -> Vec<(u64, u64)> {
        let progress = self.progress.lock();
        let max =
            |index: usize| store.find_queue(SCHEDULE_TOPIC, QueueId(index as u32)).map_or(0, |queue| queue.max().0);
        progress.iter().enumerate().map(|(index, progress)| (progress.next, max(index))).collect()
    }

    /// How far each level is delivered and how many bytes that were since the start, in the order of levels.
    pub fn delivered_to(&self) -> Vec<(u64, u64)> {
        self.progress.lock().iter().map(|progress| (progress.next, progress.bytes)).collect()
    }

    /// The table of GET_ALL_DELAY_OFFSET.
    pub fn document(&self) -> impl Serialize + use<> {
        let kept = self.saving.lock();
        let table = self.progress.lock().iter().map(|progress| progress.next).collect::<Vec<_>>();
        document(&kept, table)
    }

    /// Writes what is delivered and durable since the last save: the file never runs ahead of the log, or a power cut
    /// between a delivery and its flush would lose the message.
    pub fn save_if_dirty(&self, store: &Store) -> Result<(), StateFileError> {
        if self.dirty.swap(false, Ordering::AcqRel) { self.save(store) } else { Ok(()) }
    }

    /// As `save_if_dirty`, whether something changed or not. Exact once the log is flushed.
    pub fn save(&self, store: &Store) -> Result<(), StateFileError> {
        let mut kept = self.saving.lock();
        let flushed = store.flushed().get();
        let (mut table, mut complete) = (Vec::new(), true);
        for progress in self.progress.lock().iter_mut() {
            if progress.log_end <= flushed {
                progress.durable = progress.next;
            }
            complete &= progress.durable == progress.next;
            table.push(progress.durable);
        }
        if !complete {
            self.dirty.store(true, Ordering::Release);
        }
        kept.0 = kept.0.next(self.clock.now() as i64);
        self.file.save(&document(&kept, table)).inspect_err(|_| self.dirty.store(true, Ordering::Release))
    }

    /// Delivers everything that is due and returns when to look again; `None` when nothing waits.
    pub fn step(&self, appender: &Appender, batch: &mut Batch) -> Option<Millis> {
        let mut next_look: Option<Millis> = None;
        for level in 1..=self.highest() {
            let look = self.step_level(appender, batch, level);
            next_look = match (next_look, look) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        next_look
    }

    fn step_level(&self, appender: &Appender, batch: &mut Batch, level: usize) -> Option<Millis> {
        let store = appender.store();
        let queue = store.find_queue(SCHEDULE_TOPIC, QueueId(level as u32 - 1))?;
        let from = self.progress.lock().get(level - 1)?.next;
        if from >= queue.max().0 {
            return None;
        }
        let limits = ScanLimits {
            max_messages: DELIVERIES_PER_TURN,
            max_bytes: DELIVERY_BYTES_PER_TURN,
            max_messages_on_disk: DELIVERIES_PER_TURN,
            max_bytes_on_disk: DELIVERY_BYTES_PER_TURN,
            ..ScanLimits::default()
        };
        let now = self.clock.now();
        let mut entries = Vec::new();
        let scan = match store.scan(&queue, QueueOffset(from), &limits, &mut |_| true, &mut entries) {
            Ok(scan) => scan,
            Err(error) => {
                self.failed(|| format!("cannot read which messages of delay level {level} are due: {error}"));
                return Some(now + RETRY_MS);
            }
        };
        if scan.status != ScanStatus::Found {
            // The head lies below the log's oldest byte, or a file is missing: go on behind it.
            self.delivered(level, scan.next_begin.0.max(from), 0, 0);
            return (scan.next_begin.0 > from).then_some(now);
        }
        let due_of = |entry: &Entry| self.due(level, entry.tags_code, now);
        let due: Vec<Entry> = entries.iter().copied().take_while(|entry| due_of(entry) <= now).collect();
        let look = match entries.get(due.len()) {
            Some(head) => Some(due_of(head)),
            None if scan.next_begin < queue.max() => Some(now),
            None => None,
        };
        if due.is_empty() {
            return look;
        }
        match self.deliver(appender, batch, level, &due, now) {
            Ok(waits) => {
                let done = waits.map_or(due.len(), |(at, _)| at);
                if let Some(last) = due[..done].last() {
                    let bytes = due[..done].iter().map(|entry| u64::from(entry.size)).sum();
                    self.delivered(level, last.queue_offset.0 + 1, batch.end().0, bytes);
                }
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("delayed messages are delivered again");
                }
                waits.map(|(_, until)| until).or(look)
            }
            Err(reason) => {
                self.failed(|| format!("{} due messages of delay level {level} wait: {reason}", due.len()));
                Some(now + RETRY_MS)
            }
        }
    }

    fn failed(&self, why: impl FnOnce() -> String) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!("{}; it is tried again every {RETRY_MS} ms", why());
        }
    }

    /// A time later than a whole delay from now means that the clock went back or the level was shortened: due at once.
    fn due(&self, level: usize, tags_code: i64, now: Millis) -> Millis {
        let due = u64::try_from(tags_code).unwrap_or(0);
        if due > now + self.delay_ms(level) { now } else { due }
    }

    fn delivered(&self, level: usize, next: u64, log_end: u64, bytes: u64) {
        if let Some(progress) = self.progress.lock().get_mut(level - 1) {
            progress.next = next;
            progress.log_end = progress.log_end.max(log_end);
            progress.bytes += bytes;
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Delivers the entries up to the first one whose unit is wrong about its time: that one's place, and when it is due.
    fn deliver(
        &self,
        appender: &Appender,
        batch: &mut Batch,
        level: usize,
        due: &[Entry],
        now: Millis,
    ) -> Result<Option<(usize, Millis)>, String> {
        batch.clear();
        let store = appender.store();
        let mut waits = None;
        for (at, entry) in due.iter().enumerate() {
            match store.record_at(entry.phy) {
                Ok(Some(bytes)) => {
                    waits = self.really_due(level, entry, &bytes, now).map(|until| (at, until));
                    if waits.is_some() {
                        break;
                    }
                    stage(store, batch, &bytes);
                }
                // Java skips what cannot be read as well; the store has said why.
                Ok(None) => {
                    tracing::error!("the delayed message at {} of the log cannot be read and is lost", entry.phy)
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        if !batch.is_empty() {
            appender.append(batch).map_err(|error| error.to_string())?;
        }
        Ok(waits)
    }

    /// When a message is due although its unit says that it is now: 4.9.x puts the hash of the tag where the time belongs
    /// while it recovers from an unclean end (STORE 8.4, 13.2 rule 10). No sound unit lies before its record's store time.
    fn really_due(&self, level: usize, entry: &Entry, bytes: &[u8], now: Millis) -> Option<Millis> {
        let stored = RecordView::parse(bytes).ok()?.store_timestamp();
        if entry.tags_code >= stored {
            return None;
        }
        let due = self.due(level, stored.saturating_add(self.delay_ms(level) as i64), now);
        (due > now).then_some(due)
    }
}

fn document(kept: &(DataVersion, Map<String, Value>), table: Vec<u64>) -> DelayDocument {
    DelayDocument {
        data_version: kept.0,
        // Levels of which nothing was ever delivered are left out, as Java does.
        offset_table: (1..).zip(table).filter(|(_, next)| *next > 0).collect(),
        unknown: kept.1.clone(),
    }
}

/// The delivered record: the same properties, the real topic and queue (INTEROP 06 §7).
fn stage(store: &Store, batch: &mut Batch, bytes: &[u8]) {
    let record = match RecordView::parse(bytes) {
        Ok(record) => record,
        Err(error) => return tracing::error!("a delayed message cannot be read and is lost: {error}"),
    };
    let text = record.properties();
    let (topic, queue) = (properties::get(text, REAL_TOPIC), properties::get(text, REAL_QID));
    let queue = queue.and_then(|queue| queue.trim().parse::<u32>().ok());
    let (Some(topic), Some(queue)) = (topic, queue) else {
        return tracing::error!("a delayed message at {} says no real topic and is lost", record.phy_offset());
    };
    if topic == HALF_TOPIC {
        return;
    }
    let moved = NewRecord::from(&record);
    let delivered = NewRecord { topic, queue_id: queue as i32, prepared_transaction_offset: 0, ..moved };
    let tags_code = properties::get(text, TAGS).map_or(0, properties::tags_code);
    let queue = store.queue(topic, QueueId(queue));
    // It will not fit the next time either; the sizes were checked when it was sent.
    if let Err(error) = batch.stage(&queue, &delivered, tags_code) {
        tracing::error!("a delayed message at {} cannot be delivered and is lost: {error}", record.phy_offset());
    }
}

/// Rewrites the properties of a message that is to be delayed: DELAY becomes the clamped level, REAL_TOPIC and REAL_QID
/// say where it goes, and the timer properties lose against DELAY, as in 5.x.
pub fn scheduled_properties(text: &[u8], level: usize, topic: &str, queue_id: i32) -> Vec<u8> {
    let mut changed = properties::Properties::parse(text);
    for timer in [properties::TIMER_DELIVER_MS, properties::TIMER_DELAY_SEC, properties::TIMER_DELAY_MS] {
        changed.remove(timer);
    }
    changed.set(DELAY, level.to_string());
    changed.set(REAL_TOPIC, topic);
    changed.set(REAL_QID, queue_id.to_string());
    changed.to_bytes()
}

/// The thread that delivers.
pub struct Deliverer {
    delays: Arc<Delays>,
    thread: JoinHandle<()>,
}

impl Deliverer {
    /// Starts it.
    pub fn start(delays: Arc<Delays>, appender: Appender) -> io::Result<Deliverer> {
        let running = delays.clone();
        let thread =
            std::thread::Builder::new().name("delay-delivery".into()).spawn(move || run(&running, &appender))?;
        Ok(Deliverer { delays, thread })
    }

    /// Ends it after the turn that it is in.
    pub fn stop(self) {
        self.delays.wake.lock().stop = true;
        self.delays.woken.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the thread that delivers delayed messages panicked; the panic is in the log above");
        }
    }
}

fn run(delays: &Delays, appender: &Appender) {
    let mut batch = Batch::new(appender.store());
    loop {
        // While it looks, every call counts; afterwards only those that are due before the next look.
        delays.next_look.store(u64::MAX, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let before = delays.wake.lock().calls;
        let look = delays.step(appender, &mut batch);
        let mut wake = delays.wake.lock();
        if wake.stop {
            return;
        }
        if wake.calls != before {
            continue;
        }
        delays.next_look.store(look.unwrap_or(u64::MAX), Ordering::SeqCst);
        match look {
            None => delays.woken.wait(&mut wake),
            Some(due) => {
                let pause = Duration::from_millis(due.saturating_sub(delays.clock.now()));
                let _timed_out = delays.woken.wait_for(&mut wake, pause);
            }
        }
        if wake.stop {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::appender::Notice;
    use crate::broker::fixture::{Broker, START};
    use crate::broker::state_file::scratch;

    struct Fixture {
        broker: Broker,
        delays: Arc<Delays>,
        appender: Appender,
        grown: Arc<Mutex<Vec<String>>>,
    }

    impl Fixture {
        fn new(broker: Broker) -> Fixture {
            let store = broker.handles.store.clone();
            let file = scratch::file(&broker.dir.join("config"), "delayOffset.json");
            let delays = Arc::new(Delays::open(&store, file, broker.handles.clock.clone()).unwrap());
            let grown: Arc<Mutex<Vec<String>>> = Arc::default();
            let told = grown.clone();
            let tell: crate::broker::appender::Tell = Arc::new(move |notice| {
                if let Notice::Stored(Event::Grown(queues)) = notice {
                    told.lock().extend(queues.iter().map(|grown| grown.queue.topic().to_owned()));
                }
            });
            let (stats, clock) = (broker.handles.stats.clone(), broker.handles.clock.clone());
            Fixture { broker, delays, appender: Appender::new(store, tell, stats, clock), grown }
        }

        fn put(&self, level: usize, body: &str) {
            self.put_unit(level, body, None);
        }

        /// As `put`, with another number than the time in the unit.
        fn put_unit(&self, level: usize, body: &str, tags_code: Option<i64>) {
            let text = scheduled_properties(b"TAGS\x01TagA\x02", level, "T", 3);
            let host = Broker::conn(1).peer;
            let record = NewRecord {
                topic: SCHEDULE_TOPIC,
                queue_id: level as i32 - 1,
                flag: 7,
                sys_flag: 0,
                born_timestamp: 5,
                born_host: host,
                store_host: host,
                reconsume_times: 2,
                prepared_transaction_offset: 0,
                body: body.as_bytes(),
                properties: &text,
            };
            let store = self.appender.store();
            let mut batch = Batch::new(store);
            let queue = store.queue(SCHEDULE_TOPIC, QueueId(level as u32 - 1));
            let index = match tags_code {
                Some(tags_code) => batch.stage(&queue, &record, tags_code).unwrap(),
                None => batch.stage_delayed(&queue, &record, self.delays.delay_ms(level)).unwrap(),
            };
            store.append(&mut batch).unwrap();
            self.delays.grew(batch.staged(index).1);
        }

        fn step(&self) -> Option<u64> {
            self.delays.step(&self.appender, &mut Batch::new(self.appender.store())).map(|look| look - START)
        }

        fn delivered(&self) -> Vec<String> {
            let store = self.appender.store();
            let Some(queue) = store.find_queue("T", QueueId(3)) else { return Vec::new() };
            let mut entries = Vec::new();
            store.scan(&queue, QueueOffset(0), &ScanLimits::default(), &mut |_| true, &mut entries).unwrap();
            let body = |entry: &Entry| {
                let bytes = store.record_at(entry.phy).unwrap().unwrap();
                let record = RecordView::parse(&bytes).unwrap();
                assert_eq!((record.topic(), record.flag(), record.reconsume_times()), ("T", 7, 2));
                assert_eq!(properties::get(record.properties(), REAL_TOPIC), Some("T"));
                assert_eq!(entry.tags_code, properties::tags_code("TagA"));
                String::from_utf8(record.body().to_vec()).unwrap()
            };
            entries.iter().map(body).collect()
        }
    }

    #[test]
    fn messages_are_delivered_when_they_are_due_and_not_before() {
        let fixture = Fixture::new(Broker::new("delay-due"));
        assert_eq!(fixture.step(), None);
        fixture.put(2, "five");
        fixture.put(1, "one");
        fixture.broker.handles.clock.advance(400);
        fixture.put(1, "one-later");
        assert_eq!(fixture.step(), Some(1000));
        assert!(fixture.delivered().is_empty());
        fixture.broker.handles.clock.advance(600);
        assert_eq!(fixture.step(), Some(1400));
        assert_eq!(fixture.delivered(), ["one"]);
        assert_eq!(*fixture.grown.lock(), ["T"]);
        fixture.broker.handles.clock.advance(4000);
        assert_eq!(fixture.step(), None);
        assert_eq!(fixture.delivered(), ["one", "one-later", "five"]);
    }

    #[test]
    fn a_unit_with_a_hash_for_a_time_waits_as_long_as_its_record_says() {
        let fixture = Fixture::new(Broker::new("delay-hash"));
        // What a 4.9.x broker's unclean start leaves in the queue: the hash of the tag, in any order with sound units.
        fixture.put_unit(1, "hash", Some(properties::tags_code("TagA")));
        fixture.broker.handles.clock.advance(300);
        fixture.put(1, "sound");
        fixture.put_unit(1, "none", Some(0));
        assert_eq!(fixture.step(), Some(1000));
        fixture.broker.handles.clock.advance(700);
        assert_eq!(fixture.step(), Some(1300));
        assert_eq!(fixture.delivered(), ["hash"]);
        fixture.broker.handles.clock.advance(300);
        assert_eq!(fixture.step(), None);
        assert_eq!(fixture.delivered(), ["hash", "sound", "none"]);
    }

    #[test]
    fn progress_is_saved_once_it_is_durable_and_taken_up_after_a_restart() {
        let fixture = Fixture::new(Broker::new("delay-restart"));
        for number in 0..3 {
            fixture.put(1, &number.to_string());
        }
        fixture.broker.handles.clock.advance(1000);
        assert_eq!(fixture.step(), None);
        let store = fixture.appender.store().clone();
        fixture.delays.save_if_dirty(&store).unwrap();
        let path = fixture.broker.dir.join("config").join("delayOffset.json");
        assert!(!std::fs::read_to_string(&path).unwrap().contains("\"1\""), "the log is not flushed yet");
        store.close().unwrap();
        fixture.delays.save_if_dirty(&store).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"1\":3"));
        let file = scratch::file(&fixture.broker.dir.join("config"), "delayOffset.json");
        let again = Delays::open(&store, file, Clock::System).unwrap();
        assert_eq!(again.standing(&store)[0], (3, 3));
    }

    #[test]
    fn a_backlog_is_delivered_in_order_over_several_turns_and_a_clock_that_went_back_delays_nothing() {
        let fixture = Fixture::new(Broker::new("delay-backlog"));
        for number in 0..DELIVERIES_PER_TURN + 10 {
            fixture.put(18, &number.to_string());
        }
        assert_eq!(fixture.step(), Some(7_200_000));
        fixture.broker.handles.clock.advance(7_200_000);
        assert_eq!(fixture.step(), Some(7_200_000), "more is due");
        assert_eq!(fixture.step(), None);
        assert_eq!(fixture.appender.store().find_queue("T", QueueId(3)).unwrap().max().0, 266);
        // A unit far in the future, as a clock that was wrong leaves it.
        assert_eq!(fixture.delays.due(1, (START * 2) as i64, START), START);
    }

    #[test]
    fn the_thread_sleeps_until_the_next_message_is_due() {
        let broker = Broker::open(scratch::dir("delay-thread"), |_| {});
        let store = broker.handles.store.clone();
        let file = scratch::file(&broker.dir.join("config"), "delayOffset.json");
        let delays = Arc::new(Delays::open(&store, file, broker.handles.clock.clone()).unwrap());
        let (sender, receiver) = std::sync::mpsc::sync_channel(10);
        let tell: crate::broker::appender::Tell = Arc::new(move |_| sender.send(()).unwrap());
        let (stats, clock) = (broker.handles.stats.clone(), broker.handles.clock.clone());
        let appender = Appender::new(store, tell, stats, clock);
        let deliverer = Deliverer::start(delays.clone(), appender.clone()).unwrap();
        let fixture = Fixture { broker, delays, appender, grown: Arc::default() };
        fixture.put(1, "a");
        // The manual clock moves while the thread waits for the second that it sees.
        fixture.broker.handles.clock.advance(1000);
        fixture.delays.grew(0);
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(fixture.delivered(), ["a"]);
        deliverer.stop();
    }

    #[test]
    fn a_level_is_a_whole_number_and_at_most_the_highest() {
        assert_eq!(level("3", 18), Ok(Some(3)));
        assert_eq!(level("99", 18), Ok(Some(18)));
        assert_eq!(level("0", 18), Ok(None));
        assert_eq!(level("-1", 18), Ok(None));
        assert_eq!(level("x", 18), Err("x".into()));
        let text = scheduled_properties(b"DELAY\x0199\x02TIMER_DELAY_SEC\x015\x02K\x01v\x02", 18, "T", 2);
        assert_eq!(text, b"DELAY\x0118\x02K\x01v\x02REAL_TOPIC\x01T\x02REAL_QID\x012\x02");
    }
}
