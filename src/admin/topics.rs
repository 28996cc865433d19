//! Commands about topics: create, change, delete, where they are, what is in them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::arguments::Arguments;
use super::output::Output;
use super::session::{Session, addr_of, read};
use super::{Failure, namesrv};
use crate::wire::body::{GroupList, MessageQueue, TopicConfig, TopicList, TopicRouteData, TopicStatsTable};
use crate::wire::codes::{request, response};
use crate::wire::command::Value;
use crate::wire::fastjson::{self, Form};

/// Prefix of the topics of redelivered messages.
const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of the topics of messages that were given up.
const DLQ_PREFIX: &str = "%DLQ%";
/// Queues of a new topic, as Java's tool has them.
const QUEUES: i32 = 8;

// === Create, change, delete ===

pub(super) fn update(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let order = given.bool("order")?.unwrap_or(false);
    let unit = given.bool("unit")?.unwrap_or(false);
    let unit_sub = given.bool("hasUnitSub")?.unwrap_or(false);
    let topic = TopicConfig {
        topic_name: given.need("topic")?.to_owned(),
        read_queue_nums: given.number("readQueueNums")?.unwrap_or(QUEUES),
        write_queue_nums: given.number("writeQueueNums")?.unwrap_or(QUEUES),
        perm: given.number("perm")?.unwrap_or(6),
        topic_sys_flag: i32::from(unit) | i32::from(unit_sub) << 1,
        order,
        attributes: attributes(given.get("attributes").unwrap_or_default())?,
        ..TopicConfig::default()
    };
    if topic.read_queue_nums < 1 || topic.write_queue_nums < 1 {
        return Err(Failure::Usage("-r and -w: at least one queue is needed".to_owned()));
    }
    if !(1..=7).contains(&topic.perm) {
        return Err(Failure::Usage(format!("-p {}: 2 (write), 4 (read) or 6 (both) is needed", topic.perm)));
    }
    let brokers = session.brokers(given.get("brokerAddr"), given.get("clusterName"))?;
    let created = |addr: &str| format!("create topic to {addr} success.");
    if given.has("brokerAddr") {
        put(session, &brokers[0], &topic)?;
        if order {
            order_on(session, &topic, &[broker_name(session, &brokers[0])?], "broker", out)?;
        }
        out.line(created(&brokers[0]))?;
    } else {
        for addr in &brokers {
            put(session, addr, &topic)?;
            out.line(created(addr))?;
        }
        if order {
            let info = session.cluster_info()?;
            let names = info.cluster_addr_table.get(given.need("clusterName")?).cloned().unwrap_or_default();
            order_on(session, &topic, &names.into_iter().collect::<Vec<_>>(), "cluster", out)?;
        }
    }
    out.line(text(&topic))?;
    out.record(json!({"topic": topic.topic_name, "brokers": brokers, "readQueueNums": topic.read_queue_nums,
        "writeQueueNums": topic.write_queue_nums, "perm": topic.perm, "order": order, "attributes": topic.attributes}))
}

/// `+key=value` sets, `-key` removes; several separated by commas.
pub(super) fn attributes(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut attributes = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let sets = key.strip_prefix('+').is_some_and(|name| !name.is_empty()) && !value.is_empty();
        let removes = key.strip_prefix('-').is_some_and(|name| !name.is_empty()) && !part.contains('=');
        if !sets && !removes {
            return Err(Failure::Usage(format!("-a {part}: +KEY=VALUE or -KEY is needed")));
        }
        attributes.insert(key.to_owned(), value.to_owned());
    }
    Ok(attributes)
}

fn put(session: &Session, addr: &str, topic: &TopicConfig) -> Result<(), Failure> {
    let with_value = |(key, value): (&String, &String)| {
        if value.is_empty() { key.clone() } else { format!("{key}={value}") }
    };
    let attributes = topic.attributes.iter().map(with_value).collect::<Vec<_>>().join(",");
    let mut ext = vec![
        ("topic", Value::Str(&topic.topic_name)),
        ("defaultTopic", Value::Str("TBW102")),
        ("readQueueNums", Value::I64(topic.read_queue_nums.into())),
        ("writeQueueNums", Value::I64(topic.write_queue_nums.into())),
        ("perm", Value::I64(topic.perm.into())),
        ("topicFilterType", Value::Str(topic.topic_filter_type.name())),
        ("topicSysFlag", Value::I64(topic.topic_sys_flag.into())),
        ("order", Value::Bool(topic.order)),
    ];
    if !attributes.is_empty() {
        ext.push(("attributes", Value::Str(&attributes)));
    }
    session.call(addr, request::UPDATE_AND_CREATE_TOPIC, &ext, b"").map(drop)
}

