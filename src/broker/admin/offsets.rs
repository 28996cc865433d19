//! Where groups stand and where queues begin and end (INTEROP 06 §8).

use crate::base::position::QueueId;
use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::handles::Handles;
use crate::broker::request::OwnedRequest;
use crate::broker::topics::QUEUE_NUMS_MAX;
use crate::store::Boundary;
use crate::wire::codes::response;
use crate::wire::command::{Command, Ext};

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

fn find(handles: &Handles, ext: &Ext<'_>) -> Result<Option<std::sync::Arc<crate::store::Queue>>, Refusal> {
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
