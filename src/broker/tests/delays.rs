//! What waits: delayed messages, messages given back, dead letters, queues locked for one consumer.

use super::*;
use crate::broker::stats::Name;
use crate::wire::codes::response;
use crate::wire::message::RecordView;
use crate::wire::message::id::OffsetMessageId;
use crate::wire::message::properties;

/// Eighteen levels of 5, 10, 15 … milliseconds.
fn short_levels() -> Vec<u64> {
    (1..=18).map(|level| level * 5).collect()
}

fn start(name: &str, loops: usize, sync_flush: bool) -> TestBroker {
    TestBroker::start(name, Options { loops, sync_flush, delay_levels_ms: short_levels(), ..Options::default() })
}

/// One message of a queue, waited for by a held pull.
fn wait_for(client: &mut TestClient, group: &str, topic: &str, offset: i64) -> Vec<u8> {
    loop {
        let offset = offset.to_string();
        let answer = client.call(request::PULL_MESSAGE, &pull_fields(group, topic, "0", &offset, "6", "*"), &[]);
        match answer.code {
            response::SUCCESS => return answer.body,
            // The topic is not there yet, or the hold ended: a real client asks again as well.
            response::PULL_NOT_FOUND | response::PULL_RETRY_IMMEDIATELY => {}
            _ => panic!("{answer:?}"),
        }
    }
}

#[test]
fn a_delayed_message_is_delivered_when_it_is_due_and_says_where_it_waited() {
    for (loops, sync_flush) in [(1, false), (4, false), (1, true)] {
        let broker = start("delayed", loops, sync_flush);
        let (mut sender, mut puller) = (broker.connect(), broker.connect());
        sender.put("T", 0, "plain", "");
        let begin = Instant::now();
        let sent = sender.put("T", 0, "later", "TAGS\u{1}a\u{2}DELAY\u{1}99\u{2}TIMER_DELAY_SEC\u{1}1\u{2}");
        assert_eq!((sent.code, sent.number("queueId")), (0, 0), "{sent:?}");
        let body = wait_for(&mut puller, "G", "T", 1);
        // Store timestamps are whole milliseconds: the 90 of the highest level may have begun within the one before.
        assert!(begin.elapsed() >= Duration::from_millis(89), "level 99 is the highest, 90 ms");
        let record = RecordView::parse(&body).unwrap();
        let property = |name| properties::get(record.properties(), name);
        assert_eq!(record.body(), b"later");
        assert_eq!(
            (property("DELAY"), property("REAL_TOPIC"), property("REAL_QID")),
            (Some("18"), Some("T"), Some("0"))
        );
        assert_eq!((property("TAGS"), property("TIMER_DELAY_SEC")), (Some("a"), None));
        assert!(property("UNIQ_KEY").is_some());
    }
}

#[test]
fn a_message_given_back_sixteen_times_walks_the_levels_and_ends_in_the_dead_letters() {
    let broker = start("retries", 1, false);
    let mut client = broker.connect();
    let sent = client.put("T", 0, "bad", "TAGS\u{1}a\u{2}KEYS\u{1}k\u{2}UNIQ_KEY\u{1}U1\u{2}");
    let origin = sent.get("msgId").to_owned();
    let mut offset = OffsetMessageId::parse(&origin).unwrap().phy_offset.0 as i64;
    for times in 1..=17 {
        let position = offset.to_string();
        let back = [
            ("offset", position.as_str()),
            ("group", "G"),
            ("delayLevel", "0"),
            ("originMsgId", "U1"),
            ("originTopic", "T"),
            ("unitMode", "false"),
            ("maxReconsumeTimes", "16"),
        ];
        assert_eq!(client.call(request::CONSUMER_SEND_MSG_BACK, &back, &[]).code, 0);
        let (group, topic) = if times <= 16 { ("G", "%RETRY%G") } else { ("ANY", "%DLQ%G") };
        let body = wait_for(&mut client, group, topic, if times <= 16 { times - 1 } else { 0 });
        let record = RecordView::parse(&body).unwrap();
        let property = |name| properties::get(record.properties(), name);
        assert_eq!((record.body(), record.reconsume_times()), (&b"bad"[..], times as i32));
        assert_eq!((property("RETRY_TOPIC"), property("ORIGIN_MESSAGE_ID")), (Some("T"), Some(origin.as_str())));
        assert_eq!((property("UNIQ_KEY"), property("KEYS"), property("TAGS")), (Some("U1"), Some("k"), Some("a")));
        let level = (times + 2).min(18).to_string();
        assert_eq!(property("DELAY"), Some(if times <= 16 { level.as_str() } else { "0" }));
        offset = record.phy_offset();
    }
    let handles = broker.running().handles();
    let dead = handles.topics.get("%DLQ%G").unwrap();
    assert_eq!((dead.perm, dead.write_queue_nums), (6, 1));
    let counted = |name| handles.stats.find(name, "T@G").map(|counter| counter.total());
    assert_eq!((counted(Name::SendBackPutNums), counted(Name::SendBackToDlq)), (Some(17), Some(1)));
}

