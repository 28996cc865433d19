//! Measurements on the real disk, run by name: `cargo test --release --test sim -- --ignored --nocapture speed`.
//! `SPEED_DIR` names the directory (default: the temporary one), `SPEED_GIB` the size of the log (default 3).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rocketmq::base::clock::Clock;
use rocketmq::base::disk::RealDisk;
use rocketmq::base::position::QueueId;
use rocketmq::store::{Batch, Config, Store};

use super::record;

fn directory(name: &str) -> PathBuf {
    let base = std::env::var("SPEED_DIR").map_or_else(|_| std::env::temp_dir(), PathBuf::from);
    let dir = base.join(format!("rocketmq-speed-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
#[ignore = "a measurement"]
fn appends_and_recovery_of_a_large_log() {
    let gib: u64 = std::env::var("SPEED_GIB").map_or(3, |text| text.parse().unwrap());
    let dir = directory("append");
    let config = Config::new(&dir);
    let (store, _) = Store::open(config.clone(), Arc::new(RealDisk), Clock::System).unwrap();
    let background = store.start().unwrap();
    let queues: Vec<_> = (0..16).map(|queue| store.queue("BenchmarkTest", QueueId(queue))).collect();
    let body = vec![b'x'; 1024];
    let mut batch = Batch::new(&store);
    let began = Instant::now();
    let (mut records, mut worst, mut writing) = (0_u64, std::time::Duration::ZERO, std::time::Duration::ZERO);
    while store.log_max().0 < gib << 30 {
        batch.clear();
        for _ in 0..64 {
            let queue = &queues[records as usize % 16];
            let properties =
                format!("KEYS\u{1}k{records}\u{2}TAGS\u{1}TagA\u{2}UNIQ_KEY\u{1}0A0102030405{records:020}\u{2}");
            batch.stage(queue, &record("BenchmarkTest", queue.id().0, &body, properties.as_bytes()), 1).unwrap();
            records += 1;
        }
        let append = Instant::now();
        store.append(&mut batch).unwrap();
        worst = worst.max(append.elapsed());
        writing += append.elapsed();
    }
    let took = began.elapsed();
    println!(
        "{records} records of {} bytes: {:.2} us each staged and appended, {:.2} us in append, worst batch {worst:?}",
        batch.assigned(0).len,
        took.as_secs_f64() * 1e6 / records as f64,
        writing.as_secs_f64() * 1e6 / records as f64,
    );
    // A kill: no close. The threads end, the directory stays as it is.
    background.stop();
    let behind = store.log_max().0 - store.derived_durable().get();
    let log_max = store.log_max();
    drop(batch);
    drop(queues);
    drop(store);

    let open = |what: &str| {
        let (store, report) = Store::open(config.clone(), Arc::new(RealDisk), Clock::System).unwrap();
        let rate = report.scanned_bytes as f64 / report.took.as_secs_f64() / 1e9;
        println!(
            "{what}: {:?}, {} MiB scanned ({rate:.1} GB/s), {} units added, {:?}",
            report.took,
            report.scanned_bytes >> 20,
            report.units_added,
            report.taken
        );
        assert_eq!(store.log_max(), log_max);
        store
    };
    println!("{} MiB were not derived yet", behind >> 20);
    drop(open("killed"));
    let store = open("killed again");
    store.derive_step().unwrap();
    drop(store);
    std::fs::remove_file(dir.join("recovery.hint")).unwrap();
    std::fs::remove_dir_all(dir.join("consumequeue")).unwrap();
    std::fs::remove_file(dir.join("checkpoint")).unwrap();
    drop(open("no hint, no queues, no checkpoint: everything is rebuilt"));
    let store = open("killed after that");
    store.close().unwrap();
    drop(store);
    drop(open("closed"));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
#[ignore = "a measurement"]
fn ten_thousand_queues() {
    let dir = directory("queues");
    let config = Config::new(&dir);
    let (store, _) = Store::open(config.clone(), Arc::new(RealDisk), Clock::System).unwrap();
    let mut batch = Batch::new(&store);
    for round in 0..3 {
        let began = Instant::now();
        for queue in 0..10_000 {
            let handle = store.queue(&format!("topic-{}", queue / 10), QueueId(queue % 10));
            let topic = handle.topic().to_string();
            batch.stage(&handle, &record(&topic, queue % 10, b"body", b""), 1).unwrap();
            if batch.len() == 64 {
                store.append(&mut batch).unwrap();
                batch.clear();
            }
        }
        store.append(&mut batch).unwrap();
        batch.clear();
        let appended = began.elapsed();
        store.derive_step().unwrap();
        println!("round {round}: appended in {appended:?}, derived in {:?}", began.elapsed() - appended);
    }
    drop(batch);
    drop(store);
    let (store, report) = Store::open(config, Arc::new(RealDisk), Clock::System).unwrap();
    println!("killed: opened in {:?}", report.took);
    drop(store);
    std::fs::remove_dir_all(&dir).unwrap();
}
