//! The benchmark programs of RocketMQ's distribution, `benchmark/producer.sh` and `consumer.sh`: Java's flags, Java's
//! lines, our load. Numbers mean what they mean there: a thread is a send in flight, all threads share one connection to
//! each broker, and a line tells of the last nine seconds.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::engine::{Engine, Load, Outputs};
use super::frames::{self, Extras, OPAQUE_BASE, Template};
use super::load::Slots;
use super::setup::{Setup, Target};
use super::{BenchError, Surroundings};
use crate::base::clock::Clock;
use crate::base::local_time::Zone;
use crate::client::consumer::{self, Arrived, Consumed, Subscription};
use crate::wire::body::ConsumeFromWhere;
use crate::wire::codes::response;

/// Between two snapshots of the counts.
const SNAPSHOT_NS: u64 = 1_000_000_000;
/// Between two lines.
const REPORT_INTERVAL_MS: u64 = 10_000;
/// Snapshots that a line looks back over.
const SNAPSHOTS: usize = 10;
/// Pause of a thread whose send was refused.
const REFUSED_PAUSE_NS: u64 = 3_000_000_000;
/// Sends in flight with `-y true`.
const ASYNC_IN_FLIGHT: usize = 10_000;
/// Queues of a topic that is made: as many as Java's producers ask for.
const QUEUES: u32 = 4;
/// Producer group of Java's benchmark.
const GROUP: &str = "benchmark_producer";

/// Flags of two letters, which are long ones here.
const TWO_LETTERS: [(&str, &str); 3] = [("-ak", "--accessKey"), ("-sk", "--secretKey"), ("-ri", "--reportInterval")];

/// The long spelling of a flag of two letters.
pub fn long_flag(word: &str) -> Option<&'static str> {
    TWO_LETTERS.iter().find(|(short, _)| *short == word).map(|(_, long)| *long)
}

/// `producer.sh`.
#[derive(Clone, Debug, ClapArgs)]
pub struct ProducerArgs {
    /// Name servers: HOST:PORT;HOST:PORT [default: NAMESRV_ADDR]
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRS")]
    pub namesrv: Option<String>,
    /// Topic
    #[arg(short = 't', long, default_value = "BenchmarkTest")]
    pub topic: String,
    /// Sends in flight
    #[arg(short = 'w', long = "threadCount", default_value_t = 64, value_parser = super::at_least_one)]
    pub threads: usize,
    /// Bytes of a message's body
    #[arg(short = 's', long = "messageSize", default_value_t = 128)]
    pub size: usize,
    /// true: every message has a key
    #[arg(short = 'k', long = "keyEnable", default_value = "false")]
    pub key: String,
    /// Bytes of further properties
    #[arg(short = 'p', long = "propertySize", default_value_t = 0)]
    pub property_size: usize,
    /// Number of different tags; 0 for none
    #[arg(short = 'l', long = "tagCount", default_value_t = 0)]
    pub tags: u32,
    /// What both programs take.
    #[command(flatten)]
    pub both: Both,
    /// Messages to send; 0 sends on and on
    #[arg(short = 'q', long = "messageQuantity", default_value_t = 0)]
    pub quantity: u64,
    /// true: delayed messages
    #[arg(short = 'd', long = "delayEnable", default_value = "false")]
    pub delay: String,
    /// Level of their delay
    #[arg(short = 'e', long = "delayLevel", default_value_t = 1)]
    pub delay_level: u32,
    /// true: no thread waits for an answer
    #[arg(short = 'y', long = "asyncEnable", default_value = "false")]
    pub asynchronous: String,
}

/// What `producer.sh` and `consumer.sh` take alike.
#[derive(Clone, Debug, ClapArgs)]
pub struct Both {
    /// true: message traces, which are not built
    #[arg(short = 'm', long = "msgTraceEnable", default_value = "false")]
    pub trace: String,
    /// true: access control, which is not built
    #[arg(short = 'a', long = "aclEnable", default_value = "false")]
    pub acl: String,
    /// Of access control
    #[arg(long = "accessKey", hide = true)]
    pub access_key: Option<String>,
    /// Of access control
    #[arg(long = "secretKey", hide = true)]
    pub secret_key: Option<String>,
    /// Milliseconds between two lines
    #[arg(long = "reportInterval", default_value_t = REPORT_INTERVAL_MS, value_parser = clap::value_parser!(u64).range(100..))]
    pub report_interval_ms: u64,
}

