//! Commands that change or show a name server: settings, key-value table, ordered topics, a broker's write permission.
//! A change goes to every name server of the list, because they do not talk to one another.

use serde_json::json;

use super::Failure;
use super::arguments::Arguments;
use super::output::Output;
use super::session::Session;
use crate::base::properties;
use crate::wire::codes::{request, response};
use crate::wire::command::Value;

/// Namespace of ordered topics.
const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

pub(super) fn wipe_write_perm(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let codes = (request::WIPE_WRITE_PERM_OF_BROKER, "wipeTopicCount");
    write_perm(session, given.need("brokerName")?, "wipe", codes, out)
}

pub(super) fn add_write_perm(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let codes = (request::ADD_WRITE_PERM_OF_BROKER, "addTopicCount");
    write_perm(session, given.need("brokerName")?, "add", codes, out)
}

/// One name server that fails does not keep the others from being told; it is reported at the end.
fn write_perm(
    session: &Session,
    broker: &str,
    verb: &str,
    (code, count): (i32, &str),
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let (mut failed, mut found) = (None, false);
    for addr in session.name_servers()?.addrs() {
        let told = format!("{verb} write perm of broker[{broker}] in name server[{addr}]");
        match session.call(addr, code, &[("brokerName", Value::Str(broker))], b"") {
            Ok(answer) => {
                let count = answer.i64(count).unwrap_or(0);
                found |= count > 0;
                out.line(format_args!("{told} OK, {count}"))?;
                out.record(json!({"brokerName": broker, "nameServer": addr, "topicCount": count}))?;
            }
            Err(failure) => {
                out.line(format_args!("{told} Failed"))?;
                failed = Some(failure);
            }
        }
    }
    match failed {
        Some(failure) => Err(failure),
        None if !found => {
            Err(Failure::Other(format!("no topic is on broker {broker}, by its name; clusterList tells the names")))
        }
        None => Ok(()),
    }
}

pub(super) fn get_config(session: &Session, _: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    for (addr, answer) in session.tell_all(request::GET_NAMESRV_CONFIG, &[], b"")? {
        out.line(format_args!("============{addr}============"))?;
        print_properties(addr, &answer.body, out)?;
    }
    Ok(())
}

/// Settings as Java prints them, and one object per server.
pub(super) fn print_properties(addr: &str, text: &[u8], out: &mut Output<'_>) -> Result<(), Failure> {
    let entries = properties::parse(text).map_err(|bad| Failure::Other(format!("settings of {addr}: {bad}")))?;
    for entry in &entries {
        out.line(format_args!("{:<50}=  {}", entry.key, entry.value))?;
    }
    let table: serde_json::Map<_, _> = entries.into_iter().map(|entry| (entry.key, entry.value.into())).collect();
    out.record(json!({"addr": addr, "properties": table}))
}

pub(super) fn update_config(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let (key, value) = (given.need("key")?, given.need("value")?);
    let answers = session.tell_all(request::UPDATE_NAMESRV_CONFIG, &[], properties::line(key, value).as_bytes())?;
    let told: Vec<_> =
        answers.iter().filter_map(|(addr, answer)| Some(format!("{addr}: {}", answer.remark.as_ref()?))).collect();
    let servers: Vec<&str> = session.name_servers()?.addrs().collect();
    // Java prints its list in brackets.
    out.line(format_args!("update name server config success![{}]", servers.join(", ")))?;
    out.line(format_args!("{key} : {value}"))?;
    told.iter().try_for_each(|told| out.line(format_args!("  {told}")))?;
    out.record(json!({"nameServers": servers, "key": key, "value": value, "told": told}))
}

pub(super) fn update_kv(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let (namespace, key, value) = (given.need("namespace")?, given.need("key")?, given.need("value")?);
    put(session, namespace, key, value)?;
    out.line("create or update kv config to namespace success.")?;
    out.record(json!({"namespace": namespace, "key": key, "value": value}))
}

