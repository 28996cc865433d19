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
