//! A disk that misbehaves under a running broker: what clients are told, and what goes on when it is well again.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::base::disk::DiskSpace;
use crate::base::disk::watched::{Step, WatchedDisk};
use crate::wire::codes::response;

/// What a test switches on.
#[derive(Debug, Default)]
struct Faults {
    /// Writes to state files find the disk full.
    full_state: AtomicBool,
    /// Writes to the commit log find the disk full.
    full: AtomicBool,
    /// Writes to the commit log fail.
    broken_write: AtomicBool,
    /// Syncs of the commit log fail.
    broken_sync: AtomicBool,
    /// How full the file system says it is, per cent; 0 leaves it to the real one.
    used_percent: AtomicU64,
    /// Nothing is in the page cache.
    cold: AtomicBool,
    /// Syncs of the commit log wait.
    stuck: Mutex<bool>,
    freed: Condvar,
}

impl Faults {
    fn set(fault: &AtomicBool, on: bool) {
        fault.store(on, Ordering::SeqCst);
    }

    fn is(fault: &AtomicBool) -> bool {
        fault.load(Ordering::SeqCst)
    }

    fn unstick(&self) {
        *self.stuck.lock() = false;
        self.freed.notify_all();
    }

    /// What a step on a file leads to.
    fn check(&self, step: Step, path: &Path) -> io::Result<()> {
        let in_dir = |name: &str| path.parent().is_some_and(|dir| dir.ends_with(name));
        let broken = || io::Error::from_raw_os_error(5);
        match step {
            Step::TryRead if Faults::is(&self.cold) => Err(io::ErrorKind::WouldBlock.into()),
            Step::Write if in_dir("config") && Faults::is(&self.full_state) => Err(io::ErrorKind::StorageFull.into()),
            Step::Write if in_dir("commitlog") && Faults::is(&self.full) => Err(io::ErrorKind::StorageFull.into()),
            Step::Write if in_dir("commitlog") && Faults::is(&self.broken_write) => Err(broken()),
            Step::SyncData if in_dir("commitlog") => {
                let mut stuck = self.stuck.lock();
                while *stuck {
                    self.freed.wait(&mut stuck);
                }
                if Faults::is(&self.broken_sync) { Err(broken()) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn space(&self) -> Option<DiskSpace> {
        let used = self.used_percent.load(Ordering::Acquire);
        (used > 0).then_some(DiskSpace { total: 100 << 30, used: used << 30, free: (100 - used) << 30 })
    }
}

fn start(name: &str, loops: usize, sync_flush: bool) -> (TestBroker, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let (steps, space) = (faults.clone(), faults.clone());
    let disk = WatchedDisk::new(move |step, path| steps.check(step, path)).with_space(move || space.space());
    let options = Options {
        loops,
        sync_flush,
        configure: |config| config.sync_flush_timeout_ms = 300,
        disk: Arc::new(disk),
        ..Options::default()
    };
    (TestBroker::start(name, options), faults)
}

#[test]
fn a_full_disk_refuses_sends_and_they_are_taken_again_when_there_is_room() {
    for loops in LOOPS {
        let (broker, faults) = start("fault-full", loops, false);
        let mut client = broker.connect();
        assert_eq!(client.put("T", 0, "before", "").code, 0);
        Faults::set(&faults.full, true);
        for _ in 0..3 {
            let answer = client.put("T", 0, "refused", "");
            assert_eq!(answer.code, response::SERVICE_NOT_AVAILABLE, "{answer:?}");
            assert!(answer.remark.contains("full") && answer.remark.contains("commitlog"), "{answer:?}");
            assert_eq!(answer.get("MSG_REGION"), "DefaultRegion");
        }
        assert_eq!(client.pull("T", 0, 0).messages(), [(0, "before".to_owned())], "reading goes on");
        Faults::set(&faults.full, false);
        assert_eq!(client.put("T", 0, "after", "").number("queueOffset"), 1);
        assert_eq!(client.pull("T", 0, 1).messages(), [(1, "after".to_owned())]);
        let info = client.call(request::GET_BROKER_RUNTIME_INFO, &[], &[]);
        let info: serde_json::Value = serde_json::from_slice(&info.body).unwrap();
        assert_eq!(info["table"]["putMessageFailedTimes"], "3");
    }
}

#[test]
fn past_the_limit_sends_are_refused_with_path_ratio_and_limit_and_taken_again_by_themselves() {
    for loops in LOOPS {
        let (broker, faults) = start("fault-nearly-full", loops, false);
        let mut client = broker.connect();
        assert_eq!(client.put("T", 0, "before", "").code, 0);
        let at = |percent| faults.used_percent.store(percent, Ordering::Release);
        let mut put_until = |code: i32, body: &str| {
            // The disk is looked at every second.
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let answer = client.put("T", 0, body, "");
                if answer.code == code {
                    return answer;
                }
                assert!(Instant::now() < deadline, "{answer:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        at(91);
        let answer = put_until(response::SERVICE_NOT_AVAILABLE, "x");
        for part in ["commitlog is 91 % full", "9216 MiB are free", "the limit is 90 %", "go on by themselves at 89 %"]
        {
            assert!(answer.remark.contains(part), "{part} in {answer:?}");
        }
        let table = |client: &mut TestClient| {
            let body = client.call(request::GET_BROKER_RUNTIME_INFO, &[], &[]).body;
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()["table"].clone()
        };
        let told = table(&mut broker.connect());
        assert_eq!((&told["diskLevel"], &told["commitLogDiskRatio"]), (&"refusing".into(), &"0.91".into()));
        assert!(told["diskRefusal"].as_str().is_some_and(|refusal| refusal.contains("91 % full")));
        at(50);
        put_until(0, "x");
        assert_eq!(table(&mut broker.connect())["diskLevel"], "ok");
    }
}

#[test]
fn state_files_that_cannot_be_written_are_told_and_written_when_there_is_room() {
    for loops in LOOPS {
        let (broker, faults) = start("fault-state", loops, false);
        let mut client = broker.connect();
        assert_eq!(client.put("T", 0, "before", "").code, 0);
        Faults::set(&faults.full_state, true);
        let fields = [("consumerGroup", "G"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "1")];
        assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &fields, &[]).code, 0, "it holds in memory");
        let mut told_until = |is_there: bool| {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let body = client.call(request::GET_BROKER_RUNTIME_INFO, &[], &[]).body;
                let info: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let told = info["table"]["stateFileFailure"].as_str().map(str::to_owned);
                if told.is_some() == is_there {
                    return told.unwrap_or_default();
                }
                assert!(Instant::now() < deadline, "{info}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        let told = told_until(true);
        assert!(told.contains("consumerOffset.json") || told.contains("subscriptionGroup.json"), "{told}");
        let mut client = broker.connect();
        let refused = client.put("NewTopic", 0, "x", "");
        assert_ne!(refused.code, 0, "a topic that is not on disk does not exist");
        assert!(refused.remark.contains("topics.json"), "{refused:?}");
        assert_eq!(client.put("T", 0, "after", "").code, 0, "the log is well");
        assert_eq!(client.pull("T", 0, 0).messages().len(), 2);
        Faults::set(&faults.full_state, false);
        told_until(false);
        assert_eq!(client.put("NewTopic", 0, "x", "").code, 0);
    }
}

#[test]
fn a_failed_write_ends_writing_until_a_restart_and_says_so() {
    for loops in LOOPS {
        let (broker, faults) = start("fault-write", loops, false);
        let mut client = broker.connect();
        assert_eq!(client.put("T", 0, "before", "").code, 0);
        Faults::set(&faults.broken_write, true);
        assert_eq!(client.put("T", 0, "lost", "").code, response::SERVICE_NOT_AVAILABLE);
        Faults::set(&faults.broken_write, false);
        let answer = client.put("T", 0, "still refused", "");
        assert_eq!(answer.code, response::SERVICE_NOT_AVAILABLE);
        assert!(answer.remark.contains("until the broker is restarted"), "{answer:?}");
        assert_eq!(client.pull("T", 0, 0).messages(), [(0, "before".to_owned())], "reading goes on");
        broker.crash();
    }
}

#[test]
fn a_failed_flush_takes_back_no_answer_and_gives_none() {
    for loops in LOOPS {
        let (broker, faults) = start("fault-sync", loops, true);
        let mut client = broker.connect();
        assert_eq!(client.put("T", 0, "durable", "").code, 0);
        Faults::set(&faults.broken_sync, true);
        let answer = client.put("T", 0, "not durable", "");
        assert_eq!(answer.code, response::SERVICE_NOT_AVAILABLE, "{answer:?}");
        assert!(answer.remark.contains("until the broker is restarted"), "{answer:?}");
        Faults::set(&faults.broken_sync, false);
        assert_eq!(client.put("T", 0, "refused", "").code, response::SERVICE_NOT_AVAILABLE);
        let pulled = client.pull("T", 0, 0);
        assert_eq!(pulled.messages(), [(0, "durable".to_owned())], "what is not durable is not shown");
        broker.crash();
    }
}

#[test]
fn a_flush_that_takes_too_long_is_told_with_where_the_message_is() {
    for loops in LOOPS {
        let (broker, faults) = start("fault-stuck", loops, true);
        let mut client = broker.connect();
        assert_eq!(client.put("T", 0, "0", "").code, 0);
        *faults.stuck.lock() = true;
        let asked = Instant::now();
        let answer = client.put("T", 0, "1", "UNIQ_KEY\u{1}u\u{2}");
        assert!(asked.elapsed() >= Duration::from_millis(290), "{:?}", asked.elapsed());
        assert_eq!((answer.code, answer.number("queueOffset")), (response::FLUSH_DISK_TIMEOUT, 1), "{answer:?}");
        assert_eq!((answer.get("msgId").len(), answer.get("transactionId")), (32, "u"));
        assert_eq!(client.put("T", 0, "2", "WAIT\u{1}false\u{2}").code, 0, "who does not wait is answered at once");
        assert_eq!(client.pull("T", 0, 1).code, response::PULL_NOT_FOUND, "nobody sees it before it is durable");
        let fields = pull_fields("G", "T", "0", "1", "6", "*");
        client.send(request::PULL_MESSAGE, &fields, &[]);
        faults.unstick();
        assert!(client.receive().messages().contains(&(1, "1".to_owned())));
        assert_eq!(client.put("T", 0, "3", "").code, 0);
    }
}

#[test]
fn messages_that_are_not_in_memory_are_read_beside_the_loop() {
    for loops in LOOPS {
        let (broker, faults) = start("fault-cold", loops, false);
        let mut client = broker.connect();
        for index in 0..40 {
            client.put("T", 0, &format!("{index}"), "TAGS\u{1}a\u{2}");
        }
        Faults::set(&faults.cold, true);
        let (mut next, mut wanted) = (0, 0);
        while next < 40 {
            let answer = client.pull("T", 0, next);
            assert_eq!(answer.code, 0, "{answer:?}");
            for (offset, body) in answer.messages() {
                assert_eq!((offset, body), (wanted, wanted.to_string()));
                wanted += 1;
            }
            next = answer.number("nextBeginOffset");
        }
        let answer = client.call(request::PULL_MESSAGE, &pull_fields("G", "T", "0", "0", "4", "b"), &[]);
        assert_eq!((answer.code, answer.number("nextBeginOffset")), (response::PULL_RETRY_IMMEDIATELY, 40));
        // Many at once, answered in any order.
        let asked: Vec<_> = (0..40)
            .map(|offset| {
                let offset = offset.to_string();
                client.send(request::PULL_MESSAGE, &pull_fields("G", "T", "0", &offset, "4", "*"), &[])
            })
            .collect();
        let mut answered: Vec<_> = (0..40).map(|_| client.receive().opaque).collect();
        answered.sort_unstable();
        assert_eq!(answered, asked);
    }
}