/// `consumer.sh`.
#[derive(Clone, Debug, ClapArgs)]
pub struct ConsumerArgs {
    /// Name servers: HOST:PORT;HOST:PORT [default: NAMESRV_ADDR]
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRS")]
    pub namesrv: Option<String>,
    /// Topic
    #[arg(short = 't', long, default_value = "BenchmarkTest")]
    pub topic: String,
    /// Threads; messages are counted by one here
    #[arg(short = 'w', long = "threadCount", default_value_t = 20)]
    pub threads: usize,
    /// Consumer group
    #[arg(short = 'g', long, default_value = "benchmark_consumer")]
    pub group: String,
    /// true: a number is appended to the group, so that it begins anew
    #[arg(short = 'p', long = "groupPrefixEnable", default_value = "false")]
    pub suffix: String,
    /// TAG; SQL92 is not built
    #[arg(short = 'f', long = "filterType")]
    pub filter: Option<String>,
    /// File with the filter's expression
    #[arg(short = 'e', long, value_name = "FILE")]
    pub expression: Option<PathBuf>,
    /// Share of messages that fail, from 0.0 to 1.0, and come again later
    #[arg(short = 'r', long = "failRate", default_value_t = 0.0, value_parser = rate)]
    pub fail_rate: f64,
    /// What both programs take.
    #[command(flatten)]
    pub both: Both,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.trim().parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
    rate.ok_or_else(|| "accepted is a share from 0.0 to 1.0".to_owned())
}

/// As Java reads a switch: anything but `true` is false.
fn on(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("true")
}

impl Both {
    /// Refuses what is asked for and not there.
    fn check(&self) -> Result<(), BenchError> {
        let asked = [
            (&self.trace, "-m true: message traces are not built yet"),
            (&self.acl, "-a true: access control is not built yet"),
        ];
        let refused = asked.iter().find(|(asked, _)| on(asked));
        refused.map_or(Ok(()), |(_, what)| Err(BenchError::Usage((*what).to_owned())))
    }
}

fn name_servers(given: Option<&String>, around: &Surroundings) -> Result<Vec<String>, BenchError> {
    super::servers(given.or(around.name_servers.as_ref()).map(String::as_str).unwrap_or_default())
}

/// `yyyy-MM-dd HH:mm:ss,SSS`.
fn local(zone: &Zone, now_ms: u64) -> String {
    let at = zone.civil(now_ms);
    let (date, time) = ((at.year, at.month, at.day), (at.hour, at.minute, at.second, at.millis));
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03}", date.0, date.1, date.2, time.0, time.1, time.2, time.3)
}

fn ratio(part: u64, of: u64) -> f64 {
    part as f64 / of as f64
}

/// A mean as Java prints it: `%7.3f`, and its word for nothing by nothing.
fn mean(sum: u64, count: u64) -> String {
    if count == 0 { format!("{:>7}", "NaN") } else { format!("{:7.3}", ratio(sum, count)) }
}

/// Messages per second between two snapshots.
fn per_second(count: u64, span_ms: u64) -> u64 {
    (ratio(count, span_ms.max(1)) * 1000.0) as u64
}

// === The producer ===

/// Counts, as Java's benchmark keeps them.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    at_ms: u64,
    done: u64,
    refused: u64,
    total_rt_ms: u64,
    max_rt_ms: u64,
}

struct Producing {
    templates: Vec<Template>,
    /// By connection: sends in flight.
    depths: Vec<usize>,
    limit: u64,
    made: u64,
    first_key: u64,
    epoch_ms: u64,
    slots: Slots,
    /// When a connection's thread that was refused goes on.
    paused: VecDeque<(u64, usize)>,
    counts: Sent,
    refusals: BTreeMap<i32, String>,
    snapshots: VecDeque<Sent>,
    next_snapshot_ns: u64,
    next_report_ns: u64,
    report_ns: u64,
    zone: Zone,
}

impl Producing {
    fn has_more(&self) -> bool {
        self.limit == 0 || self.made < self.limit
    }

    fn make(&mut self, now: u64, conn: usize, out: &mut Vec<u8>) {
        if !self.has_more() {
            return;
        }
        let template = &self.templates[self.made as usize % self.templates.len()];
        self.made += 1;
        let slot = self.slots.take(now, conn as u32);
        let start = template.append(out, slot);
        template.set_message(out, start, self.epoch_ms + now / 1_000_000, self.first_key + self.made);
    }

