//! Everything that a broker is asked besides sends and pulls: offsets, heartbeats, topics, groups, diagnostics. A handler
//! reads the header, makes one call into the domain and returns an `Answered`; this file says which handler serves which
//! code. What runs on an event loop and what beside it is said by the table of codes (`wire::codes`).

mod clients;
pub mod config;
mod diagnostics;
mod expired;
mod groups;
mod heartbeat;
mod messages;
mod offsets;
mod relay;
mod reply;
mod runtime;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;

use bytes::BytesMut;

use crate::net::service::{Conn, Outcome, RequestCx};
use crate::wire::codes::{RequestName, request, response};
use crate::wire::command::{Command, Ext, ReplyTo};

use super::answer::{self, Answered, Refusal};
use super::handles::Handles;
use crate::net::request::OwnedRequest;

/// Answers a request that may run on an event loop.
pub fn answer_now(handles: &Arc<Handles>, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
    let answered = match request.code {
        request::HEART_BEAT => return clients::heartbeat(handles, cx, request),
        request::UNREGISTER_CLIENT => clients::unregister(handles, cx, request),
        request::GET_CONSUMER_LIST_BY_GROUP => clients::client_ids(handles, request),
        request::LOCK_BATCH_MQ => clients::lock(handles, cx, request),
        request::UNLOCK_BATCH_MQ => clients::unlock(handles, request),
        request::QUERY_CONSUMER_OFFSET => offsets::query(handles, request),
        request::UPDATE_CONSUMER_OFFSET => offsets::commit(handles, request),
        request::GET_MAX_OFFSET => offsets::max(handles, request),
        request::GET_MIN_OFFSET => offsets::min(handles, request),
        code => not_supported(code),
    };
    write(handles, cx.out, request.reply_to(), &answered);
    Outcome::Done
}

/// Answers a request that may wait for a disk, a name server or a client. Runs on the control runtime.
pub async fn answer_later(handles: Arc<Handles>, request: OwnedRequest) -> BytesMut {
    let answered = match request.code {
        request::UPDATE_AND_CREATE_TOPIC => topics::update(&handles, &request).await,
        request::DELETE_TOPIC_IN_BROKER => topics::delete(&handles, &request).await,
        request::GET_ALL_TOPIC_CONFIG => topics::all(&handles),
        request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => groups::update(&handles, &request).await,
        request::DELETE_SUBSCRIPTIONGROUP => groups::delete(&handles, &request).await,
        request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => groups::all(&handles),
        request::GET_ALL_CONSUMER_OFFSET => offsets::all(&handles),
        request::SEARCH_OFFSET_BY_TIMESTAMP => offsets::search(&handles, &request).await,
        request::GET_EARLIEST_MSG_STORETIME => offsets::earliest(&handles, &request).await,
        request::VIEW_MESSAGE_BY_ID => messages::view(&handles, &request).await,
        request::QUERY_MESSAGE => messages::query(&handles, &request).await,
        request::SEND_REPLY_MESSAGE | request::SEND_REPLY_MESSAGE_V2 => reply::send(&handles, &request).await,
        request::CONSUMER_SEND_MSG_BACK => messages::send_back(&handles, &request).await,
        request::UPDATE_BROKER_CONFIG => config::update(&handles, &request).await,
        request::CHECK_CLIENT_CONFIG => clients::check_config(&request),
        request::UPDATE_AND_CREATE_TOPIC_LIST => topics::update_list(&handles, &request).await,
        request::GET_TOPIC_CONFIG => diagnostics::topic(&handles, &request),
        request::CLEAN_UNUSED_TOPIC => topics::clean_unused(&handles).await,
        request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => groups::update_list(&handles, &request).await,
        request::GET_SUBSCRIPTIONGROUP_CONFIG => diagnostics::group(&handles, &request),
        request::INVOKE_BROKER_TO_RESET_OFFSET => offsets::reset(&handles, &request).await,
        request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => relay::consumer_status(&handles, &request).await,
        request::GET_CONSUMER_RUNNING_INFO => return relay::running_info(&handles, &request).await,
        request::CONSUME_MESSAGE_DIRECTLY => return relay::consume_directly(&handles, &request).await,
        code => look(&handles, request.clone(), code).await,
    };
    frame(&handles, request.reply, &answered)
}

