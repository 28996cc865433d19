//! Commands about brokers: the cluster's table, run-time figures, settings, clean-up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Failure;
use super::arguments::Arguments;
use super::namesrv::print_properties;
use super::output::Output;
use super::session::{Session, brokers_of, read};
use crate::base::properties;
use crate::wire::body::{ClusterInfo, ConsumeStatsList, KVTable};
use crate::wire::codes::request;
use crate::wire::command::Value;

/// Run-time figures of a broker, by Java's keys.
type Figures = BTreeMap<String, String>;

/// How long a broker may think about the lag of all groups, as Java's tool waits.
const CONSUME_STATS_TIMEOUT_MS: u64 = 50_000;

// === clusterList ===

pub(super) fn cluster_list(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let interval: Option<u64> = given.number("interval")?;
    loop {
        let info = session.cluster_info()?;
        if given.has("moreStats") {
            totals(session, &info, given.get("clusterName"), out)?;
        } else {
            table(session, &info, given.get("clusterName"), out)?;
        }
        let Some(seconds) = interval else { return Ok(()) };
        out.line("")?;
        out.flush()?;
        session.pause(Duration::from_secs(seconds.max(1)));
    }
}

/// A broker of the table: cluster, broker name, id, address, and its figures if it answered.
type Member = (String, String, i64, String, Option<Figures>);

/// A broker that does not answer is listed all the same, with what the name server knows.
fn members(session: &Session, info: &ClusterInfo, only: Option<&str>) -> Result<Vec<Member>, Failure> {
    let mut members = Vec::new();
    for cluster in info.cluster_addr_table.keys().filter(|name| only.is_none_or(|only| *name == only)) {
        for broker in brokers_of(info, cluster)? {
            for (id, addr) in &broker.broker_addrs {
                let figures = figures(session, addr);
                if let Err(failure) = &figures {
                    tracing::warn!("{failure}");
                }
                members.push((cluster.clone(), broker.broker_name.clone(), *id, addr.clone(), figures.ok()));
            }
        }
    }
    match only {
        Some(only) if members.is_empty() => brokers_of(info, only).map(|_| members),
        _ => Ok(members),
    }
}

fn figures(session: &Session, addr: &str) -> Result<Figures, Failure> {
    let code = request::GET_BROKER_RUNTIME_INFO;
    let answer = session.call(addr, code, &[], b"")?;
    Ok(read(KVTable::parse(&answer.body), addr, code)?.table)
}

fn table(session: &Session, info: &ClusterInfo, only: Option<&str>, out: &mut Output<'_>) -> Result<(), Failure> {
    out.head(
        "%-22s  %-22s  %-4s  %-22s %-16s  %16s  %30s  %-22s  %-11s  %-12s  %-8s  %-10s",
        &[
            "#Cluster Name",
            "#Broker Name",
            "#BID",
            "#Addr",
            "#Version",
            "#InTPS(LOAD)",
            "#OutTPS(LOAD)",
            "#Timer(Progress)",
            "#PCWait(ms)",
            "#Hour",
            "#SPACE",
            "#ACTIVATED",
        ],
    )?;
    for (cluster, broker, id, addr, figures) in members(session, info, only)? {
        let figures = figures.unwrap_or_default();
        let text = |key: &str| figures.get(key).map(String::as_str).unwrap_or_default();
        let or_n = |key: &str| figures.get(key).map_or("N", String::as_str);
        let number = |key: &str| text(key).trim().parse::<f64>().unwrap_or(0.0);
        let first = |key: &str| text(key).split(' ').next().and_then(|tps| tps.parse().ok()).unwrap_or(0.0);
        let (incoming, outgoing): (f64, f64) = (first("putTps"), first("getTransferredTps"));
        let load_in = format!(
            "{incoming:9.2}({},{}ms)",
            text("sendThreadPoolQueueSize"),
            text("sendThreadPoolQueueHeadWaitTimeMills")
        );
        let load_out = format!(
            "{outgoing:9.2}({},{}ms|{},{}ms)",
            text("pullThreadPoolQueueSize"),
            text("pullThreadPoolQueueHeadWaitTimeMills"),
            or_n("ackThreadPoolQueueSize"),
            or_n("ackThreadPoolQueueHeadWaitTimeMills")
        );
        let timer = format!(
            "{:.0}-{:.0}({:.1}w, {:.1}, {:.1})",
            number("timerReadBehind"),
            number("timerOffsetBehind"),
            number("timerCongestNum") / 10_000.0,
            number("timerEnqueueTps"),
            number("timerDequeueTps")
        );
        // A broker without messages has no oldest one; Java shows the hours since 1970.
        let oldest = number("earliestMessageTimeStamp");
        let hours = if oldest > 0.0 { (session.clock.now() as f64 - oldest) / 3_600_000.0 } else { 0.0 };
        let active = text("brokerActive").eq_ignore_ascii_case("true");
        if out.is_json() {
            out.record(json!({"cluster": cluster, "brokerName": broker, "brokerId": id, "addr": addr,
                "version": text("brokerVersionDesc"), "inTps": incoming, "outTps": outgoing, "hours": hours,
                "commitLogDiskRatio": number("commitLogDiskRatio"), "active": active,
                "answered": !figures.is_empty()}))?;
            continue;
        }
        out.row(
            "%-22s  %-22s  %-4s  %-22s %-16s  %16s  %30s  %-22s  %11s  %-12s  %-8s  %10s",
            &[
                ("cluster", cluster.into()),
                ("brokerName", broker.into()),
                ("brokerId", id.into()),
                ("addr", addr.into()),
                ("version", text("brokerVersionDesc").into()),
                ("in", load_in.into()),
                ("out", load_out.into()),
                ("timer", timer.into()),
                ("pageCacheWait", text("pageCacheLockTimeMills").into()),
                ("hours", format!("{hours:.2}").into()),
                ("space", format!("{:.4}", number("commitLogDiskRatio")).into()),
                ("active", active.to_string().into()),
            ],
        )?;
    }
    Ok(())
}

