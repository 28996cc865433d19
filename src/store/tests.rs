//! The store over a real directory: append, flush, scan, read, close.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::BytesMut;

use super::*;
use crate::base::disk::RealDisk;
use crate::base::position::QueueOffset;
use crate::wire::message::{NewRecord, RecordView};

/// A directory of its own, removed at the end.
pub(super) struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rocketmq-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    pub fn config(&self) -> Config {
        Config {
            log_file_size: 16 << 10,
            queue_file_size: 400,
            index_slots: 100,
            index_entries: 400,
            ..Config::new(&self.0)
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(super) fn record<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> NewRecord<'a> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    NewRecord {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: b"TAGS\x01TagA\x02KEYS\x01k1 k2\x02",
    }
}

pub(super) fn open(dir: &Dir, config: Config) -> Store {
    let _ = dir;
    Store::open(config, Arc::new(RealDisk), Clock::manual(1_700_000_000_000)).unwrap().0
}

pub(super) fn put(store: &Store, topic: &str, queue: u32, count: usize) {
    let queue = store.queue(topic, QueueId(queue));
    let mut batch = Batch::new(store);
    for _ in 0..count {
        let body = format!("{topic}-{}-{}", queue.id(), queue.end() + batch.len() as u64);
        batch.stage(&queue, &record(topic, queue.id().0 as i32, body.as_bytes()), 0x27_a807).unwrap();
    }
    store.append(&mut batch).unwrap();
}

pub(super) fn bodies(store: &Store, topic: &str, queue: u32) -> Vec<String> {
    let queue = store.queue(topic, QueueId(queue));
    let mut at = queue.min();
    let mut bodies = Vec::new();
    while at < queue.max() {
        let mut entries = Vec::new();
        let scan = store.scan(&queue, at, &ScanLimits::default(), &mut |_| true, &mut entries).unwrap();
        let mut out = BytesMut::new();
        store.read_into(&entries, &mut out, true).unwrap();
        for record in crate::wire::message::records(&out) {
            let record: RecordView<'_> = record.unwrap();
            assert_eq!(record.queue_offset() as usize, bodies.len() + queue.min().0 as usize);
            bodies.push(String::from_utf8(record.body().to_vec()).unwrap());
        }
        assert!(scan.next_begin > at);
        at = scan.next_begin;
    }
    bodies
}

#[test]
fn what_is_appended_is_scanned_and_read_before_and_after_its_units_are_in_files() {
    let dir = Dir::new();
    let store = open(&dir, dir.config());
    for round in 0..30 {
        put(&store, "T", round % 3, 17);
        if round % 4 == 0 {
            store.derive_step().unwrap();
        }
    }
    for queue in 0..3 {
        let bodies = bodies(&store, "T", queue);
        assert_eq!(bodies.len(), 170);
        assert!(bodies.iter().enumerate().all(|(at, body)| *body == format!("T-{queue}-{at}")));
    }
    assert!(store.log_max().0 > store.config().log_file_size, "the log rolled");
}

#[test]
fn a_scan_answers_with_javas_statuses() {
    let dir = Dir::new();
    let store = open(&dir, dir.config());
    let queue = store.queue("T", QueueId(0));
    let mut into = Vec::new();
    let mut scan = |from, tag: i64| {
        let scan = store.scan(&queue, QueueOffset(from), &ScanLimits::default(), &mut |code| code == tag, &mut into);
        let scan = scan.unwrap();
        (scan.status, scan.next_begin.0)
    };
    assert_eq!(scan(3, 0), (ScanStatus::NoMessageInQueue, 0));
    put(&store, "T", 0, 40);
    assert_eq!(scan(0, 0x27_a807), (ScanStatus::Found, 32));
    assert_eq!(scan(0, 1), (ScanStatus::NoMatchedMessage, 40));
    assert_eq!(scan(40, 1), (ScanStatus::OffsetOverflowOne, 40));
    assert_eq!(scan(41, 1), (ScanStatus::OffsetOverflowBadly, 40));
}

#[test]
fn under_sync_flush_nothing_is_visible_before_it_is_durable() {
    let dir = Dir::new();
    let store = open(&dir, Config { flush_mode: FlushMode::Sync, ..dir.config() });
    let grown = Arc::new(Mutex::new(Vec::new()));
    let told = grown.clone();
    store.listen(Arc::new(move |event| {
        if let Event::Grown(queues) = event {
            told.lock().extend(queues.iter().map(|grown| (grown.queue.max().0, grown.tags_codes.len())));
        }
    }));
    put(&store, "T", 0, 5);
    assert_eq!(store.queue("T", QueueId(0)).max().0, 0);
    store.flush_step().unwrap();
    assert_eq!(store.queue("T", QueueId(0)).max().0, 5);
    assert_eq!(*grown.lock(), [(5, 5)]);
}

