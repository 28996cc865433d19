//! Old files and full disks: what goes, in which order, what stays readable, and what a power cut or a failing disk in the
//! middle of it leaves behind.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use rocketmq::base::clock::Clock;
use rocketmq::base::position::{PhyOffset, QueueId, QueueOffset};
use rocketmq::store::{
    AppendError, Config, DiskLevel, Event, ReadError, Removing, Retention, ScanLimits, ScanStatus, Store,
};

use super::disk::{Fault, Loss, SimDisk};
use super::{BEGIN, open, put, read_all, small};

const HOUR_MS: u64 = 3_600_000;
const FILE: u64 = 4096;

/// Expired files go at any hour, in passes without a pause.
fn eager() -> Config {
    let retention = Retention { delete_hours: (0..24).collect(), interval_ms: 0, ..Retention::default() };
    Config { retention, ..small(FILE) }
}

fn bodies(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|number| format!("m{number} {}", "x".repeat(200))).collect()
}

/// Files below a directory of the store, without its path.
fn files(disk: &SimDisk, dir: &str) -> Vec<String> {
    let dir = Path::new("/store").join(dir);
    let below = |path: PathBuf| path.strip_prefix(&dir).ok().map(|path| path.display().to_string());
    disk.files().into_keys().filter_map(below).collect()
}

/// Steps until nothing is left to do.
fn clean(store: &Store) -> (u64, u64, u64) {
    let mut all = (0, 0, 0);
    for _ in 0..1000 {
        let did = store.clean_step().unwrap();
        all = (all.0 + did.log_files, all.1 + did.queue_files, all.2 + did.index_files);
        if did.log_files + did.queue_files + did.index_files == 0 && did.pause_ms >= 1000 {
            return all;
        }
    }
    panic!("cleaning does not end");
}

fn scan_at(store: &Store, at: u64) -> (ScanStatus, u64) {
    let queue = store.find_queue("T", QueueId(0)).unwrap();
    let scan = store.scan(&queue, QueueOffset(at), &ScanLimits::default(), &mut |_| true, &mut Vec::new()).unwrap();
    (scan.status, scan.next_begin.0)
}

#[test]
fn expired_log_files_go_and_the_queue_and_index_files_that_lead_only_to_them() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let (store, _) = open(&disk, &eager(), &clock).unwrap();
    put(&store, "Old", 3, &bodies(0, 1)).unwrap();
    for at in 0..20 {
        put(&store, "T", 0, &bodies(at * 5, 5)).unwrap();
        clock.advance(HOUR_MS);
    }
    store.derive_step().unwrap();
    let before = files(&disk, "commitlog").len();
    assert_eq!(clean(&store), (0, 0, 0), "nothing is older than 72 hours");
    clock.advance(62 * HOUR_MS);
    // The messages of the first ten hours are older than 72 hours.
    let (log_files, queue_files, index_files) = clean(&store);
    let min = store.log_min().0;
    assert_eq!(log_files, min / FILE);
    assert!(log_files >= 2 && queue_files >= 2 && index_files == 0, "{log_files} {queue_files} {index_files}");
    assert_eq!(files(&disk, "commitlog").len(), before - log_files as usize);
    let queue = store.find_queue("T", QueueId(0)).unwrap();
    let oldest = read_all(&store, "T", 0);
    assert_eq!(oldest[0].0, queue.min().0);
    assert!((30..50).contains(&queue.min().0), "{queue:?}: the file at the edge stays whole");
    assert_eq!(files(&disk, "consumequeue/T/0")[0], format!("{:020}", queue.min().0 / 20 * 400));
    let old = store.find_queue("Old", QueueId(3)).unwrap();
    assert_eq!((old.min().0, old.max().0), (1, 1), "its number is not given out again");
    assert_eq!(files(&disk, "consumequeue/Old/3").len(), 1, "a queue's last file stays, as Java's");
    assert_eq!(scan_at(&store, 0), (ScanStatus::OffsetTooSmall, queue.min().0));
    assert_eq!(store.earliest_time().unwrap(), store.store_time(&queue, queue.min()).unwrap());

    // Everything but the newest file.
    clock.advance(1000 * HOUR_MS);
    let (_, _, index_files) = clean(&store);
    assert!(index_files >= 1, "an index file holds 63 keys");
    let kept = files(&disk, "commitlog");
    assert_eq!(store.log_min().0, store.log_max().0 / FILE * FILE);
    assert!(kept.contains(&format!("{:020}", store.log_min().0)), "{kept:?}");
    assert!(store.query("T", "m99", 8, 0, i64::MAX - 1000).unwrap().iter().any(|phy| phy.0 >= store.log_min().0));
    put(&store, "Old", 3, &bodies(7, 1)).unwrap();
    assert_eq!(read_all(&store, "Old", 3), [(1, bodies(7, 1)[0].clone())]);

    let all = read_all(&store, "T", 0);
    store.close().unwrap();
    drop(store);
    let (store, report) = open(&disk, &eager(), &clock).unwrap();
    assert!(report.clean && report.units_added == 0, "{report:?}");
    assert_eq!(read_all(&store, "T", 0), all);
    let queue = store.find_queue("T", QueueId(0)).unwrap();
    assert_eq!(queue.min().0, all.first().map_or(100, |first| first.0));
}

