//! What every published client must be able to do against us: one function per sentence, one module per client.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::Cluster;
use crate::peers::{Client, Event, PATIENCE, Talk, call, kind, number, of_kind, text};

/// The topic of the tests that need but one.
pub const TOPIC: &str = "interop_topic";
/// The consumer group likewise.
pub const GROUP: &str = "interop_group";

/// Long enough that a second delivery would be seen, short enough for a suite.
pub const QUIET: Duration = Duration::from_millis(1500);

/// The body that the programs give to the message with this key, as (CRC-32, length).
pub fn body_of(key: &str) -> (i64, i64) {
    let line = format!("{key} 消息 ✓");
    let body = if key.starts_with("big-") { format!("{line}\n").repeat(400) } else { line };
    let mut crc = crc32fast::Hasher::new();
    crc.update(body.as_bytes());
    (i64::from(crc.finalize()), body.len() as i64)
}

/// Runs a producer of [`TOPIC`] to its end and checks that every send was answered as stored.
pub fn send(cluster: &Cluster, client: Client, more: &[(&str, &str)]) -> Vec<Event> {
    send_at(&cluster.namesrv, cluster.folder(), client, TOPIC, more)
}

/// [`send`] to any cluster and topic.
pub fn send_at(namesrv: &str, folder: &Path, client: Client, topic: &str, more: &[(&str, &str)]) -> Vec<Event> {
    let mut arguments = vec![("namesrv", namesrv), ("group", "interop_producer"), ("topic", topic)];
    arguments.extend_from_slice(more);
    let heard = Talk::start(client, folder, "send", &arguments).finish();
    let sent: Vec<Event> = of_kind(&heard, "sent").into_iter().cloned().collect();
    for event in &sent {
        let expected = if text(event, "key").starts_with("oneway-") { "ONEWAY" } else { "SEND_OK" };
        assert_eq!(text(event, "status"), expected, "{event:?}");
    }
    sent
}

/// Starts a consumer of [`TOPIC`] in [`GROUP`], unless `more` names others.
pub fn consume(cluster: &Cluster, client: Client, verb: &str, more: &[(&str, &str)]) -> Talk {
    consume_at(&cluster.namesrv, cluster.folder(), client, verb, more)
}

/// [`consume`] at any cluster.
pub fn consume_at(namesrv: &str, folder: &Path, client: Client, verb: &str, more: &[(&str, &str)]) -> Talk {
    let mut arguments = vec![("namesrv", namesrv)];
    for pair in [("group", GROUP), ("topic", TOPIC)] {
        if !more.iter().any(|(name, _)| *name == pair.0) {
            arguments.push(pair);
        }
    }
    arguments.extend_from_slice(more);
    Talk::start(client, folder, verb, &arguments)
}

pub fn messages(events: &[Event]) -> Vec<&Event> {
    of_kind(events, "message")
}

pub fn keys(events: &[Event]) -> BTreeSet<String> {
    events.iter().map(|event| text(event, "key").to_owned()).filter(|key| !key.is_empty()).collect()
}

pub fn hears_all(talk: &mut Talk, sent: &BTreeSet<String>) {
    let wanted = sent.clone();
    talk.until(&format!("{} messages", sent.len()), move |heard| {
        let got: BTreeSet<&str> = messages(heard).iter().map(|event| text(event, "key")).collect();
        wanted.iter().all(|key| got.contains(key.as_str()))
    });
}

/// The milliseconds between two moments in which the machine let the consumer that said all this run: peers tell of the
/// others. What it heard late while it was not let run was not sent late.
pub fn awake_ms(heard: &[Event], from: i64, to: i64) -> i64 {
    let overlap = |stall: &&Event| (number(stall, "now").min(to) - number(stall, "from").max(from)).max(0);
    to - from - of_kind(heard, "stall").iter().map(overlap).sum::<i64>()
}

/// Where the group stands in each of the four queues of a topic, as the broker tells it; a queue that it never committed is
/// not there.
pub fn standing(broker: SocketAddr, group: &str, topic: &str) -> BTreeMap<i64, i64> {
    let place = |queue: i64| {
        let fields = json!({"topic": topic, "queueId": queue, "consumerGroup": group});
        let answer = call(broker, 14, fields).expect("an answer");
        Some((queue, answer.header["extFields"]["offset"].as_str()?.parse().expect("an offset")))
    };
    (0..4).filter_map(place).collect()
}

