//! Every row of recovery's decision table is reached by a directory that was made for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rocketmq::base::clock::Clock;
use rocketmq::store::recover::{Outcome, Row, TABLE};
use rocketmq::store::{Config, OpenError, RecoveryReport, Store};

use super::disk::SimDisk;
use super::{BEGIN, ROOT, open, put, read_all, small};

const LOG_FILE: u64 = 4096;
const UNIT: usize = 20;
/// Messages of one queue that fill a log file more than once.
const MANY: usize = 60;

struct Case {
    disk: SimDisk,
    clock: Clock,
    config: Config,
}

fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

fn log_file(at: u64) -> PathBuf {
    path(&format!("commitlog/{:020}", at * LOG_FILE))
}

fn queue_file(topic: &str, queue: u32, at: u64) -> PathBuf {
    path(&format!("consumequeue/{topic}/{queue}/{:020}", at * 400))
}

impl Case {
    /// A closed store: `MANY` messages in queue 0 of T, one minute apart, and one in queue 1 at the front and the end.
    fn new() -> Case {
        let case = Case { disk: SimDisk::default(), clock: Clock::manual(BEGIN), config: small(LOG_FILE) };
        let (store, _) = case.open();
        put(&store, "T", 1, &["front".to_string()]).unwrap();
        for number in 0..MANY {
            put(&store, "T", 0, &[body(number)]).unwrap();
            case.clock.advance(60_000);
        }
        put(&store, "T", 1, &["end".to_string()]).unwrap();
        store.close().unwrap();
        case
    }

    fn open(&self) -> (Store, RecoveryReport) {
        open(&self.disk, &self.config, &self.clock).unwrap()
    }

    /// As if a Java broker had written it.
    fn foreign(self) -> Case {
        self.disk.erase(&path("recovery.hint"));
        self
    }

    /// As if that broker had been killed.
    fn killed(self) -> Case {
        let case = self.foreign();
        case.disk.damage(&path("abort"), |data| *data = b"4711".to_vec());
        case
    }

    fn checkpoint(self, time: u64) -> Case {
        self.disk.damage(&path("checkpoint"), |data| {
            data.resize(4096, 0);
            for field in 0..3 {
                data[field * 8..field * 8 + 8].copy_from_slice(&time.to_be_bytes());
            }
        });
        self
    }

    /// Zeros units of queue 0 from `from` on, in all its files.
    fn without_units(self, queue: u32, from: u64) -> Case {
        for at in 0..100 {
            let file = queue_file("T", queue, at);
            let first = at * 20;
            if !self.disk.files().contains_key(&file) {
                break;
            }
            if first >= from && first > 0 {
                self.disk.erase(&file);
            } else {
                self.disk.damage(&file, |data| data[(from.saturating_sub(first) as usize * UNIT).min(400)..].fill(0));
            }
        }
        self
    }

    fn empty_queue_file(self, queue: u32) -> Case {
        let next = (0..100).find(|at| !self.disk.files().contains_key(&queue_file("T", queue, *at))).unwrap();
        self.disk.damage(&queue_file("T", queue, next), |data| data.resize(400, 0));
        self
    }

    fn log_files(&self) -> u64 {
        (0..1000).find(|at| !self.disk.files().contains_key(&log_file(*at))).unwrap()
    }

    /// Flips a bit in the body of the last record.
    fn torn(self) -> Case {
        let last = log_file(self.log_files() - 1);
        self.disk.damage(&last, |data| {
            let end = data.iter().rposition(|byte| *byte != 0).unwrap();
            // 3 bytes of body, then the topic (1 + 1) and the properties (2 + 19).
            data[end - 24] ^= 0x40;
        });
        self
    }

    fn complete(&self, store: &Store, messages: usize) {
        let found: Vec<String> = read_all(store, "T", 0).into_iter().map(|(_, body)| body).collect();
        assert_eq!(found, (0..messages).map(body).collect::<Vec<_>>());
    }
}

fn body(number: usize) -> String {
    format!("m{number} {}", "x".repeat(200))
}

/// Opens it, and everything is there.
fn heals(case: Case) -> RecoveryReport {
    let (store, report) = case.open();
    case.complete(&store, MANY);
    assert_eq!(read_all(&store, "T", 1).len(), 2);
    store.close().unwrap();
    report
}

/// Opens it, and the log ends before its last record.
fn loses_the_last(case: Case) -> RecoveryReport {
    let (store, report) = case.open();
    case.complete(&store, MANY);
    assert_eq!(read_all(&store, "T", 1).len(), 1);
    // And the next number is the lost one's.
    put(&store, "T", 1, &["again".to_string()]).unwrap();
    assert_eq!(read_all(&store, "T", 1)[1].0, 1);
    store.close().unwrap();
    report
}

