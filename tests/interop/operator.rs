//! What an operator asks of running consumers, relayed by the broker to the published clients and answered by them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clients::{GROUP, TOPIC, consume, hears_all, keys, messages, send};
use crate::cluster::{Cluster, admin};
use crate::peers::{Client, PATIENCE, call, kind, number, text, wait_for_route};

/// QUERY_CONSUMER_OFFSET, GET_CONSUMER_LIST_BY_GROUP, and INVOKE_BROKER_TO_GET_CONSUMER_STATUS.
const QUERY_OFFSET: i32 = 14;
const CLIENTS_OF_GROUP: i32 = 38;
const CONSUMER_STATUS: i32 = 223;

/// Whether the group has an offset in this queue; brokers answer 0 for one that has none.
fn has_committed(cluster: &Cluster, queue: i64) -> bool {
    let fields = json!({"topic": TOPIC, "queueId": queue, "consumerGroup": GROUP});
    let answer = call(cluster.broker, QUERY_OFFSET, fields).expect("an answer");
    answer.header["extFields"]["offset"].as_str().is_some_and(|offset| offset != "0")
}

/// The client id of the only member of the group, once the group's retry topic leads tools to its broker.
fn member(cluster: &Cluster) -> String {
    wait_for_route(cluster.namesrv.parse().expect("an address"), &format!("%RETRY%{GROUP}"), &["broker-a"]);
    let answer = call(cluster.broker, CLIENTS_OF_GROUP, json!({"consumerGroup": GROUP})).expect("an answer");
    let body: Value = serde_json::from_slice(&answer.body).expect("a list of clients");
    let members = body["consumerIdList"].as_array().expect("a list");
    assert_eq!(members.len(), 1, "{body}");
    members[0].as_str().expect("a client id").to_owned()
}

fn running_info_and_threads_of_a_consumer_are_told(client: Client) {
    let cluster = Cluster::start("running-info");
    let sent = send(&cluster, client, &[("sync", "8")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&sent));
    let member = member(&cluster);
    let words = ["consumerStatus", "-g", GROUP, "-i", &member, "-s", "--output", "json"];
    let told = admin(&cluster.namesrv, cluster.folder(), &words);
    let info: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let text = info.to_string();
    assert!(text.contains(TOPIC), "its subscription and queues: {text}");
    if matches!(client, Client::Java(_)) {
        assert!(text.contains("ConsumeMessageThread"), "the stacks of its threads: {text}");
    }
    consumer.finish();
}

fn a_consumer_is_handed_one_message_and_tells_where_it_stands(client: Client) {
    let cluster = Cluster::start("one-message");
    let sent = send(&cluster, client, &[("sync", "8")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&sent));
    let member = member(&cluster);
    let wanted = text(&sent[3], "key").to_owned();
    let id = text(&sent[3], "msgId");
    let before = consumer.heard.len();
    let words = ["queryMsgByUniqueKey", "-t", TOPIC, "-i", id, "-g", GROUP, "-d", &member];
    let told = admin(&cluster.namesrv, cluster.folder(), &words);
    assert!(told.contains("CR_SUCCESS"), "{told}");
    consumer.until("the message once more", |heard| {
        messages(&heard[before..]).iter().any(|event| text(event, "key") == wanted)
    });
    let fields = json!({"topic": TOPIC, "group": GROUP, "clientAddr": member});
    let answer = call(cluster.broker, CONSUMER_STATUS, fields).expect("an answer");
    assert_eq!(answer.header["code"], 0, "{answer:?}");
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(body.contains(&member) && body.contains(TOPIC), "{body}");
    consumer.finish();
}

fn a_running_consumer_begins_again_when_its_offsets_are_reset(client: Client) {
    let cluster = Cluster::start("reset");
    let sent = send(&cluster, client, &[("sync", "8")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&sent));
    // Java's broker takes a group without a committed offset for one that does not exist.
    let deadline = Instant::now() + PATIENCE;
    while !(0..4).all(|queue| has_committed(&cluster, queue)) {
        assert!(Instant::now() < deadline, "the consumer commits nothing");
        consumer.listen_for(Duration::from_millis(100));
    }
    let before = consumer.heard.len();
    let told =
        admin(&cluster.namesrv, cluster.folder(), &["resetOffsetByTime", "-g", GROUP, "-t", TOPIC, "-s", "1000"]);
    assert!(told.contains(GROUP) && told.contains("broker-a"), "{told}");
    // Clients pause for ten seconds and go on with the next rebalance, at most twenty seconds later.
    let wanted: BTreeSet<String> = keys(&sent);
    consumer.until_within(PATIENCE, "all messages once more", |heard| {
        let again: BTreeSet<&str> = messages(&heard[before..]).iter().map(|event| text(event, "key")).collect();
        wanted.iter().all(|key| again.contains(key.as_str()))
    });
    let heard = consumer.finish();
    assert!(heard.iter().filter(|event| kind(event) == "message").all(|event| number(event, "reconsume") == 0));
}

macro_rules! operator {
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

macro_rules! whole {
    ($module:ident, $client:expr) => {
        operator! { $module, $client;
            running_info_and_threads_of_a_consumer_are_told
            a_consumer_is_handed_one_message_and_tells_where_it_stands
            a_running_consumer_begins_again_when_its_offsets_are_reset
        }
    };
}

whole!(java_4_2_0, Client::Java("4.2.0"));
whole!(java_4_7_1, Client::Java("4.7.1"));
whole!(java_4_9_7, Client::Java("4.9.7"));
whole!(java_5_3_3, Client::Java("5.3.3"));
whole!(java_5_4_0, Client::Java("5.4.0"));
whole!(go_2_1_2, Client::Go);
operator! { cpp_0_4_4, Client::Cpp;
    running_info_and_threads_of_a_consumer_are_told
    a_running_consumer_begins_again_when_its_offsets_are_reset
}
