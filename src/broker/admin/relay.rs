//! Requests that only a client can answer: passed on to it, and its answer back, byte for byte (INTEROP 06 §12).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;

use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::clients::Member;
use crate::broker::handles::Handles;
use crate::broker::relays::{ClientAnswer, RelayError};
use crate::net::request::OwnedRequest;
use crate::wire::body::GetConsumerStatusBody;
use crate::wire::codes::{request, response};
use crate::wire::command::{self, Value};

/// How long a client may take for its running info or for consuming a message.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each client may take to say where it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// MQVersion ordinal of V3_1_8_SNAPSHOT: older clients do not know these requests.
const VERSION_3_1_8: i32 = 62;

/// GET_CONSUMER_RUNNING_INFO.
pub(super) async fn running_info(handles: &Handles, request: &OwnedRequest) -> BytesMut {
    match pass_on(handles, request, &[], &request.body).await {
        Ok(answer) => write(request, &answer),
        Err(refusal) => super::frame(handles, request.reply, &Err(refusal)),
    }
}

/// CONSUME_MESSAGE_DIRECTLY: the stored message becomes the body.
pub(super) async fn consume_directly(handles: &Handles, request: &OwnedRequest) -> BytesMut {
    match try_consume_directly(handles, request).await {
        Ok(answer) => write(request, &answer),
        Err(refusal) => super::frame(handles, request.reply, &Err(refusal)),
    }
}

async fn try_consume_directly(handles: &Handles, request: &OwnedRequest) -> Result<ClientAnswer, Refusal> {
    let id = super::text(&request.ext, "msgId")?;
    let position = super::diagnostics::position_of(id).ok_or_else(|| {
        Refusal::system(format!("msgId {id:?} is no offset message id of this broker (32 or 56 hexadecimal digits)"))
    })?;
    let store = handles.store.clone();
    let record = super::blocking(move || store.record_at(position)).await?.map_err(Refusal::system)?;
    let record = record.ok_or_else(|| Refusal::system(format!("no message is stored at {position}, named by {id}")))?;
    let topic_flag = request.ext.get("topic").and_then(|topic| handles.topics.get(topic)).map(|topic| topic.sys_flag);
    let group_flag = request.ext.get("consumerGroup").and_then(|group| handles.groups.get(group));
    let config = handles.config.get();
    let mut more = vec![("brokerName", Value::Str(config.broker_name.as_str()))];
    more.extend(topic_flag.map(|flag| ("topicSysFlag", Value::I64(i64::from(flag)))));
    more.extend(group_flag.map(|group| ("groupSysFlag", Value::I64(i64::from(group.group_sys_flag)))));
    pass_on(handles, request, &more, &record).await
}

async fn pass_on(
    handles: &Handles,
    request: &OwnedRequest,
    more: &[(&str, Value<'_>)],
    body: &[u8],
) -> Result<ClientAnswer, Refusal> {
    let group = super::text(&request.ext, "consumerGroup")?;
    let client_id = super::text(&request.ext, "clientId")?;
    let Some(member) = handles.clients.consumer(group, client_id) else {
        return Err(Refusal::system(format!("The Consumer <{group}> <{client_id}> not online")));
    };
    if member.sender.version < VERSION_3_1_8 {
        let version = member.sender.version;
        let remark = format!(
            "The Consumer <{client_id}> Version <{version}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT"
        );
        return Err(Refusal::system(remark));
    }
    let named = |name: &str| more.iter().any(|(known, _)| *known == name);
    let mut ext: Vec<_> =
        request.ext.iter().filter(|(name, _)| !named(name)).map(|(name, value)| (name, Value::Str(value))).collect();
    ext.extend_from_slice(more);
    let call = handles.relays.call(&handles.clients, member.sender.conn, request.code, &ext, body, CALL_TIMEOUT);
    call.await.map_err(|error| match error {
        RelayError::Timeout => {
            Refusal::new(response::CONSUME_MSG_TIMEOUT, format!("consumer <{group}> <{client_id}> Timeout: {error}"))
        }
        _ => Refusal::system(format!("invoke consumer <{group}> <{client_id}> Exception: {error}")),
    })
}

fn write(request: &OwnedRequest, answer: &ClientAnswer) -> BytesMut {
    let ext: Vec<_> = answer.ext.iter().map(|(name, value)| (name.as_str(), Value::Str(value))).collect();
    let mut out = BytesMut::new();
    command::write_response(&mut out, request.reply, answer.code, answer.remark.as_deref(), &ext, &answer.body);
    out
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS: asks every member, or the given one, where it is; who does not answer is left out.
pub(super) async fn consumer_status(handles: &Handles, request: &OwnedRequest) -> Answered {
    let (topic, group) = (super::text(&request.ext, "topic")?, super::text(&request.ext, "group")?);
    let wanted = request.ext.get("clientAddr").filter(|client| !client.is_empty());
    let members = handles.clients.consumers(group);
    if members.is_empty() {
        return Err(Refusal::system(format!("No Any Consumer online in the consumer group: [{group}]")));
    }
    let is_wanted = |member: &&Member| wanted.is_none_or(|client| member.client_id == client);
    let mut consumer_table = BTreeMap::new();
    for member in members.iter().filter(is_wanted) {
        let ext = [("topic", Value::Str(topic)), ("group", Value::Str(group))];
        let code = request::GET_CONSUMER_STATUS_FROM_CLIENT;
        let answer = handles.relays.call(&handles.clients, member.sender.conn, code, &ext, &[], STATUS_TIMEOUT).await;
        let read = answer
            .map_err(|error| error.to_string())
            .and_then(|answer| GetConsumerStatusBody::parse(&answer.body).map_err(|error| error.to_string()));
        match read {
            Ok(status) => drop(consumer_table.insert(member.client_id.clone(), status.message_queue_table)),
            Err(error) => {
                tracing::info!("client {} of group {group} does not say where it is: {error}", member.client_id)
            }
        }
    }
    let body = GetConsumerStatusBody { consumer_table, ..GetConsumerStatusBody::default() };
    Ok(Answer::body(body.to_json()))
}
