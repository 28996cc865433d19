//! An operator's changes under the hands of running Java clients: queues grow and shrink, permissions come and go, one of
//! two brokers is closed or killed, the broker is killed after an answer. Nothing is lost, and nothing waits long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clients::{
    GROUP, QUIET, TOPIC, awake_ms, consume, consume_at, ends, has_committed_all, hears_all, keys, messages, saved,
    send, standing,
};
use crate::cluster::{Cluster, admin, our_broker, our_namesrv};
use crate::peers::{Client, Event, Folder, PATIENCE, Talk, call, kind, now, number, of_kind, text, wait_for_route};

/// How often these clients ask for routes and rebalance; 30 and 20 seconds without it.
const EAGER: [(&str, &str); 2] = [("poll_ms", "1000"), ("rocketmq.client.rebalance.waitInterval", "1000")];

/// Longest way of a message through a change: a producer may know a new queue at once, its consumer asks for the route
/// within one second and looks for its queues within another; the third is for two busy cores.
const WAY_MS: i64 = 3_000;

/// A producer and a consumer that run while the topic changes.
struct Traffic<'a> {
    cluster: &'a Cluster,
    producer: Talk,
    consumer: Talk,
}

impl<'a> Traffic<'a> {
    fn start(cluster: &'a Cluster, version: &'static str) -> Traffic<'a> {
        let namesrv = ("namesrv", cluster.namesrv.as_str());
        // The first send pays for the start of a virtual machine.
        let mut arguments = vec![namesrv, ("topic", TOPIC), ("pause_ms", "10"), ("timeout_ms", "10000")];
        arguments.extend(EAGER);
        let mut consumer = consume(cluster, Client::Java(version), "push", &EAGER);
        consumer.until("a message of those before", |heard| !messages(heard).is_empty());
        let producer = Talk::start(Client::Java(version), cluster.folder(), "stream", &arguments);
        let mut traffic = Traffic { cluster, producer, consumer };
        traffic.received_by("all four queues", 20, |queues| queues.len() == 4);
        traffic
    }

    fn set(&self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        admin(&self.cluster.namesrv, self.cluster.folder(), &words);
    }

    /// Waits until, since now, `count` messages were received from a set of queues that satisfies `enough`.
    fn received_by(&mut self, what: &str, count: usize, enough: impl Fn(&BTreeSet<i64>) -> bool) {
        let before = self.consumer.heard.len();
        self.consumer.until(what, |heard| {
            let new = messages(&heard[before..]);
            new.len() >= count && enough(&new.iter().map(|event| number(event, "queue")).collect())
        });
    }

    /// As `received_by`, of the last `count` messages only.
    fn settles_on(&mut self, what: &str, count: usize, enough: impl Fn(&BTreeSet<i64>) -> bool) {
        let before = self.consumer.heard.len();
        self.consumer.until(what, |heard| {
            let new = messages(&heard[before..]);
            new.len() >= count && enough(&new[new.len() - count..].iter().map(|event| number(event, "queue")).collect())
        });
    }

    fn until_drained(&self) {
        let deadline = Instant::now() + PATIENCE;
        for queue in 2..8 {
            loop {
                let fields = json!({"topic": TOPIC, "queueId": queue, "consumerGroup": GROUP});
                let end = call(self.cluster.broker, 30, fields.clone()).expect("an answer");
                let at = call(self.cluster.broker, 14, fields).expect("an answer");
                if end.header["extFields"]["offset"] == at.header["extFields"]["offset"] {
                    break;
                }
                assert!(Instant::now() < deadline, "queue {queue}: {at:?} of {end:?}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Ends both; what was stored was received, and every message within `WAY_MS` unless `except` tells of it. Gives what the
    /// producer said.
    fn end(self, except: impl Fn(&Event) -> bool) -> Vec<Event> {
        let sent = self.producer.finish();
        let stored: BTreeSet<String> =
            of_kind(&sent, "sent").iter().map(|event| text(event, "key").to_owned()).collect();
        let mut consumer = self.consumer;
        hears_all(&mut consumer, &stored);
        consumer.listen_for(Duration::from_millis(500));
        let heard = consumer.finish();
        let mut ways: Vec<(i64, &str)> = messages(&heard)
            .into_iter()
            .filter(|event| text(event, "key").starts_with("stream-") && !except(event))
            .map(|event| (awake_ms(&heard, number(event, "stored"), number(event, "now")), text(event, "key")))
            .collect();
        ways.sort_unstable();
        let (longest, key) = ways.last().expect("messages");
        assert!(*longest < WAY_MS, "{key} waited {longest} ms; the median is {} ms", ways[ways.len() / 2].0);
        sent
    }
}

fn queues_grow_and_shrink_under_java_clients_and_nothing_is_lost_or_late(version: &'static str) {
    let cluster = Cluster::start("resize");
    send(&cluster, Client::Java(version), &[("sync", "4")]);
    let mut traffic = Traffic::start(&cluster, version);
    traffic.set(&format!("updateTopic -c DefaultCluster -t {TOPIC} -r 8 -w 8 -p 6"));
    traffic.received_by("all eight queues", 20, |queues| queues.len() == 8);
    // Shrinking: no writes to what goes, what is there is consumed, then it is not read either.
    traffic.set(&format!("updateTopic -c DefaultCluster -t {TOPIC} -r 8 -w 2 -p 6"));
    traffic.settles_on("two queues only", 20, |queues| queues.iter().all(|queue| *queue < 2));
    // The consumer commits every five seconds.
    traffic.until_drained();
    traffic.set(&format!("updateTopic -c DefaultCluster -t {TOPIC} -r 2 -w 2 -p 6"));
    traffic.received_by("the two that stay", 20, |queues| queues.len() == 2);
    let sent = traffic.end(|_| false);
    let refused = of_kind(&sent, "refused");
    assert!(refused.is_empty(), "{refused:?}");
}

fn permissions_change_under_java_clients(version: &'static str) {
    let cluster = Cluster::start("permissions");
    send(&cluster, Client::Java(version), &[("sync", "4")]);
    let mut traffic = Traffic::start(&cluster, version);
    // Write only: sends go on, the consumer gets nothing of what is stored from now on.
    traffic.set(&format!("updateTopicPerm -c DefaultCluster -t {TOPIC} -p 2"));
    let (changed, sends) = (now(), traffic.producer.heard.len());
    let behind = |event: &&Event| number(event, "now") > changed;
    traffic.producer.until("sends that go on", |heard| of_kind(heard, "sent").into_iter().filter(behind).count() > 20);
    traffic.consumer.listen_for(QUIET);
    let read: Vec<&Event> =
        messages(&traffic.consumer.heard).into_iter().filter(|event| number(event, "stored") > changed).collect();
    assert!(read.is_empty(), "{read:?} while nothing may be read");
    // Read only: what waited is read, sends are refused.
    traffic.set(&format!("updateTopicPerm -c DefaultCluster -t {TOPIC} -p 4"));
    traffic.producer.until("a refused send", |heard| heard.iter().any(|event| kind(event) == "refused"));
    let told = |events: &[Event]| -> BTreeSet<String> {
        of_kind(events, "sent").iter().map(|event| text(event, "key").to_owned()).collect()
    };
    hears_all(&mut traffic.consumer, &told(&traffic.producer.heard));
    // What was stored while nobody might read waited for it, some of it from the moment of the change on.
    let waited = told(&traffic.producer.heard[sends..]);
    // Both again.
    traffic.set(&format!("updateTopicPerm -c DefaultCluster -t {TOPIC} -p 6"));
    traffic.received_by("messages again", 20, |_| true);
    traffic.end(|event| waited.contains(text(event, "key")));
}

#[test]
fn queues_grow_and_shrink_under_4_9_7_and_nothing_is_lost_or_late() {
    queues_grow_and_shrink_under_java_clients_and_nothing_is_lost_or_late("4.9.7");
}

#[test]
fn queues_grow_and_shrink_under_5_3_3_and_nothing_is_lost_or_late() {
    queues_grow_and_shrink_under_java_clients_and_nothing_is_lost_or_late("5.3.3");
}

#[test]
fn permissions_change_under_clients_of_4_9_7() {
    permissions_change_under_java_clients("4.9.7");
}

#[test]
fn permissions_change_under_clients_of_5_3_3() {
    permissions_change_under_java_clients("5.3.3");
}

/// Two brokers; one refuses writes, comes back, and is killed, and the producer's sends all succeed.
fn a_producer_goes_on_at_the_other_broker(client: Client) {
    let folder = Folder::new("two-brokers");
    let (_namesrv, namesrv) = our_namesrv(&folder);
    let address = namesrv.to_string();
    let (_one, _) = our_broker(&folder, &address, &folder.path().join("store-a"), &[("brokerName", "broker-a")]);
    let (mut two, _) = our_broker(&folder, &address, &folder.path().join("store-b"), &[("brokerName", "broker-b")]);
    wait_for_route(namesrv, "TBW102", &["broker-a", "broker-b"]);
    let told = |words: &str| admin(&address, folder.path(), &words.split(' ').collect::<Vec<_>>());
    told(&format!("updateTopic -c DefaultCluster -t {TOPIC} -r 4 -w 4 -p 6"));
    wait_for_route(namesrv, TOPIC, &["broker-a", "broker-b"]);
    let mut arguments = vec![("namesrv", address.as_str()), ("topic", TOPIC), ("group", "interop_producer")];
    arguments.extend([("sync", "300"), ("pause_ms", "20"), ("fault", "true")]);
    let mut producer = Talk::start(client, folder.path(), "send", &arguments);
    let count = |heard: &[Event]| of_kind(heard, "sent").len();
    producer.until("both brokers", |heard| {
        count(heard) >= 20 && (client == Client::Cpp || brokers(&heard[heard.len() - 20..]).len() == 2)
    });
    told("updateBrokerConfig -b broker-b -k brokerPermission -v 4");
    let closed = count(&producer.heard);
    producer.until("sends beside the closed broker", |heard| count(heard) >= closed + 60);
    told("updateBrokerConfig -b broker-b -k brokerPermission -v 6");
    two.kill();
    let killed = count(&producer.heard);
    producer.until("sends beside the dead broker", |heard| count(heard) >= killed + 60);
    let heard = producer.finish();
    let sent = of_kind(&heard, "sent");
    assert_eq!(sent.len(), 300);
    let failed: Vec<_> = sent.iter().enumerate().filter(|(_, event)| text(event, "status") != "SEND_OK").collect();
    if client == Client::Go {
        // client-go tries the next queue, which may be the dead broker's as well: some sends fail, and the others go on.
        assert!(failed.iter().all(|(at, _)| *at >= closed) && failed.len() < 60, "{failed:?}");
    } else {
        assert!(failed.is_empty(), "{failed:?}");
    }
}

fn brokers(events: &[Event]) -> BTreeSet<&str> {
    events.iter().map(|event| text(event, "broker")).filter(|broker| !broker.is_empty()).collect()
}

mod two_brokers {
    macro_rules! goes_on {
        ($($module:ident $client:expr;)*) => {
            $(
                pub mod $module {
                    use crate::peers::Client;
                    #[test]
                    fn a_producer_goes_on_at_the_other_broker() {
                        super::super::a_producer_goes_on_at_the_other_broker($client);
                    }
                }
            )*
        };
    }

    goes_on! {
        java_4_2_0 Client::Java("4.2.0");
        java_4_7_1 Client::Java("4.7.1");
        java_4_9_7 Client::Java("4.9.7");
        java_5_3_3 Client::Java("5.3.3");
        java_5_4_0 Client::Java("5.4.0");
        go_2_1_2 Client::Go;
        cpp_0_4_4 Client::Cpp;
    }
}

/// What the broker's runtime says under this name.
fn runtime(cluster: &Cluster, name: &str) -> u64 {
    let body = call(cluster.broker, 28, json!({})).expect("an answer").body;
    let table: Value = serde_json::from_slice(&body).expect("a table");
    table["table"][name].as_str().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {table}"))
}

/// What our broker or `dev` logged.
fn log(cluster: &Cluster) -> String {
    ["our-broker-a.out", "dev.out"]
        .iter()
        .filter_map(|name| std::fs::read_to_string(cluster.folder().join(name)).ok())
        .collect()
}

#[test]
fn members_that_subscribe_different_things_and_queues_without_an_owner_are_reported_by_name() {
    let cluster = Cluster::configured("reported", &[]);
    let client = Client::Java("4.9.7");
    send(&cluster, client, &[("sync", "8")]);
    assert_eq!(runtime(&cluster, "consumerSubscriptionMismatches"), 0);
    // One member takes two queues only, whatever the others do; the other two are nobody's.
    let mut one = consume(&cluster, client, "push", &[("expression", "TagA"), ("queues", "0,1")]);
    let started = |heard: &[Event]| heard.iter().any(|event| kind(event) == "started");
    one.until("its start", started);
    let mut two = consume(&cluster, client, "push", &[("expression", "TagB"), ("queues", "0,1")]);
    two.until("its start", started);
    let ids = [&one, &two].map(|talk| text(of_kind(&talk.heard, "started")[0], "client").to_owned());
    let deadline = Instant::now() + PATIENCE;
    while runtime(&cluster, "consumerSubscriptionMismatches") == 0 {
        assert!(Instant::now() < deadline, "the different subscriptions were not noticed");
        std::thread::sleep(Duration::from_millis(100));
    }
    let line = |about: &str| log(&cluster).lines().find(|line| line.contains(about)).map(str::to_owned);
    let warned = line("do not subscribe the same").expect("a warning");
    assert!(warned.contains("WARN") && warned.contains(GROUP), "{warned}");
    assert!(ids.iter().all(|id| warned.contains(id.as_str())), "{warned} names {ids:?}");
    assert!(warned.contains("TagA") && warned.contains("TagB"), "{warned}");
    // Three rebalances of a client, and the next look ten seconds later.
    let deadline = Instant::now() + PATIENCE + Duration::from_secs(30);
    while runtime(&cluster, "unconsumedQueues") < 2 {
        assert!(Instant::now() < deadline, "the queues without an owner were not noticed");
        std::thread::sleep(Duration::from_millis(500));
    }
    // What is consumed is not told of.
    let warned = line(&format!("takes nothing from queues 2, 3 of topic {TOPIC}")).expect("a warning");
    assert!(warned.contains("WARN") && warned.contains(GROUP), "{warned}");
    assert!(ids.iter().all(|id| warned.contains(id.as_str())), "{warned} names {ids:?}");
}

#[test]
fn commits_are_a_second_behind_after_a_kill_and_exact_after_a_stop() {
    let folder = Folder::new("commits");
    let store = folder.path().join("store");
    let (_namesrv, namesrv) = our_namesrv(&folder);
    let address = namesrv.to_string();
    let client = Client::Java("4.9.7");
    let start = || our_broker(&folder, &address, &store, &[]);
    let (mut broker, address_of) = start();
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    // A consumer that commits every 100 ms, so that what is lost is the broker's.
    let eager = [("group", GROUP), ("topic", TOPIC), ("persist_ms", "100")];
    crate::clients::send_at(&address, folder.path(), client, TOPIC, &[("sync", "4")]);
    let consumer = consume_at(&address, folder.path(), client, "push", &eager);
    let arguments = [("namesrv", address.as_str()), ("topic", TOPIC), ("pause_ms", "5"), ("timeout_ms", "10000")];
    let mut producer = Talk::start(client, folder.path(), "stream", &arguments);
    producer.until("messages", |heard| of_kind(heard, "sent").len() > 20);
    // What was committed when somebody asked is saved a moment later, again and again. A busy machine may make a save late,
    // but none comes before its time: the shortest wait tells how often offsets are saved.
    let mut committed = BTreeMap::new();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let before = committed;
        let moves = || {
            let now = standing(address_of, GROUP, TOPIC);
            (now.len() == 4 && now != before).then_some(now)
        };
        committed = wait_until("a commit", moves);
        let began = Instant::now();
        let covers = |saved: &BTreeMap<i64, i64>| committed.iter().all(|(queue, at)| saved.get(queue) >= Some(at));
        wait_until("a save", || covers(&saved(&store, GROUP, TOPIC)).then_some(()));
        waits.push(began.elapsed());
    }
    // The first began at any time between two saves.
    assert!(waits[1..].iter().min() < Some(&Duration::from_secs(1)), "{waits:?}");
    // The kill hits a consumer and a broker at work.
    broker.kill();
    drop((consumer.kill(), producer.kill()));
    let kept = saved(&store, GROUP, TOPIC);
    assert!(committed.iter().all(|(queue, at)| kept.get(queue) >= Some(at)), "{kept:?} for {committed:?}");
    let (mut broker, address_of) = start();
    assert_eq!(standing(address_of, GROUP, TOPIC), kept);
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    // A clean stop right behind the consumer's last commit.
    let mut consumer = consume_at(&address, folder.path(), client, "push", &eager);
    let sent = crate::clients::send_at(&address, folder.path(), client, TOPIC, &[("async", "40")]);
    hears_all(&mut consumer, &keys(&sent));
    has_committed_all(address_of, GROUP, TOPIC);
    let ends = ends(address_of, TOPIC);
    broker.stops_well();
    consumer.kill();
    let (_broker, address_of) = start();
    assert_eq!(standing(address_of, GROUP, TOPIC), ends, "exact after a clean stop");
}

/// Looks until it is there.
fn wait_until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn topics_groups_and_resets_outlive_a_kill_right_after_their_answer() {
    let folder = Folder::new("answered");
    let store = folder.path().join("store");
    let (_namesrv, namesrv) = our_namesrv(&folder);
    let address = namesrv.to_string();
    let client = Client::Java("4.9.7");
    let (mut broker, _) = our_broker(&folder, &address, &store, &[]);
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    let told = |words: &str| admin(&address, folder.path(), &words.split(' ').collect::<Vec<_>>());
    let sent = crate::clients::send_at(&address, folder.path(), client, TOPIC, &[("sync", "8")]);
    let mut consumer = consume_at(&address, folder.path(), client, "push", &[]);
    hears_all(&mut consumer, &keys(&sent));
    consumer.listen_for(QUIET);
    consumer.finish();
    type Holds = fn(std::net::SocketAddr) -> bool;
    let changes: [(&str, Holds); 5] = [
        ("updateTopic -c DefaultCluster -t Made -r 3 -w 2 -p 6", |broker| {
            let table = all(broker, 21)["topicConfigTable"]["Made"].clone();
            (table["readQueueNums"].as_i64(), table["writeQueueNums"].as_i64()) == (Some(3), Some(2))
        }),
        ("updateSubGroup -c DefaultCluster -g MadeGroup -r 3", |broker| {
            all(broker, 201)["subscriptionGroupTable"]["MadeGroup"]["retryMaxTimes"] == 3
        }),
        ("resetOffsetByTime -g interop_group -t interop_topic -s 1000", |broker| {
            standing(broker, GROUP, TOPIC).values().all(|offset| *offset == 0)
        }),
        ("deleteSubGroup -c DefaultCluster -g MadeGroup", |broker| {
            all(broker, 201)["subscriptionGroupTable"]["MadeGroup"].is_null()
        }),
        ("deleteTopic -c DefaultCluster -t Made", |broker| all(broker, 21)["topicConfigTable"]["Made"].is_null()),
    ];
    for (words, holds) in changes {
        told(words);
        broker.kill();
        let (again, address_of) = our_broker(&folder, &address, &store, &[]);
        broker = again;
        assert!(holds(address_of), "{words} was answered and is gone after a kill");
        wait_for_route(namesrv, "TBW102", &["broker-a"]);
    }
}

/// A table that the broker tells whole: 21 its topics, 201 its groups.
fn all(broker: std::net::SocketAddr, code: i32) -> Value {
    let body = call(broker, code, json!({})).expect("an answer").body;
    serde_json::from_slice(&body).expect("JSON")
}
