//! One folder, two brokers in turn: a store that we leave is served by Java's brokers, and one that they leave by us.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clients::{body_of, consume_at, ends, has_committed_all, keys, messages, same_messages, saved, send_at};
use crate::cluster::{our_broker, our_namesrv};
use crate::peers::{Client, Event, Folder, JavaServer, PATIENCE, java_reads, number, of_kind, text, wait_for_route};

const CLIENT: Client = Client::Java("4.9.7");

/// Small files, so that log, queues and index have several; the same for both brokers.
const SIZES: [(&str, &str); 4] = [
    ("mappedFileSizeCommitLog", "65536"),
    ("mappedFileSizeConsumeQueue", "2000"),
    ("maxHashSlotNum", "1000"),
    ("maxIndexNum", "400"),
];

const SENDS: [(&str, &str); 6] =
    [("sync", "400"), ("async", "200"), ("batch", "20"), ("selector", "20"), ("big", "20"), ("tags", "TagA,TagB")];

/// How the broker before left the folder.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Cleanly,
    Killed,
}

fn is_served_whole(sent: &[Event], heard: &[Event]) {
    let received = messages(heard);
    same_messages(CLIENT, sent, &received);
    for event in received {
        assert_eq!((number(event, "crc"), number(event, "len")), body_of(text(event, "key")));
    }
    let total: i64 = of_kind(heard, "queue").iter().map(|queue| number(queue, "max") - number(queue, "min")).sum();
    assert_eq!(total, sent.len() as i64);
}

/// Fills the broker; a group has consumed all of it, and the broker knows.
fn fill(folder: &Path, namesrv: &str, broker: SocketAddr) -> Vec<Event> {
    let sent = send_at(namesrv, folder, CLIENT, "handed_over", &SENDS);
    let member = [("group", "handed_group"), ("topic", "handed_over"), ("persist_ms", "200")];
    let mut consumer = consume_at(namesrv, folder, CLIENT, "push", &member);
    crate::clients::hears_all(&mut consumer, &keys(&sent));
    has_committed_all(broker, "handed_group", "handed_over");
    consumer.finish();
    sent
}

/// The group goes on where it stopped: it hears what is sent now and nothing older.
fn the_group_goes_on(folder: &Path, namesrv: &str) {
    let more = send_at(namesrv, folder, CLIENT, "handed_over", &[("sync", "5"), ("from", "9000")]);
    let mut consumer =
        consume_at(namesrv, folder, CLIENT, "push", &[("group", "handed_group"), ("topic", "handed_over")]);
    crate::clients::hears_all(&mut consumer, &keys(&more));
    consumer.listen_for(crate::clients::QUIET);
    let heard = consumer.finish();
    assert_eq!(messages(&heard).len(), 5, "nothing older comes again");
}

/// A message of a store that was closed cleanly is found by its key and its unique key: by the index of whoever left it.
fn is_found(folder: &Path, namesrv: &str, sent: &Event) {
    let (unique, key) = (text(sent, "msgId"), text(sent, "key"));
    let asked = [("group", "asking_group"), ("topic", "handed_over"), ("unique", unique), ("key", key)];
    let heard = consume_at(namesrv, folder, CLIENT, "query", &asked).finish();
    for how in ["by_unique", "by_key"] {
        let found: Vec<_> = of_kind(&heard, how).iter().map(|it| (number(it, "queue"), number(it, "offset"))).collect();
        assert_eq!(found, [(number(sent, "queue"), number(sent, "offset"))], "{how} {key}");
    }
}

fn java_serves_what_we_left(version: &str, left: Left) {
    let folder = Folder::new("ours-then-java");
    let store = folder.path().join("store");
    let (_namesrv, address) = our_namesrv(&folder);
    let (mut broker, at) = our_broker(&folder, &address.to_string(), &store, &SIZES);
    wait_for_route(address, "TBW102", &["broker-a"]);
    let sent = fill(folder.path(), &address.to_string(), at);
    match left {
        Left::Cleanly => broker.stops_well(),
        Left::Killed => {
            let all = ends(at, "handed_over");
            wait_for("the commits in the store", || saved(&store, "handed_group", "handed_over") == all);
            broker.kill();
        }
    }
    assert_eq!(store.join("abort").exists(), left == Left::Killed, "the mark of an unclean end");
    is_served_whole(&sent, &java_reads(version, folder.path(), &store, &SIZES, "handed_over"));
    let namesrv = JavaServer::namesrv(version, folder.path(), "namesrv");
    let _broker = JavaServer::broker(version, folder.path(), "broker", &store, &namesrv.address.to_string(), &SIZES);
    wait_for_route(namesrv.address, "handed_over", &["broker-a"]);
    the_group_goes_on(folder.path(), &namesrv.address.to_string());
    if left == Left::Cleanly {
        is_found(folder.path(), &namesrv.address.to_string(), &sent[0]);
    }
}

