//! Failing disks by name: no room refuses and resumes, a failed write or sync ends writing until a restart.

use std::io::ErrorKind;

use rocketmq::base::clock::Clock;
use rocketmq::base::position::QueueId;
use rocketmq::store::recover::Row;
use rocketmq::store::{AppendError, Batch, CloseError, FlushMode, Retention, Store};

use super::disk::{Fault, Loss, SimDisk};
use super::{BEGIN, open, put, read_all, read_all_at, record, small};

fn numbered(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|number| format!("m{number} body")).collect()
}

fn expect(store: &Store, count: usize) {
    let found: Vec<String> = read_all(store, "T", 0).into_iter().map(|(_, body)| body).collect();
    assert_eq!(found, numbered(0, count));
}

/// Each message of queue 0 of T is found by its key, the first word of its body.
fn keys_lead_to_their_messages(store: &Store, what: &str) {
    for (_, phy, body) in read_all_at(store, "T", 0) {
        let key = body.split(' ').next().unwrap();
        let found = store.query("T", key, 1000, 0, i64::MAX - 1000).unwrap();
        assert!(found.iter().any(|at| at.0 == phy), "{what}: {key} leads to {phy}, found {found:?}");
    }
}

#[test]
fn a_full_disk_refuses_the_batch_and_takes_the_next_one_when_there_is_room() {
    for operation in ["allocate", "write", "create", "set_len"] {
        let disk = SimDisk::default();
        let clock = Clock::manual(BEGIN);
        let (store, _) = open(&disk, &small(4096), &clock).unwrap();
        let mut stored = 0;
        for round in 0..60 {
            if round % 3 == 1 {
                disk.fail(Fault { operation, path: "commitlog", kind: ErrorKind::StorageFull, times: u32::MAX });
            }
            match put(&store, "T", 0, &numbered(stored, 5)) {
                Ok(()) => stored += 5,
                Err(AppendError::NoSpace(reason)) => assert!(reason.contains("commitlog"), "{reason}"),
                Err(other) => panic!("{operation}: {other}"),
            }
            disk.heal();
            expect(&store, stored);
        }
        assert!(stored >= 200);
        store.flush_step().unwrap();
        let disk = disk.after(Loss::Everything, &mut fastrand::Rng::with_seed(1));
        let (store, _) = open(&disk, &small(4096), &clock).unwrap();
        expect(&store, stored);
    }
}

#[test]
fn a_refused_batch_never_comes_back() {
    // The torn write left whole records behind the end; a shorter one is written over them, and the power goes.
    for seed in 0..50 {
        let disk = SimDisk::default();
        let clock = Clock::manual(BEGIN);
        disk.crash_after(u64::MAX / 2, seed);
        let (store, _) = open(&disk, &small(16384), &clock).unwrap();
        put(&store, "T", 0, &numbered(0, 3)).unwrap();
        disk.fail(Fault { operation: "write", path: "commitlog", kind: ErrorKind::StorageFull, times: 1 });
        put(&store, "T", 0, &numbered(100, 8)).unwrap_err();
        put(&store, "T", 0, &numbered(3, 1)).unwrap();
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = disk.after(if seed % 2 == 0 { Loss::Nothing } else { Loss::Sectors }, &mut rng);
        let (store, _) = open(&disk, &small(16384), &clock).unwrap();
        let found: Vec<String> = read_all(&store, "T", 0).into_iter().map(|(_, body)| body).collect();
        assert!(numbered(0, 4).starts_with(&found), "{found:?}");
    }
}