/// Where each of the four queues of a topic ends.
pub fn ends(broker: SocketAddr, topic: &str) -> BTreeMap<i64, i64> {
    let end = |queue: i64| {
        let answer = call(broker, 30, json!({"topic": topic, "queueId": queue})).expect("an answer");
        let offset = answer.header["extFields"]["offset"].as_str().and_then(|text| text.parse().ok());
        (queue, offset.expect("an offset"))
    };
    (0..4).map(end).collect()
}

/// Waits until the broker knows that the group has consumed all of the topic.
pub fn has_committed_all(broker: SocketAddr, group: &str, topic: &str) {
    let deadline = Instant::now() + PATIENCE;
    while standing(broker, group, topic) != ends(broker, topic) {
        let found = standing(broker, group, topic);
        assert!(Instant::now() < deadline, "{group} stands at {found:?} of {:?}", ends(broker, topic));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Where the group stands by the file in the store; empty where the file does not tell.
pub fn saved(store: &Path, group: &str, topic: &str) -> BTreeMap<i64, i64> {
    let text = std::fs::read_to_string(store.join("config/consumerOffset.json")).unwrap_or_default();
    let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
    let Some((_, rest)) = text.split_once(&format!("{topic}@{group}:{{")) else { return BTreeMap::new() };
    let pairs = rest.split('}').next().unwrap_or_default().split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(queue, offset)| (queue.parse().expect("a queue"), offset.parse().expect("an offset"))).collect()
}

/// Each sent message exactly once, with its body, properties, id, queue and offset.
pub fn same_messages(client: Client, sent: &[Event], received: &[&Event]) {
    let mut by_key: HashMap<&str, &Event> = HashMap::new();
    for event in received {
        assert!(by_key.insert(text(event, "key"), event).is_none(), "received twice: {event:?}");
    }
    assert_eq!(by_key.len(), sent.len(), "as many received as sent");
    for send in sent {
        let key = text(send, "key");
        let event = by_key.get(key).unwrap_or_else(|| panic!("{key} was not received"));
        assert_eq!((number(event, "crc"), number(event, "len")), body_of(key), "the body of {key}");
        assert_eq!(number(event, "reconsume"), 0);
        let properties = event["properties"].as_object().expect("properties");
        assert_eq!(properties["n"].as_str(), key.rsplit('-').next(), "{key}");
        assert_eq!(properties["unicode"].as_str(), Some("属性 ✓"), "{key}");
        for field in ["queue", "offset"] {
            if let Some(value) = send.get(field) {
                assert_eq!(Some(value), event.get(field), "{field} of {key}");
            }
        }
        // The wrapper of a 5.x batch has an id of its own, which every broker of Java stores after the item's and which wins.
        let wrapped = key.starts_with("batch-") && matches!(client, Client::Java(version) if version.starts_with('5'));
        if !text(send, "msgId").is_empty() && !wrapped {
            assert_eq!(text(send, "msgId"), text(event, "msgId"), "the id of {key}");
        }
    }
    let mut offsets: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for event in received {
        offsets.entry(number(event, "queue")).or_default().insert(number(event, "offset"));
    }
    for (queue, offsets) in offsets {
        let count = offsets.len() as i64;
        assert_eq!(offsets.into_iter().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>(), "queue {queue} has no gap");
    }
}

/// The kinds of sends that every client knows, and how many of each. The C++ client's batches are a test of their own.
fn every_kind(client: Client) -> Vec<(&'static str, &'static str)> {
    EVERY_KIND.into_iter().filter(|(kind, _)| client != Client::Cpp || *kind != "batch").collect()
}

const EVERY_KIND: [(&str, &str); 7] = [
    ("sync", "8"),
    ("async", "8"),
    ("oneway", "4"),
    ("batch", "5"),
    ("selector", "8"),
    ("big", "4"),
    ("tags", "TagA,TagB,TagC"),
];

fn every_kind_of_send_is_received_once_with_its_body_id_queue_and_offset(client: Client) {
    let cluster = Cluster::start("every-kind");
    let sent = send(&cluster, client, &every_kind(client));
    assert_eq!(sent.len(), if client == Client::Cpp { 32 } else { 37 });
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&sent));
    consumer.listen_for(QUIET);
    let heard = consumer.finish();
    same_messages(client, &sent, &messages(&heard));
    for event in messages(&heard) {
        let i: usize = event["properties"]["n"].as_str().and_then(|n| n.parse().ok()).expect("n");
        assert_eq!(text(event, "tags"), ["TagA", "TagB", "TagC"][i % 3]);
    }
}

