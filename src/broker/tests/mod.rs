//! A whole broker in this process, spoken to over loopback with raw frames: what a client sees of sends, pulls and held
//! pulls, with one loop and with four.

mod delays;
mod faults;
mod pulls;
mod relays;
mod resize;
mod sends;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use crate::base::clock::Clock;
use crate::base::disk::{Disk, RealDisk};
use crate::net::control::ControlRuntime;
use crate::net::limits::Limits;
use crate::store;
use crate::wire::codes::request;
use crate::wire::command::{self, Command, FLAG_ONEWAY, Value};
use crate::wire::frame::{self, FRAME_LEN_MAX, Serialization};
use crate::wire::message;

use super::config::Config;
use super::server::{Bound, Running};
use super::state_file::scratch::{self, Scratch};

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both shapes that correctness is asked of.
pub(super) const LOOPS: [usize; 2] = [1, 4];

/// A running broker; stopped cleanly when dropped.
pub(super) struct TestBroker {
    running: Option<Running>,
    control: Option<ControlRuntime>,
    dir: Scratch,
}

pub(super) struct Options {
    pub loops: usize,
    pub sync_flush: bool,
    pub configure: fn(&mut Config),
    /// The delay levels, milliseconds; empty for Java's.
    pub delay_levels_ms: Vec<u64>,
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            loops: 1,
            sync_flush: false,
            configure: |_| {},
            delay_levels_ms: Vec::new(),
            disk: Arc::new(RealDisk),
        }
    }
}

impl TestBroker {
    pub fn start(name: &str, options: Options) -> TestBroker {
        TestBroker::start_in(scratch::dir(&format!("{name}-{}", options.loops)), options)
    }

    /// A broker over what is in `dir`.
    pub fn start_in(dir: Scratch, options: Options) -> TestBroker {
        let mut config = Config {
            store_path_root_dir: dir.to_path_buf(),
            listen_port: 0,
            bind_ip: "127.0.0.1".parse().unwrap(),
            loops: options.loops,
            ..Config::default()
        };
        (options.configure)(&mut config);
        let mut store = store::Config::new(&*dir);
        store.log_file_size = 1 << 20;
        store.queue_file_size = 20_000;
        store.index_slots = 1000;
        store.index_entries = 4000;
        if !options.delay_levels_ms.is_empty() {
            store.delay_levels_ms = options.delay_levels_ms;
        }
        if options.sync_flush {
            store.flush_mode = store::FlushMode::Sync;
        }
        let control = ControlRuntime::start().unwrap();
        let bound = Bound::bind(config, Limits::default()).unwrap();
        let opened = bound.open(store, options.disk, Clock::System).unwrap();
        let running = opened.start(control.control()).unwrap();
        TestBroker { running: Some(running), control: Some(control), dir }
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn connect(&self) -> TestClient {
        TestClient::connect(self.running().addrs()[0])
    }

    /// Stops it cleanly and gives its directory back.
    pub fn stop(mut self) -> Scratch {
        self.end();
        self.dir.clone()
    }

    /// Ends a broker that cannot close its store cleanly.
    pub fn crash(mut self) {
        let running = self.running.take().unwrap();
        assert!(running.stop().is_err(), "a poisoned store is not closed cleanly");
        self.end();
    }

    fn end(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().unwrap();
        }
        if let Some(control) = self.control.take() {
            control.shutdown(Duration::from_secs(5));
        }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// An answer on its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub code: i32,
    pub opaque: i32,
    pub remark: String,
    pub ext: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn get(&self, name: &str) -> &str {
        self.ext.get(name).map_or("", String::as_str)
    }

    pub fn number(&self, name: &str) -> i64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name} in {self:?}"))
    }

    /// The messages of a pull: queue offset, body.
    pub fn messages(&self) -> Vec<(i64, String)> {
        message::records(&self.body)
            .map(|record| record.unwrap())
            .inspect(|record| record.check_crc().unwrap())
            .map(|record| (record.queue_offset(), String::from_utf8_lossy(record.body()).into_owned()))
            .collect()
    }
}

/// A connection that speaks raw frames.
pub(super) struct TestClient {
    stream: TcpStream,
    received: BytesMut,
    pub serialization: Serialization,
}

/// The first frame of `bytes`: its length, and what it says if it is an answer.
fn parse_answer(bytes: &[u8]) -> Option<(usize, Option<Answer>)> {
    let (frame, len) = frame::parse(bytes, FRAME_LEN_MAX).unwrap()?;
    let command = Command::parse(&frame).unwrap();
    let answer = Answer {
        code: command.code,
        opaque: command.opaque,
        remark: command.remark.as_deref().unwrap_or_default().to_owned(),
        ext: command.ext.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: command.body.to_vec(),
    };
    Some((len, command.is_response().then_some(answer)))
}

static OPAQUE: AtomicI32 = AtomicI32::new(1);

