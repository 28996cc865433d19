//! What a broker tells Prometheus: ONE table of metrics, and the collector that reads them from what the broker's parts
//! share; what is counted as it happens is in tables beside its counters. Names and labels are those of rocketmq-exporter where it has one (`exporter_metrics.tsv`), so that boards made for
//! it work; what is not known is absent, never zero. Runs beside the loops and takes no lock for longer than one group's
//! offsets in one topic.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use crate::base::clock::Millis;
use crate::base::metrics::{Labels, Metric, Page};
use crate::base::position::QueueOffset;
use crate::net::control::{self, Control};
use crate::net::server::Watch;
use crate::store::{AppendError, PathSpace, Queue, StorePart};
use crate::wire::command::VERSION;

use super::cold_read::{READERS, READS_WAITING_MAX};
use super::figures;
use super::handles::Handles;
use super::relays;
use super::service::{SENDS_WAITING_FOR_TOPICS_MAX, TOPICS_IN_MAKING_MAX};
use super::stats::{Counter, Name};
use super::topics::{DLQ_PREFIX, RETRY_PREFIX};

/// The labels of what the exporter reads from the runtime info.
const RUNTIME: &str = "cluster,brokerIP,brokerHost,des,boottime,broker_version";

crate::base::metrics::table! {
    GROUP_DIFF = Gauge "rocketmq_group_diff" ("group,topic,countOfOnlineConsumers,msgModel")
        "Messages that a group has not consumed of a topic, over the queues in which it has an offset.";
    GROUP_RETRY_DIFF = Gauge "rocketmq_group_retrydiff" ("group,topic,countOfOnlineConsumers,msgModel")
        "Messages that a group has not consumed of its retry topic.";
    GROUP_COUNT = Gauge "rocketmq_group_count" ("caddr,localaddr,group")
        "Online clients of a consumer group; their addresses and their ids are labels, separated by commas.";
    PRODUCER_COUNT = Gauge "rocketmq_producer_count" ("cluster,broker,group")
        "Connected clients of a producer group.";
    PRODUCER_OFFSET = Gauge "rocketmq_producer_offset" ("cluster,broker,topic")
        "Sum of the end offsets of the queues of a topic: messages that it ever had.";
    RETRY_OFFSET = Gauge "rocketmq_topic_retry_offset" ("cluster,broker,topic")
        "Sum of the end offsets of the queues of a retry topic: messages that were ever given back.";
    DLQ_OFFSET = Gauge "rocketmq_topic_dlq_offset" ("cluster,broker,group")
        "Sum of the end offsets of the queues of a dead letter topic: messages that were ever given up.";
    CONSUMER_OFFSET = Gauge "rocketmq_consumer_offset" ("cluster,broker,topic,group")
        "Sum of the offsets that a group has committed in a topic.";
    GET_LATENCY = Gauge "rocketmq_group_get_latency_by_storetime" ("cluster,broker,topic,group")
        "Age of the oldest message that a group has not consumed, milliseconds.";
    PRODUCER_TPS = Gauge "rocketmq_producer_tps" ("cluster,broker,topic")
        "Messages stored per second, over the last minute.";
    PRODUCER_SIZE = Gauge "rocketmq_producer_message_size" ("cluster,broker,topic")
        "Bytes stored per second, over the last minute.";
    CONSUMER_TPS = Gauge "rocketmq_consumer_tps" ("cluster,broker,topic,group")
        "Messages read per second, over the last minute.";
    CONSUMER_SIZE = Gauge "rocketmq_consumer_message_size" ("cluster,broker,topic,group")
        "Bytes read per second, over the last minute.";
    SEND_BACK = Gauge "rocketmq_send_back_nums" ("cluster,broker,topic,group")
        "Messages given back in the last minute.";
    BROKER_TPS = Gauge "rocketmq_broker_tps" ("cluster,brokerIP,broker")
        "Messages stored per second, over the last minute.";
    BROKER_QPS = Gauge "rocketmq_broker_qps" ("cluster,brokerIP,broker")
        "Messages read per second, over the last minute.";
    PUT_TODAY = Gauge "rocketmq_brokeruntime_msg_put_total_today_now" (RUNTIME)
        "Messages stored since the start.";
    GET_TODAY = Gauge "rocketmq_brokeruntime_msg_gettotal_today_now" (RUNTIME)
        "Messages read since the start.";
    PUT_TODAY_MORNING = Gauge "rocketmq_brokeruntime_msg_puttotal_todaymorning" (RUNTIME)
        "Messages stored by the last midnight.";
    PUT_YESTERDAY_MORNING = Gauge "rocketmq_brokeruntime_msg_puttotal_yesterdaymorning" (RUNTIME)
        "Messages stored by the last midnight but one.";
    GET_TODAY_MORNING = Gauge "rocketmq_brokeruntime_msg_gettotal_todaymorning" (RUNTIME)
        "Messages read by the last midnight.";
    GET_YESTERDAY_MORNING = Gauge "rocketmq_brokeruntime_msg_gettotal_yesterdaymorning" (RUNTIME)
        "Messages read by the last midnight but one.";
    PUT_SIZE_TOTAL = Gauge "rocketmq_brokeruntime_put_message_size_total" (RUNTIME)
        "Bytes stored since the start.";
    PUT_SIZE_AVERAGE = Gauge "rocketmq_brokeruntime_put_message_average_size" (RUNTIME)
        "Bytes of a stored message, on average since the start.";
    PUT_TIMES_TOTAL = Gauge "rocketmq_brokeruntime_putmessage_times_total" (RUNTIME)
        "Messages stored since the start, system topics included.";
    PUT_TIME_MAX = Gauge "rocketmq_brokeruntime_putmessage_entire_time_max" (RUNTIME)
        "Slowest write to the log since the start, milliseconds.";
    EARLIEST_MESSAGE = Gauge "rocketmq_brokeruntime_earliest_message_timestamp" (RUNTIME)
        "When the oldest message was stored, milliseconds since 1970.";
    ACCEPT_SENDS_FROM = Gauge "rocketmq_brokeruntime_start_accept_sendrequest_time" (RUNTIME)
        "Sends are refused before this time, milliseconds since 1970.";
    LOG_DISK_RATIO = Gauge "rocketmq_brokeruntime_commitlog_disk_ratio" (RUNTIME)
        "How full the disk of the commit log is, 0 to 1.";
    QUEUE_DISK_RATIO = Gauge "rocketmq_brokeruntime_consumequeue_disk_ratio" (RUNTIME)
        "How full the disk of the consume queues is, 0 to 1.";
    LOG_DISK_FREE = Gauge "rocketmq_brokeruntime_commitlogdir_capacity_free" (RUNTIME)
        "Free bytes of the disk of the commit log.";
    LOG_DISK_TOTAL = Gauge "rocketmq_brokeruntime_commitlogdir_capacity_total" (RUNTIME)
        "Bytes of the disk of the commit log.";
    LOG_MAX = Gauge "rocketmq_brokeruntime_commitlog_maxoffset" (RUNTIME)
        "End of the commit log, bytes.";
    LOG_MIN = Gauge "rocketmq_brokeruntime_commitlog_minoffset" (RUNTIME)
        "Begin of the commit log, bytes.";
    TO_FLUSH = Gauge "rocketmq_brokeruntime_remain_howmanydata_toflush" (RUNTIME)
        "Bytes that are stored and not on the disk yet.";
    DISPATCH_BEHIND = Gauge "rocketmq_brokeruntime_dispatch_behind_bytes" (RUNTIME)
        "Bytes that are stored and cannot be read by consumers yet.";
    PUT_TPS_10 = Gauge "rocketmq_brokeruntime_put_tps10" (RUNTIME)
        "Messages stored per second, over 10 seconds.";
    PUT_TPS_60 = Gauge "rocketmq_brokeruntime_put_tps60" (RUNTIME)
        "Messages stored per second, over a minute.";
    PUT_TPS_600 = Gauge "rocketmq_brokeruntime_put_tps600" (RUNTIME)
        "Messages stored per second, over ten minutes.";
    GET_TPS_10 = Gauge "rocketmq_brokeruntime_gettransfered_tps10" (RUNTIME)
        "Messages read per second, over 10 seconds.";
    GET_TPS_60 = Gauge "rocketmq_brokeruntime_gettransfered_tps60" (RUNTIME)
        "Messages read per second, over a minute.";
    GET_TPS_600 = Gauge "rocketmq_brokeruntime_gettransfered_tps600" (RUNTIME)
        "Messages read per second, over ten minutes.";
    PMDT_0 = Gauge "rocketmq_brokeruntime_pmdt_0ms" (RUNTIME)
        "Writes to the log of the last full minute that took less than a millisecond.";
    PMDT_10 = Gauge "rocketmq_brokeruntime_pmdt_0to10ms" (RUNTIME)
        "Writes to the log of the last full minute that took up to 10 milliseconds.";
    PMDT_50 = Gauge "rocketmq_brokeruntime_pmdt_10to50ms" (RUNTIME)
        "Writes to the log of the last full minute that took up to 50 milliseconds.";
    PMDT_100 = Gauge "rocketmq_brokeruntime_pmdt_50to100ms" (RUNTIME)
        "Writes to the log of the last full minute that took up to 100 milliseconds.";
    PMDT_200 = Gauge "rocketmq_brokeruntime_pmdt_100to200ms" (RUNTIME)
        "Writes to the log of the last full minute that took up to 200 milliseconds.";
    PMDT_500 = Gauge "rocketmq_brokeruntime_pmdt_200to500ms" (RUNTIME)
        "Writes to the log of the last full minute that took up to 500 milliseconds.";
    PMDT_1S = Gauge "rocketmq_brokeruntime_pmdt_500to1s" (RUNTIME)
        "Writes to the log of the last full minute that took up to a second.";
    PMDT_2S = Gauge "rocketmq_brokeruntime_pmdt_1to2s" (RUNTIME)
        "Writes to the log of the last full minute that took up to 2 seconds.";
    PMDT_3S = Gauge "rocketmq_brokeruntime_pmdt_2to3s" (RUNTIME)
        "Writes to the log of the last full minute that took up to 3 seconds.";
    PMDT_4S = Gauge "rocketmq_brokeruntime_pmdt_3to4s" (RUNTIME)
        "Writes to the log of the last full minute that took up to 4 seconds.";
    PMDT_5S = Gauge "rocketmq_brokeruntime_pmdt_4to5s" (RUNTIME)
        "Writes to the log of the last full minute that took up to 5 seconds.";
    PMDT_10S = Gauge "rocketmq_brokeruntime_pmdt_5to10s" (RUNTIME)
        "Writes to the log of the last full minute that took up to 10 seconds.";
    PMDT_MORE = Gauge "rocketmq_brokeruntime_pmdt_10stomore" (RUNTIME)
        "Writes to the log of the last full minute that took longer.";

    LAG_MESSAGES = Gauge "rocketmq_lag_messages" ("cluster,broker,topic,group")
        "Messages that a group has not consumed of a topic, over the queues in which it has an offset.";
    LAG_SECONDS = Gauge "rocketmq_lag_seconds" ("cluster,broker,topic,group")
        "Age of the oldest message that a group has not consumed of a topic; 0 when it has consumed all.";
    QUEUE_LAG_MESSAGES = Gauge "rocketmq_queue_lag_messages" ("cluster,broker,topic,group,queue")
        "Messages that a group has not consumed of a queue.";
    QUEUE_LAG_SECONDS = Gauge "rocketmq_queue_lag_seconds" ("cluster,broker,topic,group,queue")
        "Age of the oldest message that a group has not consumed of a queue; 0 when it has consumed all.";
    IN_MESSAGES = Counter "rocketmq_topic_in_messages_total" ("cluster,broker,topic")
        "Messages that a topic ever had.";
    IN_BYTES = Counter "rocketmq_topic_in_bytes_total" ("cluster,broker,topic")
        "Bytes stored in a topic since the start.";
    OUT_MESSAGES = Counter "rocketmq_group_out_messages_total" ("cluster,broker,topic,group")
        "Messages that a group has read of a topic since the start.";
    OUT_BYTES = Counter "rocketmq_group_out_bytes_total" ("cluster,broker,topic,group")
        "Bytes that a group has read of a topic since the start.";
    SENT_BACK = Counter "rocketmq_group_sent_back_total" ("cluster,broker,topic,group")
        "Messages that a group has given back for a later try since the start.";
    DEAD_LETTERS = Counter "rocketmq_group_dead_letters_total" ("cluster,broker,topic,group")
        "Messages that a group has given up since the start.";
    DISK_TOTAL = Gauge "rocketmq_disk_total_bytes" ("cluster,broker,part,path")
        "Bytes of the file system of a part of the store.";
    DISK_FREE = Gauge "rocketmq_disk_free_bytes" ("cluster,broker,part,path")
        "Bytes of it that the broker may still use.";
    DISK_RATIO = Gauge "rocketmq_disk_used_ratio" ("cluster,broker,part,path")
        "How full it is, 0 to 1, as the limits count.";
    DISK_LIMIT = Gauge "rocketmq_disk_limit_ratio" ("cluster,broker,limit")
        "Fuller than this, and expired files go (clean), the oldest files go (force), messages are refused (refuse); they are taken again at resume. A limit that is off is absent.";
    STORE_WRITABLE = Gauge "rocketmq_store_writable" ("cluster,broker")
        "1 while messages are taken, 0 while they are refused.";
    FLUSH_RUNNING = Gauge "rocketmq_store_flush_running_seconds" ("cluster,broker")
        "For how long the flush under way has been going on; 0 when there is none.";
    UNFLUSHED = Gauge "rocketmq_store_unflushed_bytes" ("cluster,broker")
        "Bytes of the log that are not on the disk yet.";
    UNDERIVED = Gauge "rocketmq_store_underived_bytes" ("cluster,broker")
        "Bytes of the log whose consume queues and index are not on the disk yet.";
    HELD_PULLS = Gauge "rocketmq_held_pulls" ("cluster,broker")
        "Pulls that wait for messages.";
    CONNECTIONS = Gauge "rocketmq_connections" ("cluster,broker")
        "Open connections.";
    FRAMES = Counter "rocketmq_frames_received_total" ("cluster,broker")
        "Requests and answers received.";
    CONNECTIONS_REFUSED = Counter "rocketmq_connections_refused_total" ("cluster,broker")
        "Connections that were closed at once because as many as allowed were open.";
    CONNECTIONS_CLOSED = Counter "rocketmq_connections_closed_total" ("cluster,broker,reason")
        "Connections that a bound closed: idle, unread (what was pushed to it), stalled_frame (while memory was used up).";
    BOUND_LIMIT = Gauge "rocketmq_bound_limit" ("cluster,broker,bound")
        "What a bound of the broker allows.";
    BOUND_USED = Gauge "rocketmq_bound_used" ("cluster,broker,bound")
        "How much of a bound is used; of bounds that each loop has for itself, by the loop that uses most.";
    REGISTERED = Gauge "rocketmq_registered" ("cluster,broker,name_server")
        "1 while a name server has this broker, 0 while it cannot be told.";
    TOPICS = Gauge "rocketmq_topics" ("cluster,broker")
        "Topics.";
    GROUPS = Gauge "rocketmq_groups" ("cluster,broker")
        "Consumer groups.";
    MISMATCHES = Counter "rocketmq_subscription_mismatches_total" ("cluster,broker")
        "How often two members of a group were seen to subscribe different things.";
    UNCONSUMED = Gauge "rocketmq_unconsumed_queues" ("cluster,broker")
        "Queues that have waited for more than a minute for a group of which members are online.";
    SCRAPE_LEFT_OUT = Gauge "rocketmq_label_sets_in_other" ("cluster,broker")
        "Topics and pairs of topic and group that are summed up under the label other.";
}

