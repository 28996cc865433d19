//! A member of a consumer group, as far as tools and example programs need one: heartbeats, its share of the queues
//! (Java's even split), long pulls, saved offsets, goodbye; and the answers that brokers and tools ask of a member.
//! Concurrent consumption of one topic by tags, and of what the group gave back; what becomes of a message is the
//! caller's. INTEROP 06 §4 (pull), §8 (groups). Knows no role of this process.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Asked, Client, ClientError, Response};
use crate::base::clock::{Clock, Millis};
use crate::base::position::QueueId;
use crate::base::shutdown::Shutdown;
use crate::wire::body::{
    ConsumeFromWhere, ConsumerData, ConsumerRunningInfo, GetConsumerListByGroupResponseBody, GetConsumerStatusBody,
    HeartbeatData, MessageQueue, ProcessQueueInfo, ProducerData, ResetOffsetBody, SubscriptionData,
};
use crate::wire::codes::{request, response};
use crate::wire::command::{VERSION, Value, version_name};
use crate::wire::message::properties::{self, java_hash};
use crate::wire::message::{RecordView, records};

/// How long a call may take, as Java's clients wait.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a broker may hold a pull, and how long the answer is waited for (Java's values).
const SUSPEND: Duration = Duration::from_secs(15);
const PULL_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages of one pull.
const PULL_COUNT: i64 = 32;
/// Between two looks at the group's members and the topic's queues (Java's value): changes of the group are told.
const BALANCE_INTERVAL: Duration = Duration::from_secs(20);
/// Least time between two looks, however often a change is told: a group that starts tells of each member (Java's value).
const BALANCE_PAUSE: Duration = Duration::from_secs(1);
/// Between two heartbeats: brokers forget a member after two minutes.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);
/// Between two saves of the offsets.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// What the name of a group's retry topic begins with.
const RETRY_PREFIX: &str = "%RETRY%";
/// How often a message may be given back before it is a dead letter, as in Java.
const RECONSUME_TIMES_MAX: i64 = 16;
/// Before a failed pull or look is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(3);

/// What to consume.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Name servers: `host:port`.
    pub name_servers: Vec<String>,
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Tags separated by `||`, or `*`.
    pub expression: String,
    /// Where a group without an offset begins: the first or the last message.
    pub from: ConsumeFromWhere,
    /// Whether what was given back comes again, out of the group's retry topic.
    pub retries: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// It is done.
    Done,
    /// It is to come again, later and later.
    Later,
}

/// A message that came, and the queue it came from.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// Name of the broker.
    pub broker_name: &'a str,
    /// The message.
    pub record: RecordView<'a>,
    /// Ends of its queue when it was pulled.
    pub ends: (i64, i64),
}

/// A queue: its topic, the broker's name and its number there.
type QueueName = (String, String, i32);

#[derive(Debug)]
struct Assigned {
    addr: String,
    next: i64,
    committed: i64,
    /// Which pull is awaited, if one is; what any other brings is stale.
    pulling: Option<u64>,
    /// When it is pulled again after something failed.
    again: Option<Instant>,
    pulled_at: Millis,
    consumed_at: Millis,
}

impl Assigned {
    fn new(addr: String, next: i64) -> Assigned {
        Assigned { addr, next, committed: next, pulling: None, again: None, pulled_at: 0, consumed_at: 0 }
    }
}

/// What came back for a queue.
struct Pulled {
    queue: QueueName,
    number: u64,
    answer: Result<Response, ClientError>,
}

