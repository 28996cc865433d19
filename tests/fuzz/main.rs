//! Every decoder against changed input: one test per decoder, see `engine` for how and for the knobs.

#![expect(unsafe_code, reason = "the engine's counting allocator; nothing else here")]

mod engine;

use bytes::BytesMut;
use engine::{Target, fuzz, hash, outcome, shape};
use rocketmq::wire::body::{BODIES, HeartbeatData, RegisterBrokerBody};
use rocketmq::wire::command::{self, Command, Value};
use rocketmq::wire::compress::Compression;
use rocketmq::wire::fastjson::{self, Form};
use rocketmq::wire::frame::{self, Frame, Serialization};
use rocketmq::wire::message::id::OffsetMessageId;
use rocketmq::wire::message::properties::{self, Properties};
use rocketmq::wire::message::{self, NewRecord, RecordView, batch};
use rocketmq::wire::request::{ConsumerOffset, Pull, QueueQuery, Send};

#[global_allocator]
static ALLOCATOR: engine::Counting = engine::Counting;

/// Memory of decoders that only borrow.
const BORROWS: (usize, usize) = (256 << 10, 16);
/// Memory of decoders that build: a tree, then a bean of a few hundred bytes out of two characters.
const BUILDS: (usize, usize) = (256 << 10, 512);

const JSON: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b":",
    b",",
    b"null",
    b"true",
    b"false",
    b"0",
    b"-1",
    b"1.5",
    b"1e9",
    b"2147483648",
    b"9223372036854775808",
    b"\\u0001",
    b"\\ud83d\\ude00",
    b"\\ud83d",
    b"\\\"",
    b"\\/",
    b"{}",
    b"[]",
    b"{\"$ref\":\"$\"}",
    b"{\"$ref\":\"$.a[0]\"}",
    b"\"a\":",
    b"{\"brokerName\":\"b\",\"queueId\":0,\"topic\":\"T\"}:",
    b"\"{\\\"topic\\\":\\\"T\\\"}\":",
    b"\xe4\xb8\xad",
    b"\xff",
    b"\n",
];

fn hex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| (digit as char).to_digit(16).expect("hex") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn golden(file: &str) -> Vec<Vec<u8>> {
    file.lines().map(|line| hex(line.split_once('\t').expect("a name and hex").1)).collect()
}

fn frames() -> Vec<Vec<u8>> {
    golden(include_str!("../golden/frames.txt"))
}

fn headers(serialization: Serialization) -> Vec<Vec<u8>> {
    let frames = frames();
    let parsed = frames.iter().filter_map(|bytes| frame::parse(bytes, 1 << 24).ok().flatten());
    parsed.filter(|(frame, _)| frame.serialization == serialization).map(|(frame, _)| frame.header.to_vec()).collect()
}

fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Reads the typed headers, which must not panic whatever the fields are.
fn typed(command: &Command<'_>) -> u64 {
    let ext = &command.ext;
    let sends = (Send::from_ext(10, ext).is_ok(), Send::from_ext(310, ext).is_ok());
    let (offset, query) = (ConsumerOffset::from_ext(ext), QueueQuery::from_ext(ext));
    shape(&(sends, Pull::from_ext(ext).is_ok(), offset.queue_id.is_some(), query.timestamp.is_some()))
}

#[test]
fn frame() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let mut rest = input;
        let mut seen = 0;
        loop {
            match frame::parse(rest, 4096) {
                Ok(Some((frame, len))) => {
                    must(len <= rest.len() && len <= 4096, "a frame is longer than its buffer or the limit")?;
                    must(len == 8 + frame.header.len() + frame.body.len(), "a frame's parts are not the frame")?;
                    let command = Command::parse(&frame);
                    seen ^= command.map_or_else(|error| outcome(&error.serialization), |it| typed(&it));
                    rest = &rest[len..];
                }
                Ok(None) => return Ok(seen ^ 1),
                Err(error) => return Ok(seen ^ outcome(&error)),
            }
        }
    }
    let tokens: &[&[u8]] = &[&[0, 0, 0, 4, 0, 0, 0, 0], &[0, 0, 16, 0], &[1, 0, 0, 21], &[2, 0, 0, 0]];
    fuzz(&Target { name: "frame", run, tokens, memory: BUILDS }, &frames());
}

