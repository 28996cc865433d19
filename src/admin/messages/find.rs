//! Finding messages by id, key or offset, and what their consumers did with them.

use std::time::Duration;

use serde_json::json;

use super::arguments::Arguments;
use super::output::Output;
use super::send::resend;
use super::session::{Session, addr_of, read};
use super::source::Source;
use super::{Failure, Message, consumers, json_of, topics};
use crate::wire::body::{ConsumeMessageDirectlyResult, ConsumeType, MessageModel};
use crate::wire::codes::{request, response};
use crate::wire::command::Value;
use crate::wire::message::id::OffsetMessageId;
use crate::wire::message::{self, RecordView};

/// Where Java's tools leave bodies.
const BODY_FOLDER: &str = "rocketmq/msgbodys";
/// How long a member may take to consume a message on demand.
const CONSUME_TIMEOUT: Duration = Duration::from_secs(15);

pub(in crate::admin) fn by_id(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    for id in given.need("msgId")?.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        let message = view(session, given.need("topic")?, id)?;
        if given.bool("sendMessage")?.unwrap_or(false) {
            resend(session, &message, out)?;
        } else if let Some(group) = given.get("consumerGroup") {
            push(session, &message, group, given.get("clientId"), out)?;
        } else {
            show(session, &message, &Shown { offset_id: true, body: given.has("bodyFormat"), index: 0 }, out)?;
            tracks(session, &message, "\n", out)?;
        }
    }
    Ok(())
}

/// The message that a broker's own id names; the id says which broker.
fn view(session: &Session, topic: &str, id: &str) -> Result<Message, Failure> {
    let parsed = OffsetMessageId::parse(id).ok_or_else(|| {
        Failure::Usage(format!(
            "-i {id}: not an offset message id (32 hexadecimal digits); for the id that a client \
                                gave use queryMsgByUniqueKey"
        ))
    })?;
    let offset = i64::try_from(parsed.phy_offset.0).unwrap_or(i64::MAX);
    let addr = parsed.store_host.to_string();
    let ext = [("offset", Value::I64(offset)), ("topic", Value::Str(topic))];
    let answer = session.call(&addr, request::VIEW_MESSAGE_BY_ID, &ext, b"")?;
    match RecordView::parse(&answer.body) {
        Ok(record) => Ok(Message::new(&record, "", None)),
        Err(error) => Err(Failure::Other(format!("the message {id} of {addr} cannot be read: {error}"))),
    }
}

pub(in crate::admin) fn by_key(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let (topic, key) = (given.need("topic")?, given.need("msgKey")?);
    let span = (given.number("beginTimestamp")?.unwrap_or(0), given.number("endTimestamp")?.unwrap_or(i64::MAX));
    let most: i64 = given.number("maxNum")?.unwrap_or(64);
    if most < 1 {
        return Err(Failure::Usage(format!("-m {most}: at least one message is needed")));
    }
    let mut found = query(session, topic, given.get("cluster"), key, most, span, false)?;
    found.retain(|message| message.property("KEYS").is_some_and(|keys| keys.split(' ').any(|one| one == key)));
    if found.is_empty() {
        return Err(Failure::Other(format!(
            "query message by key finished, but no message: {topic} has none with key {key}"
        )));
    }
    out.head("%-50s %4s %40s", &["#Message ID", "#QID", "#Offset"])?;
    for message in found {
        out.row(
            "%-50s %4d %40d",
            &[
                ("msgId", message.id().into()),
                ("queueId", message.queue_id.into()),
                ("queueOffset", message.queue_offset.into()),
            ],
        )?;
    }
    Ok(())
}