/// Every metric of a broker.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [ALL, figures::ALL, crate::store::METRICS].into_iter().flatten().copied()
}

/// What stands for all that is beyond the limit on labels.
pub const OTHER: &str = "other";

/// Reads a broker's figures. One scrape at a time.
pub struct Collector {
    handles: Arc<Handles>,
    watch: Watch,
    slow: Control,
    /// When messages were stored at which groups stood at the last scrape: while a group does not move, nothing is read.
    times: Mutex<Times>,
}

/// Store times of what groups have to consume next, by topic and group.
type Times = HashMap<(Arc<str>, Arc<str>), Vec<Stored>>;

/// When a message was stored.
struct Stored {
    queue: u32,
    at: u64,
    /// Milliseconds since 1970.
    time: i64,
}

/// Where a group stands in a topic.
struct Pair {
    topic: Arc<str>,
    group: Arc<str>,
    offset_sum: u64,
    lag: u64,
    /// Age of the oldest unconsumed message, milliseconds; `None` when a queue's is unknown.
    age_ms: Option<u64>,
    queues: Vec<QueueLag>,
    online: usize,
}

struct QueueLag {
    id: u32,
    lag: u64,
    age_ms: Option<u64>,
}

/// A topic with its queues.
struct Topic {
    name: Arc<str>,
    queues: Vec<Arc<Queue>>,
    /// Of each queue, the offset and store time that were looked up last in this scrape: groups often stand together.
    recent: Vec<Cell<Option<(u64, i64)>>>,
}

