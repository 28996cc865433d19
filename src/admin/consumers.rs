//! Commands about groups and their clients: settings, lag, who is connected.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::arguments::Arguments;
use super::output::Output;
use super::session::{Session, addr_of, read};
use super::{Failure, topics};
use crate::wire::body::{
    Connection, ConsumeStats, ConsumeType, ConsumerConnection, ConsumerRunningInfo, GroupRetryPolicy, MessageQueue,
    ProducerConnection, SubscriptionGroupConfig, TopicRouteData,
};
use crate::wire::codes::{request, response};
use crate::wire::command::{Value, version_name};
use crate::wire::fastjson;

// === Settings of groups ===

pub(super) fn update_group(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let attributes = topics::attributes(given.get("attributes").unwrap_or_default())?;
    let mut group = SubscriptionGroupConfig {
        group_name: given.need("groupName")?.to_owned(),
        consume_enable: given.bool("consumeEnable")?.unwrap_or(true),
        consume_from_min_enable: given.bool("consumeFromMinEnable")?.unwrap_or(false),
        consume_broadcast_enable: given.bool("consumeBroadcastEnable")?.unwrap_or(false),
        consume_message_orderly: given.bool("consumeMessageOrderly")?.unwrap_or(false),
        notify_consumer_ids_changed_enable: given.bool("notifyConsumerIdsChanged")?.unwrap_or(true),
        attributes,
        ..SubscriptionGroupConfig::default()
    };
    group.retry_queue_nums = given.number("retryQueueNums")?.unwrap_or(group.retry_queue_nums);
    group.retry_max_times = given.number("retryMaxTimes")?.unwrap_or(group.retry_max_times);
    group.broker_id = given.number("brokerId")?.unwrap_or(group.broker_id);
    let slowly = given.number("whichBrokerWhenConsumeSlowly")?;
    group.which_broker_when_consume_slowly = slowly.unwrap_or(group.which_broker_when_consume_slowly);
    if let Some(policy) = given.get("groupRetryPolicy") {
        group.group_retry_policy = fastjson::from_slice::<GroupRetryPolicy>(policy.as_bytes())
            .map_err(|error| Failure::Usage(format!("-p {policy}: a retry policy in JSON is needed: {error}")))?;
    }
    let brokers = session.brokers(given.get("brokerAddr"), given.get("clusterName"))?;
    for addr in &brokers {
        session.call(addr, request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], &group.to_json())?;
        out.line(format_args!("create subscription group to {addr} success."))?;
    }
    out.line(text(&group))?;
    out.record(json!({"group": group.group_name, "brokers": brokers}))
}

/// A group as Java's tools show it.
fn text(group: &SubscriptionGroupConfig) -> String {
    let policy = &group.group_retry_policy;
    let exponential = policy.exponential_retry_policy.as_ref().map_or("null".to_owned(), |policy| {
        format!(
            "ExponentialRetryPolicy{{initial={}, max={}, multiplier={}}}",
            policy.initial, policy.max, policy.multiplier
        )
    });
    let customized = policy.customized_retry_policy.as_ref().map_or("null".to_owned(), |policy| {
        let next: Vec<String> = policy.next.iter().map(ToString::to_string).collect();
        format!("CustomizedRetryPolicy{{next=[{}]}}", next.join(", "))
    });
    let attributes: Vec<String> = group.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "SubscriptionGroupConfig{{groupName={}, consumeEnable={}, consumeFromMinEnable={}, consumeBroadcastEnable={}, \
         consumeMessageOrderly={}, retryQueueNums={}, retryMaxTimes={}, groupRetryPolicy=GroupRetryPolicy{{type={}, \
         exponentialRetryPolicy={exponential}, customizedRetryPolicy={customized}}}, brokerId={}, \
         whichBrokerWhenConsumeSlowly={}, notifyConsumerIdsChangedEnable={}, groupSysFlag={}, \
         consumeTimeoutMinute={}, subscriptionDataSet=null, attributes={{{}}}}}",
        group.group_name,
        group.consume_enable,
        group.consume_from_min_enable,
        group.consume_broadcast_enable,
        group.consume_message_orderly,
        group.retry_queue_nums,
        group.retry_max_times,
        policy.kind,
        group.broker_id,
        group.which_broker_when_consume_slowly,
        group.notify_consumer_ids_changed_enable,
        group.group_sys_flag,
        group.consume_timeout_minute,
        attributes.join(", ")
    )
}

