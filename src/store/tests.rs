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
