//! kill −9 under load, again and again on one store: whatever was acknowledged is read back at its returned queue offset
//! with its bytes and in its order. Half of the kills are aimed at a moment by watching the store's files.
//!
//! `KILLS` says how often (default 6). With `KILL_COPIES=DIR` every tenth store is copied to `DIR/N/store` as the kill left
//! it, with `DIR/N/expected.tsv` (queue, offset, CRC-32 and length of each acknowledged body) for a Java broker to
//! open (`tests/interop`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rocketmq::wire::codes::{request, response};
use rocketmq::wire::command::{self, Command, Value};
use rocketmq::wire::frame::{self, FRAME_LEN_MAX, Serialization};
use rocketmq::wire::message;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};

use crate::harness::{Folder, Ports, READY, Server};

const TOPIC: &str = "Kill";
/// Connections that send, each to a queue of its own.
const SENDERS: usize = 4;
/// Sends in flight per connection.
const DEPTH: usize = 32;
/// Acknowledged sends per second that the load has to reach.
const RATE_MIN: f64 = 5_000.0;
/// Small files, so that every second has rolls and checkpoints.
const CONF: &str = "brokerName=broker-a\nbrokerIP1=127.0.0.1\nmappedFileSizeCommitLog=1048576\n\
    mappedFileSizeConsumeQueue=20000\nmaxHashSlotNum=1000\nmaxIndexNum=4000\nflushIntervalConsumeQueue=100\n\
    flushConsumerOffsetInterval=50\n";

/// What a kill waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Aim {
    /// Nothing.
    Anytime,
    /// The first write to another file of the commit log.
    Roll,
    /// The checkpoint or what recovery is told beside it.
    Checkpoint,
    /// A file of a consume queue.
    Queue,
    /// Topics, groups or consumer offsets.
    StateFile,
}

impl Aim {
    fn of(kill: usize) -> Aim {
        const AIMS: [Aim; 4] = [Aim::Roll, Aim::Checkpoint, Aim::Queue, Aim::StateFile];
        if kill.is_multiple_of(2) { Aim::Anytime } else { AIMS[kill / 2 % AIMS.len()] }
    }

    /// The folders to watch.
    fn folders(self, store: &Path) -> Vec<PathBuf> {
        match self {
            Aim::Anytime => Vec::new(),
            Aim::Roll => vec![store.join("commitlog")],
            Aim::Checkpoint => vec![store.to_owned()],
            Aim::Queue => (0..SENDERS).map(|queue| store.join(format!("consumequeue/{TOPIC}/{queue}"))).collect(),
            Aim::StateFile => vec![store.join("config")],
        }
    }
}

/// What all kills together saw.
#[derive(Debug, Default)]
struct Counts {
    kills: BTreeMap<Aim, usize>,
    missed_aims: usize,
    acknowledged: usize,
    read_back: usize,
    unacknowledged_kept: usize,
    topics: usize,
    seconds_of_load: f64,
    slowest_start: Duration,
    copies: usize,
}

/// An acknowledged message: its number among those of its sender in its round, and where it is.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    round: usize,
    sender: usize,
    number: usize,
    offset: i64,
}

