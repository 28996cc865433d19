//! Sends (codes 10, 310 and 320; INTEROP 06 §2, §3 and 01 §10): the checks in Java's order with the codes of 5.3.3,
//! the record into the tick's batch, and the answer. Never waits and touches no disk; whether a batch was stored is
//! told by the caller.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use smallvec::SmallVec;

use crate::base::clock::Millis;
use crate::base::position::{PhyOffset, QueueId};
use crate::net::service::{Conn, ConnId};
use crate::store::{Assigned, Batch, StageError, Store};
use crate::wire::codes::response;
use crate::wire::command::{self, Command, ReplyTo, Value};
use crate::wire::message::id::OffsetMessageId;
use crate::wire::message::properties::{Properties, RETRY_TOPIC};
use crate::wire::message::{self, NewRecord, PROPERTIES_LEN_MAX, batch, sys_flag};

use crate::wire::request::Send;

use super::answer::Refusal;
use super::config::Config;
use super::delay::{self, Delays, scheduled_properties};
use super::groups::Groups;
use super::locks::Locks;
use super::send_back::VERSION_3_4_9;
use super::stats::Stats;
use super::stored_properties::{Additions, PropertyWriter};
use super::topics::{self, RETRY_PREFIX, SCHEDULE_TOPIC, TopicConfig, TopicFilterType, TopicTable};
use super::unique_id::UniqueIds;

/// Beside a body of `maxMessageSize`, a whole record may have this many bytes (5.x).
const RECORD_OVERHEAD_MAX: usize = 64 * 1024;

/// What became of a send that is not staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStaged {
    /// Answered with an error.
    Refused(Refusal),
    /// A topic has to be made first; then the request is to be run again.
    TopicMissing(MissingTopic),
    /// The tick's batch has no room; write it and stage again.
    BatchFull,
}

/// Which topic a send is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingTopic {
    /// The one that it names.
    Asked,
    /// The dead-letter topic of this group.
    DeadLettersOf(String),
}

impl From<Refusal> for NotStaged {
    fn from(refusal: Refusal) -> Self {
        NotStaged::Refused(refusal)
    }
}

/// A send of this tick, waiting for its commit.
#[derive(Clone, Debug)]
pub struct StagedSend {
    /// Who asked.
    pub conn: ConnId,
    /// How to answer.
    pub reply: ReplyTo,
    /// Queue that was written to.
    pub queue_id: i32,
    /// Whether the answer waits for the disk under sync flush.
    pub waits_for_flush: bool,
    /// End of its batch in the log, once that is written.
    pub end: PhyOffset,
    /// Its records in the batch, then in `Sender::assigned`.
    records: Range<usize>,
    /// UNIQ_KEY in `Sender::texts`.
    unique_key: Range<usize>,
    /// Its batch was not written; why, says `Sender::refusal`.
    refused: bool,
}

/// What a loop needs to take sends; its buffers live from tick to tick.
pub struct Sender {
    config: Arc<Config>,
    additions: Additions,
    store_host: SocketAddr,
    unique_ids: UniqueIds,
    properties: PropertyWriter,
    joined: Vec<u8>,
    parts: Vec<Range<usize>>,
    texts: String,
    next_queue: u32,
    /// The sends of this tick in order.
    pub staged: Vec<StagedSend>,
    /// How many of them were part of a batch that is written, or failed to be.
    appended: usize,
    assigned: Vec<Assigned>,
    refusal: Option<Refusal>,
}

/// Where a send goes and what it may use.
pub struct SendCx<'a> {
    /// Who asks.
    pub conn: Conn,
    /// Now, milliseconds.
    pub now: Millis,
    /// Topics of this moment.
    pub topics: &'a TopicTable,
    /// Groups, for sends to retry topics.
    pub groups: &'a Groups,
    /// Locks, for the same.
    pub locks: &'a Locks,
    /// Delay levels.
    pub delays: &'a Delays,
    /// Figures, for what is given up.
    pub stats: &'a Stats,
    /// The store, for its queues.
    pub store: &'a Store,
    /// The tick's batch.
    pub batch: &'a mut Batch,
}

