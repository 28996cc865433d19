//! Stores as kill -9 left them, opened by Java's brokers of 4.9.7 and 5.3.3 in turn: each acknowledged message is served
//! at its queue offset with its bytes. `KILL_COPIES` says where the kill loop (`tests/it/kill.rs`) put them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::BytesMut;
use rocketmq::wire::codes::request;
use rocketmq::wire::command::{self, Command as Answer, Value};
use rocketmq::wire::frame::{self, FRAME_LEN_MAX, Serialization};
use rocketmq::wire::message::{self, RecordView};

use crate::peers::{Folder, JavaServer, PATIENCE};

/// Sizes that the kill loop's broker was given.
const SIZES: [(&str, &str); 4] = [
    ("mappedFileSizeCommitLog", "1048576"),
    ("mappedFileSizeConsumeQueue", "20000"),
    ("maxHashSlotNum", "1000"),
    ("maxIndexNum", "4000"),
];

#[test]
#[ignore = "opens what `KILLS=30 KILL_COPIES=DIR cargo test --test it kill` left; .ci/run does both"]
fn java_serves_what_was_acknowledged_before_a_kill() {
    let copies = std::env::var_os("KILL_COPIES").map(PathBuf::from).expect("KILL_COPIES names a folder");
    let mut found: Vec<PathBuf> =
        fs::read_dir(&copies).expect("KILL_COPIES is a folder").flatten().map(|entry| entry.path()).collect();
    found.sort();
    assert!(!found.is_empty(), "{} holds no copy", copies.display());
    for (index, copy) in found.iter().enumerate() {
        let version = ["4.9.7", "5.3.3"][index % 2];
        serves(version, copy);
    }
}

fn serves(version: &str, copy: &Path) {
    let folder = Folder::new("killed");
    let store = folder.path().join("store");
    let copied = Command::new("cp").args(["-r", "--sparse=always"]).arg(copy.join("store")).arg(&store).status();
    assert!(copied.expect("cp exists").success());
    let namesrv = JavaServer::namesrv(version, folder.path(), "namesrv");
    let broker = JavaServer::broker(version, folder.path(), "broker", &store, &namesrv.address.to_string(), &SIZES);
    let mut reader = Reader::connect(broker.address);
    let expected = fs::read_to_string(copy.join("expected.tsv")).expect("the kill loop wrote it");
    let mut wanted: BTreeMap<i64, BTreeMap<i64, (u32, usize)>> = BTreeMap::new();
    for line in expected.lines() {
        let fields: Vec<i64> = line.split('\t').map(|field| field.parse().expect("a number")).collect();
        let [queue, offset, crc, len] = fields[..] else { panic!("{line:?} has not four fields") };
        wanted.entry(queue).or_default().insert(offset, (crc as u32, len as usize));
    }
    let mut count = 0;
    for (queue, of_queue) in &wanted {
        let last = *of_queue.last_key_value().expect("a queue with messages").0;
        let mut next = *of_queue.first_key_value().expect("a queue with messages").0;
        while next <= last {
            let records = reader.pull(*queue, next);
            assert!(!records.is_empty(), "{version}: nothing at {next} of queue {queue}");
            for (offset, crc, len) in records {
                assert_eq!(offset, next, "{version}: queue {queue}");
                if let Some(wanted) = of_queue.get(&offset) {
                    assert_eq!((crc, len), *wanted, "{version} on {}: queue {queue} at {offset}", copy.display());
                    count += 1;
                }
                next += 1;
            }
        }
    }
    let expected = wanted.values().map(BTreeMap::len).sum::<usize>();
    assert_eq!(count, expected, "{version} on {}", copy.display());
    println!("{version} serves the {count} acknowledged messages of {}", copy.display());
}

/// Pulls in bare frames: a store of 100,000 messages is read in seconds, whoever serves it.
struct Reader {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Reader {
    fn connect(address: SocketAddr) -> Reader {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Reader { stream, received: Vec::new() }
    }

    /// The bodies from `offset` on.
    fn pull(&mut self, queue: i64, offset: i64) -> Vec<Body> {
        let ext = [
            ("consumerGroup", Value::Str("reading_group")),
            ("topic", Value::Str("Kill")),
            ("queueId", Value::I64(queue)),
            ("queueOffset", Value::I64(offset)),
            ("maxMsgNums", Value::I64(32)),
            ("sysFlag", Value::I64(4)),
            ("commitOffset", Value::I64(0)),
            ("suspendTimeoutMillis", Value::I64(0)),
            ("subscription", Value::Str("*")),
            ("subVersion", Value::I64(0)),
            ("expressionType", Value::Str("TAG")),
        ];
        let mut frame = BytesMut::new();
        command::write_request(&mut frame, Serialization::Json, request::PULL_MESSAGE, 1, 0, &ext, b"");
        self.stream.write_all(&frame).expect("the broker reads");
        let mut buf = [0; 65536];
        loop {
            if let Some((len, records)) = records_of(&self.received) {
                self.received.drain(..len);
                return records;
            }
            let len = self.stream.read(&mut buf).expect("an answer");
            assert!(len > 0, "the broker closed the connection");
            self.received.extend_from_slice(&buf[..len]);
        }
    }
}

/// Queue offset, CRC-32 and length of a body.
type Body = (i64, u32, usize);

/// The first answer of `received`: its length, and its records as `Reader::pull` tells them.
fn records_of(received: &[u8]) -> Option<(usize, Vec<Body>)> {
    let (frame, len) = frame::parse(received, FRAME_LEN_MAX).expect("sound frames")?;
    let answer = Answer::parse(&frame).expect("a sound header");
    assert_eq!(answer.code, 0, "{:?}", answer.remark);
    let read = |record: Result<RecordView<'_>, _>| {
        let record = record.expect("a whole record");
        (record.queue_offset(), crc32fast::hash(record.body()), record.body().len())
    };
    Some((len, message::records(answer.body).map(read).collect()))
}