fn we_serve_what_java_left(version: &str, left: Left) {
    let folder = Folder::new("java-then-ours");
    let store = folder.path().join("store");
    let (_namesrv, address) = our_namesrv(&folder);
    let mut java = JavaServer::broker(version, folder.path(), "broker", &store, &address.to_string(), &SIZES);
    wait_for_route(address, "TBW102", &["broker-a"]);
    let sent = fill(folder.path(), &address.to_string(), java.address);
    match left {
        Left::Cleanly => drop(java.process.stop()),
        Left::Killed => java.process.kill(),
    }
    wait_for_route(address, "TBW102", &[]);
    let (mut broker, _) = our_broker(&folder, &address.to_string(), &store, &SIZES);
    wait_for_route(address, "TBW102", &["broker-a"]);
    let reader = [("group", "reading_group"), ("topic", "handed_over")];
    is_served_whole(&sent, &consume_at(&address.to_string(), folder.path(), CLIENT, "pull", &reader).finish());
    if left == Left::Cleanly {
        the_group_goes_on(folder.path(), &address.to_string());
        is_found(folder.path(), &address.to_string(), &sent[0]);
    }
    broker.stops_well();
}

#[test]
fn java_4_9_7_serves_the_store_that_we_closed() {
    java_serves_what_we_left("4.9.7", Left::Cleanly);
}

#[test]
fn java_4_9_7_serves_the_store_of_our_killed_broker() {
    java_serves_what_we_left("4.9.7", Left::Killed);
}

#[test]
fn java_5_3_3_serves_the_store_that_we_closed() {
    java_serves_what_we_left("5.3.3", Left::Cleanly);
}

#[test]
fn java_5_3_3_serves_the_store_of_our_killed_broker() {
    java_serves_what_we_left("5.3.3", Left::Killed);
}

#[test]
fn we_serve_the_store_that_java_4_9_7_closed() {
    we_serve_what_java_left("4.9.7", Left::Cleanly);
}

#[test]
fn we_serve_the_store_of_a_killed_java_4_9_7() {
    we_serve_what_java_left("4.9.7", Left::Killed);
}

#[test]
fn we_serve_the_store_that_java_5_3_3_closed() {
    we_serve_what_java_left("5.3.3", Left::Cleanly);
}

#[test]
fn we_serve_the_store_of_a_killed_java_5_3_3() {
    we_serve_what_java_left("5.3.3", Left::Killed);
}

/// Looks until it is so. Java's brokers look once in a minute for what may go.
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE * 2;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {} s for {what}", (PATIENCE * 2).as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The files of a folder in the order of their names, which is that of what they hold.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Whether each queue's and the index's first file lead to something that is still in the log.
fn nothing_leads_below_the_log(store: &Path) -> bool {
    let first = |folder: &Path| files(folder).first().cloned();
    let Some(log) = first(&store.join("commitlog")) else { return false };
    let begin: i64 =
        log.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("a number");
    let place = |bytes: &[u8]| i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
    let read = |path: PathBuf| std::fs::read(path).unwrap_or_default();
    let queues = files(&store.join("consumequeue/handed_over"));
    let leads_in = |file: PathBuf| read(file).chunks_exact(20).any(|unit| place(unit) >= begin);
    // Bytes 24 to 31 of an index file are where the last message that it leads to stands.
    let index_leads_in = |file: PathBuf| read(file).get(24..32).is_some_and(|end| place(end) >= begin);
    queues.iter().all(|queue| first(queue).is_some_and(leads_in))
        && first(&store.join("index")).is_none_or(index_leads_in)
}