    fn line(&self) -> Option<String> {
        let (begin, end) = (self.snapshots.front()?, self.snapshots.back()?);
        let done = end.done - begin.done;
        Some(format!(
            "Send TPS: {} Max RT(ms): {} Average RT(ms): {} Send Failed: 0 Response Failed: {}",
            per_second(done, end.at_ms - begin.at_ms),
            self.counts.max_rt_ms,
            mean(end.total_rt_ms - begin.total_rt_ms, done),
            end.refused,
        ))
    }

    fn complete(&self) -> String {
        match self.line().filter(|_| self.snapshots.len() > 1) {
            Some(line) => format!("[Complete] Send Total: {} {line}", self.counts.done),
            None => format!(
                "[Complete] Send Total: {} Send Failed: 0 Response Failed: {}",
                self.counts.done, self.counts.refused
            ),
        }
    }
}

impl Load for Producing {
    fn open(&mut self, conn: usize, now: u64, out: &mut Vec<u8>) {
        (0..self.depths[conn]).for_each(|_| self.make(now, conn, out));
    }

    fn answer(&mut self, conn: usize, header: &[u8], _: &[u8], now: u64, out: &mut Vec<u8>) {
        let Some(answer) = frames::answer(header) else { return };
        let Some((at, _)) = self.slots.give_back((answer.opaque - OPAQUE_BASE) as u32) else { return };
        // 10, 11, 12: stored, but not (yet) flushed or replicated.
        if matches!(answer.code, response::SUCCESS | 10..=12) {
            let rt_ms = (now - at) / 1_000_000;
            self.counts.done += 1;
            self.counts.total_rt_ms += rt_ms;
            self.counts.max_rt_ms = self.counts.max_rt_ms.max(rt_ms);
            return self.make(now, conn, out);
        }
        self.counts.refused += 1;
        self.paused.push_back((now + REFUSED_PAUSE_NS, conn));
        self.refusals.entry(answer.code).or_insert_with(|| {
            let told: String = String::from_utf8_lossy(header).chars().take(400).collect();
            eprintln!("send refused with code {}: {told}", answer.code);
            told
        });
    }

    fn due(&mut self, now: u64, outputs: &mut Outputs<'_>) {
        while self.paused.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, conn)) = self.paused.pop_front() else { break };
            self.make(now, conn, outputs.of(conn));
        }
        if now >= self.next_snapshot_ns {
            self.next_snapshot_ns += SNAPSHOT_NS.min(self.report_ns);
            self.snapshots.push_back(Sent { at_ms: now / 1_000_000, ..self.counts });
            if self.snapshots.len() > SNAPSHOTS {
                self.snapshots.pop_front();
            }
        }
        if now >= self.next_report_ns {
            self.next_report_ns += self.report_ns;
            if let Some(line) = self.line() {
                println!("Current Time: {} {line}", local(&self.zone, self.epoch_ms + now / 1_000_000));
            }
        }
    }

    fn finished(&self, _: u64) -> bool {
        !self.has_more() && self.slots.in_flight() == 0
    }
}

/// Runs the producer; ends only with a quantity or an error.
pub(super) fn produce(args: &ProducerArgs, around: &Surroundings) -> Result<(), BenchError> {
    args.both.check()?;
    let (key, delay, asynchronous) = (on(&args.key), on(&args.delay), on(&args.asynchronous));
    let threads = if asynchronous { 1 } else { args.threads };
    println!(
        "topic: {} threadCount: {threads} messageSize: {} keyEnable: {key} propertySize: {} tagCount: {} traceEnable: false \
         aclEnable: false messageQuantity: {}\ndelayEnable: {delay} delayLevel: {}\nasyncEnable: {asynchronous}",
        args.topic, args.size, args.property_size, args.tags, args.quantity, args.delay_level
    );
    let servers = name_servers(args.namesrv.as_ref(), around)?;
    let targets = Setup::new()?.targets(&servers, None, args.topic.trim(), QUEUES)?;
    let addrs: Vec<String> = targets.iter().map(|target| target.addr.clone()).collect();
    let in_flight = if asynchronous { ASYNC_IN_FLIGHT } else { threads };
    let now = Clock::System.now();
    let mut load = Producing {
        templates: templates(args, &targets, key, delay.then_some(args.delay_level)),
        depths: (0..addrs.len())
            .map(|conn| in_flight / addrs.len() + usize::from(conn < in_flight % addrs.len()))
            .collect(),
        limit: args.quantity,
        made: 0,
        // Ids differ from run to run.
        first_key: now.wrapping_mul(100_000) % 1_000_000_000_000_000,
        epoch_ms: now,
        slots: Slots::default(),
        paused: VecDeque::new(),
        counts: Sent::default(),
        refusals: BTreeMap::new(),
        snapshots: VecDeque::new(),
        next_snapshot_ns: SNAPSHOT_NS.min(args.both.report_interval_ms * 1_000_000),
        next_report_ns: args.both.report_interval_ms * 1_000_000,
        report_ns: args.both.report_interval_ms * 1_000_000,
        zone: around.zone.clone(),
    };
    Engine::connect(&addrs, 0)?.run(&mut load)?;
    println!("{}", load.complete());
    Ok(())
}

