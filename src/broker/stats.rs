//! Counts by name and key as tools ask for them (VIEW_BROKER_STATS_DATA), and the totals of today and yesterday
//! (`broker_stats_keys.tsv`, INTEROP 06 §12, STORE 12).
//!
//! What was put is not counted per message: queues know how far they have grown, and a sample every ten seconds reads it.
//! What was read is counted once per pull. Windows end at the moment of the question, not at the last sample.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::base::clock::Millis;
use crate::base::local_time::Zone;
use crate::store::Store;
use crate::wire::body::{BrokerStatsData, BrokerStatsItem};

use super::put_times::PutTimes;

/// How often a sample is taken, milliseconds.
pub const SAMPLE_INTERVAL_MS: u64 = 10_000;
/// Least pause between two looks at all queues, milliseconds.
const REFRESH_INTERVAL_MS: u64 = 1000;
/// Samples of ten seconds that are kept: ten minutes.
const SHORT_SAMPLES: usize = 61;
/// Samples of ten minutes that are kept: a day.
const LONG_SAMPLES: usize = 145;
/// Ten-second samples between two long ones.
const SAMPLES_PER_LONG: u64 = 60;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Keys per name; more are not counted (topics times groups can be many, a tool asks for few).
const KEYS_MAX: usize = 100_000;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What is counted. What else Java's broker declares (`broker_stats_keys.tsv`) it never counts, counts for POP, or
        /// counts for nobody (register times, channel activity): under those names there is nothing, as under a key
        /// that never came up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name {
            $($(#[$doc])* $variant,)*
        }

        impl Name {
            /// Every name with Java's text.
            pub const ALL: &'static [(Name, &'static str)] = &[$((Name::$variant, $text),)*];
        }
    };
}

names! {
    /// Messages stored, by topic.
    TopicPutNums = "TOPIC_PUT_NUMS",
    /// Bytes stored, by topic.
    TopicPutSize = "TOPIC_PUT_SIZE",
    /// Messages stored, by `topic@queue`.
    QueuePutNums = "QUEUE_PUT_NUMS",
    /// Bytes stored, by `topic@queue`.
    QueuePutSize = "QUEUE_PUT_SIZE",
    /// Messages read, by `topic@group`.
    GroupGetNums = "GROUP_GET_NUMS",
    /// Bytes read, by `topic@group`.
    GroupGetSize = "GROUP_GET_SIZE",
    /// Messages read by queue, by `topic@queue@group`: only what the delivery of delayed messages takes, as in Java.
    QueueGetNums = "QUEUE_GET_NUMS",
    /// Bytes of them.
    QueueGetSize = "QUEUE_GET_SIZE",
    /// Milliseconds that pulls with messages took, by `queue@topic@group`.
    GroupGetLatency = "GROUP_GET_LATENCY",
    /// Milliseconds that stores took, by `queue@topic`.
    TopicPutLatency = "TOPIC_PUT_LATENCY",
    /// Messages given back, by `topic@group`.
    SendBackPutNums = "SNDBCK_PUT_NUMS",
    /// Messages given up, by `topic@group`; asked for as `owner@topic@group@SEND_BACK_TO_DLQ`.
    SendBackToDlq = "SNDBCK2DLQ_TIMES",
    /// Messages stored, by cluster.
    BrokerPutNums = "BROKER_PUT_NUMS",
    /// Messages read, by cluster.
    BrokerGetNums = "BROKER_GET_NUMS",
    /// Messages stored in topics of users, by cluster.
    BrokerPutNumsOfUsers = "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC",
    /// Messages read from topics of users, by cluster.
    BrokerGetNumsOfUsers = "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC",
}

impl Name {
    /// The name behind Java's text.
    pub fn parse(text: &str) -> Option<Name> {
        Name::ALL.iter().find(|(_, name)| *name == text).map(|(name, _)| *name)
    }
}

