//! Bytes that other implementations produced, read and written by ours; `README.md` beside this says what produced them.

use bytes::BytesMut;
use rocketmq::base::position::PhyOffset;
use rocketmq::wire::body::{DataVersion, RegisterBrokerBody, TopicConfig, TopicQueueMappingInfo};
use rocketmq::wire::command::{self, Command, ReplyTo, Value};
use rocketmq::wire::compress::Compression;
use rocketmq::wire::frame::{self, FRAME_LEN_MAX, Serialization};
use rocketmq::wire::message::id::OffsetMessageId;
use rocketmq::wire::message::{self, NewRecord, RecordError, RecordView, batch, properties};
use rocketmq::wire::request::{Pull, Send};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn line(file: &str, name: &str) -> Vec<u8> {
    let found = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    hex(found.unwrap_or_else(|| panic!("no line {name}")))
}

fn parse(frame: &[u8]) -> Command<'_> {
    let (frame, len) = frame::parse(frame, FRAME_LEN_MAX).unwrap().unwrap();
    assert_eq!(len, frame.header.len() + frame.body.len() + 8);
    Command::parse(&frame).unwrap()
}

const PROPERTIES: &str =
    "UNIQ_KEY\u{1}7F0000011A2B3C4D5E6F708192A3B4C5\u{2}WAIT\u{1}true\u{2}TAGS\u{1}标签\u{2}KEYS\u{1}a\"b\\c\u{2}";

#[test]
fn javas_frames_are_read_in_both_serializations() {
    let frames = include_str!("frames.txt");
    for (name, serialization) in [("JSON", Serialization::Json), ("ROCKETMQ", Serialization::Binary)] {
        for (kind, code, opaque) in [("send", 10, 7), ("sendV2", 310, -8)] {
            let bytes = line(frames, &format!("{kind} {name}"));
            let command = parse(&bytes);
            assert_eq!((command.code, command.opaque, command.serialization), (code, opaque, serialization));
            assert_eq!((command.language_name(), command.remark.as_deref()), ("JAVA", None));
            assert_eq!(command.body, b"hello");
            let send = Send::from_ext(code, &command.ext).unwrap();
            let wanted = Send {
                producer_group: "PG",
                topic: "TopicTest",
                default_topic: "TBW102",
                default_topic_queue_nums: 4,
                queue_id: 3,
                born_timestamp: 1_700_000_000_000,
                properties: PROPERTIES,
                ..Send::default()
            };
            assert_eq!(send, wanted);
        }
        let bytes = line(frames, &format!("pull {name}"));
        let command = parse(&bytes);
        let wanted = Pull {
            consumer_group: "G",
            topic: "TopicTest",
            queue_id: 1,
            queue_offset: 42,
            max_msg_nums: 32,
            sys_flag: 2,
            suspend_timeout_millis: 15_000,
            subscription: Some("*"),
            expression_type: Some("TAG"),
            ..Pull::default()
        };
        assert_eq!(Pull::from_ext(&command.ext), Ok(wanted));
        let bytes = line(frames, &format!("error {name}"));
        let command = parse(&bytes);
        assert!(command.is_response());
        assert_eq!(command.remark.as_deref(), Some("topic[中] not exist,\napply first \"x\" \u{1}\u{7f}"));
        assert_eq!(command.ext.get("k"), Some("v/\u{2028}"));
        let bytes = line(frames, &format!("empty {name}"));
        assert!(parse(&bytes).ext.is_empty());
    }
}

#[test]
fn our_frames_are_javas_byte_for_byte() {
    let mut out = BytesMut::new();
    command::write_request(&mut out, Serialization::Json, 38, 7, 0, &[("consumerGroup", Value::Str("G"))], &[1, 2]);
    let json = "00000088 00000082 7b22636f6465223a33382c226578744669656c6473223a7b22636f6e73756d657247726f7570223a2247227d2c22666c6167223a302c226c616e6775616765223a224a415641222c226f7061717565223a372c2273657269616c697a655479706543757272656e74525043223a224a534f4e222c2276657273696f6e223a3437397d 0102";
    assert_eq!(out[..], hex(json));

    out.clear();
    let to = ReplyTo { serialization: Serialization::Binary, opaque: 7, oneway: false };
    command::write_response(&mut out, to, 38, Some("r"), &[("consumerGroup", Value::Str("G"))], &[1, 2]);
    let binary = "00000030 0100002a  0026 00 01df 00000007 00000001  00000001 72  00000014  000d 636f6e73756d657247726f7570 00000001 47  0102";
    assert_eq!(out[..], hex(binary));

    // The error frames but for the version, which the program that printed them left at 0, and, in JSON, its digits.
    let frames = include_str!("frames.txt");
    let remark = "topic[中] not exist,\napply first \"x\" \u{1}\u{7f}";
    out.clear();
    let to = ReplyTo { serialization: Serialization::Json, opaque: 10, oneway: false };
    command::write_response(&mut out, to, 17, Some(remark), &[("k", Value::Str("v/\u{2028}"))], &[]);
    let text = String::from_utf8(out[8..].to_vec()).unwrap().replace("\"version\":479", "\"version\":0");
    assert_eq!(text, String::from_utf8(line(frames, "error JSON")[8..].to_vec()).unwrap());
    out.clear();
    let to = ReplyTo { serialization: Serialization::Binary, ..to };
    command::write_response(&mut out, to, 17, Some(remark), &[("k", Value::Str("v/\u{2028}"))], &[]);
    out[11..13].fill(0);
    assert_eq!(out[..], line(frames, "error ROCKETMQ"));
}

