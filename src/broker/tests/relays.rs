//! What only a client can answer goes to it and comes back as it is; replies between clients; queries by key.

use super::*;
use crate::wire::codes::{request::*, response};

fn heartbeat(client: &mut TestClient, id: &str) {
    let body = format!(
        r#"{{"clientID":"{id}","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"G","messageModel":"CLUSTERING","subscriptionDataSet":[{{"expressionType":"TAG","subString":"*","subVersion":1,"topic":"T"}}],"unitMode":false}}],"producerDataSet":[{{"groupName":"CLIENT_INNER_PRODUCER"}}]}}"#
    );
    assert_eq!(client.call(HEART_BEAT, &[], body.as_bytes()).code, 0);
}

fn start(name: &str, loops: usize) -> TestBroker {
    TestBroker::start(name, Options { loops, ..Options::default() })
}

#[test]
fn a_clients_answer_is_passed_on_byte_for_byte() {
    for loops in LOOPS {
        let broker = start("relay", loops);
        let (mut tool, mut consumer) = (broker.connect(), broker.connect());
        let fields = [("consumerGroup", "G"), ("clientId", "c1"), ("jstackEnable", "true")];
        let nobody = tool.call(GET_CONSUMER_RUNNING_INFO, &fields, &[]);
        assert_eq!((nobody.code, nobody.remark.as_str()), (1, "The Consumer <G> <c1> not online"));
        heartbeat(&mut consumer, "c1");
        tool.send(GET_CONSUMER_RUNNING_INFO, &fields, &[]);
        let (opaque, _, asked, _) = consumer.next_request(&[GET_CONSUMER_RUNNING_INFO]);
        assert_eq!((asked["consumerGroup"].as_str(), asked["jstackEnable"].as_str()), ("G", "true"));
        consumer.answer(opaque, 7, Some("odd"), b"{\"jstack\":\"raw\nlines\"}");
        let got = tool.receive();
        assert_eq!((got.code, got.remark.as_str(), got.get("from")), (7, "odd", "client"));
        assert_eq!(got.body, b"{\"jstack\":\"raw\nlines\"}");
    }
}

#[test]
fn a_stored_message_is_given_to_one_consumer() {
    let broker = start("relay-direct", 1);
    let (mut tool, mut consumer) = (broker.connect(), broker.connect());
    let id = tool.put("T", 0, "again", "TAGS\u{1}a\u{2}").get("msgId").to_owned();
    heartbeat(&mut consumer, "c1");
    let fields = vec![("consumerGroup", "G"), ("clientId", "c1"), ("msgId", id.as_str()), ("topic", "T")];
    tool.send(CONSUME_MESSAGE_DIRECTLY, &fields, &[]);
    let (opaque, _, asked, body) = consumer.next_request(&[CONSUME_MESSAGE_DIRECTLY]);
    assert_eq!((asked["brokerName"].as_str(), asked["topicSysFlag"].as_str()), ("broker-a", "0"));
    assert_eq!(message::RecordView::parse(&body).unwrap().body(), b"again");
    consumer.answer(opaque, 0, None, b"{\"consumeResult\":\"CR_SUCCESS\"}");
    assert_eq!(tool.receive().body, b"{\"consumeResult\":\"CR_SUCCESS\"}");
    for wrong in ["7F00000100002A9F00000000000000FF", "c1#1", ""] {
        assert_eq!(tool.call(CONSUME_MESSAGE_DIRECTLY, &with(fields.clone(), "msgId", wrong), &[]).code, 1);
    }
}

