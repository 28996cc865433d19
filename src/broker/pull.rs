//! Pulls (codes 11 and 361; INTEROP 06 §4): the checks in Java's order, the scan of the queue, and the records straight
//! from the log into the reply. Never waits: what is not in the page cache is handed back as a `ColdRead`, what has
//! nothing to give and may wait is handed back to be held.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::BytesMut;

use crate::base::position::{QueueId, QueueOffset};
use crate::store::{Entry, Queue, ReadError, Scan, ScanLimits, ScanStatus, Store};
use crate::wire::codes::{request, response};
use crate::wire::command::{self, Command, OpenFrame, ReplyTo, Value};
use crate::wire::flags::pull as pull_flag;

use super::answer::Refusal;
use super::clients::Clients;
use super::config::Config;
use super::filter::{Subscription, TagFilter};
use super::groups::{GroupConfig, Groups};
use super::offsets::Offsets;
use super::topics::{PERM_READ, TopicTable};

/// The header of a pull. Borrowed while it is answered at once, owned while it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullHeader<'a> {
    /// Consumer group.
    pub group: Cow<'a, str>,
    /// Topic.
    pub topic: Cow<'a, str>,
    /// Queue.
    pub queue_id: i32,
    /// First message wanted.
    pub offset: i64,
    /// Most messages wanted.
    pub messages_max: i32,
    /// Bits of `wire::flags::pull`.
    pub sys_flag: i32,
    /// Where the group stands, if the flag says so.
    pub commit_offset: i64,
    /// How long to hold, milliseconds.
    pub suspend_timeout_ms: i64,
    /// Expression that came with the request.
    pub subscription: Option<Cow<'a, str>>,
    /// Its type.
    pub expression_type: Option<Cow<'a, str>>,
    /// Version of the subscription.
    pub subscription_version: i64,
    /// Code 361.
    pub lite: bool,
}

impl<'a> PullHeader<'a> {
    /// Reads the header; what Java unboxes without a test must be there and a number, else code 1.
    pub fn read(request: &'a Command<'_>) -> Result<Self, Refusal> {
        let mut header = PullHeader {
            group: Cow::Borrowed(""),
            topic: Cow::Borrowed(""),
            queue_id: 0,
            offset: 0,
            messages_max: 0,
            sys_flag: 0,
            commit_offset: 0,
            suspend_timeout_ms: 0,
            subscription: None,
            expression_type: None,
            subscription_version: 0,
            lite: request.code == request::LITE_PULL_MESSAGE,
        };
        let (mut queue_id, mut offset, mut messages_max, mut sys_flag) = (None, None, None, None);
        for (name, value) in request.ext.iter() {
            match name {
                "consumerGroup" => header.group = Cow::Borrowed(value),
                "topic" => header.topic = Cow::Borrowed(value),
                "queueId" => queue_id = value.trim().parse().ok(),
                "queueOffset" => offset = value.trim().parse().ok(),
                "maxMsgNums" => messages_max = value.trim().parse().ok(),
                "sysFlag" => sys_flag = value.trim().parse().ok(),
                "commitOffset" => header.commit_offset = value.trim().parse().unwrap_or_default(),
                "suspendTimeoutMillis" => header.suspend_timeout_ms = value.trim().parse().unwrap_or_default(),
                "subscription" => header.subscription = Some(Cow::Borrowed(value)),
                "expressionType" => header.expression_type = Some(Cow::Borrowed(value)),
                "subVersion" => header.subscription_version = value.trim().parse().unwrap_or_default(),
                _ => {}
            }
        }
        let missing = |name: &str| {
            Refusal::new(response::SYSTEM_ERROR, format!("the pull header has no number in its field {name}"))
        };
        header.queue_id = queue_id.ok_or_else(|| missing("queueId"))?;
        header.offset = offset.ok_or_else(|| missing("queueOffset"))?;
        header.messages_max = messages_max.ok_or_else(|| missing("maxMsgNums"))?;
        header.sys_flag = sys_flag.ok_or_else(|| missing("sysFlag"))?;
        Ok(header)
    }

