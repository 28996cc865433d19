//! What the name server answers to each request: ONE table of codes, each with a handler that decodes, asks the table
//! and encodes (INTEROP 05 §0). Knows no socket: a request comes in, an answer goes out.

use std::fmt::Display;

use bytes::BytesMut;

use super::body;
use super::config::UpdateError;
use super::kv::ORDER_TOPIC_CONFIG;
use super::routes::{Identity, Miss, Unit};
use super::server::Shared;
use crate::base::clock::Millis;
use crate::net::service::Conn;
use crate::wire::codes::{request, response};
use crate::wire::command::{Command, ReplyTo, Value, write_response};

/// A client of this version or later reads standard JSON (INTEROP 05 §4): V4_9_4.
const STANDARD_JSON_VERSION: i32 = 401;

/// Where Java sends people who have no route.
const FAQ_URL: &str = "https://rocketmq.apache.org/docs/bestPractice/06FAQ";

/// A request in its surroundings.
pub(super) struct Call<'a, 'b> {
    pub conn: Conn,
    pub now: Millis,
    pub request: &'a Command<'b>,
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    code: i32,
    remark: Option<String>,
    ext: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// A handler: an answer either way, so that `?` ends it.
type Handler = fn(&Shared, &Call<'_, '_>) -> Result<Answer, Answer>;

/// Where a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On the event loop.
    Loop,
    /// It changes the routes: one after the other, in the order in which they came. On the event loop if nobody is before
    /// it and it is short, otherwise beside it.
    Line,
    /// Beside the event loop: it writes a file, or goes over every topic.
    Beside,
}
use Place::{Beside, Line, Loop};

/// Every code that is served.
const HANDLERS: [(i32, Place, Handler); 23] = [
    (request::PUT_KV_CONFIG, Beside, put_kv),
    (request::GET_KV_CONFIG, Loop, get_kv),
    (request::DELETE_KV_CONFIG, Beside, delete_kv),
    (request::REGISTER_BROKER, Line, register_broker),
    (request::UNREGISTER_BROKER, Line, unregister_broker),
    (request::GET_ROUTEINFO_BY_TOPIC, Loop, route),
    (request::GET_BROKER_CLUSTER_INFO, Loop, cluster_info),
    (request::WIPE_WRITE_PERM_OF_BROKER, Line, wipe_write_perm),
    (request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, Beside, all_topics),
    (request::DELETE_TOPIC_IN_NAMESRV, Line, delete_topic),
    (request::REGISTER_TOPIC_IN_NAMESRV, Line, register_topic),
    (request::GET_KVLIST_BY_NAMESPACE, Loop, kv_namespace),
    (request::GET_TOPICS_BY_CLUSTER, Beside, topics_of_cluster),
    (request::GET_SYSTEM_TOPIC_LIST_FROM_NS, Loop, system_topics),
    (request::GET_UNIT_TOPIC_LIST, Beside, |shared, _| topics_by_unit(shared, Unit::Unit)),
    (request::GET_HAS_UNIT_SUB_TOPIC_LIST, Beside, |shared, _| topics_by_unit(shared, Unit::Subscribed)),
    (request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, Beside, |shared, _| topics_by_unit(shared, Unit::SubscribedOnly)),
    (request::UPDATE_NAMESRV_CONFIG, Beside, update_config),
    (request::GET_NAMESRV_CONFIG, Loop, get_config),
    (request::QUERY_DATA_VERSION, Loop, query_data_version),
    (request::ADD_WRITE_PERM_OF_BROKER, Line, add_write_perm),
    (request::GET_BROKER_MEMBER_GROUP, Loop, member_group),
    (request::BROKER_HEARTBEAT, Loop, heartbeat),
];

/// Where a request is answered.
pub(super) fn place(code: i32) -> Place {
    HANDLERS.iter().find(|(known, ..)| *known == code).map_or(Loop, |(_, place, _)| *place)
}

/// Answers a request, wherever it is.
pub(super) fn answer(shared: &Shared, call: &Call<'_, '_>) -> Answer {
    match HANDLERS.iter().find(|(code, ..)| *code == call.request.code) {
        Some((.., handler)) => handler(shared, call).unwrap_or_else(|refused| refused),
        None => Answer::fail(
            response::REQUEST_CODE_NOT_SUPPORTED,
            format!(" request type {} not supported", call.request.code),
        ),
    }
}