#[test]
fn giving_back_is_refused_with_javas_codes() {
    let broker = TestBroker::start(
        "retries-refused",
        Options { configure: |config| config.auto_create_subscription_group = false, ..Options::default() },
    );
    let mut client = broker.connect();
    let back = |group, offset| vec![("offset", offset), ("group", group), ("delayLevel", "0")];
    let answer = client.call(request::CONSUMER_SEND_MSG_BACK, &back("G", "0"), &[]);
    assert_eq!(answer.code, response::SUBSCRIPTION_GROUP_NOT_EXIST);
    let group = br#"{"groupName":"G","retryQueueNums":1}"#;
    assert_eq!(client.call(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], group).code, 0);
    for offset in ["0", "77", "-1", "999999999"] {
        let answer = client.call(request::CONSUMER_SEND_MSG_BACK, &back("G", offset), &[]);
        assert_eq!((answer.code, answer.remark), (1, format!("look message by offset failed, {offset}")));
    }
    let none = br#"{"groupName":"G","retryQueueNums":0}"#;
    assert_eq!(client.call(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], none).code, 0);
    assert_eq!(client.call(request::CONSUMER_SEND_MSG_BACK, &back("G", "77"), &[]).code, 0, "dropped, as asked");
}

#[test]
fn a_message_that_a_consumer_sends_back_by_itself_waits_or_is_given_up() {
    let broker = start("retries-sent", 1, false);
    let mut client = broker.connect();
    // What the client counts, RECONSUME_TIME and the id of the first delivery among it, is the reader's to see.
    let sent = "RETRY_TOPIC\u{1}T\u{2}TRAN_MSG\u{1}true\u{2}DELAY\u{1}1\u{2}RECONSUME_TIME\u{1}17\u{2}ORIGIN_MESSAGE_ID\u{1}ID\u{2}";
    let fallback = |times| {
        let fields = v2("%RETRY%G", "0", sent);
        with(with(fields, "j", times), "l", "16")
    };
    assert_eq!(client.call(request::SEND_MESSAGE_V2, &fallback("3"), b"again").code, 0);
    let body = wait_for(&mut client, "G", "%RETRY%G", 0);
    assert_eq!(RecordView::parse(&body).unwrap().reconsume_times(), 3);
    let given_up = client.call(request::SEND_MESSAGE_V2, &fallback("17"), b"dead");
    assert_eq!((given_up.code, given_up.number("queueId")), (0, 0), "{given_up:?}");
    let body = wait_for(&mut client, "ANY", "%DLQ%G", 0);
    let record = RecordView::parse(&body).unwrap();
    let property = |name| properties::get(record.properties(), name);
    assert_eq!((record.body(), property("DELAY")), (&b"dead"[..], Some("-1")));
    let told = ["RETRY_TOPIC", "RECONSUME_TIME", "ORIGIN_MESSAGE_ID"].map(property);
    assert_eq!(told, [Some("T"), Some("17"), Some("ID")]);
    // A group that works in order sends back only what it gives up, at whatever count.
    let queue =
        r#"{"clientId":"c","consumerGroup":"G","mqSet":[{"brokerName":"broker-a","queueId":0,"topic":"%RETRY%G"}]}"#;
    let locked = client.call(request::LOCK_BATCH_MQ, &[], queue.as_bytes());
    assert!(String::from_utf8_lossy(&locked.body).contains("%RETRY%G"), "{locked:?}");
    assert_eq!(client.call(request::SEND_MESSAGE_V2, &fallback("16"), b"ordered").code, 0);
    assert_eq!(RecordView::parse(&wait_for(&mut client, "ANY", "%DLQ%G", 1)).unwrap().body(), b"ordered");
    let given_up = broker.running().handles().stats.find(Name::SendBackToDlq, "T@G");
    assert_eq!(given_up.map(|counter| counter.total()), Some(2));
}