#[test]
fn whatever_was_acknowledged_survives_kill_9() {
    let kills: usize = std::env::var("KILLS").ok().map_or(6, |kills| kills.parse().expect("KILLS is a number"));
    let copies = std::env::var_os("KILL_COPIES").map(PathBuf::from);
    let folder = Folder::new("kill");
    let conf = folder.file("broker.conf", CONF);
    let store = folder.join("store");
    let mut counts = Counts::default();
    let mut all: Vec<Acknowledged> = Vec::new();
    let mut topics: Vec<String> = Vec::new();
    let mut commits_sent = 0;

    for kill in 0..kills {
        let port = Ports::free().broker;
        let server = start(&folder, &conf, &store, port, &mut counts);
        if kill > 0 {
            // What the kill before this start left, before anything new is stored.
            let last: Vec<_> = all.iter().filter(|acknowledged| acknowledged.round + 1 == kill).copied().collect();
            check(port, &last, &mut counts);
            check_topics(port, &topics);
            check_offset(port, commits_sent);
        }
        let first = call(&mut connect(port), &send(TOPIC, 0, 0, &body(kill, 0, 0)));
        assert_eq!(first.0, response::SUCCESS, "{}", first.1);

        let aim = Aim::of(kill);
        let began = Instant::now();
        let senders: Vec<_> = (0..SENDERS).map(|sender| spawn_sender(port, kill, sender)).collect();
        let maker = spawn_topic_maker(port, kill);
        let committer = spawn_committer(port, commits_sent);
        let hit = wait_for(aim, &store);
        counts.seconds_of_load += began.elapsed().as_secs_f64();
        server.kill();

        *counts.kills.entry(aim).or_default() += 1;
        counts.missed_aims += usize::from(!hit);
        for sender in senders {
            let acknowledged = sender.join().expect("a sender does not panic");
            counts.acknowledged += acknowledged.len();
            for pair in acknowledged.windows(2) {
                assert!(pair[0].offset < pair[1].offset, "the order of one connection is kept: {pair:?}");
            }
            all.extend(acknowledged);
        }
        topics.extend(maker.join().expect("the topic maker does not panic"));
        commits_sent = committer.join().expect("the committer does not panic");
        assert_files_are_whole(&store);
        if let Some(copies) = copies.as_ref().filter(|_| kill % 10 == 9) {
            copy(&store, &copies.join(kill.to_string()), &all);
            counts.copies += 1;
        }
    }

    let port = Ports::free().broker;
    let server = start(&folder, &conf, &store, port, &mut counts);
    counts.read_back = 0;
    counts.unacknowledged_kept = 0;
    check(port, &all, &mut counts);
    check_topics(port, &topics);
    server.stop();
    counts.topics = topics.len();
    let rate = counts.acknowledged as f64 / counts.seconds_of_load;
    println!("{counts:#?}\n{rate:.0} acknowledged sends per second of load");
    assert_eq!(counts.read_back, counts.acknowledged);
    // Asked for where it runs alone: beside other tests the load is what they leave over.
    let alone = std::env::var_os("KILLS").is_some();
    assert!(rate >= RATE_MIN || !alone, "{rate:.0} acknowledged sends per second are too few for this to mean much");
}

fn start(folder: &Folder, conf: &Path, store: &Path, port: u16, counts: &mut Counts) -> Server {
    let began = Instant::now();
    let listen = format!("127.0.0.1:{port}");
    let args = ["broker", "-c", &conf.to_string_lossy(), "--data", &store.to_string_lossy(), "--listen", &listen];
    // After a kill recovery says what it did.
    let server = Server::spawn(folder.path(), &args).announce(" WARN ");
    server.wait_for(READY);
    counts.slowest_start = counts.slowest_start.max(began.elapsed());
    server
}

/// All bytes in turn: copied, since it is the broker that is to be kept busy, not those who load it.
static FILLER: [u8; 1024] = {
    let mut filler = [0; 1024];
    let mut at = 0;
    while at < filler.len() {
        filler[at] = at as u8;
        at += 1;
    }
    filler
};

/// The body of a message, to be made again when it is read: a text that says whose it is, and a filler of varying length.
fn body(round: usize, sender: usize, number: usize) -> Vec<u8> {
    let mut text = format!("{round} {sender} {number} ").into_bytes();
    let len = 40 + number.wrapping_mul(2_654_435_761) % 600;
    let from = (round + 3 * sender + 7 * number) % 256;
    text.extend_from_slice(&FILLER[from..from + len]);
    text
}

/// Whose a body says it is, if all of its bytes are as they should be.
fn parse_body(found: &[u8]) -> Option<(usize, usize, usize)> {
    let mut parts = found.splitn(4, |byte| *byte == b' ').map(|part| std::str::from_utf8(part).ok()?.parse().ok());
    let (round, sender, number) = (parts.next()??, parts.next()??, parts.next()??);
    (body(round, sender, number) == found).then_some((round, sender, number))
}

