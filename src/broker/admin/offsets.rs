//! Where groups stand and where queues begin and end (INTEROP 06 §8).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;

use crate::base::position::QueueId;
use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::clients::Member;
use crate::broker::handles::Handles;
use crate::broker::topics::QUEUE_NUMS_MAX;
use crate::net::request::OwnedRequest;
use crate::store::Boundary;
use crate::wire::body::{MessageQueue, QueryCorrectionOffsetBody, ResetOffsetBody, ResetOffsetBodyForC};
use crate::wire::codes::{request, response};
use crate::wire::command::language::{CPP, GO, JAVA};
use crate::wire::command::{self, Command, Ext, FLAG_ONEWAY, Value};
use crate::wire::frame::Serialization;

/// From this version on (V5_2_0) a Java client goes on at once where a pull sends it; told by 220 it would rest for ten
/// seconds.
const JAVA_GOES_ON_AT_ONCE: i32 = 453;

/// QUERY_CONSUMER_OFFSET. A group without an offset begins at 0 when nothing can be lost by it: the queue is empty, or its
/// first record is still near the end of the log. Otherwise 22 sends the client by its own ConsumeFromWhere.
pub(super) fn query(handles: &Handles, request: &Command<'_>) -> Answered {
    let ext = &request.ext;
    let (group, topic) = (super::text(ext, "consumerGroup")?, super::text(ext, "topic")?);
    let queue = queue_id(ext)?;
    if let Some(offset) = handles.offsets.query(group, topic, queue) {
        return Ok(Answer::field("offset", offset));
    }
    if ext.bool("setZeroIfNotFound") == Some(false) {
        let remark = "Not found, do not set to zero, maybe this group boot first";
        return Err(Refusal::new(response::QUERY_NOT_FOUND, remark));
    }
    if handles.begins_at_zero(topic, queue) {
        return Ok(Answer::field("offset", 0));
    }
    let remark = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
    Err(Refusal::new(response::QUERY_NOT_FOUND, remark))
}

/// UPDATE_CONSUMER_OFFSET.
pub(super) fn commit(handles: &Handles, request: &Command<'_>) -> Answered {
    let ext = &request.ext;
    let (group, topic) = (super::text(ext, "consumerGroup")?, super::text(ext, "topic")?);
    if handles.groups.get_or_create(group).is_none() {
        let remark = format!("Group {group} not exist!");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    if handles.topics.get(topic).is_none() {
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, format!("Topic {topic} not exist!")));
    }
    let (queue, offset) = (queue_id(ext)?, super::number(ext, "commitOffset")?);
    if handles.offsets.pending_reset(group, topic, queue).is_some() {
        return Ok(Answer { remark: Some("Offset has been previously reset".into()), ..Answer::default() });
    }
    handles.offsets.commit(group, topic, queue, offset);
    Ok(Answer::empty())
}

/// GET_MAX_OFFSET: the offset of the next message; 0 for a queue that does not exist.
pub(super) fn max(handles: &Handles, request: &Command<'_>) -> Answered {
    let queue = find(handles, &request.ext)?;
    Ok(Answer::field("offset", queue.map_or(0, |queue| queue.max().0)))
}

/// GET_MIN_OFFSET: the offset of the oldest message; 0 for a queue that does not exist.
pub(super) fn min(handles: &Handles, request: &Command<'_>) -> Answered {
    let queue = find(handles, &request.ext)?;
    Ok(Answer::field("offset", queue.map_or(0, |queue| queue.min().0)))
}

/// SEARCH_OFFSET_BY_TIMESTAMP.
pub(super) async fn search(handles: &Handles, request: &OwnedRequest) -> Answered {
    let timestamp = super::number(&request.ext, "timestamp")?;
    let is_upper = request.ext.get("boundaryType").is_some_and(|kind| kind.eq_ignore_ascii_case("upper"));
    let boundary = if is_upper { Boundary::Upper } else { Boundary::Lower };
    let Some(queue) = find(handles, &request.ext)? else { return Ok(Answer::field("offset", 0)) };
    let store = handles.store.clone();
    let found = super::blocking(move || store.offset_by_time(&queue, timestamp, boundary)).await?;
    Ok(Answer::field("offset", found.map_err(Refusal::system)?))
}

