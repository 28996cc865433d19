//! `rocketmq bench`: a load generator and machine probes. Works against any RocketMQ, which it knows only through the
//! wire and `client`; it has no idea what kind of broker answers.

mod engine;
mod frames;
mod histogram;
pub mod java;
mod load;
mod probe;
mod setup;

use std::io;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use thiserror::Error;

use crate::base::keys;
use crate::base::local_time::Zone;
use crate::base::shutdown::Shutdown;
use crate::client::ClientError;
use engine::Engine;
use frames::Template;
use load::{Counted, Cursor, EndToEnd, Marks, Pull, Send, Shape, Window};
use setup::{Setup, Target};

/// Smallest body of `e2e` and `delay`: it carries a mark and a time.
const STAMPED_SIZE_MIN: usize = 16;

/// How often an open loop wakes at most.
const WAKE_NS_MIN: f64 = 50_000.0;

/// How long a broker may hold a pull of `e2e` and `delay`.
const SUSPEND_MS: u64 = 15_000;

/// Load and probes.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// The measurements.
#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// Send messages: closed loop (connections x depth), or at a fixed rate with latency from the intended time
    Send(LoadArgs),
    /// Pull what is in a topic, round and round
    Pull(LoadArgs),
    /// Send at a fixed rate and receive by long polling: latency from the intended send to the receipt
    E2e(LoadArgs),
    /// Send delayed messages at a fixed rate and receive them by long polling: how late each is against when it was due
    Delay(DelayArgs),
    /// Measure the machine: framed echo, positioned writes, fdatasync
    Probe(ProbeArgs),
    /// Java's benchmark/producer.sh: its flags and its lines
    Producer(java::ProducerArgs),
    /// Java's benchmark/consumer.sh: its flags and its lines
    Consumer(java::ConsumerArgs),
}

/// What a measurement takes from its surroundings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Value of `NAMESRV_ADDR`.
    pub name_servers: Option<String>,
    /// The zone in which times are shown.
    pub zone: Zone,
    /// Ends what would go on and on.
    pub stop: Shutdown,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A few lines for people
    #[default]
    Text,
    /// One line of JSON
    Json,
}

/// A load.
#[derive(Clone, Debug, ClapArgs)]
pub struct LoadArgs {
    /// Name servers: HOST:PORT;HOST:PORT
    #[arg(short = 'n', long, value_name = "ADDRS", default_value = "127.0.0.1:9876")]
    pub namesrv: String,
    /// Broker to use without asking a name server: HOST:PORT
    #[arg(long, value_name = "ADDR")]
    pub broker: Option<String>,
    /// Topic; made if it is missing
    #[arg(short = 't', long, default_value = "RocketmqBench")]
    pub topic: String,
    /// Queues of a topic that is made
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub queues: u32,
    /// Connections
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub connections: usize,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub depth: u32,
    /// Bytes of a message's body
    #[arg(long, default_value_t = 1024)]
    pub size: usize,
    /// Messages per second in all; 0 sends as fast as answers come (e2e: 5000)
    #[arg(long, default_value_t = 0.0, value_parser = not_negative)]
    pub rate: f64,
    /// Messages per pull at most
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub batch: u32,
    /// Pull only the last COUNT messages of each queue; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub last: u64,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub seconds: f64,
    /// Seconds of load before
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    pub warmup: f64,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Print BEGIN and END when measuring begins and ends
    #[arg(long)]
    pub marks: bool,
}

/// A load of delayed messages.
#[derive(Clone, Debug, ClapArgs)]
pub struct DelayArgs {
    /// The load; without --rate 2000 messages per second
    #[command(flatten)]
    pub load: LoadArgs,
    /// Delay level of the messages
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub level: u32,
}

