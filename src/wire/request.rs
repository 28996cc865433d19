//! The headers of the requests on the hot path, read from extFields into borrowed structs in one pass. Other requests
//! take what they need from `Ext`. Says nothing about what is done with them.
//!
//! A missing field is its default, as Java decodes it: whether that can be used is the handler's question
//! (INTEROP 01 §9). Where Java refuses a number that cannot be read, so does this.

use thiserror::Error;

use super::codes::request;
use super::command::Ext;

/// A header that a request cannot be served with; Java answers SYSTEM_ERROR.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FieldError {
    /// The field is not there.
    #[error("the header field {0} is missing")]
    Missing(&'static str),
    /// The field is no number.
    #[error("the header field {name} is {value:?}, which is no whole number of {bits} bits")]
    Number {
        /// Name of the field.
        name: &'static str,
        /// What it holds.
        value: String,
        /// Width of the number.
        bits: u8,
    },
}

fn i32_of(name: &'static str, value: &str) -> Result<i32, FieldError> {
    value.parse().map_err(|_| FieldError::Number { name, value: value.to_owned(), bits: 32 })
}

fn i64_of(name: &'static str, value: &str) -> Result<i64, FieldError> {
    value.parse().map_err(|_| FieldError::Number { name, value: value.to_owned(), bits: 64 })
}

/// The C++ client writes 1 for true, which Java's brokers read as false: they store its batches as single messages that
/// nobody can read.
fn flag_of(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value == "1"
}

/// A send: codes 10 and 324 with long names, 310, 320 and 325 with letters (INTEROP 01 §10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Send<'a> {
    /// The producer's group.
    pub producer_group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Topic whose settings a topic made on demand inherits.
    pub default_topic: &'a str,
    /// Queues of a topic made on demand.
    pub default_topic_queue_nums: i32,
    /// Queue, −1 for any.
    pub queue_id: i32,
    /// Bits of `message::sys_flag`.
    pub sys_flag: i32,
    /// The producer's clock, milliseconds since the epoch.
    pub born_timestamp: i64,
    /// The user's own number.
    pub flag: i32,
    /// Properties text.
    pub properties: &'a str,
    /// How often it was consumed before.
    pub reconsume_times: i32,
    /// Belongs to a unit.
    pub unit_mode: bool,
    /// Redeliveries before the dead-letter topic, `None` for the group's setting.
    pub max_reconsume_times: Option<i32>,
    /// The body is a batch, whatever the code.
    pub batch: bool,
    /// Broker that is meant (5.x).
    pub broker_name: Option<&'a str>,
}

impl<'a> Send<'a> {
    /// Reads the header of a send with the names that its code uses.
    pub fn from_ext(code: i32, ext: &'a Ext<'_>) -> Result<Send<'a>, FieldError> {
        match code {
            request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE | request::SEND_REPLY_MESSAGE_V2 => Send::v2(ext),
            _ => Send::v1(ext),
        }
    }

    fn v2(ext: &'a Ext<'_>) -> Result<Send<'a>, FieldError> {
        let mut send = Send::default();
        let mut queue_id = None;
        for (name, value) in ext.iter() {
            match name {
                "a" => send.producer_group = value,
                "b" => send.topic = value,
                "c" => send.default_topic = value,
                "d" => send.default_topic_queue_nums = i32_of("d (defaultTopicQueueNums)", value)?,
                "e" => queue_id = Some(i32_of("e (queueId)", value)?),
                "f" => send.sys_flag = i32_of("f (sysFlag)", value)?,
                "g" => send.born_timestamp = i64_of("g (bornTimestamp)", value)?,
                "h" => send.flag = i32_of("h (flag)", value)?,
                "i" => send.properties = value,
                "j" => send.reconsume_times = i32_of("j (reconsumeTimes)", value)?,
                "k" => send.unit_mode = flag_of(value),
                "l" => send.max_reconsume_times = Some(i32_of("l (maxReconsumeTimes)", value)?),
                "m" => send.batch = flag_of(value),
                "n" => send.broker_name = Some(value),
                _ => {}
            }
        }
        send.queue_id = queue_id.ok_or(FieldError::Missing("e (queueId)"))?;
        Ok(send)
    }

    /// Numbers that cannot be read are as if missing.
    fn v1(ext: &'a Ext<'_>) -> Result<Send<'a>, FieldError> {
        let mut send = Send::default();
        let mut queue_id = None;
        for (name, value) in ext.iter() {
            match name {
                "producerGroup" => send.producer_group = value,
                "topic" => send.topic = value,
                "defaultTopic" => send.default_topic = value,
                "defaultTopicQueueNums" => send.default_topic_queue_nums = value.parse().unwrap_or_default(),
                "queueId" => queue_id = value.parse().ok(),
                "sysFlag" => send.sys_flag = value.parse().unwrap_or_default(),
                "bornTimestamp" => send.born_timestamp = value.parse().unwrap_or_default(),
                "flag" => send.flag = value.parse().unwrap_or_default(),
                "properties" => send.properties = value,
                "reconsumeTimes" => send.reconsume_times = value.parse().unwrap_or_default(),
                "unitMode" => send.unit_mode = flag_of(value),
                "maxReconsumeTimes" => send.max_reconsume_times = value.parse().ok(),
                "batch" => send.batch = flag_of(value),
                "bname" => send.broker_name = Some(value),
                _ => {}
            }
        }
        send.queue_id = queue_id.ok_or(FieldError::Missing("queueId"))?;
        Ok(send)
    }
}

