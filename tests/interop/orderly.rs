//! Orderly consumption while consumers die: at no time two clients work on one queue, and no message is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::clients::{GROUP, TOPIC, messages, send};
use crate::cluster::Cluster;
use crate::peers::{Client, Event, Talk, number, of_kind, text};

/// How long a lock outlives its client here; Java's 60 seconds would be most of the test.
const LOCK_LIFETIME: (&str, &str) = ("rebalanceLockMaxLiveTime", "6000");
/// Clients of such a broker have to renew sooner, and to give up their locks before the broker does.
const CLIENT_LOCKS: [(&str, &str); 3] = [
    ("rocketmq.client.rebalance.lockInterval", "1000"),
    ("rocketmq.client.rebalance.lockMaxLiveTime", "3000"),
    ("rocketmq.client.rebalance.waitInterval", "1000"),
];
const KILLS: usize = 4;

/// Work on one message: when it began and ended, by whom, at which offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    begin: i64,
    end: i64,
    worker: usize,
    offset: i64,
}

/// The work of one process, by queue. What it had begun when it was killed lasts until then.
fn spans(worker: usize, heard: &[Event], killed: Option<i64>) -> Vec<(i64, Span)> {
    let mut ends: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for end in of_kind(heard, "worked") {
        ends.entry((number(end, "queue"), number(end, "offset"))).or_default().push(number(end, "now"));
    }
    let mut spans = Vec::new();
    for begun in messages(heard) {
        let (queue, offset, begin) = (number(begun, "queue"), number(begun, "offset"), number(begun, "now"));
        let end = ends.get(&(queue, offset)).and_then(|ends| ends.iter().copied().find(|end| *end >= begin));
        let end = end.or(killed.map(|alive| alive.max(begin))).unwrap_or(begin);
        spans.push((queue, Span { begin, end, worker, offset }));
    }
    spans
}

fn orderly_consumers_that_are_killed_leave_neither_overlaps_nor_gaps(versions: [&'static str; 3]) {
    let cluster = Cluster::configured("orderly-kills", &[LOCK_LIFETIME]);
    // The topic is there before anybody looks for it.
    send(&cluster, Client::Java(versions[0]), &[("sync", "4")]);
    let start = |version: &'static str| -> Talk {
        let mut arguments = vec![("namesrv", cluster.namesrv.as_str()), ("group", GROUP), ("topic", TOPIC)];
        arguments.extend([("orderly", "true"), ("work_ms", "4")]);
        arguments.extend(CLIENT_LOCKS);
        Talk::start(Client::Java(version), cluster.folder(), "push", &arguments)
    };
    let mut running: Vec<(usize, Talk)> = versions.iter().copied().map(start).enumerate().collect();
    let mut done: Vec<(i64, Span)> = Vec::new();
    let arguments = [("namesrv", cluster.namesrv.as_str()), ("topic", TOPIC), ("pause_ms", "10"), ("selector", "true")];
    // The first send pays for the start of a virtual machine.
    let arguments = [&arguments[..], &[("timeout_ms", "10000")]].concat();
    let mut producer = Talk::start(Client::Java(versions[0]), cluster.folder(), "stream", &arguments);
    producer.until("some messages", |heard| of_kind(heard, "sent").len() > 20);
    for kill in 0..KILLS {
        let place = kill % running.len();
        let (worker, mut victim) = running.remove(place);
        // It is killed at work: with locks, and with messages in its hands.
        let before = messages(&victim.heard).len();
        victim.until("messages of its own", |heard| messages(heard).len() >= before + 10);
        let (heard, alive) = victim.kill();
        done.extend(spans(worker, &heard, Some(alive)));
        running.push((versions.len() + kill, start(versions[place])));
    }
    let sent = producer.finish();
    let refused = of_kind(&sent, "refused");
    assert!(refused.is_empty(), "{refused:?}");
    let wanted: BTreeSet<String> = of_kind(&sent, "sent").iter().map(|event| text(event, "key").to_owned()).collect();
    let mut got: BTreeSet<String> = BTreeSet::new();
    let deadline = Instant::now() + crate::peers::PATIENCE;
    let mut seen = vec![0; running.len()];
    let places: BTreeMap<(i64, i64), &str> = of_kind(&sent, "sent")
        .iter()
        .map(|event| ((number(event, "queue"), number(event, "offset")), text(event, "key")))
        .collect();
    got.extend(done.iter().filter_map(|(queue, span)| places.get(&(*queue, span.offset))).map(|key| (*key).to_owned()));
    while !wanted.is_subset(&got) {
        for ((_, talk), seen) in running.iter_mut().zip(&mut seen) {
            talk.listen_for(Duration::from_millis(50));
            got.extend(messages(&talk.heard[*seen..]).iter().map(|event| text(event, "key").to_owned()));
            *seen = talk.heard.len();
        }
        assert!(Instant::now() < deadline, "{} of {} messages were received", got.len(), wanted.len());
    }
    for (worker, talk) in running {
        let heard = talk.finish();
        done.extend(spans(worker, &heard, None));
    }
    let mut queues: BTreeMap<i64, Vec<Span>> = BTreeMap::new();
    for (queue, span) in done {
        queues.entry(queue).or_default().push(span);
    }
    assert_eq!(queues.len(), 4);
    let mut taken_over = 0;
    for (queue, mut spans) in queues {
        spans.sort();
        let mut furthest = spans[0].offset;
        assert_eq!(furthest, 0, "queue {queue} begins at its first message");
        for pair in spans.windows(2) {
            assert!(pair[0].end <= pair[1].begin, "queue {queue}: {:?} overlaps {:?}", pair[0], pair[1]);
            // Again from the last commit after a kill, but never further on than the next message.
            assert!(pair[1].offset <= furthest + 1, "queue {queue}: {:?} skips messages behind {furthest}", pair[1]);
            taken_over += usize::from(pair[0].worker != pair[1].worker);
            furthest = furthest.max(pair[1].offset);
        }
    }
    assert!(taken_over >= KILLS, "queues changed hands {taken_over} times");
}

#[test]
fn orderly_consumers_of_4_9_7_that_are_killed_leave_neither_overlaps_nor_gaps() {
    orderly_consumers_that_are_killed_leave_neither_overlaps_nor_gaps(["4.9.7", "4.9.7", "4.9.7"]);
}

#[test]
fn orderly_consumers_of_4_7_1_and_5_3_3_that_are_killed_leave_neither_overlaps_nor_gaps() {
    orderly_consumers_that_are_killed_leave_neither_overlaps_nor_gaps(["5.3.3", "4.7.1", "5.3.3"]);
}