#[test]
fn what_waits_is_delivered_after_a_clean_stop_and_nothing_twice() {
    let mut broker = start("delayed-restart", 1, false);
    let dir = broker.dir.clone();
    let mut client = broker.connect();
    client.put("T", 0, "soon", "DELAY\u{1}1\u{2}");
    wait_for(&mut client, "G", "T", 0);
    client.put("T", 0, "pending", "DELAY\u{1}18\u{2}");
    broker.end();
    let saved = std::fs::read_to_string(dir.join("config").join("delayOffset.json")).unwrap();
    assert!(saved.contains("\"1\":1"), "{saved}");
    let again = TestBroker::start_in(dir, Options { delay_levels_ms: short_levels(), ..Options::default() });
    let body = wait_for(&mut again.connect(), "G", "T", 1);
    assert_eq!(RecordView::parse(&body).unwrap().body(), b"pending");
    assert_eq!(again.running().handles().store.queue("T", crate::base::position::QueueId(0)).max().0, 2);
}

/// Java 4.9 puts the hash of the tag where the time belongs while it recovers from an unclean end.
#[test]
fn a_message_whose_unit_holds_a_hash_waits_as_long_as_it_was_asked_to() {
    let levels = || vec![1_500];
    let mut broker = TestBroker::start("delayed-hash", Options { delay_levels_ms: levels(), ..Options::default() });
    let dir = broker.dir.clone();
    let begin = Instant::now();
    broker.connect().put("T", 0, "later", "TAGS\u{1}a\u{2}DELAY\u{1}1\u{2}");
    broker.end();
    let queue = dir.join("consumequeue/SCHEDULE_TOPIC_XXXX/0/00000000000000000000");
    let mut units = std::fs::read(&queue).unwrap();
    units[12..20].copy_from_slice(&message::tags_code("a").to_be_bytes());
    std::fs::write(&queue, units).unwrap();
    let again = TestBroker::start_in(dir, Options { delay_levels_ms: levels(), ..Options::default() });
    let body = wait_for(&mut again.connect(), "G", "T", 0);
    assert_eq!(RecordView::parse(&body).unwrap().body(), b"later");
    assert!(begin.elapsed() >= Duration::from_millis(1_499), "after {:?}", begin.elapsed());
}

#[test]
fn a_locked_queue_belongs_to_one_client_at_a_time() {
    let broker = start("locks", 4, false);
    let (mut one, mut other) = (broker.connect(), broker.connect());
    one.put("T", 0, "x", "");
    let body = |client: &str| {
        format!(
            r#"{{"clientId":"{client}","consumerGroup":"G","mqSet":[{{"brokerName":"broker-a","queueId":0,"topic":"T"}},{{"brokerName":"broker-a","queueId":0,"topic":"UNKNOWN"}}]}}"#
        )
    };
    let owns = |answer: &Answer| {
        assert_eq!(answer.code, 0);
        String::from_utf8(answer.body.clone()).unwrap()
    };
    let got = r#"{"lockOKMQSet":[{"brokerName":"broker-a","queueId":0,"topic":"T"}]}"#;
    assert_eq!(owns(&one.call(request::LOCK_BATCH_MQ, &[], body("a").as_bytes())), got);
    assert_eq!(owns(&other.call(request::LOCK_BATCH_MQ, &[], body("b").as_bytes())), r#"{"lockOKMQSet":[]}"#);
    assert_eq!(other.call(request::UNLOCK_BATCH_MQ, &[], body("b").as_bytes()).code, 0);
    assert_eq!(owns(&one.call(request::LOCK_BATCH_MQ, &[], body("a").as_bytes())), got);
    assert_eq!(one.call(request::UNLOCK_BATCH_MQ, &[], body("a").as_bytes()).code, 0);
    assert_eq!(owns(&other.call(request::LOCK_BATCH_MQ, &[], body("b").as_bytes())), got);
}
