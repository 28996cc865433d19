//! Delayed messages that wait while brokers take turns on their folder: each is delivered once, when it is due, by whoever
//! serves the folder then.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clients::{TOPIC, awake_ms, consume_at, hears_all, keys, messages, send_at};
use crate::cluster::{our_broker, our_namesrv};
use crate::peers::{Client, Event, Folder, JavaServer, PATIENCE, now, number, text, wait_for_route};

const CLIENT: Client = Client::Java("4.9.7");

/// Both brokers have the same files. Level 2 outlasts a change of brokers, level 3 two of them.
const LINES: [(&str, &str); 3] = [
    ("messageDelayLevel", "1s 15s 35s"),
    ("mappedFileSizeCommitLog", "16777216"),
    ("mappedFileSizeConsumeQueue", "600000"),
];
const DELAYS_MS: [i64; 3] = [1_000, 15_000, 35_000];

/// How late a message may be where our broker runs, the time to take over the store included.
const SLACK_MS: i64 = 3_000;

/// How the broker before left the folder.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Cleanly,
    Killed,
}

/// Messages of a level with their keys.
fn send(folder: &Path, namesrv: SocketAddr, level: usize, from: usize) -> Vec<Event> {
    let (level, from) = (level.to_string(), from.to_string());
    send_at(&namesrv.to_string(), folder, CLIENT, TOPIC, &[("sync", "5"), ("from", &from), ("level", &level)])
}

/// Whether each came once, not before it was due, and not much later than that or than our broker was `ready`, if it is ours
/// that delivered it: how late Java is tells nothing of us. A kill may bring again what was delivered a moment before: how
/// far a level is gets saved every second, by Java every ten.
fn are_in_time(heard: &[Event], level: usize, keys: &[String], ready: Option<i64>, left: Left) {
    let mut times: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for event in messages(heard) {
        times.entry(text(event, "key")).or_default().push((number(event, "born"), number(event, "stored")));
    }
    for key in keys {
        let deliveries = times.get(key.as_str()).map_or(&[][..], Vec::as_slice);
        assert!(deliveries.len() == 1 || (left == Left::Killed && deliveries.len() == 2), "{key}: {deliveries:?}");
        let (born, delivered) = deliveries.iter().min().expect("a delivery");
        let due = born + DELAYS_MS[level - 1];
        let late = ready.map_or(0, |ready| awake_ms(heard, due.max(ready), *delivered));
        assert!(
            *delivered >= due && late < SLACK_MS,
            "{key} of level {level}: {} ms from due, {late} late",
            delivered - due
        );
    }
}

fn all(sent: &[Event]) -> Vec<String> {
    sent.iter().map(|event| text(event, "key").to_owned()).collect()
}

/// Reads from the first message on until it has heard these.
fn read(folder: &Path, namesrv: SocketAddr, group: &str, wanted: &[Event]) -> Vec<Event> {
    let mut reader = consume_at(&namesrv.to_string(), folder, CLIENT, "push", &[("group", group)]);
    hears_all(&mut reader, &keys(wanted));
    reader.listen_for(Duration::from_millis(500));
    reader.finish()
}

/// How many messages the files of a topic's queues lead to.
fn units(store: &Path, topic: &str) -> usize {
    let below = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let files = below(&store.join("consumequeue").join(topic)).into_iter().flat_map(|queue| below(&queue));
    let written = |file: PathBuf| {
        let bytes = std::fs::read(file).unwrap_or_default();
        // A unit holds the size of its message behind its place.
        bytes.chunks_exact(20).filter(|unit| unit[8..12] != [0; 4]).count()
    };
    files.map(written).sum()
}