impl TestClient {
    pub fn connect(addr: SocketAddr) -> TestClient {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        TestClient { stream, received: BytesMut::new(), serialization: Serialization::Json }
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn frame(&self, code: i32, flag: i32, ext: &[(&str, &str)], body: &[u8]) -> (i32, BytesMut) {
        let opaque = OPAQUE.fetch_add(1, Ordering::Relaxed);
        let ext: Vec<_> = ext.iter().map(|(name, value)| (*name, Value::Str(value))).collect();
        let mut frame = BytesMut::new();
        command::write_request(&mut frame, self.serialization, code, opaque, flag, &ext, body);
        (opaque, frame)
    }

    /// Sends a request and returns its number.
    pub fn send(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) -> i32 {
        let (opaque, frame) = self.frame(code, 0, ext, body);
        self.write(&frame);
        opaque
    }

    pub fn oneway(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) {
        let (_, frame) = self.frame(code, FLAG_ONEWAY, ext, body);
        self.write(&frame);
    }

    /// The next answer; panics when none comes within `PATIENCE`.
    pub fn receive(&mut self) -> Answer {
        self.try_receive(PATIENCE).expect("an answer")
    }

    /// The next answer, if one comes within `wait`.
    pub fn try_receive(&mut self, wait: Duration) -> Option<Answer> {
        let until = Instant::now() + wait;
        loop {
            if let Some((len, answer)) = parse_answer(&self.received) {
                self.received.advance(len);
                match answer {
                    Some(answer) => return Some(answer),
                    // A notice of the broker's own.
                    None => continue,
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut buf = [0; 65536];
            match self.stream.read(&mut buf) {
                Ok(0) => panic!("the broker closed the connection"),
                Ok(len) => self.received.extend_from_slice(&buf[..len]),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next request of the broker's own with one of these codes, as (opaque, code, fields, body); others are passed over.
    pub fn next_request(&mut self, codes: &[i32]) -> (i32, i32, BTreeMap<String, String>, Vec<u8>) {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            loop {
                let bytes = self.received.clone();
                let Some((frame, len)) = frame::parse(&bytes, FRAME_LEN_MAX).unwrap() else { break };
                let command = Command::parse(&frame).unwrap();
                let fields = command.ext.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                let found = (command.opaque, command.code, fields, command.body.to_vec());
                let wanted = !command.is_response() && codes.contains(&command.code);
                self.received.advance(len);
                if wanted {
                    return found;
                }
            }
            let mut buf = [0; 65536];
            let len = self.stream.read(&mut buf).unwrap();
            assert!(len > 0, "the broker closed the connection");
            self.received.extend_from_slice(&buf[..len]);
        }
    }

    /// Answers a request of the broker's.
    pub fn answer(&mut self, opaque: i32, code: i32, remark: Option<&str>, body: &[u8]) {
        let mut out = BytesMut::new();
        let to = command::ReplyTo { serialization: Serialization::Json, opaque, oneway: false };
        command::write_response(&mut out, to, code, remark, &[("from", Value::Str("client"))], body);
        self.write(&out);
    }

    /// Whether the broker closes the connection within `PATIENCE`.
    pub fn is_closed(&mut self) -> bool {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buf = [0; 65536];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    pub fn call(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) -> Answer {
        let opaque = self.send(code, ext, body);
        let answer = self.receive();
        assert_eq!(answer.opaque, opaque);
        answer
    }

    /// A plain V2 send.
    pub fn put(&mut self, topic: &str, queue: i32, body: &str, properties: &str) -> Answer {
        let queue = queue.to_string();
        let fields = v2(topic, &queue, properties);
        self.call(request::SEND_MESSAGE_V2, &fields, body.as_bytes())
    }

    /// A pull with an inline subscription, without suspension.
    pub fn pull(&mut self, topic: &str, queue: i32, offset: i64) -> Answer {
        let (queue, offset) = (queue.to_string(), offset.to_string());
        self.call(request::PULL_MESSAGE, &pull_fields("G", topic, &queue, &offset, "4", "*"), &[])
    }
}

/// The fields of a V2 send.
pub(super) fn v2<'a>(topic: &'a str, queue: &'a str, properties: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("a", "P"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", queue),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "7"),
        ("i", properties),
        ("j", "0"),
        ("k", "false"),
        ("l", "16"),
        ("m", "false"),
    ]
}

pub(super) fn pull_fields<'a>(
    group: &'a str,
    topic: &'a str,
    queue: &'a str,
    offset: &'a str,
    sys_flag: &'a str,
    subscription: &'a str,
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", queue),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        ("sysFlag", sys_flag),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "15000"),
        ("subscription", subscription),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ]
}

/// Replaces the value of a field.
pub(super) fn with<'a>(mut fields: Vec<(&'a str, &'a str)>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    fields.retain(|(known, _)| *known != name);
    fields.push((name, value));
    fields
}