impl Name {
    /// Which part of a key, counted between its `@`, is the topic, and which the group.
    fn key_parts(self) -> (Option<usize>, Option<usize>) {
        match self {
            Name::TopicPutNums | Name::TopicPutSize | Name::QueuePutNums | Name::QueuePutSize => (Some(0), None),
            Name::GroupGetNums | Name::GroupGetSize | Name::SendBackPutNums | Name::SendBackToDlq => (Some(0), Some(1)),
            Name::QueueGetNums | Name::QueueGetSize => (Some(0), Some(2)),
            Name::TopicPutLatency => (Some(1), None),
            Name::GroupGetLatency => (Some(1), Some(2)),
            Name::BrokerPutNums | Name::BrokerGetNums | Name::BrokerPutNumsOfUsers | Name::BrokerGetNumsOfUsers => {
                (None, None)
            }
        }
    }
}

/// Group under which the delivery of delayed messages is counted.
const SCHEDULE_GROUP: &str = "SCHEDULE_CONSUMER";

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at: Millis,
    value: u64,
    times: u64,
}

impl Sample {
    fn same(self, other: Sample) -> bool {
        (self.value, self.times) == (other.value, other.times)
    }
}

/// One figure: a sum and how often something was added.
#[derive(Debug, Default)]
pub struct Counter {
    value: AtomicU64,
    times: AtomicU64,
    samples: Mutex<Samples>,
}

#[derive(Debug, Default)]
struct Samples {
    short: VecDeque<Sample>,
    long: VecDeque<Sample>,
}

impl Counter {
    /// A counter that was zero one sample ago: its first figures are rates over ten seconds, not over an instant.
    fn new(now: Millis) -> Self {
        let counter = Counter::default();
        counter.sample(now.saturating_sub(SAMPLE_INTERVAL_MS), true);
        counter
    }

    /// Adds to the sum, once.
    pub fn add(&self, value: u64) {
        self.value.fetch_add(value, Ordering::Relaxed);
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    /// Raises the sum, and how often something was added, to what sources outside have reached.
    fn raise_both(&self, total: u64, times: u64) {
        self.value.fetch_max(total, Ordering::Relaxed);
        self.times.fetch_max(times, Ordering::Relaxed);
    }

    /// The sum since the start.
    pub fn total(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Raises the sum to what a source outside has reached.
    fn raise(&self, total: u64) {
        let before = self.value.fetch_max(total, Ordering::Relaxed);
        self.times.fetch_add(total.saturating_sub(before), Ordering::Relaxed);
    }

    fn now(&self, now: Millis) -> Sample {
        Sample { at: now, value: self.total(), times: self.times.load(Ordering::Relaxed) }
    }

    fn sample(&self, now: Millis, long: bool) {
        let sample = self.now(now);
        let mut samples = self.samples.lock();
        keep(&mut samples.short, sample, SHORT_SAMPLES);
        if long {
            keep(&mut samples.long, sample, LONG_SAMPLES);
        }
    }

    /// Sum, rate and average over the last `span_ms`, or since the counter exists if that is less.
    pub fn over(&self, now: Millis, span_ms: u64) -> BrokerStatsItem {
        let (begin, end) = self.span(now, span_ms);
        let sum = end.value.saturating_sub(begin.value);
        let times = end.times.saturating_sub(begin.times);
        BrokerStatsItem {
            sum: sum as i64,
            tps: per_second(sum, begin, end),
            avgpt: if times == 0 { 0.0 } else { sum as f64 / times as f64 },
        }
    }

    /// Where the last `span_ms` began, and where it ends.
    fn span(&self, now: Millis, span_ms: u64) -> (Sample, Sample) {
        let end = self.now(now);
        let samples = self.samples.lock();
        let begin_at = now.saturating_sub(span_ms);
        let begin = before(&samples.short, begin_at)
            .or_else(|| before(&samples.long, begin_at))
            .or_else(|| samples.long.front().copied())
            .unwrap_or(end);
        (begin, end)
    }

    /// Rates of the sum over 10, 60 and 600 seconds as the runtime info writes them.
    pub fn rates(&self, now: Millis) -> String {
        self.rates_of(now, |begin, end| per_second(end.value.saturating_sub(begin.value), begin, end))
    }

    /// The same of how often something was added.
    pub fn rates_of_times(&self, now: Millis) -> String {
        self.rates_of(now, |begin, end| per_second(end.times.saturating_sub(begin.times), begin, end))
    }

    fn rates_of(&self, now: Millis, rate: impl Fn(Sample, Sample) -> f64) -> String {
        let [first, second, third] = [10, 60, 600].map(|seconds: u64| {
            let (begin, end) = self.span(now, seconds * 1000);
            rate(begin, end)
        });
        format!("{first:?} {second:?} {third:?}")
    }
}

fn per_second(count: u64, begin: Sample, end: Sample) -> f64 {
    let elapsed_ms = end.at.saturating_sub(begin.at);
    if elapsed_ms == 0 { 0.0 } else { count as f64 * 1000.0 / elapsed_ms as f64 }
}

/// The newest sample that is not younger than `at`; while nothing was counted, samples in between are not kept.
fn before(list: &VecDeque<Sample>, at: Millis) -> Option<Sample> {
    let index = list.iter().rposition(|sample| sample.at <= at)?;
    let sample = list.get(index).copied()?;
    let stayed = list.get(index + 1).is_some_and(|next| next.same(sample));
    Some(if stayed { Sample { at, ..sample } } else { sample })
}

/// The day of a time.
fn date(zone: &Zone, now: Millis) -> (i64, u32, u32) {
    let civil = zone.civil(now);
    (civil.year, civil.month, civil.day)
}

/// Adds a sample. Of a time in which nothing was counted the first and the last are kept: a broker has many counters,
/// and most of them stand still.
fn keep(list: &mut VecDeque<Sample>, sample: Sample, max: usize) {
    if let [.., first, last] = list.make_contiguous()
        && first.same(sample)
        && last.same(sample)
    {
        last.at = sample.at;
        return;
    }
    if list.len() == max {
        list.pop_front();
    }
    list.push_back(sample);
}

/// Totals at the midnights of the machine's time zone, as Java's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mornings {
    /// At the last but one midnight.
    pub yesterday: u64,
    /// At the last midnight.
    pub today: u64,
}

#[derive(Debug, Default)]
struct Days {
    /// Year, month, day.
    day: (i64, u32, u32),
    put: Mornings,
    get: Mornings,
}

/// What one group reads of one topic.
#[derive(Debug)]
pub struct GroupReads {
    messages: Arc<Counter>,
    bytes: Arc<Counter>,
    of_broker: Arc<Counter>,
    of_users: Option<Arc<Counter>>,
    /// By queue.
    took_ms: RwLock<HashMap<u32, Arc<Counter>>>,
}

impl GroupReads {
    /// Messages.
    pub fn messages(&self) -> &Counter {
        &self.messages
    }

