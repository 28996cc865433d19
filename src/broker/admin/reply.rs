//! Replies to requests between clients (SEND_REPLY_MESSAGE, INTEROP 06 §10): pushed to the client that asked, then stored.
//! Whether it could be stored changes nothing in the answer; whether the push arrived does.

use std::sync::Arc;
use std::time::Duration;

use crate::base::position::QueueId;
use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::handles::Handles;
use crate::broker::topics::{self, TopicConfig};
use crate::net::request::OwnedRequest;
use crate::store::{Assigned, Batch};
use crate::wire::codes::{request, response};
use crate::wire::command::Value;
use crate::wire::message::NewRecord;
use crate::wire::message::id::OffsetMessageId;
use crate::wire::message::properties::{MSG_REGION, Properties, REPLY_TO_CLIENT, TRACE_ON};
use crate::wire::request::Send;

/// How long the client that asked may take to accept the reply.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// When the reply was pushed, milliseconds since the epoch; only in the pushed copy.
const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";

/// SEND_REPLY_MESSAGE and SEND_REPLY_MESSAGE_V2.
pub(super) async fn send(handles: &Arc<Handles>, request: &OwnedRequest) -> Answered {
    let answer = match try_send(handles, request).await {
        Ok(answer) => answer,
        Err(refusal) => Answer { code: refusal.code, remark: Some(refusal.remark), ..Answer::default() },
    };
    Ok(answer.and(MSG_REGION, &handles.config.get().region_id).and(TRACE_ON, handles.config.get().trace_on))
}

async fn try_send(handles: &Arc<Handles>, request: &OwnedRequest) -> Result<Answer, Refusal> {
    let command = request.command();
    let header = Send::from_ext(request.code, &command.ext).map_err(Refusal::system)?;
    let topic = check(handles, request, &header).await?;
    let queues = topic.write_queue_nums.max(1);
    let queue = u32::try_from(header.queue_id).unwrap_or(request.reply.opaque.unsigned_abs() % queues);
    let pushed = push(handles, request, &header, queue).await;
    let shared = (handles.clone(), request.clone());
    let stored = super::blocking(move || store(&shared.0, &shared.1, queue)).await?;
    let stored = stored.inspect_err(|error| tracing::warn!("a reply was passed on but not stored: {}", error.remark));
    let id = stored.as_ref().map(|assigned| {
        OffsetMessageId { store_host: handles.config.get().store_host(), phy_offset: assigned.phy_offset }
            .text()
            .to_string()
    });
    let answer = Answer::field("msgId", id.as_deref().unwrap_or("0"))
        .and("queueId", if stored.is_ok() { queue } else { 0 })
        .and("queueOffset", stored.map_or(0, |assigned| assigned.queue_offset.0));
    Ok(match pushed {
        Ok(()) => answer,
        Err(remark) => Answer { code: response::SYSTEM_ERROR, remark: Some(remark.into()), ..answer },
    })
}