impl Sender {
    /// A sender for one loop. `started` keeps the ids that two runs with one process id make apart.
    pub fn new(config: Arc<Config>, loop_index: u16, started: Millis) -> Self {
        let additions = Additions::of(&config);
        let store_host = config.store_host();
        // Where Java has the hash of a class loader.
        let seed = (((started / 1000) as u32) << 8) | u32::from(loop_index & 0xff);
        Sender {
            additions,
            store_host,
            unique_ids: UniqueIds::new(store_host.ip(), std::process::id(), seed),
            properties: PropertyWriter::default(),
            joined: Vec::new(),
            parts: Vec::new(),
            texts: String::new(),
            next_queue: u32::from(loop_index),
            staged: Vec::new(),
            appended: 0,
            assigned: Vec::new(),
            refusal: None,
            config,
        }
    }

    /// Goes on with other settings.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.additions = Additions::of(&config);
        self.config = config;
    }

    /// Checks a send and stages its records.
    pub fn stage(&mut self, cx: &mut SendCx<'_>, request: &Command<'_>, header: &Send<'_>) -> Result<(), NotStaged> {
        let topic = self.check(cx, header)?;
        let mut queue_id = self.choose_queue(topic, header, cx.conn)?;
        let mut name = header.topic;
        let dead_letters;
        if header.batch {
            refuse_retry_batch(header.topic)?;
        } else if let Some(group) = dead_letter_group(cx, header, request.version)? {
            dead_letters = topics::dlq_topic(group);
            if cx.topics.get(&dead_letters).is_none() {
                return Err(NotStaged::TopicMissing(MissingTopic::DeadLettersOf(group.to_owned())));
            }
            (name, queue_id) = (&dead_letters, 0);
        }
        let sys_flag = match topic.topic_filter_type {
            TopicFilterType::MultiTag => header.sys_flag | sys_flag::MULTI_TAGS,
            TopicFilterType::SingleTag => header.sys_flag,
        };
        if name.len() > message::TOPIC_LEN_V1_MAX {
            return Err(Refusal::new(
                response::MESSAGE_ILLEGAL,
                format!(
                    "message topic length too long {}, the limit is {} bytes",
                    name.len(),
                    message::TOPIC_LEN_V1_MAX
                ),
            )
            .into());
        }
        let record = NewRecord {
            topic: name,
            queue_id,
            flag: header.flag,
            sys_flag,
            born_timestamp: header.born_timestamp,
            born_host: cx.conn.peer,
            store_host: self.store_host,
            reconsume_times: header.reconsume_times,
            prepared_transaction_offset: 0,
            body: request.body,
            properties: &[],
        };
        let records = match header.batch {
            true => self.stage_batch(cx, record, header.properties)?,
            false => self.stage_one(cx, record, header.properties, name != header.topic)?,
        };
        if name != header.topic {
            let topic = message::properties::get(header.properties.as_bytes(), RETRY_TOPIC).unwrap_or(header.topic);
            cx.stats.given_up(topic, header.topic.trim_start_matches(RETRY_PREFIX), cx.now);
        }
        let start = self.texts.len();
        let facts = self.properties.facts();
        if let Some(range) = &facts.unique_key {
            self.texts.push_str(self.properties.text(range));
        }
        self.staged.push(StagedSend {
            conn: cx.conn.id,
            reply: request.reply_to(),
            queue_id,
            waits_for_flush: !facts.no_wait,
            end: PhyOffset(0),
            records,
            unique_key: start..self.texts.len(),
            refused: false,
        });
        Ok(())
    }

    /// What Java calls msgCheck; the topic is returned so that it is looked up once.
    fn check<'t>(&self, cx: &SendCx<'t>, header: &Send<'_>) -> Result<&'t TopicConfig, NotStaged> {
        let config = &*self.config;
        if cx.now < config.start_accept_send_request_time_stamp {
            let until = config.start_accept_send_request_time_stamp;
            let remark = format!("broker unable to service, until {until} (milliseconds since 1970, UTC)");
            return Err(Refusal::new(response::SYSTEM_ERROR, remark).into());
        }
        let found = cx.topics.get(header.topic);
        if config.broker_permission & topics::PERM_WRITE == 0 && found.is_some_and(|topic| topic.order) {
            let remark = format!("the broker[{}] sending message is forbidden", config.broker_ip1);
            return Err(Refusal::new(response::NO_PERMISSION, remark).into());
        }
        if found.is_none() {
            topics::check_name(header.topic)
                .map_err(|error| Refusal::new(response::INVALID_PARAMETER, error.to_string()))?;
        }
        if topics::send_is_forbidden(header.topic) {
            let remark = format!("Sending message to topic[{}] is forbidden.", header.topic);
            return Err(Refusal::new(response::NO_PERMISSION, remark).into());
        }
        found.map(|topic| &**topic).ok_or(NotStaged::TopicMissing(MissingTopic::Asked))
    }

    fn choose_queue(&mut self, topic: &TopicConfig, header: &Send<'_>, conn: Conn) -> Result<i32, Refusal> {
        let queues = i64::from(topic.write_queue_nums.max(topic.read_queue_nums));
        if i64::from(header.queue_id) >= queues || topic.write_queue_nums == 0 && header.queue_id < 0 {
            let remark = format!(
                "request queueId[{}] is illegal, topic {} has {} write and {} read queues Producer: {}",
                header.queue_id, header.topic, topic.write_queue_nums, topic.read_queue_nums, conn.peer
            );
            return Err(Refusal::new(response::INVALID_PARAMETER, remark));
        }
        if header.queue_id >= 0 {
            return Ok(header.queue_id);
        }
        // In turn rather than at random: nobody can tell, and it spreads better.
        self.next_queue = self.next_queue.wrapping_add(1);
        Ok((self.next_queue % topic.write_queue_nums) as i32)
    }

    fn stage_one(
        &mut self,
        cx: &mut SendCx<'_>,
        record: NewRecord<'_>,
        properties: &str,
        given_up: bool,
    ) -> Result<Range<usize>, NotStaged> {
        if record.body.is_empty() {
            let remark = "the message has no body; a body of 1 byte or more is needed";
            return Err(Refusal::new(response::SYSTEM_ERROR, remark).into());
        }
        self.check_properties_len(properties.len())?;
        let ids = &mut self.unique_ids;
        let now = cx.now;
        let mut make_unique_key = |out: &mut Vec<u8>| ids.push_next(now, out);
        self.properties.write(properties, &self.additions, Some(&mut make_unique_key));
        let level = self.delay_level(cx.delays.highest())?;
        self.refuse_unbuilt(&record, level)?;
        let index = match level {
            _ if given_up => self.stage_given_up(cx, &record)?,
            Some(level) => self.stage_delayed(cx, &record, level)?,
            None => {
                self.check_sizes(&record, self.properties.bytes().len())?;
                let tags_code = self.tags_code();
                let record = NewRecord { properties: self.properties.bytes(), ..record };
                let queue = cx.store.queue(record.topic, QueueId(record.queue_id as u32));
                cx.batch.stage(&queue, &record, tags_code).map_err(not_staged)?
            }
        };
        Ok(index..index + 1)
    }

    /// A message that waits first: it is stored in the queue of its level and says itself where it goes (06 §7).
    fn stage_delayed(&self, cx: &mut SendCx<'_>, record: &NewRecord<'_>, level: usize) -> Result<usize, NotStaged> {
        let properties = scheduled_properties(self.properties.bytes(), level, record.topic, record.queue_id);
        let queue_id = level as u32 - 1;
        let record = NewRecord { topic: SCHEDULE_TOPIC, queue_id: queue_id as i32, properties: &properties, ..*record };
        self.check_sizes(&record, properties.len())?;
        let queue = cx.store.queue(SCHEDULE_TOPIC, QueueId(queue_id));
        cx.batch.stage_delayed(&queue, &record, cx.delays.delay_ms(level)).map_err(not_staged)
    }

    /// A message on its way to the dead letters: delivered at once, as in 5.x.
    fn stage_given_up(&self, cx: &mut SendCx<'_>, record: &NewRecord<'_>) -> Result<usize, NotStaged> {
        let mut properties = Properties::parse(self.properties.bytes());
        properties.set(message::properties::DELAY, "-1");
        let properties = properties.to_bytes();
        self.check_sizes(record, properties.len())?;
        let queue = cx.store.queue(record.topic, QueueId(record.queue_id as u32));
        let record = NewRecord { properties: &properties, ..*record };
        cx.batch.stage(&queue, &record, self.tags_code()).map_err(not_staged)
    }

    /// The level that the message waits in first, if any.
    fn delay_level(&self, highest: usize) -> Result<Option<usize>, Refusal> {
        let Some(range) = &self.properties.facts().delay else { return Ok(None) };
        delay::level(self.properties.text(range), highest).map_err(|text| {
            let remark = format!("the property DELAY is {text:?}; a whole number is needed");
            Refusal::new(response::SYSTEM_ERROR, remark)
        })
    }

    fn stage_batch(
        &mut self,
        cx: &mut SendCx<'_>,
        record: NewRecord<'_>,
        properties: &str,
    ) -> Result<Range<usize>, NotStaged> {
        if record.body.is_empty() {
            return Err(Refusal::new(response::SYSTEM_ERROR, "the batch has no message in it").into());
        }
        let max = self.config.max_message_size;
        if record.body.len() > max {
            let remark = format!(
                "message body size exceeded: the batch has {} bytes, msg body length limit {max}B",
                record.body.len()
            );
            return Err(Refusal::new(response::SYSTEM_ERROR, remark).into());
        }
        self.check_properties_len(properties.len())?;
        self.properties.write(properties, &self.additions, None);
        if let Some(level) = self.delay_level(cx.delays.highest())? {
            let remark = format!("a batch cannot be delayed (property DELAY={level}); send its messages one by one");
            return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark).into());
        }
        self.refuse_unbuilt(&record, None)?;
        let wrapper = self.properties.bytes();
        // All items are looked at before the first is staged: a bad one must leave nothing behind.
        for item in batch::items(record.body) {
            let item = item.map_err(|error| Refusal::new(response::SYSTEM_ERROR, error.to_string()))?;
            let len = joined_len(item.properties, wrapper);
            let record = NewRecord { body: item.body, ..record };
            self.check_sizes(&record, len)?;
        }
        let (joined, parts) = (&mut self.joined, &mut self.parts);
        joined.clear();
        parts.clear();
        for item in batch::items(record.body).map_while(Result::ok) {
            parts.push(join(item.properties, wrapper, joined));
        }
        let records = batch::items(record.body).map_while(Result::ok).zip(parts.iter()).map(|(item, part)| {
            let properties = &joined[part.clone()];
            let tags = message::properties::get(properties, message::properties::TAGS);
            let record = NewRecord { flag: item.flag, body: item.body, properties, ..record };
            (record, tags.map_or(0, message::tags_code))
        });
        let queue = cx.store.queue(record.topic, QueueId(record.queue_id as u32));
        cx.batch.stage_group(&queue, records).map_err(not_staged)
    }

    fn tags_code(&self) -> i64 {
        self.properties.facts().tags.as_ref().map_or(0, |range| message::tags_code(self.properties.text(range)))
    }

    /// What later parts bring is refused by name, never stored as a plain message. A message that a consumer sends back by
    /// itself may say TRAN_MSG: it was a transaction once (06 §6.4).
    fn refuse_unbuilt(&self, record: &NewRecord<'_>, level: Option<usize>) -> Result<(), Refusal> {
        let facts = self.properties.facts();
        let refuse = |what: &str| {
            let remark = format!("{what} are not supported by this broker yet; the message was not stored");
            Err(Refusal::new(response::MESSAGE_ILLEGAL, remark))
        };
        if let (Some(name), None) = (facts.timer, level) {
            return refuse(&format!("timer messages (property {name})"));
        }
        let is_sent_back = record.reconsume_times > 0 && level.is_some();
        if facts.prepared && !is_sent_back || record.sys_flag & sys_flag::TRANSACTION_MASK != 0 {
            return refuse("transactional messages (property TRAN_MSG)");
        }
        Ok(())
    }

    fn check_sizes(&self, record: &NewRecord<'_>, properties_len: usize) -> Result<(), Refusal> {
        self.check_properties_len(properties_len)?;
        let max = self.config.max_message_size;
        if record.body.len() > max {
            return self
                .illegal(format!("The body has {} bytes, the limit is maxMessageSize={max}.", record.body.len()));
        }
        let len = record.body.len() + properties_len + record.topic.len() + message::OVERHEAD_V1_IPV4;
        if len > max + RECORD_OVERHEAD_MAX {
            return self.illegal(format!("The record has {len} bytes, the limit is {}.", max + RECORD_OVERHEAD_MAX));
        }
        Ok(())
    }

    /// Before the properties are read, and again with what the broker adds.
    fn check_properties_len(&self, len: usize) -> Result<(), Refusal> {
        if len <= PROPERTIES_LEN_MAX {
            return Ok(());
        }
        self.illegal(format!(
            "The properties have {len} bytes, the limit with what the broker adds is {PROPERTIES_LEN_MAX}."
        ))
    }

    fn illegal(&self, found: String) -> Result<(), Refusal> {
        let max = self.config.max_message_size;
        // Java's text first: people and scripts look for it.
        let remark = format!(
            "the message is illegal, maybe msg body or properties length not matched. msg body length limit {max}B, \
             msg properties length limit 32KB. {found}"
        );
        Err(Refusal::new(response::MESSAGE_ILLEGAL, remark))
    }

    /// The batch is in the log: takes over what was assigned to its records.
    pub fn stored(&mut self, batch: &Batch) {
        let base = self.assigned.len();
        self.assigned.extend((0..batch.len()).map(|index| batch.assigned(index)));
        for staged in &mut self.staged[self.appended..] {
            staged.records = base + staged.records.start..base + staged.records.end;
            staged.end = batch.end();
        }
        self.appended = self.staged.len();
    }

    /// The batch is not in the log, for this reason.
    pub fn not_stored(&mut self, refusal: &Refusal) {
        self.staged[self.appended..].iter_mut().for_each(|staged| staged.refused = true);
        self.refusal = Some(refusal.clone());
        self.appended = self.staged.len();
    }

    /// Why a send was not stored.
    pub fn refusal(&self, staged: &StagedSend) -> Option<&Refusal> {
        self.refusal.as_ref().filter(|_| staged.refused)
    }

    /// Where the records of a stored send went.
    pub fn records(&self, staged: &StagedSend) -> &[Assigned] {
        &self.assigned[staged.records.clone()]
    }

    /// UNIQ_KEY of a staged send.
    pub fn unique_key(&self, staged: &StagedSend) -> &str {
        &self.texts[staged.unique_key.clone()]
    }

    /// Forgets the tick.
    pub fn clear(&mut self) {
        self.staged.clear();
        self.texts.clear();
        self.assigned.clear();
        self.appended = 0;
        self.refusal = None;
    }

    /// Appends the answer of a stored send: `code` is 0, or says what could not be waited for.
    pub fn write_stored(&self, out: &mut BytesMut, stored: &Stored<'_>, code: i32) {
        let id = |assigned: &Assigned| {
            OffsetMessageId { store_host: self.store_host, phy_offset: assigned.phy_offset }.text()
        };
        let mut ids;
        let first_id;
        let message_id: &str = match stored.records {
            [one] => {
                first_id = id(one);
                &first_id
            }
            many => {
                ids = String::with_capacity(many.len() * 33);
                for (index, assigned) in many.iter().enumerate() {
                    if index > 0 {
                        ids.push(',');
                    }
                    ids.push_str(&id(assigned));
                }
                &ids
            }
        };
        let queue_offset = stored.records.first().map_or(0, |assigned| assigned.queue_offset.0 as i64);
        let mut ext: SmallVec<[(&str, Value<'_>); 6]> = SmallVec::new();
        ext.push(("msgId", Value::Str(message_id)));
        ext.push(("queueId", Value::I64(i64::from(stored.queue_id))));
        ext.push(("queueOffset", Value::I64(queue_offset)));
        if !stored.unique_key.is_empty() {
            ext.push(("transactionId", Value::Str(stored.unique_key)));
        }
        ext.extend(self.always());
        command::write_response(out, stored.reply, code, None, &ext, &[]);
    }

    /// Appends the answer of a send that was not stored.
    pub fn write_refused(&self, out: &mut BytesMut, reply: ReplyTo, refusal: &Refusal) {
        command::write_response(out, reply, refusal.code, Some(&refusal.remark), &self.always(), &[]);
    }

    /// The fields of every answer to a send whose header could be read.
    fn always(&self) -> [(&'static str, Value<'_>); 2] {
        let trace = if self.additions.trace_on { "true" } else { "false" };
        [("MSG_REGION", Value::Str(&self.additions.region)), ("TRACE_ON", Value::Str(trace))]
    }
}

/// What the answer of a stored send says.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// How to answer.
    pub reply: ReplyTo,
    /// Queue that was written to.
    pub queue_id: i32,
    /// Where its records went.
    pub records: &'a [Assigned],
    /// UNIQ_KEY, empty when there is none.
    pub unique_key: &'a str,
}