impl Topic {
    fn end_sum(&self) -> u64 {
        self.queues.iter().map(|queue| queue.max().0).sum()
    }

    fn bytes(&self) -> u64 {
        self.queues.iter().map(|queue| queue.bytes_put()).sum()
    }

    fn is_of_users(&self) -> bool {
        !self.name.starts_with(RETRY_PREFIX) && !self.name.starts_with(DLQ_PREFIX)
    }
}

impl Collector {
    /// For a broker whose loops are `watch`ed.
    pub fn new(handles: Arc<Handles>, watch: Watch, slow: Control) -> Collector {
        Collector { handles, watch, slow, times: Mutex::default() }
    }

    /// Writes everything; at most `label_limit` label sets for each metric by topic, by group or by both.
    pub fn collect(&self, page: &mut Page, label_limit: usize) {
        let now = self.handles.clock.now();
        let base = self.base();
        let topics = self.topics();
        // Rates end at the last look at the queues; a look at many costs more than ten seconds of a rate are worth.
        if topics.iter().map(|topic| topic.queues.len()).sum::<usize>() <= REFRESHED_QUEUES_MAX {
            self.handles.refresh_stats();
        }
        let pairs = self.pairs(&topics, now);
        let left_out = topics.len().saturating_sub(label_limit) as u64 + pairs.len().saturating_sub(label_limit) as u64;
        self.write_topics(page, &base, &topics, label_limit, now);
        self.write_pairs(page, &base, &pairs, label_limit, now);
        self.write_send_backs(page, &base, &pairs, label_limit, now);
        self.write_clients(page, &base, label_limit);
        self.write_runtime(page, now);
        self.write_disks(page, &base);
        self.write_store(page, &base);
        self.write_loops(page, &base);
        self.write_bounds(page, &base);
        page.one(&TOPICS, &base, topics.len());
        page.one(&GROUPS, &base, self.handles.groups.table().sorted().len());
        page.one(&SCRAPE_LEFT_OUT, &base, left_out);
    }

    /// Labels of everything that is the broker's own.
    fn base(&self) -> Labels {
        let config = self.handles.config.get();
        Labels::of("cluster", &config.broker_cluster_name).and("broker", &config.broker_name)
    }