fn templates(args: &ProducerArgs, targets: &[Target], key: bool, delay_level: Option<u32>) -> Vec<Template> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let body: Vec<u8> = (0..args.size).map(|_| LETTERS[fastrand::usize(..LETTERS.len())]).collect();
    let mut properties: Vec<(String, String)> = Vec::new();
    let (mut size, mut value) = (0, fastrand::u32(..100));
    while args.property_size > 0 && size <= args.property_size {
        for text in [format!("hello{value}"), value.to_string()] {
            let name = format!("prop{}", properties.len());
            size += name.len() + text.len();
            properties.push((name, text));
        }
        value += 2;
    }
    // Every broker has at least so many; a request does not name its broker.
    let queues = targets.iter().map(|target| target.write_queues).min().unwrap_or(1).max(1);
    let extras = |tag: Option<String>| Extras { key, tag, delay_level, properties: properties.clone() };
    let tags: Vec<Option<String>> = match args.tags {
        0 => vec![None],
        count => (0..count).map(|tag| Some(format!("tag{tag}"))).collect(),
    };
    let each = |queue| tags.iter().map(move |tag| (queue, tag.clone()));
    (0..queues)
        .flat_map(each)
        .map(|(queue, tag)| Template::message(GROUP, args.topic.trim(), queue, &extras(tag), &body))
        .collect()
}

// === The consumer ===

/// Counts, as Java's benchmark keeps them.
#[derive(Clone, Copy, Debug, Default)]
struct Got {
    at_ms: u64,
    messages: u64,
    failed: u64,
    born_rt_ms: u64,
    stored_rt_ms: u64,
    born_max_ms: u64,
    stored_max_ms: u64,
}

/// Runs the consumer until it is asked to stop.
pub(super) fn consume(args: &ConsumerArgs, around: &Surroundings) -> Result<(), BenchError> {
    args.both.check()?;
    let now = Clock::System.now();
    let group = if on(&args.suffix) { format!("{}_{}", args.group, now % 100) } else { args.group.clone() };
    let null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
    println!(
        "topic: {}, threadCount {}, group: {group}, suffix: {}, filterType: {}, expression: {}, msgTraceEnable: false, \
         aclEnable: false",
        args.topic,
        args.threads,
        args.suffix,
        null(args.filter.clone()),
        null(args.expression.as_ref().map(|file| file.display().to_string())),
    );
    let what = Subscription {
        name_servers: name_servers(args.namesrv.as_ref(), around)?,
        group,
        topic: args.topic.trim().to_owned(),
        expression: expression(args)?,
        from: ConsumeFromWhere::LastOffset,
        retries: true,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| BenchError::System { what: "start the client", source })?;
    let counts = RefCell::new(Got::default());
    let count = |arrived: Arrived<'_>| {
        let now = Clock::System.now();
        let since = |at: i64| now.saturating_sub(at.unsigned_abs());
        let (born, stored) = (since(arrived.record.born_timestamp()), since(arrived.record.store_timestamp()));
        let mut counts = counts.borrow_mut();
        counts.messages += 1;
        counts.born_rt_ms += born;
        counts.stored_rt_ms += stored;
        counts.born_max_ms = counts.born_max_ms.max(born);
        counts.stored_max_ms = counts.stored_max_ms.max(stored);
        let fails = fastrand::f64() < args.fail_rate;
        counts.failed += u64::from(fails);
        ControlFlow::Continue(if fails { Consumed::Later } else { Consumed::Done })
    };
    runtime.block_on(async {
        let started = || println!("Consumer Started.");
        tokio::select! {
            ended = consumer::consume(what, around.stop.clone(), started, count) => Ok(ended?),
            () = report(&counts, args.both.report_interval_ms) => Ok(()),
        }
    })
}