fn refuse_retry_batch(topic: &str) -> Result<(), Refusal> {
    match topic.starts_with(RETRY_PREFIX) {
        true => {
            let remark = format!("batch request does not support retry group {topic}");
            Err(Refusal::new(response::MESSAGE_ILLEGAL, remark))
        }
        false => Ok(()),
    }
}

/// The group whose dead letters a send to its retry topic belongs to: given back once too often, or by a consumer that
/// works in order and therefore only sends what it gives up (06 §3, the rule of 5.1.1+).
fn dead_letter_group<'h>(cx: &SendCx<'_>, header: &Send<'h>, version: i32) -> Result<Option<&'h str>, Refusal> {
    let Some(name) = header.topic.strip_prefix(RETRY_PREFIX) else { return Ok(None) };
    let Some(group) = cx.groups.get_or_create(name) else {
        let remark = format!("subscription group not exist, {name}");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    let max = header.max_reconsume_times.filter(|_| version >= VERSION_3_4_9).unwrap_or(group.retry_max_times);
    let given_up = header.reconsume_times > max || cx.locks.any_of(name, cx.now);
    Ok(given_up.then_some(name))
}

fn not_staged(error: StageError) -> NotStaged {
    match error {
        StageError::BatchFull { .. } => NotStaged::BatchFull,
        error => Refusal::new(response::MESSAGE_ILLEGAL, format!("the message is illegal: {error}")).into(),
    }
}

/// An item's own properties, a separator if it lacks one, and the wrapper's (INTEROP 03 §4).
fn join(own: &[u8], wrapper: &[u8], out: &mut Vec<u8>) -> Range<usize> {
    let start = out.len();
    out.extend_from_slice(own);
    if needs_separator(own, wrapper) {
        out.push(message::properties::PROPERTY_SEPARATOR);
    }
    out.extend_from_slice(wrapper);
    start..out.len()
}

fn joined_len(own: &[u8], wrapper: &[u8]) -> usize {
    own.len() + usize::from(needs_separator(own, wrapper)) + wrapper.len()
}

fn needs_separator(own: &[u8], wrapper: &[u8]) -> bool {
    !wrapper.is_empty() && own.last().is_some_and(|last| *last != message::properties::PROPERTY_SEPARATOR)
}