fn refuses(case: &Case) -> (Row, String) {
    let before = case.disk.files();
    match open(&case.disk, &case.config, &case.clock) {
        Err(error @ OpenError::Refused { row, .. }) => {
            let mut after = case.disk.files();
            after.retain(|path, _| before.contains_key(path));
            assert!(before == after, "a refused start changes nothing");
            (row, error.to_string())
        }
        other => panic!("not refused: {:?}", other.map(|(_, report)| report)),
    }
}

fn reach(row: Row) -> Option<RecoveryReport> {
    let refused = |case: &Case| {
        let (found, text) = refuses(case);
        assert_eq!(found, row, "{text}");
        None
    };
    match row {
        Row::A1 => Some(heals(Case::new().foreign())),
        // Without queue 1 the newest unit is that of the last message in queue 0.
        Row::A2 => Some(heals(Case::new().foreign().without_units(1, 1))),
        Row::A3 => Some(heals(Case::new().foreign().without_units(0, MANY as u64 - 3))),
        Row::A4 => {
            let case = Case::new().foreign();
            case.disk.erase(&path("consumequeue"));
            Some(heals(case))
        }
        Row::A5 => Some(loses_the_last(Case::new().foreign().torn())),
        Row::A6 => Some(heals(Case::new().foreign().empty_queue_file(1))),
        Row::A7 => {
            let case = Case::new().foreign();
            case.disk.damage(&queue_file("T", 0, 2), |data| data[100..120].fill(0));
            Some(heals(case))
        }
        Row::A8 => {
            let case = Case::new().foreign();
            let at = case.log_files() - 2;
            case.disk.damage(&log_file(at), |data| data[150] ^= 1);
            refused(&case)
        }
        Row::A9 => {
            let case = Case::new().foreign();
            for more in 0..3 {
                let next = case.log_files();
                assert!(more < 3);
                case.disk.damage(&log_file(next), |data| data.resize(LOG_FILE as usize, 0));
            }
            Some(heals(case))
        }
        Row::A10 => {
            let case = Case::new().foreign();
            let at = case.log_files() - 2;
            case.disk.damage(&log_file(at), |data| {
                let magic = 0xCBD4_3194_u32.to_be_bytes();
                let blank = data.windows(4).rposition(|bytes| bytes == magic).unwrap() - 4;
                data[blank..blank + 8].fill(0);
            });
            Some(heals(case))
        }
        Row::B1 => {
            let time = BEGIN + 60_000 * MANY as u64;
            Some(heals(Case::new().killed().checkpoint(time)))
        }
        Row::B2 => Some(heals(Case::new().killed().checkpoint(0))),
        Row::B3 => Some(heals(Case::new().killed().checkpoint(BEGIN / 2))),
        Row::B4 => {
            let time = BEGIN + 60_000 * MANY as u64;
            Some(heals(Case::new().killed().checkpoint(time).without_units(0, 2)))
        }
        Row::B5 => {
            let time = BEGIN + 60_000 * MANY as u64;
            Some(heals(Case::new().killed().checkpoint(time).without_units(0, MANY as u64 - 2)))
        }
        Row::B6 => Some(loses_the_last(Case::new().killed().torn())),
        Row::B7 => Some(heals(Case::new().killed())),
        Row::B8 => Some(heals(Case::new().killed().empty_queue_file(0))),
        Row::B9 => {
            let case = Case::new().killed();
            let at = case.log_files() - 2;
            case.disk.damage(&log_file(at), |data| data[150] ^= 1);
            let (found, text) = refuses(&case);
            assert_eq!(found, row, "{text}");
            assert!(text.contains("commitlog") && text.contains("restore the file"), "{text}");
            Some(loses_the_last(Case::new().killed().torn()))
        }
        Row::B10 => {
            let case = Case::new().killed().checkpoint(BEGIN + 60_000 * MANY as u64).without_units(0, 2);
            // A header that no checksum covers, in an old file.
            case.disk.damage(&log_file(1), |data| data[4] ^= 1);
            let (store, report) = case.open();
            assert!(read_all(&store, "T", 0).len() < MANY);
            Some(report)
        }
        Row::C1 => {
            let case = Case::new().foreign();
            case.disk.erase(&path("commitlog"));
            let (_, text) = refuses(&case);
            assert!(text.contains("put the commit log files back"), "{text}");
            case.disk.damage(&log_file(0), |data| data.resize(LOG_FILE as usize, 0));
            refused(&case)
        }
        Row::C2 => {
            let case = Case::new().foreign();
            case.disk.erase(&log_file(0));
            let (store, report) = case.open();
            let found = read_all(&store, "T", 0);
            assert!(found[0].0 > 0 && found[0].1 == body(found[0].0 as usize), "{:?}", found[0]);
            assert_eq!(found.last().unwrap().1, body(MANY - 1));
            Some(report)
        }
        Row::C3 => {
            let case = Case::new();
            case.disk.damage(&log_file(0), |data| data.truncate(100));
            refused(&case);
            let case = Case::new();
            case.disk.damage(&path("consumequeue/T/0/notes.txt"), |data| data.resize(400, 0));
            refused(&case)
        }
        Row::C4 | Row::C5 => {
            let case = Case::new().killed().checkpoint(0);
            case.disk.erase(&log_file(0));
            case.disk.erase(&path("consumequeue/T/0"));
            if row == Row::C5 {
                case.disk.damage(&queue_file("T", 0, 0), |data| data.resize(400, 0));
            } else {
                case.disk.damage(&path("consumequeue/T/0/x"), |_| {});
                case.disk.erase(&path("consumequeue/T/0/x"));
            }
            let (store, report) = case.open();
            let found = read_all(&store, "T", 0);
            assert!(found[0].0 > 0 && found[0].1 == body(found[0].0 as usize), "{:?}", found[0]);
            assert_eq!(found.last().unwrap(), &(MANY as u64 - 1, body(MANY - 1)));
            Some(report)
        }
        Row::C6 => Some(loses_the_last(Case::new().foreign().torn())),
        Row::C6a => {
            let case = Case::new();
            let (store, _) = case.open();
            store.delete_topic("T").unwrap();
            put(&store, "T", 0, &["new 0".to_string()]).unwrap();
            put(&store, "T", 0, &["new 1".to_string()]).unwrap();
            store.close().unwrap();
            drop(store);
            let case = case.foreign();
            case.disk.erase(&path("consumequeue"));
            let (store, report) = case.open();
            let found: Vec<String> = read_all(&store, "T", 0).into_iter().map(|(_, body)| body).collect();
            assert_eq!(found.len(), MANY + 2);
            assert_eq!(found[MANY..], ["new 0", "new 1"]);
            Some(report)
        }
        Row::C6b => None,
        Row::C7 => {
            let case = Case::new();
            let (store, _) = case.open();
            let long = format!("%RETRY%{}", "g".repeat(140));
            put(&store, &long, 0, &["second version".to_string()]).unwrap();
            store.close().unwrap();
            drop(store);
            let (store, report) = case.foreign().open();
            assert_eq!(read_all(&store, &long, 0), [(0, "second version".to_string())]);
            Some(report)
        }
        Row::C8 => Some(heals(Case::new().killed().checkpoint(BEGIN * 2).without_units(0, 5))),
        Row::H1 => Some(heals(Case::new())),
        Row::H2 => {
            let case = Case::new();
            case.disk.damage(&path("abort"), |data| *data = b"4711".to_vec());
            Some(heals(case))
        }
        Row::H3 => {
            let case = Case { disk: SimDisk::default(), clock: Clock::manual(BEGIN), config: small(LOG_FILE) };
            let (store, _) = case.open();
            for number in 0..MANY {
                put(&store, "T", 0, &[body(number)]).unwrap();
            }
            drop(store);
            case.disk.damage(&log_file(1), |data| data[512..1024].fill(0));
            let (store, report) = case.open();
            let found = read_all(&store, "T", 0).len();
            assert!(found > 10 && found < MANY, "{found}");
            assert_eq!(store.log_max().0 / LOG_FILE, 1);
            case.complete(&store, found);
            Some(report)
        }
        Row::H4 => {
            let case = Case::new();
            case.disk.erase(&log_file(1));
            refused(&case)
        }
        Row::H5 => {
            let case = Case::new();
            case.disk.damage(&path("batchconsumequeue/T/0/00000000000000000000"), |_| {});
            refused(&case)
        }
    }
}

#[test]
fn every_row_of_the_decision_table_is_reached_and_does_what_it_says() {
    let mut reached = BTreeSet::new();
    for decision in TABLE {
        let report = reach(decision.row);
        if let Some(report) = &report {
            assert!(report.took_row(decision.row), "{}: {:?}", decision.row, report.taken);
        }
        let refused = report.is_none();
        match decision.outcome {
            Outcome::Refuse => assert!(refused, "{}", decision.row),
            Outcome::Elsewhere => continue,
            Outcome::Accept | Outcome::Repair => assert!(!refused, "{}", decision.row),
        }
        reached.insert(decision.row);
    }
    assert_eq!(reached.len(), TABLE.iter().filter(|decision| decision.outcome != Outcome::Elsewhere).count());
}