fn expression(args: &ConsumerArgs) -> Result<String, BenchError> {
    let (Some(filter), Some(file)) = (&args.filter, &args.expression) else { return Ok("*".to_owned()) };
    if filter != "TAG" {
        return Err(BenchError::Usage(format!("-f {filter}: TAG is accepted; filters in SQL are not built yet")));
    }
    let path = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| BenchError::Disk { what: "read", path, source })?;
    println!("Expression: {}", text.trim());
    Ok(text.trim().to_owned())
}

/// Prints a line now and then; never ends.
async fn report(counts: &RefCell<Got>, interval_ms: u64) {
    let snapshot_ms = (SNAPSHOT_NS / 1_000_000).min(interval_ms);
    let mut ticks = tokio::time::interval(Duration::from_millis(snapshot_ms));
    let mut snapshots: VecDeque<Got> = VecDeque::new();
    let mut next_report = Clock::System.now() + interval_ms;
    loop {
        ticks.tick().await;
        let now = Clock::System.now();
        snapshots.push_back(Got { at_ms: now, ..*counts.borrow() });
        if snapshots.len() > SNAPSHOTS {
            snapshots.pop_front();
        }
        if now < next_report {
            continue;
        }
        next_report += interval_ms;
        let (Some(begin), Some(end)) = (snapshots.front(), snapshots.back()) else { continue };
        let messages = end.messages - begin.messages;
        println!(
            "Current Time: {now} TPS: {} FAIL: {} AVG(B2C) RT(ms): {} AVG(S2C) RT(ms): {} MAX(B2C) RT(ms): {} MAX(S2C) RT(ms): {}",
            per_second(messages, end.at_ms - begin.at_ms),
            end.failed - begin.failed,
            mean(end.born_rt_ms - begin.born_rt_ms, messages),
            mean(end.stored_rt_ms - begin.stored_rt_ms, messages),
            end.born_max_ms,
            end.stored_max_ms,
        );
        let mut counts = counts.borrow_mut();
        (counts.born_max_ms, counts.stored_max_ms) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_javas_form() {
        let zone = Zone::default();
        let mut load = Producing {
            templates: Vec::new(),
            depths: Vec::new(),
            limit: 0,
            made: 0,
            first_key: 0,
            epoch_ms: 0,
            slots: Slots::default(),
            paused: VecDeque::new(),
            counts: Sent { at_ms: 0, done: 5000, refused: 2, total_rt_ms: 0, max_rt_ms: 17 },
            refusals: BTreeMap::new(),
            snapshots: VecDeque::new(),
            next_snapshot_ns: 0,
            next_report_ns: 0,
            report_ns: 1,
            zone: zone.clone(),
        };
        assert_eq!(load.complete(), "[Complete] Send Total: 5000 Send Failed: 0 Response Failed: 2");
        load.snapshots.push_back(Sent { at_ms: 1000, done: 500, refused: 0, total_rt_ms: 1000, max_rt_ms: 9 });
        load.snapshots.push_back(Sent { at_ms: 10_000, done: 5000, refused: 2, total_rt_ms: 7750, max_rt_ms: 17 });
        assert_eq!(
            load.line().as_deref(),
            Some("Send TPS: 500 Max RT(ms): 17 Average RT(ms):   1.500 Send Failed: 0 Response Failed: 2")
        );
        assert!(load.complete().starts_with("[Complete] Send Total: 5000 Send TPS: 500 Max RT(ms): 17 "));
        assert_eq!(local(&zone, 1_700_000_000_123), "2023-11-14 22:13:20,123");
        assert_eq!(mean(0, 0), "    NaN");
    }

    #[test]
    fn flags_of_two_letters_have_a_long_spelling() {
        assert_eq!(long_flag("-ak"), Some("--accessKey"));
        assert_eq!(long_flag("-k"), None);
    }
}