    /// Bytes.
    pub fn bytes(&self) -> &Counter {
        &self.bytes
    }

    /// A pull took so much.
    pub fn add(&self, messages: u64, bytes: u64) {
        self.messages.add(messages);
        self.bytes.add(bytes);
        self.of_broker.add(messages);
        if let Some(of_users) = &self.of_users {
            of_users.add(messages);
        }
    }
}

/// Pulls per second over 10, 60 and 600 seconds, as the runtime info writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRates {
    /// Those that found messages.
    pub found: String,
    /// Those that found none, held ones included.
    pub missed: String,
    /// Both.
    pub total: String,
}

/// The figures of one broker.
#[derive(Debug)]
pub struct Stats {
    cluster: String,
    zone: Zone,
    /// How long writes take.
    pub put_times: PutTimes,
    /// Pulls that found nothing.
    misses: Counter,
    /// The slowest pull since the start, milliseconds.
    get_max_ms: AtomicU64,
    /// Queues that waited for a group of which members were there, at the last look.
    pub unconsumed_queues: AtomicU64,
    /// Why the last save of a state file failed; `None` when all are on disk.
    pub save_failure: Mutex<Option<String>>,
    /// When it began to count, milliseconds since the epoch.
    pub started: Millis,
    counters: RwLock<BTreeMap<Name, HashMap<String, Arc<Counter>>>>,
    /// By group, then topic.
    reads: RwLock<HashMap<String, HashMap<String, Arc<GroupReads>>>>,
    samples: AtomicU64,
    /// When `refresh` last did something.
    refreshed: AtomicU64,
    days: Mutex<Days>,
    /// How far each level of the delayed messages was delivered when counting began.
    levels_begun: OnceLock<Vec<u64>>,
    /// What each queue held when counting began: messages, bytes.
    begun: Mutex<HashMap<(String, u32), (u64, u64)>>,
}

