//! Pulls (codes 11 and 361; INTEROP 06 §4): the checks in Java's order, the scan of the queue, and the records straight
//! from the log into the reply. Never waits: what is not in the page cache is handed back as a `ColdRead`, what has
//! nothing to give and may wait is handed back to be held.

use std::sync::Arc;

use bytes::BytesMut;

use crate::base::clock::{Clock, Millis};
use crate::base::position::{QueueId, QueueOffset};
use crate::store::{Entry, Queue, ReadError, Scan, ScanLimits, ScanStatus, Store};
use crate::wire::codes::response;
use crate::wire::command::{self, OpenFrame, ReplyTo, Value};
use crate::wire::flags::pull as pull_flag;
use crate::wire::request::Pull;

use super::answer::Refusal;
use super::clients::Clients;
use super::config::Config;
use super::figures::Figures;
use super::filter::{Subscription, TagFilter};
use super::groups::Groups;
use super::offsets::Offsets;
use super::stats::{Counter, GroupReads, Stats};
use super::topics::{self, PERM_READ, TopicTable};
use crate::wire::body::SubscriptionGroupConfig;

/// A pull that outlives its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedPull {
    /// The numbers; the texts are beside them.
    numbers: Pull<'static>,
    group: Box<str>,
    topic: Box<str>,
    subscription: Option<Box<str>>,
    expression_type: Option<Box<str>>,
}

impl OwnedPull {
    /// Copies a header.
    pub fn new(pull: &Pull<'_>) -> Self {
        let numbers = Pull {
            consumer_group: "",
            topic: "",
            subscription: None,
            expression_type: None,
            queue_id: pull.queue_id,
            queue_offset: pull.queue_offset,
            max_msg_nums: pull.max_msg_nums,
            sys_flag: pull.sys_flag,
            commit_offset: pull.commit_offset,
            suspend_timeout_millis: pull.suspend_timeout_millis,
            sub_version: pull.sub_version,
        };
        OwnedPull {
            numbers,
            group: pull.consumer_group.into(),
            topic: pull.topic.into(),
            subscription: pull.subscription.map(Box::from),
            expression_type: pull.expression_type.map(Box::from),
        }
    }

    /// The header again.
    pub fn pull(&self) -> Pull<'_> {
        Pull {
            consumer_group: &self.group,
            topic: &self.topic,
            subscription: self.subscription.as_deref(),
            expression_type: self.expression_type.as_deref(),
            ..self.numbers
        }
    }

    /// First message wanted.
    pub fn offset(&self) -> i64 {
        self.numbers.queue_offset
    }
}

/// How a pull is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// As it arrived: it may wait, and it commits.
    First {
        /// Code 361.
        lite: bool,
    },
    /// A held pull again: it is answered with what there is.
    Again,
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
    /// Figures of what is read.
    pub stats: &'a Stats,
    /// What this loop counts.
    pub figures: &'a Figures,
    /// Tells how long it took.
    pub clock: &'a Clock,
    /// Now, milliseconds.
    pub now: Millis,
}

/// Queue entries that one pull looks at, as in Java: a queue with few matches advances so far per answer.
const SCAN_UNITS: usize = 800;
/// The same for a pull that asks for more messages than that; Java sets no limit, but an event loop looks at nothing long.
const SCAN_UNITS_MAX: usize = 16_000;

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
    /// The client is willing to wait, and the heartbeat with its subscription is not here yet.
    Early(Arc<Queue>),
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
    reads: Arc<GroupReads>,
    /// Milliseconds that pulls with messages of this queue took.
    latency: Arc<Counter>,
    begun: Millis,
}