/// The answer to a route request, which a loop may keep: all that it depends on has a generation. The zone filter is
/// left to `route`.
pub(super) fn route_answer(shared: &Shared, topic: &str, standard_json: bool) -> Answer {
    let config = shared.config();
    let route = shared.routes.lock().route(topic, None, config.rules());
    match route {
        Ok(route) => {
            let order = config.order_message_enable.then(|| shared.kv.get(ORDER_TOPIC_CONFIG, topic)).flatten();
            Answer::body(body::route(route, order, standard_json))
        }
        Err(miss) => no_route(topic, &miss),
    }
}

/// Whether a route request gets standard JSON.
pub(super) fn wants_standard_json(request: &Command<'_>) -> bool {
    request.version >= STANDARD_JSON_VERSION || request.ext.bool("acceptStandardJsonOnly") == Some(true)
}

/// The zone that a route request is limited to.
pub(super) fn zone_of<'a>(request: &'a Command<'_>) -> Option<&'a str> {
    let zone_mode = request.ext.bool("__ZONE_MODE") == Some(true);
    request.ext.get("__ZONE_NAME").filter(|zone| zone_mode && !zone.trim().is_empty())
}

impl Answer {
    pub(super) fn write(&self, out: &mut BytesMut, to: ReplyTo) {
        let ext: Vec<(&str, Value<'_>)> =
            self.ext.iter().map(|(name, value)| (*name, Value::Str(value.as_str()))).collect();
        write_response(out, to, self.code, self.remark.as_deref(), &ext, &self.body);
    }

    /// Bytes that it holds.
    pub(super) fn len(&self) -> usize {
        self.body.len() + self.remark.as_ref().map_or(0, String::len)
    }

    fn fail(code: i32, remark: impl Display) -> Self {
        Answer { code, remark: Some(remark.to_string()), ..Answer::default() }
    }

    fn body(body: Vec<u8>) -> Self {
        Answer { body, ..Answer::default() }
    }

    fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.ext.push((name, value.to_string()));
        self
    }
}

impl Call<'_, '_> {
    /// A field of the header that has to be there.
    fn field(&self, name: &str) -> Result<&str, Answer> {
        self.request.ext.get(name).ok_or_else(|| {
            Answer::fail(response::SYSTEM_ERROR, format!("the header field {name} of the request is missing"))
        })
    }

    fn identity(&self) -> Result<Identity<'_>, Answer> {
        Ok(Identity {
            cluster: self.field("clusterName")?,
            broker: self.field("brokerName")?,
            addr: self.field("brokerAddr")?,
            id: self.request.ext.i64("brokerId").unwrap_or(0),
        })
    }
}

// === Brokers ===

fn register_broker(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let refused = |error: String| Answer::fail(response::SYSTEM_ERROR, error);
    let body = body::Registered::parse(call.request).map_err(refused)?;
    let registration = body.registration(call.identity()?, call.request);
    let mut actions = Vec::new();
    let rules = shared.config().rules();
    let registered =
        shared.change(|routes| routes.register(call.now, call.conn.id, &registration, rules, &mut actions));
    shared.tell(&actions);
    let registered = registered.map_err(|refusal| {
        tracing::warn!("registration of {} from {} refused: {refusal}", registration.addr, call.conn.peer);
        Answer::fail(response::SYSTEM_ERROR, refusal)
    })?;
    shared.compare_address(&registration, call.conn.peer.ip());
    let mut answer = Answer::body(order_topics(shared));
    answer.ext.extend(registered.master_addr.map(|addr| ("masterAddr", addr)));
    answer.ext.extend(registered.ha_addr.map(|addr| ("haServerAddr", addr)));
    Ok(answer)
}

/// Brokers learn from every registration which topics are ordered.
fn order_topics(shared: &Shared) -> Vec<u8> {
    let wanted = shared.config().return_order_topic_config_to_broker;
    let table = wanted.then(|| shared.kv.namespace(ORDER_TOPIC_CONFIG)).flatten();
    table.map(body::kv_table).unwrap_or_default()
}