#[test]
fn json_header() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let frame = Frame { serialization: Serialization::Json, header: input, body: b"" };
        let quick = Command::parse(&frame);
        let tolerant = Command::parse_tolerantly(&frame);
        let (quick, tolerant) = match (quick, tolerant) {
            (Ok(quick), Ok(tolerant)) => (quick, tolerant),
            (Err(_), Err(error)) => return Ok(outcome(&error)),
            (quick, tolerant) => return Err(format!("scanner {quick:?}, tolerant parser {tolerant:?}")),
        };
        let head = |it: &Command<'_>| {
            (it.code, it.language, it.version, it.opaque, it.flag, it.remark.clone().map(String::from))
        };
        must(head(&quick) == head(&tolerant), &format!("scanner {quick:?}, tolerant parser {tolerant:?}"))?;
        for (name, _) in quick.ext.iter().chain(tolerant.ext.iter()) {
            must(quick.ext.get(name) == tolerant.ext.get(name), &format!("{name}: {quick:?} is not {tolerant:?}"))?;
        }
        written_again(&quick, Serialization::Json)?;
        Ok(typed(&quick) ^ shape(&(quick.ext.len().min(20), quick.remark.is_some())))
    }
    let mut seeds = headers(Serialization::Json);
    seeds.push(b"{\"code\":34,\"extFields\":{\"AccessKey\":\"\",\"d\":4,\"k\":false},\"flag\":2,\"language\":\"CPP\",\"opaque\":-7,\"remark\":\"\",\"version\":333}\n".to_vec());
    seeds.push(b"{'code':'17',extFields:{'a':1.5,b:{\"c\":[1]},'d':'x',},\"flag\":\"1\"}".to_vec());
    fuzz(&Target { name: "json_header", run, tokens: JSON, memory: BUILDS }, &seeds);
}

/// What was read, written by us, must be read as the same.
fn written_again(command: &Command<'_>, serialization: Serialization) -> Result<(), String> {
    let ext: Vec<(&str, Value<'_>)> = command.ext.iter().map(|(name, value)| (name, Value::Str(value))).collect();
    let mut out = BytesMut::new();
    command::write_request(&mut out, serialization, command.code, command.opaque, command.flag, &ext, b"body");
    let (frame, len) = frame::parse(&out, 1 << 24).map_err(|error| error.to_string())?.ok_or("a whole frame")?;
    must(len == out.len() && frame.body == b"body", "the frame is not what was written")?;
    let again = Command::parse(&frame).map_err(|error| error.to_string())?;
    must((again.code, again.opaque, again.flag) == (command.code, command.opaque, command.flag), "numbers changed")?;
    for (name, _) in command.ext.iter() {
        must(again.ext.get(name) == command.ext.get(name), &format!("{name:?} changed"))?;
    }
    Ok(())
}

#[test]
fn binary_header() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let frame = Frame { serialization: Serialization::Binary, header: input, body: b"" };
        match Command::parse(&frame) {
            Ok(command) => {
                written_again(&command, Serialization::Binary)?;
                Ok(typed(&command) ^ shape(&(command.ext.len().min(20), command.remark.is_some())))
            }
            Err(_) => Ok(0),
        }
    }
    let tokens: &[&[u8]] = &[&[0, 1, b'e', 0, 0, 0, 1, b'3'], &[0, 1, b'b', 0, 0, 0, 1, b'T'], &[0, 0, 0, 0]];
    fuzz(&Target { name: "binary_header", run, tokens, memory: BORROWS }, &headers(Serialization::Binary));
}