fn order_on(
    session: &Session,
    topic: &TopicConfig,
    names: &[String],
    of: &str,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let parts: Vec<String> = names.iter().map(|name| format!("{name}:{}", topic.write_queue_nums)).collect();
    let conf = parts.join(";");
    namesrv::set_order_conf(session, &topic.topic_name, &conf, of == "cluster")?;
    out.line(format_args!("set {of} orderConf. isOrder={}, orderConf=[{conf}]", topic.order))
}

fn broker_name(session: &Session, addr: &str) -> Result<String, Failure> {
    let info = session.cluster_info()?;
    let has = |broker: &&crate::wire::body::BrokerData| broker.broker_addrs.values().any(|held| held == addr);
    let broker = info.broker_addr_table.values().find(has).map(|broker| broker.broker_name.clone());
    broker.ok_or_else(|| Failure::Other(format!("no broker at {addr} is registered at this name server")))
}

/// A topic as Java's tools show it.
fn text(topic: &TopicConfig) -> String {
    let attributes = topic.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    format!(
        "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}, topicFilterType={}, topicSysFlag={}, \
         order={}, attributes={{{}}}]",
        topic.topic_name,
        topic.read_queue_nums,
        topic.write_queue_nums,
        perm_text(topic.perm),
        topic.topic_filter_type.name(),
        topic.topic_sys_flag,
        topic.order,
        attributes.join(", ")
    )
}

fn perm_text(perm: i32) -> String {
    [(4, 'R'), (2, 'W'), (1, 'X')].map(|(bit, letter)| if perm & bit != 0 { letter } else { '-' }).iter().collect()
}

pub(super) fn delete(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let (topic, cluster) = (given.need("topic")?, given.need("clusterName")?);
    let brokers = session.members(cluster)?;
    delete_everywhere(session, topic, cluster, &brokers)?;
    out.line(format_args!("delete topic [{topic}] from cluster [{cluster}] success."))?;
    out.line(format_args!("delete topic [{topic}] from NameServer success."))?;
    out.record(json!({"topic": topic, "cluster": cluster, "brokers": brokers}))
}

/// From brokers, then from the name servers' routes.
pub(super) fn delete_everywhere(
    session: &Session,
    topic: &str,
    cluster: &str,
    brokers: &[String],
) -> Result<(), Failure> {
    for addr in brokers {
        session.call(addr, request::DELETE_TOPIC_IN_BROKER, &[("topic", Value::Str(topic))], b"")?;
    }
    let ext = [("topic", Value::Str(topic)), ("clusterName", Value::Str(cluster))];
    session.tell_all(request::DELETE_TOPIC_IN_NAMESRV, &ext, b"").map(drop)
}

pub(super) fn update_perm(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let topic = given.need("topic")?;
    let perm: i32 = given.number("perm")?.unwrap_or(0);
    if ![2, 4, 6].contains(&perm) {
        return Err(Failure::Usage(format!("-p {perm}: 2 (write), 4 (read) or 6 (both) is needed")));
    }
    let route = session.route(topic)?;
    let wanted = session.brokers(given.get("brokerAddr"), given.get("clusterName"))?;
    let mut changed = 0;
    for queues in &route.queue_datas {
        let master = route.broker_datas.iter().find(|broker| broker.broker_name == queues.broker_name);
        let Some(addr) = master.and_then(|broker| broker.broker_addrs.get(&0)).filter(|addr| wanted.contains(addr))
        else {
            continue;
        };
        changed += 1;
        // As Java's: a cluster's masters are told again.
        if queues.perm == perm && given.has("brokerAddr") {
            out.line("new perm equals to the old one!")?;
            continue;
        }
        let config = TopicConfig {
            topic_name: topic.to_owned(),
            read_queue_nums: queues.read_queue_nums,
            write_queue_nums: queues.write_queue_nums,
            perm,
            topic_sys_flag: queues.topic_sys_flag,
            ..TopicConfig::default()
        };
        put(session, addr, &config)?;
        out.line(format_args!("update topic perm from {} to {perm} in {addr} success.", queues.perm))?;
        if given.has("brokerAddr") {
            out.line(format_args!("{}.", text(&config)))?;
        }
        out.record(json!({"topic": topic, "broker": addr, "permBefore": queues.perm, "perm": perm}))?;
    }
    if changed == 0 {
        return Err(Failure::Other(format!("topic {topic} is on none of these masters: {}", wanted.join(", "))));
    }
    Ok(())
}

