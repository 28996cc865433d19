//! Sends: every form that clients use, every refusal, and what is stored.

use super::*;
use crate::base::position::PhyOffset;
use crate::wire::codes::response;
use crate::wire::message::RecordView;
use crate::wire::message::batch::{Item, encode_item};
use crate::wire::message::id::OffsetMessageId;

fn start(name: &str, loops: usize) -> TestBroker {
    TestBroker::start(name, Options { loops, ..Options::default() })
}

fn properties(items: &[(&str, &str)]) -> String {
    items.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect()
}

#[test]
fn a_first_send_makes_its_topic_and_says_where_the_message_is() {
    for loops in LOOPS {
        let broker = start("send-first", loops);
        let mut client = broker.connect();
        let answer = client.put("T", 3, "hello", &properties(&[("TAGS", "a"), ("UNIQ_KEY", "U1")]));
        assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
        assert_eq!((answer.number("queueId"), answer.number("queueOffset")), (3, 0));
        assert_eq!(answer.get("transactionId"), "U1");
        assert_eq!((answer.get("MSG_REGION"), answer.get("TRACE_ON")), ("DefaultRegion", "true"));
        let id = OffsetMessageId::parse(answer.get("msgId")).unwrap();
        assert_eq!(id.store_host.port(), broker.running().addrs()[0].port());
        let topic = broker.running().handles().topics.get("T").unwrap();
        assert_eq!((topic.read_queue_nums, topic.write_queue_nums, topic.perm), (4, 4, 6));

        let stored = broker.running().handles().store.record_at(id.phy_offset).unwrap().unwrap();
        let record = RecordView::parse(&stored).unwrap();
        assert_eq!((record.topic(), record.queue_id(), record.flag(), record.body()), ("T", 3, 7, &b"hello"[..]));
        assert_eq!(record.born_timestamp(), 1_700_000_000_000);
        let cluster =
            properties(&[("CLUSTER", "DefaultCluster"), ("MSG_REGION", "DefaultRegion"), ("TRACE_ON", "true")]);
        let expected = format!("{}{cluster}", properties(&[("TAGS", "a"), ("UNIQ_KEY", "U1")]));
        assert_eq!(std::str::from_utf8(record.properties()).unwrap(), expected);
        assert_eq!(client.put("T", 3, "again", "").number("queueOffset"), 1);
    }
}

#[test]
fn the_long_names_of_code_10_and_the_binary_header_mean_the_same() {
    let broker = start("send-v1", 1);
    let mut client = broker.connect();
    let fields = [
        ("producerGroup", "P"),
        ("topic", "V1"),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "2"),
        ("queueId", "1"),
        ("sysFlag", "0"),
        ("bornTimestamp", "1"),
        ("flag", "0"),
        ("properties", "UNIQ_KEY\u{1}u\u{2}"),
    ];
    assert_eq!(client.call(request::SEND_MESSAGE, &fields, b"x").code, 0);
    client.serialization = Serialization::Binary;
    let answer = client.call(request::SEND_MESSAGE, &fields, b"x");
    assert_eq!((answer.code, answer.number("queueOffset")), (0, 1));
    assert_eq!(broker.running().handles().topics.get("V1").unwrap().write_queue_nums, 2);
}

#[test]
fn a_missing_unique_key_is_made_and_a_negative_queue_is_any() {
    let broker = start("send-any", 1);
    let mut client = broker.connect();
    let answers: Vec<_> = (0..8).map(|_| client.put("T", -1, "x", "")).collect();
    let keys: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.get("transactionId")).collect();
    assert_eq!(keys.len(), 8);
    assert!(keys.iter().all(|key| key.len() == 32), "{keys:?}");
    let queues: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.number("queueId")).collect();
    assert_eq!(queues.len(), 4);
}