fn a_selector_chooses_the_queue_and_the_order_within_it_is_kept(client: Client) {
    let cluster = Cluster::start("selector");
    let sent = send(&cluster, client, &[("selector", "40")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&sent));
    let heard = consumer.finish();
    let mut queues: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    for event in messages(&heard) {
        let n: i64 = text(event, "key").rsplit('-').next().and_then(|n| n.parse().ok()).expect("n");
        queues.entry(number(event, "queue")).or_default().push((number(event, "offset"), n));
    }
    assert_eq!(queues.len(), 4, "an auto-created topic has four queues for clients");
    for (queue, mut pairs) in queues {
        pairs.sort();
        let order: Vec<i64> = pairs.iter().map(|(_, n)| *n).collect();
        assert!(order.is_sorted(), "queue {queue}: {order:?}");
        assert!(order.iter().all(|n| n % 4 == order[0] % 4), "queue {queue} holds its own residue: {order:?}");
    }
}

fn a_tag_filter_lets_only_its_tags_through(client: Client) {
    let cluster = Cluster::start("tags");
    let sent = send(&cluster, client, &[("sync", "30"), ("tags", "TagA,TagB,TagC")]);
    let wanted: BTreeSet<String> = keys(&sent)
        .into_iter()
        .filter(|key| !key.rsplit('-').next().is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n % 3 == 1)))
        .collect();
    assert_eq!(wanted.len(), 20);
    let mut consumer = consume(&cluster, client, "push", &[("expression", "TagA || TagC")]);
    hears_all(&mut consumer, &wanted);
    consumer.listen_for(QUIET);
    let heard = consumer.finish();
    assert_eq!(messages(&heard).len(), 20);
    assert!(messages(&heard).iter().all(|event| matches!(text(event, "tags"), "TagA" | "TagC")));
}

fn in_broadcast_every_consumer_gets_every_message(client: Client) {
    let cluster = Cluster::start("broadcast");
    send(&cluster, client, &[("sync", "1")]);
    let broadcast = [("model", "BROADCASTING")];
    let home = [cluster.folder().join("one"), cluster.folder().join("two")];
    let mut consumers: Vec<Talk> = home
        .iter()
        .map(|folder| {
            // Broadcast offsets are the client's own, in its home: each consumer has one.
            std::fs::create_dir_all(folder).expect("a home");
            consume_at(&cluster.namesrv, folder, client, "push", &broadcast)
        })
        .collect();
    for consumer in &mut consumers {
        consumer.until("its start", |heard| heard.iter().any(|event| kind(event) == "started"));
    }
    let sent = send(&cluster, client, &[("async", "30")]);
    for consumer in &mut consumers {
        hears_all(consumer, &keys(&sent));
    }
    for consumer in consumers {
        let heard = consumer.finish();
        let got: Vec<&str> =
            messages(&heard).iter().map(|event| text(event, "key")).filter(|key| key.starts_with("async-")).collect();
        assert_eq!(got.len(), 30, "each once: {got:?}");
    }
}

