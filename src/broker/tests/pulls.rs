//! Pulls and held pulls: statuses, limits, filters, waiting.

use super::*;
use crate::wire::codes::response;

fn start(name: &str, loops: usize) -> TestBroker {
    TestBroker::start(name, Options { loops, ..Options::default() })
}

fn heartbeat(client: &mut TestClient, group: &str, topic: &str, expression: &str, version: i64, model: &str) {
    let body = heartbeat_body(group, topic, expression, version, model);
    assert_eq!(client.call(request::HEART_BEAT, &[], body.as_bytes()).code, 0);
}

fn heartbeat_body(group: &str, topic: &str, expression: &str, version: i64, model: &str) -> String {
    let tags: Vec<_> = expression.split("||").map(str::trim).filter(|tag| *tag != "*").collect();
    let codes: Vec<_> = tags.iter().map(|tag| message::java_hash(tag)).collect();
    format!(
        r#"{{"clientID":"c1","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"{group}","messageModel":"{model}","subscriptionDataSet":[{{"classFilterMode":false,"codeSet":{codes:?},"expressionType":"TAG","subString":"{expression}","subVersion":{version},"tagsSet":{tags:?},"topic":"{topic}"}}],"unitMode":false}}],"producerDataSet":[]}}"#
    )
}

#[test]
fn every_status_has_its_code_and_the_four_numbers() {
    for loops in LOOPS {
        let broker = start("pull-status", loops);
        let mut client = broker.connect();
        for index in 0..5 {
            client.put("T", 0, &format!("{index}"), "TAGS\u{1}a\u{2}");
        }
        // (queue, offset, subscription) to (code, remark, next, max)
        let rows: [(&str, i64, &str, i32, &str, i64, i64); 8] = [
            ("0", 0, "*", response::SUCCESS, "FOUND", 5, 5),
            ("0", 3, "a || b", response::SUCCESS, "FOUND", 5, 5),
            ("0", 0, "b", response::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE", 5, 5),
            ("0", 5, "*", response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", 5, 5),
            ("0", 6, "*", response::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", 5, 5),
            ("0", -1, "*", response::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", 0, 5),
            ("1", 0, "*", response::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0, 0),
            ("1", 7, "*", response::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0, 0),
        ];
        for (queue, offset, subscription, code, remark, next, max) in rows {
            let offset = offset.to_string();
            let answer =
                client.call(request::PULL_MESSAGE, &pull_fields("G", "T", queue, &offset, "4", subscription), &[]);
            assert_eq!((answer.code, answer.remark.as_str()), (code, remark), "{queue} {offset} {subscription}");
            assert_eq!(answer.number("nextBeginOffset"), next, "{answer:?}");
            assert_eq!((answer.number("minOffset"), answer.number("maxOffset")), (0, max));
            assert_eq!(answer.number("suggestWhichBrokerId"), 0);
            assert_eq!((answer.number("topicSysFlag"), answer.number("groupSysFlag")), (0, 0));
        }
        let three = with(pull_fields("G", "T", "0", "1", "4", "*"), "maxMsgNums", "3");
        assert_eq!(client.call(request::LITE_PULL_MESSAGE, &three, &[]).messages().len(), 3);
    }
}

#[test]
fn checks_come_in_javas_order_with_javas_codes() {
    for loops in LOOPS {
        let broker = start("pull-checks", loops);
        let mut client = broker.connect();
        client.put("T", 0, "x", "");
        let call = |client: &mut TestClient, fields: &[(&str, &str)]| client.call(request::PULL_MESSAGE, fields, &[]);
        let pull = |topic, queue, flag, text| pull_fields("G", topic, queue, "0", flag, text);
        assert_eq!(call(&mut client, &pull("Unknown", "0", "4", "*")).code, response::TOPIC_NOT_EXIST);
        let answer = call(&mut client, &pull("T", "8", "4", "*"));
        assert_eq!(answer.code, response::INVALID_PARAMETER);
        assert!(answer.remark.contains("queueId[8]") && answer.remark.contains("[4]"), "{answer:?}");
        assert_eq!(call(&mut client, &pull("T", "-1", "4", "*")).code, response::INVALID_PARAMETER);
        assert_eq!(call(&mut client, &pull("T", "x", "4", "*")).code, response::SYSTEM_ERROR);
        assert_eq!(call(&mut client, &pull("T", "0", "4", "||")).code, response::SUBSCRIPTION_PARSE_FAILED);
        let sql = with(pull("T", "0", "4", "a > 1"), "expressionType", "SQL92");
        let answer = call(&mut client, &sql);
        assert_eq!((answer.code, answer.remark.ends_with("SQL92")), (response::SYSTEM_ERROR, true));

        let answer = call(&mut client, &pull("T", "0", "0", ""));
        assert_eq!((answer.code, answer.remark.as_str()), (24, "the consumer's group info not exist"));
        heartbeat(&mut client, "G", "Other", "*", 5, "CLUSTERING");
        let answer = call(&mut client, &pull("T", "0", "0", ""));
        assert_eq!((answer.code, answer.remark.as_str()), (24, "the consumer's subscription not exist"));
        heartbeat(&mut client, "G", "T", "*", 6, "CLUSTERING");
        let newer = with(pull("T", "0", "0", ""), "subVersion", "7");
        let answer = call(&mut client, &newer);
        assert_eq!((answer.code, answer.remark.as_str()), (25, "the consumer's subscription not latest"));
        assert_eq!(call(&mut client, &with(pull("T", "0", "0", ""), "subVersion", "6")).messages().len(), 1);
    }
}

#[test]
fn a_pull_that_may_wait_waits_for_the_heartbeat_that_it_goes_with() {
    for loops in LOOPS {
        let broker = start("pull-early", loops);
        let (mut producer, mut client) = (broker.connect(), broker.connect());
        producer.put("T", 0, "x", "");
        let pull = |offset, version| with(pull_fields("G", "T", "0", offset, "2", ""), "subVersion", version);
        let held = || wait_until(|| broker.running().handles().held.total() == 1);

        // Nothing is known of the group yet.
        let pulled = client.send(request::PULL_MESSAGE, &pull("0", "6"), &[]);
        held();
        client.send(request::HEART_BEAT, &[], heartbeat_body("G", "T", "*", 6, "CLUSTERING").as_bytes());
        let answers = [client.receive(), client.receive()];
        let answer = answers.iter().find(|answer| answer.opaque == pulled).expect("an answer to the pull");
        assert_eq!(answer.messages(), [(0, "x".to_owned())]);

        // Nothing of this version; after the heartbeat it is held as any other, and a message wakes it.
        let pulled = client.send(request::PULL_MESSAGE, &pull("1", "7"), &[]);
        held();
        heartbeat(&mut client, "G", "T", "*", 7, "CLUSTERING");
        producer.put("T", 0, "y", "");
        let answer = client.receive();
        assert_eq!((answer.opaque, answer.messages()), (pulled, vec![(1, "y".to_owned())]));

        // Whose heartbeat does not come is told so in the end.
        client.send(request::PULL_MESSAGE, &pull("0", "8"), &[]);
        let answer = client.receive();
        assert_eq!((answer.code, answer.remark.as_str()), (25, "the consumer's subscription not latest"));
        assert_eq!(broker.running().handles().held.total(), 0);
    }
}

/// A client that is told that nothing is there asks again at once; one that is refused waits for a while.
#[test]
fn a_pull_for_which_there_is_no_room_is_answered_at_once_and_refused_if_it_waits_for_a_heartbeat() {
    let broker = TestBroker::start(
        "pull-no-room",
        Options { configure: |it| it.memory.held_pulls_max = 0, ..Options::default() },
    );
    let mut client = broker.connect();
    client.put("T", 0, "x", "");
    let answer = client.call(request::PULL_MESSAGE, &pull_fields("G", "T", "0", "1", "6", "*"), &[]);
    assert_eq!((answer.code, answer.number("nextBeginOffset")), (response::PULL_NOT_FOUND, 1));
    let answer = client.call(request::PULL_MESSAGE, &pull_fields("G", "T", "0", "0", "2", ""), &[]);
    assert_eq!(answer.code, response::SUBSCRIPTION_NOT_EXIST);
}

#[test]
fn a_group_that_may_not_broadcast_is_told_so() {
    let broker = start("pull-broadcast", 1);
    let mut client = broker.connect();
    client.put("T", 0, "x", "");
    let may = |client: &mut TestClient, enabled: bool| {
        let group = format!(r#"{{"groupName":"G","consumeBroadcastEnable":{enabled},"retryQueueNums":1}}"#);
        assert_eq!(client.call(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], group.as_bytes()).code, 0);
    };
    let pull = pull_fields("G", "T", "0", "0", "0", "");
    may(&mut client, false);
    heartbeat(&mut client, "G", "T", "*", 1, "BROADCASTING");
    let answer = client.call(request::PULL_MESSAGE, &pull, &[]);
    assert_eq!((answer.code, answer.get("forbiddenType")), (response::NO_PERMISSION, "4"), "{answer:?}");
    assert_eq!(answer.remark, "the consumer group[G] can not consume by broadcast way");
    may(&mut client, true);
    assert_eq!(client.call(request::PULL_MESSAGE, &pull, &[]).messages().len(), 1);
}

#[test]
fn the_commit_flag_stores_the_offset() {
    let broker = start("pull-commit", 1);
    let mut client = broker.connect();
    client.put("T", 0, "x", "");
    client.call(request::PULL_MESSAGE, &with(pull_fields("G", "T", "0", "0", "4", "*"), "commitOffset", "9"), &[]);
    let query = [("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")];
    assert_eq!(client.call(request::QUERY_CONSUMER_OFFSET, &query, &[]).get("offset"), "0", "nothing was stored");
    client.call(request::PULL_MESSAGE, &with(pull_fields("G", "T", "0", "0", "5", "*"), "commitOffset", "9"), &[]);
    assert_eq!(client.call(request::QUERY_CONSUMER_OFFSET, &query, &[]).get("offset"), "9");
}

#[test]
fn a_held_pull_wakes_for_what_it_wants_and_for_nothing_else() {
    for loops in LOOPS {
        for sync_flush in [false, true] {
            let name = if sync_flush { "pull-held-sync" } else { "pull-held" };
            let broker = TestBroker::start(name, Options { loops, sync_flush, ..Options::default() });
            let mut producer = broker.connect();
            producer.put("T", 0, "first", "TAGS\u{1}a\u{2}");
            // More consumers than loops, so that every loop holds something.
            let mut consumers: Vec<_> = (0..8).map(|_| broker.connect()).collect();
            for consumer in &mut consumers {
                consumer.send(request::PULL_MESSAGE, &pull_fields("G", "T", "0", "1", "6", "b"), &[]);
            }
            wait_until(|| broker.running().handles().held.total() == 8);
            producer.put("T", 0, "unwanted", "TAGS\u{1}a\u{2}");
            producer.put("T", 1, "other queue", "TAGS\u{1}b\u{2}");
            assert!(consumers[0].try_receive(Duration::from_millis(100)).is_none());
            let sent = Instant::now();
            producer.put("T", 0, "wanted", "TAGS\u{1}b\u{2}");
            for consumer in &mut consumers {
                let answer = consumer.receive();
                assert_eq!(answer.messages(), [(2, "wanted".to_owned())]);
                assert_eq!(answer.number("nextBeginOffset"), 3);
            }
            assert!(sent.elapsed() < Duration::from_secs(10), "long before the hold ends: {:?}", sent.elapsed());
            assert_eq!(broker.running().handles().held.total(), 0);
        }
    }
}

#[test]
fn a_held_pull_is_answered_when_its_time_is_over() {
    for loops in LOOPS {
        let broker = start("pull-timeout", loops);
        let mut client = broker.connect();
        client.put("T", 0, "x", "TAGS\u{1}a\u{2}");
        let asked = Instant::now();
        let fields = with(pull_fields("G", "T", "0", "1", "6", "*"), "suspendTimeoutMillis", "400");
        let answer = client.call(request::PULL_MESSAGE, &fields, &[]);
        let waited = asked.elapsed();
        assert_eq!((answer.code, answer.number("nextBeginOffset")), (response::PULL_NOT_FOUND, 1));
        assert!(waited >= Duration::from_millis(390) && waited < Duration::from_secs(10), "{waited:?}");
        // What did not match is skipped when the time is over, so that the group gets on.
        let fields = with(pull_fields("G", "T", "0", "1", "6", "b"), "suspendTimeoutMillis", "400");
        client.send(request::PULL_MESSAGE, &fields, &[]);
        let mut producer = broker.connect();
        producer.put("T", 0, "y", "TAGS\u{1}a\u{2}");
        let answer = client.receive();
        assert_eq!((answer.code, answer.number("nextBeginOffset")), (response::PULL_RETRY_IMMEDIATELY, 2));
    }
}

#[test]
fn a_held_pull_of_a_deleted_topic_is_told_so() {
    for loops in LOOPS {
        let broker = start("pull-deleted", loops);
        let mut client = broker.connect();
        client.put("Gone", 0, "x", "");
        client.send(request::PULL_MESSAGE, &pull_fields("G", "Gone", "0", "1", "6", "*"), &[]);
        wait_until(|| broker.running().handles().held.total() == 1);
        let deleted = broker.connect().call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "Gone")], &[]);
        assert_eq!(deleted.code, 0, "{deleted:?}");
        assert_eq!(client.receive().code, response::TOPIC_NOT_EXIST);
    }
}

#[test]
fn a_held_pull_of_a_group_that_may_not_consume_any_more_is_told_so() {
    let group = br#"{"groupName":"G","consumeEnable":false}"#;
    let list = br#"{"groupConfigList":[{"groupName":"G","consumeEnable":false}]}"#;
    let ways: [(i32, &[u8]); 2] = [
        (request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, group),
        (request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, list),
    ];
    for (way, (code, body)) in ways.into_iter().enumerate() {
        for loops in LOOPS {
            let broker = start(&format!("pull-disabled-{way}"), loops);
            let mut client = broker.connect();
            client.put("T", 0, "x", "");
            client.send(request::PULL_MESSAGE, &pull_fields("G", "T", "0", "1", "6", "*"), &[]);
            wait_until(|| broker.running().handles().held.total() == 1);
            assert_eq!(broker.connect().call(code, &[], body).code, 0);
            assert_eq!(client.receive().code, response::NO_PERMISSION);
        }
    }
}

#[test]
fn what_a_connection_held_is_forgotten_with_it() {
    for loops in LOOPS {
        let broker = start("pull-closed", loops);
        let mut client = broker.connect();
        client.put("T", 0, "x", "");
        for _ in 0..50 {
            client.send(request::PULL_MESSAGE, &pull_fields("G", "T", "0", "1", "6", "*"), &[]);
        }
        wait_until(|| broker.running().handles().held.total() == 50);
        drop(client);
        wait_until(|| broker.running().handles().held.total() == 0);
        assert_eq!(broker.connect().put("T", 0, "y", "").code, 0);
    }
}

#[test]
fn nothing_is_missed_between_a_pull_and_the_message_that_it_waits_for() {
    for loops in LOOPS {
        let broker = start("pull-race", loops);
        broker.connect().put("T", 0, "0", "");
        let addr = broker.running().addrs()[0];
        let producer = std::thread::Builder::new()
            .name("producer".into())
            .spawn(move || {
                let mut client = TestClient::connect(addr);
                for index in 1..2000 {
                    client.put("T", 0, &index.to_string(), "");
                }
            })
            .unwrap();
        let mut client = broker.connect();
        let mut next = 0;
        while next < 2000 {
            let offset = next.to_string();
            let answer = client.call(request::PULL_MESSAGE, &pull_fields("G", "T", "0", &offset, "6", "*"), &[]);
            assert_eq!(answer.code, response::SUCCESS, "a time-out would mean that a wake was lost");
            for (offset, body) in answer.messages() {
                assert_eq!((offset, body), (next, next.to_string()));
                next += 1;
            }
        }
        producer.join().unwrap();
    }
}

/// Whatever number of messages it asks for: an event loop looks at nothing long.
#[test]
fn a_pull_looks_at_so_many_messages_that_it_does_not_want_and_no_more() {
    let broker = start("pull-far", 1);
    let mut client = broker.connect();
    client.put("T", 0, "first", "TAGS\u{1}a\u{2}");
    let handles = broker.running().handles();
    let queue = handles.store.queue("T", crate::base::position::QueueId(0));
    let host = "127.0.0.1:10911".parse().unwrap();
    let record = message::NewRecord {
        topic: "T",
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 0,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"x",
        properties: b"TAGS\x01a\x02",
    };
    let mut batch = store::Batch::new(&handles.store);
    for _ in 0..17 {
        batch.clear();
        for _ in 0..1000 {
            batch.stage(&queue, &record, message::tags_code("a")).unwrap();
        }
        handles.store.append(&mut batch).unwrap();
    }
    for (wanted, least, most) in [("32", 1, 800), ("2000000000", 1, 16_000)] {
        let fields = with(pull_fields("G", "T", "0", "0", "4", "b"), "maxMsgNums", wanted);
        let answer = client.call(request::PULL_MESSAGE, &fields, &[]);
        assert_eq!(answer.code, response::PULL_RETRY_IMMEDIATELY);
        assert!((least..=most).contains(&answer.number("nextBeginOffset")), "{wanted}: {answer:?}");
    }
}

/// Waits for what another thread is about to do.
fn wait_until(done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "it never happened");
        std::thread::yield_now();
    }
}