/// Consumes until `stop` or `on_message` says so. `on_started` is called once the group knows this member, `on_message` for each message
/// in the order of its queue. An error is a failure before that; later ones are told to the log and tried again.
pub async fn consume(
    what: Subscription,
    mut stop: Shutdown,
    on_started: impl FnOnce(),
    mut on_message: impl FnMut(Arrived<'_>) -> ControlFlow<(), Consumed>,
) -> Result<(), ClientError> {
    let (client, mut asked) = Client::listening();
    let mut member = Member::new(what, client);
    let until_next = match member.balance().await {
        Ok(until_next) => until_next,
        // A topic may be made later, and a broker that is away keeps nobody from the others.
        Err(error) if error.response() == Some(response::TOPIC_NOT_EXIST) || !member.heard.is_empty() => {
            tracing::warn!("{error}");
            RETRY_PAUSE
        }
        Err(error) => return Err(error),
    };
    let mut balance_at = Instant::now() + until_next;
    on_started();
    let mut balanced_at = Instant::now();
    let mut heartbeat = every(HEARTBEAT_INTERVAL);
    let mut commit = every(COMMIT_INTERVAL);
    loop {
        member.pull_idle();
        tokio::select! {
            () = stop.stopped() => break,
            Some(pulled) = member.pulls.join_next() => match pulled {
                Ok(pulled) => if member.take(pulled, &mut on_message).await.is_break() { break },
                Err(error) => tracing::error!("a pull ended badly: {error}"),
            },
            Some(asked) = asked.recv() => if member.answer(&asked).await {
                balance_at = balance_at.min(balanced_at + BALANCE_PAUSE);
            },
            () = sleep_until(balance_at) => {
                let until_next = member.balance().await.unwrap_or_else(|error| {
                    tracing::warn!("the queues cannot be shared out anew: {error}");
                    RETRY_PAUSE
                });
                balanced_at = Instant::now();
                balance_at = balanced_at + until_next;
            },
            _ = heartbeat.tick() => member.say_hello_again().await,
            _ = commit.tick() => member.commit().await,
        }
    }
    member.pulls.abort_all();
    member.commit().await;
    member.say_goodbye().await;
    Ok(())
}

fn every(pause: Duration) -> tokio::time::Interval {
    let mut interval = interval(pause);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval.reset();
    interval
}

struct Member {
    what: Subscription,
    tags: BTreeSet<String>,
    client: Client,
    id: String,
    started: Millis,
    assigned: BTreeMap<QueueName, Assigned>,
    pulls: JoinSet<Pulled>,
    /// Pulls so far.
    pulled: u64,
    /// Brokers that have heard of this member.
    heard: BTreeSet<String>,
}

impl Member {
    fn new(what: Subscription, client: Client) -> Member {
        let started = Clock::System.now();
        let tags = match what.expression.trim() {
            "" | "*" => BTreeSet::new(),
            some => some.split("||").map(|tag| tag.trim().to_owned()).collect(),
        };
        Member {
            what,
            tags,
            client,
            id: format!("127.0.0.1@{}#{started}", std::process::id()),
            started,
            assigned: BTreeMap::new(),
            pulls: JoinSet::new(),
            pulled: 0,
            heard: BTreeSet::new(),
        }
    }

    /// Tells the brokers of this member, asks who else there is, and takes its share of the queues; how long that stands.
    async fn balance(&mut self) -> Result<Duration, ClientError> {
        let queues = self.queues(&self.what.topic).await?;
        let brokers: BTreeSet<String> = queues.iter().map(|(_, addr)| addr.clone()).collect();
        let members = self.members(&brokers).await?;
        let mut mine: BTreeMap<QueueName, String> = share(&queues, &members, &self.id).iter().cloned().collect();
        let mut stands = BALANCE_INTERVAL;
        if self.what.retries {
            match self.queues(&self.retry_topic()).await {
                Ok(queues) => mine.extend(share(&queues, &members, &self.id).iter().cloned()),
                // Brokers make it when they hear of the group.
                Err(error) if error.response() == Some(response::TOPIC_NOT_EXIST) => stands = RETRY_PAUSE,
                Err(error) => return Err(error),
            }
        }
        if self.assigned.keys().any(|queue| !mine.contains_key(queue)) {
            // Whoever has these queues next begins where this member stopped.
            self.commit().await;
            self.assigned.retain(|queue, _| mine.contains_key(queue));
        }
        let mut failed = None;
        for (queue, addr) in mine {
            if let Some(assigned) = self.assigned.get_mut(&queue) {
                assigned.addr = addr;
                continue;
            }
            // A broker that is gone must not keep this member from the queues of the others.
            match self.begin(&addr, &queue).await {
                Ok(next) => drop(self.assigned.insert(queue, Assigned::new(addr, next))),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(stands), Err)
    }

    /// The queues of a topic that can be read, each with the address of its master, in their order.
    async fn queues(&self, topic: &str) -> Result<Vec<(QueueName, String)>, ClientError> {
        let mut failed = None;
        let mut route = None;
        for name_server in &self.what.name_servers {
            match self.client.route(name_server, topic, TIMEOUT).await {
                Ok(found) => {
                    route = Some(found);
                    break;
                }
                Err(error) => failed = Some(error),
            }
        }
        let Some(route) = route else { return failed.map_or(Ok(Vec::new()), Err) };
        let mut queues: Vec<(QueueName, String)> = Vec::new();
        for data in route.queue_datas.iter().filter(|data| data.perm & 4 != 0) {
            let broker = route.broker_datas.iter().find(|broker| broker.broker_name == data.broker_name);
            let Some(addr) = broker.and_then(|broker| broker.broker_addrs.get(&0)) else { continue };
            let name = |id| (topic.to_owned(), data.broker_name.clone(), id);
            queues.extend((0..data.read_queue_nums).map(|id| (name(id), addr.clone())));
        }
        queues.sort();
        Ok(queues)
    }

    fn retry_topic(&self) -> String {
        format!("{RETRY_PREFIX}{}", self.what.group)
    }

    /// The members of the group, after this one has said that it is there: what the brokers that can be asked know.
    async fn members(&mut self, brokers: &BTreeSet<String>) -> Result<Vec<String>, ClientError> {
        let (mut members, mut failed) = (BTreeSet::new(), None);
        for addr in brokers {
            match self.members_at(addr).await {
                Ok(list) => members.extend(list),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if members.is_empty() => Err(error),
            _ => Ok(members.into_iter().collect()),
        }
    }

    async fn members_at(&mut self, addr: &str) -> Result<Vec<String>, ClientError> {
        let mut greeted = false;
        loop {
            if !self.heard.contains(addr) {
                self.say_hello(addr).await?;
                self.heard.insert(addr.to_owned());
                greeted = true;
            }
            let ext = [("consumerGroup", Value::Str(&self.what.group))];
            let code = request::GET_CONSUMER_LIST_BY_GROUP;
            let answer = self.client.call(addr, code, &ext, b"", TIMEOUT).await;
            let known = answer.and_then(|answer| {
                let list = GetConsumerListByGroupResponseBody::parse(&answer.body);
                super::read(list, addr, code).map(|list| list.consumer_id_list)
            });
            match known {
                Ok(list) if greeted || list.contains(&self.id) => return Ok(list),
                Err(error) if greeted || error.response().is_none() => return Err(error),
                // It has forgotten this member: it was started anew, or the connection was lost.
                _ => drop(self.heard.remove(addr)),
            }
        }
    }

    fn subscriptions(&self) -> BTreeSet<SubscriptionData> {
        let own = SubscriptionData {
            code_set: self.tags.iter().map(|tag| java_hash(tag)).collect(),
            sub_string: self.what.expression.clone(),
            sub_version: self.started as i64,
            tags_set: self.tags.clone(),
            topic: self.what.topic.clone(),
            ..SubscriptionData::default()
        };
        let retries = SubscriptionData {
            sub_string: "*".to_owned(),
            sub_version: self.started as i64,
            topic: self.retry_topic(),
            ..SubscriptionData::default()
        };
        std::iter::once(own).chain(self.what.retries.then_some(retries)).collect()
    }

    async fn say_hello(&self, addr: &str) -> Result<(), ClientError> {
        let consumer = ConsumerData {
            consume_from_where: self.what.from,
            group_name: self.what.group.clone(),
            subscription_data_set: self.subscriptions(),
            ..ConsumerData::default()
        };
        let heartbeat = HeartbeatData {
            client_id: self.id.clone(),
            consumer_data_set: vec![consumer],
            producer_data_set: Vec::<ProducerData>::new(),
            ..HeartbeatData::default()
        };
        self.client.call(addr, request::HEART_BEAT, &[], &heartbeat.to_json(), TIMEOUT).await.map(drop)
    }

    async fn say_hello_again(&mut self) {
        for addr in self.heard.clone() {
            if let Err(error) = self.say_hello(&addr).await {
                tracing::warn!("no heartbeat reached {addr}, the next look at the group tries again: {error}");
                self.heard.remove(&addr);
            }
        }
    }

    /// Answers what a broker asks, for itself or for a tool; whether the group has changed.
    async fn answer(&mut self, asked: &Asked) -> bool {
        match asked.code {
            request::NOTIFY_CONSUMER_IDS_CHANGED => {
                return asked.get("consumerGroup") == Some(&self.what.group);
            }
            request::GET_CONSUMER_RUNNING_INFO => asked.answer(response::SUCCESS, None, &self.running_info().to_json()),
            request::GET_CONSUMER_STATUS_FROM_CLIENT => {
                let rows = self.assigned.iter().map(|(queue, assigned)| (self.bean(queue), assigned.next));
                let status = GetConsumerStatusBody { message_queue_table: rows.collect(), ..Default::default() };
                asked.answer(response::SUCCESS, None, &status.to_json());
            }
            request::RESET_CONSUMER_CLIENT_OFFSET => match ResetOffsetBody::parse(&asked.body) {
                Ok(offsets) => self.reset(&offsets).await,
                Err(error) => tracing::warn!("a broker wanted offsets to be reset: {error}"),
            },
            other => {
                let remark = format!(" request type {other} not supported");
                asked.answer(response::REQUEST_CODE_NOT_SUPPORTED, Some(&remark), b"");
            }
        }
        false
    }

    fn bean(&self, queue: &QueueName) -> MessageQueue {
        MessageQueue { topic: queue.0.clone(), broker_name: queue.1.clone(), queue_id: queue.2 }
    }

    /// What a tool shows of this member, with the properties that tools look at.
    fn running_info(&self) -> ConsumerRunningInfo {
        let properties = [
            ("PROP_CLIENT_VERSION", version_name(VERSION)),
            ("PROP_CONSUMEORDERLY", "false".to_owned()),
            ("PROP_CONSUMER_START_TIMESTAMP", self.started.to_string()),
            ("PROP_CONSUME_TYPE", "CONSUME_PASSIVELY".to_owned()),
            ("PROP_NAMESERVER_ADDR", self.what.name_servers.join(";")),
            ("PROP_THREADPOOL_CORE_SIZE", "1".to_owned()),
            ("consumerGroup", self.what.group.clone()),
            ("messageModel", "CLUSTERING".to_owned()),
        ];
        let inside = |assigned: &Assigned| ProcessQueueInfo {
            commit_offset: assigned.next,
            last_consume_timestamp: assigned.consumed_at as i64,
            last_pull_timestamp: assigned.pulled_at as i64,
            ..ProcessQueueInfo::default()
        };
        ConsumerRunningInfo {
            mq_table: self.assigned.iter().map(|(queue, assigned)| (self.bean(queue), inside(assigned))).collect(),
            properties: properties.map(|(name, value)| (name.to_owned(), value)).into(),
            subscription_set: self.subscriptions().into_iter().collect(),
            ..ConsumerRunningInfo::default()
        }
    }

    /// Goes on elsewhere in its queues; what pulls under way bring is stale.
    async fn reset(&mut self, offsets: &ResetOffsetBody) {
        for (queue, offset) in &offsets.offset_table {
            let name = (queue.topic.clone(), queue.broker_name.clone(), queue.queue_id);
            let Some(assigned) = self.assigned.get_mut(&name) else { continue };
            tracing::info!("{} of {} queue {} goes on at {offset}, as the broker wants it", name.0, name.1, name.2);
            assigned.next = *offset;
            assigned.pulling = None;
        }
        self.commit().await;
    }

    /// Where the group goes on in a queue.
    async fn begin(&self, addr: &str, queue: &QueueName) -> Result<i64, ClientError> {
        let ext = [
            ("consumerGroup", Value::Str(&self.what.group)),
            ("topic", Value::Str(&queue.0)),
            ("queueId", Value::I64(queue.2.into())),
        ];
        let answer = self.client.request(addr, request::QUERY_CONSUMER_OFFSET, &ext, b"", TIMEOUT).await?;
        if let Some(offset) = answer.i64("offset").filter(|_| answer.code == response::SUCCESS) {
            return Ok(offset);
        }
        let id = QueueId(queue.2.unsigned_abs());
        let from_first = self.what.from == ConsumeFromWhere::FirstOffset || queue.0.starts_with(RETRY_PREFIX);
        let end = match from_first {
            true => self.client.min_offset(addr, &queue.0, id, TIMEOUT).await?,
            false => self.client.max_offset(addr, &queue.0, id, TIMEOUT).await?,
        };
        Ok(end.0 as i64)
    }

    /// Starts a pull for every queue without one.
    fn pull_idle(&mut self) {
        for (queue, assigned) in self.assigned.iter_mut().filter(|(_, assigned)| assigned.pulling.is_none()) {
            self.pulled += 1;
            assigned.pulling = Some(self.pulled);
            assigned.pulled_at = Clock::System.now();
            let is_own = queue.0 == self.what.topic;
            let pull = Pull {
                client: self.client.clone(),
                addr: assigned.addr.clone(),
                group: self.what.group.clone(),
                topic: queue.0.clone(),
                expression: if is_own { self.what.expression.clone() } else { "*".to_owned() },
                sub_version: self.started as i64,
                offset: assigned.next,
            };
            let (queue, number, again) = (queue.clone(), self.pulled, assigned.again.take());
            self.pulls.spawn(async move {
                if let Some(again) = again {
                    sleep_until(again).await;
                }
                Pulled { answer: pull.run(queue.2).await, queue, number }
            });
        }
    }

    async fn take(
        &mut self,
        pulled: Pulled,
        on_message: &mut impl FnMut(Arrived<'_>) -> ControlFlow<(), Consumed>,
    ) -> ControlFlow<()> {
        let Pulled { queue, number, answer } = pulled;
        let awaited = self.assigned.get_mut(&queue).filter(|assigned| assigned.pulling == Some(number));
        let Some(assigned) = awaited else { return ControlFlow::Continue(()) };
        assigned.pulling = None;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!("{} of {} queue {}: {error}", queue.0, queue.1, queue.2);
                return ControlFlow::Continue(());
            }
        };
        let next = answer.i64("nextBeginOffset");
        if answer.code == response::SUCCESS {
            let ends = (answer.i64("minOffset").unwrap_or(0), answer.i64("maxOffset").unwrap_or(0));
            let body: Bytes = answer.body;
            assigned.consumed_at = Clock::System.now();
            for record in records(&body) {
                match record {
                    Ok(record) => {
                        let offset = record.queue_offset();
                        // A broker compares hashes only.
                        let tag = record.property(properties::TAGS).unwrap_or_default();
                        let wanted = self.tags.is_empty() || self.tags.contains(tag);
                        let back = GiveBack::new(&self.what.group, &queue.0, &record);
                        if wanted
                            && on_message(Arrived { broker_name: &queue.1, record, ends })? == Consumed::Later
                            && let Err(error) = back.send(&self.client, &assigned.addr).await
                        {
                            // It is pulled once more, as if it had not come yet.
                            tracing::warn!("a message was not given back: {error}");
                            assigned.again = Some(Instant::now() + RETRY_PAUSE);
                            return ControlFlow::Continue(());
                        }
                        assigned.next = offset + 1;
                    }
                    Err(error) => tracing::error!("{} of {} queue {}: {error}", queue.0, queue.1, queue.2),
                }
            }
        }
        assigned.next = next.unwrap_or(assigned.next);
        ControlFlow::Continue(())
    }

    /// Saves how far the group has come.
    async fn commit(&mut self) {
        for (queue, assigned) in self.assigned.iter_mut().filter(|(_, queue)| queue.next != queue.committed) {
            let ext = [
                ("consumerGroup", Value::Str(&self.what.group)),
                ("topic", Value::Str(&queue.0)),
                ("queueId", Value::I64(queue.2.into())),
                ("commitOffset", Value::I64(assigned.next)),
            ];
            match self.client.call(&assigned.addr, request::UPDATE_CONSUMER_OFFSET, &ext, b"", TIMEOUT).await {
                Ok(_) => assigned.committed = assigned.next,
                Err(error) => {
                    let (topic, broker, id) = queue;
                    tracing::warn!("the offset of {topic}, {broker} queue {id}, was not saved: {error}");
                }
            }
        }
    }

    async fn say_goodbye(&self) {
        let ext = [("clientID", Value::Str(&self.id)), ("consumerGroup", Value::Str(&self.what.group))];
        for addr in &self.heard {
            if let Err(error) = self.client.call(addr, request::UNREGISTER_CLIENT, &ext, b"", TIMEOUT).await {
                tracing::info!("no goodbye, the broker forgets this member by itself: {error}");
            }
        }
    }
}

/// A message that its group is to have again (CONSUMER_SEND_MSG_BACK, INTEROP 06 §9).
struct GiveBack<'a> {
    group: &'a str,
    topic: &'a str,
    phy_offset: i64,
    id: &'a str,
}

impl<'a> GiveBack<'a> {
    fn new(group: &'a str, topic: &'a str, record: &RecordView<'a>) -> GiveBack<'a> {
        let id = record.property(properties::UNIQ_KEY).unwrap_or_default();
        GiveBack { group, topic, phy_offset: record.phy_offset(), id }
    }

    async fn send(&self, client: &Client, addr: &str) -> Result<(), ClientError> {
        let ext = [
            ("group", Value::Str(self.group)),
            ("offset", Value::I64(self.phy_offset)),
            // The broker waits longer from time to time.
            ("delayLevel", Value::I64(0)),
            ("originMsgId", Value::Str(self.id)),
            ("originTopic", Value::Str(self.topic)),
            ("unitMode", Value::Bool(false)),
            ("maxReconsumeTimes", Value::I64(RECONSUME_TIMES_MAX)),
        ];
        client.call(addr, request::CONSUMER_SEND_MSG_BACK, &ext, b"", TIMEOUT).await.map(drop)
    }
}

struct Pull {
    client: Client,
    addr: String,
    group: String,
    topic: String,
    expression: String,
    sub_version: i64,
    offset: i64,
}

impl Pull {
    /// One long pull; after a failure a pause, so that a broker that is gone is not asked without end.
    async fn run(self, queue_id: i32) -> Result<Response, ClientError> {
        let pause = sleep_until(Instant::now() + RETRY_PAUSE);
        // Bit 1: the broker may hold the request; bit 2: the subscription is in the header.
        const SYS_FLAG: i64 = 2 | 4;
        let ext = [
            ("consumerGroup", Value::Str(&self.group)),
            ("topic", Value::Str(&self.topic)),
            ("queueId", Value::I64(queue_id.into())),
            ("queueOffset", Value::I64(self.offset)),
            ("maxMsgNums", Value::I64(PULL_COUNT)),
            ("sysFlag", Value::I64(SYS_FLAG)),
            ("commitOffset", Value::I64(0)),
            ("suspendTimeoutMillis", Value::I64(SUSPEND.as_millis() as i64)),
            ("subscription", Value::Str(&self.expression)),
            ("subVersion", Value::I64(self.sub_version)),
            ("expressionType", Value::Str("TAG")),
        ];
        let answer = self.client.request(&self.addr, request::PULL_MESSAGE, &ext, b"", PULL_TIMEOUT).await;
        let fine = answer.as_ref().is_ok_and(|answer| {
            matches!(
                answer.code,
                response::SUCCESS
                    | response::PULL_NOT_FOUND
                    | response::PULL_RETRY_IMMEDIATELY
                    | response::PULL_OFFSET_MOVED
            )
        });
        if !fine {
            pause.await;
        }
        let answer = answer?;
        if fine {
            return Ok(answer);
        }
        let remark = answer.remark.unwrap_or_default();
        Err(ClientError::Refused { addr: self.addr, code: request::PULL_MESSAGE, response: answer.code, remark })
    }
}

/// This member's part of `queues`: contiguous, the first members get one more where it does not come out even.
fn share<'a, T>(queues: &'a [T], members: &[String], own: &str) -> &'a [T] {
    let Some(index) = members.iter().position(|member| member == own) else { return &[] };
    let (each, more) = (queues.len() / members.len(), queues.len() % members.len());
    let start = index * each + index.min(more);
    &queues[start..start + each + usize::from(index < more)]
}

#[cfg(test)]
mod tests;