#[test]
fn while_there_is_room_expired_files_go_at_their_hour_only_and_at_most_ten_in_a_pass() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN / 86_400_000 * 86_400_000);
    let config = Config { retention: Retention::default(), ..small(FILE) };
    let (store, _) = open(&disk, &config, &clock).unwrap();
    put(&store, "T", 0, &bodies(0, 400)).unwrap();
    store.derive_step().unwrap();
    clock.advance(80 * 24 * HOUR_MS);
    assert_eq!(clean(&store), (0, 0, 0), "it is midnight");
    clock.advance(4 * HOUR_MS);
    let (first, ..) = clean(&store);
    assert_eq!((first, clean(&store).0), (10, 0), "ten, and then a pause");
    clock.advance(9_999);
    assert_eq!(clean(&store).0, 0);
    clock.advance(1);
    assert_eq!(clean(&store).0, 10);
    clock.advance(HOUR_MS);
    assert_eq!(clean(&store).0, 0, "five o'clock is too late");
    // An administrator need not wait.
    assert!(store.delete_expired().unwrap().log_files > 10);
    assert_eq!(store.log_min().0, store.log_max().0 / FILE * FILE);
    assert_eq!(store.delete_expired().unwrap().log_files, 0);
}

#[test]
fn what_is_not_in_durable_queues_and_index_stays() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let (store, _) = open(&disk, &eager(), &clock).unwrap();
    put(&store, "T", 0, &bodies(0, 100)).unwrap();
    store.flush_step().unwrap();
    clock.advance(100 * HOUR_MS);
    assert_eq!(clean(&store).0, 0);
    store.derive_step().unwrap();
    assert!(clean(&store).0 > 0);
}

/// A store whose disk holds 40 log files, with `used` of them written.
fn on_a_small_disk(used: u64, change: impl FnOnce(&mut Retention)) -> (SimDisk, Clock, Config, Store) {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let mut config = Config { index_enable: false, queue_file_size: 20 * 100, ..eager() };
    change(&mut config.retention);
    let (store, _) = open(&disk, &config, &clock).unwrap();
    let mut at = 0;
    while store.log_max().0 < used * FILE - FILE / 2 {
        put(&store, "T", 0, &bodies(at, 1)).unwrap();
        at += 1;
    }
    store.derive_step().unwrap();
    disk.set_capacity(Some(40 * FILE));
    (disk, clock, config, store)
}

#[test]
fn a_disk_that_fills_loses_expired_files_at_once_then_the_oldest_and_then_refuses() {
    let removed: Arc<Mutex<Vec<Removing>>> = Arc::default();
    let at_night = |retention: &mut Retention| retention.delete_hours = vec![4];
    // 22 and five for everything else of 40 are 68 %: it is not four o'clock, and there is room.
    let (_disk, clock, _, store) = on_a_small_disk(22, at_night);
    clock.advance(100 * HOUR_MS);
    assert_eq!((clean(&store).0, store.disk_state().level), (0, DiskLevel::Ok));

    // Above 75 % expired files go at any hour, until it is at 75 %; others stay.
    let (disk, clock, _, store) = on_a_small_disk(27, at_night);
    store.listen(Arc::new({
        let removed = removed.clone();
        move |event: &Event| {
            if let Event::Removing(removing) = event {
                removed.lock().push(*removing);
            }
        }
    }));
    assert_eq!(clean(&store).0, 0);
    assert_eq!(store.disk_state().level, DiskLevel::Cleaning);
    clock.advance(100 * HOUR_MS);
    let (log_files, ..) = clean(&store);
    assert!((1..=4).contains(&log_files), "{log_files}");
    assert_eq!(store.disk_state().level, DiskLevel::Ok);
    assert!(removed.lock().iter().all(|removing| !removing.forced));
    assert_eq!(removed.lock().len() as u64, log_files);
    assert_eq!(removed.lock().last().unwrap().to, store.log_min());

    // Above 85 % the oldest go although they are not expired.
    disk.set_capacity(Some(store.log_max().0 - store.log_min().0 + 3 * FILE));
    let kept = Retention { reserved_ms: u64::MAX, ..(*store.retention()).clone() };
    store.change(&Config { retention: kept, ..store.settings() });
    store.clean_step().unwrap();
    assert!(store.disk_state().level >= DiskLevel::Forced, "{:?}", store.disk_state());
    clock.advance(10_000);
    let mut steps = 0;
    while store.disk_state().level >= DiskLevel::Forced {
        store.clean_step().unwrap();
        clock.advance(1000);
        steps += 1;
        assert!(steps < 100);
    }
    assert_eq!(store.disk_state().level, DiskLevel::Cleaning);
    assert!(removed.lock().last().unwrap().forced);
    let counts = store.clean_counts();
    assert!(counts.forced_log_files > 0 && counts.forced_log_files < counts.log_files, "{counts:?}");
    put(&store, "T", 0, &bodies(0, 1)).unwrap();
}

