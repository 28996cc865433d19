//! Retries, dead letters, delays, order, queries, request and reply, as the published clients do them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clients::{GROUP, QUIET, TOPIC, consume, hears_all, keys, messages, send};
use crate::cluster::Cluster;
use crate::peers::{Client, Event, kind, number, of_kind, text};

/// Delay levels of one second each, so that sixteen retries take a quarter of a minute; the third is two seconds.
const SHORT_LEVELS: (&str, &str) = ("messageDelayLevel", "1s 1s 2s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s");

/// A group whose retry topic exists: clients look for new topics only every 30 seconds, but at their start too.
fn make_group(cluster: &Cluster, client: Client) {
    let first = send(cluster, client, &[("sync", "1")]);
    let mut consumer = consume(cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&first));
    consumer.listen_for(QUIET);
    consumer.finish();
}

/// How often each key was delivered, as the reconsume counts in the order of delivery.
fn attempts(heard: &[Event]) -> BTreeMap<String, Vec<i64>> {
    let mut attempts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in messages(heard) {
        attempts.entry(text(event, "key").to_owned()).or_default().push(number(event, "reconsume"));
    }
    attempts
}

fn a_message_that_fails_comes_back_with_its_id_until_it_succeeds(client: Client) {
    let cluster = Cluster::configured("retry", &[SHORT_LEVELS]);
    make_group(&cluster, client);
    // The C++ client calls its listener for the first of several that fail together, and sends all of them back.
    let count = if client == Client::Cpp { "1" } else { "4" };
    let sent = send(&cluster, client, &[("async", count), ("tags", "TagA")]);
    let mut consumer = consume(&cluster, client, "push", &[("fail", "3")]);
    let wanted = keys(&sent);
    consumer.until("four deliveries of each message", |heard| {
        let attempts = attempts(heard);
        wanted.iter().all(|key| attempts.get(key).is_some_and(|counts| counts.len() >= 4))
    });
    consumer.listen_for(QUIET);
    let heard = consumer.finish();
    for (key, counts) in attempts(&heard) {
        assert_eq!(counts, [0, 1, 2, 3], "{key}");
    }
    let ids: BTreeMap<&str, &str> = sent.iter().map(|event| (text(event, "key"), text(event, "msgId"))).collect();
    for event in messages(&heard) {
        assert_eq!(text(event, "msgId"), ids[text(event, "key")], "the id stays: {event:?}");
        assert_eq!(text(event, "tags"), "TagA");
        if number(event, "reconsume") > 0 {
            let properties = event["properties"].as_object().expect("properties");
            assert!(properties["ORIGIN_MESSAGE_ID"].as_str().is_some_and(|id| id.len() == 32), "{event:?}");
        }
    }
}

fn a_message_that_always_fails_becomes_a_dead_letter_that_a_plain_consumer_reads(client: Client) {
    let cluster = Cluster::configured("dead-letter", &[SHORT_LEVELS]);
    make_group(&cluster, client);
    let sent = send(&cluster, client, &[("async", "3"), ("tags", "TagA")]);
    let wanted = keys(&sent);
    let mut consumer = consume(&cluster, client, "push", &[("fail", "1000"), ("max_reconsume", "2")]);
    consumer.until("three deliveries of each message", |heard| {
        let attempts = attempts(heard);
        wanted.iter().all(|key| attempts.get(key).is_some_and(|counts| counts.len() >= 3))
    });
    consumer.listen_for(Duration::from_secs(4));
    let heard = consumer.finish();
    for (key, counts) in attempts(&heard) {
        assert_eq!(counts, [0, 1, 2], "{key}");
    }
    let topic = format!("%DLQ%{GROUP}");
    let mut reader = consume(&cluster, client, "push", &[("group", "reader_of_dead_letters"), ("topic", &topic)]);
    hears_all(&mut reader, &wanted);
    let heard = reader.finish();
    let ids: BTreeMap<&str, &str> = sent.iter().map(|event| (text(event, "key"), text(event, "msgId"))).collect();
    for event in messages(&heard) {
        assert_eq!(text(event, "msgId"), ids[text(event, "key")], "the id stays: {event:?}");
        assert_eq!(event["properties"]["RETRY_TOPIC"], TOPIC, "{event:?}");
    }
}

fn a_delayed_message_is_delivered_when_it_is_due_and_not_before(client: Client) {
    let cluster = Cluster::configured("delay", &[SHORT_LEVELS]);
    make_group(&cluster, client);
    let mut consumer = consume(&cluster, client, "push", &[]);
    consumer.until("its start", |heard| heard.iter().any(|event| kind(event) == "started"));
    for (level, due) in [("1", 1000), ("3", 2000)] {
        let before = consumer.heard.len();
        let sent = send(&cluster, client, &[("async", "5"), ("level", level)]);
        let wanted = keys(&sent);
        consumer.until("the delayed messages", |heard| {
            let got: BTreeSet<&str> = messages(&heard[before..]).iter().map(|event| text(event, "key")).collect();
            wanted.iter().all(|key| got.contains(key.as_str()))
        });
        let waits: Vec<i64> = messages(&consumer.heard[before..])
            .iter()
            .map(|event| number(event, "now") - number(event, "born"))
            .collect();
        assert!(waits.iter().all(|wait| (due..due + 1500).contains(wait)), "level {level}: {waits:?}");
    }
    consumer.finish();
}