    /// Every topic that exists, by name.
    fn topics(&self) -> Vec<Topic> {
        let table = self.handles.topics.table();
        let mut topics: Vec<_> = table
            .iter()
            .map(|topic| {
                let queues = self.handles.store.queues_of(&topic.topic_name);
                let recent = queues.iter().map(|_| Cell::default()).collect();
                Topic { name: topic.topic_name.as_str().into(), queues, recent }
            })
            .collect();
        topics.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        topics
    }

    /// Where every group stands in every topic that exists, by topic and group.
    fn pairs(&self, topics: &[Topic], now: Millis) -> Vec<Pair> {
        let handles = &self.handles;
        let mut known = std::mem::take(&mut *self.times.lock());
        let mut kept = Times::with_capacity(known.len());
        let (made, online) = (handles.groups.table(), handles.clients.consumer_groups());
        let mut pairs = Vec::new();
        for group in handles.offsets.groups() {
            // A deleted group may leave its offsets behind; a broadcasting one keeps its own.
            if made.get(&group).is_none() || online.get(&group).is_some_and(|members| members.broadcasting) {
                continue;
            }
            let members = if online.contains_key(&group) { handles.clients.client_ids(&group).len() } else { 0 };
            let group: Arc<str> = group.into();
            // As a page does between its slices.
            std::thread::yield_now();
            for name in handles.offsets.topics_of(&group) {
                let Ok(place) = topics.binary_search_by(|topic| (*topic.name).cmp(&name)) else { continue };
                let topic = &topics[place];
                let offsets = handles.offsets.of_topic(&group, &name);
                let mut pair = Pair {
                    topic: topic.name.clone(),
                    group: group.clone(),
                    offset_sum: 0,
                    lag: 0,
                    age_ms: Some(0),
                    queues: Vec::with_capacity(offsets.len()),
                    online: members,
                };
                let key = (topic.name.clone(), group.clone());
                let before = known.remove(&key).unwrap_or_default();
                let mut times = Vec::new();
                for (place, queue) in topic.queues.iter().enumerate() {
                    let Some(at) = offsets.get(&queue.id().0).and_then(|at| u64::try_from(*at).ok()) else { continue };
                    // An offset behind the end says nothing of what was consumed.
                    let Some(lag) = queue.max().0.checked_sub(at) else { continue };
                    let mut age_ms = Some(0);
                    if lag > 0 {
                        let first = at.max(queue.min().0);
                        let time = self.stored(topic, place, first, &before);
                        times.extend(time.map(|time| Stored { queue: queue.id().0, at: first, time }));
                        // A message from the future says nothing either.
                        age_ms = time.and_then(|time| now.checked_sub(u64::try_from(time).ok()?));
                    }
                    pair.offset_sum += at;
                    pair.lag += lag;
                    pair.age_ms = pair.age_ms.zip(age_ms).map(|(one, other)| one.max(other));
                    pair.queues.push(QueueLag { id: queue.id().0, lag, age_ms });
                }
                if !times.is_empty() {
                    kept.insert(key, times);
                }
                if !pair.queues.is_empty() {
                    pairs.push(pair);
                }
            }
        }
        *self.times.lock() = kept;
        pairs.sort_unstable_by(|one, other| (&one.topic, &one.group).cmp(&(&other.topic, &other.group)));
        pairs
    }

    /// When a message was stored: as it was read at the last scrape, or for another group in this one, or just now.
    fn stored(&self, topic: &Topic, place: usize, at: u64, before: &[Stored]) -> Option<i64> {
        let (queue, recent) = (&topic.queues[place], &topic.recent[place]);
        let known =
            before.iter().find(|stored| stored.queue == queue.id().0 && stored.at == at).map(|stored| stored.time);
        let known = known.or_else(|| recent.get().filter(|recent| recent.0 == at).map(|recent| recent.1));
        let time = match known {
            Some(time) => time,
            None => self.handles.store.store_time(queue, QueueOffset(at)).ok().flatten()?,
        };
        recent.set(Some((at, time)));
        Some(time)
    }

    fn write_topics(&self, page: &mut Page, base: &Labels, topics: &[Topic], limit: usize, now: Millis) {
        let stats = &self.handles.stats;
        let rate =
            |name: Name, topic: &Topic| stats.find(name, &topic.name).map_or(0.0, |counter| per_second(&counter, now));
        let labelled = |topic: &str| base.clone().and("topic", topic);
        let labels = |topic: &Topic| labelled(&topic.name);
        let other = || labelled(OTHER);
        let users = topics.iter().filter(|topic| topic.is_of_users());
        page.each(&PRODUCER_OFFSET, limited(users, limit, labels, other(), Topic::end_sum));
        page.each(&IN_MESSAGES, limited(topics.iter(), limit, labels, other(), Topic::end_sum));
        page.each(&IN_BYTES, limited(topics.iter(), limit, labels, other(), Topic::bytes));
        for (metric, name) in [(&PRODUCER_TPS, Name::TopicPutNums), (&PRODUCER_SIZE, Name::TopicPutSize)] {
            page.each(metric, limited(topics.iter(), limit, labels, other(), |topic| rate(name, topic)));
        }
        let retries = topics.iter().filter(|topic| topic.name.starts_with(RETRY_PREFIX));
        page.each(&RETRY_OFFSET, limited(retries, limit, labels, other(), Topic::end_sum));
        let dead = topics.iter().filter(|topic| topic.name.starts_with(DLQ_PREFIX));
        let group = |topic: &Topic| base.clone().and("group", &topic.name[DLQ_PREFIX.len()..]);
        page.each(&DLQ_OFFSET, limited(dead, limit, group, base.clone().and("group", OTHER), Topic::end_sum));
    }