fn send(topic: &str, queue: usize, opaque: i32, body: &[u8]) -> BytesMut {
    let ext = [
        ("a", Value::Str("P")),
        ("b", Value::Str(topic)),
        ("c", Value::Str("TBW102")),
        ("d", Value::I64(SENDERS as i64)),
        ("e", Value::I64(queue as i64)),
        ("f", Value::I64(0)),
        ("g", Value::I64(1_700_000_000_000)),
        ("h", Value::I64(0)),
        ("i", Value::Str("TAGS\u{1}TagA\u{2}KEYS\u{1}k\u{2}")),
        ("j", Value::I64(0)),
        ("k", Value::Bool(false)),
        ("m", Value::Bool(false)),
    ];
    write(request::SEND_MESSAGE_V2, opaque, &ext, body)
}

fn write(code: i32, opaque: i32, ext: &[(&str, Value<'_>)], body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    command::write_request(&mut frame, Serialization::Json, code, opaque, 0, ext, body);
    frame
}

/// A connection and what was read of its next answer.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

fn connect(port: u16) -> Connection {
    try_connect(port).expect("the broker listens")
}

/// `None` when the broker is gone: on a busy machine it may have been killed before a thread came so far.
fn try_connect(port: u16) -> Option<Connection> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    Some(Connection { stream, received: Vec::new() })
}

impl Connection {
    /// The next answer, `None` when the broker is gone.
    fn answer<T>(&mut self, read: impl FnOnce(&Command<'_>) -> T) -> Option<T> {
        let mut buf = [0; 65536];
        loop {
            if let Some((frame, len)) = frame::parse(&self.received, FRAME_LEN_MAX).expect("sound frames") {
                let answer = read(&Command::parse(&frame).expect("a sound header"));
                self.received.drain(..len);
                return Some(answer);
            }
            match self.stream.read(&mut buf) {
                Ok(0) => return None,
                Ok(len) => self.received.extend_from_slice(&buf[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer within 30 s"),
                Err(_) => return None,
            }
        }
    }
}

/// One request: code, remark, fields and body of its answer.
type Said = (i32, String, BTreeMap<String, String>, Vec<u8>);

fn call(connection: &mut Connection, frame: &[u8]) -> Said {
    connection.stream.write_all(frame).expect("the broker reads");
    let answer = connection.answer(|answer| {
        let ext = answer.ext.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        (answer.code, answer.remark.as_deref().unwrap_or_default().to_owned(), ext, answer.body.to_vec())
    });
    answer.expect("an answer")
}

/// Sends to one queue, `DEPTH` at a time, until the broker is gone; returns what was acknowledged.
fn spawn_sender(port: u16, round: usize, sender: usize) -> JoinHandle<Vec<Acknowledged>> {
    std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        let Some(mut connection) = try_connect(port) else { return acknowledged };
        // Number 0 of sender 0 is the round's first message.
        let mut number = 1;
        loop {
            let mut burst = BytesMut::new();
            for next in number..number + DEPTH {
                burst.extend_from_slice(&send(TOPIC, sender, next as i32, &body(round, sender, next)));
            }
            let written = connection.stream.write_all(&burst);
            for _ in 0..DEPTH {
                let answer = connection.answer(|answer| {
                    assert_eq!(answer.code, response::SUCCESS, "{:?}", answer.remark);
                    (answer.opaque, answer.ext.i64("queueOffset").expect("a queue offset"))
                });
                let Some((opaque, offset)) = answer else { return acknowledged };
                acknowledged.push(Acknowledged { round, sender, number: opaque as usize, offset });
            }
            if written.is_err() {
                return acknowledged;
            }
            number += DEPTH;
        }
    })
}

/// Sends the first message of ever new topics until the broker is gone; returns those that were acknowledged.
fn spawn_topic_maker(port: u16, round: usize) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut made = Vec::new();
        let Some(mut connection) = try_connect(port) else { return made };
        // A bound, since each start reads them all.
        for number in 0..20 {
            let topic = format!("Kill_{round}_{number}");
            if connection.stream.write_all(&send(&topic, 0, 0, topic.as_bytes())).is_err() {
                return made;
            }
            match connection.answer(|answer| answer.code) {
                Some(code) => assert_eq!(code, response::SUCCESS),
                None => return made,
            }
            made.push(topic);
        }
        // Until the kill.
        connection.answer(|_| ());
        made
    })
}