impl Stats {
    /// Begins to count what `store` gets from now on.
    pub fn new(cluster: &str, zone: Zone, store: &Store, now: Millis) -> Self {
        let mut begun = HashMap::new();
        for topic in store.topics() {
            for queue in store.queues_of(&topic) {
                begun.insert((topic.to_string(), queue.id().0), (queue.max().0, queue.bytes_put()));
            }
        }
        let stats = Stats {
            cluster: cluster.to_owned(),
            put_times: PutTimes::default(),
            misses: Counter::new(now),
            get_max_ms: AtomicU64::new(0),
            unconsumed_queues: AtomicU64::new(0),
            save_failure: Mutex::default(),
            started: now,
            counters: RwLock::default(),
            reads: RwLock::default(),
            samples: AtomicU64::new(0),
            refreshed: AtomicU64::new(0),
            levels_begun: OnceLock::new(),
            days: Mutex::new(Days { day: date(&zone, now), ..Days::default() }),
            zone,
            begun: Mutex::new(begun),
        };
        for name in [Name::BrokerPutNums, Name::BrokerGetNums, Name::BrokerPutNumsOfUsers, Name::BrokerGetNumsOfUsers] {
            stats.counter(name, cluster, now);
        }
        stats
    }

    /// A counter; keep it where it is used often.
    pub fn counter(&self, name: Name, key: &str, now: Millis) -> Arc<Counter> {
        if let Some(counter) = self.counters.read().get(&name).and_then(|keys| keys.get(key)) {
            return counter.clone();
        }
        let counter = Arc::new(Counter::new(now));
        let mut counters = self.counters.write();
        let keys = counters.entry(name).or_default();
        if keys.len() >= KEYS_MAX {
            return counter;
        }
        keys.entry(key.to_owned()).or_insert(counter).clone()
    }

    /// The broker's own counter of a name that is kept by cluster.
    pub fn of_broker(&self, name: Name, now: Millis) -> Arc<Counter> {
        self.counter(name, &self.cluster, now)
    }

    /// What a group reads of a topic. Costs two look-ups and no allocation once both are known.
    pub fn reads(&self, topic: &str, group: &str, is_system: impl Fn(&str) -> bool, now: Millis) -> Arc<GroupReads> {
        if let Some(reads) = self.reads.read().get(group).and_then(|topics| topics.get(topic)) {
            return reads.clone();
        }
        let key = format!("{topic}@{group}");
        let reads = Arc::new(GroupReads {
            messages: self.counter(Name::GroupGetNums, &key, now),
            bytes: self.counter(Name::GroupGetSize, &key, now),
            of_broker: self.of_broker(Name::BrokerGetNums, now),
            of_users: (!is_system(topic)).then(|| self.of_broker(Name::BrokerGetNumsOfUsers, now)),
            took_ms: RwLock::default(),
        });
        let mut known = self.reads.write();
        let topics = known.entry(group.to_owned()).or_default();
        topics.insert(topic.to_owned(), reads.clone());
        reads
    }

    /// How long a group's pulls of a queue take. Costs a look-up and no allocation once the queue is known.
    pub fn pull_latency(&self, reads: &GroupReads, topic: &str, group: &str, queue: u32, now: Millis) -> Arc<Counter> {
        if let Some(counter) = reads.took_ms.read().get(&queue) {
            return counter.clone();
        }
        let counter = self.counter(Name::GroupGetLatency, &format!("{queue}@{topic}@{group}"), now);
        reads.took_ms.write().insert(queue, counter.clone());
        counter
    }

    /// A pull ended after so long, with messages or without.
    pub fn pulled(&self, found: bool, took_ms: u64) {
        if !found {
            self.misses.add(1);
        }
        if took_ms > self.get_max_ms.load(Ordering::Relaxed) {
            self.get_max_ms.fetch_max(took_ms, Ordering::Relaxed);
        }
    }