fn two_consumers_share_the_queues_and_the_one_that_stays_takes_over(client: Client) {
    let cluster = Cluster::start("rebalance");
    let first_sent = send(&cluster, client, &[("sync", "8")]);
    let mut one = consume(&cluster, client, "push", &[]);
    hears_all(&mut one, &keys(&first_sent));
    let mut two = consume(&cluster, client, "push", &[]);
    two.until("its start", |heard| heard.iter().any(|event| kind(event) == "started"));
    // Rounds of messages to all queues, until both got some of one round: the queues are shared.
    let mut shared = false;
    for round in 0..20 {
        let before = (one.heard.len(), two.heard.len());
        let sent = send(&cluster, client, &[("selector", "8")]);
        let ids: BTreeSet<String> = sent.iter().map(|event| text(event, "msgId").to_owned()).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            one.listen_for(Duration::from_millis(50));
            two.listen_for(Duration::from_millis(50));
            let got: BTreeSet<String> = messages(&one.heard[before.0..])
                .iter()
                .chain(messages(&two.heard[before.1..]).iter())
                .map(|event| text(event, "msgId").to_owned())
                .collect();
            if ids.is_subset(&got) {
                break;
            }
            assert!(Instant::now() < deadline, "round {round}: {} of {} received", got.len(), ids.len());
        }
        let queues = |events: &[Event]| -> BTreeSet<i64> {
            messages(events).iter().map(|event| number(event, "queue")).collect()
        };
        let (left, right) = (queues(&one.heard[before.0..]), queues(&two.heard[before.1..]));
        if left.len() == 2 && right.len() == 2 && left.is_disjoint(&right) {
            shared = true;
            break;
        }
    }
    assert!(shared, "four queues are never shared two and two");
    one.finish();
    let before = two.heard.len();
    let last = send(&cluster, client, &[("selector", "8")]);
    let ids: BTreeSet<String> = last.iter().map(|event| text(event, "msgId").to_owned()).collect();
    two.until("the messages of all four queues", |heard| {
        let got: BTreeSet<String> =
            messages(&heard[before..]).iter().map(|event| text(event, "msgId").to_owned()).collect();
        ids.is_subset(&got)
    });
    two.finish();
}

fn a_consumer_that_comes_back_goes_on_where_it_stopped(client: Client) {
    let cluster = Cluster::start("comes-back");
    let first = send(&cluster, client, &[("sync", "12")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&first));
    // The client takes in the listener's last verdict a moment after it was given.
    consumer.listen_for(QUIET);
    consumer.finish();
    let second = send(&cluster, client, &[("async", "12")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&second));
    consumer.listen_for(QUIET);
    let heard = consumer.finish();
    let got: BTreeSet<String> = messages(&heard).iter().map(|event| text(event, "key").to_owned()).collect();
    assert_eq!(got, keys(&second), "nothing of the first round comes again");
}

fn a_waiting_consumer_gets_a_message_within_a_second_of_its_storing(client: Client) {
    let cluster = Cluster::start("long-polling");
    let first = send(&cluster, client, &[("sync", "4")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&first));
    let before = consumer.heard.len();
    let sent = send(&cluster, client, &[("async", "4"), ("selector", "4")]);
    hears_all(&mut consumer, &keys(&sent));
    let heard = consumer.finish();
    let wait = |event: &&Event| awake_ms(&heard, number(event, "stored"), number(event, "now"));
    let waits: Vec<i64> = messages(&heard[before..]).iter().map(wait).collect();
    assert!(waits.iter().all(|wait| *wait < 1000), "milliseconds from store to consumer: {waits:?}");
}

fn a_pull_consumer_reads_every_queue_from_its_first_to_its_last_message(client: Client) {
    let cluster = Cluster::start("pull");
    let sent = send(&cluster, client, &every_kind(client));
    let heard = match client {
        // client-go's pull consumer polls like a subscriber.
        Client::Go => {
            let mut consumer = consume(&cluster, client, "pull", &[]);
            hears_all(&mut consumer, &keys(&sent));
            consumer.finish()
        }
        _ => consume(&cluster, client, "pull", &[]).finish(),
    };
    same_messages(client, &sent, &messages(&heard));
    if matches!(client, Client::Java(_)) {
        let queues = of_kind(&heard, "queue");
        assert_eq!(queues.len(), 4);
        let total: i64 = queues.iter().map(|queue| number(queue, "max") - number(queue, "min")).sum();
        assert_eq!(total, sent.len() as i64);
        for queue in &queues {
            assert_eq!(number(queue, "search_first"), number(queue, "min"), "{queue:?}");
            assert!(number(queue, "earliest") > 0, "{queue:?}");
        }
        for (end, queue) in of_kind(&heard, "end").iter().zip(&queues) {
            assert_eq!(text(end, "status"), "NO_NEW_MSG", "{end:?}");
            assert_eq!(number(end, "next"), number(queue, "max"));
        }
    }
}