#[test]
fn a_batch_is_one_answer_and_consecutive_messages_whatever_the_code() {
    for loops in LOOPS {
        let broker = start("send-batch", loops);
        let mut client = broker.connect();
        let mut body = Vec::new();
        for (index, own) in ["TAGS\u{1}a", "", "UNIQ_KEY\u{1}x\u{2}"].iter().enumerate() {
            let text = format!("m{index}");
            let item = Item { flag: index as i32, body: text.as_bytes(), properties: own.as_bytes() };
            encode_item(&mut body, &item).unwrap();
        }
        for (round, code) in [request::SEND_BATCH_MESSAGE, request::SEND_MESSAGE_V2].into_iter().enumerate() {
            let fields = with(v2("T", "2", "WAIT\u{1}true\u{2}"), "m", "true");
            let answer = client.call(code, &fields, &body);
            assert_eq!(answer.code, 0, "{answer:?}");
            assert_eq!(answer.number("queueOffset"), 3 * round as i64);
            assert_eq!(answer.get("transactionId"), "");
            let ids: Vec<_> = answer.get("msgId").split(',').map(|id| OffsetMessageId::parse(id).unwrap()).collect();
            assert_eq!(ids.len(), 3);
            let read = |at: PhyOffset| broker.running().handles().store.record_at(at).unwrap().unwrap();
            let wrapper = "WAIT\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}";
            let first = read(ids[0].phy_offset);
            let first = RecordView::parse(&first).unwrap();
            assert_eq!(std::str::from_utf8(first.properties()).unwrap(), format!("TAGS\u{1}a\u{2}{wrapper}"));
            let second = read(ids[1].phy_offset);
            let second = RecordView::parse(&second).unwrap();
            assert_eq!((second.flag(), second.body()), (1, &b"m1"[..]));
            assert_eq!(std::str::from_utf8(second.properties()).unwrap(), wrapper);
        }
        let pulled = client.pull("T", 2, 0);
        let bodies: Vec<_> = pulled.messages().into_iter().map(|(_, body)| body).collect();
        assert_eq!(bodies, ["m0", "m1", "m2", "m0", "m1", "m2"]);
    }
}

#[test]
fn oneway_sends_are_stored_in_order_and_never_answered() {
    for loops in LOOPS {
        let broker = start("send-oneway", loops);
        let mut client = broker.connect();
        for index in 0..100 {
            client.oneway(request::SEND_MESSAGE_V2, &v2("T", "0", ""), format!("{index}").as_bytes());
        }
        assert_eq!(client.put("T", 0, "last", "").number("queueOffset"), 100);
        let mut next = 0;
        while next < 100 {
            let messages = client.pull("T", 0, next).messages();
            assert!(!messages.is_empty());
            for (offset, body) in messages {
                assert_eq!(offset, next);
                assert!(next == 100 || body == next.to_string());
                next += 1;
            }
        }
    }
}

#[test]
fn sends_that_arrive_while_their_topic_is_made_keep_their_order() {
    for loops in LOOPS {
        let broker = start("send-making", loops);
        let mut client = broker.connect();
        let mut frames = BytesMut::new();
        for index in 0..200 {
            frames.extend_from_slice(
                &client.frame(request::SEND_MESSAGE_V2, 0, &v2("New", "0", ""), format!("{index}").as_bytes()).1,
            );
        }
        client.write(&frames);
        for index in 0..200 {
            let answer = client.receive();
            assert_eq!((answer.code, answer.number("queueOffset")), (0, index));
        }
    }
}

#[test]
fn a_oneway_send_to_a_new_topic_counts_even_if_its_sender_has_hung_up() {
    for loops in LOOPS {
        let broker = start("send-hung-up", loops);
        let mut client = broker.connect();
        client.oneway(request::SEND_MESSAGE_V2, &v2("Late", "0", ""), b"x");
        drop(client);
        let mut reader = broker.connect();
        let until = Instant::now() + PATIENCE;
        while reader.pull("Late", 0, 0).code != 0 {
            assert!(Instant::now() < until, "the message never came");
        }
    }
}

#[test]
fn a_stop_answers_the_sends_that_wait_for_the_disk() {
    for loops in LOOPS {
        let broker = TestBroker::start("send-stop", Options { loops, sync_flush: true, ..Options::default() });
        let mut client = broker.connect();
        client.put("T", 0, "0", "");
        let mut frames = BytesMut::new();
        for index in 1..=30 {
            let body = format!("{index}");
            frames.extend_from_slice(&client.frame(request::SEND_MESSAGE_V2, 0, &v2("T", "0", ""), body.as_bytes()).1);
        }
        client.write(&frames);
        // Once one is answered all of them were read.
        assert_eq!(client.receive().code, 0);
        broker.stop();
        for _ in 1..30 {
            assert_eq!(client.receive().code, 0);
        }
    }
}

/// A refused send: what was sent, and the code and words it is answered with.
struct Bad<'a> {
    fields: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
    code: i32,
    says: &'a [&'a str],
}

