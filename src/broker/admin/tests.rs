//! Requests against a broker without loops.

use crate::broker::fixture::{Broker, START};
use crate::broker::topics::DEFAULT_TOPIC;
use crate::wire::codes::{request::*, response};

fn heartbeat(client: &str, group: &str, topic: &str) -> Vec<u8> {
    format!(
        r#"{{"clientID":"{client}","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"{group}","messageModel":"CLUSTERING","subscriptionDataSet":[{{"expressionType":"TAG","subString":"*","subVersion":1,"topic":"{topic}"}}],"unitMode":false}}],"producerDataSet":[{{"groupName":"CLIENT_INNER_PRODUCER"}}]}}"#
    )
    .into_bytes()
}

const CREATE: &[(&str, &str)] = &[
    ("topic", "T"),
    ("defaultTopic", "TBW102"),
    ("readQueueNums", "4"),
    ("writeQueueNums", "4"),
    ("perm", "6"),
    ("topicFilterType", "SINGLE_TAG"),
    ("order", "false"),
];

fn with<'a>(fields: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut changed: Vec<_> = fields.iter().copied().filter(|(key, _)| *key != name).collect();
    changed.push((name, value));
    changed
}

#[test]
fn the_first_heartbeat_of_a_group_makes_it_and_its_retry_topic() {
    let broker = Broker::new("admin-heartbeat");
    let answer = broker.call(1, HEART_BEAT, &[], &heartbeat("a", "G", "T"));
    assert_eq!((answer.code, answer.get("IS_SUPPORT_HEART_BEAT_V2")), (0, "true"));
    assert_eq!(broker.posted(), [(1, NOTIFY_CONSUMER_IDS_CHANGED)]);
    assert_eq!(broker.handles.topics.get("%RETRY%G").unwrap().write_queue_nums, 1);
    assert!(broker.handles.groups.get("G").is_some());
    assert_eq!(broker.call(2, HEART_BEAT, &[], &heartbeat("b", "G", "T")).code, 0);
    assert_eq!(broker.posted().len(), 2);
    let ids = broker.call(1, GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "G")], &[]);
    assert_eq!(ids.json()["consumerIdList"], serde_json::json!(["a", "b"]));
    assert_eq!(broker.call(2, UNREGISTER_CLIENT, &[("clientID", "b"), ("consumerGroup", "G")], &[]).code, 0);
    assert_eq!(broker.posted(), [(1, NOTIFY_CONSUMER_IDS_CHANGED)]);
    broker.handles.clients.closed(Broker::conn(1).id);
    let nobody = broker.call(1, GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "G")], &[]);
    assert_eq!((nobody.code, nobody.remark.as_str()), (1, "no consumer for this group, G"));
    assert_eq!(broker.call(1, HEART_BEAT, &[], b"{").code, response::SYSTEM_ERROR);
}

#[test]
fn a_topic_is_made_changed_listed_and_deleted() {
    let broker = Broker::new("admin-topic");
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_TOPIC, CREATE, &[]).code, 0);
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_TOPIC, &with(CREATE, "writeQueueNums", "8"), &[]).code, 0);
    let all = broker.call(1, GET_ALL_TOPIC_CONFIG, &[], &[]).json();
    assert_eq!(all["topicConfigTable"]["T"]["writeQueueNums"], 8);
    assert_eq!(all["topicConfigTable"]["T"]["readQueueNums"], 4);
    assert_eq!(all["dataVersion"]["counter"], 2);
    assert!(all["topicConfigTable"][DEFAULT_TOPIC].is_object() && all["mappingDataVersion"].is_object());
    broker.put("T", 0, "m", &[]);
    broker.handles.offsets.commit("G", "T", crate::base::position::QueueId(0), 1);
    assert_eq!(broker.call(1, DELETE_TOPIC_IN_BROKER, &[("topic", "T")], &[]).code, 0);
    assert!(broker.handles.topics.get("T").is_none() && broker.handles.store.queues_of("T").is_empty());
    assert!(broker.handles.offsets.topics_of("G").is_empty());
}

