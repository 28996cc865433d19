//! One folder, two brokers in turn: a store that we leave is served by Java's brokers, and one that they leave by us.

use std::path::Path;
use std::time::Duration;

use crate::clients::{body_of, consume_at, keys, messages, same_messages, send_at};
use crate::cluster::{our_broker, our_namesrv};
use crate::peers::{Client, Event, Folder, JavaServer, java_reads, number, of_kind, text, wait_for_route};

const CLIENT: Client = Client::Java("4.9.7");

/// Small files, so that the log and the queues have several; the same for both brokers.
const SIZES: [(&str, &str); 2] = [("mappedFileSizeCommitLog", "65536"), ("mappedFileSizeConsumeQueue", "2000")];

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

/// Fills the cluster behind `namesrv`; a group has consumed all of it.
fn fill(folder: &Path, namesrv: &str) -> Vec<Event> {
    let sent = send_at(namesrv, folder, CLIENT, "handed_over", &SENDS);
    let mut consumer =
        consume_at(namesrv, folder, CLIENT, "push", &[("group", "handed_group"), ("topic", "handed_over")]);
    crate::clients::hears_all(&mut consumer, &keys(&sent));
    consumer.listen_for(crate::clients::QUIET);
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

fn java_serves_what_we_left(version: &str, left: Left) {
    let folder = Folder::new("ours-then-java");
    let store = folder.path().join("store");
    let (_namesrv, address) = our_namesrv(&folder);
    let (mut broker, _) = our_broker(&folder, &address.to_string(), &store, &SIZES);
    wait_for_route(address, "TBW102", &["broker-a"]);
    let sent = fill(folder.path(), &address.to_string());
    match left {
        Left::Cleanly => assert_eq!(broker.stop(), 0, "{}", broker.log_tail()),
        Left::Killed => {
            // Commits are promised to be on disk a second later.
            std::thread::sleep(Duration::from_millis(1500));
            broker.kill();
        }
    }
    assert_eq!(store.join("abort").exists(), left == Left::Killed, "the mark of an unclean end");
    is_served_whole(&sent, &java_reads(version, folder.path(), &store, &SIZES, "handed_over"));
    let namesrv = JavaServer::namesrv(version, folder.path(), "namesrv");
    let _broker = JavaServer::broker(version, folder.path(), "broker", &store, &namesrv.address.to_string(), &SIZES);
    wait_for_route(namesrv.address, "handed_over", &["broker-a"]);
    the_group_goes_on(folder.path(), &namesrv.address.to_string());
}

fn we_serve_what_java_left(version: &str, left: Left) {
    let folder = Folder::new("java-then-ours");
    let store = folder.path().join("store");
    let (_namesrv, address) = our_namesrv(&folder);
    let mut java = JavaServer::broker(version, folder.path(), "broker", &store, &address.to_string(), &SIZES);
    wait_for_route(address, "TBW102", &["broker-a"]);
    let sent = fill(folder.path(), &address.to_string());
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
    }
    assert_eq!(broker.stop(), 0, "{}", broker.log_tail());
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

/// The log has lost its oldest files, and queues and index what led to them, when the folder changes hands.
fn a_store_that_lost_its_oldest_files_is_handed_over(version: &str, ours_first: bool) {
    let folder = Folder::new("old-files-gone");
    let store = folder.path().join("store");
    // Everything is expired at once, and every hour is the hour.
    let hours = (0..24).map(|hour| format!("{hour:02}")).collect::<Vec<_>>().join(";");
    let mut lines = SIZES.to_vec();
    lines.extend([("fileReservedTime", "0"), ("deleteWhen", &hours), ("cleanResourceInterval", "500")]);
    lines.extend([("maxHashSlotNum", "1000"), ("maxIndexNum", "400"), ("deleteCommitLogFilesInterval", "1")]);
    let log_files = || std::fs::read_dir(store.join("commitlog")).map_or(0, |entries| entries.flatten().count());
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
        assert_eq!(broker.stop(), 0, "{}", broker.log_tail());
        wait_for_route(address, "TBW102", &[]);
    }
    let before = log_files();
    assert!(before >= 4, "{before} log files");
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    let wait_for_one_file = |what: &str| {
        while log_files() > 2 {
            assert!(std::time::Instant::now() < deadline, "{what} keeps {} files", log_files());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    if ours_first {
        let (mut broker, _) = our_broker(&folder, &address_text, &store, &lines);
        wait_for_one_file("our broker");
        // Queues and index follow.
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(broker.stop(), 0, "{}", broker.log_tail());
    } else {
        let mut java = JavaServer::broker(version, folder.path(), "cleaner", &store, &address_text, &lines);
        wait_for_route(address, "TBW102", &["broker-a"]);
        wait_for_one_file("Java's broker");
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
    assert_eq!(broker.stop(), 0, "{}", broker.log_tail());
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
