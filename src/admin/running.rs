//! `consumerStatus`: what each member of a group says of its own inside, and whether they agree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::Failure;
use super::arguments::Arguments;
use super::consumers::{consumers, consumers_at, running_info};
use super::output::{Output, printf};
use super::session::Session;
use crate::wire::body::{ConsumerRunningInfo, MessageQueue, ProcessQueueInfo, SubscriptionData};
use crate::wire::command::version_name;

/// Java's tools take a queue for stuck that was not pulled for so long.
const PULL_EXPIRED_MS: i64 = 120_000;

pub(super) fn status(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let (group, stacks) = (given.need("consumerGroup")?, given.has("jstack"));
    if let Some(client) = given.get("clientId") {
        let info = running_info(session, group, client, stacks)?;
        out.text(report(session, &info))?;
        return out.record(record(client, &info));
    }
    let online = match given.get("brokerAddr") {
        Some(broker) => consumers_at(session, &session.broker(broker)?, group)?
            .ok_or_else(|| Failure::Other(format!("no member of group {group} is connected to {broker}")))?,
        None => consumers(session, group)?,
    };
    let folder = session.clock.now();
    out.head("%-10s %-40s %-20s %s", &["#Index", "#ClientId", "#Version", "#ConsumerRunningInfoFile"])?;
    let mut members = BTreeMap::new();
    for connection in online.connection_set {
        let info = match running_info(session, group, &connection.client_id, stacks) {
            Ok(info) => info,
            // The others are still worth asking.
            Err(failure) => {
                out.line(format_args!("{} did not answer: {failure}", connection.client_id))?;
                continue;
            }
        };
        let path = format!("{folder}/{}", connection.client_id);
        if !out.is_json() {
            session.keep_report(&path, &report(session, &info))?;
        }
        let cells: [Json; 4] = [
            (members.len() + 1).into(),
            connection.client_id.as_str().into(),
            version_name(connection.version).into(),
            path.into(),
        ];
        out.line(printf("%-10d %-40s %-20s %s", cells.iter()))?;
        out.record(record(&connection.client_id, &info))?;
        members.insert(connection.client_id, info);
    }
    judge(session, &members, out)
}

fn judge(
    session: &Session,
    members: &BTreeMap<String, ConsumerRunningInfo>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    if members.is_empty() {
        return Ok(());
    }
    if !same_subscriptions(members) {
        return out.text("\n\nWARN: Different subscription in the same group of consumer!!!");
    }
    out.text("\n\nSame subscription in the same group of consumer")?;
    let balanced = if balanced(members) { "OK" } else { "Failed" };
    out.text(format_args!("\n\nRebalance {balanced}\n"))?;
    let now = i64::try_from(session.clock.now()).unwrap_or(0);
    for (client, info) in members {
        for (queue, state) in &info.mq_table {
            let silent = now - state.last_pull_timestamp;
            if !state.droped && state.last_pull_timestamp > 0 && silent > PULL_EXPIRED_MS {
                out.line(format_args!(
                    "{client} {} can't consume for a while, maybe blocked, {silent}ms",
                    text(queue)
                ))?;
            }
        }
    }
    Ok(())
}

/// Whether all members subscribe to the same expressions.
fn same_subscriptions(members: &BTreeMap<String, ConsumerRunningInfo>) -> bool {
    let of = |info: &ConsumerRunningInfo| -> BTreeSet<(String, String)> {
        let pair = |data: &SubscriptionData| (data.topic.clone(), data.sub_string.clone());
        info.subscription_set.iter().map(pair).collect()
    };
    let mut all = members.values().map(of);
    let first = all.next();
    all.all(|other| Some(other) == first)
}

/// Whether no queue has two owners.
fn balanced(members: &BTreeMap<String, ConsumerRunningInfo>) -> bool {
    let mut owned = BTreeSet::new();
    let broadcasting =
        |info: &ConsumerRunningInfo| info.properties.get("messageModel").is_some_and(|model| model == "BROADCASTING");
    members.values().all(broadcasting)
        || members.values().flat_map(|info| info.mq_table.keys()).all(|queue| owned.insert(queue))
}

fn text(queue: &MessageQueue) -> String {
    format!("MessageQueue [topic={}, brokerName={}, queueId={}]", queue.topic, queue.broker_name, queue.queue_id)
}

/// A queue inside a member, as Java shows it.
fn inside(session: &Session, state: &ProcessQueueInfo) -> String {
    let time = |millis: i64| {
        session.time_in_seconds(millis).replacen('-', "", 2).replace([' ', ':'], "")
            + &format!("{:03}", millis.rem_euclid(1_000))
    };
    format!(
        "ProcessQueueInfo [commitOffset={}, cachedMsgMinOffset={}, cachedMsgMaxOffset={}, cachedMsgCount={}, \
         cachedMsgSizeInMiB={}, transactionMsgMinOffset={}, transactionMsgMaxOffset={}, transactionMsgCount={}, \
         locked={}, tryUnlockTimes={}, lastLockTimestamp={}, droped={}, lastPullTimestamp={}, \
         lastConsumeTimestamp={}]",
        state.commit_offset,
        state.cached_msg_min_offset,
        state.cached_msg_max_offset,
        state.cached_msg_count,
        state.cached_msg_size_in_mib,
        state.transaction_msg_min_offset,
        state.transaction_msg_max_offset,
        state.transaction_msg_count,
        state.locked,
        state.try_unlock_times,
        time(state.last_lock_timestamp),
        state.droped,
        time(state.last_pull_timestamp),
        time(state.last_consume_timestamp)
    )
}