#[test]
fn a_failed_write_ends_writing_until_a_restart_and_nothing_acknowledged_is_lost() {
    let faults = [("write", "commitlog"), ("sync", "commitlog"), ("sync", "consumequeue"), ("sync", "recovery.hint")];
    for (operation, path) in faults {
        let disk = SimDisk::default();
        let clock = Clock::manual(BEGIN);
        let config = rocketmq::store::Config { flush_mode: FlushMode::Sync, ..small(16384) };
        let (store, _) = open(&disk, &config, &clock).unwrap();
        put(&store, "T", 0, &numbered(0, 5)).unwrap();
        store.derive_step().unwrap();
        disk.fail(Fault { operation, path, kind: ErrorKind::Other, times: 1 });
        let told = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let count = told.clone();
        store.listen(std::sync::Arc::new(move |event| {
            if let rocketmq::store::Event::Poisoned(_) = event {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }));
        let failed = put(&store, "T", 0, &numbered(5, 5)).is_err() | store.derive_step().is_err();
        assert!(failed, "{operation} {path}");
        for _ in 0..3 {
            assert!(
                matches!(put(&store, "T", 0, &numbered(5, 1)), Err(AppendError::Poisoned(_))),
                "{operation} {path}"
            );
        }
        assert_eq!(told.load(std::sync::atomic::Ordering::Relaxed), 1, "{operation} {path}");
        assert!(store.write_state().is_err());
        assert!(matches!(store.close(), Err(CloseError::Poisoned(_))));
        // Reading goes on.
        assert!(read_all(&store, "T", 0).len() >= 5);
        drop(store);
        let disk = disk.after(Loss::Everything, &mut fastrand::Rng::with_seed(1));
        let (store, _) = open(&disk, &config, &clock).unwrap();
        assert!(read_all(&store, "T", 0).len() >= 5);
        let next = read_all(&store, "T", 0).len();
        put(&store, "T", 0, &numbered(next, 3)).unwrap();
        store.close().unwrap();
    }
}

/// What is derived from the log can be derived again: a full disk holds it back, however it shows.
#[test]
fn a_full_disk_under_queues_and_index_holds_them_back_until_there_is_room_and_nothing_is_missing_then() {
    let queues = ["create_dir", "create", "set_len", "write", "sync", "sync_dir"].map(|name| (name, "consumequeue"));
    let index = ["create", "set_len", "write", "sync", "sync_dir"].map(|name| (name, "index"));
    let state =
        [("write", "checkpoint"), ("sync", "checkpoint"), ("write", "recovery.hint"), ("sync", "recovery.hint")];
    let together = [("sync_file_system", "store")];
    for (operation, path) in queues.into_iter().chain(index).chain(state).chain(together) {
        let what = format!("{operation} {path}");
        let disk = SimDisk::default();
        let clock = Clock::manual(BEGIN);
        let config = small(16384);
        let (store, _) = open(&disk, &config, &clock).unwrap();
        let mut stored = 0;
        for round in 0..4 {
            clock.advance(1);
            disk.fail(Fault { operation, path, kind: ErrorKind::StorageFull, times: u32::MAX });
            // Many queues are synced together.
            let others = if operation == "sync_file_system" { 80 } else { 1 };
            for other in 1..=others {
                put(&store, "T", 100 * round + other, &["other".to_string()]).unwrap();
            }
            put(&store, "T", 0, &numbered(stored, 30)).unwrap();
            stored += 30;
            let derived = store.derived_durable().get();
            for _ in 0..3 {
                match store.derive_step() {
                    // An index file, and a queue's, is not made in every round.
                    Ok(()) => assert!(operation == "set_len" || operation == "create" || path == "index", "{what}"),
                    Err(error) => {
                        assert!(error.is_no_space() && error.path.starts_with("/store"), "{what}: {error}");
                        assert_eq!(store.derived_durable().get(), derived, "{what}");
                    }
                }
                expect(&store, stored);
            }
            assert_eq!(store.write_state(), Ok(()), "{what}: there is memory for the units");
            disk.heal();
            store.derive_step().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(store.derived_durable().get(), store.log_max().0, "{what}");
            keys_lead_to_their_messages(&store, &what);
            if round % 2 == 1 {
                // What it says is durable, is.
                let clone = disk.after(Loss::Everything, &mut fastrand::Rng::with_seed(1));
                let (again, report) = open(&clone, &config, &clock).unwrap();
                assert!(report.took_row(Row::H1) && report.units_added == 0, "{what}: {report:?}");
                expect(&again, stored);
                keys_lead_to_their_messages(&again, &what);
            }
        }
        assert_eq!(store.tail_bytes().0, 0, "{what}");
        store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[test]
fn a_queue_file_that_finds_no_room_for_its_first_unit_does_not_stay_empty() {
    let disk = SimDisk::default();
    let (store, _) = open(&disk, &small(16384), &Clock::manual(BEGIN)).unwrap();
    let files = || disk.files().into_keys().filter(|path| path.starts_with("/store/consumequeue")).count();
    // A file holds 20 units: the first is there, and two more are wanted.
    put(&store, "T", 0, &numbered(0, 10)).unwrap();
    store.derive_step().unwrap();
    put(&store, "T", 0, &numbered(10, 40)).unwrap();
    put(&store, "T", 1, &numbered(0, 1)).unwrap();
    for _ in 0..3 {
        disk.fail(Fault { operation: "write", path: "consumequeue", kind: ErrorKind::StorageFull, times: 1 });
        assert!(store.derive_step().unwrap_err().is_no_space());
        disk.fail(Fault {
            operation: "write",
            path: "consumequeue/T/0/00000000000000000800",
            kind: ErrorKind::StorageFull,
            times: 1,
        });
        assert!(store.derive_step().unwrap_err().is_no_space());
        disk.heal();
        assert_eq!(files(), 1);
        expect(&store, 50);
    }
    store.derive_step().unwrap();
    assert_eq!(files(), 4);
    expect(&store, 50);
}

#[test]
fn units_that_fill_the_memory_meant_for_them_refuse_messages_and_say_which_file_is_at_fault() {
    let disk = SimDisk::default();
    let config = rocketmq::store::Config { unwritten_units_len_max: 400, ..small(16384) };
    let (store, _) = open(&disk, &config, &Clock::manual(BEGIN)).unwrap();
    disk.fail(Fault { operation: "sync", path: "consumequeue", kind: ErrorKind::StorageFull, times: u32::MAX });
    put(&store, "T", 0, &numbered(0, 30)).unwrap();
    store.derive_step().unwrap_err();
    let refused = put(&store, "T", 0, &numbered(30, 1)).unwrap_err();
    assert_eq!(store.write_state(), Err(refused.clone()), "who asks is told the same");
    let AppendError::NoSpace(reason) = refused else { panic!("{refused}") };
    assert!(reason.starts_with("600 bytes") && reason.contains("/store/consumequeue/T/0/"), "{reason}");
    expect(&store, 30);
    disk.heal();
    store.derive_step().unwrap();
    assert_eq!(store.write_state(), Ok(()));
    put(&store, "T", 0, &numbered(30, 1)).unwrap();
    expect(&store, 31);
}

#[test]
fn a_flush_whose_end_finds_no_room_to_be_noted_is_a_flush_and_the_next_one_comes() {
    let disk = SimDisk::default();
    let config = rocketmq::store::Config { flush_mode: FlushMode::Sync, ..small(4096) };
    let (store, _) = open(&disk, &config, &Clock::manual(BEGIN)).unwrap();
    let background = store.start().unwrap();
    disk.fail(Fault { operation: "write", path: "recovery.hint", kind: ErrorKind::StorageFull, times: u32::MAX });
    let mut stored = 0;
    while store.log_max().0 < 3 * 4096 {
        put(&store, "T", 0, &numbered(stored, 10)).unwrap();
        stored += 10;
        assert!(store.flushed().wait_for(store.log_max().0, std::time::Duration::from_secs(30)), "{store:?}");
    }
    assert!(background.flusher().silent().is_some(), "the flusher goes on");
    disk.heal();
    store.close().unwrap();
    expect(&store, stored);
    background.stop();
}

#[test]
fn what_a_failed_flush_left_in_the_page_cache_is_on_the_disk_before_the_next_start_builds_on_it() {
    for mode in [FlushMode::Sync, FlushMode::Async] {
        let disk = SimDisk::default();
        let clock = Clock::manual(BEGIN);
        let config = rocketmq::store::Config { flush_mode: mode, ..small(4096) };
        let (store, _) = open(&disk, &config, &clock).unwrap();
        put(&store, "T", 0, &numbered(0, 20)).unwrap();
        store.derive_step().unwrap();
        put(&store, "T", 0, &numbered(20, 20)).unwrap();
        disk.fail(Fault { operation: "sync", path: "commitlog", kind: ErrorKind::Other, times: 1 });
        store.flush_step().unwrap_err();
        drop(store);
        // The process alone starts again. What was not acknowledged is there, as after a kill.
        let (store, _) = open(&disk, &config, &clock).unwrap();
        expect(&store, 40);
        put(&store, "T", 0, &numbered(40, 20)).unwrap();
        store.flush_step().unwrap();
        assert_eq!(store.flushed().get(), store.log_max().0);
        let disk = disk.after(Loss::Everything, &mut fastrand::Rng::with_seed(1));
        drop(store);
        let (store, _) = open(&disk, &config, &clock).unwrap();
        expect(&store, 60);
    }
}

#[test]
fn a_start_on_a_disk_with_little_room_takes_messages_into_the_blocks_that_its_log_file_has() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let config = rocketmq::store::Config { index_enable: false, ..small(1 << 20) };
    let (store, _) = open(&disk, &config, &clock).unwrap();
    let body = "x".repeat(1000);
    for number in 0..700 {
        put(&store, "T", 0, &[format!("m{number} {body}")]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    // 15 % are free, a third of them kept for what is not the log; the log file is written to two thirds.
    let used = disk.files().values().map(Vec::len).sum::<usize>() as u64;
    disk.set_capacity(Some(used * 100 / 85));
    let (store, _) = open(&disk, &config, &clock).unwrap();
    put(&store, "T", 0, &[format!("m700 {body}")]).unwrap();
}

#[test]
fn a_batch_is_one_write() {
    let disk = SimDisk::default();
    let (store, _) = open(&disk, &small(1 << 20), &Clock::manual(BEGIN)).unwrap();
    put(&store, "T", 0, &numbered(0, 1)).unwrap();
    let mut batch = Batch::new(&store);
    for number in 0..64 {
        let queue = store.queue("T", QueueId(number % 16));
        batch.stage(&queue, &record("T", number % 16, b"body", b""), 0).unwrap();
    }
    let before = disk.writes();
    store.append(&mut batch).unwrap();
    assert_eq!(disk.writes() - before, 1);
}

#[test]
fn a_log_file_that_somebody_removed_ends_writing() {
    let disk = SimDisk::default();
    let (store, _) = open(&disk, &small(16384), &Clock::manual(BEGIN)).unwrap();
    put(&store, "T", 0, &numbered(0, 5)).unwrap();
    store.derive_step().unwrap();
    disk.erase(std::path::Path::new("/store/commitlog/00000000000000000000"));
    let error = store.derive_step().unwrap_err();
    assert!(error.to_string().contains("another broker"), "{error}");
    assert!(matches!(put(&store, "T", 0, &numbered(5, 1)), Err(AppendError::Poisoned(_))));
}

#[test]
fn with_several_threads_and_a_full_disk_exactly_the_acknowledged_messages_exist() {
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let config = small(65536);
    let (store, _) = open(&disk, &config, &clock).unwrap();
    let acknowledged = parking_lot::Mutex::new(std::collections::BTreeMap::new());
    let running = std::sync::atomic::AtomicU32::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, acknowledged, running) = (&store, &acknowledged, &running);
            scope.spawn(move || {
                let mut batch = Batch::new(store);
                let queue = store.queue("T", QueueId(0));
                for round in 0..400 {
                    batch.clear();
                    let bodies: Vec<String> = (0..5).map(|number| format!("{thread} {round} {number}")).collect();
                    for body in &bodies {
                        batch.stage(&queue, &record("T", 0, body.as_bytes(), b""), 0).unwrap();
                    }
                    match store.append(&mut batch) {
                        Ok(()) => {
                            let mut all = acknowledged.lock();
                            for (at, body) in bodies.into_iter().enumerate() {
                                assert_eq!(all.insert(batch.assigned(at).queue_offset.0, body), None);
                            }
                        }
                        Err(AppendError::NoSpace(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                running.fetch_sub(1, std::sync::atomic::Ordering::Release);
            });
        }
        while running.load(std::sync::atomic::Ordering::Acquire) > 0 {
            disk.fail(Fault { operation: "write", path: "commitlog", kind: ErrorKind::StorageFull, times: 1 });
            store.derive_step().unwrap();
            disk.heal();
            std::thread::yield_now();
        }
    });
    let acknowledged: Vec<(u64, String)> = acknowledged.into_inner().into_iter().collect();
    assert_eq!(read_all(&store, "T", 0), acknowledged);
    store.close().unwrap();
    drop(store);
    let (store, _) = open(&disk, &config, &clock).unwrap();
    assert_eq!(read_all(&store, "T", 0), acknowledged);
}

/// A run in which one operation, whichever it is, finds the disk full or broken. The messages of queue 0 of T that were
/// acknowledged are there under their numbers, what was refused never is, reading goes on, and recovery is a clean one.
fn one_operation_fails(at: u64, kind: ErrorKind, mode: FlushMode, loss: Loss) -> bool {
    let what = format!("operation {at}, {kind}, {mode:?}, {loss:?}");
    let disk = SimDisk::default();
    let clock = Clock::manual(BEGIN);
    let retention = Retention {
        delete_hours: (0..24).collect(),
        reserved_ms: 5000,
        interval_ms: 0,
        log_file_pause_ms: 0,
        ..Retention::default()
    };
    let config = rocketmq::store::Config { flush_mode: mode, retention, ..small(4096) };
    let (store, _) = open(&disk, &config, &clock).unwrap();
    disk.fail_after(at, kind);
    let (mut acknowledged, mut durable): (Vec<String>, usize) = (Vec::new(), 0);
    let mut serial = 0;
    // A batch whose write failed on a broken disk: nobody can say how much of it is there, and nobody was told it is.
    let mut unknown: Vec<String> = Vec::new();
    let mut errors: Vec<String> = Vec::new();
    for _ in 0..14 {
        clock.advance(1000);
        let bodies: Vec<String> = (serial..serial + 7).map(|number| format!("m{number} {}", "x".repeat(150))).collect();
        serial += 7;
        let put = put(&store, "T", 0, &bodies);
        match &put {
            Ok(()) => acknowledged.extend(bodies),
            Err(AppendError::Poisoned(_)) if unknown.is_empty() => unknown = bodies,
            Err(_) => {}
        }
        let before = acknowledged.len();
        let flushed = store.flush_step();
        // Once a flush has failed, a later one has nothing to do and promises nothing.
        if flushed.is_ok() && store.write_state().is_ok() {
            durable = before;
        }
        errors.extend(put.err().map(|error| error.to_string()));
        errors.extend(flushed.err().map(|error| error.to_string()));
        errors.extend(store.derive_step().err().map(|error| error.to_string()));
        errors.extend(store.allocate_step().err().map(|error| error.to_string()));
        errors.extend(store.clean_step().err().map(|error| error.to_string()));
    }
    let failed = disk.failed();
    let fired = failed.is_some();
    if let (Some((operation, path)), ErrorKind::StorageFull, Err(error)) = (&failed, kind, store.write_state()) {
        // The system may have forgotten what was not written of the log, and nothing else holds it.
        let of_log = operation == "sync" && path.starts_with("/store/commitlog");
        assert!(of_log, "{what}: no room for {operation} of {} ended writing: {error}", path.display());
    }
    if fired && store.write_state().is_ok() {
        let bodies = ["after it passed".to_string()];
        put(&store, "T", 0, &bodies).unwrap_or_else(|error| panic!("{what}: {error}"));
        acknowledged.extend(bodies);
        keys_lead_to_their_messages(&store, &what);
    }
    for error in &errors {
        assert!(error.contains("/store"), "{what}: `{error}` names no path");
    }
    let visible = |store: &Store| -> (usize, Vec<String>) {
        let found = read_all(store, "T", 0);
        let min = found.first().map_or(0, |(number, _)| *number as usize);
        (min, found.into_iter().map(|(_, body)| body).collect())
    };
    let (min, found) = visible(&store);
    let shown = if mode == FlushMode::Sync { durable } else { acknowledged.len() };
    assert!(found.len() + min >= shown, "{what}: {} of {shown}", found.len() + min);
    assert_eq!(found, acknowledged[min..min + found.len()], "{what}: what is served was acknowledged");
    drop(store);
    let disk = disk.after(loss, &mut fastrand::Rng::with_seed(at));
    let (store, report) = open(&disk, &config, &clock).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (min, found) = visible(&store);
    assert!(min + found.len() >= durable, "{what}: {} of {durable}; {report:?}", min + found.len());
    // Under sync flush nobody was told of what is not flushed.
    if loss == Loss::Nothing && mode == FlushMode::Async {
        let have = min + found.len();
        assert!(have >= acknowledged.len(), "{what}: {have} of {}; {errors:?}; {report:?}", acknowledged.len());
    }
    acknowledged.extend(unknown);
    let kept = acknowledged.get(min..min + found.len());
    assert_eq!(
        Some(&found[..]),
        kept,
        "{what}: only what was acknowledged comes back, or whole messages of that batch"
    );
    put(&store, "T", 0, &["on".to_string()]).unwrap_or_else(|error| panic!("{what}: {error}"));
    store.derive_step().unwrap();
    keys_lead_to_their_messages(&store, &what);
    store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    fired
}

#[test]
fn whichever_operation_finds_the_disk_full_or_broken_what_was_acknowledged_is_there_and_what_was_refused_is_not() {
    let mut operations = 0;
    for (mode, kind, loss) in [
        (FlushMode::Async, ErrorKind::StorageFull, Loss::Nothing),
        (FlushMode::Sync, ErrorKind::StorageFull, Loss::Everything),
        (FlushMode::Async, ErrorKind::Other, Loss::Everything),
        (FlushMode::Sync, ErrorKind::Other, Loss::Nothing),
    ] {
        let mut at = 1;
        while one_operation_fails(at, kind, mode, loss) {
            at += 1;
        }
        operations += at - 1;
    }
    println!("{operations} operations failed, one in each run");
    assert!(operations > 400, "{operations}");
}