#[test]
fn ids_checksums_and_hashes_are_javas() {
    for (host, id) in [
        ("127.0.0.1:10911", "7F00000100002A9F000000000001E240"),
        ("[::1]:10911", "0000000000000000000000000000000100002A9F000000000001E240"),
    ] {
        let wanted = OffsetMessageId { store_host: host.parse().unwrap(), phy_offset: PhyOffset(123_456) };
        assert_eq!((&*wanted.text(), OffsetMessageId::parse(id)), (id, Some(wanted)));
    }
    assert_eq!(message::body_crc(b"123456789"), 1_274_296_614);
    assert_eq!(message::body_crc(b"Hello RocketMQ"), 1_774_740_973);
    assert_eq!(message::tags_code("TagA"), 2_598_919);
    assert_eq!(message::tags_code("中文标签xx"), 781_728_145);
    assert_eq!(message::java_hash("T#k0"), 2_539_444);
}

#[test]
fn properties_are_javas() {
    let mut map = properties::Properties::default();
    map.set("TAGS", "TagA");
    map.set("KEYS", "k1 k2");
    assert_eq!(map.to_bytes(), hex("54414753 01 54616741 02 4b455953 01 6b31206b32 02"));
    let map = properties::Properties::parse(b"a\x01b\x02c\x01\x02d\x01e\x01f\x02x");
    assert_eq!(map.iter().collect::<Vec<_>>(), [("a", "b"), ("d", "e\u{1}f")]);
}

#[test]
fn batch_items_are_javas() {
    let bytes = line(include_str!("records.txt"), "batch-item");
    let item = batch::Item { flag: 3, body: b"body", properties: b"WAIT\x01true\x02TAGS\x01TagA\x02" };
    assert_eq!(batch::items(&bytes).collect::<Vec<_>>(), [Ok(item)]);
    let mut out = Vec::new();
    batch::encode_item(&mut out, &item).unwrap();
    assert_eq!(out, bytes);
}

#[test]
fn records_are_javas_byte_for_byte() {
    let records = include_str!("records.txt");
    let retry = format!("%RETRY%{}", "g".repeat(140));
    for (name, topic, phy_offset) in
        [("message", "T", 1000), ("v1-ipv4", "T", 0), ("v1-ipv6", "T", 0), ("v2", retry.as_str(), 0)]
    {
        let bytes = line(records, name);
        let view = RecordView::parse(&bytes).unwrap();
        view.check_crc().unwrap();
        assert_eq!((view.topic(), view.phy_offset(), view.total_size()), (topic, phy_offset, bytes.len()), "{name}");
        let again = NewRecord::from(&view);
        let mut out = Vec::new();
        message::encode(&mut out, &again).unwrap();
        message::patch(&mut out, view.queue_offset() as u64, view.phy_offset() as u64, view.store_timestamp());
        assert_eq!(out, bytes, "{name}");
    }
    let bytes = line(records, "v1-ipv6");
    let view = RecordView::parse(&bytes).unwrap();
    assert_eq!(view.born_host(), "[2001:db8::1]:1234".parse().unwrap());
    assert_eq!(view.store_host(), "[2001:db8::2]:10911".parse().unwrap());
    assert_eq!((view.property("KEYS"), view.property("TAGS")), (Some("k0"), Some("TagA")));
}