#[test]
fn record() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let whole: usize = message::records(input).map_while(Result::ok).map(|record| record.total_size()).sum();
        must(whole <= input.len(), "records are longer than their buffer")?;
        let view = match RecordView::parse(input) {
            Ok(view) => view,
            Err(error) => return Ok(outcome(&error)),
        };
        let new = NewRecord::from(&view);
        let mut out = Vec::new();
        if view.topic().is_empty() {
            return Ok(1);
        }
        message::encode(&mut out, &new).map_err(|error| error.to_string())?;
        message::patch(&mut out, view.queue_offset() as u64, view.phy_offset() as u64, view.store_timestamp());
        let again = RecordView::parse(&out).map_err(|error| error.to_string())?;
        again.check_crc().map_err(|error| error.to_string())?;
        let parts = |it: &RecordView<'_>| (it.queue_offset(), it.phy_offset(), it.store_timestamp(), it.born_host());
        must(parts(&again) == parts(&view) || view.born_host() != view.born_host(), "what the log assigned changed")
            .or_else(|broken| {
                if view.born_host().ip().to_canonical() == view.born_host().ip() { Err(broken) } else { Ok(()) }
            })?;
        let texts = |it: &RecordView<'_>| (it.topic().to_owned(), it.body().to_vec(), it.properties().to_vec());
        must(texts(&again) == texts(&view), "topic, body or properties changed")?;
        Ok(shape(&(view.magic(), view.sys_flag() & 0x30, view.check_crc().is_ok(), view.body().is_empty())) ^ 2)
    }
    let mut seeds = golden(include_str!("../golden/records.txt"));
    seeds.push(seeds[..3].concat());
    let tokens: &[&[u8]] = &[&[0xda, 0xa3, 0x20, 0xa7], &[0xda, 0xa3, 0x20, 0xab], &[0xcb, 0xd4, 0x31, 0x94]];
    fuzz(&Target { name: "record", run, tokens, memory: BORROWS }, &seeds);
}

#[test]
fn batch_body() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let items: Vec<_> = batch::items(input).collect();
        let mut out = Vec::new();
        for item in items.iter().flatten() {
            batch::encode_item(&mut out, item).map_err(|error| error.to_string())?;
        }
        must(out.len() <= input.len(), "the items are longer than the batch")?;
        let good: Vec<_> = items.iter().flatten().collect();
        let again: Vec<_> = batch::items(&out).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        must(again.iter().eq(good), "the items changed")?;
        Ok(shape(&items.len().min(8)) ^ outcome(&items.last().and_then(|item| item.as_ref().err())))
    }
    let item = golden(include_str!("../golden/records.txt")).pop().expect("the batch item is last");
    fuzz(&Target { name: "batch_body", run, tokens: &[], memory: BORROWS }, &[item.repeat(3), item]);
}

#[test]
fn properties_text() {
    /// Java's rules, spelled out.
    fn plain(input: &[u8]) -> Vec<(&str, &str)> {
        let items = input.split(|byte| *byte == 2).filter_map(|item| {
            let at = item.iter().position(|byte| *byte == 1)?;
            let (name, value) = (std::str::from_utf8(&item[..at]).ok()?, std::str::from_utf8(&item[at + 1..]).ok()?);
            (!name.is_empty() && !value.is_empty()).then_some((name, value))
        });
        items.collect()
    }
    fn run(input: &[u8]) -> Result<u64, String> {
        let all: Vec<_> = properties::iter(input).collect();
        must(all == plain(input), "not what the rules say")?;
        let map = Properties::parse(input);
        for (name, _) in &all {
            let last = all.iter().rev().find(|(found, _)| found == name).map(|(_, value)| *value);
            must(map.get(name) == last && properties::get(input, name) == last, "the last one does not win")?;
        }
        let text = map.to_bytes();
        must(Properties::parse(&text).iter().eq(map.iter()), "the map changed")?;
        let mut text = input.to_vec();
        properties::append(&mut text, "CLUSTER", "c");
        must(properties::get(&text, "CLUSTER") == Some("c"), "what was appended is not there")?;
        Ok(shape(&(all.len().min(16), map.len().min(16), map.is_true("WAIT"))))
    }
    let seed =
        "UNIQ_KEY\u{1}7F0000011A2B\u{2}WAIT\u{1}true\u{2}TAGS\u{1}标签\u{2}KEYS\u{1}a\"b\\c\u{2}x\u{2}y\u{1}\u{2}";
    let tokens: &[&[u8]] = &[b"\x01", b"\x02", b"WAIT\x01true\x02", b"a\x01b\x02", b"\xe4\xb8"];
    fuzz(&Target { name: "properties_text", run, tokens, memory: (256 << 10, 256) }, &[seed.as_bytes().to_vec()]);
}

