//! Answers to an operator's questions: a consumer's inside, a queue's entries, one message consumed on demand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::client::SubscriptionData;
use super::java_enum;
use super::offset::MessageQueue;

java_enum! {
    /// What became of a message that was consumed on demand.
    ConsumeResult {
        /// Consumed.
        #[default]
        Success = "CR_SUCCESS",
        /// To be redelivered.
        Later = "CR_LATER",
        /// Rolled back.
        Rollback = "CR_ROLLBACK",
        /// Committed.
        Commit = "CR_COMMIT",
        /// The listener threw.
        ThrowException = "CR_THROW_EXCEPTION",
        /// The listener returned null.
        ReturnNull = "CR_RETURN_NULL",
    }
}

/// A client's answer to CONSUME_MESSAGE_DIRECTLY.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeMessageDirectlyResult {
    /// Offsets are committed by the client.
    pub auto_commit: bool,
    /// What became of it.
    pub consume_result: ConsumeResult,
    /// An orderly listener.
    pub order: bool,
    /// The listener's trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How long it took, milliseconds.
    pub spent_time_mills: i64,
}

/// A queue inside a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessQueueInfo {
    /// Messages in memory.
    pub cached_msg_count: i32,
    /// Last of them.
    pub cached_msg_max_offset: i64,
    /// First of them.
    pub cached_msg_min_offset: i64,
    /// Their size.
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub cached_msg_size_in_mib: i32,
    /// Next offset to commit.
    pub commit_offset: i64,
    /// No longer this consumer's (Java's spelling; Go writes it right).
    #[serde(alias = "dropped")]
    pub droped: bool,
    /// Milliseconds since the epoch.
    pub last_consume_timestamp: i64,
    /// Milliseconds since the epoch.
    pub last_lock_timestamp: i64,
    /// Milliseconds since the epoch.
    pub last_pull_timestamp: i64,
    /// Locked at the broker.
    pub locked: bool,
    /// Orderly: messages taken and not committed.
    pub transaction_msg_count: i32,
    /// Last of them.
    pub transaction_msg_max_offset: i64,
    /// First of them.
    pub transaction_msg_min_offset: i64,
    /// Tries to unlock.
    pub try_unlock_times: i64,
}

/// A queue inside a POP consumer (5.x).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PopProcessQueueInfo {
    /// No longer this consumer's.
    #[serde(alias = "dropped")]
    pub droped: bool,
    /// Milliseconds since the epoch.
    pub last_pop_timestamp: i64,
    /// Messages not acknowledged.
    pub wait_ack_count: i32,
}

/// A consumer's figures of one topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumeStatus {
    /// Failures of the last hour.
    #[serde(rename = "consumeFailedMsgs")]
    pub consume_failed_msgs: i64,
    /// Failures per second.
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    /// Successes per second.
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    /// Milliseconds per message.
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    /// Milliseconds per pull.
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    /// Messages pulled per second.
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
}

/// A client's answer to GET_CONSUMER_RUNNING_INFO. A broker relays it as it came (Go's is no JSON); tools read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerRunningInfo {
    /// Stacks of the client's threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jstack: Option<String>,
    /// Queue → inside of a POP consumer (5.x).
    pub mq_pop_table: BTreeMap<MessageQueue, PopProcessQueueInfo>,
    /// Queue → inside.
    pub mq_table: BTreeMap<MessageQueue, ProcessQueueInfo>,
    /// `PROP_…` → value.
    pub properties: BTreeMap<String, String>,
    /// Topic → figures.
    pub status_table: BTreeMap<String, ConsumeStatus>,
    /// Subscriptions.
    pub subscription_set: Vec<SubscriptionData>,
    /// The application's own lines (5.x).
    pub user_consumer_info: BTreeMap<String, String>,
}

/// Answer to QUERY_CONSUME_QUEUE.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeQueueResponseBody {
    /// The group's filter, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    /// Behind the last entry.
    pub max_queue_index: i64,
    /// First entry.
    pub min_queue_index: i64,
    /// The entries.
    pub queue_data: Vec<ConsumeQueueData>,
    /// The group's subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

/// An entry of a consume queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueData {
    /// Filter bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_map: Option<String>,
    /// Whether the filter lets it pass.
    pub eval: bool,
    /// Extension of the entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend_data_json: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
    /// Position in the commit log.
    pub physic_offset: i64,
    /// Bytes of the record.
    pub physic_size: i32,
    /// Tag hash.
    pub tags_code: i64,
}