    /// A copy that outlives the frame.
    pub fn into_owned(self) -> PullHeader<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        PullHeader {
            group: own(self.group),
            topic: own(self.topic),
            subscription: self.subscription.map(own),
            expression_type: self.expression_type.map(own),
            queue_id: self.queue_id,
            offset: self.offset,
            messages_max: self.messages_max,
            sys_flag: self.sys_flag,
            commit_offset: self.commit_offset,
            suspend_timeout_ms: self.suspend_timeout_ms,
            subscription_version: self.subscription_version,
            lite: self.lite,
        }
    }

    fn has(&self, flag: i32) -> bool {
        self.sys_flag & flag != 0
    }
}

/// What a pull may look at.
pub struct PullCx<'a> {
    /// Settings.
    pub config: &'a Config,
    /// Topics of this moment.
    pub topics: &'a TopicTable,
    /// Groups.
    pub groups: &'a Groups,
    /// Consumer offsets.
    pub offsets: &'a Offsets,
    /// Subscriptions of connected clients.
    pub clients: &'a Clients,
    /// The store.
    pub store: &'a Store,
    /// Within so many bytes of the log's end a reader counts as reading from memory.
    pub near_bytes: u64,
}

/// Queue entries that one pull looks at, as in Java: a queue with few matches advances so far per answer.
const SCAN_UNITS_MAX: usize = 800;

/// A pull that is refused; `forbidden` says more about code 16 (5.x).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    refusal: Refusal,
    forbidden: Option<i64>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused { refusal, forbidden: None }
    }
}

/// What became of a pull.
pub enum Pulled {
    /// The answer is in the buffer.
    Answered,
    /// There is nothing at the offset and the client is willing to wait.
    Empty(Empty),
    /// Records have to come from the disk.
    Cold(ColdRead),
}

/// A pull that found nothing, and what wakes it.
pub struct Empty {
    /// The queue that has to grow.
    pub queue: Arc<Queue>,
    /// What it has to grow by.
    pub filter: TagFilter,
}

/// The numbers of an answer 0, 19, 20 or 21.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    next: i64,
    min: i64,
    max: i64,
    suggest: i64,
    topic_sys_flag: i64,
    group_sys_flag: i64,
}

/// A pull that passed its checks, as the store needs it. Owns what it names, so that it can move beside the loop.
struct LookUp {
    reply: ReplyTo,
    queue: Arc<Queue>,
    offset: i64,
    filter: TagFilter,
    limits: ScanLimits,
    /// What `suggestWhichBrokerId` is for a reader near the log's end, and for one far behind.
    suggest: (i64, i64),
    topic_sys_flag: i64,
    group_sys_flag: i64,
}

/// A pull that needs what is not in the page cache, to be answered beside the loop.
pub struct ColdRead(Box<LookUp>);

impl LookUp {
    fn numbers(&self, scan: &Scan) -> Numbers {
        let far = scan.behind_bytes > self.limits.near_bytes;
        Numbers {
            next: scan.next_begin.0 as i64,
            min: scan.min.0 as i64,
            max: scan.max.0 as i64,
            suggest: if far { self.suggest.1 } else { self.suggest.0 },
            topic_sys_flag: self.topic_sys_flag,
            group_sys_flag: self.group_sys_flag,
        }
    }

    fn scan(&self, store: &Store, wait: bool, entries: &mut Vec<Entry>) -> Result<Scan, ReadError> {
        entries.clear();
        if self.offset < 0 {
            // The store counts from 0; a negative offset is below the smallest one.
            let (min, max) = (self.queue.min(), self.queue.max());
            let status = if max.0 == 0 { ScanStatus::NoMessageInQueue } else { ScanStatus::OffsetTooSmall };
            return Ok(Scan { status, next_begin: min, min, max, behind_bytes: 0 });
        }
        let limits = ScanLimits { wait, ..self.limits };
        let from = QueueOffset(self.offset as u64);
        store.scan(&self.queue, from, &limits, &mut |tags_code| self.filter.matches(tags_code), entries)
    }