/// All that a member says, as Java's tools print it.
fn report(session: &Session, info: &ConsumerRunningInfo) -> String {
    let mut report = String::from("#Consumer Properties#\n");
    let mut line = |format: &str, cells: &[Json]| {
        report.push_str(&printf(format, cells.iter()));
        report.push('\n');
    };
    for (key, value) in &info.properties {
        line("%-40s: %s", &[key.as_str().into(), value.as_str().into()]);
    }
    line("\n\n#Consumer Subscription#", &[]);
    for (index, data) in info.subscription_set.iter().enumerate() {
        let cells = [
            (index + 1).into(),
            data.topic.as_str().into(),
            data.class_filter_mode.to_string().into(),
            data.sub_string.as_str().into(),
        ];
        line("%03d Topic: %-40s ClassFilter: %-8s SubExpression: %s", &cells);
    }
    let queue = |queue: &MessageQueue| -> [Json; 3] {
        [queue.topic.as_str().into(), queue.broker_name.as_str().into(), queue.queue_id.into()]
    };
    line("\n\n#Consumer Offset#", &[]);
    let titles = |last: &str| ["#Topic", "#Broker Name", "#QID", last].map(Json::from);
    line("%-64s  %-32s  %-4s  %-20s", &titles("#Consumer Offset"));
    for (key, state) in &info.mq_table {
        let [topic, broker, id] = queue(key);
        line("%-32s  %-32s  %-4d  %-20d", &[topic, broker, id, state.commit_offset.into()]);
    }
    line("\n\n#Consumer MQ Detail#", &[]);
    line("%-64s  %-32s  %-4s  %-20s", &titles("#ProcessQueueInfo"));
    for (key, state) in &info.mq_table {
        let [topic, broker, id] = queue(key);
        line("%-64s  %-32s  %-4d  %s", &[topic, broker, id, inside(session, state).into()]);
    }
    line("\n\n#Consumer Pop Detail#", &[]);
    line("%-32s  %-32s  %-4s  %-20s", &titles("#ProcessQueueInfo"));
    for (key, state) in &info.mq_pop_table {
        let [topic, broker, id] = queue(key);
        let state = format!(
            "PopProcessQueueInfo [waitAckCount:{}, droped:{}, lastPopTimestamp:{}]",
            state.wait_ack_count, state.droped, state.last_pop_timestamp
        );
        line("%-32s  %-32s  %-4d  %s", &[topic, broker, id, state.into()]);
    }
    line("\n\n#Consumer RT&TPS#", &[]);
    let titles = [
        "#Topic",
        "#Pull RT",
        "#Pull TPS",
        "#Consume RT",
        "#ConsumeOK TPS",
        "#ConsumeFailed TPS",
        "#ConsumeFailedMsgsInHour",
    ];
    line("%-64s  %14s %14s %14s %14s %18s %25s", &titles.map(Json::from));
    for (topic, figures) in &info.status_table {
        let cells = [
            topic.as_str().into(),
            figures.pull_rt.into(),
            figures.pull_tps.into(),
            figures.consume_rt.into(),
            figures.consume_ok_tps.into(),
            figures.consume_failed_tps.into(),
            figures.consume_failed_msgs.into(),
        ];
        line("%-32s  %14.2f %14.2f %14.2f %14.2f %18.2f %25d", &cells);
    }
    line("\n\n#User Consume Info#", &[]);
    for (key, value) in &info.user_consumer_info {
        line("%-40s: %s", &[key.as_str().into(), value.as_str().into()]);
    }
    if let Some(stacks) = &info.jstack {
        report.push_str("\n\n#Consumer jstack#\n");
        report.push_str(stacks);
    }
    report
}

fn record(client: &str, info: &ConsumerRunningInfo) -> Json {
    let subscriptions: BTreeMap<&str, &str> =
        info.subscription_set.iter().map(|data| (data.topic.as_str(), data.sub_string.as_str())).collect();
    let queues: Vec<Json> = info
        .mq_table
        .iter()
        .map(|(queue, state)| {
            json!({"topic": queue.topic, "brokerName": queue.broker_name, "queueId": queue.queue_id,
                "commitOffset": state.commit_offset, "cachedMsgCount": state.cached_msg_count,
                "locked": state.locked, "dropped": state.droped, "lastPullTimestamp": state.last_pull_timestamp,
                "lastConsumeTimestamp": state.last_consume_timestamp})
        })
        .collect();
    json!({"clientId": client, "properties": info.properties, "subscriptions": subscriptions, "queues": queues,
        "jstack": info.jstack})
}
