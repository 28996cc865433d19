//! Heartbeats, unregistration, who is in a group (INTEROP 06 §5).

use std::sync::Arc;

use bytes::BytesMut;

use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::clients::{ConsumerBeat, Sender};
use crate::broker::filter::TAG;
use crate::broker::handles::Handles;
use crate::broker::locks::LockedQueue;
use crate::broker::topics::{PERM_READ, PERM_WRITE, TopicConfig, retry_topic};
use crate::net::request::OwnedRequest;
use crate::net::service::{Outcome, RequestCx};
use crate::wire::body::{
    CheckClientRequestBody, LockBatchRequestBody, LockBatchResponseBody, MessageQueue, UnlockBatchRequestBody,
};
use crate::wire::codes::response;
use crate::wire::command::{Command, ReplyTo};

/// HEART_BEAT. Answered at once unless a retry topic has to be made first.
pub(super) fn heartbeat(handles: &Arc<Handles>, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
    let beat = match super::heartbeat::parse(request.body) {
        Ok(beat) => beat,
        Err(found) => {
            super::write(handles, cx.out, request.reply_to(), &Err(Refusal::system(found)));
            return Outcome::Done;
        }
    };
    let sender = Sender::new(&cx.conn, request.language, request.version);
    let known = |group: &str| handles.groups.get_or_create(group).is_some();
    let is_sub_change = handles.clients.heartbeat(sender, cx.now, &beat, known, &handles.notify_rule());
    let missing: Vec<TopicConfig> =
        beat.consumers.iter().filter_map(|consumer| missing_retry_topic(handles, consumer)).collect();
    let answered = Answer::field("IS_SUPPORT_HEART_BEAT_V2", true).and("IS_SUB_CHANGE", is_sub_change);
    if missing.is_empty() {
        super::write(handles, cx.out, request.reply_to(), &Ok(answered));
        return Outcome::Done;
    }
    Outcome::Slow(Box::pin(make_retry_topics(handles.clone(), missing, request.reply_to(), answered)))
}

fn missing_retry_topic(handles: &Handles, consumer: &ConsumerBeat) -> Option<TopicConfig> {
    let group = handles.groups.get(&consumer.group)?;
    let name = retry_topic(&consumer.group);
    if handles.topics.get(&name).is_some() {
        return None;
    }
    let topics = handles.topics.table();
    let order = consumer.subscriptions.iter().any(|one| topics.get(&one.topic).is_some_and(|topic| topic.order));
    let queue_nums = u32::try_from(group.retry_queue_nums).unwrap_or(0);
    let sys_flag = if consumer.unit_mode { 2 } else { 0 };
    Some(TopicConfig { sys_flag, order, ..TopicConfig::new(name, queue_nums, PERM_READ | PERM_WRITE) })
}

async fn make_retry_topics(
    handles: Arc<Handles>,
    missing: Vec<TopicConfig>,
    reply: ReplyTo,
    answer: Answer,
) -> BytesMut {
    let mut answered = Ok(answer);
    for topic in missing {
        let topics = handles.topics.clone();
        let name = topic.topic_name.clone();
        match super::blocking(move || topics.create_if_missing(topic)).await {
            Ok(Ok(_)) => handles.registration.topic_changed(&name).await,
            Ok(Err(error)) => answered = Err(Refusal::system(error)),
            Err(refusal) => answered = Err(refusal),
        }
    }
    super::frame(&handles, reply, &answered)
}

/// UNREGISTER_CLIENT: always well.
pub(super) fn unregister(handles: &Handles, cx: &RequestCx<'_>, request: &Command<'_>) -> Answered {
    let group = |name| request.ext.get(name).filter(|group| !group.is_empty());
    handles.clients.unregister(cx.conn.id, group("producerGroup"), group("consumerGroup"), &handles.notify_rule());
    Ok(Answer::empty())
}

/// GET_CONSUMER_LIST_BY_GROUP: each client id once.
pub(super) fn client_ids(handles: &Handles, request: &Command<'_>) -> Answered {
    let group = super::text(&request.ext, "consumerGroup")?;
    let ids = handles.clients.client_ids(group);
    if ids.is_empty() {
        return Err(Refusal::new(response::SYSTEM_ERROR, format!("no consumer for this group, {group}")));
    }
    super::json(&serde_json::json!({ "consumerIdList": ids }))
}

/// LOCK_BATCH_MQ: the queues of topics that exist here and that are now the client's; maybe none.
pub(super) fn lock(handles: &Handles, cx: &RequestCx<'_>, request: &Command<'_>) -> Answered {
    let body = LockBatchRequestBody::parse(request.body).map_err(Refusal::system)?;
    let known = |queue: &MessageQueue| {
        let nums = handles.topics.get(&queue.topic).map(|topic| topic.read_queue_nums.max(topic.write_queue_nums));
        u32::try_from(queue.queue_id).is_ok_and(|id| nums.is_some_and(|nums| id < nums))
    };
    let wanted = body.mq_set.into_iter().filter(known).map(locked_queue).collect();
    let owned = handles.locks.lock(&body.consumer_group, &body.client_id, wanted, cx.now);
    let lock_ok_mq_set = owned
        .into_iter()
        .map(|queue| MessageQueue { topic: queue.topic, broker_name: queue.broker_name, queue_id: queue.queue_id })
        .collect();
    Ok(Answer::body(LockBatchResponseBody { lock_ok_mq_set }.to_json()))
}

/// UNLOCK_BATCH_MQ: always well.
pub(super) fn unlock(handles: &Handles, request: &Command<'_>) -> Answered {
    let body = UnlockBatchRequestBody::parse(request.body).map_err(Refusal::system)?;
    let queues: Vec<_> = body.mq_set.into_iter().map(locked_queue).collect();
    handles.locks.unlock(&body.consumer_group, &body.client_id, &queues);
    Ok(Answer::empty())
}

fn locked_queue(queue: MessageQueue) -> LockedQueue {
    LockedQueue { topic: queue.topic, broker_name: queue.broker_name, queue_id: queue.queue_id }
}

/// CHECK_CLIENT_CONFIG: whether a subscription's expression can be served.
pub(super) fn check_config(request: &OwnedRequest) -> Answered {
    let body = CheckClientRequestBody::parse(&request.body).map_err(Refusal::system)?;
    let subscription =
        body.subscription_data.ok_or_else(|| Refusal::system("subscriptionData is missing in the body"))?;
    if matches!(subscription.expression_type.as_str(), "" | TAG) {
        return Ok(Answer::empty());
    }
    Err(Refusal::system("The broker does not support consumer to filter message by SQL92"))
}