/// Ours, then Java's, then ours: delayed messages of all three are on their way while the brokers change.
fn delayed_messages_outlive_a_change_to_java_and_back(version: &str, left: Left) {
    let folder = Folder::new("delays");
    let store = folder.path().join("store");
    let (_namesrv, namesrv) = our_namesrv(&folder);
    let (mut ours, _) = our_broker(&folder, &namesrv.to_string(), &store, &LINES);
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    let ready = now();
    let first = send(folder.path(), namesrv, 1, 100);
    let second = send(folder.path(), namesrv, 2, 200);
    let third = send(folder.path(), namesrv, 3, 300);
    let heard = read(folder.path(), namesrv, "first_reader", &first);
    are_in_time(&heard, 1, &all(&first), Some(ready), left);
    match left {
        Left::Cleanly => ours.stops_well(),
        Left::Killed => {
            // A 4.9 broker gives what it has to derive itself no time (4.9's bug): everything is in the files of the queues.
            let deadline = Instant::now() + PATIENCE;
            while units(&store, "SCHEDULE_TOPIC_XXXX") < 15 || units(&store, TOPIC) < 5 {
                assert!(Instant::now() < deadline, "the queues are not written");
                std::thread::sleep(Duration::from_millis(20));
            }
            ours.kill();
        }
    }
    if left == Left::Cleanly {
        wait_for_route(namesrv, "TBW102", &[]);
    }
    let mut java = JavaServer::broker(version, folder.path(), "java", &store, &namesrv.to_string(), &LINES);
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    let wanted: Vec<Event> = first.iter().chain(&second).cloned().collect();
    let heard = read(folder.path(), namesrv, "second_reader", &wanted);
    are_in_time(&heard, 2, &all(&second), None, left);
    let fourth = send(folder.path(), namesrv, 2, 400);
    match left {
        Left::Cleanly => drop(java.process.stop()),
        Left::Killed => java.process.kill(),
    }
    let (mut ours, _) = our_broker(&folder, &namesrv.to_string(), &store, &LINES);
    let ready = Some(now());
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    let wanted: Vec<Event> = [first.clone(), second.clone(), third.clone(), fourth.clone()].concat();
    let heard = read(folder.path(), namesrv, "third_reader", &wanted);
    are_in_time(&heard, 3, &all(&third), ready, left);
    are_in_time(&heard, 2, &all(&fourth), ready, left);
    if left == Left::Cleanly {
        assert_eq!(messages(&heard).len(), wanted.len(), "each once");
    }
    ours.stops_well();
}

#[test]
fn delayed_messages_outlive_a_clean_change_to_java_4_9_7_and_back() {
    delayed_messages_outlive_a_change_to_java_and_back("4.9.7", Left::Cleanly);
}

#[test]
fn delayed_messages_outlive_kills_of_ours_and_of_java_4_9_7() {
    delayed_messages_outlive_a_change_to_java_and_back("4.9.7", Left::Killed);
}

#[test]
fn delayed_messages_outlive_a_clean_change_to_java_5_3_3_and_back() {
    delayed_messages_outlive_a_change_to_java_and_back("5.3.3", Left::Cleanly);
}

#[test]
fn delayed_messages_outlive_kills_of_ours_and_of_java_5_3_3() {
    delayed_messages_outlive_a_change_to_java_and_back("5.3.3", Left::Killed);
}

/// Our own restarts: the messages of a level that waits through two of them.
fn delayed_messages_outlive_our_own_restarts(left: Left) {
    let folder = Folder::new("own-delays");
    let store = folder.path().join("store");
    let (_namesrv, namesrv) = our_namesrv(&folder);
    let (mut ours, _) = our_broker(&folder, &namesrv.to_string(), &store, &LINES);
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    let first = send(folder.path(), namesrv, 1, 100);
    let second = send(folder.path(), namesrv, 2, 200);
    for _ in 0..2 {
        match left {
            Left::Cleanly => ours.stops_well(),
            Left::Killed => ours.kill(),
        }
        ours = our_broker(&folder, &namesrv.to_string(), &store, &LINES).0;
    }
    let ready = Some(now());
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    let wanted = [first.clone(), second.clone()].concat();
    let heard = read(folder.path(), namesrv, "reader", &wanted);
    are_in_time(&heard, 1, &all(&first), ready, left);
    are_in_time(&heard, 2, &all(&second), ready, left);
    if left == Left::Cleanly {
        assert_eq!(messages(&heard).len(), wanted.len(), "each once");
    }
    ours.stops_well();
}

#[test]
fn delayed_messages_outlive_our_clean_restarts() {
    delayed_messages_outlive_our_own_restarts(Left::Cleanly);
}

#[test]
fn delayed_messages_outlive_our_kills() {
    delayed_messages_outlive_our_own_restarts(Left::Killed);
}