#[test]
fn topics_that_make_no_sense_are_refused_and_nothing_changes() {
    let broker = Broker::new("admin-topic-refused");
    let version = broker.handles.topics.table().version;
    for (field, value) in [
        ("topic", "a b"),
        ("topic", ""),
        ("topic", "TBW102"),
        ("topic", "DefaultCluster"),
        ("writeQueueNums", "-1"),
        ("readQueueNums", "100000"),
        ("readQueueNums", "x"),
        ("perm", "9"),
        ("attributes", "+queue.type=Nonsense"),
    ] {
        let answer = broker.call(1, UPDATE_AND_CREATE_TOPIC, &with(CREATE, field, value), &[]);
        assert_eq!(answer.code, response::INVALID_PARAMETER, "{field} = {value}: {}", answer.remark);
        assert!(!answer.remark.is_empty());
    }
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_TOPIC, &with(CREATE, "topicFilterType", "X"), &[]).code, 1);
    assert_eq!(broker.handles.topics.table().version, version);
    assert_eq!(broker.call(1, DELETE_TOPIC_IN_BROKER, &[("topic", "TBW102")], &[]).code, response::INVALID_PARAMETER);
}

#[test]
fn groups_are_made_listed_and_deleted_and_survive_a_restart() {
    let broker = Broker::new("admin-group");
    let body = br#"{"brokerId":0,"consumeEnable":true,"groupName":"G","retryMaxTimes":3,"retryQueueNums":2}"#;
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], body).code, 0);
    let all = broker.call(1, GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[], &[]).json();
    assert_eq!(all["subscriptionGroupTable"]["G"]["retryMaxTimes"], 3);
    assert!(all["forbiddenTable"].is_object() && all["dataVersion"].is_object());
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], b"{}").code, response::INVALID_PARAMETER);
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], b"[").code, response::SYSTEM_ERROR);
    let dir = broker.dir.clone();
    drop(broker);
    let again = Broker::open(dir, |_| {});
    assert_eq!(again.handles.groups.get("G").unwrap().retry_queue_nums, 2);
    let fields = [("groupName", "G"), ("cleanOffset", "true")];
    again.handles.offsets.commit("G", "T", crate::base::position::QueueId(0), 1);
    assert_eq!(again.call(1, DELETE_SUBSCRIPTIONGROUP, &fields, &[]).code, 0);
    assert!(again.handles.groups.get("G").is_none() && again.handles.offsets.topics_of("G").is_empty());
}

#[test]
fn offsets_are_stored_asked_for_and_listed() {
    let broker = Broker::new("admin-offsets");
    broker.call(1, UPDATE_AND_CREATE_TOPIC, CREATE, &[]);
    let at = [("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")];
    let first = broker.call(1, QUERY_CONSUMER_OFFSET, &at, &[]);
    assert_eq!((first.code, first.get("offset")), (0, "0"), "an empty queue begins at 0");
    let strict = broker.call(1, QUERY_CONSUMER_OFFSET, &with(&at, "setZeroIfNotFound", "false"), &[]);
    assert_eq!(strict.code, response::QUERY_NOT_FOUND);
    broker.put("T", 0, "m", &[]);
    assert_eq!(broker.call(1, QUERY_CONSUMER_OFFSET, &at, &[]).get("offset"), "0");
    let commit = with(&at, "commitOffset", "1");
    assert_eq!(broker.call(1, UPDATE_CONSUMER_OFFSET, &commit, &[]).code, 0);
    assert_eq!(broker.call(1, QUERY_CONSUMER_OFFSET, &at, &[]).get("offset"), "1");
    assert_eq!(broker.call(1, UPDATE_CONSUMER_OFFSET, &with(&commit, "topic", "X"), &[]).code, 17);
    assert_eq!(broker.call(1, UPDATE_CONSUMER_OFFSET, &with(&commit, "queueId", "-1"), &[]).code, 29);
    assert_eq!(broker.call(1, UPDATE_CONSUMER_OFFSET, &at, &[]).code, 29);
    let all = broker.call(1, GET_ALL_CONSUMER_OFFSET, &[], &[]).json();
    assert_eq!(all["offsetTable"]["T@G"]["0"], 1);
}

