//! Offsets: of consumers, of delay levels, and their resets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topic::DataVersion;

/// A queue of a topic on a broker; also the bean key of several tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    /// The topic.
    pub topic: String,
    /// Name of the broker.
    pub broker_name: String,
    /// Number of the queue.
    pub queue_id: i32,
}

/// Consumers' offsets: GET_ALL_CONSUMER_OFFSET and `consumerOffset.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsetSerializeWrapper {
    /// Version of the table (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// `topic@group` → queue → next offset to consume.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// Offsets of the delay levels' queues: GET_ALL_DELAY_OFFSET and `delayOffset.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelayOffsetSerializeWrapper {
    /// Version of the table (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// Delay level, from 1 → next offset to deliver.
    pub offset_table: BTreeMap<i32, i64>,
}

/// New offsets of a group, for all clients but C++.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBody {
    /// Queue → offset.
    pub offset_table: BTreeMap<MessageQueue, i64>,
}

/// New offsets of a group, for C++ and what is built on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBodyForC {
    /// The queues with their offsets.
    pub offset_table: Vec<MessageQueueForC>,
}

/// A queue with its offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueueForC {
    /// Name of the broker.
    pub broker_name: String,
    /// The offset.
    pub offset: i64,
    /// Number of the queue.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

impl From<&ResetOffsetBody> for ResetOffsetBodyForC {
    fn from(body: &ResetOffsetBody) -> Self {
        let rows = body.offset_table.iter().map(|(queue, offset)| MessageQueueForC {
            broker_name: queue.broker_name.clone(),
            offset: *offset,
            queue_id: queue.queue_id,
            topic: queue.topic.clone(),
        });
        ResetOffsetBodyForC { offset_table: rows.collect() }
    }
}

/// Where consumers are: a client's answer to 221 fills `message_queue_table`, a broker's to 223 `consumer_table`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerStatusBody {
    /// Client id → queue → offset.
    pub consumer_table: BTreeMap<String, BTreeMap<MessageQueue, i64>>,
    /// Queue → offset.
    pub message_queue_table: BTreeMap<MessageQueue, i64>,
}

/// Answer to QUERY_CORRECTION_OFFSET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryCorrectionOffsetBody {
    /// Queue → offset.
    pub correction_offsets: BTreeMap<i32, i64>,
}
