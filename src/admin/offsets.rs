//! Commands that move a group's offsets: to a time, to an offset, to where another group is.

use std::collections::BTreeMap;

use serde_json::json;

use super::arguments::Arguments;
use super::output::Output;
use super::session::{Session, TIMEOUT, addr_of, read};
use super::{Failure, consumers, topics};
use crate::wire::body::{MessageQueue, ResetOffsetBody, TopicRouteData, TopicStatsTable};
use crate::wire::codes::{request, response};
use crate::wire::command::{Value, language};

/// What is reset, and to when.
struct Reset<'a> {
    group: &'a str,
    topic: &'a str,
    /// Forward as well as back.
    force: bool,
    /// In whose name brokers are asked: Java's broker tells the members in the form of C++ if it is C++'s.
    language: u8,
    /// The time as it was given.
    given: &'a str,
    /// Milliseconds since the epoch; -1 is the end.
    timestamp: i64,
}

pub(super) fn reset(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let text = given.need("timestamp")?;
    let timestamp = match text {
        "now" => i64::try_from(session.clock.now()).unwrap_or(i64::MAX),
        text => session.parse_time(text).ok_or_else(|| {
            Failure::Usage(format!("-s {text}: now, milliseconds since 1970 or yyyy-MM-dd#HH:mm:ss:SSS is needed"))
        })?,
    };
    let reset = Reset {
        group: given.need("group")?,
        topic: given.need("topic")?,
        force: given.bool("force")?.unwrap_or(true),
        language: if given.has("cplus") { language::CPP } else { language::JAVA },
        given: text,
        timestamp,
    };
    match (given.get("broker"), given.number("queue")?) {
        (Some(broker), Some(queue)) => one_queue(session, &reset, broker, queue, given.number("offset")?, out),
        (None, None) if !given.has("offset") => all_queues(session, &reset, given.get("cluster"), out),
        _ => Err(Failure::Usage("one queue is named by -b and -q together, and -o needs both".to_owned())),
    }
}

fn one_queue(
    session: &Session,
    reset: &Reset<'_>,
    broker: &str,
    queue_id: i32,
    offset: Option<i64>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let Reset { group, topic, given, timestamp, .. } = reset;
    out.line(format_args!(
        "start reset consumer offset by specified, group[{group}], topic[{topic}], queueId[{queue_id}], \
         broker[{broker}], timestamp(string)[{given}], timestamp(long)[{timestamp}]"
    ))?;
    let addr = session.broker(broker)?;
    let queue = MessageQueue { topic: (*topic).to_owned(), broker_name: String::new(), queue_id };
    let (min, max) = ends(session, &addr, &queue)?;
    let offset = offset.map_or_else(|| offset_at(session, &addr, &queue, *timestamp), Ok)?;
    if !(min..=max).contains(&offset) {
        return Err(Failure::Usage(format!(
            "-o {offset}: queue {queue_id} of {topic} on {broker} holds {min} to {max}, the end not included"
        )));
    }
    out.line(format_args!("reset consumer offset to {offset}"))?;
    commit(session, &addr, group, &queue, offset)?;
    // Members that are online have to hear of it; a broker that cannot tell them has the new offset all the same.
    let ext = [
        ("topic", Value::Str(topic)),
        ("group", Value::Str(group)),
        ("queueId", Value::I64(queue_id.into())),
        ("timestamp", Value::I64(0)),
        ("offset", Value::I64(offset)),
        ("isForce", Value::Bool(true)),
    ];
    if let Err(failure) = session.call(&addr, request::INVOKE_BROKER_TO_RESET_OFFSET, &ext, b"") {
        tracing::debug!("members were not told: {failure}");
    }
    out.record(json!({"group": group, "topic": topic, "broker": addr, "queueId": queue_id, "offset": offset}))
}

/// Brokers reset groups whose members are online and tell these; some releases refuse when nobody is, and then the
/// offsets are written from here.
fn all_queues(
    session: &Session,
    reset: &Reset<'_>,
    cluster: Option<&str>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let Reset { group, topic, force, given, timestamp, .. } = reset;
    let route = session.route(cluster.unwrap_or(topic))?;
    let mut table = BTreeMap::new();
    for addr in route.broker_datas.iter().filter_map(addr_of) {
        match at_broker(session, reset, addr) {
            Ok(offsets) => table.extend(offsets),
            Err(failure) if failure.response() == Some(response::CONSUMER_NOT_ONLINE) => {
                return offline(session, reset, &route, out);
            }
            Err(failure) => return Err(failure),
        }
    }
    out.line(format_args!(
        "start reset consumer offset by specified, group[{group}], topic[{topic}], force[{force}], \
         timestamp(string)[{given}], timestamp(long)[{timestamp}]"
    ))?;
    out.head("%-40s  %-40s  %-40s", &["#brokerName", "#queueId", "#offset"])?;
    for (queue, offset) in table {
        out.row(
            "%-40.32s  %-40d  %-40d",
            &[("brokerName", queue.broker_name.into()), ("queueId", queue.queue_id.into()), ("offset", offset.into())],
        )?;
    }
    Ok(())
}

fn at_broker(session: &Session, reset: &Reset<'_>, addr: &str) -> Result<BTreeMap<MessageQueue, i64>, Failure> {
    let code = request::INVOKE_BROKER_TO_RESET_OFFSET;
    let ext = [
        ("topic", Value::Str(reset.topic)),
        ("group", Value::Str(reset.group)),
        ("timestamp", Value::I64(reset.timestamp)),
        ("isForce", Value::Bool(reset.force)),
        // -1: every queue, and by time.
        ("queueId", Value::I64(-1)),
        ("offset", Value::I64(-1)),
    ];
    let client = session.client().speaking(reset.language);
    let answer = session.wait(client.call(addr, code, &ext, b"", TIMEOUT))?;
    Ok(read(ResetOffsetBody::parse(&answer.body), addr, code)?.offset_table)
}