fn unregister_broker(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let gone = call.identity()?;
    let mut actions = Vec::new();
    let rules = shared.config().rules();
    shared.change(|routes| routes.unregister(&gone, rules, &mut actions));
    shared.tell(&actions);
    Ok(Answer::default())
}

fn heartbeat(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let (cluster, addr) = (call.field("clusterName")?, call.field("brokerAddr")?);
    shared.change(|routes| routes.heartbeat(call.now, cluster, addr));
    Ok(Answer::default())
}

fn query_data_version(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let version = body::data_version(call.request.body).map_err(|error| Answer::fail(response::SYSTEM_ERROR, error))?;
    let (cluster, addr) = (call.field("clusterName")?, call.field("brokerAddr")?);
    let (changed, known) = shared.change(|routes| routes.query_version(call.now, cluster, addr, version));
    Ok(Answer::body(known.map(|version| version.to_json()).unwrap_or_default()).with("changed", changed))
}

fn register_topic(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let queues = body::queues(call.request.body).map_err(|error| Answer::fail(response::SYSTEM_ERROR, error))?;
    let topic = call.field("topic")?;
    shared.change(|routes| routes.register_topic(topic, &queues));
    Ok(Answer::default())
}

fn member_group(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let (cluster, broker) = (call.field("clusterName")?, call.field("brokerName")?);
    let addrs = shared.routes.lock().member_group(broker);
    Ok(Answer::body(body::member_group(cluster, broker, addrs)))
}

fn wipe_write_perm(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let broker = call.field("brokerName")?;
    let count = shared.change(|routes| routes.wipe_write_perm(broker));
    tracing::info!("write permission taken from {count} topics of broker {broker}, asked by {}", call.conn.peer);
    Ok(Answer::default().with("wipeTopicCount", count))
}

fn add_write_perm(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let broker = call.field("brokerName")?;
    let count = shared.change(|routes| routes.add_write_perm(broker));
    tracing::info!("write permission given to {count} topics of broker {broker}, asked by {}", call.conn.peer);
    Ok(Answer::default().with("addTopicCount", count))
}

// === Topics ===

fn route(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let topic = call.request.ext.get("topic").unwrap_or("null");
    let Some(zone) = zone_of(call.request) else {
        return Ok(route_answer(shared, topic, wants_standard_json(call.request)));
    };
    let config = shared.config();
    let route = shared.routes.lock().route(topic, Some(zone), config.rules()).map_err(|miss| no_route(topic, &miss))?;
    let order = config.order_message_enable.then(|| shared.kv.get(ORDER_TOPIC_CONFIG, topic)).flatten();
    Ok(Answer::body(body::route(route, order, false)))
}

fn no_route(topic: &str, miss: &Miss) -> Answer {
    let reason = match miss {
        Miss::UnknownTopic { brokers: 0, .. } => {
            "No broker is registered here: check that brokers run and that their namesrvAddr names this server.".into()
        }
        Miss::UnknownTopic { similar: Some(similar), .. } => format!("Did you mean {similar:?}?"),
        Miss::UnknownTopic { brokers, .. } => format!(
            "None of the {brokers} registered brokers has the topic: create it (updateTopic), or let producers create \
             it (autoCreateTopicEnable)."
        ),
        Miss::NoBroker { names } => {
            format!("The topic is on {}, which is not registered: check that it runs.", names.join(", "))
        }
    };
    Answer::fail(
        response::TOPIC_NOT_EXIST,
        format!(
            "No topic route info in name server for the topic: {topic}\nSee {FAQ_URL} for further details.\n{reason}"
        ),
    )
}

fn delete_topic(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let topic = call.field("topic")?;
    let cluster = call.request.ext.get("clusterName");
    shared.change(|routes| routes.delete_topic(topic, cluster));
    tracing::info!("topic {topic} deleted from the routes, cluster {cluster:?}, asked by {}", call.conn.peer);
    Ok(Answer::default())
}

fn all_topics(shared: &Shared, _: &Call<'_, '_>) -> Result<Answer, Answer> {
    enabled(shared.config().enable_all_topic_list)?;
    Ok(Answer::body(body::topics(&shared.routes.lock().topics(), None)))
}

