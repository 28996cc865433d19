//! What tools ask about topics, groups and who is connected (INTEROP 06 §12, 04 §4). Nothing here changes anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::position::{PhyOffset, QueueId, QueueOffset};
use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::clients::Member;
use crate::broker::filter::{Subscription, TagFilter};
use crate::broker::handles::Handles;
use crate::broker::stats::Name;
use crate::broker::topics::TopicConfig;
use crate::net::request::OwnedRequest;
use crate::store::{Queue, ScanLimits};
use crate::wire::body::{
    Connection, ConsumeQueueData, ConsumeStats, ConsumeStatsList, ConsumerConnection, GroupList, MessageModel,
    MessageQueue, OffsetWrapper, ProducerConnection, ProducerInfo, ProducerTableInfo, QueryConsumeQueueResponseBody,
    QueryConsumeTimeSpanBody, QuerySubscriptionResponseBody, QueueTimeSpan, SubscriptionData, TopicList, TopicOffset,
    TopicStatsTable,
};
use crate::wire::codes::response;
use crate::wire::command;

/// Most entries of a consume queue in one answer.
const QUEUE_ENTRIES_MAX: usize = 1000;

/// GET_CONSUMER_CONNECTION_LIST.
pub(super) fn consumer_connections(handles: &Handles, request: &OwnedRequest) -> Answered {
    let name = super::text(&request.ext, "consumerGroup")?;
    let Some(group) = handles.clients.group(name) else {
        return Err(Refusal::new(response::CONSUMER_NOT_ONLINE, format!("the consumer group[{name}] not online")));
    };
    let subscriptions = group.subscriptions.iter().map(|(topic, one)| (topic.clone(), subscription_data(one)));
    let body = ConsumerConnection {
        connection_set: handles.clients.consumers(name).iter().map(connection).collect(),
        consume_from_where: group.consume_from_where,
        consume_type: group.consume_type,
        message_model: if group.broadcasting { MessageModel::Broadcasting } else { MessageModel::Clustering },
        subscription_table: subscriptions.collect(),
    };
    Ok(Answer::body(body.to_json()))
}

/// GET_PRODUCER_CONNECTION_LIST.
pub(super) fn producer_connections(handles: &Handles, request: &OwnedRequest) -> Answered {
    let name = super::text(&request.ext, "producerGroup")?;
    let members = handles.clients.producers(name);
    if members.is_empty() {
        return Err(Refusal::system(format!("the producer group[{name}] not exist")));
    }
    let body = ProducerConnection { connection_set: members.iter().map(connection).collect() };
    Ok(Answer::body(body.to_json()))
}

/// GET_ALL_PRODUCER_INFO.
pub(super) fn all_producers(handles: &Handles) -> Answered {
    let info = |member: &Member| ProducerInfo {
        client_id: member.client_id.clone(),
        language: command::language_name(member.sender.language).to_owned(),
        last_update_timestamp: member.last_beat as i64,
        remote_ip: format!("/{}", member.sender.peer),
        version: member.sender.version,
    };
    let groups = handles.clients.all_producers();
    let data = groups.into_iter().map(|(group, members)| (group, members.iter().map(info).collect())).collect();
    Ok(Answer::body(ProducerTableInfo { data }.to_json()))
}

/// QUERY_TOPIC_CONSUME_BY_WHO: the groups that subscribe a topic now or have offsets in it.
pub(super) fn groups_of_topic(handles: &Handles, request: &OwnedRequest) -> Answered {
    let topic = super::text(&request.ext, "topic")?;
    let mut group_list: BTreeSet<_> = handles.offsets.groups_of(topic).into_iter().collect();
    let online = handles.clients.consumer_groups();
    group_list
        .extend(online.into_iter().filter(|(_, group)| group.subscriptions.contains_key(topic)).map(|(name, _)| name));
    Ok(Answer::body(GroupList { group_list }.to_json()))
}

/// QUERY_TOPICS_BY_CONSUMER: the topics in which a group has offsets.
pub(super) fn topics_of_group(handles: &Handles, request: &OwnedRequest) -> Answered {
    let topic_list = handles.offsets.topics_of(super::text(&request.ext, "group")?).into_iter().collect();
    Ok(Answer::body(TopicList { topic_list, ..TopicList::default() }.to_json()))
}