fn offline(session: &Session, reset: &Reset<'_>, route: &TopicRouteData, out: &mut Output<'_>) -> Result<(), Failure> {
    let Reset { group, topic, force, given, timestamp, .. } = reset;
    out.line(format_args!(
        "reset consumer offset by specified consumerGroup[{group}], topic[{topic}], force[{force}], \
         timestamp(string)[{given}], timestamp(long)[{timestamp}]"
    ))?;
    out.head(
        "%-20s  %-20s  %-20s  %-20s  %-20s  %-20s",
        &["#brokerName", "#queueId", "#brokerOffset", "#consumerOffset", "#timestampOffset", "#resetOffset"],
    )?;
    // Queues that the group never consumed have no offset of it yet: they begin at their minimum.
    let ends = topics::stats_of(session, topic, route)?.offset_table;
    let known = consumers::stats(session, group, Some(topic), None).unwrap_or_default().offset_table;
    for (queue, ends) in ends {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == queue.broker_name);
        let Some(addr) = broker.and_then(addr_of) else { continue };
        let consumed = known.get(&queue).map_or(ends.min_offset, |offsets| offsets.consumer_offset);
        let wanted = offset_at(session, addr, &queue, *timestamp)?;
        let moves = *force || wanted <= consumed;
        if moves {
            commit(session, addr, group, &queue, wanted)?;
        }
        out.row(
            "%-20.32s  %-20d  %-20d  %-20d  %-20d  %-20d",
            &[
                ("brokerName", queue.broker_name.into()),
                ("queueId", queue.queue_id.into()),
                ("brokerOffset", ends.max_offset.into()),
                ("consumerOffset", consumed.into()),
                ("timestampOffset", wanted.into()),
                ("offset", if moves { wanted } else { consumed }.into()),
            ],
        )?;
    }
    Ok(())
}

/// The ends of a queue that is there.
fn ends(session: &Session, addr: &str, queue: &MessageQueue) -> Result<(i64, i64), Failure> {
    let code = request::GET_TOPIC_STATS_INFO;
    let answer = session.call(addr, code, &[("topic", Value::Str(&queue.topic))], b"")?;
    let stats = read(TopicStatsTable::parse(&answer.body), addr, code)?;
    let found = stats.offset_table.iter().find(|(known, _)| known.queue_id == queue.queue_id);
    let last = stats.offset_table.keys().map(|known| known.queue_id).max().unwrap_or(0);
    found.map(|(_, ends)| (ends.min_offset, ends.max_offset)).ok_or_else(|| {
        let MessageQueue { topic, queue_id, .. } = queue;
        Failure::Usage(format!("-q {queue_id}: topic {topic} has queues 0 to {last} on {addr}"))
    })
}

/// The first offset at or after a time; the end for -1.
fn offset_at(session: &Session, addr: &str, queue: &MessageQueue, timestamp: i64) -> Result<i64, Failure> {
    let mut ext = vec![("topic", Value::Str(&queue.topic)), ("queueId", Value::I64(queue.queue_id.into()))];
    let code = if timestamp == -1 { request::GET_MAX_OFFSET } else { request::SEARCH_OFFSET_BY_TIMESTAMP };
    ext.extend((timestamp != -1).then_some(("timestamp", Value::I64(timestamp))));
    let answer = session.call(addr, code, &ext, b"")?;
    answer.i64("offset").ok_or_else(|| Failure::Other(format!("{addr} answered no offset")))
}

fn commit(session: &Session, addr: &str, group: &str, queue: &MessageQueue, offset: i64) -> Result<(), Failure> {
    let ext = [
        ("consumerGroup", Value::Str(group)),
        ("topic", Value::Str(&queue.topic)),
        ("queueId", Value::I64(queue.queue_id.into())),
        ("commitOffset", Value::I64(offset)),
    ];
    session.call(addr, request::UPDATE_CONSUMER_OFFSET, &ext, b"").map(drop)
}

/// Copies where a group is in a topic. (Java's tool copies the ends of the queues, of every topic, under this name.)
pub(super) fn clone(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let (from, to, topic) = (given.need("srcGroup")?, given.need("destGroup")?, given.need("topic")?);
    let route = session.route(topic)?;
    let nothing = || Failure::Other(format!("group {from} has consumed nothing of topic {topic}"));
    if !topics::groups_of(session, topic, &route)?.contains(from) {
        return Err(nothing());
    }
    let stats = consumers::stats(session, from, Some(topic), None)?;
    let mut copied = BTreeMap::new();
    for (queue, offsets) in stats.offset_table.iter().filter(|(queue, _)| queue.topic == topic) {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == queue.broker_name);
        let Some(addr) = broker.and_then(addr_of) else { continue };
        commit(session, addr, to, queue, offsets.consumer_offset)?;
        copied.insert(format!("{}:{}", queue.broker_name, queue.queue_id), offsets.consumer_offset);
    }
    if copied.is_empty() {
        return Err(nothing());
    }
    out.line(format_args!("clone group offset success. srcGroup[{from}], destGroup=[{to}], topic[{topic}]"))?;
    out.record(json!({"srcGroup": from, "destGroup": to, "topic": topic, "offsets": copied}))
}