// === Where they are ===

pub(super) fn route(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let mut route = session.route(given.need("topic")?)?;
    if out.is_json() {
        let record: Json = serde_json::from_slice(&fastjson::to_vec(&route, Form::Standard))
            .map_err(|error| Failure::Other(format!("a route has no JSON form: {error}")))?;
        return out.record(record);
    }
    if !given.has("list") {
        return out.line(String::from_utf8_lossy(&fastjson::to_vec(&route, Form::Pretty)));
    }
    const FORMAT: &str = "%-45s %-32s %-50s %-10s %-11s %-5s";
    const RULE: usize = 158;
    out.head(FORMAT, &["#ClusterName", "#BrokerName", "#BrokerAddrs", "#ReadQueue", "#WriteQueue", "#Perm"])?;
    route.broker_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
    let (mut read, mut write) = (0, 0);
    for broker in &route.broker_datas {
        let queues = route.queue_datas.iter().find(|queues| queues.broker_name == broker.broker_name);
        let queues = queues.cloned().unwrap_or_default();
        read += queues.read_queue_nums;
        write += queues.write_queue_nums;
        let addrs: Vec<String> = broker.broker_addrs.iter().map(|(id, addr)| format!("{id}={addr}")).collect();
        out.row(
            FORMAT,
            &[
                ("clusterName", broker.cluster.as_str().into()),
                ("brokerName", broker.broker_name.as_str().into()),
                ("brokerAddrs", format!("{{{}}}", addrs.join(", ")).into()),
                ("readQueue", queues.read_queue_nums.into()),
                ("writeQueue", queues.write_queue_nums.into()),
                ("perm", queues.perm.into()),
            ],
        )?;
    }
    out.line("-".repeat(RULE))?;
    let brokers = route.queue_datas.len().to_string();
    out.head(FORMAT, &["Total:", &brokers, "", &read.to_string(), &write.to_string(), ""])
}

pub(super) fn clusters(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let route = session.route(given.need("topic")?)?;
    let names: BTreeSet<&str> = route.broker_datas.iter().map(|broker| broker.broker_name.as_str()).collect();
    for (cluster, brokers) in session.cluster_info()?.cluster_addr_table {
        if brokers.iter().any(|broker| names.contains(broker.as_str())) {
            out.row("%s", &[("cluster", cluster.into())])?;
        }
    }
    Ok(())
}

pub(super) fn list(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let topics = all(session)?;
    if !given.has("clusterModel") {
        return topics.into_iter().try_for_each(|topic| out.row("%s", &[("topic", topic.into())]));
    }
    const FORMAT: &str = "%-20.20s  %-64.64s  %-64.64s";
    out.head("%-20s  %-48s  %-48s", &["#Cluster Name", "#Topic", "#Consumer Group"])?;
    let info = session.cluster_info()?;
    for topic in topics.iter().filter(|topic| !topic.starts_with(RETRY_PREFIX) && !topic.starts_with(DLQ_PREFIX)) {
        // A topic that nobody holds any more is listed without cluster and groups.
        let route = session.find_route(topic)?.unwrap_or_default();
        let of_route =
            |brokers: &BTreeSet<String>| route.broker_datas.iter().any(|broker| brokers.contains(&broker.broker_name));
        let cluster =
            info.cluster_addr_table.iter().find(|(_, brokers)| of_route(brokers)).map(|(name, _)| name.clone());
        let mut groups = groups_of(session, topic, &route)?;
        if groups.is_empty() {
            groups.insert(String::new());
        }
        for group in groups {
            out.row(
                FORMAT,
                &[
                    ("cluster", cluster.clone().unwrap_or_default().into()),
                    ("topic", topic.as_str().into()),
                    ("consumerGroup", group.into()),
                ],
            )?;
        }
    }
    Ok(())
}

/// Every topic of the name server, by name.
pub(super) fn all(session: &Session) -> Result<BTreeSet<String>, Failure> {
    let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
    let answer = session.ask(code, &[], b"")?;
    Ok(read(TopicList::parse(&answer.body), "a name server", code)?.topic_list)
}