/// GET_EARLIEST_MSG_STORETIME: −1 for an empty queue.
pub(super) async fn earliest(handles: &Handles, request: &OwnedRequest) -> Answered {
    let Some(queue) = find(handles, &request.ext)? else { return Ok(Answer::field("timestamp", -1)) };
    let store = handles.store.clone();
    let time = super::blocking(move || store.store_time(&queue, queue.min())).await?;
    Ok(Answer::field("timestamp", time.map_err(Refusal::system)?.unwrap_or(-1)))
}

/// GET_ALL_CONSUMER_OFFSET.
pub(super) fn all(handles: &Handles) -> Answered {
    super::json(&handles.offsets.document())
}

fn find(handles: &Handles, ext: &Ext<'_>) -> Result<Option<Arc<crate::store::Queue>>, Refusal> {
    Ok(handles.store.find_queue(super::text(ext, "topic")?, queue_id(ext)?))
}

fn queue_id(ext: &Ext<'_>) -> Result<QueueId, Refusal> {
    let found = super::number(ext, "queueId")?;
    let queue = u32::try_from(found).ok().filter(|queue| *queue < QUEUE_NUMS_MAX);
    queue.map(QueueId).ok_or_else(|| {
        let remark = format!("queueId = {found} is impossible: a topic has queues 0 to {}", QUEUE_NUMS_MAX - 1);
        Refusal::new(response::INVALID_PARAMETER, remark)
    })
}

/// CLONE_GROUP_OFFSET: copies a group's offsets in one topic, or in all, to another group.
pub(super) fn clone(handles: &Handles, request: &OwnedRequest) -> Answered {
    let (from, to) = (super::text(&request.ext, "srcGroup")?, super::text(&request.ext, "destGroup")?);
    let offline = request.ext.bool("offline").unwrap_or(false);
    let topics = match request.ext.get("topic").filter(|topic| !topic.is_empty()) {
        Some(topic) => vec![topic.to_owned()],
        None => handles.offsets.topics_of(from),
    };
    for topic in topics {
        if handles.topics.get(&topic).is_some() && (offline || super::diagnostics::subscribes(handles, from, &topic)) {
            handles.offsets.copy(from, to, &topic);
        }
    }
    handles.offsets.save_if_dirty().map_err(Refusal::system)?;
    Ok(Answer::empty())
}

/// QUERY_CORRECTION_OFFSET: per queue the smallest offset of all groups but the filtered ones that is still stored; the
/// largest number where the compared group is even further back.
pub(super) fn correction(handles: &Handles, request: &OwnedRequest) -> Answered {
    let ext = &request.ext;
    let (topic, compared) = (super::text(ext, "topic")?, super::text(ext, "compareGroup")?);
    let filtered: Vec<&str> = ext.get("filterGroups").unwrap_or_default().split(',').map(str::trim).collect();
    let mut correction_offsets = BTreeMap::new();
    for group in handles.offsets.groups_of(topic).iter().filter(|group| !filtered.contains(&group.as_str())) {
        for (queue, offset) in handles.offsets.of_topic(group, topic) {
            let min = handles.store.find_queue(topic, QueueId(queue)).map_or(0, |queue| queue.min().0 as i64);
            if offset >= min {
                let least = correction_offsets.entry(queue as i32).or_insert(offset);
                *least = offset.min(*least);
            }
        }
    }
    let place = handles.offsets.of_topic(compared, topic);
    for (queue, least) in &mut correction_offsets {
        if place.get(&(*queue as u32)).is_some_and(|offset| offset < least) {
            *least = i64::MAX;
        }
    }
    Ok(Answer::body(QueryCorrectionOffsetBody { correction_offsets }.to_json()))
}