/// Probes of the machine.
#[derive(Clone, Debug, ClapArgs)]
pub struct ProbeArgs {
    /// Folder for the disk probes; without it only the echo runs
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Connections of the echo
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub connections: usize,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub depth: u32,
    /// Bytes of a request's body
    #[arg(long, default_value_t = 1024)]
    pub size: usize,
    /// Seconds of echo
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a number of at least 1 is needed".into()),
        Ok(number) => Ok(number),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "accepted is a number from 0 on".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = not_negative(text).ok().filter(|seconds| *seconds >= 0.001);
    seconds.ok_or_else(|| "accepted is a number of seconds from 0.001 on".to_owned())
}

/// The name servers of a list.
fn servers(text: &str) -> Result<Vec<String>, BenchError> {
    if text.trim().is_empty() {
        return Err(BenchError::NoServer);
    }
    keys::servers(text).map_err(|what| BenchError::Usage(format!("name servers {text}: {what}")))
}

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A value makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A call of the preparation failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No name server was given.
    #[error("no name server to ask: give one with -n HOST:PORT, or a broker with --broker HOST:PORT")]
    NoServer,
    /// The topic did not come up.
    #[error("topic {topic} has no route at {namesrv}; check that a broker is registered there and lets topics be made")]
    NoRoute {
        /// Topic.
        topic: String,
        /// Name servers asked.
        namesrv: String,
    },
    /// There is nothing to pull.
    #[error("topic {topic} has no message to pull; send some first: rocketmq bench send -t {topic}")]
    Empty {
        /// Topic.
        topic: String,
    },
    /// No connection.
    #[error("cannot connect to the broker {addr}: {source}; check that it runs and that this address can be reached")]
    Connect {
        /// Broker.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
    /// The broker hung up.
    #[error("the connection to {addr} was lost: {source}; the broker's log says why")]
    Lost {
        /// Broker.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
    /// Every request was refused.
    #[error("all {count} requests failed with code {code}: {header}")]
    Refused {
        /// Requests.
        count: u64,
        /// The most frequent code.
        code: i32,
        /// The first answer's header.
        header: String,
    },
    /// The probe's file.
    #[error("cannot {what} {path}: {source}")]
    Disk {
        /// Step.
        what: &'static str,
        /// File.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The machine refused something.
    #[error("cannot {what}: {source}; check the limits (ulimit -n)")]
    System {
        /// Step.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs a measurement and prints its result to standard output.
pub fn run(args: Args, around: &Surroundings) -> Result<(), BenchError> {
    let (report, output) = match &args.what {
        What::Producer(args) => return java::produce(args, around),
        What::Consumer(args) => return java::consume(args, around),
        What::Send(load) => (send(load)?, load.output),
        What::Pull(load) => (pull(load)?, load.output),
        What::E2e(load) => (end_to_end(load)?, load.output),
        What::Delay(delay) => (delayed(delay)?, delay.load.output),
        What::Probe(probe) => (probe::run(probe)?, probe.output),
    };
    match output {
        Output::Json => println!("{report}"),
        Output::Text => print_text(&report, ""),
    }
    Ok(())
}

fn window(args: &LoadArgs) -> Window {
    let begin = (args.warmup * 1e9) as u64;
    Window { begin, end: begin.saturating_add((args.seconds * 1e9) as u64) }
}

fn shape(args: &LoadArgs, rate: f64) -> Shape {
    Shape { connections: args.connections, depth: args.depth, rate, window: window(args) }
}

fn targets(setup: &Setup, args: &LoadArgs) -> Result<Vec<Target>, BenchError> {
    let namesrv = if args.broker.is_some() { Vec::new() } else { servers(&args.namesrv)? };
    setup.targets(&namesrv, args.broker.as_deref(), &args.topic, args.queues)
}

fn wake_every(rate: f64) -> u64 {
    if rate > 0.0 { (1e9 / rate).max(WAKE_NS_MIN) as u64 } else { 0 }
}

/// The addresses of `count` connections, dealt out to the brokers in turn.
fn dealt<'a>(targets: &'a [Target], count: usize) -> impl Iterator<Item = String> + 'a {
    (0..count).map(|conn| targets[conn % targets.len()].addr.clone())
}

fn send_templates(targets: &[Target], args: &LoadArgs, size: usize, level: u32) -> Vec<Template> {
    // Every broker has at least so many; a request does not name its broker.
    let queues = targets.iter().map(|target| target.write_queues).min().unwrap_or(1).max(1);
    (0..queues).map(|queue| Template::send(&args.topic, queue, size, level)).collect()
}

fn send(args: &LoadArgs) -> Result<Json, BenchError> {
    let targets = targets(&Setup::new()?, args)?;
    let addrs: Vec<String> = dealt(&targets, args.connections).collect();
    let mut engine = Engine::connect(&addrs, wake_every(args.rate))?;
    let templates = send_templates(&targets, args, args.size, 0);
    let mut load = Send::new(templates, shape(args, args.rate), args.size, false, Marks::new(args.marks));
    engine.run(&mut load)?;
    report("send", args, args.rate, &load.counted, Json::Null)
}

fn cursors(
    setup: &Setup,
    targets: &[Target],
    args: &LoadArgs,
    first_conn: usize,
    follow: bool,
) -> Result<Vec<Cursor>, BenchError> {
    let suspend_ms = if follow { SUSPEND_MS } else { 0 };
    let mut ends = Vec::new();
    for target in targets {
        ends.push(setup.ends(target, &args.topic)?);
    }
    let mut cursors = Vec::new();
    let mut readers = vec![0; targets.len()];
    // Following, every queue has one reader, spread over one connection per broker; reading, every connection has
    // `depth` readers, which go through the queues in turn.
    let (conns, each) = if follow { (targets.len(), 0) } else { (args.connections, args.depth as usize) };
    for conn in 0..conns {
        let broker = conn % targets.len();
        let usable: Vec<(usize, u64, u64)> = ends[broker]
            .iter()
            .enumerate()
            .map(|(queue, &(min, max))| {
                (queue, if args.last > 0 { min.max(max.saturating_sub(args.last)) } else { min }, max)
            })
            .filter(|(_, min, max)| follow || max > min)
            .collect();
        let count = if follow { usable.len() } else { each };
        for _ in 0..count {
            if usable.is_empty() {
                return Err(BenchError::Empty { topic: args.topic.clone() });
            }
            let (queue, min, max) = usable[readers[broker] % usable.len()];
            readers[broker] += 1;
            let template = Template::pull(&args.topic, queue as u32, args.batch, suspend_ms);
            let (start, end) = if follow { (max, u64::MAX) } else { (min, max) };
            cursors.push(Cursor { template, conn: first_conn + conn, start, end, next: start });
        }
    }
    Ok(cursors)
}

fn pull(args: &LoadArgs) -> Result<Json, BenchError> {
    let setup = Setup::new()?;
    let targets = targets(&setup, args)?;
    let cursors = cursors(&setup, &targets, args, 0, false)?;
    let addrs: Vec<String> = dealt(&targets, args.connections).collect();
    let mut engine = Engine::connect(&addrs, 0)?;
    let mut load = Pull::new(cursors, window(args), false, Marks::new(args.marks));
    engine.run(&mut load)?;
    report("pull", args, 0.0, &load.counted, Json::Null)
}

fn end_to_end(args: &LoadArgs) -> Result<Json, BenchError> {
    let rate = if args.rate > 0.0 { args.rate } else { 5000.0 };
    let setup = Setup::new()?;
    let targets = targets(&setup, args)?;
    let load = follow(&setup, &targets, args, rate, 0, 0)?;
    let received = &load.pull.counted.end_to_end;
    let lost = load.send.counted.messages.saturating_sub(received.count());
    let extra = json!({ "end_to_end_us": received.summary(), "not_received": lost });
    report("e2e", args, rate, &load.send.counted, extra)
}

fn delayed(args: &DelayArgs) -> Result<Json, BenchError> {
    let (load, level) = (&args.load, args.level);
    let rate = if load.rate > 0.0 { load.rate } else { 2000.0 };
    let setup = Setup::new()?;
    let targets = targets(&setup, load)?;
    // The first one's word; brokers of one cluster are configured alike.
    let delay_ms = targets.first().map_or(Err(BenchError::NoServer), |target| setup.delay_ms(target, level))?;
    let done = follow(&setup, &targets, load, rate, level, delay_ms)?;
    let received = &done.pull.counted.end_to_end;
    let lost = done.send.counted.messages.saturating_sub(received.count());
    let extra = json!({
        "level": level,
        "delay_ms": delay_ms,
        "lateness_us": received.summary(),
        "early": done.pull.counted.early,
        "not_received": lost,
    });
    report("delay", load, rate, &done.send.counted, extra)
}

/// Sends at a rate, delayed by a level above 0, while every queue is followed; until all is received.
fn follow(
    setup: &Setup,
    targets: &[Target],
    args: &LoadArgs,
    rate: f64,
    level: u32,
    delay_ms: u64,
) -> Result<EndToEnd, BenchError> {
    if args.size < STAMPED_SIZE_MIN {
        return Err(BenchError::Usage(format!("--size {}: at least {STAMPED_SIZE_MIN} are needed", args.size)));
    }
    let cursors = cursors(setup, targets, args, args.connections, true)?;
    let addrs: Vec<String> =
        dealt(targets, args.connections).chain(targets.iter().map(|target| target.addr.clone())).collect();
    let mut engine = Engine::connect(&addrs, wake_every(rate))?;
    let templates = send_templates(targets, args, args.size, level);
    let send = Send::new(templates, shape(args, rate), args.size, true, Marks::new(args.marks));
    let pull = Pull::new(cursors, window(args), true, Marks::new(false)).delayed(delay_ms * 1_000_000);
    let mut load = EndToEnd::new(send, pull);
    engine.run(&mut load)?;
    Ok(load)
}

fn report(kind: &str, args: &LoadArgs, rate: f64, counted: &Counted, extra: Json) -> Result<Json, BenchError> {
    if counted.messages == 0
        && let Some((code, count)) = counted.refused.iter().max_by_key(|(_, count)| **count)
    {
        let header = counted.first_refusal.clone().unwrap_or_default();
        return Err(BenchError::Refused { count: *count, code: *code, header });
    }
    let refused: std::collections::BTreeMap<String, u64> =
        counted.refused.iter().map(|(code, count)| (code.to_string(), *count)).collect();
    let mut report = json!({
        "kind": kind,
        "topic": args.topic,
        "connections": args.connections,
        "depth": args.depth,
        "size": args.size,
        "rate_wanted": rate,
        "seconds": args.seconds,
        "messages": counted.messages,
        "answers": counted.answers,
        "per_second": (counted.messages as f64 / args.seconds).round(),
        "mb_per_second": (counted.bytes as f64 / args.seconds / 1e5).round() / 10.0,
        "latency_us": counted.latency.summary(),
        "refused": refused,
        "late": counted.late,
    });
    if let Some(first) = &counted.first_refusal {
        report["first_refusal"] = first.as_str().into();
    }
    if let Json::Object(extra) = extra {
        for (name, value) in extra {
            report[name] = value;
        }
    }
    Ok(report)
}

fn print_text(json: &Json, indent: &str) {
    let Json::Object(fields) = json else { return println!("{indent}{json}") };
    for (name, value) in fields {
        match value {
            Json::Object(inner) if inner.values().any(Json::is_object) => {
                println!("{indent}{name}");
                print_text(value, &format!("{indent}  "));
            }
            Json::Object(inner) => {
                let line: Vec<String> = inner.iter().map(|(name, value)| format!("{name} {value}")).collect();
                println!("{indent}{name:<18} {}", line.join(", "));
            }
            Json::String(text) => println!("{indent}{name:<18} {text}"),
            _ => println!("{indent}{name:<18} {value}"),
        }
    }
}