#[test]
fn past_the_hard_limit_writes_are_refused_with_path_ratio_and_limit_and_go_on_by_themselves() {
    let keep = |retention: &mut Retention| retention.delete_unexpired = false;
    let (disk, clock, config, store) = on_a_small_disk(36, keep);
    store.clean_step().unwrap();
    let state = store.disk_state();
    assert_eq!(state.level, DiskLevel::Refusing, "{state:?}");
    let refusal = state.refusal.clone().unwrap();
    let (fullest, percent) = state.fullest().unwrap();
    assert!(percent > 90);
    for part in [fullest.path.to_str().unwrap(), &format!("{percent} % full"), "limit is 90 %"] {
        assert!(refusal.contains(part), "{part} in {refusal}");
    }
    let refused = put(&store, "T", 0, &bodies(0, 1)).unwrap_err();
    assert!(matches!(&refused, AppendError::NearlyFull(reason) if *reason == refusal), "{refused}");
    assert_eq!(store.write_state(), Err(refused));
    assert_eq!(clean(&store).0, 0, "nothing is expired, and nothing else may go");
    assert!(!read_all(&store, "T", 0).is_empty(), "reading goes on");

    // A start on a full disk refuses from its first message on.
    store.close().unwrap();
    drop(store);
    let (store, _) = open(&disk, &config, &clock).unwrap();
    assert!(matches!(put(&store, "T", 0, &bodies(0, 1)), Err(AppendError::NearlyFull(_))));

    // At the limit itself it still refuses; a little below it takes messages again.
    let used = disk.files().values().map(Vec::len).sum::<usize>() as u64;
    for (percent, level) in [(90, DiskLevel::Refusing), (89, DiskLevel::Cleaning)] {
        disk.set_capacity(Some(used * 100 / percent + 1));
        store.clean_step().unwrap();
        assert_eq!(store.disk_state().level, level, "{percent} {:?}", store.disk_state());
    }
    assert_eq!(store.write_state(), Ok(()));
    put(&store, "T", 0, &bodies(0, 1)).unwrap();

    // Expired files make the room themselves.
    disk.set_capacity(Some(used * 100 / 95));
    store.clean_step().unwrap();
    assert_eq!(store.disk_state().level, DiskLevel::Refusing);
    store.derive_step().unwrap();
    clock.advance(100 * HOUR_MS);
    assert!(clean(&store).0 > 0);
    assert_eq!(store.disk_state().level, DiskLevel::Ok);
    put(&store, "T", 0, &bodies(0, 1)).unwrap();
}

#[test]
fn a_disk_that_tells_no_size_loses_and_refuses_nothing() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let (store, _) = open(&disk, &eager(), &clock).unwrap();
    disk.set_capacity(Some(0));
    put(&store, "T", 0, &bodies(0, 100)).unwrap();
    store.derive_step().unwrap();
    assert_eq!(clean(&store).0, 0);
    assert_eq!((store.disk_state().level, store.disk_state().fullest().is_none()), (DiskLevel::Ok, true));
    put(&store, "T", 0, &bodies(100, 1)).unwrap();
}