#[test]
fn message_id() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let Some(id) = std::str::from_utf8(input).ok().and_then(OffsetMessageId::parse) else { return Ok(0) };
        let text = id.to_string();
        let again = OffsetMessageId::parse(&text).ok_or("an id that we wrote is none")?;
        must(again.phy_offset == id.phy_offset && again.store_host.port() == id.store_host.port(), "the id changed")?;
        Ok(1 + text.len() as u64)
    }
    let seeds = ["7F00000100002A9F000000000001E240", "0000000000000000000000000000000100002A9F000000000001E240"];
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec());
    fuzz(&Target { name: "message_id", run, tokens: &[], memory: BORROWS }, &seeds);
}

#[test]
fn json_tree() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let tree = match fastjson::parse(input) {
            Ok(tree) => tree,
            Err(error) => return Ok(outcome(&error)),
        };
        let mut shapes = 0;
        for form in [Form::Fastjson, Form::Standard, Form::Pretty] {
            let text = fastjson::to_vec(&tree, form);
            let again = fastjson::parse(&text).map_err(|error| format!("{form:?}: {error}"))?;
            must(fastjson::to_vec(&again, form) == text, &format!("{form:?} is not stable"))?;
            shapes ^= hash(&text.iter().copied().filter(|byte| b"{}[]:,".contains(byte)).take(5).collect::<Vec<_>>());
        }
        Ok(shapes)
    }
    let seeds: Vec<Vec<u8>> = bodies().into_iter().map(|body| body[1..].to_vec()).collect();
    fuzz(&Target { name: "json_tree", run, tokens: JSON, memory: BUILDS }, &seeds);
}

/// The golden bodies, each behind the number of its type.
fn bodies() -> Vec<Vec<u8>> {
    let line = |line: &str| {
        let (name, json) = line.split_once('\t').expect("a name and JSON");
        let number = BODIES.iter().position(|(body, _)| *body == name).expect("a known body");
        [&[number as u8], json.as_bytes()].concat()
    };
    include_str!("../golden/bodies.txt").lines().map(line).collect()
}

#[test]
fn body() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let Some((number, json)) = input.split_first() else { return Ok(0) };
        let (name, again) = BODIES[usize::from(*number) % BODIES.len()];
        let written = match again(json) {
            Ok(written) => written,
            Err(error) => return Ok(outcome(&error)),
        };
        let twice = again(&written).map_err(|error| format!("{name} cannot read what it wrote: {error}"))?;
        must(twice == written, &format!("{name} is not stable"))?;
        Ok(hash(name.as_bytes()) ^ (written.len() as u64 / 16))
    }
    fuzz(&Target { name: "body", run, tokens: JSON, memory: BUILDS }, &bodies());
}