/// In a cluster, the topics of redelivered and given-up messages go with the group.
pub(super) fn delete_group(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let group = given.need("groupName")?;
    let offsets = given.bool("removeOffset")?.unwrap_or(false);
    let brokers = session.brokers(given.get("brokerAddr"), given.get("clusterName"))?;
    for addr in &brokers {
        let ext = [("groupName", Value::Str(group)), ("cleanOffset", Value::Bool(offsets))];
        session.call(addr, request::DELETE_SUBSCRIPTIONGROUP, &ext, b"")?;
        let cluster = given.get("clusterName").filter(|_| !given.has("brokerAddr"));
        let cluster = cluster.map(|cluster| format!(" in cluster [{cluster}]")).unwrap_or_default();
        out.line(format_args!("delete subscription group [{group}] from broker [{addr}]{cluster} success."))?;
    }
    if let Some(cluster) = given.get("clusterName").filter(|_| !given.has("brokerAddr")) {
        for topic in [format!("%RETRY%{group}"), format!("%DLQ%{group}")] {
            topics::delete_everywhere(session, &topic, cluster, &session.members(cluster)?)?;
        }
    }
    out.record(json!({"group": group, "brokers": brokers, "offsetsRemoved": offsets}))
}

// === Lag ===

pub(super) fn progress(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    match given.get("groupName") {
        Some(group) => progress_of(session, group, given, out),
        None => progress_of_all(session, out),
    }
}

fn progress_of(session: &Session, group: &str, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let stats = stats(session, group, given.get("topicName"), given.get("cluster"))?;
    let owners = given.bool("showClientIP")?.unwrap_or(false).then(|| owners(session, group)).transpose()?;
    if stats.offset_table.is_empty() {
        return Err(Failure::Other(format!(
            "group {group} has consumed nothing yet: no broker of its route keeps an offset of it"
        )));
    }
    match &owners {
        None => out.head(
            "%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s%s",
            &[
                "#Topic",
                "#Broker Name",
                "#QID",
                "#Broker Offset",
                "#Consumer Offset",
                "#Diff",
                "#Inflight",
                "#LastTime",
            ],
        )?,
        Some(_) => out.head(
            "%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s %-20s%s",
            &[
                "#Topic",
                "#Broker Name",
                "#QID",
                "#Broker Offset",
                "#Consumer Offset",
                "#Client IP",
                "#Diff",
                "#Inflight",
                "#LastTime",
            ],
        )?,
    }
    let (mut lag_total, mut inflight_total) = (0, 0);
    for (queue, offsets) in &stats.offset_table {
        let lag = offsets.broker_offset - offsets.consumer_offset;
        // 4.x brokers do not tell what was pulled: that is 0, not less than nothing.
        let inflight = (offsets.pull_offset - offsets.consumer_offset).max(0);
        (lag_total, inflight_total) = (lag_total + lag, inflight_total + inflight);
        let last = if offsets.last_timestamp == 0 {
            "N/A".to_owned()
        } else {
            session.time_in_seconds(offsets.last_timestamp)
        };
        let mut cells = vec![
            ("topic", queue.topic.as_str().into()),
            ("brokerName", queue.broker_name.as_str().into()),
            ("queueId", queue.queue_id.into()),
            ("brokerOffset", offsets.broker_offset.into()),
            ("consumerOffset", offsets.consumer_offset.into()),
            ("diff", lag.into()),
            ("inflight", inflight.into()),
            ("lastTime", last.into()),
        ];
        match &owners {
            None => out.row("%-64.64s  %-32.32s  %-4d  %-20d  %-20d  %-20d %-20d %s", &cells)?,
            Some(owners) => {
                cells.insert(5, ("clientIp", owners.get(queue).map_or("N/A", String::as_str).into()));
                out.row("%-64.64s  %-32.32s  %-4d  %-20d  %-20d  %-20s %-20d %-20d %s", &cells)?;
            }
        }
    }
    out.line(format_args!("\nConsume TPS: {:.2}", stats.consume_tps))?;
    out.line(format_args!("Consume Diff Total: {lag_total}"))?;
    out.line(format_args!("Consume Inflight Total: {inflight_total}"))
}