async fn check(handles: &Handles, request: &OwnedRequest, header: &Send<'_>) -> Result<Arc<TopicConfig>, Refusal> {
    let start = handles.config.get().start_accept_send_request_time_stamp;
    if request.now < start {
        return Err(Refusal::system(format!("broker unable to service, until {start} (milliseconds since 1970, UTC)")));
    }
    topics::check_name(header.topic).map_err(|error| Refusal::new(response::INVALID_PARAMETER, error.to_string()))?;
    if topics::send_is_forbidden(header.topic) {
        let remark = format!("Sending message to topic[{}] is forbidden.", header.topic);
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    let topic = match handles.topics.get(header.topic) {
        Some(topic) => topic,
        None => make_topic(handles, header).await?,
    };
    let queues = topic.write_queue_nums.max(topic.read_queue_nums);
    if i64::from(header.queue_id) >= i64::from(queues) {
        let remark =
            format!("request queueId[{}] is illegal, topic {} has {queues} queues", header.queue_id, header.topic);
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    Ok(topic)
}

async fn make_topic(handles: &Handles, header: &Send<'_>) -> Result<Arc<TopicConfig>, Refusal> {
    let (topics, name, template) = (handles.topics.clone(), header.topic.to_owned(), header.default_topic.to_owned());
    let (queue_nums, unit_mode) = (header.default_topic_queue_nums, header.unit_mode);
    let made = super::blocking(move || topics.create_in_send(&name, &template, queue_nums, unit_mode)).await?;
    let made = made.map_err(super::topics::refuse)?;
    handles.registration.topic_changed(header.topic).await;
    Ok(made.topic)
}

/// PUSH_REPLY_MESSAGE_TO_CLIENT; the error is Java's remark.
async fn push(handles: &Handles, request: &OwnedRequest, header: &Send<'_>, queue: u32) -> Result<(), String> {
    let mut properties = Properties::parse(header.properties.as_bytes());
    let client = properties.get(REPLY_TO_CLIENT).map(str::to_owned);
    let client = client.ok_or_else(|| "reply message properties[REPLY_TO_CLIENT] is null".to_owned())?;
    let conn = handles
        .clients
        .producer_of_client(&client)
        .ok_or_else(|| format!("push reply message fail, channel of <{client}> not found."))?;
    let now = handles.clock.now();
    properties.set(PUSH_REPLY_TIME, now.to_string());
    let text = String::from_utf8_lossy(&properties.to_bytes()).into_owned();
    let (born_host, store_host) = (request.conn.peer.to_string(), handles.config.get().store_host().to_string());
    let ext = [
        ("producerGroup", Value::Str(header.producer_group)),
        ("topic", Value::Str(header.topic)),
        ("defaultTopic", Value::Str(header.default_topic)),
        ("defaultTopicQueueNums", Value::I64(i64::from(header.default_topic_queue_nums))),
        ("queueId", Value::I64(i64::from(queue))),
        ("sysFlag", Value::I64(i64::from(header.sys_flag))),
        ("bornTimestamp", Value::I64(header.born_timestamp)),
        ("flag", Value::I64(i64::from(header.flag))),
        ("properties", Value::Str(&text)),
        ("reconsumeTimes", Value::I64(i64::from(header.reconsume_times))),
        ("unitMode", Value::Bool(header.unit_mode)),
        ("bornHost", Value::Str(&born_host)),
        ("storeHost", Value::Str(&store_host)),
        ("storeTimestamp", Value::I64(now as i64)),
    ];
    let code = request::PUSH_REPLY_MESSAGE_TO_CLIENT;
    let answer = handles.relays.call(&handles.clients, conn, code, &ext, &request.body, PUSH_TIMEOUT).await;
    match answer {
        Ok(answer) if answer.code == response::SUCCESS => Ok(()),
        Ok(answer) => Err(format!("push reply message to {client}fail. It answered {}", answer.code)),
        Err(error) => Err(format!("push reply message to {client}fail. {error}")),
    }
}

fn store(handles: &Handles, request: &OwnedRequest, queue: u32) -> Result<Assigned, Refusal> {
    let command = request.command();
    let header = Send::from_ext(request.code, &command.ext).map_err(Refusal::system)?;
    let config = handles.config.get();
    let mut properties = Properties::parse(header.properties.as_bytes());
    properties.set(MSG_REGION, config.region_id.as_str());
    properties.set(TRACE_ON, config.trace_on.to_string());
    let properties = properties.to_bytes();
    let record = NewRecord {
        topic: header.topic,
        queue_id: queue as i32,
        flag: header.flag,
        // Even for a compressed body, as Java does.
        sys_flag: 0,
        born_timestamp: header.born_timestamp,
        born_host: request.conn.peer,
        store_host: handles.config.get().store_host(),
        reconsume_times: header.reconsume_times,
        prepared_transaction_offset: 0,
        body: &request.body,
        properties: &properties,
    };
    let mut batch = Batch::new(&handles.store);
    let queue = handles.store.queue(header.topic, QueueId(queue));
    let index = batch.stage(&queue, &record, 0).map_err(Refusal::system)?;
    handles.appender.append(&mut batch).map_err(Refusal::system)?;
    Ok(batch.assigned(index))
}