#[test]
fn heartbeat() {
    fn run(input: &[u8]) -> Result<u64, String> {
        let data = match HeartbeatData::parse(input) {
            Ok(data) => data,
            Err(error) => return Ok(outcome(&error)),
        };
        must(HeartbeatData::parse(&data.to_json()) == Ok(data.clone()), "the heartbeat changed")?;
        let groups = data.consumer_data_set.iter().map(|group| (group.consume_type, group.message_model));
        Ok(shape(&(groups.take(3).collect::<Vec<_>>(), data.producer_data_set.len().min(3))))
    }
    let mut seeds: Vec<Vec<u8>> = bodies().into_iter().map(|body| body[1..].to_vec()).collect();
    seeds.retain(|seed| seed.starts_with(b"{\"clientID\""));
    seeds.push(br#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,"groupName":"G","messageModel":0,"subscriptionDataSet":[{"subString":"*","subVersion":"17","topic":"T"}]}]}"#.to_vec());
    seeds.push(
        br#"{"clientID":"c","consumerDataSet":[{"subscriptionDataSet":[{"codeSet":["97"],"tagsSet":["a"]}]}]}"#
            .to_vec(),
    );
    fuzz(&Target { name: "heartbeat", run, tokens: JSON, memory: BUILDS }, &seeds);
}

#[test]
fn registration() {
    /// The input is what is inside the zlib stream; the stream itself is `compression`'s.
    fn run(input: &[u8]) -> Result<u64, String> {
        let mut seen = 0;
        for version in [401, 479] {
            let packed = Compression::Zlib.pack(input, 1).map_err(|error| error.to_string())?;
            match RegisterBrokerBody::decode(&packed, version) {
                Ok(body) => {
                    let again = body.to_compressed(version).map_err(|error| error.to_string())?;
                    RegisterBrokerBody::decode(&again, version).map_err(|error| error.to_string())?;
                    seen ^= shape(&body.topic_config_serialize_wrapper.topic_config_table.len().min(4)) ^ 3;
                }
                Err(error) => seen ^= outcome(&error),
            }
        }
        // As it is: neither JSON nor a stream may do harm.
        seen ^= shape(&RegisterBrokerBody::decode(input, 479).is_ok());
        Ok(seen)
    }
    let mut body = RegisterBrokerBody::default();
    let table = &mut body.topic_config_serialize_wrapper.topic_config_table;
    for (topic, attribute) in [("T", "message.type"), ("U", "queue.type")] {
        let settings = table.entry(topic.to_owned()).or_default();
        settings.topic_name = topic.to_owned();
        settings.attributes.insert(attribute.to_owned(), "x".to_owned());
    }
    let plain = |version| {
        let packed = body.to_compressed(version).expect("it packs");
        Compression::Zlib.unpack(&packed, 1 << 20).expect("it unpacks")
    };
    let tokens: &[&[u8]] = &[b" 4 4 6 SINGLE_TAG {}", &[0, 0, 0, 1], &[0, 0, 0, 2, b'[', b']'], b"{\"a\":1}"];
    // The compressor alone takes a third of a MiB.
    fuzz(
        &Target { name: "registration", run, tokens, memory: (1 << 20, 512) },
        &[plain(401), plain(479), body.to_json()],
    );
}

#[test]
fn compression() {
    const MAX: usize = 1 << 20;
    const KINDS: [Compression; 3] = [Compression::Lz4, Compression::Zstd, Compression::Zlib];
    fn run(input: &[u8]) -> Result<u64, String> {
        let Some((number, packed)) = input.split_first() else { return Ok(0) };
        let kind = KINDS[usize::from(*number) % KINDS.len()];
        let unpacked = kind.unpack(packed, MAX);
        must(unpacked.as_ref().map_or(0, Vec::len) <= MAX, "more than the bound")?;
        if number & 0x40 != 0 {
            let again = kind.pack(packed, 1).and_then(|packed| kind.unpack(&packed, MAX));
            must(again.as_deref() == Ok(packed), &format!("{kind:?} does not come back"))?;
        }
        Ok(unpacked.map_or_else(|error| outcome(&error), |body| body.len() as u64 / 512))
    }
    let packed = golden(include_str!("../golden/compression.txt"));
    let seeds: Vec<Vec<u8>> =
        packed.iter().zip(0u8..).map(|(packed, number)| [&[number], &packed[..]].concat()).collect();
    // A decoder may hold a block and its window beside what it gives back.
    fuzz(&Target { name: "compression", run, tokens: &[], memory: (24 << 20, 512) }, &seeds);
}
