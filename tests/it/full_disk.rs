//! A broker on a file system that is really full: refused with the reason, resumed without help, old files removed, and
//! nothing lost on the way. On ext4 in a file, mounted through a loop device, so it needs root and `mkfs.ext4`.
//!
//! `ROOT_TESTS=1` makes a machine where that is impossible fail; without it such a machine is told what it did not test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rocketmq::client::Response;
use rocketmq::wire::codes::{request, response};
use rocketmq::wire::command::Value;

use crate::harness::{Folder, Ports, Server};
use crate::session::Session;

const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "FullDisk";
const DISK_MIB: u64 = 96;
static BODY: [u8; 64 << 10] = [b'x'; 64 << 10];
/// Files so small that the disk holds many, and steps so quick that a test need not wait for them.
const CONF: &str = "brokerName=broker-a\nbrokerIP1=127.0.0.1\nmappedFileSizeCommitLog=4194304\n\
    mappedFileSizeConsumeQueue=20000\nmaxHashSlotNum=1000\nmaxIndexNum=4000\nflushIntervalConsumeQueue=100\n\
    cleanResourceInterval=100\ndeleteCommitLogFilesInterval=0\ndeleteConsumeQueueFilesInterval=0\n\
    cleanFileForciblyEnable=false\n";

/// A small file system of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one; `None` where that cannot be done and is not required.
    fn mount(folder: &Folder) -> Option<SmallDisk> {
        let (image, at) = (folder.join("disk.img"), folder.join("disk"));
        fs::create_dir_all(&at).expect("the folder is ours");
        let file = fs::File::create(&image).expect("the folder is ours");
        file.set_len(DISK_MIB << 20).expect("a sparse file");
        let run = |command: &mut Command| match command.output() {
            Ok(said) if said.status.success() => Ok(()),
            Ok(said) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&said.stderr))),
            Err(error) => Err(format!("{command:?}: {error}")),
        };
        let made = run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image))
            .and_then(|()| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at)));
        if let Err(why) = made {
            assert!(std::env::var_os("ROOT_TESTS").is_none(), "no small disk can be mounted: {why}");
            eprintln!("NOT TESTED, no small disk can be mounted: {why}");
            return None;
        }
        Some(SmallDisk(at))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all the room there is, with somebody else's file.
    fn fill(&self) {
        let file = fs::File::create(self.0.join("ballast")).expect("room for a name");
        let mut step: u64 = 8 << 20;
        let mut len = 0;
        while step >= 4096 {
            match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), len, step) {
                Ok(()) => len += step,
                Err(_) => step /= 2,
            }
        }
    }

    /// Takes it away.
    fn relieve(&self) {
        fs::remove_file(self.0.join("ballast")).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        if !unmounted.as_ref().is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}: {unmounted:?}", self.0.display());
        }
    }
}

/// What these tests ask of the broker on the small disk.
struct OnDisk(Session);

impl OnDisk {
    fn new(port: u16) -> OnDisk {
        OnDisk(Session::new(port))
    }

    fn pull(&self, from: i64) -> Response {
        self.0.pull(TOPIC, from, 1, 0)
    }

    /// The oldest and the newest message's number can be read, and nothing behind it.
    fn reads_all(&self, newest: i64) -> i64 {
        let min = self.pull(0).i64("minOffset").expect("an oldest");
        for at in [min, (min + newest) / 2, newest] {
            let pulled = self.pull(at);
            assert_eq!(pulled.code, response::SUCCESS, "{at}: {pulled:?}");
            assert_eq!(pulled.i64("nextBeginOffset"), Some(at + 1));
        }
        assert_eq!(self.pull(newest + 1).i64("maxOffset"), Some(newest + 1));
        min
    }

    fn configure(&self, lines: &str) {
        let answer = self.0.ask(request::UPDATE_BROKER_CONFIG, &[], lines.as_bytes());
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    }

    fn runtime_info(&self, name: &str) -> String {
        let body = self.0.ask(request::GET_BROKER_RUNTIME_INFO, &[], b"").body;
        let info: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        info["table"][name].as_str().unwrap_or_default().to_owned()
    }