#[test]
fn a_tool_is_told_at_once_when_the_client_goes_away() {
    let broker = start("relay-gone", 1);
    let (mut tool, mut consumer) = (broker.connect(), broker.connect());
    heartbeat(&mut consumer, "c1");
    tool.send(GET_CONSUMER_RUNNING_INFO, &[("consumerGroup", "G"), ("clientId", "c1")], &[]);
    consumer.next_request(&[GET_CONSUMER_RUNNING_INFO]);
    let begin = Instant::now();
    drop(consumer);
    let answer = tool.receive();
    assert!(answer.remark.contains("its connection ended"), "{answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(9), "before the client's time is over");
}

#[test]
fn where_consumers_are_is_collected_from_all_of_them() {
    let broker = start("relay-status", 1);
    let (mut tool, mut one, mut other) = (broker.connect(), broker.connect(), broker.connect());
    let fields = [("topic", "T"), ("group", "G")];
    assert_eq!(tool.call(INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &fields, &[]).code, 1);
    heartbeat(&mut one, "c1");
    heartbeat(&mut other, "c2");
    tool.send(INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &fields, &[]);
    let answer = r#"{"messageQueueTable":{{"brokerName":"broker-a","queueId":0,"topic":"T"}:7}}"#;
    for client in [&mut one, &mut other] {
        let (opaque, ..) = client.next_request(&[GET_CONSUMER_STATUS_FROM_CLIENT]);
        client.answer(opaque, 0, None, answer.as_bytes());
    }
    let body = String::from_utf8(tool.receive().body).unwrap();
    let place = r#"{{"brokerName":"broker-a","queueId":0,"topic":"T"}:7}"#;
    assert_eq!(body, format!(r#"{{"consumerTable":{{"c1":{place},"c2":{place}}},"messageQueueTable":{{}}}}"#));
}

#[test]
fn a_reply_reaches_the_client_that_asked_and_is_stored() {
    let broker = start("reply", 1);
    let (mut replier, mut asker) = (broker.connect(), broker.connect());
    heartbeat(&mut asker, "asker");
    let properties = "REPLY_TO_CLIENT\u{1}asker\u{2}CORRELATION_ID\u{1}7\u{2}MSG_TYPE\u{1}reply\u{2}";
    let reply = |properties| v2("DefaultCluster_REPLY_TOPIC", "0", properties);
    replier.send(SEND_REPLY_MESSAGE_V2, &reply(properties), b"answer");
    let (opaque, _, asked, body) = asker.next_request(&[PUSH_REPLY_MESSAGE_TO_CLIENT]);
    assert_eq!(body, b"answer");
    assert!(asked["properties"].contains("PUSH_REPLY_TIME") && asked["properties"].contains("CORRELATION_ID\u{1}7"));
    assert_eq!((asked["queueId"].as_str(), asked["bornTimestamp"].as_str()), ("0", "1700000000000"));
    asker.answer(opaque, 0, None, b"");
    let answer = replier.receive();
    assert_eq!((answer.code, answer.number("queueOffset"), answer.get("MSG_REGION")), (0, 0, "DefaultRegion"));
    assert_eq!(replier.pull("DefaultCluster_REPLY_TOPIC", 0, 0).messages(), [(0, "answer".to_owned())]);
    let lost = replier.call(SEND_REPLY_MESSAGE_V2, &reply("REPLY_TO_CLIENT\u{1}nobody\u{2}"), b"x");
    assert_eq!((lost.code, lost.remark.as_str()), (1, "push reply message fail, channel of <nobody> not found."));
    assert_eq!(lost.number("queueOffset"), 1, "stored all the same");
    let unnamed = replier.call(SEND_REPLY_MESSAGE_V2, &reply(""), b"x");
    assert_eq!(unnamed.remark, "reply message properties[REPLY_TO_CLIENT] is null");
}

#[test]
fn messages_are_found_by_key_and_by_unique_key_and_not_by_their_hash_alone() {
    let broker = start("query", 1);
    let mut client = broker.connect();
    let mut keys = Vec::new();
    for index in 0..5 {
        // "Aa" and "BB" have the same hash in Java.
        let key = if index == 4 { "BB" } else { "Aa" };
        let sent = client.put("T", index % 2, &format!("{index}"), &format!("KEYS\u{1}{key} k{index}\u{2}"));
        keys.push(sent.get("transactionId").to_owned());
    }
    let query = |key, max| {
        vec![
            ("topic", "T"),
            ("key", key),
            ("maxNum", max),
            ("beginTimestamp", "0"),
            ("endTimestamp", "9223372036854775807"),
        ]
    };
    let until = Instant::now() + PATIENCE;
    // The index is built behind the log.
    while client.call(QUERY_MESSAGE, &query("k4", "32"), &[]).code != 0 {
        assert!(Instant::now() < until, "the index was not built");
    }
    let bodies = |answer: Answer| answer.messages().into_iter().map(|(_, body)| body).collect::<Vec<_>>();
    assert_eq!(bodies(client.call(QUERY_MESSAGE, &query("Aa", "32"), &[])), ["0", "1", "2", "3"]);
    assert_eq!(bodies(client.call(QUERY_MESSAGE, &query("Aa", "2"), &[])), ["2", "3"]);
    assert_eq!(bodies(client.call(QUERY_MESSAGE, &query("BB", "32"), &[])), ["4"]);
    let unique = with(query(&keys[1], "1"), "_UNIQUE_KEY_QUERY", "true");
    assert_eq!(bodies(client.call(QUERY_MESSAGE, &unique, &[])), ["1"]);
    let none = client.call(QUERY_MESSAGE, &query("nothing", "32"), &[]);
    assert_eq!((none.code, none.get("indexLastUpdatePhyoffset")), (response::QUERY_NOT_FOUND, "0"));
    assert_eq!(client.call(QUERY_MESSAGE, &with(query("Aa", "32"), "endTimestamp", "1000"), &[]).code, 22);
    let read = broker.running().handles().stats.data("GROUP_GET_NUMS", "T@G", 0);
    assert!(read.is_none(), "queries are no reads of a group");
    client.pull("T", 0, 0);
    let now = broker.running().handles().clock.now();
    assert_eq!(broker.running().handles().stats.data("GROUP_GET_NUMS", "T@G", now).unwrap().stats_day.sum, 3);
}

/// A client that pulls from where it is to go, having fetched and not consumed what lies before, would go on with that.
#[test]
fn a_reset_to_the_end_is_told_to_whoever_has_not_consumed_what_it_fetched() {
    let broker = start("reset-end", 1);
    let (mut tool, mut consumer) = (broker.connect(), broker.connect());
    for index in 0..3 {
        tool.put("T", 0, &format!("{index}"), "");
    }
    heartbeat(&mut consumer, "c1");
    let reset = [("topic", "T"), ("group", "G"), ("timestamp", "-1"), ("isForce", "true")];
    for (consumed_to, code) in [("1", 21), ("3", 19)] {
        assert_eq!(tool.call(INVOKE_BROKER_TO_RESET_OFFSET, &reset, &[]).code, 0);
        let pull = with(pull_fields("G", "T", "0", "3", "5", "*"), "commitOffset", consumed_to);
        let answer = consumer.call(PULL_MESSAGE, &pull, &[]);
        assert_eq!((answer.code, answer.number("nextBeginOffset")), (code, 3), "consumed to {consumed_to}");
        let at = [("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")];
        assert_eq!(consumer.call(QUERY_CONSUMER_OFFSET, &at, &[]).number("offset"), 3, "the reset counts");
    }
}

#[test]
fn a_held_pull_hears_of_a_reset_and_of_a_deleted_topic_at_once() {
    for loops in LOOPS {
        let broker = start("reset-held", loops);
        let (mut tool, mut consumer) = (broker.connect(), broker.connect());
        for index in 0..3 {
            tool.put("T", 0, &format!("{index}"), "");
        }
        heartbeat(&mut consumer, "c1");
        let begin = Instant::now();
        let pull = pull_fields("G", "T", "0", "3", "6", "*");
        consumer.send(PULL_MESSAGE, &pull, &[]);
        let fields = [("topic", "T"), ("group", "G"), ("timestamp", "0"), ("isForce", "true")];
        // Until the pull is held, it would take the reset itself: both ways end in the same answer.
        assert_eq!(tool.call(INVOKE_BROKER_TO_RESET_OFFSET, &fields, &[]).code, 0);
        let moved = consumer.receive();
        assert_eq!((moved.code, moved.remark.as_str(), moved.number("nextBeginOffset")), (21, "OFFSET_RESET", 0));
        consumer.send(PULL_MESSAGE, &pull, &[]);
        assert_eq!(tool.call(DELETE_TOPIC_IN_BROKER, &[("topic", "T")], &[]).code, 0);
        assert_eq!(consumer.receive().code, response::TOPIC_NOT_EXIST);
        assert!(begin.elapsed() < Duration::from_secs(10), "long before the hold ends");
    }
}