pub(in crate::admin) fn by_unique_key(
    session: &Session,
    given: &Arguments,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let (topic, id) = (given.need("topic")?, given.need("msgId")?);
    let mut found = query(session, topic, given.get("cluster"), id, 32, (0, i64::MAX), true)?;
    found.retain(|message| message.id() == id);
    found.sort_by_key(|message| std::cmp::Reverse(message.store_timestamp));
    let Some(newest) = found.first() else {
        return Err(Failure::Other(format!("no message of {topic} has the id {id}")));
    };
    if let Some(group) = given.get("consumerGroup") {
        return push(session, newest, group, given.get("clientId"), out);
    }
    let shown = if given.has("showAll") { found.len() } else { 1 };
    for (index, message) in found.iter().take(shown).enumerate() {
        show(session, message, &Shown { offset_id: false, body: false, index }, out)?;
        tracks(session, message, "", out)?;
    }
    Ok(())
}

/// Asks every broker of the topic for messages by key.
fn query(
    session: &Session,
    topic: &str,
    cluster: Option<&str>,
    key: &str,
    most: i64,
    (begin, end): (i64, i64),
    unique: bool,
) -> Result<Vec<Message>, Failure> {
    let code = request::QUERY_MESSAGE;
    let mut ext = vec![
        ("topic", Value::Str(topic)),
        ("key", Value::Str(key)),
        ("maxNum", Value::I64(most)),
        ("beginTimestamp", Value::I64(begin)),
        ("endTimestamp", Value::I64(end)),
    ];
    ext.push(("_UNIQUE_KEY_QUERY", Value::Bool(unique)));
    let route = session.route(cluster.unwrap_or(topic))?;
    let mut found = Vec::new();
    for broker in &route.broker_datas {
        let Some(addr) = addr_of(broker) else { continue };
        let answer = match session.call(addr, code, &ext, b"") {
            Err(failure) if failure.response() == Some(response::QUERY_NOT_FOUND) => continue,
            answer => answer?,
        };
        for record in message::records(&answer.body) {
            let record =
                record.map_err(|error| Failure::Other(format!("a message of {addr} cannot be read: {error}")))?;
            found.push(Message::new(&record, &broker.broker_name, None));
        }
    }
    Ok(found)
}

pub(in crate::admin) fn by_offset(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let queue_id = given.number("queueId")?.unwrap_or(0);
    let source = Source::one(session, given.need("topic")?, given.need("brokerName")?, queue_id)?;
    let offset: i64 = given.number("offset")?.unwrap_or(0);
    let pulled = source.pull(session, offset, 1, "*")?;
    let Some(message) = pulled.messages.iter().find(|message| message.queue_offset == offset) else {
        let (min, max) = (source.begin(session, None)?, source.end(session, None)?);
        return Err(Failure::Other(format!(
            "{} has no message at offset {offset}; it holds {min} to {max}, the end not included",
            source.text()
        )));
    };
    show(session, message, &Shown { offset_id: true, body: given.has("bodyFormat"), index: 0 }, out)?;
    tracks(session, message, "\n", out)
}

/// How a message is shown.
struct Shown {
    offset_id: bool,
    body: bool,
    index: usize,
}

fn show(session: &Session, message: &Message, how: &Shown, out: &mut Output<'_>) -> Result<(), Failure> {
    let path = session.keep_body(BODY_FOLDER, &message.id(), how.index, &message.body)?;
    if out.is_json() {
        let mut record = json_of(message, how.body);
        record["bodyPath"] = path.into();
        return out.record(record);
    }
    let or_null = |name: &str| format!("[{}]", message.property(name).unwrap_or("null"));
    let rows = [
        ("OffsetID:", message.offset_id()),
        ("Topic:", message.topic.clone()),
        ("Tags:", or_null("TAGS")),
        ("Keys:", or_null("KEYS")),
        ("Queue ID:", message.queue_id.to_string()),
        ("Queue Offset:", message.queue_offset.to_string()),
        ("CommitLog Offset:", message.log_offset.to_string()),
        ("Reconsume Times:", message.reconsume_times.to_string()),
        ("Born Timestamp:", session.time(message.born_timestamp)),
        ("Store Timestamp:", session.time(message.store_timestamp)),
        ("Born Host:", message.born_host.to_string()),
        ("Store Host:", message.store_host.to_string()),
        ("System Flag:", message.sys_flag.to_string()),
        ("Properties:", message.properties_text()),
        ("Message Body Path:", path),
        ("Message Body:", message.body_text()),
    ];
    let from = usize::from(!how.offset_id);
    let to = rows.len() - usize::from(!how.body);
    rows[from..to].iter().try_for_each(|(name, value)| out.line(format_args!("{name:<20} {value}")))
}