#[test]
fn a_delayed_record_gets_its_time_of_delivery_into_its_queue() {
    let dir = Dir::new();
    let store = open(&dir, dir.config());
    let queue = store.queue("SCHEDULE_TOPIC_XXXX", QueueId(2));
    let record = record("SCHEDULE_TOPIC_XXXX", 2, b"later");
    let mut batch = Batch::new(&store);
    let index = batch.stage_delayed(&queue, &record, 10_000).unwrap();
    store.append(&mut batch).unwrap();
    let due = batch.assigned(index).store_timestamp + 10_000;
    assert_eq!(batch.staged(index).1, due);
    let mut found = Vec::new();
    store.scan(&queue, QueueOffset(0), &ScanLimits::default(), &mut |_| true, &mut found).unwrap();
    assert_eq!(found[0].tags_code, due);
}

fn reopen(dir: &Dir, config: Config) -> (Store, RecoveryReport) {
    let _ = dir;
    Store::open(config, Arc::new(RealDisk), Clock::manual(1_700_000_100_000)).unwrap()
}

fn all_there(store: &Store, topic: &str, queue: u32, count: usize) {
    let bodies = bodies(store, topic, queue);
    assert_eq!(bodies.len(), count);
    assert!(bodies.iter().enumerate().all(|(at, body)| *body == format!("{topic}-{queue}-{at}")), "{bodies:?}");
}

#[test]
fn a_closed_store_opens_again_by_its_hint_and_goes_on() {
    let dir = Dir::new();
    for round in 0..4 {
        let (store, report) = reopen(&dir, dir.config());
        assert!(report.clean);
        assert_eq!(report.took_row(recover::Row::H1), round > 0, "{:?}", report.taken);
        assert!(!report.took_row(recover::Row::H2), "{:?}", report.taken);
        all_there(&store, "T", 1, round * 150);
        for _ in 0..10 {
            put(&store, "T", 1, 15);
            store.allocate_step().unwrap();
        }
        store.close().unwrap();
        assert_eq!(store.derived_durable().get(), store.log_max().0);
        assert!(!dir.0.join("abort").exists());
    }
}

#[test]
fn a_killed_store_opens_by_its_hint_with_everything() {
    let dir = Dir::new();
    for round in 0..5 {
        let (store, report) = reopen(&dir, dir.config());
        assert_eq!(report.clean, round == 0);
        assert!(!report.took_row(recover::Row::H2), "{:?}", report.taken);
        all_there(&store, "T", 1, round * 150);
        for put_round in 0..10 {
            put(&store, "T", 1, 15);
            if put_round == 4 {
                store.derive_step().unwrap();
            }
        }
        // The process ends here: no close.
    }
    let (store, report) = reopen(&dir, dir.config());
    assert!(report.units_added > 0 && report.took_row(recover::Row::H1), "{:?}", report.taken);
    // A query waits for no step of the background.
    assert_eq!(store.query("T", "k1", 1000, 0, i64::MAX - 1000).unwrap().len(), 750);
}

#[test]
fn a_store_without_hint_is_opened_by_javas_rules() {
    for clean in [true, false] {
        let dir = Dir::new();
        let (store, _) = reopen(&dir, dir.config());
        for _ in 0..20 {
            put(&store, "T", 1, 15);
        }
        put(&store, "U", 0, 3);
        store.close().unwrap();
        drop(store);
        std::fs::remove_file(dir.0.join("recovery.hint")).unwrap();
        if !clean {
            std::fs::write(dir.0.join("abort"), "4711").unwrap();
        }
        let (store, report) = reopen(&dir, dir.config());
        assert_eq!(report.took_row(recover::Row::A1), clean, "{:?}", report.taken);
        assert_eq!(report.units_added, 0);
        all_there(&store, "T", 1, 300);
        all_there(&store, "U", 0, 3);
        drop(store);
        std::fs::remove_dir_all(dir.0.join("consumequeue")).unwrap();
        let (store, report) = reopen(&dir, dir.config());
        assert_eq!(report.units_added, 303, "{:?}", report.taken);
        all_there(&store, "T", 1, 300);
        all_there(&store, "U", 0, 3);
    }
}

#[test]
fn a_second_store_on_a_directory_is_refused_with_the_holder() {
    let dir = Dir::new();
    let _first = reopen(&dir, dir.config());
    let error = Store::open(dir.config(), Arc::new(RealDisk), Clock::System).unwrap_err();
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
}

