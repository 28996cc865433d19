//! Recovery of damaged directories, from seeds: it never panics, a refused start changes nothing, and a store that opens
//! can be read, written, closed and opened again. `SIM_GARBAGE` says how many (default 300).

use rocketmq::base::clock::Clock;
use rocketmq::store::OpenError;

use super::disk::SimDisk;
use super::{BEGIN, open, put, small};

fn damage(disk: &SimDisk, rng: &mut fastrand::Rng) {
    let files: Vec<_> = disk.files().into_iter().filter(|(path, _)| !path.ends_with("lock")).collect();
    let (path, contents) = &files[rng.usize(..files.len())];
    // Where there is something, not in the empty rest.
    let used = contents.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1).min(contents.len().max(1));
    match rng.u32(..10) {
        0 => disk.erase(path),
        1 => disk.damage(path, |data| data.truncate(rng.usize(..=data.len()))),
        2 => disk.damage(path, |data| data.resize(data.len() + rng.usize(1..5000), 0)),
        3 => disk.damage(&path.with_file_name(format!("{:020}", rng.u64(..100) * 4096)), |data| data.resize(4096, 0)),
        4 => disk.damage(path, |data| {
            let from = rng.usize(..used);
            let to = (from + rng.usize(1..1000)).min(data.len());
            if from < to {
                data[from..to].fill(0);
            }
        }),
        5 => disk.damage(path, |data| {
            let from = rng.usize(..used);
            let to = (from + rng.usize(1..64)).min(data.len());
            data[from.min(to)..to].iter_mut().for_each(|byte| *byte = rng.u8(..));
        }),
        _ => disk.damage(path, |data| {
            if let Some(byte) = data.get_mut(rng.usize(..used)) {
                *byte ^= 1 << rng.u32(..8);
            }
        }),
    }
}

#[test]
fn a_damaged_directory_is_opened_or_refused_and_never_harmed() {
    let rounds: u64 = std::env::var("SIM_GARBAGE").map_or(300, |text| text.parse().unwrap());
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..rounds {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::default();
        let clock = Clock::manual(BEGIN);
        let config = small(4096);
        let (store, _) = open(&disk, &config, &clock).unwrap();
        for round in 0..rng.usize(1..30) {
            let bodies: Vec<String> =
                (0..rng.usize(1..9)).map(|at| format!("m{round}-{at} {}", "x".repeat(rng.usize(..99)))).collect();
            put(&store, "T", rng.u32(..3), &bodies).unwrap();
            clock.advance(rng.u64(..100_000));
            if rng.u32(..3) == 0 {
                store.derive_step().unwrap();
            }
        }
        if rng.bool() {
            store.close().unwrap();
        }
        drop(store);
        for _ in 0..rng.usize(1..4) {
            damage(&disk, &mut rng);
        }
        let mut before = disk.files();
        before.retain(|path, _| !path.ends_with("lock"));
        match open(&disk, &config, &clock) {
            Ok((store, _)) => {
                opened += 1;
                for topic in store.topics() {
                    for queue in store.queues_of(&topic) {
                        read_leniently(&store, &queue);
                    }
                }
                put(&store, "T", 0, &["new message".to_string()]).unwrap();
                assert_eq!(read_last(&store), "new message", "seed {seed}");
                store.close().unwrap();
                drop(store);
                let (store, report) =
                    open(&disk, &config, &clock).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                assert!(report.clean, "seed {seed}");
                assert_eq!(read_last(&store), "new message", "seed {seed}");
            }
            Err(error) => {
                refused += 1;
                assert!(matches!(error, OpenError::Refused { .. }), "seed {seed}: {error}");
                let mut after = disk.files();
                after.retain(|path, _| !path.ends_with("lock"));
                assert!(before == after, "seed {seed}: a refused start changes nothing ({error})");
            }
        }
    }
    println!("{opened} opened, {refused} refused");
    assert!(opened > 0 && refused > 0);
}

#[test]
fn a_record_whose_topic_is_no_name_for_a_directory_any_more_makes_none() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let config = small(4096);
    let (store, _) = open(&disk, &config, &clock).unwrap();
    for topic in ["Two", "%RETRY%aa"] {
        put(&store, topic, 0, &["a body".to_string()]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    disk.damage(std::path::Path::new("/store/commitlog/00000000000000000000"), |data| {
        for (topic, damaged) in [("Two", "Tw/"), ("%RETRY%aa", "/RETRY/..")] {
            let at = data.windows(topic.len()).position(|bytes| bytes == topic.as_bytes()).unwrap();
            data[at..at + topic.len()].copy_from_slice(damaged.as_bytes());
        }
    });
    for name in ["consumequeue", "recovery.hint", "checkpoint"] {
        disk.erase(&std::path::Path::new("/store").join(name));
    }
    let (store, _) = open(&disk, &config, &clock).unwrap();
    assert!(store.topics().is_empty(), "{:?}", store.topics());
    put(&store, "T", 0, &["new message".to_string()]).unwrap();
    store.close().unwrap();
    let strays: Vec<_> = disk.files().into_keys().filter(|path| !path.starts_with("/store")).collect();
    assert!(strays.is_empty(), "{strays:?}");
    drop(store);
    let (store, report) = open(&disk, &config, &clock).unwrap();
    assert!(report.clean && report.units_added == 0, "{report:?}");
    assert_eq!(read_last(&store), "new message");
}

fn read_leniently(store: &rocketmq::store::Store, queue: &rocketmq::store::Queue) {
    let mut at = queue.min();
    while at < queue.max() {
        let mut entries = Vec::new();
        let scan = store.scan(queue, at, &Default::default(), &mut |_| true, &mut entries).unwrap();
        let mut out = bytes::BytesMut::new();
        store.read_into(&entries, &mut out, true).unwrap();
        assert!(scan.next_begin > at, "{scan:?}");
        at = scan.next_begin;
    }
}

fn read_last(store: &rocketmq::store::Store) -> String {
    let queue = store.queue("T", rocketmq::base::position::QueueId(0));
    let last = rocketmq::base::position::QueueOffset(queue.max().0 - 1);
    let mut entries = Vec::new();
    store.scan(&queue, last, &Default::default(), &mut |_| true, &mut entries).unwrap();
    let mut out = bytes::BytesMut::new();
    store.read_into(&entries, &mut out, true).unwrap();
    let record = rocketmq::wire::message::RecordView::parse(&out).unwrap();
    String::from_utf8(record.body().to_vec()).unwrap()
}
