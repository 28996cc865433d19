//! Seeded workloads with a power cut, a full disk or a failing one at any disk operation, also during recovery; afterwards
//! everything that was durable is there, in order, under its numbers, and the store goes on.
//!
//! `SIM_CRASH_POINTS` says how many (default 300), `SIM_SEED` from which seed on.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use rocketmq::base::clock::Clock;
use rocketmq::base::position::QueueId;
use rocketmq::store::{Config, FlushMode, Retention, Store};

use super::disk::{Loss, SimDisk};
use super::{BEGIN, ROOT, open, put_at, read_all_at, small};

const POINTS_DEFAULT: u64 = 300;

/// A message that was appended, or tried to be.
#[derive(Clone, Debug)]
struct Message {
    topic: String,
    queue: u32,
    body: String,
    /// Log end behind its batch.
    end: u64,
    /// Where it is in the log; `u64::MAX` while that is not known.
    phy: u64,
    /// When it was appended.
    time: u64,
}

#[derive(Debug, Default)]
struct Model {
    /// Appended, in order.
    log: Vec<Message>,
    /// The batch that was being appended at the crash.
    trying: Vec<Message>,
    /// Up to here the store said that the log is durable.
    flushed: u64,
    serial: u64,
}

struct Run {
    seed: u64,
    rng: fastrand::Rng,
    config: Config,
    clock: Clock,
    model: Model,
    disk_files: BTreeMap<std::path::PathBuf, Vec<u8>>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = fastrand::Rng::with_seed(seed);
        let retention = Retention {
            reserved_ms: [u64::MAX, 200, 1000, 5000][rng.usize(..4)],
            delete_hours: (0..24).collect(),
            interval_ms: 0,
            ..Retention::default()
        };
        let config = Config {
            retention,
            flush_mode: if rng.bool() { FlushMode::Sync } else { FlushMode::Async },
            queue_file_size: [200, 400, 2000][rng.usize(..3)],
            ..small([4096, 8192, 16384, 65536][rng.usize(..4)])
        };
        Run { seed, rng, config, clock: Clock::manual(BEGIN), model: Model::default(), disk_files: BTreeMap::new() }
    }

    /// One step; an error ends the life of the store.
    fn step(&mut self, store: &Store) -> Result<(), String> {
        self.clock.advance(self.rng.u64(..50));
        let result = match self.rng.u32(..100) {
            0..=54 => {
                let topic = ["T", "Two", "%RETRY%G"][self.rng.usize(..3)];
                let queue = self.rng.u32(..3);
                let count = self.rng.usize(1..8);
                let bodies: Vec<String> = (0..count)
                    .map(|_| {
                        self.model.serial += 1;
                        format!("m{} {}", self.model.serial, "x".repeat(self.rng.usize(..400)))
                    })
                    .collect();
                let time = self.clock.now();
                let message = |body: &String| Message {
                    topic: topic.into(),
                    queue,
                    body: body.clone(),
                    end: 0,
                    phy: u64::MAX,
                    time,
                };
                self.model.trying = bodies.iter().map(message).collect();
                let places = put_at(store, topic, queue, &bodies).map_err(|error| error.to_string())?;
                let end = store.log_max().0;
                for (message, phy) in self.model.trying.iter_mut().zip(places) {
                    (message.end, message.phy) = (end, phy);
                }
                self.model.log.append(&mut self.model.trying);
                Ok(())
            }
            55..=74 => store.flush_step().map_err(|error| error.to_string()),
            75..=89 => store.derive_step().map_err(|error| error.to_string()),
            90..=93 => store.allocate_step().map_err(|error| error.to_string()),
            94..=97 => store.clean_step().map(drop).map_err(|error| error.to_string()),
            _ => Err("close".to_string()),
        };
        self.model.flushed = store.flushed().get();
        result
    }

    fn expected(&self, messages: &[Message]) -> BTreeMap<(String, u32), Vec<String>> {
        let mut queues: BTreeMap<(String, u32), Vec<String>> = BTreeMap::new();
        for message in messages {
            queues.entry((message.topic.clone(), message.queue)).or_default().push(message.body.clone());
        }
        queues
    }

    /// What survived is a prefix of what was appended, with everything durable in it, less what is below the log's oldest
    /// byte, which was expired; the model goes on from there.
    fn check(&mut self, store: &Store) {
        let seed = self.seed;
        let mut tried = self.model.log.clone();
        tried.append(&mut self.model.trying);
        let mut queues: Vec<(String, u32)> = self.expected(&tried).into_keys().collect();
        for topic in store.topics() {
            for queue in store.queues_of(&topic) {
                let name = (topic.to_string(), queue.id().0);
                if !queues.contains(&name) {
                    queues.push(name);
                }
            }
        }
        let log_min = store.log_min().0;
        let is_gone = |message: &Message| message.phy < log_min;
        let (now, reserved) = (self.clock.now(), self.config.retention.reserved_ms);
        for message in tried.iter().filter(|message| is_gone(message)) {
            assert!(message.time.saturating_add(reserved) < now, "seed {seed}: {message:?} went too early");
        }
        let mut found: BTreeMap<(String, u32), Vec<String>> = BTreeMap::new();
        for (topic, queue) in &queues {
            let of_queue: Vec<usize> =
                (0..tried.len()).filter(|at| tried[*at].topic == *topic && tried[*at].queue == *queue).collect();
            let base = of_queue.iter().filter(|at| is_gone(&tried[**at])).count();
            let in_store = read_all_at(store, topic, *queue);
            let numbers =
                store.find_queue(topic, QueueId(*queue)).map_or((0, 0), |queue| (queue.min().0, queue.max().0));
            assert_eq!(numbers, (base as u64, (base + in_store.len()) as u64), "seed {seed}: {topic} {queue}");
            for (at, (number, phy, body)) in in_store.into_iter().enumerate() {
                assert_eq!(number, (base + at) as u64, "seed {seed}: {topic} {queue}");
                if let Some(message) = of_queue.get(base + at) {
                    tried[*message].phy = phy;
                }
                found.entry((topic.clone(), *queue)).or_default().push(body);
            }
        }
        let gone = tried.iter().filter(|message| message.phy < log_min).count();
        let survived = gone + found.values().map(Vec::len).sum::<usize>();
        assert!(survived <= tried.len(), "seed {seed}: {survived} of {}", tried.len());
        let prefix = self.expected(&tried[gone..survived]);
        assert_eq!(found, prefix, "seed {seed}: what survives is a prefix");
        let durable = self.model.log.iter().filter(|message| message.end <= self.model.flushed).count();
        assert!(survived >= durable, "seed {seed}: {survived} survived, {durable} were durable");
        tried.truncate(survived);
        let end = store.log_max().0;
        tried.iter_mut().for_each(|message| message.end = message.end.min(end));
        tried.iter_mut().filter(|message| message.end == 0).for_each(|message| message.end = end);
        self.model.log = tried;
    }

    fn check_index(&self, store: &Store) {
        let log_min = store.log_min().0;
        for message in self.model.log.iter().filter(|message| message.phy >= log_min) {
            let key = message.body.split(' ').next().unwrap();
            let found = store.query(&message.topic, key, 64, 0, i64::MAX - 1000).unwrap();
            let real = found.iter().any(|phy| {
                let bytes = store.record_at(*phy).unwrap();
                bytes.is_some_and(|bytes| {
                    let record = rocketmq::wire::message::RecordView::parse(&bytes).unwrap();
                    record.body() == message.body.as_bytes()
                })
            });
            if !real && verbose() {
                for (path, data) in self.disk_files.iter().filter(|(path, _)| path.to_string_lossy().contains("index/"))
                {
                    println!("{path:?}");
                    for entry in 1..64 {
                        let at = 104 + entry * 20;
                        let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
                        println!("{entry}: slot {} phy {} prev {}", number(at) % 16, number(at + 8), number(at + 16));
                    }
                    println!("slots {:?}", data[40..104].chunks(4).map(|slot| slot[3]).collect::<Vec<_>>());
                }
                for message in &self.model.log {
                    println!("{} ends {}", &message.body[..4], message.end);
                }
            }
            assert!(real, "seed {}: key {key} leads to its message of {}, found {found:?}", self.seed, message.end);
        }
    }

    /// Lives until a crash; true when it was closed in order instead.
    fn live(&mut self, store: &Store) -> bool {
        loop {
            match self.step(store) {
                Ok(()) => {}
                Err(why) if why == "close" => return store.close().is_ok(),
                Err(_) => return false,
            }
        }
    }

    fn run(&mut self, points: u64) -> u64 {
        let mut disk = SimDisk::default();
        let mut crashes = 0;
        while crashes < points {
            let after = self.rng.u64(1..120);
            match [None, Some(ErrorKind::StorageFull), Some(ErrorKind::Other)][self.rng.usize(..3)] {
                None => disk.crash_after(after, self.rng.u64(..)),
                Some(kind) => disk.fail_after(after, kind),
            }
            if let Ok((store, report)) = open(&disk, &self.config, &self.clock) {
                if verbose() {
                    println!("{crashes}: {report:?}");
                }
                self.check(&store);
                assert!(report.taken.iter().all(|taken| taken.row != rocketmq::store::recover::Row::H2), "{report:?}");
                self.model.flushed = self.model.flushed.max(store.flushed().get());
                if self.live(&store) && !disk.is_crashed() {
                    // In order: everything is durable.
                    self.model.flushed = store.log_max().0;
                    assert!(
                        !rocketmq::base::disk::Disk::exists(&disk, &std::path::Path::new(ROOT).join("abort")).unwrap()
                    );
                }
            } else {
                let hurt = disk.is_crashed() || disk.failed().is_some();
                assert!(hurt, "seed {}: a start is refused only by the crash or the fault", self.seed);
            }
            let loss = Loss::any(&mut self.rng);
            if verbose() {
                println!("  appended {} flushed {}, then {loss:?}", self.model.log.len(), self.model.flushed);
                for (path, data) in disk.files() {
                    if path.to_string_lossy().contains("index/") {
                        println!("  {path:?} {:?}", &data[..40.min(data.len())]);
                    }
                }
            }
            crashes += 1;
            if !disk.is_crashed() && self.rng.bool() {
                // The process alone starts again, on what a failed sync has left behind.
                disk.forget_failure();
                continue;
            }
            disk = disk.after(loss, &mut self.rng);
        }
        disk.forget_failure();
        // Two starts in a row find the same, the index is complete, and a clean stop is one.
        for clean in [false, true] {
            let (store, report) =
                open(&disk, &self.config, &self.clock).unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
            assert!(!(report.clean && report.units_added > 0));
            self.check(&store);
            if verbose() {
                println!("{report:?}");
            }
            store.derive_step().unwrap();
            self.model.flushed = store.log_max().0;
            self.disk_files = disk.files();
            self.check_index(&store);
            if clean {
                store.close().unwrap();
            }
            drop(store);
            disk = disk.after(Loss::Nothing, &mut self.rng);
        }
        let (store, report) = open(&disk, &self.config, &self.clock).unwrap();
        assert!(report.clean && report.units_added == 0, "{report:?}");
        self.check(&store);
        crashes
    }
}

fn verbose() -> bool {
    std::env::var("SIM_VERBOSE").is_ok()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[test]
fn whatever_was_durable_survives_a_power_cut_at_any_step() {
    let points = number("SIM_CRASH_POINTS", POINTS_DEFAULT);
    let mut seed = number("SIM_SEED", 1);
    let mut crashes = 0;
    while crashes < points {
        crashes += Run::new(seed).run(6);
        seed += 1;
    }
    println!("{crashes} crash points");
}
