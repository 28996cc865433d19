//! Queues and permissions of a topic, and settings of the broker, changed under running producers and consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::Mutex;

use super::*;
use crate::base::position::QueueId;
use crate::broker::handles::Handles;
use crate::wire::codes::response;

const PRODUCERS: usize = 2;
/// Sends between two looks of a producer at the route.
const ROUTE_SENDS: usize = 16;

/// What consumers have: the next offset of each queue, the bodies.
#[derive(Default)]
struct Consumed {
    next: BTreeMap<u32, i64>,
    bodies: BTreeSet<String>,
}

struct Traffic {
    handles: Arc<Handles>,
    addr: SocketAddr,
    stop_sending: AtomicBool,
    stop_reading: AtomicBool,
    consumed: Mutex<Consumed>,
}

impl Traffic {
    /// Sends as a client does: by a route that may be stale, again when it is refused.
    fn produce(&self, index: usize, acked: &SyncSender<(usize, String)>) {
        let mut client = TestClient::connect(self.addr);
        let mut queues = 1;
        for number in 0.. {
            let body = format!("{index}-{number}");
            let mut refused = false;
            loop {
                if self.stop_sending.load(Ordering::Relaxed) {
                    return;
                }
                if refused || number % ROUTE_SENDS == 0 {
                    queues = self.handles.topics.get("T").unwrap().write_queue_nums as usize;
                }
                let answer = client.put("T", (number % queues) as i32, &body, "");
                if answer.code == response::SUCCESS {
                    break;
                }
                let expected = [response::NO_PERMISSION, response::INVALID_PARAMETER, response::SYSTEM_ERROR];
                assert!(expected.contains(&answer.code), "{answer:?}");
                refused = true;
            }
            acked.send((index, body)).unwrap();
        }
    }

    fn consume(&self) {
        let mut client = TestClient::connect(self.addr);
        while !self.stop_reading.load(Ordering::Relaxed) {
            for queue in 0..self.handles.topics.get("T").unwrap().read_queue_nums {
                let next = self.consumed.lock().next.get(&queue).copied().unwrap_or(0);
                let answer = client.pull("T", queue as i32, next);
                if answer.code != response::SUCCESS {
                    assert!(
                        [
                            response::PULL_NOT_FOUND,
                            response::PULL_OFFSET_MOVED,
                            response::NO_PERMISSION,
                            response::INVALID_PARAMETER
                        ]
                        .contains(&answer.code),
                        "{answer:?}"
                    );
                    continue;
                }
                let mut consumed = self.consumed.lock();
                for (offset, body) in answer.messages() {
                    let next = consumed.next.entry(queue).or_default();
                    assert_eq!(offset, *next, "queue {queue} has no gap and nothing twice");
                    *next += 1;
                    assert!(consumed.bodies.insert(body.clone()), "{body} came twice");
                }
            }
        }
    }

    /// Whether everything in these queues is consumed.
    fn is_drained(&self, queues: std::ops::Range<u32>) -> bool {
        let consumed = self.consumed.lock();
        let max = |queue| self.handles.store.find_queue("T", QueueId(queue)).map_or(0, |queue| queue.max().0 as i64);
        queues.into_iter().all(|queue| consumed.next.get(&queue).copied().unwrap_or(0) >= max(queue))
    }
}

/// Ends the traffic of a test that failed: the scope waits for its threads.
struct Stopping<'a>(&'a Traffic);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.stop_sending.store(true, Ordering::Relaxed);
        self.0.stop_reading.store(true, Ordering::Relaxed);
    }
}