/// QUERY_SUBSCRIPTION_BY_CONSUMER: a group's subscription to one topic; absent members when there is none.
pub(super) fn subscription_of_group(handles: &Handles, request: &OwnedRequest) -> Answered {
    let group = super::text(&request.ext, "group")?;
    let topic = request.ext.get("topic").unwrap_or_default();
    let subscription = handles.clients.group(group).and_then(|members| members.subscription(topic));
    let body = QuerySubscriptionResponseBody {
        group: Some(group.to_owned()),
        subscription_data: subscription.map(|subscription| subscription_data(&subscription)),
        topic: Some(topic.to_owned()),
    };
    Ok(Answer::body(body.to_json()))
}

/// GET_SYSTEM_TOPIC_LIST_FROM_BROKER.
pub(super) fn system_topics(handles: &Handles) -> Answered {
    let table = handles.topics.table();
    let is_system = |topic: &&Arc<TopicConfig>| handles.topics.settings().is_system(&topic.topic_name);
    let topic_list = table.iter().filter(is_system).map(|topic| topic.topic_name.clone()).collect();
    Ok(Answer::body(TopicList { topic_list, ..TopicList::default() }.to_json()))
}

/// GET_TOPIC_CONFIG.
pub(super) fn topic(handles: &Handles, request: &OwnedRequest) -> Answered {
    let topic = known_topic(handles, super::text(&request.ext, "topic")?)?;
    super::json(&*topic)
}

/// GET_SUBSCRIPTIONGROUP_CONFIG.
pub(super) fn group(handles: &Handles, request: &OwnedRequest) -> Answered {
    let name = super::text(&request.ext, "group")?;
    let group = handles.groups.get(name).ok_or_else(|| {
        let remark = format!("No group in this broker. group: {name}");
        Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
    })?;
    super::json(&*group)
}

/// GET_TOPIC_STATS_INFO: the ends of a topic's queues.
pub(super) fn topic_stats(handles: &Handles, request: &OwnedRequest) -> Answered {
    let topic = known_topic(handles, super::text(&request.ext, "topic")?)?;
    let name = &topic.topic_name;
    let ends = |id: u32| {
        let Some(queue) = handles.store.find_queue(name, QueueId(id)) else { return TopicOffset::default() };
        TopicOffset {
            last_update_timestamp: stored_before(handles, &queue, queue.max().0 as i64).max(0),
            max_offset: queue.max().0 as i64,
            min_offset: queue.min().0 as i64,
        }
    };
    let nums = topic.read_queue_nums.max(topic.write_queue_nums);
    let now = handles.refresh_stats();
    let body = TopicStatsTable {
        offset_table: (0..nums).map(|id| (message_queue(handles, name, id), ends(id))).collect(),
        topic_put_tps: Some(handles.stats.tps(Name::TopicPutNums, name, now)),
    };
    Ok(Answer::body(body.to_json()))
}

/// GET_CONSUME_STATS: how far a group is in each queue.
pub(super) fn consume_stats(handles: &Handles, request: &OwnedRequest) -> Answered {
    let group = super::text(&request.ext, "consumerGroup")?;
    let list = request.ext.get("topicList").unwrap_or_default();
    let asked = request.ext.get("topic").filter(|topic| !topic.is_empty());
    let (topics, checked) = match (asked, list.is_empty()) {
        (_, false) => (list.split(';').filter(|topic| !topic.is_empty()).map(str::to_owned).collect(), false),
        (Some(topic), true) => (vec![topic.to_owned()], true),
        (None, true) => (handles.offsets.topics_of(group), true),
    };
    let mut all = ConsumeStats::default();
    for topic in topics.iter().filter(|topic| !checked || subscribes(handles, group, topic)) {
        let Some(config) = handles.topics.get(topic) else { continue };
        let one = place_in_topic(handles, group, &config);
        all.consume_tps += one.consume_tps;
        all.offset_table.extend(one.offset_table);
    }
    Ok(Answer::body(all.to_json()))
}

