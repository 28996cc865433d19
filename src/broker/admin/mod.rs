//! Everything that a broker is asked besides sends and pulls: offsets, heartbeats, topics, groups, diagnostics. A handler
//! reads the header, makes one call into the domain and returns an `Answered`; this file says which handler serves which
//! code. What runs on an event loop and what beside it is said by the table of codes (`wire::codes`).

mod clients;
mod groups;
mod heartbeat;
mod messages;
mod offsets;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;

use bytes::BytesMut;

use crate::net::service::{Outcome, RequestCx};
use crate::wire::codes::{RequestName, request, response};
use crate::wire::command::{Command, Ext};

use super::answer::{self, Answered, Refusal};
use super::handles::Handles;
use super::request::OwnedRequest;

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
    answer::write(cx.out, request.reply_to(), &answered);
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
        request::CONSUMER_SEND_MSG_BACK => messages::send_back(&handles, &request).await,
        request::CHECK_CLIENT_CONFIG => clients::check_config(&request),
        code => not_supported(code),
    };
    let mut out = BytesMut::new();
    answer::write(&mut out, request.reply, &answered);
    out
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