    fn write_pairs<'p>(&self, page: &mut Page, base: &Labels, pairs: &'p [Pair], limit: usize, now: Millis) {
        let (shown, rest) = pairs.split_at(pairs.len().min(limit));
        let labels: Vec<_> =
            shown.iter().map(|pair| base.clone().and("topic", &pair.topic).and("group", &pair.group)).collect();
        let other = base.clone().and("topic", OTHER).and("group", OTHER);

        for (metric, value) in
            [(&LAG_MESSAGES, (|pair: &Pair| pair.lag) as fn(&Pair) -> u64), (&CONSUMER_OFFSET, |pair| pair.offset_sum)]
        {
            let rest = (!rest.is_empty()).then(|| (&other, rest.iter().map(value).sum()));
            page.each(metric, labels.iter().zip(shown.iter().map(value)).chain(rest));
        }
        let ages = || {
            let known = labels.iter().zip(shown).filter_map(|(labels, pair)| Some((labels, pair.age_ms?)));
            known.chain(rest.iter().filter_map(|pair| pair.age_ms).max().map(|age_ms| (&other, age_ms)))
        };
        page.each(&LAG_SECONDS, ages().map(|(labels, age_ms)| (labels, seconds(age_ms))));
        page.each(&GET_LATENCY, ages());

        let queues = || {
            let of_pair = |(labels, pair): (_, &'p Pair)| pair.queues.iter().map(move |queue| (labels, queue));
            labels.iter().zip(shown).flat_map(of_pair).take(limit.saturating_mul(QUEUES_PER_PAIR))
        };
        page.each_queue(&QUEUE_LAG_MESSAGES, queues().map(|(labels, queue)| (labels, queue.id, queue.lag)));
        let ages = queues().filter_map(|(labels, queue)| Some((labels, queue.id, seconds(queue.age_ms?))));
        page.each_queue(&QUEUE_LAG_SECONDS, ages);
        self.write_diffs(page, shown, rest);

        let reads: Vec<_> = shown.iter().map(|pair| self.handles.stats.find_reads(&pair.topic, &pair.group)).collect();
        let known = || labels.iter().zip(&reads).filter_map(|(labels, reads)| Some((labels, reads.as_ref()?)));
        page.each(&OUT_MESSAGES, known().map(|(labels, reads)| (labels, reads.messages().total())));
        page.each(&OUT_BYTES, known().map(|(labels, reads)| (labels, reads.bytes().total())));
        page.each(&CONSUMER_TPS, known().map(|(labels, reads)| (labels, per_second(reads.messages(), now))));
        page.each(&CONSUMER_SIZE, known().map(|(labels, reads)| (labels, per_second(reads.bytes(), now))));
    }

    fn write_diffs<'p>(&self, page: &mut Page, shown: &'p [Pair], rest: &'p [Pair]) {
        /// MessageModel's number for clustering; broadcasting groups keep their offsets to themselves.
        const CLUSTERING: u8 = 1;
        let labels = |group: &str, topic: &str, online: usize| {
            Labels::of("group", group)
                .and("topic", topic)
                .and("countOfOnlineConsumers", online)
                .and("msgModel", CLUSTERING)
        };
        let is_retry = |pair: &&Pair| pair.topic.starts_with(RETRY_PREFIX);
        for (metric, retry) in [(&GROUP_DIFF, false), (&GROUP_RETRY_DIFF, true)] {
            let of = |pairs: &'p [Pair]| pairs.iter().filter(move |pair| is_retry(pair) == retry);
            let one = |pair: &Pair| (labels(&pair.group, &pair.topic, pair.online), pair.lag);
            let rest = limited(of(rest), 0, |_| Labels::none(), labels(OTHER, OTHER, 0), |pair| pair.lag);
            page.each(metric, of(shown).map(one).chain(rest));
        }
    }

    fn write_send_backs(&self, page: &mut Page, base: &Labels, pairs: &[Pair], limit: usize, now: Millis) {
        let counters = |name| {
            let mut all = self.handles.stats.all(name);
            all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            all
        };
        type Counted = (String, Arc<Counter>);
        let labels_of = |key: &str| {
            let (topic, group) = key.rsplit_once('@').unwrap_or((key, ""));
            base.clone().and("topic", topic).and("group", group)
        };
        let labels = |counted: &Counted| labels_of(&counted.0);
        let other = || base.clone().and("topic", OTHER).and("group", OTHER);
        let (back, dead) = (counters(Name::SendBackPutNums), counters(Name::SendBackToDlq));
        let minute = |counted: &Counted| counted.1.over(now, MINUTE_MS).sum;
        let total = |counted: &Counted| counted.1.total();
        page.each(&SEND_BACK, limited(back.iter(), limit, labels, other(), minute));
        page.each(&SENT_BACK, limited(back.iter(), limit, labels, other(), total));
        // A pair without dead letters has a 0, so that its first one is an increase, be it before the group commits anything.
        let mut dead: BTreeMap<String, u64> = dead.into_iter().map(|(key, counter)| (key, counter.total())).collect();
        let online = self.handles.clients.consumer_groups();
        let subscribed = online
            .iter()
            .flat_map(|(group, of)| of.subscriptions.keys().map(move |topic| (topic.as_str(), group.as_str())));
        let known = pairs.iter().map(|pair| (&*pair.topic, &*pair.group)).chain(subscribed);
        let topics = self.handles.topics.table();
        for (topic, group) in known.filter(|(topic, _)| !topic.starts_with(RETRY_PREFIX) && topics.get(topic).is_some())
        {
            dead.entry(format!("{topic}@{group}")).or_default();
        }
        let dead: Vec<_> = dead.into_iter().collect();
        let labels = |(key, _): &(String, u64)| labels_of(key);
        page.each(&DEAD_LETTERS, limited(dead.iter(), limit, labels, other(), |(_, total)| *total));
    }

    fn write_clients(&self, page: &mut Page, base: &Labels, limit: usize) {
        let clients = &self.handles.clients;
        let count = |group: &String| {
            let members = clients.consumers(group);
            let joined =
                |of: &dyn Fn(&super::clients::Member) -> String| members.iter().map(of).collect::<Vec<_>>().join(",");
            let labels = Labels::of("caddr", joined(&|member| member.sender.peer.to_string()))
                .and("localaddr", joined(&|member| member.client_id.clone()))
                .and("group", group);
            (labels, members.len())
        };
        page.each(&GROUP_COUNT, clients.consumer_groups().keys().take(limit).map(count));
        let producers: Vec<_> = clients.all_producers().into_iter().collect();
        let labels = |group: &str| base.clone().and("group", group);
        let of = |(group, _): &(String, Vec<_>)| labels(group);
        let count = |(_, members): &(String, Vec<_>)| members.len();
        page.each(&PRODUCER_COUNT, limited(producers.iter(), limit, of, labels(OTHER), count));
    }

    /// What the exporter reads from GET_BROKER_RUNTIME_INFO.
    fn write_runtime(&self, page: &mut Page, now: Millis) {
        let handles = &self.handles;
        let (stats, store, config) = (&handles.stats, &handles.store, handles.config.get());
        let put = stats.of_broker(Name::BrokerPutNums, now);
        let get = stats.of_broker(Name::BrokerGetNums, now);
        let short = Labels::of("cluster", &config.broker_cluster_name)
            .and("brokerIP", config.store_host())
            .and("broker", &config.broker_name);
        page.one(&BROKER_TPS, &short, per_second(&put, now));
        page.one(&BROKER_QPS, &short, per_second(&get, now));

        let base = Labels::of("cluster", &config.broker_cluster_name)
            .and("brokerIP", config.store_host())
            .and("brokerHost", config.store_host())
            .and("des", "V5_3_3")
            .and("boottime", stats.started)
            .and("broker_version", VERSION);
        let (put_today, get_today) = stats.totals(now);
        let (puts, gets) = stats.mornings();
        page.one(&PUT_TODAY, &base, put_today);
        page.one(&GET_TODAY, &base, get_today);
        page.one(&PUT_TODAY_MORNING, &base, puts.today);
        page.one(&PUT_YESTERDAY_MORNING, &base, puts.yesterday);
        page.one(&GET_TODAY_MORNING, &base, gets.today);
        page.one(&GET_YESTERDAY_MORNING, &base, gets.yesterday);
        let size: u64 =
            store.topics().iter().flat_map(|topic| store.queues_of(topic)).map(|queue| queue.bytes_put()).sum();
        page.one(&PUT_SIZE_TOTAL, &base, size);
        page.known(&PUT_SIZE_AVERAGE, &base, (put.total() > 0).then(|| size as f64 / put.total() as f64));
        page.one(&PUT_TIMES_TOTAL, &base, put.total());
        page.one(&PUT_TIME_MAX, &base, stats.put_times.max_ms());
        page.known(&EARLIEST_MESSAGE, &base, store.earliest_time().ok().flatten());
        page.one(&ACCEPT_SENDS_FROM, &base, config.start_accept_send_request_time_stamp);
        let disks = store.disk_state();
        let log = disks.part(StorePart::Log);
        page.known(&LOG_DISK_RATIO, &base, log.and_then(PathSpace::used_ratio));
        page.known(&QUEUE_DISK_RATIO, &base, disks.part(StorePart::Queues).and_then(PathSpace::used_ratio));
        page.known(&LOG_DISK_FREE, &base, log.and_then(|path| path.space).map(|space| space.free));
        page.known(&LOG_DISK_TOTAL, &base, log.and_then(|path| path.space).map(|space| space.total));
        let (log_min, log_max) = (store.log_min().0, store.log_max().0);
        page.one(&LOG_MAX, &base, log_max);
        page.one(&LOG_MIN, &base, log_min);
        page.one(&TO_FLUSH, &base, log_max.saturating_sub(store.flushed().get()));
        page.one(&DISPATCH_BEHIND, &base, log_max.saturating_sub(store.visible().get()));
        for (metrics, counter) in
            [([&PUT_TPS_10, &PUT_TPS_60, &PUT_TPS_600], &put), ([&GET_TPS_10, &GET_TPS_60, &GET_TPS_600], &get)]
        {
            for (metric, span_ms) in metrics.into_iter().zip([10_000, MINUTE_MS, 10 * MINUTE_MS]) {
                page.one(metric, &base, counter.over(now, span_ms).tps);
            }
        }
        let buckets = [
            &PMDT_0, &PMDT_10, &PMDT_50, &PMDT_100, &PMDT_200, &PMDT_500, &PMDT_1S, &PMDT_2S, &PMDT_3S, &PMDT_4S,
            &PMDT_5S, &PMDT_10S, &PMDT_MORE,
        ];
        for (metric, count) in buckets.into_iter().zip(stats.put_times.last_minute().into_iter().flatten()) {
            page.one(metric, &base, count);
        }
    }

    fn write_disks(&self, page: &mut Page, base: &Labels) {
        let state = self.handles.store.disk_state();
        let labelled = |path: &PathSpace| base.clone().and("part", path.part.name()).and("path", path.path.display());
        let parts: Vec<_> = state.paths.iter().map(|path| (labelled(path), path)).collect();
        let known = || parts.iter().filter_map(|(labels, path)| Some((labels, path.space?)));
        page.each(&DISK_TOTAL, known().map(|(labels, space)| (labels, space.total)));
        page.each(&DISK_FREE, known().map(|(labels, space)| (labels, space.free)));
        page.each(&DISK_RATIO, parts.iter().filter_map(|(labels, path)| Some((labels, path.used_ratio()?))));
        let limits = state.limits;
        let limits = [
            ("clean", Some(limits.clean_percent)),
            ("force", limits.force_percent),
            ("refuse", Some(limits.refuse_percent)),
            ("resume", Some(limits.resume_percent)),
        ];
        let limit =
            |(name, percent): (&str, Option<u32>)| Some((base.clone().and("limit", name), f64::from(percent?) / 100.0));
        page.each(&DISK_LIMIT, limits.into_iter().filter_map(limit));
    }

    fn write_store(&self, page: &mut Page, base: &Labels) {
        let store = &self.handles.store;
        page.one(&STORE_WRITABLE, base, u8::from(store.write_state().is_ok()));
        page.one(&FLUSH_RUNNING, base, store.flush_times().running().as_secs_f64());
        let end = store.log_max().0;
        page.one(&UNFLUSHED, base, end.saturating_sub(store.flushed().get()));
        page.one(&UNDERIVED, base, end.saturating_sub(store.derived_durable().get()));
    }

    fn write_loops(&self, page: &mut Page, base: &Labels) {
        let (handles, counts) = (&self.handles, self.watch.counts());
        page.one(&HELD_PULLS, base, handles.held.total());
        page.one(&CONNECTIONS, base, counts.connections);
        page.one(&FRAMES, base, counts.frames);
        page.one(&CONNECTIONS_REFUSED, base, counts.connections_refused);
        let closed = |(reason, count)| (base.clone().and("reason", reason), count);
        page.each(&CONNECTIONS_CLOSED, counts.closed().into_iter().map(closed));
        handles.figures.refused_by_loops("slow_requests_full", counts.slow_refused);
        page.registered(handles.figures.registry());
        let standing = |(server, has)| (base.clone().and("name_server", server), u8::from(has));
        page.each(&REGISTERED, handles.registration.standings().into_iter().map(standing));
        page.one(&MISMATCHES, base, handles.clients.mismatches());
        page.one(&UNCONSUMED, base, handles.stats.unconsumed_queues.load(Relaxed));
    }

    fn write_bounds(&self, page: &mut Page, base: &Labels) {
        let bounds = self.bounds();
        let labels = |bound| base.clone().and("bound", bound);
        page.each(&BOUND_LIMIT, bounds.iter().map(|(bound, limit, _)| (labels(bound), limit)));
        page.each(&BOUND_USED, bounds.iter().map(|(bound, _, used)| (labels(bound), used)));
    }

    /// Every bound that may make the broker refuse or hold back something: its name, what it allows, what is used.
    fn bounds(&self) -> Vec<(&'static str, u64, u64)> {
        let handles = &self.handles;
        let (limits, counts) = (self.watch.limits(), self.watch.counts());
        let figures = &handles.figures;
        let (tail, tail_max) = handles.store.tail_bytes();
        let (keys, keys_max) = handles.stats.keys();
        let held = handles.held.most();
        let (room, room_used) = self.slow.room();
        let memory = handles.config.get().memory;
        vec![
            ("connections", limits.connections_max as u64, counts.connections as u64),
            ("unsent_bytes", limits.unsent_total_max as u64, counts.unsent as u64),
            ("receive_memory_bytes", limits.receive_memory_max as u64, counts.receive_memory as u64),
            ("slow_requests", control::IN_FLIGHT_MAX as u64, self.slow.in_flight() as u64),
            ("slow_requests_bytes", room, room_used),
            ("held_pulls_of_a_loop", memory.held_pulls_max as u64, held as u64),
            ("sends_waiting_for_flush", memory.flush_waits_max as u64, figures.most(|row| &row.flush_waits)),
            ("topics_in_making", TOPICS_IN_MAKING_MAX as u64, figures.most(|row| &row.topics_in_making)),
            ("sends_waiting_for_topics", SENDS_WAITING_FOR_TOPICS_MAX as u64, figures.most(|row| &row.sends_waiting)),
            (
                "sends_waiting_for_topics_bytes",
                memory.waiting_sends_len_max as u64,
                figures.most(|row| &row.sends_waiting_bytes),
            ),
            ("cold_reads", (READS_WAITING_MAX + READERS) as u64, figures.cold_reads.load(Relaxed) as u64),
            ("requests_to_clients", relays::PENDING_MAX as u64, handles.relays.pending() as u64),
            ("queue_units_in_memory_bytes", tail_max, tail),
            ("statistics_keys", keys_max as u64, keys as u64),
        ]
    }

    /// Whether the broker can do its work: each condition with what it found, and whether that is good.
    pub fn readiness(&self) -> Vec<(&'static str, Result<String, String>)> {
        let standings = self.handles.registration.standings();
        let missing: Vec<_> = standings.iter().filter(|(_, has)| !has).map(|(addr, _)| addr.as_str()).collect();
        let registered = match (standings.len(), missing.len()) {
            (0, _) => Ok("no name server is to be told".to_owned()),
            (all, none) if all == none => Err(format!("no name server has this broker: {}", missing.join(", "))),
            (_, 0) => Ok("at every name server".to_owned()),
            _ => Ok(format!("not at {}", missing.join(", "))),
        };
        let disk = match self.handles.store.write_state() {
            Ok(()) => Ok("can be written".to_owned()),
            Err(AppendError::ShuttingDown) => Err("the store is being closed".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        vec![("registered", registered), ("disk", disk)]
    }
}

/// Queues up to which a scrape brings the rates up to date; beyond, they are up to ten seconds old.
const REFRESHED_QUEUES_MAX: usize = 2000;

/// So many queues of a pair have series of their own for each label set that is allowed.
const QUEUES_PER_PAIR: usize = 16;

const MINUTE_MS: u64 = 60_000;

fn per_second(counter: &Counter, now: Millis) -> f64 {
    counter.over(now, MINUTE_MS).tps
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// Series of the first `limit` items; the values of the rest are added up under `other`.
fn limited<'i, T: 'i, V: std::iter::Sum<V>>(
    items: impl Iterator<Item = &'i T>,
    limit: usize,
    labels: impl Fn(&T) -> Labels,
    other: Labels,
    value: impl Fn(&T) -> V,
) -> impl Iterator<Item = (Labels, V)> {
    let (mut items, mut shown) = (items.fuse(), 0..limit);
    std::iter::from_fn(move || {
        let item = items.next()?;
        match shown.next() {
            Some(_) => Some((labels(item), value(item))),
            None => Some((other.clone(), std::iter::once(item).chain(&mut items).map(&value).sum())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::Kind;
    use crate::broker::fixture::{Broker, START};
    use crate::net::control::ControlRuntime;
    use crate::wire::codes::request;

    struct Scrape(String);

    impl Scrape {
        fn of(broker: &Broker, label_limit: usize) -> Scrape {
            let runtime = ControlRuntime::start().unwrap();
            let collector = Collector::new(broker.handles.clone(), Watch::of_nothing(), runtime.control());
            Scrape::again(&collector, label_limit)
        }

        fn again(collector: &Collector, label_limit: usize) -> Scrape {
            let mut page = Page::default();
            collector.collect(&mut page, label_limit);
            Scrape(page.finish())
        }

        /// The value of the series of `name` whose labels contain all of `parts`.
        fn get(&self, name: &str, parts: &[&str]) -> Option<&str> {
            let mut found = self.0.lines().filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && parts.iter().all(|part| line.contains(part))
            });
            let line = found.next()?;
            assert_eq!(found.next(), None, "{name} {parts:?}");
            line.rsplit(' ').next()
        }
    }

    fn topic_with(broker: &Broker, topic: &str, group: &str, committed: &[(u32, i64)]) {
        broker.handles.topics.create_in_send(topic, "TBW102", 4, false).unwrap();
        broker.handles.groups.get_or_create(group).unwrap();
        committed.iter().for_each(|(queue, at)| {
            broker.handles.offsets.commit(group, topic, crate::base::position::QueueId(*queue), *at)
        });
    }

    #[test]
    fn lag_is_told_in_messages_and_seconds_and_what_is_unknown_is_absent() {
        let broker = Broker::new("metrics-lag");
        for body in ["a", "b", "c"] {
            broker.put("T", 0, body, &[]);
            broker.handles.clock.advance(1000);
        }
        broker.put("T", 1, "d", &[]);
        broker.put("T", 2, "e", &[]);
        // Queue 0 is two behind, queue 1 is read, queue 2 has no offset, queue 3 has one behind its end.
        topic_with(&broker, "T", "G", &[(0, 1), (1, 1), (3, 9)]);
        broker.handles.clock.advance(500);
        let scrape = Scrape::of(&broker, 100);
        let of = ["topic=\"T\"", "group=\"G\""];
        assert_eq!(scrape.get("rocketmq_lag_messages", &of), Some("2"), "{}", scrape.0);
        assert_eq!(scrape.get("rocketmq_lag_seconds", &of), Some("2.5"));
        assert_eq!(scrape.get("rocketmq_group_get_latency_by_storetime", &of), Some("2500"));
        assert_eq!(scrape.get("rocketmq_consumer_offset", &of), Some("2"));
        assert_eq!(
            scrape.get("rocketmq_group_diff", &["group=\"G\",topic=\"T\",countOfOnlineConsumers=\"0\",msgModel=\"1\""]),
            Some("2")
        );
        let queue = |name: &str, queue: &str| {
            let queue = format!("queue=\"{queue}\"");
            scrape.get(name, &["topic=\"T\"", "group=\"G\"", &queue]).map(str::to_owned)
        };
        assert_eq!(queue("rocketmq_queue_lag_messages", "0").as_deref(), Some("2"));
        assert_eq!(queue("rocketmq_queue_lag_seconds", "0").as_deref(), Some("2.5"));
        assert_eq!(queue("rocketmq_queue_lag_messages", "1").as_deref(), Some("0"));
        assert_eq!(queue("rocketmq_queue_lag_seconds", "1").as_deref(), Some("0"));
        for unknown in ["2", "3"] {
            assert_eq!(queue("rocketmq_queue_lag_messages", unknown), None);
            assert_eq!(queue("rocketmq_queue_lag_seconds", unknown), None);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_an_age_unknown_and_not_negative() {
        let broker = Broker::new("metrics-clock");
        broker.handles.clock.advance(60_000);
        broker.put("T", 0, "a", &[]);
        topic_with(&broker, "T", "G", &[(0, 0)]);
        let runtime = ControlRuntime::start().unwrap();
        let collector = Collector::new(broker.handles.clone(), Watch::of_nothing(), runtime.control());
        let topics = collector.topics();
        let pairs = collector.pairs(&topics, START);
        let pair = pairs.iter().find(|pair| &*pair.topic == "T").unwrap();
        assert_eq!((pair.lag, pair.age_ms, pair.queues[0].age_ms), (1, None, None));
    }

    #[test]
    fn series_of_deleted_topics_and_groups_go() {
        let broker = Broker::new("metrics-deleted");
        for topic in ["KEPT", "GONE"] {
            broker.put(topic, 0, "a", &[]);
            topic_with(&broker, topic, "G", &[(0, 0)]);
            topic_with(&broker, topic, "H", &[(0, 0)]);
        }
        let runtime = ControlRuntime::start().unwrap();
        let collector = Collector::new(broker.handles.clone(), Watch::of_nothing(), runtime.control());
        let before = Scrape::again(&collector, 100).0;
        assert!(before.contains("topic=\"GONE\"") && before.contains("group=\"H\""));
        assert_eq!(broker.call(1, request::DELETE_TOPIC_IN_BROKER, &[("topic", "GONE")], &[]).code, 0);
        assert_eq!(broker.call(1, request::DELETE_SUBSCRIPTIONGROUP, &[("groupName", "H")], &[]).code, 0);
        let after = Scrape::again(&collector, 100).0;
        assert!(!after.contains("GONE") && !after.contains("group=\"H\""), "{after}");
        assert!(after.contains("topic=\"KEPT\",group=\"G\""));
    }

    #[test]
    fn who_subscribes_has_no_dead_letters_before_the_first() {
        let broker = Broker::new("metrics-dead");
        broker.handles.topics.create_in_send("T", "TBW102", 4, false).unwrap();
        let beat = br#"{"clientID":"c","consumerDataSet":[{"groupName":"G","messageModel":"CLUSTERING","subscriptionDataSet":[{"subString":"*","topic":"T"},{"subString":"*","topic":"%RETRY%G"},{"subString":"*","topic":"GONE"}]}]}"#;
        assert_eq!(broker.call(1, request::HEART_BEAT, &[], beat).code, 0);
        let scrape = Scrape::of(&broker, 100);
        assert_eq!(scrape.get("rocketmq_group_dead_letters_total", &[]), Some("0"), "{}", scrape.0);
        assert_eq!(scrape.get("rocketmq_group_dead_letters_total", &["topic=\"T\",group=\"G\""]), Some("0"));
    }

    #[test]
    fn what_is_beyond_the_limit_on_labels_is_summed_up_under_other() {
        let broker = Broker::new("metrics-limit");
        for topic in ["T1", "T2", "T3", "T4"] {
            broker.put(topic, 0, "a", &[]);
            topic_with(&broker, topic, "G", &[(0, 0)]);
            broker.handles.clock.advance(1000);
        }
        let scrape = Scrape::of(&broker, 2);
        assert_eq!(scrape.get("rocketmq_lag_messages", &["topic=\"T1\""]), Some("1"));
        assert_eq!(scrape.get("rocketmq_lag_messages", &["topic=\"T3\""]), None);
        assert_eq!(scrape.get("rocketmq_lag_messages", &["topic=\"other\",group=\"other\""]), Some("2"));
        assert_eq!(scrape.get("rocketmq_lag_seconds", &["topic=\"other\",group=\"other\""]), Some("2"));
        assert_eq!(scrape.get("rocketmq_group_diff", &["group=\"other\""]), Some("2"));
        let series = scrape.0.lines().filter(|line| line.starts_with("rocketmq_topic_in_messages_total{")).count();
        assert_eq!(series, 3, "two topics and the rest");
    }

    #[test]
    fn names_and_labels_are_the_exporters_where_it_has_one() {
        let prescribed = include_str!("../../tests/golden/exporter-metrics.txt");
        let mut served = 0;
        for (name, labels) in prescribed.lines().filter_map(|line| line.split_once(' ')) {
            if let Some(metric) = ALL.iter().find(|metric| metric.name == name) {
                assert_eq!((metric.labels, metric.kind), (labels, Kind::Gauge), "{name}");
                served += 1;
            }
        }
        assert!(served >= 55, "{served}");
    }

    #[test]
    fn every_bound_has_a_limit_and_a_fill_and_refusals_have_their_reasons() {
        let broker = Broker::new("metrics-bounds");
        broker.call(1, request::GET_TOPIC_CONFIG, &[("topic", "NOPE")], &[]);
        let scrape = Scrape::of(&broker, 100);
        let limits = scrape.0.lines().filter(|line| line.starts_with("rocketmq_bound_limit{")).count();
        assert_eq!(limits, 14, "{}", scrape.0);
        assert_eq!(scrape.get("rocketmq_bound_limit", &["bound=\"held_pulls_of_a_loop\""]), Some("100000"));
        assert_eq!(scrape.get("rocketmq_bound_used", &["bound=\"held_pulls_of_a_loop\""]), Some("0"));
        assert_eq!(
            scrape.get("rocketmq_requests_refused_total", &["reason=\"topic_not_exist\""]),
            Some("1"),
            "{}",
            scrape.0
        );
        assert_eq!(scrape.get("rocketmq_store_writable", &[]), Some("1"));
    }
}