    /// Sends until one is taken; its number.
    fn send_until_taken(&self, what: &str) -> i64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.0.send(TOPIC, &BODY);
            if answer.code == response::SUCCESS {
                return answer.i64("queueOffset").expect("a queue offset");
            }
            assert_eq!(answer.code, response::SERVICE_NOT_AVAILABLE, "{answer:?}");
            assert!(Instant::now() < deadline, "{what}: still refused, {answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends until one is refused for a reason with this text; how many were taken, the last one's number, and the reasons.
    fn send_until_refused(&self, text: &str) -> (usize, i64, String) {
        let deadline = Instant::now() + PATIENCE;
        let (mut taken, mut newest) = (0, -1);
        loop {
            let answer = self.0.send(TOPIC, &BODY);
            let remark = answer.remark.clone().unwrap_or_default();
            match answer.code {
                response::SUCCESS => {
                    taken += 1;
                    newest = answer.i64("queueOffset").expect("a queue offset");
                }
                response::SERVICE_NOT_AVAILABLE if remark.contains(text) => return (taken, newest, remark),
                response::SERVICE_NOT_AVAILABLE => {
                    assert!(remark.contains("full"), "{remark}");
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => panic!("{answer:?}"),
            }
            assert!(Instant::now() < deadline, "never refused with `{text}`; {taken} were taken");
        }
    }
}

fn start(folder: &Folder, disk: &SmallDisk, port: u16) -> Server {
    let conf = folder.file("broker.conf", CONF);
    let (port, store) = (port.to_string(), disk.path().join("store"));
    let store = store.to_string_lossy();
    let (conf, listen) = (conf.to_string_lossy(), format!("127.0.0.1:{port}"));
    let mut server = Server::start(folder.path(), &["broker", "-c", &conf, "--data", &store, "--listen", &listen]);
    for told in [
        "% full",
        "messages are refused",
        "that were not consumed",
        "No space left",
        "no name server",
        "was not stopped cleanly",
        "cannot prepare the next commit log file",
        "queues and index are behind",
        "name server",
    ] {
        server = server.announce(told);
    }
    server
}

fn log_files(disk: &SmallDisk) -> usize {
    fs::read_dir(disk.path().join("store/commitlog")).expect("a commit log").count()
}

#[test]
fn a_full_disk_refuses_with_its_reason_loses_nothing_and_messages_are_taken_again_when_there_is_room() {
    let folder = Folder::new("full-disk");
    let Some(disk) = SmallDisk::mount(&folder) else { return };
    let port = Ports::free().broker;
    let server = start(&folder, &disk, port);
    let session = OnDisk::new(port);

    // Messages fill it: nothing is expired, so they are refused. A fast sender may meet the end of the disk before the limit
    // is noticed; that is told too, and passes.
    let (taken, newest, remark) = session.send_until_refused("the disk is nearly full");
    assert!(taken > 1000 && newest == taken as i64 - 1, "{taken} {newest}");
    for part in [&*disk.path().to_string_lossy(), "% full", "the limit is 90 %", "fileReservedTime"] {
        assert!(remark.contains(part), "{part} in {remark}");
    }
    assert_eq!(session.runtime_info("diskLevel"), "refusing");
    assert!(session.runtime_info("diskRefusal").contains("the limit is 90 %"));
    assert_eq!(session.reads_all(newest), 0, "reading goes on, nothing was removed");
    server.wait_for("messages are refused");

    // Expired files make the room themselves.
    let before = log_files(&disk);
    session.0.ask(
        request::UPDATE_CONSUMER_OFFSET,
        &[
            ("consumerGroup", Value::Str("Lagging")),
            ("topic", Value::Str(TOPIC)),
            ("queueId", Value::I64(0)),
            ("commitOffset", Value::I64(1)),
        ],
        b"",
    );
    session.configure("fileReservedTime=0");
    let next = session.send_until_taken("expired files go");
    assert_eq!(next, newest + 1, "numbers go on");
    server.wait_for("is removed, it is expired");
    server.wait_for("for group Lagging");
    server.wait_for("messages are taken again");
    assert!(log_files(&disk) < before);
    // Queues follow the log within moments.
    let deadline = Instant::now() + PATIENCE;
    let below = loop {
        let below = session.pull(0);
        if below.code == response::PULL_OFFSET_MOVED {
            break below;
        }
        assert!(Instant::now() < deadline, "{below:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let min = session.reads_all(next);
    assert!(min > 0 && below.i64("nextBeginOffset").is_some_and(|at| (1..=min).contains(&at)), "{min} {below:?}");
    let unread: u64 = session.runtime_info("removedUnconsumedMessages").parse().expect("a number");
    assert!(unread > 100, "{unread}");

    // What is not expired goes for lack of room, if that is allowed: more than the disk holds goes through it.
    session.configure("fileReservedTime=72\ncleanFileForciblyEnable=true");
    let mut newest = next;
    for _ in 0..DISK_MIB * 16 * 5 / 4 {
        newest = session.send_until_taken("the oldest files go");
    }
    server.wait_for("is removed, there is no room for it");
    server.wait_for("for lack of room");
    session.reads_all(newest);
    server.stop();
}

#[test]
fn a_disk_without_a_free_block_refuses_and_a_kill_and_a_start_on_it_lose_nothing() {
    let folder = Folder::new("no-block");
    let Some(disk) = SmallDisk::mount(&folder) else { return };
    let port = Ports::free().broker;
    let mut server = start(&folder, &disk, port);
    // Above 100 % is never: what refuses here is the disk itself.
    let mut session = OnDisk::new(port);
    session.configure("diskSpaceWarningLevelRatio=100");
    let mut newest = session.send_until_taken("an empty disk");
    for round in 0..3 {
        disk.fill();
        let (taken, last, remark) = session.send_until_refused("the store's disk is full");
        newest = if taken > 0 { last } else { newest };
        assert!(remark.contains("commitlog"), "{remark}");
        session.reads_all(newest);
        if round == 1 {
            server.kill();
            server = start(&folder, &disk, port);
            session = OnDisk::new(port);
            session.configure("diskSpaceWarningLevelRatio=100");
            session.reads_all(newest);
        }
        disk.relieve();
        assert_eq!(session.send_until_taken("there is room"), newest + 1);
        newest += 1;
        session.reads_all(newest);
    }
    server.stop();
    let server = start(&folder, &disk, port);
    OnDisk::new(port).reads_all(newest);
    server.stop();
}