fn totals(session: &Session, info: &ClusterInfo, only: Option<&str>, out: &mut Output<'_>) -> Result<(), Failure> {
    out.head(
        "%-16s  %-32s %14s %14s %14s %14s",
        &["#Cluster Name", "#Broker Name", "#InTotalYest", "#OutTotalYest", "#InTotalToday", "#OutTotalToday"],
    )?;
    for (cluster, broker, _, _, figures) in members(session, info, only)? {
        let figures = figures.unwrap_or_default();
        let number = |key: &str| figures.get(key).and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or(0);
        let between = |from: &str, to: &str| Json::from(number(to) - number(from));
        out.row(
            "%-16s  %-32s %14d %14d %14d %14d",
            &[
                ("cluster", cluster.into()),
                ("brokerName", broker.into()),
                ("inYesterday", between("msgPutTotalYesterdayMorning", "msgPutTotalTodayMorning")),
                ("outYesterday", between("msgGetTotalYesterdayMorning", "msgGetTotalTodayMorning")),
                ("inToday", between("msgPutTotalTodayMorning", "msgPutTotalTodayNow")),
                ("outToday", between("msgGetTotalTodayMorning", "msgGetTotalTodayNow")),
            ],
        )?;
    }
    Ok(())
}

// === One broker ===

pub(super) fn status(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let several = !given.has("brokerAddr");
    for addr in session.brokers(given.get("brokerAddr"), given.get("clusterName"))? {
        let figures = figures(session, &addr)?;
        for (key, value) in &figures {
            match several {
                true => out.line(format_args!("{addr:<24} {key:<32}: {value}"))?,
                false => out.line(format_args!("{key:<32}: {value}"))?,
            }
        }
        out.record(json!({"addr": addr, "figures": figures}))?;
    }
    Ok(())
}

pub(super) fn get_config(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let mut shown = Vec::new();
    if let Some(broker) = given.get("brokerAddr") {
        let addr = session.broker(broker)?;
        shown.push((format!("============{addr}============"), addr));
    } else {
        let info = session.cluster_info()?;
        for broker in brokers_of(&info, given.need("clusterName")?)? {
            let master = broker.broker_addrs.get(&0).map_or("NO_MASTER", String::as_str);
            for (id, addr) in &broker.broker_addrs {
                let title = match id {
                    0 => format!("============Master: {addr}============"),
                    _ => format!("============My Master: {master}=====Slave: {addr}============"),
                };
                shown.push((title, addr.clone()));
            }
        }
    }
    for (title, addr) in shown {
        out.line(title)?;
        let answer = session.call(&addr, request::GET_BROKER_CONFIG, &[], b"")?;
        print_properties(&addr, &answer.body, out)?;
        out.line("")?;
    }
    Ok(())
}

