//! A message goes in, through and out: `dev` is spoken to in raw frames, and what was stored survives restarts.

use std::time::Duration;

use rocketmq::client::{Client, Response};
use rocketmq::wire::codes::{request, response};
use rocketmq::wire::command::Value;
use rocketmq::wire::message::RecordView;

use crate::harness::{Folder, Ports, Server};

const TIMEOUT: Duration = Duration::from_secs(20);
const TOPIC: &str = "RoundTrip";

struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client,
    ports: Ports,
}

impl Session {
    fn new(ports: Ports) -> Session {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Session { runtime, client: Client::new(), ports }
    }

    fn ask(&self, port: u16, code: i32, ext: &[(&str, Value<'_>)], body: &[u8]) -> Response {
        let address = format!("127.0.0.1:{port}");
        let call = self.client.request(&address, code, ext, body, TIMEOUT);
        self.runtime.block_on(call).expect("an answer")
    }

    /// Sends to queue 0 and returns the queue offset.
    fn send(&self, body: &[u8]) -> i64 {
        let ext = [
            ("producerGroup", Value::Str("P")),
            ("topic", Value::Str(TOPIC)),
            ("defaultTopic", Value::Str("TBW102")),
            ("defaultTopicQueueNums", Value::I64(4)),
            ("queueId", Value::I64(0)),
            ("sysFlag", Value::I64(0)),
            ("bornTimestamp", Value::I64(1_700_000_000_000)),
            ("flag", Value::I64(0)),
            ("properties", Value::Str("TAGS\u{1}TagA\u{2}KEYS\u{1}k\u{2}")),
            ("reconsumeTimes", Value::I64(0)),
            ("unitMode", Value::Str("false")),
            ("batch", Value::Str("false")),
        ];
        let answer = self.ask(self.ports.broker, request::SEND_MESSAGE, &ext, body);
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
        answer.i64("queueOffset").expect("a queue offset")
    }

    /// Pulls from queue 0; the answer's bodies.
    fn pull(&self, from: i64) -> Vec<Vec<u8>> {
        let ext = [
            ("consumerGroup", Value::Str("C")),
            ("topic", Value::Str(TOPIC)),
            ("queueId", Value::I64(0)),
            ("queueOffset", Value::I64(from)),
            ("maxMsgNums", Value::I64(32)),
            ("sysFlag", Value::I64(4)),
            ("commitOffset", Value::I64(0)),
            ("suspendTimeoutMillis", Value::I64(0)),
            ("subscription", Value::Str("*")),
            ("subVersion", Value::I64(0)),
        ];
        let answer = self.ask(self.ports.broker, request::PULL_MESSAGE, &ext, b"");
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
        let mut rest = &answer.body[..];
        let mut bodies = Vec::new();
        while !rest.is_empty() {
            let size = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
            let record = RecordView::parse(&rest[..size]).expect("a whole record");
            assert_eq!(record.topic(), TOPIC);
            bodies.push(record.body().to_vec());
            rest = &rest[size..];
        }
        bodies
    }
}

fn dev(home: &Folder, ports: Ports) -> Server {
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    Server::start(home.path(), &["dev", "--namesrv-port", &namesrv, "--broker-port", &broker])
}

#[test]
fn what_is_sent_is_pulled_byte_for_byte() {
    let home = Folder::new("round-trip");
    let ports = Ports::free();
    let bodies: Vec<Vec<u8>> = (0..10u8).map(|n| (0..=255u8).cycle().take(n as usize * 97 + 1).collect()).collect();
    let server = dev(&home, ports);
    let session = Session::new(ports);
    for (index, body) in bodies.iter().enumerate() {
        assert_eq!(session.send(body), index as i64);
    }
    assert_eq!(session.pull(0), bodies);
    server.stop();
}

#[test]
fn what_was_sent_is_pulled_before_and_after_a_restart_and_after_a_kill() {
    let home = Folder::new("round-trip");
    let ports = Ports::free();
    let bodies: Vec<Vec<u8>> = (0..10u8).map(|n| (0..=255u8).cycle().take(n as usize * 97 + 1).collect()).collect();

    let server = dev(&home, ports);
    let session = Session::new(ports);
    for (index, body) in bodies.iter().enumerate() {
        assert_eq!(session.send(body), index as i64);
    }
    assert_eq!(session.pull(0), bodies);
    server.stop();

    let server = dev(&home, ports);
    let session = Session::new(ports);
    assert_eq!(session.pull(0), bodies, "a clean restart keeps everything");
    assert_eq!(session.send(b"one more"), 10);
    server.kill();

    let server = dev(&home, ports).announce("was not stopped cleanly");
    let session = Session::new(ports);
    assert_eq!(session.pull(10), [b"one more"], "an acknowledged message survives kill -9");
    assert_eq!(session.send(b"last"), 11);
    server.stop();
}

#[test]
fn the_name_server_tells_the_route_of_a_topic_that_was_made_by_a_send() {
    let home = Folder::new("route");
    let ports = Ports::free();
    let server = dev(&home, ports);
    let session = Session::new(ports);
    session.send(b"x");
    let answer = session.ask(ports.namesrv, request::GET_ROUTEINFO_BY_TOPIC, &[("topic", Value::Str(TOPIC))], b"");
    let route = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.code == response::SUCCESS, "{answer:?}");
    assert!(route.contains(&format!("127.0.0.1:{}", ports.broker)) && route.contains("broker-a"), "{route}");
    let answer = session.ask(ports.namesrv, request::GET_ROUTEINFO_BY_TOPIC, &[("topic", Value::Str("Nobody"))], b"");
    assert_eq!(answer.code, response::TOPIC_NOT_EXIST);
    server.stop();
}
