//! Messages that a consumer gives back (CONSUMER_SEND_MSG_BACK, INTEROP 06 §6): into the delay level that their count asks
//! for, on the way to the group's retry topic; or, after the last time, into its dead-letter topic. The message keeps its
//! body, times and properties; where it came from is added once and never changed.

use std::sync::Arc;

use crate::base::position::{PhyOffset, QueueId};
use crate::store::Batch;
use crate::wire::codes::response;
use crate::wire::message::id::OffsetMessageId;
use crate::wire::message::properties::{
    DELAY, ORIGIN_MESSAGE_ID, Properties, RETRY_TOPIC, TAGS, TIMER_DELAY_MS, TIMER_DELAY_SEC, TIMER_DELIVER_MS, WAIT,
    tags_code,
};
use crate::wire::message::{NewRecord, RecordView};

use super::answer::Refusal;
use super::delay::scheduled_properties;
use super::handles::Handles;
use super::topics::{self, PERM_READ, PERM_WRITE, SCHEDULE_TOPIC, TopicConfig};
use crate::wire::body::SubscriptionGroupConfig;

/// MQVersion ordinal of V3_4_9: since then clients say in the header how often a message may come back.
pub const VERSION_3_4_9: i32 = 121;
/// A message that was never given back waits in this level: 10 s.
const FIRST_LEVEL: i32 = 3;

/// What a consumer says of the message that it gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// Consumer group.
    pub group: String,
    /// Position of the message in the log.
    pub offset: i64,
    /// Level to wait in: 0 for the broker to choose, negative for the dead letters.
    pub delay_level: i32,
    /// Times after which it goes to the dead letters; from clients that say it.
    pub max_reconsume_times: Option<i32>,
    /// The group belongs to a unit.
    pub unit_mode: bool,
}

/// Whether the message waits or is given up (INTEROP 06 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Retry { level: usize },
    DeadLetter,
}

fn fate(given: &GivenBack, group: &SubscriptionGroupConfig, reconsumed: i32, highest: usize) -> Fate {
    let max = given.max_reconsume_times.unwrap_or(group.retry_max_times);
    if given.delay_level < 0 || reconsumed >= max || highest == 0 {
        return Fate::DeadLetter;
    }
    let level = if given.delay_level == 0 { FIRST_LEVEL.saturating_add(reconsumed) } else { given.delay_level };
    Fate::Retry { level: usize::try_from(level).unwrap_or(1).clamp(1, highest) }
}

/// A topic that the message needs, made if it is missing.
pub fn retry_topic(group: &SubscriptionGroupConfig, unit_mode: bool) -> TopicConfig {
    let sys_flag = if unit_mode { 2 } else { 0 };
    let queue_nums = u32::try_from(group.retry_queue_nums).unwrap_or(0);
    TopicConfig {
        sys_flag,
        ..TopicConfig::new(topics::retry_topic(&group.group_name), queue_nums, PERM_READ | PERM_WRITE)
    }
}

/// The dead-letter topic of a group: readable by any group, as since 4.9.2.
pub fn dlq_topic(group: &str) -> TopicConfig {
    dlq_topic_named(&topics::dlq_topic(group))
}

/// As `dlq_topic`, by the topic's name.
pub fn dlq_topic_named(name: &str) -> TopicConfig {
    TopicConfig::new(name, 1, PERM_READ | PERM_WRITE)
}

/// The topics that giving a message back made: the name servers have to be told.
pub type Made = Vec<Arc<TopicConfig>>;