/// Writes an answer, and counts it if it is none.
fn write(handles: &Handles, out: &mut BytesMut, to: ReplyTo, answered: &Answered) {
    handles.figures.answered(answered.as_ref().map_or_else(|refusal| refusal.code, |answer| answer.code));
    answer::write(out, to, answered);
}

/// The same as a frame of its own.
fn frame(handles: &Handles, to: ReplyTo, answered: &Answered) -> BytesMut {
    let mut out = BytesMut::new();
    write(handles, &mut out, to, answered);
    out
}

/// Requests that look at what may be on the disk, and change nothing in memory: beside the control runtime's threads.
async fn look(handles: &Arc<Handles>, request: OwnedRequest, code: i32) -> Answered {
    let handles = handles.clone();
    let work = move || match code {
        request::GET_TOPIC_STATS_INFO => diagnostics::topic_stats(&handles, &request),
        request::GET_CONSUMER_CONNECTION_LIST => diagnostics::consumer_connections(&handles, &request),
        request::GET_PRODUCER_CONNECTION_LIST => diagnostics::producer_connections(&handles, &request),
        request::GET_ALL_PRODUCER_INFO => diagnostics::all_producers(&handles),
        request::GET_CONSUME_STATS => diagnostics::consume_stats(&handles, &request),
        request::GET_BROKER_CONSUME_STATS => diagnostics::broker_consume_stats(&handles, &request),
        request::QUERY_TOPIC_CONSUME_BY_WHO => diagnostics::groups_of_topic(&handles, &request),
        request::QUERY_TOPICS_BY_CONSUMER => diagnostics::topics_of_group(&handles, &request),
        request::QUERY_SUBSCRIPTION_BY_CONSUMER => diagnostics::subscription_of_group(&handles, &request),
        request::QUERY_CONSUME_TIME_SPAN => diagnostics::consume_time_span(&handles, &request),
        request::QUERY_CONSUME_QUEUE => diagnostics::consume_queue(&handles, &request),
        request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => diagnostics::system_topics(&handles),
        request::VIEW_BROKER_STATS_DATA => diagnostics::stats(&handles, &request),
        request::CLONE_GROUP_OFFSET => offsets::clone(&handles, &request),
        request::QUERY_CORRECTION_OFFSET => offsets::correction(&handles, &request),
        request::GET_ALL_DELAY_OFFSET => json(&handles.delays.document()),
        request::CLEAN_EXPIRED_CONSUMEQUEUE => expired::queues(&handles),
        request::DELETE_EXPIRED_COMMITLOG => expired::log(&handles),
        request::GET_BROKER_CONFIG => config::get(&handles),
        request::GET_BROKER_RUNTIME_INFO => runtime::runtime_info(&handles),
        code => not_supported(code),
    };
    blocking(work).await?
}

/// An answer of a client to a request of ours.
pub fn response(handles: &Handles, conn: &Conn, response: &Command<'_>) {
    handles.relays.answered(conn.id, response);
}

fn not_supported(code: i32) -> Answered {
    Err(Refusal::new(
        response::REQUEST_CODE_NOT_SUPPORTED,
        format!(" request type {code} not supported: this broker does not serve {}", RequestName(code)),
    ))
}

/// A header field that the request cannot do without.
fn text<'a>(ext: &'a Ext<'_>, name: &'static str) -> Result<&'a str, Refusal> {
    ext.get(name).ok_or_else(|| missing(name))
}

/// A number in the header that the request cannot do without.
fn number(ext: &Ext<'_>, name: &'static str) -> Result<i64, Refusal> {
    ext.i64(name).ok_or_else(|| missing(name))
}

fn missing(name: &'static str) -> Refusal {
    Refusal::new(
        response::INVALID_PARAMETER,
        format!("the header field {name} is missing or not of its type; the request cannot be done without it"),
    )
}

/// Runs what blocks on a disk beside the control runtime's own threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Refusal::system(format!("the broker failed on this request, see its log: {error}")))
}

fn json(document: &impl serde::Serialize) -> Answered {
    serde_json::to_vec(document).map(super::answer::Answer::body).map_err(Refusal::system)
}
