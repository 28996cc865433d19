//! Two brokers, one of them on a disk that fills: Java's producers go on with the other one and see no error. The disk is a
//! `tmpfs` of its own, so these need root; where it cannot be mounted they fail.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::clients::{consume_at, hears_all, keys, send_at};
use crate::cluster::{admin, our_broker, our_namesrv};
use crate::peers::{Client, Event, Folder, PATIENCE, Process, Talk, now, number, of_kind, text, wait_for_route};

const TOPIC: &str = "on_two_brokers";
const DISK_MIB: u64 = 64;

/// Small files, and nothing that is not expired may go: a full disk refuses.
const LINES: [(&str, &str); 5] = [
    ("mappedFileSizeCommitLog", "4194304"),
    ("mappedFileSizeConsumeQueue", "20000"),
    ("maxHashSlotNum", "1000"),
    ("maxIndexNum", "4000"),
    ("cleanFileForciblyEnable", "false"),
];

/// A file system in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> SmallDisk {
        fs::create_dir_all(&at).expect("a folder");
        let size = format!("size={DISK_MIB}m");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "a tmpfs cannot be mounted at {}: root is needed",
            at.display()
        );
        SmallDisk(at)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Somebody else's file takes most of it.
    fn fill(&self) {
        let len = (DISK_MIB - 4) << 20;
        let stat = rustix::fs::statvfs(&self.0).expect("a file system");
        let free = stat.f_bavail * stat.f_frsize;
        fs::write(self.ballast(), vec![1; len.min(free - (1 << 20)) as usize]).expect("room for it");
    }

    fn relieve(&self) {
        fs::remove_file(self.ballast()).expect("the file that filled it");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.0.display());
        }
    }
}

fn wait_until_said(process: &Process, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !process.output().contains(text) {
        assert!(Instant::now() < deadline, "never said `{text}`");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn brokers_of(sent: &[Event]) -> Vec<String> {
    let mut brokers: Vec<String> = sent.iter().map(|event| text(event, "broker").to_owned()).collect();
    brokers.sort();
    brokers.dedup();
    brokers
}

fn producers_go_on_with_the_second_broker(version: &'static str) {
    let client = Client::Java(version);
    let folder = Folder::new("full-disk");
    let disk = SmallDisk::mount(folder.path().join("small"));
    let (_namesrv, address) = our_namesrv(&folder);
    let address = address.to_string();
    // The one on the small disk is stopped before it is unmounted.
    let (mut full, _) = our_broker(&folder, &address, &disk.0.join("store"), &LINES);
    let named = [&LINES[..], &[("brokerName", "broker-b")]].concat();
    let (mut other, _) = our_broker(&folder, &address, &folder.path().join("store-b"), &named);
    let at = address.parse().expect("an address");
    wait_for_route(at, "TBW102", &["broker-a", "broker-b"]);
    admin(&address, folder.path(), &["updateTopic", "-c", "DefaultCluster", "-t", TOPIC, "-r", "4", "-w", "4"]);
    wait_for_route(at, TOPIC, &["broker-a", "broker-b"]);

    let before = send_at(&address, folder.path(), client, TOPIC, &[("sync", "40")]);
    assert_eq!(brokers_of(&before), ["broker-a", "broker-b"]);

    // One producer is at work over the whole of it.
    let through = [("namesrv", address.as_str()), ("topic", TOPIC), ("pause_ms", "20"), ("timeout_ms", "10000")];
    let mut working = Talk::start(client, folder.path(), "stream", &through);
    working.until("its first messages", |heard| of_kind(heard, "sent").len() >= 20);
    disk.fill();
    wait_until_said(&full, "messages are refused");
    let during = send_at(&address, folder.path(), client, TOPIC, &[("sync", "40"), ("from", "100")]);
    assert_eq!(brokers_of(&during), ["broker-b"], "the full one takes nothing");
    disk.relieve();
    wait_until_said(&full, "messages are taken again");
    let relieved = now();
    working.until("both brokers again", |heard| {
        let since = |event: &&&Event| number(event, "now") > relieved;
        brokers_of(&of_kind(heard, "sent").iter().filter(since).map(|event| (*event).clone()).collect::<Vec<_>>()).len()
            == 2
    });
    let heard = working.finish();
    let refused = of_kind(&heard, "refused");
    assert!(refused.is_empty(), "{refused:?}");
    let worked: Vec<Event> = of_kind(&heard, "sent").into_iter().cloned().collect();
    assert!(worked.iter().all(|event| text(event, "status") == "SEND_OK"), "no send failed");
    assert_eq!(brokers_of(&worked[..20]), ["broker-a", "broker-b"]);
    let after = send_at(&address, folder.path(), client, TOPIC, &[("sync", "40"), ("from", "200")]);
    assert_eq!(brokers_of(&after), ["broker-a", "broker-b"], "it takes messages again, without a restart");

    // Everything that was answered as stored is there, once.
    let all: Vec<Event> = [before, during, worked, after].concat();
    let mut consumer = consume_at(&address, folder.path(), client, "push", &[("group", "full_disk"), ("topic", TOPIC)]);
    hears_all(&mut consumer, &keys(&all));
    consumer.listen_for(crate::clients::QUIET);
    assert_eq!(of_kind(&consumer.finish(), "message").len(), all.len());
    full.stops_well();
    other.stops_well();
}

#[test]
fn java_4_9_7_producers_go_on_with_a_second_broker_when_a_disk_is_full() {
    producers_go_on_with_the_second_broker("4.9.7");
}

#[test]
fn java_5_3_3_producers_go_on_with_a_second_broker_when_a_disk_is_full() {
    producers_go_on_with_the_second_broker("5.3.3");
}