    /// Appends the answer to `out`; false when the disk would have to be waited for, and nothing is appended.
    fn answer(
        &self,
        store: &Store,
        scan: Result<Scan, ReadError>,
        entries: &[Entry],
        wait: bool,
        out: &mut BytesMut,
    ) -> bool {
        let scan = match scan {
            Ok(scan) => scan,
            Err(ReadError::WouldBlock) if !wait => return false,
            Err(error) => {
                write_failed(out, self.reply, &error);
                return true;
            }
        };
        let numbers = self.numbers(&scan);
        let (code, remark) = code_of(scan.status, self.offset);
        let frame = begin(out, self.reply, code, remark, &numbers);
        if code != response::SUCCESS {
            frame.finish(out);
            return true;
        }
        match store.read_into(entries, out, wait) {
            Ok(1..) => frame.finish(out),
            Err(ReadError::WouldBlock) if !wait => {
                frame.abandon(out);
                return false;
            }
            // Removed between the scan and the read: the client goes on behind it. An answer 0 must have a body.
            Ok(0) | Err(ReadError::Gone) => {
                frame.abandon(out);
                let code = response::PULL_RETRY_IMMEDIATELY;
                begin(out, self.reply, code, "MESSAGE_WAS_REMOVING", &numbers).finish(out);
            }
            Err(error) => {
                frame.abandon(out);
                write_failed(out, self.reply, &error);
            }
        }
        true
    }
}

/// One loop's pulls; its buffers live from request to request.
#[derive(Debug, Default)]
pub struct Puller {
    entries: Vec<Entry>,
}

impl Puller {
    /// Answers a pull into `out`. `first_run` is false when a held pull runs again: then it neither waits nor commits.
    pub fn pull(
        &mut self,
        cx: &PullCx<'_>,
        reply: ReplyTo,
        header: &PullHeader<'_>,
        first_run: bool,
        out: &mut BytesMut,
    ) -> Pulled {
        match self.try_pull(cx, reply, header, first_run, out) {
            Ok(pulled) => pulled,
            Err(refused) => {
                let forbidden = refused.forbidden.map(|kind| ("forbiddenType", Value::I64(kind)));
                let ext = forbidden.as_slice();
                command::write_response(out, reply, refused.refusal.code, Some(&refused.refusal.remark), ext, &[]);
                Pulled::Answered
            }
        }
    }

    fn try_pull(
        &mut self,
        cx: &PullCx<'_>,
        reply: ReplyTo,
        header: &PullHeader<'_>,
        first_run: bool,
        out: &mut BytesMut,
    ) -> Result<Pulled, Refused> {
        let look_up = check(cx, reply, header)?;
        let queue_id = look_up.queue.id();
        if let Some(reset) = cx.offsets.take_reset(&header.group, &header.topic, queue_id)
            && reset != header.offset
        {
            let mut numbers = look_up.numbers(&nothing_scanned(&look_up.queue));
            numbers.next = reset;
            begin(out, reply, response::PULL_OFFSET_MOVED, "OFFSET_RESET", &numbers).finish(out);
            return Ok(Pulled::Answered);
        }
        let scan = look_up.scan(cx.store, false, &mut self.entries);
        if first_run && header.has(pull_flag::COMMIT_OFFSET) {
            cx.offsets.commit(&header.group, &header.topic, queue_id, header.commit_offset);
        }
        if let Ok(scan) = &scan
            && first_run
            && header.has(pull_flag::SUSPEND)
            && code_of(scan.status, header.offset).0 == response::PULL_NOT_FOUND
            && scan.max.0 as i64 <= header.offset
        {
            return Ok(Pulled::Empty(Empty { queue: look_up.queue, filter: look_up.filter }));
        }
        match look_up.answer(cx.store, scan, &self.entries, false, out) {
            true => Ok(Pulled::Answered),
            false => Ok(Pulled::Cold(ColdRead(Box::new(look_up)))),
        }
    }
}

