//! Topics and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::java_enum;

/// Version of a table, to tell whether a copy is current.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Counts the changes.
    pub counter: i64,
    /// 5.x: term of the state machine; absent in 4.x.
    pub state_version: i64,
    /// Time of the last change, milliseconds since the epoch.
    pub timestamp: i64,
}

impl DataVersion {
    /// The version after one more change.
    pub fn next(self, now_ms: i64) -> DataVersion {
        DataVersion { counter: self.counter.wrapping_add(1), timestamp: now_ms, ..self }
    }
}

java_enum! {
    /// How many tags a message of a topic has.
    TopicFilterType {
        /// One.
        #[default]
        SingleTag = "SINGLE_TAG",
        /// Several (legacy).
        MultiTag = "MULTI_TAG",
    }
}

/// A topic on one broker. Members that we do not know are kept, since state files of other releases pass through us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// 5.x attributes such as `message.type`; with a `+` in front in requests.
    pub attributes: BTreeMap<String, String>,
    /// Ordered topic.
    pub order: bool,
    /// Bits of `flags::perm`.
    pub perm: i32,
    /// Queues that consumers read.
    pub read_queue_nums: i32,
    /// Kind of tags.
    pub topic_filter_type: TopicFilterType,
    /// Name.
    pub topic_name: String,
    /// Bits of `flags::topic`.
    #[serde(alias = "topicSynFlag")]
    pub topic_sys_flag: i32,
    /// Queues that producers write.
    pub write_queue_nums: i32,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Default for TopicConfig {
    /// Java's defaults: 16 queues, read and write.
    fn default() -> Self {
        TopicConfig {
            attributes: BTreeMap::new(),
            order: false,
            perm: 6,
            read_queue_nums: 16,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
            other: BTreeMap::new(),
        }
    }
}

/// A broker's topics: GET_ALL_TOPIC_CONFIG, registration and `topics.json`. The mapping members are 5.x's; `None` leaves
/// them out, as 4.x does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigSerializeWrapper {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Version of the static topics' mappings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_data_version: Option<DataVersion>,
    /// Topic → its settings.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// Topic → the mapping with its queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_detail_map: Option<BTreeMap<String, TopicQueueMappingDetail>>,
    /// Topic → the mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_info_map: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

/// Body of UPDATE_AND_CREATE_TOPIC_LIST.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateTopicListRequestBody {
    /// The topics.
    pub topic_config_list: Vec<TopicConfig>,
}

/// Where the queues of a static topic lie (5.x).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueueMappingInfo {
    /// Broker name.
    pub bname: String,
    /// Logical queue → physical queue.
    pub curr_id_map: BTreeMap<i32, i32>,
    /// Replaced by a newer epoch.
    pub dirty: bool,
    /// Version of the mapping.
    pub epoch: i64,
    /// Scope, `__global__`.
    pub scope: String,
    /// The topic.
    pub topic: String,
    /// Logical queues in all.
    pub total_queues: i32,
}

/// A mapping with the history of its queues (5.x).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueueMappingDetail {
    /// Broker name.
    pub bname: String,
    /// Logical queue → physical queue.
    pub curr_id_map: BTreeMap<i32, i32>,
    /// Replaced by a newer epoch.
    pub dirty: bool,
    /// Version of the mapping.
    pub epoch: i64,
    /// Logical queue → its pieces.
    pub hosted_queues: BTreeMap<i32, Vec<LogicQueueMappingItem>>,
    /// Scope, `__global__`.
    pub scope: String,
    /// The topic.
    pub topic: String,
    /// Logical queues in all.
    pub total_queues: i32,
}

/// A piece of a logical queue (5.x).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogicQueueMappingItem {
    /// Broker name.
    pub bname: String,
    /// Where it ends, −1 while it is open.
    pub end_offset: i64,
    /// Generation.
    #[serde(rename = "gen")]
    pub generation: i32,
    /// Its first offset in the logical queue.
    pub logic_offset: i64,
    /// Physical queue.
    pub queue_id: i32,
    /// Its first offset in the physical queue.
    pub start_offset: i64,
    /// When it ended, −1 while it is open.
    pub time_of_end: i64,
    /// When it began, −1 when unknown.
    pub time_of_start: i64,
}

impl Default for LogicQueueMappingItem {
    fn default() -> Self {
        LogicQueueMappingItem {
            bname: String::new(),
            end_offset: -1,
            generation: 0,
            logic_offset: 0,
            queue_id: 0,
            start_offset: 0,
            time_of_end: -1,
            time_of_start: -1,
        }
    }
}
