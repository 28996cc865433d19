//! Commands about single messages: find them, print them, send one, have one consumed.

mod find;
mod print;
mod send;
mod source;

use serde_json::{Value as Json, json};

use super::{Failure, arguments, consumers, output, session, topics};
use crate::client::shown::Message;

pub(super) use find::{by_id, by_key, by_offset, by_unique_key};
pub(super) use print::{consume, print, print_queue};
pub(super) use send::{check_send_time, filling, send, time_sends};

/// A message as JSON.
fn json_of(message: &Message, with_body: bool) -> Json {
    let properties: serde_json::Map<String, Json> =
        message.properties.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut json = json!({"msgId": message.id(), "offsetMsgId": message.offset_id(), "topic": message.topic,
        "brokerName": message.broker_name, "queueId": message.queue_id, "queueOffset": message.queue_offset,
        "commitLogOffset": message.log_offset, "bornTimestamp": message.born_timestamp,
        "bornHost": message.born_host.to_string(), "storeTimestamp": message.store_timestamp,
        "storeHost": message.store_host.to_string(), "sysFlag": message.sys_flag,
        "reconsumeTimes": message.reconsume_times, "properties": properties});
    if with_body {
        json["body"] = message.body_text().into();
    }
    json
}
