//! Consumer groups' settings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::topic::DataVersion;

/// Settings of a consumer group. Members that we do not know are kept, since state files of other releases pass
/// through us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// 5.1.3+ attributes.
    pub attributes: BTreeMap<String, String>,
    /// Broker id to read from at first.
    pub broker_id: i64,
    /// Broadcasting consumers may consume.
    pub consume_broadcast_enable: bool,
    /// The group may consume.
    pub consume_enable: bool,
    /// The group may start at the minimum.
    pub consume_from_min_enable: bool,
    /// POP: in order.
    pub consume_message_orderly: bool,
    /// POP: invisible time in minutes.
    pub consume_timeout_minute: i32,
    /// Name.
    pub group_name: String,
    /// How redeliveries are spaced (5.x).
    pub group_retry_policy: GroupRetryPolicy,
    /// Bits of the group.
    pub group_sys_flag: i32,
    /// Members are told when the membership changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// Redeliveries before the dead-letter topic.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// Subscriptions given by an administrator (5.1.1+).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<Vec<SimpleSubscriptionData>>,
    /// Broker id to read from when consumption is slow.
    pub which_broker_when_consume_slowly: i64,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Default for SubscriptionGroupConfig {
    /// Java's defaults.
    fn default() -> Self {
        SubscriptionGroupConfig {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: GroupRetryPolicy::default(),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
            other: BTreeMap::new(),
        }
    }
}

/// How redeliveries are spaced (5.x).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupRetryPolicy {
    /// A list of waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customized_retry_policy: Option<CustomizedRetryPolicy>,
    /// Growing waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_retry_policy: Option<ExponentialRetryPolicy>,
    /// `CUSTOMIZED` or `EXPONENTIAL`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Default for GroupRetryPolicy {
    fn default() -> Self {
        GroupRetryPolicy {
            customized_retry_policy: None,
            exponential_retry_policy: None,
            kind: "CUSTOMIZED".to_owned(),
        }
    }
}

/// A list of waits in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomizedRetryPolicy {
    /// Wait before each redelivery, milliseconds.
    pub next: Vec<i64>,
}

/// Waits in milliseconds that grow by a factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExponentialRetryPolicy {
    /// First wait, milliseconds.
    pub initial: i64,
    /// Longest wait, milliseconds.
    pub max: i64,
    /// Factor.
    pub multiplier: i64,
}

impl Default for ExponentialRetryPolicy {
    fn default() -> Self {
        ExponentialRetryPolicy { initial: 5_000, max: 7_200_000, multiplier: 2 }
    }
}

/// A subscription given by an administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SimpleSubscriptionData {
    /// The expression.
    pub expression: String,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    /// The topic.
    pub topic: String,
    /// Its version.
    pub version: i64,
}

/// A broker's groups: GET_ALL_SUBSCRIPTIONGROUP_CONFIG and `subscriptionGroup.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupWrapper {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Group → topic → bits that forbid (5.x).
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// Group → its settings.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// Body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupList {
    /// The groups.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

/// A list of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// The groups.
    pub group_list: BTreeSet<String>,
}