#[test]
fn bad_sends_get_javas_code_and_words_with_limit_and_value_and_store_nothing() {
    for loops in LOOPS {
        let broker = TestBroker::start(
            "send-bad",
            Options { loops, configure: |config| config.max_message_size = 1000, ..Options::default() },
        );
        let mut client = broker.connect();
        assert_eq!(client.put("T", 0, "good", "").code, 0);
        let end = broker.running().handles().store.log_max();

        let long_name = "n".repeat(128);
        let big_property = format!("k\u{1}{}\u{2}", "v".repeat(32_800));
        let many_properties: String = (0..200_000).map(|name| format!("{name}\u{1}v\u{2}")).collect();
        let big_body = vec![b'x'; 1001];
        let mut batch = Vec::new();
        encode_item(&mut batch, &Item { flag: 0, body: b"x", properties: b"" }).unwrap();
        let mut lying = batch.clone();
        lying[16..20].copy_from_slice(&1_000_000_i32.to_be_bytes());
        let mut negative = batch.clone();
        negative[16..20].copy_from_slice(&(-5_i32).to_be_bytes());
        let mut big_item = Vec::new();
        let own = format!("k\u{1}{}", "v".repeat(700));
        encode_item(&mut big_item, &Item { flag: 0, body: b"x", properties: own.as_bytes() }).unwrap();
        let wrapper = format!("w\u{1}{}\u{2}", "v".repeat(32_000));

        let send = |topic, properties| v2(topic, "0", properties);
        let batched = |fields| with(fields, "m", "true");
        let bad = [
            Bad { fields: send("", ""), body: b"x", code: 29, says: &["The specified topic is blank."] },
            Bad { fields: send(" ", ""), body: b"x", code: 29, says: &["The specified topic is blank."] },
            Bad { fields: send("a b", ""), body: b"x", code: 29, says: &["illegal characters", "^[%|a-zA-Z0-9_-]+$"] },
            Bad { fields: send("../x", ""), body: b"x", code: 29, says: &["illegal characters"] },
            Bad { fields: send(&long_name, ""), body: b"x", code: 29, says: &["longer than topic max length"] },
            Bad { fields: send("SCHEDULE_TOPIC_XXXX", ""), body: b"x", code: 16, says: &["SCHEDULE_TOPIC_XXXX"] },
            Bad {
                fields: with(send("Unknown", ""), "c", "nothing"),
                body: b"x",
                code: 17,
                says: &["topic[Unknown] not exist, apply first please!"],
            },
            Bad {
                fields: v2("T", "99", ""),
                body: b"x",
                code: 29,
                says: &["request queueId[99] is illegal", "4 write"],
            },
            Bad { fields: v2("T", "many", ""), body: b"x", code: 1, says: &["queueId"] },
            Bad { fields: with(send("T", ""), "g", "now"), body: b"x", code: 1, says: &["bornTimestamp"] },
            Bad { fields: send("T", ""), body: b"", code: 1, says: &["no body"] },
            Bad { fields: send("T", ""), body: &big_body, code: 13, says: &["limit 1000B", "1001 bytes"] },
            Bad { fields: send("T", &big_property), body: b"x", code: 13, says: &["32767", "limit 32KB"] },
            Bad { fields: send("T", &many_properties), body: b"x", code: 13, says: &["32767", "limit 32KB"] },
            Bad { fields: send("T", "DELAY\u{1}soon\u{2}"), body: b"x", code: 1, says: &["soon"] },
            Bad { fields: send("T", "TRAN_MSG\u{1}true\u{2}"), body: b"x", code: 13, says: &["TRAN_MSG"] },
            Bad { fields: send("T", "TIMER_DELAY_SEC\u{1}3\u{2}"), body: b"x", code: 13, says: &["TIMER_DELAY_SEC"] },
            Bad { fields: with(send("T", ""), "f", "4"), body: b"x", code: 13, says: &["transactional"] },
            Bad { fields: batched(send("T", "")), body: b"", code: 1, says: &["no message"] },
            Bad { fields: batched(send("T", "")), body: &batch[..15], code: 1, says: &["item 0"] },
            Bad { fields: batched(send("T", "")), body: &lying, code: 1, says: &["item 0", "1000000"] },
            Bad { fields: batched(send("T", "")), body: &negative, code: 1, says: &["item 0", "-5"] },
            Bad { fields: batched(send("T", "")), body: &big_body, code: 1, says: &["1001 bytes", "1000"] },
            Bad { fields: batched(send("T", "DELAY\u{1}3\u{2}")), body: &batch, code: 13, says: &["DELAY=3"] },
            Bad { fields: batched(send("%RETRY%G", "")), body: &batch, code: 13, says: &["retry group %RETRY%G"] },
            Bad { fields: batched(send("T", &wrapper)), body: &big_item, code: 13, says: &["32767"] },
        ];
        for bad in &bad {
            let answer = client.call(request::SEND_MESSAGE_V2, &bad.fields, bad.body);
            assert_eq!(answer.code, bad.code, "{:?} {answer:?}", bad.fields);
            for says in bad.says {
                assert!(answer.remark.contains(says), "{says:?} in {answer:?}");
            }
            if bad.code != 1 {
                assert_eq!(answer.get("MSG_REGION"), "DefaultRegion", "{answer:?}");
            }
        }
        assert_eq!(broker.running().handles().store.log_max(), end);
        assert_eq!(client.put("T", 0, "good", "DELAY\u{1}0\u{2}").code, 0, "DELAY 0 is a plain message");
    }
}