/// Commits ever larger offsets of a group until the broker is gone; returns the last that was sent.
fn spawn_committer(port: u16, from: i64) -> JoinHandle<i64> {
    std::thread::spawn(move || {
        let Some(mut connection) = try_connect(port) else { return from };
        for offset in from + 1.. {
            let ext = [
                ("consumerGroup", Value::Str("KillGroup")),
                ("topic", Value::Str(TOPIC)),
                ("queueId", Value::I64(1)),
                ("commitOffset", Value::I64(offset)),
            ];
            // The group is made by a look-up.
            if offset == from + 1 {
                let asked = connection.stream.write_all(&pull("KillGroup", TOPIC, 1, 0));
                if asked.is_err() || connection.answer(|_| ()).is_none() {
                    return offset;
                }
            }
            if connection.stream.write_all(&write(request::UPDATE_CONSUMER_OFFSET, 0, &ext, b"")).is_err()
                || connection.answer(|answer| assert_eq!(answer.code, response::SUCCESS)).is_none()
            {
                return offset;
            }
        }
        unreachable!("there are more numbers than commits")
    })
}

/// Waits for the moment to kill; false when the aim was not seen within ten seconds.
fn wait_for(aim: Aim, store: &Path) -> bool {
    // The load has to be under way.
    std::thread::sleep(Duration::from_millis(100 + fastrand::u64(0..200)));
    if aim == Aim::Anytime {
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..500)));
        return true;
    }
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("inotify");
    let deadline = Instant::now() + Duration::from_secs(10);
    for folder in aim.folders(store) {
        let flags = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO;
        while inotify::add_watch(&watch, &folder, flags).is_err() {
            assert!(Instant::now() < deadline, "{} never comes to be", folder.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let mut log_file = None;
    let hit = loop {
        let Some(name) = next_event(&watch, deadline) else { break false };
        match aim {
            Aim::Checkpoint if name == "abort" || name.is_empty() => {}
            // The first write to a file that is not the one before.
            Aim::Roll if log_file.as_ref().is_none_or(|file| *file == name) => log_file = Some(name),
            _ => break true,
        }
    };
    // At the write itself, or a moment later.
    let pause = Duration::from_micros([0, 0, 50, 200, 1000, 3000][fastrand::usize(0..6)]);
    let until = Instant::now() + pause;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    hit
}

/// The file name of the next event, `None` at the deadline.
fn next_event(watch: &OwnedFd, deadline: Instant) -> Option<String> {
    let mut buf = [MaybeUninit::uninit(); 4096];
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        rustix::event::poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&timeout)).expect("poll");
        match inotify::Reader::new(watch, &mut buf).next() {
            Ok(event) if !event.events().contains(ReadFlags::ISDIR) => {
                return Some(event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
            }
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::AGAIN => {}
            Err(error) => panic!("inotify: {error}"),
        }
    }
}

fn pull(group: &str, topic: &str, queue: usize, offset: i64) -> BytesMut {
    write(request::PULL_MESSAGE, 0, &crate::session::pull(group, topic, queue as i64, offset, 32, 0), b"")
}