#[test]
fn a_search_by_time_answers_as_5_1_1_and_later() {
    let dir = Dir::new();
    let clock = Clock::manual(1000);
    let (store, _) = Store::open(dir.config(), Arc::new(RealDisk), clock.clone()).unwrap();
    let queue = store.queue("T", QueueId(0));
    assert_eq!(store.offset_by_time(&queue, 5, Boundary::Lower).unwrap(), QueueOffset(0));
    // Stored at 1000, 1010, 1010, 1010, 1020, …
    for count in [1, 3, 1, 30] {
        put(&store, "T", 0, count);
        clock.advance(10);
    }
    let find = |time, boundary| store.offset_by_time(&queue, time, boundary).unwrap().0;
    for (time, lower, upper) in
        [(0, 0, 0), (1000, 0, 0), (1005, 1, 0), (1010, 1, 3), (1015, 4, 3), (1030, 5, 34), (9999, 35, 34)]
    {
        assert_eq!((find(time, Boundary::Lower), find(time, Boundary::Upper)), (lower, upper), "{time}");
    }
    assert_eq!(store.earliest_time().unwrap(), Some(1000));
    assert_eq!(store.store_time(&queue, QueueOffset(2)).unwrap(), Some(1010));
}

#[test]
fn a_record_is_given_only_for_a_position_where_one_starts() {
    let dir = Dir::new();
    let (store, _) = reopen(&dir, dir.config());
    put(&store, "T", 0, 3);
    let first = store.record_at(PhyOffset(0)).unwrap().unwrap();
    for at in 1..first.len() as u64 {
        assert_eq!(store.record_at(PhyOffset(at)).unwrap(), None);
    }
    assert!(store.record_at(PhyOffset(first.len() as u64)).unwrap().is_some());
    assert_eq!(store.record_at(store.log_max()).unwrap(), None);
    assert_eq!(store.record_at(PhyOffset(u64::MAX)).unwrap(), None);
}

#[test]
fn several_threads_append_and_every_queue_is_in_order() {
    let dir = Dir::new();
    let (store, _) = reopen(&dir, dir.config());
    let background = store.start().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let mut batch = Batch::new(store);
                let queue = store.queue("T", QueueId(7));
                for round in 0..100 {
                    batch.clear();
                    let body = format!("{thread} {round}");
                    for _ in 0..5 {
                        batch.stage(&queue, &record("T", 7, body.as_bytes()), 0).unwrap();
                    }
                    store.append(&mut batch).unwrap();
                    let assigned = batch.assigned(4);
                    let stored = store.record_at(assigned.phy_offset).unwrap().unwrap();
                    let view = RecordView::parse(&stored).unwrap();
                    assert_eq!(view.body(), body.as_bytes());
                    assert_eq!(view.queue_offset() as u64, assigned.queue_offset.0);
                }
            });
        }
    });
    store.close().unwrap();
    background.stop();
    drop(store);
    let (store, _) = reopen(&dir, dir.config());
    assert_eq!(bodies(&store, "T", 7).len(), 2000);
}

#[test]
fn a_deleted_topic_stays_deleted_and_begins_at_zero() {
    let dir = Dir::new();
    let (store, _) = reopen(&dir, dir.config());
    put(&store, "T", 0, 40);
    put(&store, "U", 0, 4);
    store.delete_topic("T").unwrap();
    assert!(!dir.0.join("consumequeue/T").exists());
    assert!(store.find_queue("T", QueueId(0)).is_none());
    put(&store, "T", 0, 2);
    drop(store);
    let (store, report) = reopen(&dir, dir.config());
    assert!(!report.took_row(recover::Row::H2), "{:?}", report.taken);
    all_there(&store, "T", 0, 2);
    all_there(&store, "U", 0, 4);
}

#[test]
fn flusher_and_deriver_take_new_intervals_in_the_middle_of_an_old_one() {
    const HOUR_MS: u64 = 3_600_000;
    let dir = Dir::new();
    let config = Config { flush_interval_ms: HOUR_MS, derive_interval_ms: HOUR_MS, ..dir.config() };
    let (store, _) = Store::open(config, Arc::new(RealDisk), Clock::System).unwrap();
    let background = store.start().unwrap();
    put(&store, "t", 0, 1);
    let end = store.appended().get();
    assert!(!store.flushed().wait_for(end, std::time::Duration::from_millis(50)), "an hour is not over");
    store.change(&Config { flush_interval_ms: 5, ..store.settings() });
    assert!(store.flushed().wait_for(end, std::time::Duration::from_secs(20)), "the flusher goes by the new interval");
    put(&store, "t", 0, 1);
    let end = store.appended().get();
    assert!(store.flushed().wait_for(end, std::time::Duration::from_secs(20)), "and goes on by it");
    store.change(&Config { derive_interval_ms: 5, ..store.settings() });
    put(&store, "t", 0, 1);
    let end = store.appended().get();
    assert!(store.derived_durable().wait_for(end, std::time::Duration::from_secs(20)), "the deriver too");
    assert_eq!((store.settings().flush_interval_ms, store.settings().derive_interval_ms), (5, 5));
    store.close().unwrap();
    background.stop();
}