/// GET_BROKER_CONSUME_STATS: the same for every group of the broker.
pub(super) fn broker_consume_stats(handles: &Handles, request: &OwnedRequest) -> Answered {
    let ordered_only = request.ext.bool("isOrder").unwrap_or(false);
    let mut body =
        ConsumeStatsList { broker_addr: handles.config.get().store_host().to_string(), ..ConsumeStatsList::default() };
    for group in handles.groups.table().sorted().into_keys() {
        let mut of_group = Vec::new();
        for topic in handles.offsets.topics_of(&group) {
            let Some(config) = handles.topics.get(&topic) else { continue };
            if (ordered_only && !config.order) || !subscribes(handles, &group, &topic) {
                continue;
            }
            let one = place_in_topic(handles, &group, &config);
            body.total_diff += one.offset_table.values().map(|at| at.broker_offset - at.consumer_offset).sum::<i64>();
            of_group.push(one);
        }
        body.consume_stats_list.push(BTreeMap::from([(group, of_group)]));
    }
    Ok(Answer::body(body.to_json()))
}

/// QUERY_CONSUME_TIME_SPAN: the times of each queue and of the group's place in it.
pub(super) fn consume_time_span(handles: &Handles, request: &OwnedRequest) -> Answered {
    let (topic, group) = (super::text(&request.ext, "topic")?, super::text(&request.ext, "group")?);
    let config = known_topic(handles, topic)?;
    let now = handles.clock.now() as i64;
    let span = |id: u32| {
        let message_queue = message_queue(handles, topic, id);
        let Some(queue) = handles.store.find_queue(topic, QueueId(id)) else {
            return QueueTimeSpan { message_queue, ..QueueTimeSpan::default() };
        };
        let (min, max) = (queue.min().0 as i64, queue.max().0 as i64);
        let at = handles.offsets.query(group, topic, QueueId(id)).unwrap_or(0);
        let min_time_stamp = stored_before(handles, &queue, min + 1);
        let consume_time_stamp = if at > 0 { stored_before(handles, &queue, at) } else { min_time_stamp };
        let delay_time = if at < max { now - stored_before(handles, &queue, at + 1) } else { 0 };
        let max_time_stamp = stored_before(handles, &queue, max);
        QueueTimeSpan { consume_time_stamp, delay_time, max_time_stamp, message_queue, min_time_stamp }
    };
    let consume_time_span_set = (0..config.write_queue_nums).map(span).collect();
    Ok(Answer::body(QueryConsumeTimeSpanBody { consume_time_span_set }.to_json()))
}

/// QUERY_CONSUME_QUEUE: the entries of a queue, and whether the group's subscription lets them pass.
pub(super) fn consume_queue(handles: &Handles, request: &OwnedRequest) -> Answered {
    let ext = &request.ext;
    let topic = super::text(ext, "topic")?;
    let id = super::number(ext, "queueId")?;
    let index = super::number(ext, "index")?;
    let count = usize::try_from(super::number(ext, "count")?).unwrap_or(0).min(QUEUE_ENTRIES_MAX);
    let queue = u32::try_from(id).ok().and_then(|id| handles.store.find_queue(topic, QueueId(id)));
    let queue = queue.ok_or_else(|| Refusal::system(format!("{id}@{topic} is not exist!")))?;
    let group = ext.get("consumerGroup").filter(|group| !group.is_empty());
    let subscription =
        group.and_then(|group| handles.clients.group(group)).and_then(|members| members.subscription(topic));
    let mut body = QueryConsumeQueueResponseBody {
        max_queue_index: queue.max().0 as i64,
        min_queue_index: queue.min().0 as i64,
        subscription_data: subscription.as_deref().map(subscription_data),
        ..QueryConsumeQueueResponseBody::default()
    };
    let limits = ScanLimits {
        max_messages: count,
        max_messages_on_disk: count,
        max_bytes: usize::MAX,
        max_bytes_on_disk: usize::MAX,
        max_units: count,
        ..ScanLimits::default()
    };
    let mut entries = Vec::new();
    if count > 0 {
        let from = QueueOffset(u64::try_from(index).unwrap_or(0).max(queue.min().0));
        handles.store.scan(&queue, from, &limits, &mut |_| true, &mut entries).map_err(Refusal::system)?;
    }
    let passes = |code| subscription.as_deref().is_none_or(|subscription| subscription.tags.matches(code));
    body.queue_data = entries
        .iter()
        .map(|entry| ConsumeQueueData {
            eval: passes(entry.tags_code),
            physic_offset: entry.phy.0 as i64,
            physic_size: entry.size as i32,
            tags_code: entry.tags_code,
            ..ConsumeQueueData::default()
        })
        .collect();
    Ok(Answer::body(body.to_json()))
}