pub(super) fn delete_kv(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let (namespace, key) = (given.need("namespace")?, given.need("key")?);
    delete(session, namespace, key)?;
    out.line("delete kv config from namespace success.")?;
    out.record(json!({"namespace": namespace, "key": key}))
}

pub(super) fn order_conf(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let topic = given.need("topic")?;
    let conf = match given.need("method")? {
        "get" => {
            let conf = get(session, ORDER_TOPIC_CONFIG, topic)?;
            let conf = conf.ok_or_else(|| Failure::Other(format!("topic {topic} has no order configuration")))?;
            out.line(format_args!("get orderConf success. topic=[{topic}], orderConf=[{conf}] "))?;
            conf
        }
        "put" => {
            let conf = given.need("orderConf")?;
            check_order_conf(conf)?;
            put(session, ORDER_TOPIC_CONFIG, topic, conf)?;
            out.line(format_args!("update orderConf success. topic=[{topic}], orderConf=[{conf}]"))?;
            conf.to_owned()
        }
        "delete" => {
            delete(session, ORDER_TOPIC_CONFIG, topic)?;
            out.line(format_args!("delete orderConf success. topic=[{topic}]"))?;
            String::new()
        }
        other => return Err(Failure::Usage(format!("-m {other}: put, get or delete is needed"))),
    };
    out.record(json!({"topic": topic, "orderConf": conf}))
}

/// `broker:queues;broker:queues`; anything else makes clients of the topic fail.
fn check_order_conf(conf: &str) -> Result<(), Failure> {
    let fits = |part: &str| {
        part.rsplit_once(':').is_some_and(|(broker, queues)| !broker.is_empty() && queues.parse::<u32>().is_ok())
    };
    match conf.split(';').find(|part| !fits(part)) {
        Some(part) => Err(Failure::Usage(format!("-v {conf}: {part:?} is not BROKER:QUEUES"))),
        None => Ok(()),
    }
}

/// Sets a broker's part of a topic's order configuration, or all of it.
pub(super) fn set_order_conf(session: &Session, topic: &str, conf: &str, all: bool) -> Result<(), Failure> {
    if all {
        return put(session, ORDER_TOPIC_CONFIG, topic, conf);
    }
    let name = |part: &str| part.split(':').next().unwrap_or_default().to_owned();
    let before = get(session, ORDER_TOPIC_CONFIG, topic)?.unwrap_or_default();
    let others = before.split(';').filter(|part| !part.is_empty() && name(part) != name(conf));
    let merged: Vec<&str> = others.chain([conf]).collect();
    put(session, ORDER_TOPIC_CONFIG, topic, &merged.join(";"))
}

fn get(session: &Session, namespace: &str, key: &str) -> Result<Option<String>, Failure> {
    let ext = [("namespace", Value::Str(namespace)), ("key", Value::Str(key))];
    match session.ask(request::GET_KV_CONFIG, &ext, b"") {
        Ok(answer) => Ok(answer.get("value").map(str::to_owned)),
        Err(failure) if failure.response() == Some(response::QUERY_NOT_FOUND) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn put(session: &Session, namespace: &str, key: &str, value: &str) -> Result<(), Failure> {
    let ext = [("namespace", Value::Str(namespace)), ("key", Value::Str(key)), ("value", Value::Str(value))];
    session.tell_all(request::PUT_KV_CONFIG, &ext, b"").map(drop)
}

pub(super) fn delete(session: &Session, namespace: &str, key: &str) -> Result<(), Failure> {
    let ext = [("namespace", Value::Str(namespace)), ("key", Value::Str(key))];
    session.tell_all(request::DELETE_KV_CONFIG, &ext, b"").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_configuration_is_brokers_with_queues() {
        for good in ["a:4", "a:4;b:8", "host:name:4"] {
            assert!(check_order_conf(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "a:", "a:x", "a:4;", ":4", "a:-1"] {
            assert!(check_order_conf(bad).is_err(), "{bad}");
        }
    }
}