fn a_lite_pull_consumer_gets_every_message_by_subscription(client: Client) {
    let cluster = Cluster::start("lite-pull");
    let sent = send(&cluster, client, &every_kind(client));
    let mut consumer = consume(&cluster, client, "litePull", &[]);
    hears_all(&mut consumer, &keys(&sent));
    consumer.listen_for(QUIET);
    let heard = consumer.finish();
    same_messages(client, &sent, &messages(&heard));
    let committed: i64 = of_kind(&heard, "committed").iter().map(|event| number(event, "offset")).sum();
    assert_eq!(committed, sent.len() as i64);
}

fn a_lite_pull_consumer_gets_every_message_of_the_queues_it_assigned_itself(client: Client) {
    let cluster = Cluster::start("lite-assign");
    let sent = send(&cluster, client, &every_kind(client));
    let mut consumer = consume(&cluster, client, "litePull", &[("assign", "true")]);
    hears_all(&mut consumer, &keys(&sent));
    let heard = consumer.finish();
    same_messages(client, &sent, &messages(&heard));
}

/// Every Java broker answers a new group with 0 while the queue begins at 0, so that FROM_LAST and FROM_TIMESTAMP only count
/// where older messages are gone.
fn a_new_group_starts_at_the_beginning_while_it_is_still_there(client: Client) {
    let cluster = Cluster::start("from-where");
    let sent = send(&cluster, client, &[("sync", "8")]);
    for from in ["CONSUME_FROM_LAST_OFFSET", "CONSUME_FROM_TIMESTAMP"] {
        let mut consumer = consume(&cluster, client, "push", &[("group", from), ("from", from)]);
        hears_all(&mut consumer, &keys(&sent));
        consumer.finish();
    }
}

fn headers_in_the_rocketmq_form_are_understood_and_answered(client: Client) {
    let cluster = Cluster::start("binary-headers");
    let binary = ("rocketmq.serialize.type", "ROCKETMQ");
    let mut sends = every_kind(client);
    sends.push(binary);
    let sent = send(&cluster, client, &sends);
    let mut consumer = consume(&cluster, client, "push", &[binary]);
    hears_all(&mut consumer, &keys(&sent));
    let heard = consumer.finish();
    same_messages(client, &sent, &messages(&heard));
}

fn the_vip_port_two_below_serves_everything(client: Client) {
    let cluster = Cluster::start("vip");
    let mut sends = every_kind(client);
    sends.push(("vip", "true"));
    let sent = send(&cluster, client, &sends);
    let mut consumer = consume(&cluster, client, "push", &[("vip", "true")]);
    hears_all(&mut consumer, &keys(&sent));
    let heard = consumer.finish();
    same_messages(client, &sent, &messages(&heard));
}

fn a_topic_that_a_client_creates_has_the_queues_it_asked_for(client: Client) {
    let cluster = Cluster::start("create");
    let heard = consume(&cluster, client, "create", &[("topic", "made_by_a_client"), ("queues", "6")]).finish();
    assert_eq!(number(of_kind(&heard, "created")[0], "queues"), 6);
}

fn traces_of_sends_arrive_in_the_trace_topic(client: Client) {
    // A topic of its own, as clients look for the system's one where the broker made it.
    let cluster = Cluster::configured("trace", &[("traceTopicEnable", "true")]);
    let mut producer = consume(&cluster, client, "send", &[("sync", "5"), ("trace", "true")]);
    producer.until("five sends", |heard| of_kind(heard, "sent").len() == 5);
    let arrived =
        || call(cluster.broker, 30, json!({"topic": "RMQ_SYS_TRACE_TOPIC", "queueId": 0})).expect("an answer");
    let deadline = Instant::now() + PATIENCE;
    while arrived().header["extFields"]["offset"] == "0" {
        assert!(Instant::now() < deadline, "no trace: {:?}", arrived());
        std::thread::sleep(Duration::from_millis(50));
    }
    producer.finish();
    let reader = Client::Java("4.9.7");
    let heard = consume(&cluster, reader, "pull", &[("topic", "RMQ_SYS_TRACE_TOPIC")]).finish();
    assert!(!messages(&heard).is_empty());
}

