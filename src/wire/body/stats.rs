//! Statistics of topics, groups and brokers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::offset::MessageQueue;

/// The ends of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// Store time of the last message, milliseconds since the epoch, 0 without one.
    pub last_update_timestamp: i64,
    /// Behind the last message.
    pub max_offset: i64,
    /// The first message.
    pub min_offset: i64,
}

/// Answer to GET_TOPIC_STATS_INFO.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    /// Queue → its ends.
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
    /// Messages per second (5.3.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_put_tps: Option<f64>,
}

/// A group's place in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// End of the queue.
    pub broker_offset: i64,
    /// Next offset to consume.
    pub consumer_offset: i64,
    /// Store time of the last consumed message, milliseconds since the epoch.
    pub last_timestamp: i64,
    /// Next offset to pull (5.x).
    pub pull_offset: i64,
}

/// Answer to GET_CONSUME_STATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages per second.
    pub consume_tps: f64,
    /// Queue → the group's place.
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
}

/// Answer to GET_BROKER_CONSUME_STATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatsList {
    /// The broker.
    pub broker_addr: String,
    /// Group → statistics of each of its topics.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// Messages behind.
    pub total_diff: i64,
    /// Messages pulled but not consumed (5.x).
    pub total_inflight_diff: i64,
}

/// One figure over one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerStatsItem {
    /// Average per call.
    pub avgpt: f64,
    /// Sum.
    pub sum: i64,
    /// Per second.
    pub tps: f64,
}

/// Answer to VIEW_BROKER_STATS_DATA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    /// Over a day.
    pub stats_day: BrokerStatsItem,
    /// Over an hour.
    pub stats_hour: BrokerStatsItem,
    /// Over a minute.
    pub stats_minute: BrokerStatsItem,
}

/// Answer to QUERY_CONSUME_TIME_SPAN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeTimeSpanBody {
    /// One entry per queue.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// The times of a queue, milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueTimeSpan {
    /// Store time of the group's last consumed message.
    pub consume_time_stamp: i64,
    /// How far behind it is, milliseconds.
    pub delay_time: i64,
    /// Store time of the last message.
    pub max_time_stamp: i64,
    /// The queue.
    pub message_queue: MessageQueue,
    /// Store time of the first message.
    pub min_time_stamp: i64,
}