/// A pull: codes 11 and 361.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pull<'a> {
    /// The consumer's group.
    pub consumer_group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// First message wanted.
    pub queue_offset: i64,
    /// Most messages wanted.
    pub max_msg_nums: i32,
    /// Bits of `flags::pull`.
    pub sys_flag: i32,
    /// Offset to commit, if the bit says so.
    pub commit_offset: i64,
    /// How long to hold the request, milliseconds.
    pub suspend_timeout_millis: i64,
    /// The expression, if the bit says so.
    pub subscription: Option<&'a str>,
    /// Version of the subscription.
    pub sub_version: i64,
    /// `TAG` or `SQL92`; absent is `TAG`.
    pub expression_type: Option<&'a str>,
}

impl<'a> Pull<'a> {
    /// Reads the header of a pull.
    pub fn from_ext(ext: &'a Ext<'_>) -> Result<Pull<'a>, FieldError> {
        let mut pull = Pull::default();
        let (mut queue_id, mut queue_offset, mut max_msg_nums) = (None, None, None);
        for (name, value) in ext.iter() {
            match name {
                "consumerGroup" => pull.consumer_group = value,
                "topic" => pull.topic = value,
                "queueId" => queue_id = Some(i32_of("queueId", value)?),
                "queueOffset" => queue_offset = Some(i64_of("queueOffset", value)?),
                "maxMsgNums" => max_msg_nums = Some(i32_of("maxMsgNums", value)?),
                "sysFlag" => pull.sys_flag = i32_of("sysFlag", value)?,
                "commitOffset" => pull.commit_offset = i64_of("commitOffset", value)?,
                "suspendTimeoutMillis" => pull.suspend_timeout_millis = i64_of("suspendTimeoutMillis", value)?,
                "subscription" => pull.subscription = Some(value),
                "subVersion" => pull.sub_version = i64_of("subVersion", value)?,
                "expressionType" => pull.expression_type = Some(value),
                _ => {}
            }
        }
        pull.queue_id = queue_id.ok_or(FieldError::Missing("queueId"))?;
        pull.queue_offset = queue_offset.ok_or(FieldError::Missing("queueOffset"))?;
        pull.max_msg_nums = max_msg_nums.ok_or(FieldError::Missing("maxMsgNums"))?;
        Ok(pull)
    }
}

/// QUERY_CONSUMER_OFFSET and UPDATE_CONSUMER_OFFSET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerOffset<'a> {
    /// The consumer's group.
    pub consumer_group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: Option<i32>,
    /// Next offset to consume (update).
    pub commit_offset: Option<i64>,
    /// Whether a group without an offset may get 0 (query, 5.x).
    pub set_zero_if_not_found: Option<bool>,
}

impl<'a> ConsumerOffset<'a> {
    /// Reads the header of either request; numbers that cannot be read are as if missing.
    pub fn from_ext(ext: &'a Ext<'_>) -> ConsumerOffset<'a> {
        let mut offset = ConsumerOffset::default();
        for (name, value) in ext.iter() {
            match name {
                "consumerGroup" => offset.consumer_group = value,
                "topic" => offset.topic = value,
                "queueId" => offset.queue_id = value.parse().ok(),
                "commitOffset" => offset.commit_offset = value.parse().ok(),
                "setZeroIfNotFound" => offset.set_zero_if_not_found = Some(flag_of(value)),
                _ => {}
            }
        }
        offset
    }
}

/// GET_MAX_OFFSET, GET_MIN_OFFSET, GET_EARLIEST_MSG_STORETIME and SEARCH_OFFSET_BY_TIMESTAMP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueQuery<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: Option<i32>,
    /// Time to search for, milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The last message at or before the time, not the first one at or after it (5.x).
    pub upper_boundary: bool,
}

impl<'a> QueueQuery<'a> {
    /// Reads the header of any of the four; numbers that cannot be read are as if missing.
    pub fn from_ext(ext: &'a Ext<'_>) -> QueueQuery<'a> {
        let mut query = QueueQuery::default();
        for (name, value) in ext.iter() {
            match name {
                "topic" => query.topic = value,
                "queueId" => query.queue_id = value.parse().ok(),
                "timestamp" => query.timestamp = value.parse().ok(),
                "boundaryType" => query.upper_boundary = value.eq_ignore_ascii_case("upper"),
                _ => {}
            }
        }
        query
    }
}