    /// The slowest pull since the start, milliseconds.
    pub fn get_max_ms(&self) -> u64 {
        self.get_max_ms.load(Ordering::Relaxed)
    }

    /// Rates of pulls: that found messages, that found none, and of both.
    pub fn pull_rates(&self, now: Millis) -> PullRates {
        let found = self.of_broker(Name::BrokerGetNums, now);
        let total = |seconds: u64| {
            let of = |counter: &Counter| {
                let (begin, end) = counter.span(now, seconds * 1000);
                per_second(end.times.saturating_sub(begin.times), begin, end)
            };
            of(&found) + of(&self.misses)
        };
        let [first, second, third] = [10, 60, 600].map(total);
        PullRates {
            found: found.rates_of_times(now),
            missed: self.misses.rates_of_times(now),
            total: format!("{first:?} {second:?} {third:?}"),
        }
    }

    /// How far each level of the delayed messages is delivered and how many bytes that were since the start, in the order
    /// of levels. The first call is the start.
    pub fn delivered(&self, schedule_topic: &str, levels: &[(u64, u64)], now: Millis) {
        let begun = self.levels_begun.get_or_init(|| levels.iter().map(|(next, _)| *next).collect());
        let (mut all, mut all_bytes) = (0, 0);
        for (queue, ((next, bytes), begun)) in levels.iter().zip(begun).enumerate() {
            let delivered = next.saturating_sub(*begun);
            if delivered > 0 {
                let key = format!("{schedule_topic}@{queue}@{SCHEDULE_GROUP}");
                self.counter(Name::QueueGetNums, &key, now).raise(delivered);
                self.counter(Name::QueueGetSize, &key, now).raise_both(*bytes, delivered);
            }
            all += delivered;
            all_bytes += bytes;
        }
        if all > 0 {
            let key = format!("{schedule_topic}@{SCHEDULE_GROUP}");
            self.counter(Name::GroupGetNums, &key, now).raise(all);
            self.counter(Name::GroupGetSize, &key, now).raise_both(all_bytes, all);
        }
    }

    /// Takes over how far the queues have grown. `is_system` tells the topics that are not the users'.
    ///
    /// Asking again within a second changes nothing: a tool that asks for every topic must not make each answer as dear as
    /// all.
    pub fn refresh(&self, store: &Store, is_system: impl Fn(&str) -> bool, now: Millis) {
        let last = self.refreshed.swap(now, Ordering::Relaxed);
        if last != 0 && (last..last + REFRESH_INTERVAL_MS).contains(&now) {
            self.refreshed.store(last, Ordering::Relaxed);
            return;
        }
        let mut begun = self.begun.lock();
        let (mut all, mut of_users) = (0, 0);
        for topic in store.topics() {
            let (mut messages, mut bytes) = (0, 0);
            for queue in store.queues_of(&topic) {
                let at_start = *begun.entry((topic.to_string(), queue.id().0)).or_insert((0, 0));
                let put = queue.max().0.saturating_sub(at_start.0);
                let size = queue.bytes_put().saturating_sub(at_start.1);
                if put > 0 {
                    let key = format!("{topic}@{}", queue.id());
                    self.counter(Name::QueuePutNums, &key, now).raise(put);
                    self.counter(Name::QueuePutSize, &key, now).raise(size);
                    let latency = format!("{}@{topic}", queue.id());
                    self.counter(Name::TopicPutLatency, &latency, now).raise_both(queue.put_ms(), put);
                }
                messages += put;
                bytes += size;
            }
            if messages > 0 {
                self.counter(Name::TopicPutNums, &topic, now).raise(messages);
                self.counter(Name::TopicPutSize, &topic, now).raise(bytes);
            }
            all += messages;
            of_users += if is_system(&topic) { 0 } else { messages };
        }
        // A deleted topic takes its share with it: the totals never go back.
        self.of_broker(Name::BrokerPutNums, now).raise(all);
        self.of_broker(Name::BrokerPutNumsOfUsers, now).raise(of_users);
    }