#[test]
fn what_tools_are_told_of_pulls_and_stores_is_what_happened() {
    for loops in LOOPS {
        let broker = start("pull-figures", loops);
        let mut client = broker.connect();
        for index in 0..6 {
            client.put("T", 0, &format!("{index}"), "");
        }
        let pull = |client: &mut TestClient, offset: &str| {
            client.call(request::PULL_MESSAGE, &pull_fields("G", "T", "0", offset, "4", "*"), &[])
        };
        for (offset, code) in [("0", response::SUCCESS), ("2", response::SUCCESS), ("6", response::PULL_NOT_FOUND)] {
            assert_eq!(pull(&mut client, offset).code, code, "{offset}");
        }
        let info = client.call(request::GET_BROKER_RUNTIME_INFO, &[], &[]);
        let info: serde_json::Value = serde_json::from_slice(&info.body).unwrap();
        let table = info["table"].as_object().unwrap();
        // Rates over the ten seconds before the counters began.
        let rate = |name: &str| -> f64 { table[name].as_str().unwrap().split(' ').next().unwrap().parse().unwrap() };
        assert!(rate("getMissTps") > 0.0 && rate("getFoundTps") > 1.5 * rate("getMissTps"), "{table:?}");
        assert!(rate("getTransferredTps") > 4.0 * rate("getFoundTps"), "ten messages in two pulls: {table:?}");
        for (name, value) in [
            ("msgPutTotalTodayNow", "6"),
            ("msgGetTotalTodayNow", "10"),
            ("putMessageTimesTotal", "6"),
            ("putMessageFailedTimes", "0"),
            ("pageCacheLockTimeMills", "0"),
        ] {
            assert_eq!(table[name], value, "{name}");
        }
        for (name, key, code) in [
            ("GROUP_GET_LATENCY", "0@T@G", response::SUCCESS),
            ("TOPIC_PUT_LATENCY", "0@T", response::SUCCESS),
            ("GROUP_GET_NUMS", "T@G", response::SUCCESS),
            ("GROUP_GET_LATENCY", "1@T@G", response::SYSTEM_ERROR),
            ("GROUP_ACK_NUMS", "T@G", response::SYSTEM_ERROR),
        ] {
            let ext = [("statsName", name), ("statsKey", key)];
            let answer = client.call(request::VIEW_BROKER_STATS_DATA, &ext, &[]);
            assert_eq!(answer.code, code, "{name} {key}: {answer:?}");
        }
    }
}