/// Reads everything from the first to the last of `acknowledged`, queue by queue: each is at its offset with its bytes, and
/// whatever lies between is whole and ours.
fn check(port: u16, acknowledged: &[Acknowledged], counts: &mut Counts) {
    let mut connection = connect(port);
    for queue in 0..SENDERS {
        let of_queue: BTreeMap<i64, Acknowledged> =
            acknowledged.iter().filter(|it| it.sender == queue).map(|it| (it.offset, *it)).collect();
        let (Some((first, _)), Some((last, _))) = (of_queue.first_key_value(), of_queue.last_key_value()) else {
            continue;
        };
        let (mut next, last) = (*first, *last);
        let mut found = 0;
        while next <= last {
            let (code, remark, _, bytes) = call(&mut connection, &pull("KillReader", TOPIC, queue, next));
            assert_eq!(code, response::SUCCESS, "queue {queue} at {next} of {last}: {remark}");
            for record in message::records(&bytes) {
                let record = record.expect("a whole record");
                record.check_crc().expect("the stored checksum");
                assert_eq!((record.topic(), record.queue_offset()), (TOPIC, next), "queue {queue}");
                let whose = parse_body(record.body());
                assert!(whose.is_some(), "foreign bytes in queue {queue} at {next}");
                match of_queue.get(&next) {
                    Some(it) => {
                        assert_eq!(whose, Some((it.round, it.sender, it.number)), "queue {queue} at {next}");
                        found += 1;
                    }
                    None => counts.unacknowledged_kept += 1,
                }
                next += 1;
            }
        }
        assert_eq!(found, of_queue.len(), "queue {queue}");
        counts.read_back += found;
    }
}

fn check_topics(port: u16, topics: &[String]) {
    let mut connection = connect(port);
    for topic in topics {
        let (code, remark, _, bytes) = call(&mut connection, &pull("KillReader", topic, 0, 0));
        assert_eq!(code, response::SUCCESS, "{topic}: {remark}");
        let record = message::records(&bytes).next().expect("a record").expect("a whole record");
        assert_eq!(record.body(), topic.as_bytes());
    }
}

/// The stored offset is one that was committed, or none.
fn check_offset(port: u16, sent: i64) {
    let ext = [("consumerGroup", Value::Str("KillGroup")), ("topic", Value::Str(TOPIC)), ("queueId", Value::I64(1))];
    let (code, _, ext, _) = call(&mut connect(port), &write(request::QUERY_CONSUMER_OFFSET, 0, &ext, b""));
    if code == response::SUCCESS {
        let offset: i64 = ext["offset"].parse().expect("a number");
        assert!((0..=sent).contains(&offset), "{offset} was never committed, {sent} was the last");
    }
}

/// Java starts with no log or queue file of another length. Where the file system has files without a name, no kill leaves
/// one.
fn assert_files_are_whole(store: &Path) {
    if rustix::fs::open(store, OFlags::TMPFILE | OFlags::RDWR, Mode::RUSR | Mode::WUSR).is_err() {
        return;
    }
    let mut folders = vec![(store.join("commitlog"), 1_048_576), (store.join("consumequeue"), 20_000)];
    while let Some((folder, len)) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the store").flatten() {
            let meta = entry.metadata().expect("it is there");
            match meta.is_dir() {
                true => folders.push((entry.path(), len)),
                false => assert_eq!(meta.len(), len, "{}", entry.path().display()),
            }
        }
    }
}

fn copy(store: &Path, to: &Path, acknowledged: &[Acknowledged]) {
    fs::create_dir_all(to).expect("KILL_COPIES is writable");
    let mut expected = String::new();
    for it in acknowledged {
        let body = body(it.round, it.sender, it.number);
        let (crc, len) = (crc32fast::hash(&body), body.len());
        writeln!(expected, "{}\t{}\t{crc}\t{len}", it.sender, it.offset).expect("writing to a string");
    }
    fs::write(to.join("expected.tsv"), expected).expect("KILL_COPIES is writable");
    let copied = Program::new("cp").args(["-r", "--sparse=always"]).arg(store).arg(to.join("store")).status();
    assert!(copied.expect("cp exists").success());
}
