//! Requests against a broker without loops.

use crate::broker::clients::{ConsumerBeat, Heartbeat, Sender};
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

fn consumers(broker: &Broker) {
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_TOPIC, CREATE, &[]).code, 0);
    assert_eq!(broker.call(1, HEART_BEAT, &[], &heartbeat("a", "G", "T")).code, 0);
    broker.posted();
}

#[test]
fn who_is_connected_is_told_with_addresses_and_subscriptions() {
    let broker = Broker::new("admin-connections");
    let nobody = broker.call(1, GET_CONSUMER_CONNECTION_LIST, &[("consumerGroup", "G")], &[]);
    assert_eq!((nobody.code, nobody.remark.as_str()), (206, "the consumer group[G] not online"));
    consumers(&broker);
    let online = broker.call(1, GET_CONSUMER_CONNECTION_LIST, &[("consumerGroup", "G")], &[]).json();
    assert_eq!(online["connectionSet"][0]["clientId"], "a");
    assert_eq!(online["connectionSet"][0]["clientAddr"], "127.0.0.1:40001");
    assert_eq!(online["connectionSet"][0]["language"], "JAVA");
    assert_eq!(online["subscriptionTable"]["T"]["subString"], "*");
    assert_eq!((&online["messageModel"], &online["consumeType"]), (&"CLUSTERING".into(), &"CONSUME_PASSIVELY".into()));
    let producers = broker.call(1, GET_PRODUCER_CONNECTION_LIST, &[("producerGroup", "CLIENT_INNER_PRODUCER")], &[]);
    assert_eq!(producers.json()["connectionSet"][0]["clientId"], "a");
    assert_eq!(broker.call(1, GET_PRODUCER_CONNECTION_LIST, &[("producerGroup", "X")], &[]).code, 1);
    let all = broker.call(1, GET_ALL_PRODUCER_INFO, &[], &[]).json();
    assert_eq!(all["data"]["CLIENT_INNER_PRODUCER"][0]["remoteIP"], "/127.0.0.1:40001");
    let who = broker.call(1, QUERY_TOPIC_CONSUME_BY_WHO, &[("topic", "T")], &[]).json();
    assert_eq!(who["groupList"], serde_json::json!(["G"]));
    let subscription = broker.call(1, QUERY_SUBSCRIPTION_BY_CONSUMER, &[("group", "G"), ("topic", "T")], &[]).json();
    assert_eq!(subscription["subscriptionData"]["expressionType"], "TAG");
}