fn progress_of_all(session: &Session, out: &mut Output<'_>) -> Result<(), Failure> {
    out.head(
        "%-64s  %-6s  %-24s %-5s  %-14s  %-7s  %s",
        &["#Group", "#Count", "#Version", "#Type", "#Model", "#TPS", "#Diff Total"],
    )?;
    for group in topics::all(session)?.iter().filter_map(|topic| topic.strip_prefix("%RETRY%")) {
        // What a group lacks is shown as nothing; a group is never left out.
        let stats = stats(session, group, None, None).unwrap_or_default();
        let online = consumers(session, group).ok();
        let count = online.as_ref().map_or(0, |online| online.connection_set.len());
        let oldest = online.iter().flat_map(|online| &online.connection_set).map(|connection| connection.version).min();
        let kind = match online.as_ref().map(|online| online.consume_type) {
            None => "",
            Some(ConsumeType::Actively) => "PULL",
            Some(_) => "PUSH",
        };
        let pushes = online.filter(|online| online.consume_type == ConsumeType::Passively);
        let model = pushes.map_or("", |online| online.message_model.name());
        let lag: i64 = stats.offset_table.values().map(|offsets| offsets.broker_offset - offsets.consumer_offset).sum();
        out.row(
            "%-64.64s  %-6d  %-24s %-5s  %-14s  %-7d  %d",
            &[
                ("group", group.into()),
                ("count", count.into()),
                ("version", oldest.map_or("OFFLINE".to_owned(), version_name).into()),
                ("type", kind.into()),
                ("model", model.into()),
                ("tps", (stats.consume_tps as i64).into()),
                ("diffTotal", lag.into()),
            ],
        )?;
    }
    Ok(())
}

/// The brokers that know a group: those of its retry topic's route, or of the topic it consumes.
fn route_of_group(session: &Session, group: &str, topic: Option<&str>) -> Result<TopicRouteData, Failure> {
    let retry = format!("%RETRY%{group}");
    for topic in [Some(retry.as_str()), topic].into_iter().flatten() {
        if let Some(route) = session.find_route(topic)? {
            return Ok(route);
        }
    }
    Err(Failure::Other(format!(
        "no broker knows group {group}: it has never been online, or its name is another; consumerProgress lists all"
    )))
}

/// A group's place in its queues, on all brokers that know it.
pub(super) fn stats(
    session: &Session,
    group: &str,
    topic: Option<&str>,
    cluster: Option<&str>,
) -> Result<ConsumeStats, Failure> {
    let code = request::GET_CONSUME_STATS;
    let route = match cluster {
        Some(cluster) => session.route(cluster)?,
        None => route_of_group(session, group, topic)?,
    };
    let mut all = ConsumeStats::default();
    for addr in route.broker_datas.iter().filter_map(addr_of) {
        let mut ext = vec![("consumerGroup", Value::Str(group))];
        ext.extend(topic.map(|topic| ("topic", Value::Str(topic))));
        let answer = session.call(addr, code, &ext, b"")?;
        let stats = read(ConsumeStats::parse(&answer.body), addr, code)?;
        all.offset_table.extend(stats.offset_table);
        all.consume_tps += stats.consume_tps;
    }
    Ok(all)
}

/// Which client holds which queue, by what the clients say themselves.
fn owners(session: &Session, group: &str) -> Result<BTreeMap<MessageQueue, String>, Failure> {
    let mut owners = BTreeMap::new();
    for connection in consumers(session, group)?.connection_set {
        let ip = connection.client_id.split('@').next().unwrap_or_default().to_owned();
        if let Ok(info) = running_info(session, group, &connection.client_id, false) {
            owners.extend(info.mq_table.into_keys().map(|queue| (queue, ip.clone())));
        }
    }
    Ok(owners)
}

// === Clients ===

/// A group's members; the first broker that has any tells.
pub(super) fn consumers(session: &Session, group: &str) -> Result<ConsumerConnection, Failure> {
    let route = route_of_group(session, group, None)?;
    for addr in route.broker_datas.iter().filter_map(addr_of) {
        if let Some(online) = consumers_at(session, addr, group)? {
            return Ok(online);
        }
    }
    Err(Failure::Other(format!("no member of group {group} is online")))
}