/// Takes a message back. Blocks on the disk; not for an event loop.
pub fn take_back(handles: &Handles, given: &GivenBack) -> Result<Made, Refusal> {
    let Some(group) = handles.groups.get_or_create(&given.group) else {
        let remark =
            format!("subscription group not exist, {}: create it, or set autoCreateSubscriptionGroup", given.group);
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    let config = handles.config.get();
    if config.broker_permission & PERM_WRITE == 0 {
        let remark = format!("the broker[{}] sending message is forbidden", config.broker_ip1);
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    if group.retry_queue_nums <= 0 {
        return Ok(Made::new());
    }
    let mut made = Made::new();
    let retry = need(handles, retry_topic(&group, given.unit_mode), &mut made)?;
    let bytes = look_up(handles, given.offset)?;
    let record = RecordView::parse(&bytes).map_err(Refusal::system)?;
    let properties = kept_properties(&record);
    let topic = properties.get(RETRY_TOPIC).unwrap_or_default().to_owned();
    match fate(given, &group, record.reconsume_times(), handles.delays.highest()) {
        Fate::Retry { level } => {
            let queue = (record.phy_offset() as u64 ^ handles.clock.now()) % group.retry_queue_nums as u64;
            let text = scheduled_properties(&properties.to_bytes(), level, &retry.topic_name, queue as i32);
            store(handles, &record, SCHEDULE_TOPIC, level as u32 - 1, &text, Some(level))?;
        }
        Fate::DeadLetter => {
            let dead_letters = need(handles, dlq_topic(&given.group), &mut made)?;
            let mut properties = properties;
            properties.set(DELAY, "0");
            store(handles, &record, &dead_letters.topic_name, 0, &properties.to_bytes(), None)?;
            handles.stats.given_up(&topic, &given.group, handles.clock.now());
        }
    }
    handles.stats.given_back(&topic, &given.group, handles.clock.now());
    Ok(made)
}

fn need(handles: &Handles, topic: TopicConfig, made: &mut Made) -> Result<Arc<TopicConfig>, Refusal> {
    let name = topic.topic_name.clone();
    let created = handles
        .topics
        .create_if_missing(topic)
        .map_err(|error| Refusal::system(format!("topic[{name}] not exist and cannot be made: {error}")))?;
    if created.is_new {
        made.push(created.topic.clone());
    }
    if !created.topic.is_writable() {
        let remark = format!("the topic[{name}] sending message is forbidden");
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    Ok(created.topic)
}

fn look_up(handles: &Handles, offset: i64) -> Result<Vec<u8>, Refusal> {
    let missing = || Refusal::system(format!("look message by offset failed, {offset}"));
    let position = PhyOffset(u64::try_from(offset).map_err(|_| missing())?);
    handles.store.record_at(position).map_err(Refusal::system)?.ok_or_else(missing)
}

/// The message's own properties, and where it came from if that is not said yet.
fn kept_properties<'a>(record: &RecordView<'a>) -> Properties<'a> {
    let mut properties = Properties::parse(record.properties());
    if properties.get(RETRY_TOPIC).is_none() {
        properties.set(RETRY_TOPIC, record.topic());
    }
    if properties.get(ORIGIN_MESSAGE_ID).is_none_or(|id| id.trim().is_empty()) {
        let id = OffsetMessageId {
            store_host: record.store_host(),
            phy_offset: PhyOffset(u64::try_from(record.phy_offset()).unwrap_or(0)),
        };
        properties.set(ORIGIN_MESSAGE_ID, id.text().to_string());
    }
    for timer in [TIMER_DELIVER_MS, TIMER_DELAY_SEC, TIMER_DELAY_MS] {
        properties.remove(timer);
    }
    properties.set(WAIT, "false");
    properties
}

fn store(
    handles: &Handles,
    record: &RecordView<'_>,
    topic: &str,
    queue: u32,
    properties: &[u8],
    level: Option<usize>,
) -> Result<(), Refusal> {
    let new = NewRecord {
        topic,
        queue_id: queue as i32,
        store_host: handles.config.get().store_host(),
        reconsume_times: record.reconsume_times().saturating_add(1),
        prepared_transaction_offset: 0,
        properties,
        ..NewRecord::from(record)
    };
    let mut batch = Batch::new(&handles.store);
    let queue = handles.store.queue(topic, QueueId(queue));
    match level {
        Some(level) => batch.stage_delayed(&queue, &new, handles.delays.delay_ms(level)),
        None => {
            let tags = crate::wire::message::properties::get(properties, TAGS).map_or(0, tags_code);
            batch.stage(&queue, &new, tags)
        }
    }
    .map_err(|error| Refusal::system(format!("MESSAGE_ILLEGAL: {error}")))?;
    handles.appender.append(&mut batch).map_err(|error| Refusal::system(format!("SERVICE_NOT_AVAILABLE: {error}")))
}
