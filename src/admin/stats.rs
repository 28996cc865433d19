//! Commands that measure: rates of topics and groups, response times of sends.

use std::time::Duration;

use super::arguments::Arguments;
use super::output::Output;
use super::session::{Session, addr_of, read};
use super::{Failure, consumers, messages, topics};
use crate::base::clock::Millis;
use crate::base::local_time::Zone;
use crate::wire::body::{BrokerStatsData, TopicRouteData};
use crate::wire::codes::request;
use crate::wire::command::Value;

/// Rate and count of a figure, over all masters.
#[derive(Clone, Copy, Debug, Default)]
struct Figure {
    per_second: f64,
    of_day: i64,
}

pub(super) fn all(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    const FORMAT: &str = "%-64.64s  %-64.64s %12d %11.2f %11.2f %14d %14d";
    let only_active = given.has("activeTopic");
    out.head(
        "%-64s  %-64s %12s %11s %11s %14s %14s",
        &["#Topic", "#Consumer Group", "#Accumulation", "#InTPS", "#OutTPS", "#InMsg24Hour", "#OutMsg24Hour"],
    )?;
    let system = |topic: &String| topic.starts_with("%RETRY%") || topic.starts_with("%DLQ%");
    let wanted = |topic: &String| given.get("topic").is_none_or(|only| only == topic);
    let topics = topics::all(session)?;
    if let Some(only) = given.get("topic").filter(|only| !topics.contains(*only)) {
        return Err(Failure::Other(format!("no topic {only} at this name server; topicList tells the names")));
    }
    for topic in topics.into_iter().filter(|topic| !system(topic) && wanted(topic)) {
        let Some(route) = session.find_route(&topic)? else { continue };
        let groups = topics::groups_of(session, &topic, &route)?;
        let incoming = figure(session, &route, "TOPIC_PUT_NUMS", &topic);
        if groups.is_empty() && (!only_active || incoming.of_day > 0) {
            out.row(
                "%-64.64s  %-64s %12d %11.2f %11s %14d %14s",
                &[
                    ("topic", topic.as_str().into()),
                    ("group", "".into()),
                    ("accumulation", 0.into()),
                    ("inTps", incoming.per_second.into()),
                    ("outTps", "".into()),
                    ("in24Hours", incoming.of_day.into()),
                    ("out24Hours", "NO_CONSUMER".into()),
                ],
            )?;
        }
        for group in groups {
            let outgoing = figure(session, &route, "GROUP_GET_NUMS", &format!("{topic}@{group}"));
            if only_active && incoming.of_day == 0 && outgoing.of_day == 0 {
                continue;
            }
            let stats = consumers::stats(session, &group, Some(&topic), None).unwrap_or_default();
            let lag = stats.offset_table.iter().filter(|(queue, _)| queue.topic == topic);
            let lag: i64 = lag.map(|(_, offsets)| offsets.broker_offset - offsets.consumer_offset).sum();
            out.row(
                FORMAT,
                &[
                    ("topic", topic.as_str().into()),
                    ("group", group.into()),
                    ("accumulation", lag.max(0).into()),
                    ("inTps", incoming.per_second.into()),
                    ("outTps", outgoing.per_second.into()),
                    ("in24Hours", incoming.of_day.into()),
                    ("out24Hours", outgoing.of_day.into()),
                ],
            )?;
        }
    }
    Ok(())
}

/// A broker that has no such figure has counted nothing.
fn figure(session: &Session, route: &TopicRouteData, name: &str, key: &str) -> Figure {
    let code = request::VIEW_BROKER_STATS_DATA;
    let mut sum = Figure::default();
    for addr in route.broker_datas.iter().filter_map(|broker| broker.broker_addrs.get(&0)) {
        let ext = [("statsName", Value::Str(name)), ("statsKey", Value::Str(key))];
        let answer = session.call(addr, code, &ext, b"");
        let Ok(data) = answer.and_then(|answer| read(BrokerStatsData::parse(&answer.body), addr, code)) else {
            continue;
        };
        sum.per_second += data.stats_minute.tps;
        // A broker that runs for less than a day knows its hours, or its minutes.
        let spans = [data.stats_day.sum, data.stats_hour.sum, data.stats_minute.sum];
        sum.of_day += spans.into_iter().find(|count| *count != 0).unwrap_or(0);
    }
    sum
}

/// A time as the lines of clusterRT have it, wherever they are printed: Java's tool takes this zone for every machine.
fn gmt_plus_8(now: Millis) -> String {
    let c = Zone::default().civil(now + 8 * 3_600_000);
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

pub(super) fn cluster_send_time(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let amount: usize = given.number("amount")?.unwrap_or(100);
    let body = messages::filling(given)?;
    let interval = Duration::from_secs(given.number("interval")?.unwrap_or(10));
    let as_log = given.bool("printLog")?.unwrap_or(false);
    let room = given.get("machineRoom").unwrap_or("noname");
    if amount == 0 || interval.is_zero() {
        return Err(Failure::Usage("-a and -i: 1 or more is needed".to_owned()));
    }
    if !as_log {
        out.head(
            "%-24s  %-24s  %-4s  %-8s  %-8s",
            &["#Cluster Name", "#Broker Name", "#RT", "#successCount", "#failCount"],
        )?;
    }
    loop {
        let info = session.cluster_info()?;
        let clusters: Vec<String> = match given.get("cluster") {
            Some(cluster) => vec![cluster.to_owned()],
            None => info.cluster_addr_table.keys().cloned().collect(),
        };
        for cluster in clusters {
            for broker in super::session::brokers_of(&info, &cluster)? {
                let Some(addr) = addr_of(broker) else { continue };
                // Every broker has a topic of its own name.
                let took = messages::time_sends(session, &broker.broker_name, &broker.broker_name, addr, amount, &body);
                let average = format!("{:.2}", took.average_ms);
                if as_log {
                    let (now, average) = (gmt_plus_8(session.clock.now()), took.average_ms.round());
                    out.line(format_args!("{now}|{room}|{cluster}|{}|{average:.0}", broker.broker_name))?;
                    continue;
                }
                out.row(
                    "%-24s  %-24s  %-8s  %-16s  %-16s",
                    &[
                        ("cluster", cluster.as_str().into()),
                        ("brokerName", broker.broker_name.as_str().into()),
                        ("rt", average.into()),
                        ("successCount", took.sent.into()),
                        ("failCount", (amount - took.sent).into()),
                    ],
                )?;
            }
        }
        out.flush()?;
        session.pause(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cluster_rt_are_in_the_zone_of_javas() {
        assert_eq!(gmt_plus_8(1_700_000_000_000), "2023-11-15 06:13:20");
    }
}