    /// Takes a sample of everything; called every ten seconds, behind `refresh`.
    pub fn sample(&self, now: Millis) {
        let samples = self.samples.fetch_add(1, Ordering::Relaxed);
        if (samples + 1).is_multiple_of(60_000 / SAMPLE_INTERVAL_MS) {
            self.put_times.turn();
        }
        let long = samples.is_multiple_of(SAMPLES_PER_LONG);
        for counter in self.counters.read().values().flat_map(HashMap::values) {
            counter.sample(now, long);
        }
        self.misses.sample(now, long);
        let mut days = self.days.lock();
        let day = date(&self.zone, now);
        if day > days.day {
            days.day = day;
            let (put, get) = self.totals(now);
            days.put = Mornings { yesterday: days.put.today, today: put };
            days.get = Mornings { yesterday: days.get.today, today: get };
        }
    }

    /// Messages of users put and got since the start.
    pub fn totals(&self, now: Millis) -> (u64, u64) {
        let total = |name| self.of_broker(name, now).total();
        (total(Name::BrokerPutNumsOfUsers), total(Name::BrokerGetNumsOfUsers))
    }

    /// Totals of puts and gets at the last midnights.
    pub fn mornings(&self) -> (Mornings, Mornings) {
        let days = self.days.lock();
        (days.put, days.get)
    }

    /// The answer of VIEW_BROKER_STATS_DATA; `None` when nothing of that name and key was counted.
    pub fn data(&self, name: &str, key: &str, now: Millis) -> Option<BrokerStatsData> {
        let name = Name::parse(name)?;
        // Java's key names an owner first, which nobody has, and the kind last.
        let parts: Vec<&str> = key.split('@').collect();
        let of_group = match (name, parts.as_slice()) {
            (Name::SendBackToDlq, [_, topic, group, _]) => Some(format!("{topic}@{group}")),
            _ => None,
        };
        let key = of_group.as_deref().unwrap_or(key);
        let counter = self.counters.read().get(&name)?.get(key)?.clone();
        Some(BrokerStatsData {
            stats_minute: counter.over(now, 60_000),
            stats_hour: counter.over(now, 3_600_000),
            stats_day: counter.over(now, DAY_MS),
        })
    }

    /// A group gave a message of a topic back for a later try.
    pub fn given_back(&self, topic: &str, group: &str, now: Millis) {
        self.counter(Name::SendBackPutNums, &format!("{topic}@{group}"), now).add(1);
    }

    /// A group gave a message of a topic up.
    pub fn given_up(&self, topic: &str, group: &str, now: Millis) {
        self.counter(Name::SendBackToDlq, &format!("{topic}@{group}"), now).add(1);
    }

    /// A counter, if anything was counted under that name and key.
    pub fn find(&self, name: Name, key: &str) -> Option<Arc<Counter>> {
        self.counters.read().get(&name)?.get(key).cloned()
    }

    /// Every counter of a name with its key.
    pub fn all(&self, name: Name) -> Vec<(String, Arc<Counter>)> {
        let counters = self.counters.read();
        let keys = counters.get(&name).into_iter().flatten();
        keys.map(|(key, counter)| (key.clone(), counter.clone())).collect()
    }

    /// What a group has read of a topic, if it has read anything.
    pub fn find_reads(&self, topic: &str, group: &str) -> Option<Arc<GroupReads>> {
        self.reads.read().get(group)?.get(topic).cloned()
    }

    /// How many keys the fullest name has, and how many it may have.
    pub fn keys(&self) -> (usize, usize) {
        (self.counters.read().values().map(HashMap::len).max().unwrap_or(0), KEYS_MAX)
    }

    /// Messages per second of the last minute under a name and key.
    pub fn tps(&self, name: Name, key: &str, now: Millis) -> f64 {
        let counters = self.counters.read();
        counters.get(&name).and_then(|keys| keys.get(key)).map_or(0.0, |counter| counter.over(now, 60_000).tps)
    }

    /// Forgets a topic's figures.
    pub fn forget_topic(&self, topic: &str) {
        self.begun.lock().retain(|(name, _), _| name != topic);
        self.reads.write().values_mut().for_each(|topics| drop(topics.remove(topic)));
        self.forget(topic, |(topic_at, _)| topic_at);
    }