pub(super) fn consumers_at(session: &Session, addr: &str, group: &str) -> Result<Option<ConsumerConnection>, Failure> {
    let code = request::GET_CONSUMER_CONNECTION_LIST;
    match session.call(addr, code, &[("consumerGroup", Value::Str(group))], b"") {
        Err(failure) if failure.response() == Some(response::CONSUMER_NOT_ONLINE) => Ok(None),
        answer => read(ConsumerConnection::parse(&answer?.body), addr, code)
            .map(|online| Some(online).filter(|online| !online.connection_set.is_empty())),
    }
}

/// What a client says of itself, asked through the brokers that it is connected to.
pub(super) fn running_info(
    session: &Session,
    group: &str,
    client: &str,
    stacks: bool,
) -> Result<ConsumerRunningInfo, Failure> {
    let code = request::GET_CONSUMER_RUNNING_INFO;
    let ext =
        [("consumerGroup", Value::Str(group)), ("clientId", Value::Str(client)), ("jstackEnable", Value::Bool(stacks))];
    let route = route_of_group(session, group, None)?;
    let mut last = None;
    for addr in route.broker_datas.iter().filter_map(addr_of) {
        match session.call(addr, code, &ext, b"") {
            Ok(answer) => return read(ConsumerRunningInfo::parse(&answer.body), addr, code),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| Failure::Other(format!("group {group} has no broker"))))
}

pub(super) fn consumer_connection(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let group = given.need("consumerGroup")?;
    let online = match given.get("brokerAddr") {
        Some(broker) => {
            let addr = session.broker(broker)?;
            let online = consumers_at(session, &addr, group)?;
            online.ok_or_else(|| Failure::Other(format!("no member of group {group} is connected to {addr}")))?
        }
        None => consumers(session, group)?,
    };
    const FORMAT: &str = "%-36s %-22s %-10s %s";
    if out.is_json() {
        let members: Vec<_> = online.connection_set.iter().map(member).collect();
        let subscriptions: BTreeMap<_, _> =
            online.subscription_table.iter().map(|(topic, data)| (topic, &data.sub_string)).collect();
        return out.record(json!({"group": group, "members": members, "subscriptions": subscriptions,
            "consumeType": online.consume_type.name(), "messageModel": online.message_model.name(),
            "consumeFromWhere": online.consume_from_where.name()}));
    }
    out.head(FORMAT, &["#ClientId", "#ClientAddr", "#Language", "#Version"])?;
    for connection in &online.connection_set {
        let version = version_name(connection.version);
        out.head(FORMAT, &[&connection.client_id, &connection.client_addr, &connection.language, &version])?;
    }
    out.line("\nBelow is subscription:")?;
    out.head("%-20s %s", &["#Topic", "#SubExpression"])?;
    for (topic, data) in &online.subscription_table {
        out.head("%-20s %s", &[topic, &data.sub_string])?;
    }
    out.line("")?;
    out.line(format_args!("ConsumeType: {}", online.consume_type.name()))?;
    out.line(format_args!("MessageModel: {}", online.message_model.name()))?;
    out.line(format_args!("ConsumeFromWhere: {}", online.consume_from_where.name()))
}

fn member(connection: &Connection) -> serde_json::Value {
    json!({"clientId": connection.client_id, "clientAddr": connection.client_addr,
        "language": connection.language, "version": version_name(connection.version)})
}

pub(super) fn producer_connection(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let (group, topic) = (given.need("producerGroup")?, given.need("topic")?);
    let code = request::GET_PRODUCER_CONNECTION_LIST;
    let mut members = BTreeSet::new();
    for addr in session.route(topic)?.broker_datas.iter().filter_map(addr_of) {
        match session.call(addr, code, &[("producerGroup", Value::Str(group))], b"") {
            // Java answers SYSTEM_ERROR when the group is not online.
            Err(failure) if failure.response() == Some(response::SYSTEM_ERROR) => {}
            answer => members.extend(read(ProducerConnection::parse(&answer?.body), addr, code)?.connection_set),
        }
    }
    if members.is_empty() {
        return Err(Failure::Other(format!("no member of producer group {group} is connected to a broker of {topic}")));
    }
    for (index, connection) in members.iter().enumerate() {
        if out.is_json() {
            out.record(member(connection))?;
            continue;
        }
        let version = version_name(connection.version);
        let index = format!("{:04}", index + 1);
        out.head(
            "%s  %-32s %-22s %-8s %s",
            &[&index, &connection.client_id, &connection.client_addr, &connection.language, &version],
        )?;
    }
    Ok(())
}