/// The groups that consume a topic on any of its brokers; a broker that cannot be asked has none.
pub(super) fn groups_of(session: &Session, topic: &str, route: &TopicRouteData) -> Result<BTreeSet<String>, Failure> {
    let code = request::QUERY_TOPIC_CONSUME_BY_WHO;
    let mut groups = BTreeSet::new();
    for addr in route.broker_datas.iter().filter_map(addr_of) {
        if let Ok(answer) = session.call(addr, code, &[("topic", Value::Str(topic))], b"") {
            groups.extend(read(GroupList::parse(&answer.body), addr, code)?.group_list);
        }
    }
    Ok(groups)
}

// === What is in them ===

pub(super) fn status(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let topic = given.need("topic")?;
    // A light topic has no route: the brokers of a cluster have the cluster's name as a topic.
    let route = session.route(given.get("cluster").unwrap_or(topic))?;
    let stats = stats_of(session, topic, &route)?;
    if stats.offset_table.is_empty() {
        return Err(Failure::Other(format!("topic {topic} has no queue on the brokers of its route")));
    }
    out.head(
        "%-32s  %-4s  %-20s  %-20s    %s",
        &["#Broker Name", "#QID", "#Min Offset", "#Max Offset", "#Last Updated"],
    )?;
    for (queue, ends) in &stats.offset_table {
        let updated =
            if ends.last_update_timestamp > 0 { session.time(ends.last_update_timestamp) } else { String::new() };
        out.row(
            "%-32.32s  %-4d  %-20d  %-20d    %s",
            &[
                ("brokerName", queue.broker_name.as_str().into()),
                ("queueId", queue.queue_id.into()),
                ("minOffset", ends.min_offset.into()),
                ("maxOffset", ends.max_offset.into()),
                ("lastUpdated", updated.into()),
            ],
        )?;
    }
    out.text(format_args!("\nTopic Put TPS: {:?}\n", stats.topic_put_tps.unwrap_or(0.0)))
}

/// The queues of a topic on all brokers of a route.
pub(super) fn stats_of(session: &Session, topic: &str, route: &TopicRouteData) -> Result<TopicStatsTable, Failure> {
    let code = request::GET_TOPIC_STATS_INFO;
    let mut all = TopicStatsTable::default();
    for addr in route.broker_datas.iter().filter_map(addr_of) {
        let answer = match session.call(addr, code, &[("topic", Value::Str(topic))], b"") {
            // A route may be older than the broker's table.
            Err(failure) if failure.response() == Some(response::TOPIC_NOT_EXIST) => continue,
            answer => answer?,
        };
        let stats = read(TopicStatsTable::parse(&answer.body), addr, code)?;
        all.offset_table.extend(stats.offset_table);
        let tps = all.topic_put_tps.unwrap_or(0.0) + stats.topic_put_tps.unwrap_or(0.0);
        all.topic_put_tps = Some(tps);
    }
    Ok(all)
}

pub(super) fn allocate(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let topic = given.need("topic")?;
    let clients: Vec<&str> = given.need("ipList")?.split(',').map(str::trim).collect();
    let route = session.route(topic)?;
    let mut queues: Vec<MessageQueue> = Vec::new();
    for data in route.queue_datas.iter().filter(|data| data.perm & 4 != 0) {
        let queue =
            |queue_id| MessageQueue { topic: topic.to_owned(), broker_name: data.broker_name.clone(), queue_id };
        queues.extend((0..data.read_queue_nums).map(queue));
    }
    queues.sort();
    let shares: serde_json::Map<String, Json> = clients
        .iter()
        .enumerate()
        .map(|(client, name)| {
            // As clients share by default: neighbours stay together, the first clients have one more.
            let (each, more) = (queues.len() / clients.len(), queues.len() % clients.len());
            let (from, count) = (client * each + client.min(more), each + usize::from(client < more));
            let share = queues.iter().skip(from).take(count);
            let share = share.map(|q| json!({"brokerName": q.broker_name, "queueId": q.queue_id, "topic": q.topic}));
            ((*name).to_owned(), share.collect())
        })
        .collect();
    let result = json!({"result": shares});
    out.line(&result)?;
    out.record(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_set_or_removed() {
        let read = |text: &str| attributes(text).ok();
        let expected: BTreeMap<String, String> =
            [("+message.type", "FIFO"), ("-other", "")].map(|(key, value)| (key.into(), value.into())).into();
        assert_eq!(read("+message.type=FIFO,-other"), Some(expected));
        assert_eq!(read(""), Some(BTreeMap::new()));
        for bad in ["message.type=FIFO", "+a", "-a=b", "+=b", "-"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn permissions_are_letters() {
        assert_eq!([6, 4, 2, 1, 7].map(perm_text), ["RW-", "R--", "-W-", "--X", "RWX"]);
    }
}