fn set(admin: &mut TestClient, write: u32, read: u32, perm: u32) {
    let (write, read, perm) = (write.to_string(), read.to_string(), perm.to_string());
    let fields = [
        ("topic", "T"),
        ("defaultTopic", "TBW102"),
        ("writeQueueNums", write.as_str()),
        ("readQueueNums", read.as_str()),
        ("perm", perm.as_str()),
        ("topicFilterType", "SINGLE_TAG"),
    ];
    let answer = admin.call(request::UPDATE_AND_CREATE_TOPIC, &fields, &[]);
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// Takes acknowledgements until every producer had `each` more of them; then all of them refreshed their routes. What is
/// there already may have been sent by the route before.
fn take(acked: &Receiver<(usize, String)>, each: usize, all: &mut BTreeSet<String>) {
    all.extend(acked.try_iter().map(|(_, body)| body));
    let mut counts = [0; PRODUCERS];
    while counts.iter().any(|count| *count < each) {
        let (index, body) = acked.recv_timeout(PATIENCE).expect("producers go on");
        counts[index] += 1;
        assert!(all.insert(body));
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_lost_while_queues_grow_and_shrink_and_permissions_change() {
    for loops in LOOPS {
        let broker = TestBroker::start("resize", Options { loops, ..Options::default() });
        let mut admin = broker.connect();
        set(&mut admin, 4, 4, 6);
        let traffic = Traffic {
            handles: broker.running().handles().clone(),
            addr: broker.running().addrs()[0],
            stop_sending: AtomicBool::new(false),
            stop_reading: AtomicBool::new(false),
            consumed: Mutex::default(),
        };
        let (send, acked) = sync_channel(100_000);
        let mut all = BTreeSet::new();
        let refreshed = 2 * ROUTE_SENDS + 8;
        std::thread::scope(|scope| {
            let _stopping = Stopping(&traffic);
            let producers: Vec<_> = (0..PRODUCERS)
                .map(|index| {
                    let (traffic, send) = (&traffic, send.clone());
                    scope.spawn(move || traffic.produce(index, &send))
                })
                .collect();
            scope.spawn(|| traffic.consume());
            take(&acked, refreshed, &mut all);
            // Growing: writes first, what comes into the new queues waits for the reads.
            set(&mut admin, 8, 4, 6);
            take(&acked, refreshed, &mut all);
            set(&mut admin, 8, 8, 6);
            take(&acked, refreshed, &mut all);
            until("the new queues are read", || traffic.consumed.lock().next.get(&7).is_some_and(|next| *next > 0));
            // Neither sends nor pulls are lost over a topic that is read-only or write-only for a while.
            for perm in [4, 6, 2, 6] {
                set(&mut admin, 8, 8, perm);
                if perm != 4 {
                    take(&acked, refreshed, &mut all);
                }
            }
            // Shrinking: writes down, the old queues drained, reads down.
            set(&mut admin, 2, 8, 6);
            take(&acked, refreshed, &mut all);
            take(&acked, refreshed, &mut all);
            until("the queues that go are drained", || traffic.is_drained(2..8));
            set(&mut admin, 2, 2, 6);
            take(&acked, refreshed, &mut all);
            traffic.stop_sending.store(true, Ordering::Relaxed);
            // Each ends with a last send that is acknowledged and has to be read as well.
            producers.into_iter().for_each(|producer| producer.join().expect("a producer ends by itself"));
            all.extend(acked.try_iter().map(|(_, body)| body));
            until("everything that was stored is read", || {
                traffic.consumed.lock().bodies.is_superset(&all) && traffic.is_drained(0..2)
            });
        });
        assert_eq!(traffic.consumed.lock().bodies, all, "with {loops} loops");
    }
}

#[test]
fn settings_change_under_open_connections() {
    for loops in LOOPS {
        let broker = TestBroker::start("settings", Options { loops, ..Options::default() });
        let (mut admin, mut client) = (broker.connect(), broker.connect());
        let mut change = |text: &str| {
            let answer = admin.call(request::UPDATE_BROKER_CONFIG, &[], text.as_bytes());
            assert_eq!(answer.code, 0, "{answer:?}");
        };
        assert_eq!(client.put("T", 0, "0123456789", "").code, 0);
        change("maxMessageSize=5\nregionId=moon\ntraceOn=false");
        assert_eq!(client.put("T", 0, "0123456789", "").code, response::MESSAGE_ILLEGAL);
        let answer = client.put("T", 0, "01234", "");
        assert_eq!((answer.code, answer.get("MSG_REGION"), answer.get("TRACE_ON")), (0, "moon", "false"));
        // A held pull hears that reading is over.
        let opaque = client.send(request::PULL_MESSAGE, &pull_fields("G", "T", "0", "2", "6", "*"), &[]);
        change("brokerPermission=2");
        let answer = client.receive();
        assert_eq!((answer.opaque, answer.code), (opaque, response::NO_PERMISSION), "{answer:?}");
        change("brokerPermission=6");
        assert_eq!(client.pull("T", 0, 0).messages().len(), 2);
    }
}