impl ColdRead {
    /// Looks up again, waiting for the disk, and makes the whole answer. Not for an event loop.
    pub fn run(&self, store: &Store) -> BytesMut {
        let (mut out, mut entries) = (BytesMut::new(), Vec::new());
        let scan = self.0.scan(store, true, &mut entries);
        self.0.answer(store, scan, &entries, true, &mut out);
        out
    }

    /// The answer when there is no room for another read: come back soon.
    pub fn busy(&self) -> BytesMut {
        let mut out = BytesMut::new();
        let remark = "[OVERLOAD]system busy, start flow control for a while: too many reads wait for the disk";
        command::write_response(&mut out, self.0.reply, response::SYSTEM_BUSY, Some(remark), &[], &[]);
        out
    }
}

fn nothing_scanned(queue: &Queue) -> Scan {
    let (min, max) = (queue.min(), queue.max());
    Scan { status: ScanStatus::OffsetOverflowOne, next_begin: max, min, max, behind_bytes: 0 }
}

/// The answer of a held pull for which there is no room: nothing at this offset, ask again.
pub fn write_not_held(out: &mut BytesMut, reply: ReplyTo, header: &PullHeader<'_>, queue: &Queue) {
    let numbers = Numbers {
        next: header.offset,
        min: queue.min().0 as i64,
        max: queue.max().0 as i64,
        suggest: 0,
        topic_sys_flag: 0,
        group_sys_flag: 0,
    };
    begin(out, reply, response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", &numbers).finish(out);
}

fn write_failed(out: &mut BytesMut, reply: ReplyTo, error: &ReadError) {
    tracing::error!("cannot read messages for a pull: {error}; the client will ask again");
    let remark = format!("store getMessage return null: {error}");
    command::write_response(out, reply, response::SYSTEM_ERROR, Some(&remark), &[], &[]);
}

fn begin(out: &mut BytesMut, reply: ReplyTo, code: i32, remark: &str, numbers: &Numbers) -> OpenFrame {
    let ext = [
        ("suggestWhichBrokerId", Value::I64(numbers.suggest)),
        ("nextBeginOffset", Value::I64(numbers.next)),
        ("minOffset", Value::I64(numbers.min)),
        ("maxOffset", Value::I64(numbers.max)),
        ("topicSysFlag", Value::I64(numbers.topic_sys_flag)),
        ("groupSysFlag", Value::I64(numbers.group_sys_flag)),
    ];
    command::begin_response(out, reply, code, Some(remark), &ext)
}

/// Response code and Java's name of a scan's end.
fn code_of(status: ScanStatus, offset: i64) -> (i32, &'static str) {
    match status {
        ScanStatus::Found => (response::SUCCESS, "FOUND"),
        ScanStatus::NoMatchedMessage => (response::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
        ScanStatus::NoMessageInQueue if offset == 0 => (response::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE"),
        ScanStatus::NoMessageInQueue => (response::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE"),
        ScanStatus::OffsetOverflowOne => (response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        ScanStatus::OffsetFoundNull => (response::PULL_NOT_FOUND, "OFFSET_FOUND_NULL"),
        ScanStatus::OffsetOverflowBadly => (response::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY"),
        ScanStatus::OffsetTooSmall => (response::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL"),
        ScanStatus::MessageWasRemoving => (response::PULL_RETRY_IMMEDIATELY, "MESSAGE_WAS_REMOVING"),
    }
}

/// The checks in Java's order.
fn check(cx: &PullCx<'_>, reply: ReplyTo, header: &PullHeader<'_>) -> Result<LookUp, Refused> {
    let config = cx.config;
    let forbidden = |kind: i64, remark: String| Refused {
        refusal: Refusal::new(response::NO_PERMISSION, remark),
        forbidden: Some(kind),
    };
    if config.broker_permission & PERM_READ == 0 {
        return Err(forbidden(1, format!("the broker[{}] pulling message is forbidden", config.broker_ip1)));
    }
    if header.lite && !config.lite_pull_message_enable {
        let remark = format!("the broker[{}] for lite pull consumer is forbidden", config.broker_ip1);
        return Err(forbidden(1, remark));
    }
    let Some(group) = cx.groups.get_or_create(&header.group) else {
        let remark = format!("subscription group [{}] does not exist", header.group);
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark).into());
    };
    if !group.consume_enable {
        return Err(forbidden(2, format!("subscription group no permission, {}", header.group)));
    }
    let Some(topic) = cx.topics.get(&header.topic) else {
        let remark = format!("topic[{}] not exist, apply first please!", header.topic);
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark).into());
    };
    if !topic.is_readable() {
        return Err(forbidden(3, format!("the topic[{}] pulling message is forbidden", header.topic)));
    }
    if header.queue_id < 0 || i64::from(header.queue_id) >= i64::from(topic.read_queue_nums) {
        let remark = format!(
            "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
            header.queue_id, header.topic, topic.read_queue_nums
        );
        return Err(Refusal::new(response::INVALID_PARAMETER, remark).into());
    }
    let subscription = match header.has(pull_flag::SUBSCRIPTION) {
        true => Arc::new(inline_subscription(header)?),
        false => heartbeat_subscription(cx, header, &group, forbidden)?,
    };
    if !subscription.is_tag() && !config.enable_property_filter {
        let remark =
            format!("The broker does not support consumer to filter message by {}", subscription.expression_type);
        return Err(Refusal::new(response::SYSTEM_ERROR, remark).into());
    }
    let wanted = usize::try_from(header.messages_max).unwrap_or_default().max(1);
    let suggest = match config.slave_read_enable {
        true => (group.broker_id, group.which_broker_when_consume_slowly),
        false => (0, 0),
    };
    Ok(LookUp {
        reply,
        queue: cx.store.queue(&header.topic, QueueId(header.queue_id as u32)),
        offset: header.offset,
        filter: subscription.tags.clone(),
        limits: ScanLimits {
            max_messages: wanted.min(config.max_transfer_count_on_message_in_memory as usize),
            max_bytes: config.max_transfer_bytes_on_message_in_memory as usize,
            max_messages_on_disk: wanted.min(config.max_transfer_count_on_message_in_disk as usize),
            max_bytes_on_disk: config.max_transfer_bytes_on_message_in_disk as usize,
            near_bytes: cx.near_bytes,
            max_units: wanted.max(SCAN_UNITS_MAX),
            wait: false,
        },
        suggest,
        topic_sys_flag: i64::from(topic.sys_flag),
        group_sys_flag: i64::from(group.group_sys_flag),
    })
}

fn inline_subscription(header: &PullHeader<'_>) -> Result<Subscription, Refused> {
    let (text, kind) = (header.subscription.as_deref(), header.expression_type.as_deref());
    Subscription::parse(&header.topic, text, kind, header.subscription_version).map_err(|_| {
        Refusal::new(response::SUBSCRIPTION_PARSE_FAILED, "parse the consumer's subscription failed").into()
    })
}

fn heartbeat_subscription(
    cx: &PullCx<'_>,
    header: &PullHeader<'_>,
    group: &GroupConfig,
    forbidden: impl Fn(i64, String) -> Refused,
) -> Result<Arc<Subscription>, Refused> {
    let missing = |what| Refusal::new(response::SUBSCRIPTION_NOT_EXIST, what);
    let Some(members) = cx.clients.group(&header.group) else {
        return Err(missing("the consumer's group info not exist").into());
    };
    if members.broadcasting && !group.consume_broadcast_enable {
        let remark = format!("the consumer group[{}] can not consume by broadcast way", header.group);
        return Err(forbidden(4, remark));
    }
    let Some(subscription) = members.subscription(&header.topic) else {
        return Err(missing("the consumer's subscription not exist").into());
    };
    if subscription.version < header.subscription_version {
        let remark = "the consumer's subscription not latest";
        return Err(Refusal::new(response::SUBSCRIPTION_NOT_LATEST, remark).into());
    }
    Ok(subscription)
}