#[test]
fn an_unknown_code_is_code_3_and_broken_framing_ends_the_connection_alone() {
    for loops in LOOPS {
        let broker = start("send-framing", loops);
        let mut good = broker.connect();
        let answer = good.call(999, &[], &[]);
        assert_eq!((answer.code, answer.remark.as_str()), (3, " request type 999 not supported"));
        let answer = good.call(request::POP_MESSAGE, &[], &[]);
        assert!(answer.code == 3 && answer.remark.contains("POP"), "{answer:?}");
        let (_, whole) = good.frame(request::SEND_MESSAGE_V2, 0, &v2("T", "0", ""), b"x");
        let mut bad_json = BytesMut::from(&whole[..]);
        bad_json[8] = b'[';
        for broken in [
            &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0][..],
            &[0, 0, 0, 8, 0, 0, 1, 0, 0, 0, 0, 0],
            &[0, 0, 0, 8, 9, 0, 0, 4, 0, 0, 0, 0],
            &[0, 0, 0, 0],
            &bad_json,
        ] {
            let mut client = broker.connect();
            client.write(broken);
            assert!(client.is_closed(), "{broken:?}");
        }
        assert_eq!(good.put("T", 0, "x", "").code, 0);
    }
}

#[test]
fn sync_flush_answers_after_the_flush_and_shows_nothing_before() {
    for loops in LOOPS {
        let broker = TestBroker::start("send-sync", Options { loops, sync_flush: true, ..Options::default() });
        let mut client = broker.connect();
        client.put("T", 0, "0", "");
        let mut frames = BytesMut::new();
        for index in 1..64 {
            let fields = v2("T", "0", "UNIQ_KEY\u{1}u\u{2}");
            frames.extend_from_slice(
                &client.frame(request::SEND_MESSAGE_V2, 0, &fields, format!("{index}").as_bytes()).1,
            );
        }
        client.write(&frames);
        for index in 1..64 {
            let answer = client.receive();
            assert_eq!((answer.code, answer.number("queueOffset"), answer.get("transactionId")), (0, index, "u"));
            let id = OffsetMessageId::parse(answer.get("msgId")).unwrap();
            assert!(broker.running().handles().store.flushed().get() > id.phy_offset.0);
        }
        assert_eq!(client.put("T", 0, "no wait", "WAIT\u{1}false\u{2}").code, 0);
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let broker = start("send-restart", 1);
    let mut client = broker.connect();
    for index in 0..3000 {
        assert_eq!(client.put("T", index % 4, &format!("{index}"), "").code, 0);
    }
    let dir = broker.stop();
    let broker = TestBroker::start_in(dir, Options::default());
    let mut client = broker.connect();
    for queue in 0..4 {
        let mut next = 0;
        while next < 750 {
            let messages = client.pull("T", queue, next).messages();
            for (offset, body) in messages {
                assert_eq!((offset, body), (next, (4 * next + i64::from(queue)).to_string()));
                next += 1;
            }
        }
    }
}

#[test]
fn a_synchronous_master_without_a_slave_stores_and_says_that_no_slave_has_it() {
    for sync_flush in [false, true] {
        let options = Options { sync_flush, configure: |config| config.sync_master = true, ..Options::default() };
        let broker = TestBroker::start("send-sync-master", options);
        let mut client = broker.connect();
        let answer = client.put("T", 0, "stored", "");
        assert_eq!((answer.code, answer.number("queueOffset")), (response::SLAVE_NOT_AVAILABLE, 0), "{answer:?}");
        assert!(OffsetMessageId::parse(answer.get("msgId")).is_some(), "the whole header, as for a good answer");
        // Who does not wait is not told.
        let answer = client.put("T", 0, "unwatched", &properties(&[("WAIT", "false")]));
        assert_eq!((answer.code, answer.number("queueOffset")), (response::SUCCESS, 1), "{answer:?}");
    }
}