/// VIEW_BROKER_STATS_DATA.
pub(super) fn stats(handles: &Handles, request: &OwnedRequest) -> Answered {
    let (name, key) = (super::text(&request.ext, "statsName")?, super::text(&request.ext, "statsKey")?);
    let now = handles.refresh_stats();
    match handles.stats.data(name, key, now) {
        Some(data) => Ok(Answer::body(data.to_json())),
        None => Err(Refusal::system(format!("The stats <{name}> <{key}> not exist"))),
    }
}

/// Whether a group that is online subscribes a topic; one that is not may have consumed anything.
pub(super) fn subscribes(handles: &Handles, group: &str, topic: &str) -> bool {
    handles
        .clients
        .group(group)
        .is_none_or(|members| members.subscriptions.is_empty() || members.subscriptions.contains_key(topic))
}

fn place_in_topic(handles: &Handles, group: &str, topic: &TopicConfig) -> ConsumeStats {
    let name = &topic.topic_name;
    let offsets = handles.offsets.of_topic(group, name);
    let place = |id: u32| {
        let at = offsets.get(&id).copied().unwrap_or(0).max(0);
        let queue = handles.store.find_queue(name, QueueId(id));
        OffsetWrapper {
            broker_offset: queue.as_ref().map_or(0, |queue| queue.max().0 as i64),
            consumer_offset: at,
            last_timestamp: queue.map_or(0, |queue| stored_before(handles, &queue, at).max(0)),
            pull_offset: at,
        }
    };
    let now = handles.clock.now();
    ConsumeStats {
        consume_tps: handles.stats.tps(Name::GroupGetNums, &format!("{name}@{group}"), now),
        offset_table: (0..topic.read_queue_nums).map(|id| (message_queue(handles, name, id), place(id))).collect(),
    }
}

/// When the message in front of `offset` was stored; −1 when there is none.
fn stored_before(handles: &Handles, queue: &Queue, offset: i64) -> i64 {
    let Some(index) = u64::try_from(offset).ok().and_then(|offset| offset.checked_sub(1)) else { return -1 };
    match handles.store.store_time(queue, QueueOffset(index)) {
        Ok(time) => time.unwrap_or(-1),
        Err(error) => {
            tracing::warn!("the store time of message {index} of {queue:?} cannot be read: {error}");
            -1
        }
    }
}

pub(super) fn known_topic(handles: &Handles, topic: &str) -> Result<Arc<TopicConfig>, Refusal> {
    handles
        .topics
        .get(topic)
        .ok_or_else(|| Refusal::new(response::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist")))
}

pub(super) fn message_queue(handles: &Handles, topic: &str, id: u32) -> MessageQueue {
    MessageQueue { topic: topic.to_owned(), broker_name: handles.config.get().broker_name.clone(), queue_id: id as i32 }
}

fn connection(member: &Member) -> Connection {
    Connection {
        client_addr: member.sender.peer.to_string(),
        client_id: member.client_id.clone(),
        language: command::language_name(member.sender.language).to_owned(),
        version: member.sender.version,
    }
}

fn subscription_data(subscription: &Subscription) -> SubscriptionData {
    let (mut tags_set, mut code_set) = (BTreeSet::new(), BTreeSet::new());
    if let TagFilter::Codes(codes) = &subscription.tags {
        code_set.extend(codes.iter().copied());
        tags_set.extend(subscription.text.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned));
    }
    SubscriptionData {
        class_filter_mode: false,
        code_set,
        expression_type: subscription.expression_type.clone(),
        sub_string: subscription.text.clone(),
        sub_version: subscription.version,
        tags_set,
        topic: subscription.topic.clone(),
    }
}

/// CONSUME_MESSAGE_DIRECTLY and others name a message by its id: the position in it.
pub(super) fn position_of(id: &str) -> Option<PhyOffset> {
    Some(crate::wire::message::id::OffsetMessageId::parse(id)?.phy_offset)
}