/// The log has lost its oldest files, and queues and index what led to them, when the folder changes hands.
fn a_store_that_lost_its_oldest_files_is_handed_over(version: &str, ours_first: bool) {
    let folder = Folder::new("old-files-gone");
    let store = folder.path().join("store");
    // Everything is expired at once, and every hour is the hour.
    let hours = (0..24).map(|hour| format!("{hour:02}")).collect::<Vec<_>>().join(";");
    let mut lines = SIZES.to_vec();
    lines.extend([("fileReservedTime", "0"), ("deleteWhen", &hours), ("cleanResourceInterval", "500")]);
    lines.push(("deleteCommitLogFilesInterval", "1"));
    let log_files = || files(&store.join("commitlog")).len();
    let (_namesrv, address) = our_namesrv(&folder);
    let address_text = address.to_string();
    // Java begins to clean a minute after its start: what it is given to clean is made by a broker that keeps everything.
    let keeping: Vec<(&str, &str)> =
        lines.iter().copied().filter(|(key, _)| !key.starts_with("fileReserved")).collect();
    let sent;
    {
        let (mut broker, _) = our_broker(&folder, &address_text, &store, &keeping);
        wait_for_route(address, "TBW102", &["broker-a"]);
        sent = send_at(&address_text, folder.path(), CLIENT, "handed_over", &SENDS);
        broker.stops_well();
        wait_for_route(address, "TBW102", &[]);
    }
    let before = log_files();
    assert!(before >= 4, "{before} log files");
    if ours_first {
        let (mut broker, _) = our_broker(&folder, &address_text, &store, &lines);
        wait_for("our broker to keep one log file", || log_files() <= 2);
        wait_for("queues and index to follow", || nothing_leads_below_the_log(&store));
        broker.stops_well();
    } else {
        let mut java = JavaServer::broker(version, folder.path(), "cleaner", &store, &address_text, &lines);
        wait_for_route(address, "TBW102", &["broker-a"]);
        wait_for("Java's broker to keep one log file", || log_files() <= 2);
        java.process.stop();
    }
    wait_for_route(address, "TBW102", &[]);

    // Whoever comes next reads the same rest, from the same oldest number on, and goes on behind it.
    let rest_of = |heard: &[Event]| -> std::collections::BTreeMap<(i64, i64), String> {
        let of = |event: &&Event| ((number(event, "queue"), number(event, "offset")), text(event, "key").to_owned());
        messages(heard).iter().map(of).collect()
    };
    let reader = [("group", "reading_group"), ("topic", "handed_over")];
    let by_java = rest_of(&java_reads(version, folder.path(), &store, &keeping, "handed_over"));
    assert!(!by_java.is_empty() && by_java.len() < sent.len() / 2, "{} of {}", by_java.len(), sent.len());
    let (mut broker, _) = our_broker(&folder, &address_text, &store, &keeping);
    wait_for_route(address, "TBW102", &["broker-a"]);
    let by_us = rest_of(&consume_at(&address_text, folder.path(), CLIENT, "pull", &reader).finish());
    assert_eq!(by_us, by_java);
    for event in &sent {
        let place = (number(event, "queue"), number(event, "offset"));
        if let Some(key) = by_us.get(&place) {
            assert_eq!(key, text(event, "key"), "{place:?} still means the same message");
        }
    }
    let more = send_at(&address_text, folder.path(), CLIENT, "handed_over", &[("sync", "8"), ("from", "9000")]);
    let newest = |queue: i64| {
        sent.iter().filter(|event| number(event, "queue") == queue).map(|event| number(event, "offset")).max()
    };
    for event in &more {
        assert!(newest(number(event, "queue")).is_none_or(|newest| number(event, "offset") > newest), "{event:?}");
    }
    broker.stops_well();
}

#[test]
fn java_4_9_7_serves_what_we_kept_of_a_store_that_lost_its_oldest_files() {
    a_store_that_lost_its_oldest_files_is_handed_over("4.9.7", true);
}

#[test]
fn java_5_3_3_serves_what_we_kept_of_a_store_that_lost_its_oldest_files() {
    a_store_that_lost_its_oldest_files_is_handed_over("5.3.3", true);
}

#[test]
fn we_serve_what_java_4_9_7_kept_of_a_store_that_lost_its_oldest_files() {
    a_store_that_lost_its_oldest_files_is_handed_over("4.9.7", false);
}

#[test]
fn we_serve_what_java_5_3_3_kept_of_a_store_that_lost_its_oldest_files() {
    a_store_that_lost_its_oldest_files_is_handed_over("5.3.3", false);
}