#[test]
fn a_reader_gets_a_message_whole_or_hears_that_it_is_gone() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let config = Config { tail_cache_len: 0, ..eager() };
    let (store, _) = open(&disk, &config, &clock).unwrap();
    put(&store, "T", 0, &bodies(0, 200)).unwrap();
    store.derive_step().unwrap();
    clock.advance(100 * HOUR_MS);
    let queue = store.find_queue("T", QueueId(0)).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut read, mut at) = (0, 0);
                while !stop.load(std::sync::atomic::Ordering::Acquire) {
                    let mut entries = Vec::new();
                    let limits = ScanLimits::default();
                    let scan = store.scan(&queue, QueueOffset(at), &limits, &mut |_| true, &mut entries).unwrap();
                    let mut out = BytesMut::new();
                    match store.read_into(&entries, &mut out, true) {
                        Ok(taken) => read += taken,
                        Err(ReadError::Gone) => {}
                        Err(error) => panic!("{error}"),
                    }
                    at = if scan.next_begin.0 >= queue.max().0 { 0 } else { scan.next_begin.0 };
                }
                read
            });
        }
        while store.clean_step().unwrap().log_files > 0 {
            std::thread::yield_now();
        }
        stop.store(true, std::sync::atomic::Ordering::Release);
    });
    assert!(store.log_min() > PhyOffset(0));
    assert_eq!(store.record_at(PhyOffset(0)).unwrap(), None);
}

#[test]
fn a_disk_that_fails_in_the_middle_is_tried_again_and_leaves_no_gap() {
    for (operation, path) in [
        ("remove", "commitlog"),
        ("sync_dir", "commitlog"),
        ("remove", "consumequeue"),
        ("sync_dir", "consumequeue"),
        ("remove", "index"),
        ("sync_dir", "index"),
        ("read", "commitlog"),
        ("read", "consumequeue"),
    ] {
        for seed in 0..20 {
            let disk = SimDisk::default();
            let clock = Clock::manual(BEGIN);
            let config = eager();
            let (store, _) = open(&disk, &config, &clock).unwrap();
            for at in 0..10 {
                put(&store, "T", at % 3, &bodies(at as usize * 20, 20)).unwrap();
                store.derive_step().unwrap();
            }
            clock.advance(100 * HOUR_MS);
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..rng.usize(..12) {
                store.clean_step().unwrap();
            }
            disk.fail(Fault { operation, path, kind: ErrorKind::Other, times: 3 });
            let failed = (0..40).filter(|_| store.clean_step().is_err()).count();
            assert!(failed <= 3, "{operation} {path}");
            assert_eq!(store.write_state(), Ok(()), "old files are no reason to stop writing");
            if seed % 2 == 0 {
                disk.heal();
                clean(&store);
                assert_eq!(store.log_min().0, store.log_max().0 / FILE * FILE, "{operation} {path}");
            }
            let (min, max) = (store.log_min(), store.log_max());
            store.flush_step().unwrap();
            let disk = disk.after(Loss::any(&mut rng), &mut rng);
            let (store, _) = open(&disk, &config, &clock).unwrap_or_else(|error| panic!("{operation} {path}: {error}"));
            assert_eq!(store.log_max(), max);
            assert!(store.log_min() <= min);
            put(&store, "T", 0, &bodies(999, 1)).unwrap();
            clean(&store);
            assert_eq!(read_all(&store, "T", 0).last().unwrap().1, bodies(999, 1)[0]);
        }
    }
}

#[test]
fn a_pass_over_ten_thousand_queues_syncs_them_together() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let config = Config { queue_file_size: 40, index_enable: false, ..eager() };
    let (store, _) = open(&disk, &config, &clock).unwrap();
    let queues = 2000;
    for _ in 0..5 {
        for queue in 0..queues {
            put(&store, "T", queue, &["m".to_string()]).unwrap();
        }
        let before = disk.operations("sync_dir");
        store.derive_step().unwrap();
        let synced = disk.operations("sync_dir") - before;
        assert!(synced < 10, "{synced} directories were synced one by one for {queues} new files");
    }
    clock.advance(100 * HOUR_MS);
    let before = disk.operations("sync_dir");
    let (log_files, queue_files, _) = clean(&store);
    assert!(log_files > 10 && queue_files > 2000, "{log_files} {queue_files}");
    let synced = disk.operations("sync_dir") - before;
    assert!(synced < log_files + 300, "{synced} syncs of directories for {queue_files} queue files");
    for queue in [0, 7, queues - 1] {
        assert_eq!(store.find_queue("T", QueueId(queue)).unwrap().max().0, 5);
    }
}