#[test]
fn the_record_of_a_5_1_0_broker_begins_as_ours() {
    let begin = line(include_str!("records.txt"), "5.1.0");
    assert_eq!(RecordView::parse(&begin), Err(RecordError::Truncated { needed: 219, have: 96 }));
    let record = NewRecord {
        topic: "TopicTest",
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 0x0187_31b2_f57c,
        born_host: "192.168.1.102:51916".parse().unwrap(),
        store_host: "192.168.1.201:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"Test 2",
        properties: &[b'p'; 219 - 91 - 6 - 9],
    };
    let mut out = Vec::new();
    assert_eq!(message::encode(&mut out, &record), Ok(219));
    message::patch(&mut out, 0, 0, 0x0187_31b2_f4b8);
    assert_eq!(out[..96], begin);
}

#[test]
fn javas_compressed_bodies_are_unpacked_and_ours_come_back() {
    let text: Vec<u8> =
        (0..5000).map(|at| format!("line {} of a text that repeats itself; ", at / 40).as_bytes()[at % 35]).collect();
    let packed = include_str!("compression.txt");
    for (name, kind) in [("LZ4", Compression::Lz4), ("ZSTD", Compression::Zstd), ("ZLIB", Compression::Zlib)] {
        let java = line(packed, name);
        assert!(kind.unpack(&java, 5000).unwrap() == text, "{name}");
        assert!(kind.unpack(&java, 4999).unwrap_err().to_string().contains("4999"), "{name}");
        assert!(kind.unpack(&java[..java.len() / 2], 5000).is_err(), "{name}");
        let ours = kind.pack(&text, 5).unwrap();
        assert!(ours.len() < 4000, "{name}: {}", ours.len());
        assert!(kind.unpack(&ours, 5000).unwrap() == text, "{name}");
        assert_eq!(Compression::of(kind.sys_flag()), Some(kind));
    }
    assert_eq!((Compression::of(1), Compression::of(0x300)), (Some(Compression::Zlib), None));
}

/// Texts with their lengths in front, and a count in front of some.
fn blocks(texts: &[(Option<u32>, &str)]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (count, text) in texts {
        plain.extend(count.iter().flat_map(|count| count.to_be_bytes()));
        plain.extend_from_slice(&(text.len() as u32).to_be_bytes());
        plain.extend_from_slice(text.as_bytes());
    }
    plain
}

#[test]
fn the_compressed_registration_is_javas() {
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version = DataVersion { counter: 0, state_version: 0, timestamp: 1_795_221_979_645 };
    let topic =
        TopicConfig { topic_name: "T".into(), read_queue_nums: 4, write_queue_nums: 4, ..TopicConfig::default() };
    wrapper.topic_config_table.insert("T".into(), topic);
    let mapping = TopicQueueMappingInfo {
        bname: "b".into(),
        curr_id_map: [(0, 0)].into(),
        dirty: false,
        epoch: 1,
        scope: "__global__".into(),
        topic: "T".into(),
        total_queues: 8,
    };
    wrapper.topic_queue_mapping_info_map = Some([("T".to_owned(), mapping)].into());

    let mapping =
        r#"{"bname":"b","currIdMap":{0:0},"dirty":false,"epoch":1,"scope":"__global__","topic":"T","totalQueues":8}"#;
    let version = r#"{"counter":0,"stateVersion":0,"timestamp":1795221979645}"#;
    assert_eq!((version.len(), mapping.len()), (0x38, 104));
    let plain = blocks(&[(None, version), (Some(1), "T 4 4 6 SINGLE_TAG {}"), (None, "[]"), (Some(1), mapping)]);

    let packed = body.to_compressed(479).unwrap();
    assert_eq!(packed[..2], [0x78, 0xda]);
    assert_eq!(Compression::Zlib.unpack(&packed, 1 << 20).unwrap(), plain);
    assert_eq!(RegisterBrokerBody::decode(&packed, 479), Ok(body.clone()));
    assert_eq!(RegisterBrokerBody::decode(&body.to_json(), 479), Ok(body.clone()));

    // 4.9.4's: no stateVersion, five fields a topic, no mappings.
    let version = r#"{"counter":0,"timestamp":1795221979645}"#;
    let plain = blocks(&[(None, version), (Some(1), "T 4 4 6 SINGLE_TAG"), (None, "[]")]);
    let packed = Compression::Zlib.pack(&plain, 9).unwrap();
    body.topic_config_serialize_wrapper.topic_queue_mapping_info_map = None;
    assert_eq!(RegisterBrokerBody::decode(&packed, 401), Ok(body.clone()));
    let ours = Compression::Zlib.unpack(&body.to_compressed(401).unwrap(), 1 << 20).unwrap();
    assert!(ours.ends_with(&plain[plain.len() - 30..]));
}