#[test]
fn how_far_a_group_is_is_told_per_queue() {
    let broker = Broker::new("admin-progress");
    consumers(&broker);
    for _ in 0..5 {
        broker.put("T", 2, "m", &[]);
        broker.handles.clock.advance(1000);
    }
    broker.handles.offsets.commit("G", "T", crate::base::position::QueueId(2), 3);
    broker.handles.offsets.commit("G", "OTHER", crate::base::position::QueueId(0), 3);
    let at = r#"{"brokerName":"broker-a","queueId":2,"topic":"T"}"#;
    let text = |got: crate::broker::fixture::Got| String::from_utf8(got.body).unwrap();
    let stats = text(broker.call(1, GET_CONSUME_STATS, &[("consumerGroup", "G"), ("topic", "")], &[]));
    let place =
        format!(r#"{{{at}:{{"brokerOffset":5,"consumerOffset":3,"lastTimestamp":{},"pullOffset":3}}"#, START + 2000)
            .replacen("{{", "{", 1);
    assert!(stats.contains(&place[1..]), "{stats} has no {place}");
    let ends = text(broker.call(1, GET_TOPIC_STATS_INFO, &[("topic", "T")], &[]));
    let end = format!(r#"{at}:{{"lastUpdateTimestamp":{},"maxOffset":5,"minOffset":0}}"#, START + 4000);
    assert!(ends.contains(&end), "{ends} has no {end}");
    assert_eq!(broker.call(1, GET_TOPIC_STATS_INFO, &[("topic", "X")], &[]).code, 17);
    let all = text(broker.call(1, GET_BROKER_CONSUME_STATS, &[("isOrder", "false")], &[]));
    assert!(all.contains(r#""totalDiff":2"#), "{all}");
    let span = text(broker.call(1, QUERY_CONSUME_TIME_SPAN, &[("topic", "T"), ("group", "G")], &[]));
    assert!(span.contains(&format!(r#""consumeTimeStamp":{}"#, START + 2000)), "{span}");
    assert!(span.contains(r#""delayTime":2000"#), "{span}");
    let topics = broker.call(1, QUERY_TOPICS_BY_CONSUMER, &[("group", "G")], &[]).json();
    assert_eq!(topics["topicList"], serde_json::json!(["OTHER", "T"]));
    let fields = [("topic", "T"), ("queueId", "2"), ("index", "1"), ("count", "2"), ("consumerGroup", "G")];
    let entries = broker.call(1, QUERY_CONSUME_QUEUE, &fields, &[]).json();
    assert_eq!((entries["queueData"].as_array().unwrap().len(), &entries["maxQueueIndex"]), (2, &5.into()));
    assert_eq!(broker.call(1, QUERY_CONSUME_QUEUE, &with(&fields, "queueId", "9"), &[]).code, 1);
    assert_eq!(
        broker.call(1, VIEW_BROKER_STATS_DATA, &[("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "T")], &[]).json()["statsDay"]
            ["sum"],
        5
    );
    assert_eq!(broker.call(1, VIEW_BROKER_STATS_DATA, &[("statsName", "X"), ("statsKey", "T")], &[]).code, 1);
}

#[test]
fn offsets_are_reset_on_the_server_and_the_members_are_told() {
    let broker = Broker::new("admin-reset");
    consumers(&broker);
    for _ in 0..5 {
        broker.put("T", 0, "m", &[]);
        broker.handles.clock.advance(1000);
    }
    let q0 = crate::base::position::QueueId(0);
    broker.handles.offsets.commit("G", "T", q0, 5);
    let time = (START + 1500).to_string();
    let fields = [("topic", "T"), ("group", "G"), ("timestamp", time.as_str()), ("isForce", "true")];
    let reset = broker.call(1, INVOKE_BROKER_TO_RESET_OFFSET, &fields, &[]);
    assert_eq!(reset.code, 0, "{reset:?}");
    let text = String::from_utf8(reset.body).unwrap();
    assert!(text.contains(r#"{"brokerName":"broker-a","queueId":0,"topic":"T"}:2"#), "{text}");
    assert!(
        broker.posted().is_empty(),
        "a Java client of 5.3 goes on by its next pull, and would rest if it were told"
    );
    let at = [("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")];
    let blocked = broker.call(1, UPDATE_CONSUMER_OFFSET, &with(&at, "commitOffset", "5"), &[]);
    assert_eq!((blocked.code, blocked.remark.as_str()), (0, "Offset has been previously reset"));
    assert_eq!(broker.call(1, QUERY_CONSUMER_OFFSET, &at, &[]).get("offset"), "2");
    let all = [("queueId", "0"), ("offset", "4")];
    let one = with(&with(&fields, all[0].0, all[0].1), all[1].0, all[1].1);
    assert_eq!(broker.call(1, INVOKE_BROKER_TO_RESET_OFFSET, &one, &[]).code, 0);
    assert_eq!(broker.handles.offsets.take_reset("G", "T", q0), Some(4));
    assert_eq!(broker.call(1, INVOKE_BROKER_TO_RESET_OFFSET, &with(&one, "offset", "7"), &[]).code, 1);
    assert_eq!(broker.call(1, INVOKE_BROKER_TO_RESET_OFFSET, &with(&fields, "topic", "X"), &[]).code, 17);
    assert_eq!(broker.call(1, INVOKE_BROKER_TO_RESET_OFFSET, &with(&fields, "group", "X"), &[]).code, 26);
    assert_eq!(broker.call(1, INVOKE_BROKER_TO_RESET_OFFSET, &with(&fields, "timestamp", "-1"), &[]).code, 0);
    assert_eq!(broker.handles.offsets.pending_reset("G", "T", q0), Some(5));
}

#[test]
fn members_that_rest_when_a_pull_sends_them_elsewhere_are_told_of_a_reset_in_the_form_they_read() {
    let broker = Broker::new("admin-reset-told");
    consumers(&broker);
    broker.put("T", 0, "m", &[]);
    // Language byte, version: Java 5.2.0, Java 5.1.4, C++, Go, Python.
    for (slot, (language, version)) in (10..).zip([(0, 453), (0, 441), (1, 333), (9, 317), (3, 0)]) {
        let sender = Sender::new(&Broker::conn(slot), language, version);
        let consumers = vec![ConsumerBeat { group: "G".into(), ..ConsumerBeat::default() }];
        let beat = Heartbeat { client_id: format!("c{slot}"), consumers, ..Heartbeat::default() };
        broker.handles.clients.heartbeat(sender, START, &beat, |_| true, &|_: &str| false);
    }
    let fields = [("topic", "T"), ("group", "G"), ("timestamp", "0"), ("isForce", "true")];
    let told = |language: u8| {
        let answer = broker.call_as(language, 1, INVOKE_BROKER_TO_RESET_OFFSET, &fields, &[]);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.starts_with(r#"{"offsetTable":{{"#), "the answer is the same for all: {text}");
        let mut told: Vec<_> = broker.posted_frames();
        told.sort_by_key(|(slot, _)| *slot);
        told.iter()
            .map(|(slot, frame)| {
                crate::broker::fixture::parse(frame, |command| {
                    assert_eq!((command.code, command.flag), (RESET_CONSUMER_CLIENT_OFFSET, 2));
                    let is_for_c = command.body.starts_with(br#"{"offsetTable":[{"#);
                    assert!(is_for_c || command.body == text.as_bytes(), "{command:?}");
                    (*slot, is_for_c)
                })
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(told(0), [(11, false), (12, true), (13, false), (14, false)]);
    assert_eq!(told(1), [(11, false), (12, true), (13, false), (14, true)]);
}

#[test]
fn offsets_are_cloned_and_compared() {
    let broker = Broker::new("admin-clone");
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_TOPIC, CREATE, &[]).code, 0);
    let q0 = crate::base::position::QueueId(0);
    broker.handles.offsets.commit("G", "T", q0, 7);
    let fields = [("srcGroup", "G"), ("destGroup", "H"), ("topic", ""), ("offline", "true")];
    assert_eq!(broker.call(1, CLONE_GROUP_OFFSET, &fields, &[]).code, 0);
    assert_eq!(broker.handles.offsets.query("H", "T", q0), Some(7));
    broker.handles.offsets.commit("I", "T", q0, 3);
    let correct = |filter: &str, compare: &str| {
        let fields = [("topic", "T"), ("filterGroups", filter), ("compareGroup", compare)];
        String::from_utf8(broker.call(1, QUERY_CORRECTION_OFFSET, &fields, &[]).body).unwrap()
    };
    assert_eq!(correct("", "G"), r#"{"correctionOffsets":{0:3}}"#);
    assert_eq!(correct("I", "I"), format!(r#"{{"correctionOffsets":{{0:{}}}}}"#, i64::MAX));
    assert_eq!(broker.handles.offsets.query("I", "T", q0), Some(3), "filtered groups keep their offsets");
}

#[test]
fn lists_of_topics_and_groups_are_taken_at_once_and_single_ones_are_told() {
    let broker = Broker::new("admin-lists");
    let body = br#"{"topicConfigList":[{"topicName":"A","readQueueNums":2,"writeQueueNums":2,"perm":6,"attributes":{"+message.type":"FIFO"}},{"topicName":"B"}]}"#;
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_TOPIC_LIST, &[], body).code, 0);
    let half = br#"{"topicConfigList":[{"topicName":"C"},{"topicName":"no name"},{"topicName":"D"}]}"#;
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_TOPIC_LIST, &[], half).code, response::INVALID_PARAMETER);
    assert!(broker.handles.topics.get("C").is_some() && broker.handles.topics.get("D").is_none());
    let topic = broker.call(1, GET_TOPIC_CONFIG, &[("topic", "A")], &[]).json();
    assert_eq!((&topic["readQueueNums"], &topic["attributes"]["message.type"]), (&2.into(), &"FIFO".into()));
    assert_eq!(broker.call(1, GET_TOPIC_CONFIG, &[("topic", "X")], &[]).code, 17);
    let body = br#"{"groupConfigList":[{"groupName":"G","retryMaxTimes":2},{"groupName":"H"}]}"#;
    assert_eq!(broker.call(1, UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, &[], body).code, 0);
    assert_eq!(broker.call(1, GET_SUBSCRIPTIONGROUP_CONFIG, &[("group", "G")], &[]).json()["retryMaxTimes"], 2);
    assert_eq!(broker.call(1, GET_SUBSCRIPTIONGROUP_CONFIG, &[("group", "X")], &[]).code, 26);
    let system = broker.call(1, GET_SYSTEM_TOPIC_LIST_FROM_BROKER, &[], &[]).json();
    let system = system["topicList"].as_array().unwrap();
    assert!(system.contains(&"TBW102".into()) && !system.contains(&"A".into()));
    broker.put("UNUSED", 0, "x", &[]);
    broker.put("A", 0, "x", &[]);
    assert_eq!(broker.call(1, CLEAN_UNUSED_TOPIC, &[], &[]).code, 0);
    assert!(broker.handles.store.queues_of("UNUSED").is_empty() && !broker.handles.store.queues_of("A").is_empty());
}

#[test]
fn whoever_answers_what_is_refused_is_counted_by_its_reason() {
    let broker = Broker::new("admin-refused");
    let refused = [
        (HEART_BEAT, &[][..], 1),
        (GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "G")], 1),
        (GET_TOPIC_CONFIG, &[("topic", "X")], response::TOPIC_NOT_EXIST),
        (GET_CONSUMER_RUNNING_INFO, &[("consumerGroup", "G"), ("clientId", "c")], 1),
        (SEND_REPLY_MESSAGE, &[], 1),
    ];
    for (code, ext, expected) in refused {
        assert_eq!(broker.call(1, code, ext, b"{").code, expected, "{code}");
    }
    let mut page = crate::base::metrics::Page::default();
    page.registered(broker.handles.figures.registry());
    let text = page.finish();
    for (reason, count) in [("system_error", 4), ("topic_not_exist", 1)] {
        let begin = format!("rocketmq_requests_refused_total{{reason=\"{reason}\"");
        let line = text.lines().find(|line| line.starts_with(&begin)).expect(reason);
        assert!(line.ends_with(&format!(" {count}")), "{line}");
    }
}

#[test]
fn the_runtime_info_has_every_key_that_tools_read() {
    let broker = Broker::new("admin-runtime");
    broker.put("T", 0, "x", &[]);
    let info = broker.call(1, GET_BROKER_RUNTIME_INFO, &[], &[]).json();
    let table = info["table"].as_object().unwrap();
    let required = "msgPutTotalYesterdayMorning msgPutTotalTodayMorning msgPutTotalTodayNow msgGetTotalYesterdayMorning \
        msgGetTotalTodayMorning msgGetTotalTodayNow bootTimestamp brokerVersion brokerVersionDesc commitLogMaxOffset \
        commitLogMinOffset commitLogDiskRatio consumeQueueDiskRatio dispatchBehindBytes dispatchMaxBuffer \
        earliestMessageTimeStamp getFoundTps getMissTps getTotalTps putTps getTransferredTps getTransferedTps \
        getMessageEntireTimeMax pageCacheLockTimeMills putMessageAverageSize putMessageEntireTimeMax putMessageSizeTotal \
        putMessageTimesTotal putMessageDistributeTime sendThreadPoolQueueSize sendThreadPoolQueueCapacity \
        sendThreadPoolQueueHeadWaitTimeMills pullThreadPoolQueueSize pullThreadPoolQueueCapacity \
        pullThreadPoolQueueHeadWaitTimeMills queryThreadPoolQueueSize queryThreadPoolQueueCapacity \
        queryThreadPoolQueueHeadWaitTimeMills remainTransientStoreBufferNumbs remainHowManyDataToFlush \
        startAcceptSendRequestTimeStamp commitLogDirCapacity runtime \
        ackThreadPoolQueueCapacity ackThreadPoolQueueHeadWaitTimeMills ackThreadPoolQueueSize brokerActive \
        EndTransactionQueueSize EndTransactionThreadPoolQueueCapacity litePullThreadPoolQueueCapacity \
        litePullThreadPoolQueueHeadWaitTimeMills litePullThreadPoolQueueSize putLatency99 putLatency999 \
        putMessageFailedTimes timerCongestNum timerDequeueTps timerEnqueueTps timerOffsetBehind timerReadBehind";
    for key in required.split_whitespace() {
        assert!(table.contains_key(key), "{key}");
    }
    for rates in ["putTps", "getFoundTps", "getTotalTps"] {
        let numbers: Vec<f64> = table[rates].as_str().unwrap().split(' ').map(|text| text.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 3);
    }
    assert_eq!(table["msgPutTotalTodayNow"], "1");
    assert!(table.keys().any(|key| key.starts_with("commitLogDiskRatio_/")), "{table:?}");
    let pools = table.iter().filter(|(key, _)| key.ends_with("ThreadPoolQueueSize"));
    assert!(pools.into_iter().all(|(_, size)| size == "0"), "nothing waits");
    let config = broker.call(1, GET_BROKER_CONFIG, &[], &[]);
    assert!(String::from_utf8(config.body.clone()).unwrap().contains("brokerName=broker-a\n"));
    assert!(config.get("version").starts_with('{'));
}