fn topics_of_cluster(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    enabled(shared.config().enable_topic_list)?;
    Ok(Answer::body(body::topics(&shared.routes.lock().topics_of_cluster(call.field("cluster")?), None)))
}

fn topics_by_unit(shared: &Shared, unit: Unit) -> Result<Answer, Answer> {
    enabled(shared.config().enable_topic_list)?;
    Ok(Answer::body(body::topics(&shared.routes.lock().topics_by_unit(unit), None)))
}

fn system_topics(shared: &Shared, _: &Call<'_, '_>) -> Result<Answer, Answer> {
    let routes = shared.routes.lock();
    let (topics, addr) = routes.system_topics();
    Ok(Answer::body(body::topics(&topics, addr)))
}

fn enabled(switch: bool) -> Result<(), Answer> {
    if switch { Ok(()) } else { Err(Answer::fail(response::SYSTEM_ERROR, "disable")) }
}

fn cluster_info(shared: &Shared, _: &Call<'_, '_>) -> Result<Answer, Answer> {
    let routes = shared.routes.lock();
    Ok(Answer::body(body::cluster_info(routes.brokers(), routes.clusters())))
}

// === Settings ===

/// Namespace and key of a change.
fn kv_place<'a>(call: &'a Call<'_, '_>) -> Result<(&'a str, &'a str), Answer> {
    let field = |name| call.request.ext.get(name);
    field("namespace").zip(field("key")).ok_or_else(|| Answer::fail(response::SYSTEM_ERROR, "namespace or key is null"))
}

fn put_kv(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let (namespace, key) = kv_place(call)?;
    kept(shared.kv.put(namespace, key, call.request.ext.get("value").unwrap_or_default()))
}

fn delete_kv(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let (namespace, key) = kv_place(call)?;
    kept(shared.kv.delete(namespace, key))
}

/// A change of the key-value table is durable when it is answered.
fn kept(done: Result<(), impl Display>) -> Result<Answer, Answer> {
    done.map(|()| Answer::default()).map_err(|error| {
        tracing::error!("a key-value change was refused: {error}");
        Answer::fail(response::SYSTEM_ERROR, error)
    })
}

fn get_kv(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let (namespace, key) = (call.field("namespace")?, call.field("key")?);
    let value = shared.kv.get(namespace, key).ok_or_else(|| {
        Answer::fail(response::QUERY_NOT_FOUND, format!("No config item, Namespace: {namespace} Key: {key}"))
    })?;
    Ok(Answer::default().with("value", value))
}

fn kv_namespace(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let namespace = call.field("namespace")?;
    let table = shared
        .kv
        .namespace(namespace)
        .ok_or_else(|| Answer::fail(response::QUERY_NOT_FOUND, format!("No config item, Namespace: {namespace}")))?;
    Ok(Answer::body(body::kv_table(table)))
}

fn update_config(shared: &Shared, call: &Call<'_, '_>) -> Result<Answer, Answer> {
    let by = call.conn.peer;
    match shared.update_config(call.request.body, by, call.now) {
        Ok(told) => Ok(Answer { remark: (!told.is_empty()).then(|| shared.say(&told)), ..Answer::default() }),
        Err(error) => {
            tracing::warn!("an update of the settings from {by} was refused: {error}");
            let black = matches!(error, UpdateError::Black(_));
            Err(Answer::fail(if black { response::NO_PERMISSION } else { response::SYSTEM_ERROR }, error))
        }
    }
}

fn get_config(shared: &Shared, _: &Call<'_, '_>) -> Result<Answer, Answer> {
    Ok(Answer::body(shared.config().properties().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codes::{REQUESTS, Server, Speed, Status};

    #[test]
    fn every_code_that_the_table_says_is_served_has_its_handler_and_no_other() {
        for row in REQUESTS {
            let found: Vec<_> = HANDLERS.iter().filter(|(code, ..)| *code == row.code).map(|(_, at, _)| *at).collect();
            let fits = match (row.server, row.status) {
                (Server::NameServer, Status::Served(Speed::Fast)) => found == [Loop] || found == [Line],
                (Server::NameServer, Status::Served(Speed::Slow)) => found == [Beside] || found == [Line],
                _ => found.is_empty(),
            };
            assert!(fits, "{}: {found:?}", row.name);
        }
    }
}