pub(super) fn update_config(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let text = properties::line(given.need("key")?, given.need("value")?);
    let brokers = match (given.get("brokerAddr"), given.get("clusterName"), given.bool("updateAllBroker")?) {
        (None, Some(cluster), Some(true)) => session.members(cluster)?,
        (broker, cluster, _) => session.brokers(broker, cluster)?,
    };
    for addr in brokers {
        let answer = session.call(&addr, request::UPDATE_BROKER_CONFIG, &[], text.as_bytes())?;
        out.line(format_args!("update broker config success, {addr}"))?;
        // What became of the key, from servers that say it; Java's do not.
        if let Some(told) = &answer.remark {
            out.line(format_args!("  {told}"))?;
        }
        let (key, value) = (given.need("key")?, given.need("value")?);
        out.record(json!({"addr": addr, "key": key, "value": value, "told": answer.remark}))?;
    }
    Ok(())
}

pub(super) fn consume_stats(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let addr = session.broker(given.need("brokerAddr")?)?;
    let least: i64 = given.number("level")?.unwrap_or(0);
    let timeout = Duration::from_millis(given.number("timeoutMillis")?.unwrap_or(CONSUME_STATS_TIMEOUT_MS));
    let code = request::GET_BROKER_CONSUME_STATS;
    let ext = [("isOrder", Value::Bool(given.bool("order")?.unwrap_or(false)))];
    let answer = session.wait(session.client().call(&addr, code, &ext, b"", timeout))?;
    let list = read(ConsumeStatsList::parse(&answer.body), &addr, code)?;
    out.head(
        "%-64s  %-64s  %-32s  %-4s  %-20s  %-20s  %-20s  %s",
        &["#Topic", "#Group", "#Broker Name", "#QID", "#Broker Offset", "#Consumer Offset", "#Diff", "#LastTime"],
    )?;
    let groups = list.consume_stats_list.iter().flatten();
    for (group, stats) in groups.flat_map(|(group, all)| all.iter().map(move |stats| (group, stats))) {
        for (queue, offsets) in &stats.offset_table {
            let lag = offsets.broker_offset - offsets.consumer_offset;
            if lag < least || offsets.last_timestamp <= 0 {
                continue;
            }
            out.row(
                "%-64.64s  %-64.64s  %-32.32s  %-4d  %-20d  %-20d  %-20d  %s",
                &[
                    ("topic", queue.topic.as_str().into()),
                    ("group", group.as_str().into()),
                    ("brokerName", queue.broker_name.as_str().into()),
                    ("queueId", queue.queue_id.into()),
                    ("brokerOffset", offsets.broker_offset.into()),
                    ("consumerOffset", offsets.consumer_offset.into()),
                    ("diff", lag.into()),
                    ("lastTime", session.time_in_seconds(offsets.last_timestamp).into()),
                ],
            )?;
        }
    }
    out.line(format_args!("\nDiff Total: {}", list.total_diff))
}

// === Clean-up ===

pub(super) fn clean_unused_topic(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    clean(session, given, request::CLEAN_UNUSED_TOPIC, out)
}

pub(super) fn clean_expired_queues(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    clean(session, given, request::CLEAN_EXPIRED_CONSUMEQUEUE, out)
}

pub(super) fn delete_expired_log(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    clean(session, given, request::DELETE_EXPIRED_COMMITLOG, out)
}

/// Without `-b` and `-c`, on the masters of every cluster.
fn clean(session: &Session, given: &Arguments, code: i32, out: &mut Output<'_>) -> Result<(), Failure> {
    let brokers = match (given.get("brokerAddr"), given.get("cluster")) {
        (None, None) => {
            let info = session.cluster_info()?;
            info.broker_addr_table.values().filter_map(|broker| broker.broker_addrs.get(&0).cloned()).collect()
        }
        (broker, cluster) => session.brokers(broker, cluster)?,
    };
    for addr in &brokers {
        session.call(addr, code, &[], b"")?;
    }
    out.line("success")?;
    out.record(json!({"brokers": brokers}))
}