#[test]
fn the_ends_of_a_queue_and_the_times_of_its_messages_are_told() {
    let broker = Broker::new("admin-ends");
    broker.call(1, UPDATE_AND_CREATE_TOPIC, CREATE, &[]);
    let at = [("topic", "T"), ("queueId", "1")];
    for (code, field, empty) in [
        (GET_MAX_OFFSET, "offset", "0"),
        (GET_MIN_OFFSET, "offset", "0"),
        (GET_EARLIEST_MSG_STORETIME, "timestamp", "-1"),
    ] {
        assert_eq!(broker.call(1, code, &at, &[]).get(field), empty);
    }
    for _ in 0..3 {
        broker.put("T", 1, "m", &[]);
        broker.handles.clock.advance(1000);
    }
    assert_eq!(broker.call(1, GET_MAX_OFFSET, &at, &[]).get("offset"), "3");
    assert_eq!(broker.call(1, GET_MIN_OFFSET, &at, &[]).get("offset"), "0");
    assert_eq!(broker.call(1, GET_EARLIEST_MSG_STORETIME, &at, &[]).get("timestamp"), START.to_string());
    for (after, lower, upper) in [(0, "0", "0"), (500, "1", "0"), (1000, "1", "1"), (9000, "3", "2")] {
        let time = (START + after).to_string();
        let search = with(&at, "timestamp", &time);
        assert_eq!(broker.call(1, SEARCH_OFFSET_BY_TIMESTAMP, &search, &[]).get("offset"), lower);
        let search = with(&search, "boundaryType", "UPPER");
        assert_eq!(broker.call(1, SEARCH_OFFSET_BY_TIMESTAMP, &search, &[]).get("offset"), upper);
    }
    assert_eq!(broker.call(1, GET_MAX_OFFSET, &[("topic", "T"), ("queueId", "-1")], &[]).code, 29);
}

#[test]
fn a_message_is_viewed_by_its_position_and_by_no_other() {
    let broker = Broker::new("admin-view");
    let first = broker.put("T", 0, "hello", &[]);
    let second = broker.put("T", 0, "world", &[]);
    let view = |offset: i64| broker.call(1, VIEW_MESSAGE_BY_ID, &[("offset", &offset.to_string())], &[]);
    let found = view(second as i64);
    assert_eq!(found.code, 0);
    let record = crate::wire::message::RecordView::parse(&found.body).unwrap();
    assert_eq!(record.body(), b"world");
    for wrong in [first as i64 + 1, second as i64 + 10_000, -1] {
        let answer = view(wrong);
        assert_eq!((answer.code, answer.remark), (1, format!("can not find message by the offset, {wrong}")));
    }
}

#[test]
fn only_tag_subscriptions_pass_the_check_of_a_client() {
    let broker = Broker::new("admin-check");
    let check = |kind: &str| {
        let body =
            format!(r#"{{"clientId":"a","group":"G","subscriptionData":{{"expressionType":"{kind}","topic":"T"}}}}"#);
        broker.call(1, CHECK_CLIENT_CONFIG, &[], body.as_bytes()).code
    };
    assert_eq!((check("TAG"), check(""), check("SQL92")), (0, 0, 1));
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let broker = Broker::new("admin-unknown");
    let answer = broker.call(1, END_TRANSACTION, &[], &[]);
    assert_eq!(answer.code, response::REQUEST_CODE_NOT_SUPPORTED);
    assert!(answer.remark.contains("END_TRANSACTION (37)"), "{}", answer.remark);
}
