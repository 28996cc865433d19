//! Clients: what they say of themselves, and what is told about them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::java_enum;
use super::offset::MessageQueue;

java_enum! {
    /// Who decides when messages come.
    ConsumeType {
        /// The consumer pulls.
        Actively = "CONSUME_ACTIVELY",
        /// The client library pulls and pushes to the application.
        #[default]
        Passively = "CONSUME_PASSIVELY",
        /// POP (5.x).
        Pop = "CONSUME_POP",
    }
}

java_enum! {
    /// How a group shares messages.
    MessageModel {
        /// Every member gets every message.
        Broadcasting = "BROADCASTING",
        /// The members share the queues.
        #[default]
        Clustering = "CLUSTERING",
    }
}

java_enum! {
    /// Where a new group begins.
    ConsumeFromWhere {
        /// At the end.
        #[default]
        LastOffset = "CONSUME_FROM_LAST_OFFSET",
        /// Legacy, the same as the end.
        LastOffsetAndFromMinWhenBootFirst = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        /// Legacy.
        MinOffset = "CONSUME_FROM_MIN_OFFSET",
        /// Legacy.
        MaxOffset = "CONSUME_FROM_MAX_OFFSET",
        /// At the beginning.
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        /// At a time.
        Timestamp = "CONSUME_FROM_TIMESTAMP",
    }
}

/// A consumer's subscription to a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// Legacy filter class.
    pub class_filter_mode: bool,
    /// Hashes of the tags (`message::tags_code`), empty for all.
    pub code_set: BTreeSet<i32>,
    /// `TAG` or `SQL92`; old clients and C++ leave it out, which means `TAG`.
    pub expression_type: String,
    /// The expression: `*`, `a || b`, SQL.
    pub sub_string: String,
    /// Grows with each change.
    pub sub_version: i64,
    /// The tags, empty for all.
    pub tags_set: BTreeSet<String>,
    /// The topic.
    pub topic: String,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        SubscriptionData {
            class_filter_mode: false,
            code_set: BTreeSet::new(),
            expression_type: "TAG".to_owned(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: BTreeSet::new(),
            topic: String::new(),
        }
    }
}

/// A consumer group in a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where it begins.
    pub consume_from_where: ConsumeFromWhere,
    /// Who decides when messages come.
    pub consume_type: ConsumeType,
    /// The group.
    pub group_name: String,
    /// How it shares messages.
    pub message_model: MessageModel,
    /// Its subscriptions.
    pub subscription_data_set: BTreeSet<SubscriptionData>,
    /// Belongs to a unit.
    pub unit_mode: bool,
}

/// A producer group in a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// The group.
    pub group_name: String,
}

/// Body of HEART_BEAT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// The client, unique within the cluster.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Its consumer groups.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Hash of the subscriptions (5.1.3+ heartbeat v2).
    pub heartbeat_fingerprint: i32,
    /// Its producer groups.
    pub producer_data_set: Vec<ProducerData>,
    /// The subscriptions were left out (heartbeat v2).
    pub without_sub: bool,
}

/// A client's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// `host:port` of the client.
    pub client_addr: String,
    /// The client.
    pub client_id: String,
    /// Name of its language.
    pub language: String,
    /// MQVersion ordinal.
    pub version: i32,
}

/// Answer to GET_CONSUMER_CONNECTION_LIST.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// The members.
    pub connection_set: BTreeSet<Connection>,
    /// Where the group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// Who decides when messages come.
    pub consume_type: ConsumeType,
    /// How the group shares messages.
    pub message_model: MessageModel,
    /// Topic → subscription.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// Answer to GET_PRODUCER_CONNECTION_LIST.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    /// The members.
    pub connection_set: BTreeSet<Connection>,
}

/// Answer to GET_ALL_PRODUCER_INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProducerTableInfo {
    /// Group → members.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// A member of a producer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    /// The client.
    pub client_id: String,
    /// Name of its language.
    pub language: String,
    /// Last heartbeat, milliseconds since the epoch.
    pub last_update_timestamp: i64,
    /// `host:port` of the client.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// MQVersion ordinal.
    pub version: i32,
}

/// Answer to GET_CONSUMER_LIST_BY_GROUP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerListByGroupResponseBody {
    /// Client ids.
    pub consumer_id_list: Vec<String>,
}

/// Body of LOCK_BATCH_MQ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchRequestBody {
    /// The client.
    pub client_id: String,
    /// Its group.
    pub consumer_group: String,
    /// The queues it wants.
    pub mq_set: BTreeSet<MessageQueue>,
    /// Ask no other replica (5.x).
    pub only_this_broker: bool,
}

/// Answer to LOCK_BATCH_MQ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponseBody {
    /// The queues it got.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: BTreeSet<MessageQueue>,
}

/// Body of UNLOCK_BATCH_MQ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnlockBatchRequestBody {
    /// The client.
    pub client_id: String,
    /// Its group.
    pub consumer_group: String,
    /// The queues it gives back.
    pub mq_set: BTreeSet<MessageQueue>,
    /// Tell no other replica (5.x).
    pub only_this_broker: bool,
}

/// Body of CHECK_CLIENT_CONFIG.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequestBody {
    /// The client.
    pub client_id: String,
    /// Its group.
    pub group: String,
    /// Namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The subscription to check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

/// Answer to QUERY_SUBSCRIPTION_BY_CONSUMER.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuerySubscriptionResponseBody {
    /// The group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its subscription.
    #[serde(rename = "subscriptionData", skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// The topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}
