//! Routes and the cluster's make-up: what name servers tell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::topic::TopicQueueMappingInfo;
use super::{BodyError, Form, fastjson};

/// One broker name: a master (id 0) and its slaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// Broker id → `host:port`.
    pub broker_addrs: BTreeMap<i64, String>,
    /// Name of the broker.
    pub broker_name: String,
    /// Name of the cluster.
    pub cluster: String,
    /// A slave may act as master (5.x).
    pub enable_acting_master: bool,
    /// Zone (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// A topic's queues on one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// Name of the broker.
    pub broker_name: String,
    /// Bits of `flags::perm`.
    pub perm: i32,
    /// Queues that consumers read.
    pub read_queue_nums: i32,
    /// Bits of `flags::topic`; releases up to 4.8.0 and Go call it topicSynFlag.
    #[serde(alias = "topicSynFlag")]
    pub topic_sys_flag: i32,
    /// Queues that producers write.
    pub write_queue_nums: i32,
}

/// Where a topic lives: the answer to GET_ROUTEINFO_BY_TOPIC. Both lists are always written: clients fail without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    /// The brokers.
    pub broker_datas: Vec<BrokerData>,
    /// Legacy: broker address → filter servers.
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// `broker:queues;broker:queues` of an ordered topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// The queues, one entry per broker.
    pub queue_datas: Vec<QueueData>,
    /// Static topics (5.x): broker → mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_by_broker: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

impl TopicRouteData {
    /// The standard form for requests of version 401 and later or with acceptStandardJsonOnly: numeric keys quoted.
    pub fn to_standard_json(&self) -> Vec<u8> {
        fastjson::to_vec(self, Form::Standard)
    }
}

/// All clusters and brokers: the answer to GET_BROKER_CLUSTER_INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Broker name → its addresses.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Cluster name → broker names.
    pub cluster_addr_table: BTreeMap<String, BTreeSet<String>>,
}

/// The living members of one broker name (5.x).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroup {
    /// Broker id → `host:port`.
    pub broker_addrs: BTreeMap<i64, String>,
    /// Name of the broker.
    pub broker_name: String,
    /// Name of the cluster.
    pub cluster: String,
}

/// Answer to GET_BROKER_MEMBER_GROUP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetBrokerMemberGroupResponseBody {
    /// The members, `None` when the broker is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_member_group: Option<BrokerMemberGroup>,
}

/// A list of topics, some answers with the broker's address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// Some broker's address, see GET_SYSTEM_TOPIC_LIST_FROM_NS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The topics.
    pub topic_list: BTreeSet<String>,
}

/// Names and values as text: configuration of a namespace, runtime information.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KVTable {
    /// The pairs.
    pub table: BTreeMap<String, String>,
}

impl KVTable {
    /// Reads an answer that may have no body, as REGISTER_BROKER's.
    pub fn parse_optional(json: &[u8]) -> Result<Option<KVTable>, BodyError> {
        match KVTable::parse(json) {
            Err(BodyError::Missing { .. }) => Ok(None),
            other => other.map(Some),
        }
    }
}