/// A pull that needs what is not in the page cache, to be answered beside the loop.
pub struct ColdRead(Box<LookUp>);

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// It carries messages.
    Messages,
    /// It says why there are none.
    Nothing,
    /// The disk would have to be waited for: nothing is appended.
    WouldBlock,
}

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

    /// Counts the pull, which has been answered.
    fn count(&self, found: bool, stats: &Stats, clock: &Clock) {
        let took_ms = clock.now().saturating_sub(self.begun);
        stats.pulled(found, took_ms);
        if found {
            self.latency.add(took_ms);
        }
    }

    /// Appends the answer to `out`.
    fn answer(
        &self,
        store: &Store,
        scan: Result<Scan, ReadError>,
        entries: &[Entry],
        wait: bool,
        out: &mut BytesMut,
    ) -> Read {
        let scan = match scan {
            Ok(scan) => scan,
            Err(ReadError::WouldBlock) if !wait => return Read::WouldBlock,
            Err(error) => {
                write_failed(out, self.reply, &error);
                return Read::Nothing;
            }
        };
        let numbers = self.numbers(&scan);
        let (code, remark) = code_of(scan.status, self.offset);
        let frame = begin(out, self.reply, code, remark, &numbers);
        if code != response::SUCCESS {
            frame.finish(out);
            return Read::Nothing;
        }
        match store.read_into(entries, out, wait) {
            Ok(messages @ 1..) => {
                frame.finish(out);
                let bytes: u64 = entries.iter().map(|entry| u64::from(entry.size)).sum();
                self.reads.add(messages as u64, bytes);
                return Read::Messages;
            }
            Err(ReadError::WouldBlock) if !wait => {
                frame.abandon(out);
                return Read::WouldBlock;
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
        Read::Nothing
    }
}

/// One loop's pulls; its buffers live from request to request.
#[derive(Debug, Default)]
pub struct Puller {
    entries: Vec<Entry>,
}

impl Puller {
    /// Answers a pull into `out`.
    pub fn pull(&mut self, cx: &PullCx<'_>, reply: ReplyTo, asked: &Pull<'_>, run: Run, out: &mut BytesMut) -> Pulled {
        match self.try_pull(cx, reply, asked, run, out) {
            Ok(pulled) => pulled,
            Err(refused) if run != Run::Again && has(asked, pull_flag::SUSPEND) && is_early(&refused) => {
                Pulled::Early(cx.store.queue(asked.topic, QueueId(asked.queue_id as u32)))
            }
            Err(refused) => {
                cx.figures.answered(refused.refusal.code);
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
        asked: &Pull<'_>,
        run: Run,
        out: &mut BytesMut,
    ) -> Result<Pulled, Refused> {
        let look_up = check(cx, reply, asked, run)?;
        let queue_id = look_up.queue.id();
        if let Some(reset) = cx.offsets.take_reset(asked.consumer_group, asked.topic, queue_id)
            && !stands_at(asked, reset)
        {
            let mut numbers = look_up.numbers(&nothing_scanned(&look_up.queue));
            numbers.next = reset;
            begin(out, reply, response::PULL_OFFSET_MOVED, "OFFSET_RESET", &numbers).finish(out);
            return Ok(Pulled::Answered);
        }
        let scan = look_up.scan(cx.store, false, &mut self.entries);
        if run != Run::Again && has(asked, pull_flag::COMMIT_OFFSET) {
            cx.offsets.commit(asked.consumer_group, asked.topic, queue_id, asked.commit_offset);
        }
        if let Ok(scan) = &scan
            && run != Run::Again
            && has(asked, pull_flag::SUSPEND)
            && code_of(scan.status, asked.queue_offset).0 == response::PULL_NOT_FOUND
            && scan.max.0 as i64 <= asked.queue_offset
        {
            look_up.count(false, cx.stats, cx.clock);
            return Ok(Pulled::Empty(Empty { queue: look_up.queue, filter: look_up.filter }));
        }
        match look_up.answer(cx.store, scan, &self.entries, false, out) {
            Read::WouldBlock => Ok(Pulled::Cold(ColdRead(Box::new(look_up)))),
            read => {
                look_up.count(read == Read::Messages, cx.stats, cx.clock);
                Ok(Pulled::Answered)
            }
        }
    }
}

impl ColdRead {
    /// Looks up again, waiting for the disk, and makes the whole answer. Not for an event loop.
    pub fn run(&self, store: &Store, stats: &Stats, clock: &Clock) -> BytesMut {
        let (mut out, mut entries) = (BytesMut::new(), Vec::new());
        let scan = self.0.scan(store, true, &mut entries);
        let read = self.0.answer(store, scan, &entries, true, &mut out);
        self.0.count(read == Read::Messages, stats, clock);
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

/// Whether a client pulls from `offset` and has consumed what lies before it. One that pulls from there and has not would
/// go on with what it fetched before.
fn stands_at(asked: &Pull<'_>, offset: i64) -> bool {
    let consumed_to = if has(asked, pull_flag::COMMIT_OFFSET) { asked.commit_offset } else { 0 };
    asked.queue_offset == offset && consumed_to == offset
}

fn nothing_scanned(queue: &Queue) -> Scan {
    let (min, max) = (queue.min(), queue.max());
    Scan { status: ScanStatus::OffsetOverflowOne, next_begin: max, min, max, behind_bytes: 0 }
}

/// The answer of a held pull for which there is no room: nothing at this offset, ask again.
pub fn write_not_held(out: &mut BytesMut, reply: ReplyTo, asked: &Pull<'_>, queue: &Queue) {
    let numbers = Numbers {
        next: asked.queue_offset,
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
fn check(cx: &PullCx<'_>, reply: ReplyTo, asked: &Pull<'_>, run: Run) -> Result<LookUp, Refused> {
    let config = cx.config;
    let forbidden = |kind: i64, remark: String| Refused {
        refusal: Refusal::new(response::NO_PERMISSION, remark),
        forbidden: Some(kind),
    };
    if config.broker_permission & PERM_READ == 0 {
        return Err(forbidden(1, format!("the broker[{}] pulling message is forbidden", config.broker_ip1)));
    }
    if run == (Run::First { lite: true }) && !config.lite_pull_message_enable {
        let remark = format!("the broker[{}] for lite pull consumer is forbidden", config.broker_ip1);
        return Err(forbidden(1, remark));
    }
    let Some(group) = cx.groups.get_or_create(asked.consumer_group) else {
        let remark = format!("subscription group [{}] does not exist", asked.consumer_group);
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark).into());
    };
    if !group.consume_enable {
        return Err(forbidden(2, format!("subscription group no permission, {}", asked.consumer_group)));
    }
    let Some(topic) = cx.topics.get(asked.topic) else {
        let remark = format!("topic[{}] not exist, apply first please!", asked.topic);
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark).into());
    };
    if !topic.is_readable() {
        return Err(forbidden(3, format!("the topic[{}] pulling message is forbidden", asked.topic)));
    }
    if asked.queue_id < 0 || i64::from(asked.queue_id) >= i64::from(topic.read_queue_nums) {
        let remark = format!(
            "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
            asked.queue_id, asked.topic, topic.read_queue_nums
        );
        return Err(Refusal::new(response::INVALID_PARAMETER, remark).into());
    }
    let subscription = match has(asked, pull_flag::SUBSCRIPTION) {
        true => Arc::new(inline_subscription(asked)?),
        false => heartbeat_subscription(cx, asked, &group, forbidden)?,
    };
    if !subscription.is_tag() && !config.enable_property_filter {
        let remark =
            format!("The broker does not support consumer to filter message by {}", subscription.expression_type);
        return Err(Refusal::new(response::SYSTEM_ERROR, remark).into());
    }
    let wanted = usize::try_from(asked.max_msg_nums).unwrap_or_default().max(1);
    let suggest = match config.slave_read_enable {
        true => (group.broker_id, group.which_broker_when_consume_slowly),
        false => (0, 0),
    };
    let reads = cx.stats.reads(asked.topic, asked.consumer_group, topics::is_system_everywhere, cx.now);
    let latency = cx.stats.pull_latency(&reads, asked.topic, asked.consumer_group, asked.queue_id as u32, cx.now);
    Ok(LookUp {
        reply,
        queue: cx.store.queue(asked.topic, QueueId(asked.queue_id as u32)),
        offset: asked.queue_offset,
        filter: subscription.tags.clone(),
        limits: ScanLimits {
            max_messages: wanted.min(config.max_transfer_count_on_message_in_memory as usize),
            max_bytes: config.max_transfer_bytes_on_message_in_memory as usize,
            max_messages_on_disk: wanted.min(config.max_transfer_count_on_message_in_disk as usize),
            max_bytes_on_disk: config.max_transfer_bytes_on_message_in_disk as usize,
            near_bytes: cx.near_bytes,
            max_units: wanted.clamp(SCAN_UNITS, SCAN_UNITS_MAX),
            wait: false,
        },
        suggest,
        topic_sys_flag: i64::from(topic.sys_flag),
        group_sys_flag: i64::from(group.group_sys_flag),
        reads,
        latency,
        begun: cx.now,
    })
}

/// Java and Go raise their version and send a heartbeat right after each rebalance that changed something, while the
/// pulls of the new queues are on their way (INTEROP 06 §5): refused, such a queue would rest for three seconds.
fn is_early(refused: &Refused) -> bool {
    matches!(refused.refusal.code, response::SUBSCRIPTION_NOT_EXIST | response::SUBSCRIPTION_NOT_LATEST)
}

fn has(asked: &Pull<'_>, flag: i32) -> bool {
    asked.sys_flag & flag != 0
}

fn inline_subscription(asked: &Pull<'_>) -> Result<Subscription, Refused> {
    let (text, kind) = (asked.subscription, asked.expression_type);
    Subscription::parse(asked.topic, text, kind, asked.sub_version).map_err(|_| {
        Refusal::new(response::SUBSCRIPTION_PARSE_FAILED, "parse the consumer's subscription failed").into()
    })
}

fn heartbeat_subscription(
    cx: &PullCx<'_>,
    asked: &Pull<'_>,
    group: &SubscriptionGroupConfig,
    forbidden: impl Fn(i64, String) -> Refused,
) -> Result<Arc<Subscription>, Refused> {
    let missing = |what| Refusal::new(response::SUBSCRIPTION_NOT_EXIST, what);
    let Some(members) = cx.clients.group(asked.consumer_group) else {
        return Err(missing("the consumer's group info not exist").into());
    };
    if members.broadcasting && !group.consume_broadcast_enable {
        let remark = format!("the consumer group[{}] can not consume by broadcast way", asked.consumer_group);
        return Err(forbidden(4, remark));
    }
    let Some(subscription) = members.subscription(asked.topic) else {
        return Err(missing("the consumer's subscription not exist").into());
    };
    if subscription.version < asked.sub_version {
        let remark = "the consumer's subscription not latest";
        return Err(Refusal::new(response::SUBSCRIPTION_NOT_LATEST, remark).into());
    }
    Ok(subscription)
}