/// INVOKE_BROKER_TO_RESET_OFFSET, server side, as since 5.2.0: the value answers 14, blocks 15, and is taken by the next
/// pull of each queue. Members that would not go on at once by that are told as well (220).
pub(super) async fn reset(handles: &Arc<Handles>, request: &OwnedRequest) -> Answered {
    let shared = handles.clone();
    let asked = Reset::read(request)?;
    let (asked, offset_table) = super::blocking(move || find_resets(&shared, asked)).await??;
    let shared = handles.clone();
    let (group, topic) = (asked.group.clone(), asked.topic.clone());
    let body = ResetOffsetBody { offset_table };
    let values = body.offset_table.clone();
    super::blocking(move || {
        for (queue, offset) in &values {
            shared.offsets.reset(&group, &topic, QueueId(queue.queue_id as u32), *offset);
        }
        shared.offsets.save().map_err(Refusal::system)
    })
    .await??;
    handles.appender.rules_changed();
    for member in handles.clients.consumers(&asked.group) {
        if member.sender.language == JAVA && member.sender.version >= JAVA_GOES_ON_AT_ONCE {
            continue;
        }
        tell_reset(handles, &member, &asked, &body);
    }
    Ok(Answer::body(body.to_json()))
}

struct Reset {
    topic: String,
    group: String,
    timestamp: i64,
    queue: Option<QueueId>,
    offset: Option<i64>,
    /// `--cplus`: sent in the name of a C++ client.
    for_c: bool,
}

impl Reset {
    fn read(request: &OwnedRequest) -> Result<Reset, Refusal> {
        let ext = &request.ext;
        let queue = match ext.i64("queueId").unwrap_or(-1) {
            -1 => None,
            _ => Some(queue_id(ext)?),
        };
        Ok(Reset {
            topic: super::text(ext, "topic")?.to_owned(),
            group: super::text(ext, "group")?.to_owned(),
            timestamp: super::number(ext, "timestamp")?,
            offset: ext.i64("offset").filter(|_| queue.is_some()),
            queue,
            for_c: request.language == CPP,
        })
    }
}

fn find_resets(handles: &Handles, asked: Reset) -> Result<(Reset, BTreeMap<MessageQueue, i64>), Refusal> {
    let (topic, group) = (&asked.topic, &asked.group);
    let Some(config) = handles.topics.get(topic) else {
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, format!("Topic {topic} does not exist")));
    };
    if handles.groups.get(group).is_none() {
        let remark = format!("Group {group} does not exist");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let queues = asked.queue.map_or_else(|| (0..config.read_queue_nums).collect(), |queue| vec![queue.0]);
    let mut found = BTreeMap::new();
    for id in queues {
        let queue = handles.store.find_queue(topic, QueueId(id));
        let (min, max) = queue.as_ref().map_or((0, 0), |queue| (queue.min().0 as i64, queue.max().0 as i64));
        let offset = match (asked.offset, queue) {
            (Some(offset), _) if !(min..=max + 1).contains(&offset) => {
                let remark = format!(
                    "Target offset {offset} not in consume queue range [{min}-{max}] of queue {id} of topic {topic}"
                );
                return Err(Refusal::system(remark));
            }
            (Some(offset), _) => offset.min(max),
            (None, Some(queue)) if asked.timestamp >= 0 => {
                let at = handles.store.offset_by_time(&queue, asked.timestamp, Boundary::Lower);
                at.map_err(Refusal::system)?.0 as i64
            }
            (None, _) => max,
        };
        found.insert(super::diagnostics::message_queue(handles, topic, id), offset);
    }
    Ok((asked, found))
}

/// RESET_CONSUMER_CLIENT_OFFSET in the form that the client's language reads (INTEROP 04 §5). Java sends everybody the form
/// of C++ if asked to; here those keep theirs who cannot read it.
fn tell_reset(handles: &Handles, member: &Member, asked: &Reset, body: &ResetOffsetBody) {
    let body = match member.sender.language {
        JAVA | GO => body.to_json(),
        language if language == CPP || asked.for_c => ResetOffsetBodyForC::from(body).to_json(),
        _ => body.to_json(),
    };
    let ext = [
        ("topic", Value::Str(&asked.topic)),
        ("group", Value::Str(&asked.group)),
        ("timestamp", Value::I64(asked.timestamp)),
        ("isForce", Value::Bool(true)),
    ];
    let mut frame = BytesMut::new();
    let opaque = handles.clients.next_opaque();
    let code = request::RESET_CONSUMER_CLIENT_OFFSET;
    command::write_request(&mut frame, Serialization::Json, code, opaque, FLAG_ONEWAY, &ext, &body);
    handles.clients.post(member.sender.conn, frame);
}
