//! A message goes in, through and out: `dev` is spoken to in raw frames, and what was stored survives restarts.

use rocketmq::wire::codes::{request, response};
use rocketmq::wire::command::Value;
use rocketmq::wire::message::{self, RecordView};

use crate::harness::{Folder, Ports, Server};
use crate::session::Session;

const TOPIC: &str = "RoundTrip";

/// Sends to queue 0 and returns the queue offset.
fn send(broker: &Session, body: &[u8]) -> i64 {
    let answer = broker.send(TOPIC, body);
    assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    answer.i64("queueOffset").expect("a queue offset")
}

/// Pulls from queue 0; the answer's bodies.
fn pull(broker: &Session, from: i64) -> Vec<Vec<u8>> {
    let answer = broker.pull(TOPIC, from, 32, 0);
    assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    let read = |record: Result<RecordView<'_>, _>| {
        let record = record.expect("a whole record");
        assert_eq!(record.topic(), TOPIC);
        record.body().to_vec()
    };
    message::records(&answer.body).map(read).collect()
}

fn dev(home: &Folder, ports: Ports) -> Server {
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    Server::start(home.path(), &["dev", "--namesrv-port", &namesrv, "--broker-port", &broker])
}

#[test]
fn what_was_sent_is_pulled_before_and_after_a_restart_and_after_a_kill() {
    let home = Folder::new("round-trip");
    let ports = Ports::free();
    let bodies: Vec<Vec<u8>> = (0..10u8).map(|n| (0..=255u8).cycle().take(n as usize * 97 + 1).collect()).collect();

    let server = dev(&home, ports);
    let session = Session::new(ports.broker);
    for (index, body) in bodies.iter().enumerate() {
        assert_eq!(send(&session, body), index as i64);
    }
    assert_eq!(pull(&session, 0), bodies);
    server.stop();

    let server = dev(&home, ports);
    let session = Session::new(ports.broker);
    assert_eq!(pull(&session, 0), bodies, "a clean restart keeps everything");
    assert_eq!(send(&session, b"one more"), 10);
    server.kill();

    let server = dev(&home, ports).announce("was not stopped cleanly");
    let session = Session::new(ports.broker);
    assert_eq!(pull(&session, 10), [b"one more"], "an acknowledged message survives kill -9");
    assert_eq!(send(&session, b"last"), 11);
    server.stop();
}

#[test]
fn the_name_server_tells_the_route_of_a_topic_that_was_made_by_a_send() {
    let home = Folder::new("route");
    let ports = Ports::free();
    let server = dev(&home, ports);
    let session = Session::new(ports.broker);
    send(&session, b"x");
    let namesrv = Session::new(ports.namesrv);
    let answer = namesrv.ask(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", Value::Str(TOPIC))], b"");
    let route = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.code == response::SUCCESS, "{answer:?}");
    assert!(route.contains(&format!("127.0.0.1:{}", ports.broker)) && route.contains("broker-a"), "{route}");
    let answer = namesrv.ask(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", Value::Str("Nobody"))], b"");
    assert_eq!(answer.code, response::TOPIC_NOT_EXIST);
    server.stop();
}