fn orderly_consumers_never_work_on_one_queue_at_the_same_time(client: Client) {
    let cluster = Cluster::start("orderly");
    send(&cluster, client, &[("sync", "4")]);
    let orderly = [("orderly", "true"), ("work_ms", "10")];
    let mut one = consume(&cluster, client, "push", &orderly);
    one.until("its first message", |heard| !messages(heard).is_empty());
    let sent = send(&cluster, client, &[("selector", "400")]);
    let mut two = consume(&cluster, client, "push", &orderly);
    two.until("its start", |heard| heard.iter().any(|event| kind(event) == "started"));
    let wanted: BTreeSet<String> = keys(&sent);
    let deadline = std::time::Instant::now() + crate::peers::PATIENCE;
    loop {
        one.listen_for(Duration::from_millis(50));
        two.listen_for(Duration::from_millis(50));
        let got: BTreeSet<&str> = one.heard.iter().chain(&two.heard).map(|event| text(event, "key")).collect();
        if wanted.iter().all(|key| got.contains(key.as_str())) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{} of {} received", got.len(), wanted.len());
    }
    let (one, two) = (one.finish(), two.finish());
    // Spans of work per queue, over both consumers: none begins before the one before it has ended.
    let mut spans: BTreeMap<i64, Vec<(i64, i64, i64)>> = BTreeMap::new();
    for heard in [&one, &two] {
        let ended = of_kind(heard, "worked");
        for begun in messages(heard) {
            let same = |event: &&&Event| event["queue"] == begun["queue"] && event["offset"] == begun["offset"];
            if let Some(end) = ended.iter().find(same) {
                let span = (number(begun, "now"), number(end, "now"), number(begun, "offset"));
                spans.entry(number(begun, "queue")).or_default().push(span);
            }
        }
    }
    for (queue, mut spans) in spans {
        spans.sort();
        for pair in spans.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "queue {queue}: {:?} overlaps {:?}", pair[0], pair[1]);
            assert!(pair[1].2 <= pair[0].2 + 1, "queue {queue}: a gap between {:?} and {:?}", pair[0], pair[1]);
        }
    }
}

fn a_message_is_found_by_its_id_its_unique_key_and_its_key(client: Client) {
    let cluster = Cluster::start("query");
    let sent = send(&cluster, client, &[("sync", "5"), ("batch", "3")]);
    let wanted = &sent[3];
    let arguments =
        [("id", text(wanted, "offsetMsgId")), ("unique", text(wanted, "msgId")), ("key", text(wanted, "key"))];
    let heard = consume(&cluster, client, "query", &arguments).finish();
    for found in ["by_id", "by_unique", "by_key"] {
        let events = of_kind(&heard, found);
        assert_eq!(events.len(), 1, "{found}");
        for field in ["key", "queue", "offset"] {
            assert_eq!(events[0].get(field), wanted.get(field), "{found}");
        }
    }
}

fn a_request_is_answered_to_the_client_that_asked(client: Client) {
    let cluster = Cluster::start("request-reply");
    let heard = consume(&cluster, client, "requestReply", &[("count", "5")]).finish();
    let answers: Vec<&str> = of_kind(&heard, "answer").iter().map(|event| text(event, "body")).collect();
    assert_eq!(answers, (0..5).map(|i| format!("answer to question {i}")).collect::<Vec<_>>());
}

macro_rules! everyday {
    ($module:ident, $client:expr; $($sentence:ident)*) => {
        mod $module {
            use crate::peers::Client;
            $(
                #[test]
                fn $sentence() {
                    super::$sentence($client);
                }
            )*
        }
    };
}

macro_rules! java {
    ($module:ident, $version:expr $(, $more:ident)*) => {
        everyday! { $module, Client::Java($version);
            a_message_that_fails_comes_back_with_its_id_until_it_succeeds
            a_message_that_always_fails_becomes_a_dead_letter_that_a_plain_consumer_reads
            a_delayed_message_is_delivered_when_it_is_due_and_not_before
            orderly_consumers_never_work_on_one_queue_at_the_same_time
            a_message_is_found_by_its_id_its_unique_key_and_its_key
            $($more)*
        }
    };
}

java!(java_4_2_0, "4.2.0");
java!(java_4_7_1, "4.7.1", a_request_is_answered_to_the_client_that_asked);
java!(java_4_9_7, "4.9.7", a_request_is_answered_to_the_client_that_asked);
java!(java_5_3_3, "5.3.3");
java!(java_5_4_0, "5.4.0");
everyday! { go_2_1_2, Client::Go;
    a_message_that_fails_comes_back_with_its_id_until_it_succeeds
    a_delayed_message_is_delivered_when_it_is_due_and_not_before
}
everyday! { cpp_0_4_4, Client::Cpp;
    a_message_that_fails_comes_back_with_its_id_until_it_succeeds
    a_delayed_message_is_delivered_when_it_is_due_and_not_before
}
