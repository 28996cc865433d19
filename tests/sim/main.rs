//! Simulation: the real store on a disk that loses power at any step (`crashes`), every row of recovery's decision table
//! (`table`), failing disks (`faults`), old files and full disks (`retention`), and directories full of garbage (`garbage`). All of it from seeds.

mod crashes;
mod disk;
mod faults;
mod garbage;
mod retention;
mod speed;
mod table;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use rocketmq::base::clock::Clock;
use rocketmq::base::position::{QueueId, QueueOffset};
use rocketmq::store::{AppendError, Batch, Config, OpenError, RecoveryReport, ScanLimits, Store};
use rocketmq::wire::message::{NewRecord, RecordView, records};

use disk::SimDisk;

const ROOT: &str = "/store";
const BEGIN: u64 = 1_700_000_000_000;

fn small(log_file_size: u64) -> Config {
    Config { log_file_size, queue_file_size: 400, index_slots: 16, index_entries: 64, ..Config::new(ROOT) }
}

fn open(disk: &SimDisk, config: &Config, clock: &Clock) -> Result<(Store, RecoveryReport), OpenError> {
    Store::open(config.clone(), Arc::new(disk.clone()), clock.clone())
}

fn record<'a>(topic: &'a str, queue: u32, body: &'a [u8], properties: &'a [u8]) -> NewRecord<'a> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    NewRecord {
        topic,
        queue_id: queue as i32,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// Appends messages with the given bodies in one batch; each body is its key as well.
fn put(store: &Store, topic: &str, queue: u32, bodies: &[String]) -> Result<(), AppendError> {
    put_at(store, topic, queue, bodies).map(drop)
}

/// As `put`; where each of them is in the log.
fn put_at(store: &Store, topic: &str, queue: u32, bodies: &[String]) -> Result<Vec<u64>, AppendError> {
    let handle = store.queue(topic, QueueId(queue));
    let mut batch = Batch::new(store);
    for body in bodies {
        let key = body.split(' ').next().unwrap_or("");
        let properties = format!("KEYS\u{1}{key}\u{2}TAGS\u{1}TagA\u{2}");
        batch.stage(&handle, &record(topic, queue, body.as_bytes(), properties.as_bytes()), 2_598_919).unwrap();
    }
    store.append(&mut batch)?;
    Ok((0..bodies.len()).map(|at| batch.assigned(at).phy_offset.0).collect())
}

/// All messages of a queue by their numbers; checks that the numbers follow each other.
fn read_all(store: &Store, topic: &str, queue: u32) -> Vec<(u64, String)> {
    read_all_at(store, topic, queue).into_iter().map(|(number, _, body)| (number, body)).collect()
}

/// As `read_all`, with the place of each in the log.
fn read_all_at(store: &Store, topic: &str, queue: u32) -> Vec<(u64, u64, String)> {
    let Some(queue) = store.find_queue(topic, QueueId(queue)) else { return Vec::new() };
    let mut at = queue.min();
    let mut found = Vec::new();
    while at < queue.max() {
        let mut entries = Vec::new();
        let scan = store.scan(&queue, at, &ScanLimits::default(), &mut |_| true, &mut entries).unwrap();
        let mut out = BytesMut::new();
        assert_eq!(store.read_into(&entries, &mut out, true).unwrap(), entries.len(), "every unit leads to its record");
        for (record, entry) in records(&out).zip(&entries) {
            let record: RecordView<'_> = record.unwrap();
            record.check_crc().unwrap();
            assert_eq!(record.topic(), topic);
            assert_eq!(record.phy_offset() as u64, entry.phy.0);
            let body = String::from_utf8(record.body().to_vec()).unwrap();
            found.push((entry.queue_offset.0, entry.phy.0, body));
        }
        assert!(scan.next_begin > at, "a scan goes on: {scan:?}");
        at = QueueOffset(scan.next_begin.0);
    }
    found
}