// === What became of it ===

/// What each group that consumes the topic did with a message.
fn tracks(session: &Session, message: &Message, between: &str, out: &mut Output<'_>) -> Result<(), Failure> {
    let route = session.find_route(&message.topic)?.unwrap_or_default();
    let groups = topics::groups_of(session, &message.topic, &route)?;
    out.text("\n\n")?;
    if groups.is_empty() {
        return out.text("WARN: No Consumer");
    }
    for group in groups {
        let (kind, why) = match track(session, message, &group) {
            Ok(kind) => (kind, "null".to_owned()),
            Err(Failure::Other(_)) => ("NOT_ONLINE", format!("CODE:206 DESC:the consumer group[{group}] not online")),
            Err(failure) => ("UNKNOWN", failure.to_string()),
        };
        out.text(format_args!("MessageTrack [consumerGroup={group}, trackType={kind}, exceptionDesc={why}]{between}"))?;
        out.record(json!({"msgId": message.id(), "consumerGroup": group, "trackType": kind}))?;
    }
    Ok(())
}

fn track(session: &Session, message: &Message, group: &str) -> Result<&'static str, Failure> {
    let online = consumers::consumers(session, group)?;
    if online.consume_type == ConsumeType::Actively {
        return Ok("PULL");
    }
    if online.message_model == MessageModel::Broadcasting {
        return Ok("CONSUME_BROADCASTING");
    }
    let stats = consumers::stats(session, group, None, None)?;
    let is_past = stats.offset_table.iter().any(|(queue, offsets)| {
        let same = queue.topic == message.topic && queue.queue_id == message.queue_id;
        let of_broker = message.broker_name.is_empty() || queue.broker_name == message.broker_name;
        same && of_broker && offsets.consumer_offset > message.queue_offset
    });
    if !is_past {
        return Ok("NOT_CONSUME_YET");
    }
    let filtered = online.subscription_table.get(&message.topic).is_some_and(|subscription| {
        let tags = &subscription.tags_set;
        let fits = |tag: &str| tags.contains(tag) || tags.contains("*");
        !tags.is_empty() && !message.property("TAGS").is_some_and(fits)
    });
    Ok(if filtered { "CONSUMED_BUT_FILTERED" } else { "CONSUMED" })
}

/// Has members of a group consume a message now: one, or all that are online.
fn push(
    session: &Session,
    message: &Message,
    group: &str,
    client: Option<&str>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let clients = match client {
        Some(client) => vec![client.to_owned()],
        None => consumers::consumers(session, group)?.connection_set.into_iter().map(|one| one.client_id).collect(),
    };
    let code = request::CONSUME_MESSAGE_DIRECTLY;
    let (addr, id) = (message.store_host.to_string(), message.offset_id());
    for client in clients {
        let ext = [
            ("consumerGroup", Value::Str(group)),
            ("clientId", Value::Str(&client)),
            ("topic", Value::Str(&message.topic)),
            ("msgId", Value::Str(&id)),
        ];
        let answer = session.wait(session.client().call(&addr, code, &ext, b"", CONSUME_TIMEOUT))?;
        let result = read(ConsumeMessageDirectlyResult::parse(&answer.body), &addr, code)?;
        out.line(format_args!(
            "ConsumeMessageDirectlyResult [order={}, autoCommit={}, consumeResult={}, remark={}, spentTimeMills={}]",
            result.order,
            result.auto_commit,
            result.consume_result.name(),
            result.remark.as_deref().unwrap_or("null"),
            result.spent_time_mills
        ))?;
        out.record(json!({"clientId": client, "consumeResult": result.consume_result.name(),
            "remark": result.remark, "spentTimeMills": result.spent_time_mills}))?;
    }
    Ok(())
}