    /// Forgets a group's figures.
    pub fn forget_group(&self, group: &str) {
        self.reads.write().remove(group);
        self.forget(group, |(_, group_at)| group_at);
    }

    fn forget(&self, owner: &str, part: impl Fn((Option<usize>, Option<usize>)) -> Option<usize>) {
        for (name, keys) in self.counters.write().iter_mut() {
            let Some(at) = part(name.key_parts()) else { continue };
            keys.retain(|key, _| key.split('@').nth(at) != Some(owner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{Broker, START};

    #[test]
    fn what_was_put_and_read_is_found_under_javas_names() {
        let broker = Broker::new("stats");
        broker.put("OLD", 0, "before", &[]);
        let store = &broker.handles.store;
        let stats = Stats::new("C", Zone::default(), store, START);
        for _ in 0..30 {
            broker.put("T", 1, "message", &[]);
        }
        stats.refresh(store, |_| false, START);
        let reads = stats.reads("T", "G", |_| false, START + 1);
        reads.add(20, 2000);
        let now = START + 10_000;
        let minute = |name: &str, key: &str| stats.data(name, key, now).unwrap().stats_minute;
        assert_eq!((minute("TOPIC_PUT_NUMS", "T").sum, minute("TOPIC_PUT_NUMS", "T").tps), (30, 1.5));
        for _ in 0..30 {
            broker.put("T", 1, "message", &[]);
        }
        stats.refresh(store, |_| false, now);
        assert_eq!((minute("TOPIC_PUT_NUMS", "T").sum, minute("TOPIC_PUT_NUMS", "T").tps), (60, 3.0));
        assert_eq!(minute("QUEUE_PUT_NUMS", "T@1").sum, 60);
        assert!(minute("TOPIC_PUT_SIZE", "T").sum > 30 * 90);
        assert_eq!(minute("BROKER_PUT_NUMS", "C").sum, 60);
        assert_eq!((minute("GROUP_GET_NUMS", "T@G").sum, minute("GROUP_GET_SIZE", "T@G").avgpt), (20, 2000.0));
        assert!(stats.data("TOPIC_PUT_NUMS", "OLD", now).is_none(), "what was there before is not counted");
        assert!(stats.data("NONSENSE", "T", now).is_none());
        assert!(stats.data("GROUP_GET_LATENCY", "x", now).is_none(), "as Java answers what never came up");
        assert_eq!(minute("TOPIC_PUT_LATENCY", "1@T").avgpt, 0.0);
        store.find_queue("T", crate::base::position::QueueId(1)).unwrap().put_took(120);
        stats.refresh(store, |_| false, now + REFRESH_INTERVAL_MS);
        assert_eq!((minute("TOPIC_PUT_LATENCY", "1@T").sum, minute("TOPIC_PUT_LATENCY", "1@T").avgpt), (120, 2.0));
        stats.pull_latency(&reads, "T", "G", 1, now).add(7);
        stats.pull_latency(&reads, "T", "G", 1, now).add(1);
        assert_eq!(minute("GROUP_GET_LATENCY", "1@T@G").avgpt, 4.0);
        stats.given_back("T", "G", now);
        stats.given_up("T", "G", now);
        assert_eq!(minute("SNDBCK_PUT_NUMS", "T@G").sum, 1);
        assert_eq!(minute("SNDBCK2DLQ_TIMES", "null@T@G@SEND_BACK_TO_DLQ").sum, 1);
        stats.delivered("S", &[(5, 0), (7, 0)], now);
        stats.delivered("S", &[(5, 0), (9, 700)], now);
        for (name, sum) in [("NUMS", 2), ("SIZE", 700)] {
            assert_eq!(minute(&format!("QUEUE_GET_{name}"), "S@1@SCHEDULE_CONSUMER").sum, sum);
            assert_eq!(minute(&format!("GROUP_GET_{name}"), "S@SCHEDULE_CONSUMER").sum, sum);
        }
        assert_eq!(minute("QUEUE_GET_SIZE", "S@1@SCHEDULE_CONSUMER").avgpt, 350.0);
        stats.forget_topic("T");
        assert!(stats.data("TOPIC_PUT_NUMS", "T", now).is_none() && stats.data("GROUP_GET_NUMS", "T@G", now).is_none());
        assert!(stats.data("GROUP_GET_LATENCY", "1@T@G", now).is_none());
        stats.reads("OTHER", "T", |_| false, now).add(1, 1);
        stats.forget_topic("T");
        assert!(stats.data("GROUP_GET_NUMS", "OTHER@T", now).is_some(), "a group may be called as a topic is");
        stats.forget_group("T");
        assert!(stats.data("GROUP_GET_NUMS", "OTHER@T", now).is_none());
    }

    #[test]
    fn pulls_are_counted_by_whether_they_found_something_and_the_slowest_is_kept() {
        let broker = Broker::new("stats-pulls");
        let stats = Stats::new("C", Zone::default(), &broker.handles.store, START);
        let reads = stats.reads("T", "G", |_| false, START);
        for _ in 0..20 {
            reads.add(32, 3200);
            stats.pulled(true, 0);
            stats.pulled(false, 9);
            stats.pulled(false, 3);
        }
        let rates = stats.pull_rates(START);
        assert_eq!((rates.found.as_str(), rates.missed.as_str()), ("2.0 2.0 2.0", "4.0 4.0 4.0"));
        assert_eq!((rates.total.as_str(), stats.get_max_ms()), ("6.0 6.0 6.0", 9));
    }

    #[test]
    fn a_counter_that_stands_still_keeps_two_samples_and_its_windows_stay_right() {
        let counter = Counter::new(0);
        counter.add(100);
        for second in (10..=500_u64).step_by(10) {
            counter.sample(second * 1000, false);
        }
        assert!(counter.samples.lock().short.len() <= 3, "{:?}", counter.samples);
        counter.add(30);
        let of = |seconds: u64| counter.over(510_000, seconds * 1000);
        assert_eq!((of(60).sum, of(60).tps, of(600).sum), (30, 0.5, 130));
    }

    #[test]
    fn windows_reach_as_far_back_as_their_span_and_no_further() {
        let counter = Counter::new(0);
        for second in 1..=1200_u64 {
            counter.add(2);
            if second.is_multiple_of(10) {
                counter.sample(second * 1000, second.is_multiple_of(600));
            }
        }
        let now = 1_200_000;
        assert_eq!((counter.over(now, 60_000).sum, counter.over(now, 60_000).tps), (120, 2.0));
        assert_eq!(counter.over(now, 3_600_000).sum, 2400);
        assert_eq!(counter.rates(now), "2.0 2.0 2.0");
        assert_eq!(counter.over(now, 60_000).avgpt, 2.0);
    }

    #[test]
    fn midnight_is_that_of_the_zone() {
        let broker = Broker::new("stats-zone");
        let store = &broker.handles.store;
        // START is 22:13:20 UTC; China is eight hours ahead, and its next midnight is 17:46:40 later.
        let zone = Zone::load(&crate::base::disk::RealDisk, Some("CST-8"));
        let stats = Stats::new("C", zone, store, START);
        broker.put("T", 0, "x", &[]);
        let midnight = START + (17 * 3600 + 46 * 60 + 40) * 1000;
        stats.refresh(store, |_| false, midnight - 1);
        stats.sample(midnight - 1);
        assert_eq!(stats.mornings().0.today, 0);
        stats.sample(midnight);
        assert_eq!(stats.mornings().0.today, 1);
    }

    #[test]
    fn midnight_moves_today_to_yesterday() {
        let broker = Broker::new("stats-days");
        let store = &broker.handles.store;
        let stats = Stats::new("C", Zone::default(), store, START);
        broker.put("T", 0, "x", &[]);
        stats.refresh(store, |_| false, START);
        stats.sample(START + DAY_MS);
        broker.put("T", 0, "y", &[]);
        stats.refresh(store, |_| false, START + DAY_MS);
        assert_eq!(stats.mornings().0, Mornings { yesterday: 0, today: 1 });
        stats.sample(START + 2 * DAY_MS);
        assert_eq!(stats.mornings().0, Mornings { yesterday: 1, today: 2 });
        assert_eq!(stats.totals(START).0, 2);
    }
}