fn the_admin_package_makes_lists_and_deletes_a_topic(client: Client) {
    let cluster = Cluster::start("admin-package");
    let broker = cluster.broker.to_string();
    let arguments = [("topic", "made_by_a_client"), ("queues", "6"), ("broker", broker.as_str())];
    let heard = consume(&cluster, client, "admin", &arguments).finish();
    assert_eq!(number(of_kind(&heard, "created")[0], "queues"), 6);
    assert_eq!(of_kind(&heard, "listed")[0]["is"], true);
    assert_eq!(of_kind(&heard, "deleted")[0]["listed"], false);
    let names = of_kind(&heard, "groups")[0]["names"].as_array().expect("names").clone();
    assert!(names.iter().any(|name| name == "TOOLS_CONSUMER"), "{names:?}");
}

/// The C++ client says `batch: "1"`. Java's brokers read that as false and hand out the whole batch as one message with an
/// unreadable body; ours takes it for what it is.
fn a_batch_that_says_1_for_true_is_received_as_its_messages(client: Client) {
    let cluster = Cluster::start("cpp-batch");
    let sent = send(&cluster, client, &[("batch", "5"), ("sync", "3")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&sent));
    consumer.listen_for(QUIET);
    let heard = consumer.finish();
    same_messages(client, &sent, &messages(&heard));
}

macro_rules! proves {
    ($client:expr; $($sentence:ident)*) => {
        $(
            #[test]
            fn $sentence() {
                super::$sentence($client);
            }
        )*
    };
}

macro_rules! client {
    ($module:ident, $client:expr $(, $more:ident)*) => {
        mod $module {
            use crate::peers::Client;
            proves! { $client;
                every_kind_of_send_is_received_once_with_its_body_id_queue_and_offset
                a_selector_chooses_the_queue_and_the_order_within_it_is_kept
                a_tag_filter_lets_only_its_tags_through
                in_broadcast_every_consumer_gets_every_message
                two_consumers_share_the_queues_and_the_one_that_stays_takes_over
                a_consumer_that_comes_back_goes_on_where_it_stopped
                a_waiting_consumer_gets_a_message_within_a_second_of_its_storing
                a_pull_consumer_reads_every_queue_from_its_first_to_its_last_message
                $($more)*
            }
        }
    };
}

macro_rules! java {
    ($module:ident, $version:expr) => {
        client!(
            $module,
            Client::Java($version),
            a_lite_pull_consumer_gets_every_message_by_subscription,
            a_lite_pull_consumer_gets_every_message_of_the_queues_it_assigned_itself,
            a_new_group_starts_at_the_beginning_while_it_is_still_there,
            headers_in_the_rocketmq_form_are_understood_and_answered,
            the_vip_port_two_below_serves_everything,
            a_topic_that_a_client_creates_has_the_queues_it_asked_for,
            traces_of_sends_arrive_in_the_trace_topic
        );
    };
}

client!(
    java_4_2_0,
    Client::Java("4.2.0"),
    a_new_group_starts_at_the_beginning_while_it_is_still_there,
    headers_in_the_rocketmq_form_are_understood_and_answered,
    the_vip_port_two_below_serves_everything,
    a_topic_that_a_client_creates_has_the_queues_it_asked_for
);
java!(java_4_7_1, "4.7.1");
java!(java_4_9_7, "4.9.7");
java!(java_5_3_3, "5.3.3");
java!(java_5_4_0, "5.4.0");
client!(
    go_2_1_2,
    Client::Go,
    traces_of_sends_arrive_in_the_trace_topic,
    the_admin_package_makes_lists_and_deletes_a_topic
);
client!(cpp_0_4_4, Client::Cpp, a_batch_that_says_1_for_true_is_received_as_its_messages);
