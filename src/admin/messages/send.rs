//! Sending: one message, a stored one once more, many to see how long it takes.

use serde_json::json;

use super::arguments::Arguments;
use super::output::Output;
use super::session::{Session, TIMEOUT};
use super::{Failure, Message};
use crate::wire::body::TopicRouteData;
use crate::wire::codes::{request, response};
use crate::wire::command::Value;
use crate::wire::message::properties;

/// Group of a tool that sends.
const SENDER_GROUP: &str = "TOOLS_PRODUCER";

/// A message to be sent.
struct New<'a> {
    topic: &'a str,
    flag: i32,
    properties: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
}

/// Where a message went.
struct Sent {
    broker_name: String,
    queue_id: i64,
    status: &'static str,
    id: String,
    offset_id: String,
    queue_offset: i64,
}

/// A queue that can be written: its broker's name and address, and its number.
struct Target {
    broker_name: String,
    addr: String,
    queue_id: i32,
}

fn targets(route: &TopicRouteData) -> Vec<Target> {
    let mut targets = Vec::new();
    for data in route.queue_datas.iter().filter(|data| data.perm & 2 != 0) {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == data.broker_name);
        let Some(addr) = broker.and_then(|broker| broker.broker_addrs.get(&0)) else { continue };
        targets.extend((0..data.write_queue_nums).map(|queue_id| Target {
            broker_name: data.broker_name.clone(),
            addr: addr.clone(),
            queue_id,
        }));
    }
    targets.sort_by(|a, b| (&a.broker_name, a.queue_id).cmp(&(&b.broker_name, b.queue_id)));
    targets
}

fn send_to(session: &Session, target: &Target, new: &New<'_>) -> Result<Sent, Failure> {
    // What is sent once more keeps its id.
    let kept = new.properties.iter().find(|(name, _)| *name == "UNIQ_KEY").map(|(_, id)| (*id).to_owned());
    let is_new = kept.is_none();
    let id = kept.unwrap_or_else(|| session.unique_id());
    let own = [("UNIQ_KEY", id.as_str()), ("WAIT", "true")];
    let mut text = Vec::new();
    for (name, value) in new.properties.iter().copied().chain(own.into_iter().skip(usize::from(!is_new))) {
        properties::append(&mut text, name, value);
    }
    let text = String::from_utf8_lossy(&text);
    let ext = [
        ("a", Value::Str(SENDER_GROUP)),
        ("b", Value::Str(new.topic)),
        ("c", Value::Str("TBW102")),
        ("d", Value::I64(8)),
        ("e", Value::I64(target.queue_id.into())),
        ("f", Value::I64(0)),
        ("g", Value::I64(i64::try_from(session.clock.now()).unwrap_or(0))),
        ("h", Value::I64(new.flag.into())),
        ("i", Value::Str(&text)),
        ("j", Value::I64(0)),
        ("k", Value::Bool(false)),
        ("m", Value::Bool(false)),
    ];
    let code = request::SEND_MESSAGE_V2;
    let answer = session.wait(session.client().request(&target.addr, code, &ext, new.body, TIMEOUT))?;
    let status = match answer.code {
        response::SUCCESS => "SEND_OK",
        response::FLUSH_DISK_TIMEOUT => "FLUSH_DISK_TIMEOUT",
        response::FLUSH_SLAVE_TIMEOUT => "FLUSH_SLAVE_TIMEOUT",
        response::SLAVE_NOT_AVAILABLE => "SLAVE_NOT_AVAILABLE",
        _ => return Err(session.refused(&target.addr, code, &answer)),
    };
    Ok(Sent {
        broker_name: target.broker_name.clone(),
        queue_id: answer.i64("queueId").unwrap_or(target.queue_id.into()),
        status,
        id,
        offset_id: answer.get("msgId").unwrap_or_default().to_owned(),
        queue_offset: answer.i64("queueOffset").unwrap_or(0),
    })
}

pub(in crate::admin) fn send(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let topic = given.need("topic")?;
    let named = given.number::<i32>("qid")?.zip(given.get("broker"));
    if named.is_none() && (given.has("qid") || given.has("broker")) {
        return Err(Failure::Usage("a queue is named by -b and -i together".to_owned()));
    }
    let mut properties = Vec::new();
    properties.extend(given.get("key").map(|keys| ("KEYS", keys)));
    properties.extend(given.get("tags").map(|tags| ("TAGS", tags)));
    // A topic that nobody made yet is made by whoever makes topics on demand.
    let route = match session.find_route(topic)? {
        Some(route) => route,
        None => session.route("TBW102")?,
    };
    let mut targets = targets(&route);
    let target = match named {
        Some((queue_id, broker)) => {
            targets.into_iter().find(|target| target.broker_name == broker && target.queue_id == queue_id)
        }
        None => {
            let any = usize::try_from(session.clock.now()).unwrap_or(0) % targets.len().max(1);
            (any < targets.len()).then(|| targets.swap_remove(any))
        }
    };
    let target =
        target.ok_or_else(|| Failure::Other(format!("topic {topic} has no such queue that can be written")))?;
    let new = New { topic, flag: 0, properties, body: given.need("body")?.as_bytes() };
    let sent = send_to(session, &target, &new)?;
    const FORMAT: &str = "%-32s  %-4s  %-20s    %s";
    out.head(FORMAT, &["#Broker Name", "#QID", "#Send Result", "#MsgId"])?;
    out.row(
        FORMAT,
        &[
            ("brokerName", sent.broker_name.into()),
            ("queueId", sent.queue_id.into()),
            ("sendResult", sent.status.into()),
            ("msgId", sent.id.into()),
        ],
    )
}

/// Sends a stored message once more; its id stays.
pub(super) fn resend(session: &Session, message: &Message, out: &mut Output<'_>) -> Result<(), Failure> {
    const OWN: [&str; 3] = ["WAIT", "MIN_OFFSET", "MAX_OFFSET"];
    let kept = message.properties.iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
    let properties = kept.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let targets = targets(&session.route(&message.topic)?);
    let target = targets.first().ok_or_else(|| Failure::Other(format!("{} cannot be written", message.topic)))?;
    let new = New { topic: &message.topic, flag: message.flag, properties, body: &message.body };
    out.text(format_args!("prepare resend msg. originalMsgId={}", message.offset_id()))?;
    let sent = send_to(session, target, &new)?;
    out.line(format_args!(
        "SendResult [sendStatus={}, msgId={}, offsetMsgId={}, messageQueue=MessageQueue [topic={}, brokerName={}, \
         queueId={}], queueOffset={}, recallHandle=null]",
        sent.status, sent.id, sent.offset_id, message.topic, sent.broker_name, sent.queue_id, sent.queue_offset
    ))?;
    out.record(json!({"originalMsgId": message.offset_id(), "msgId": sent.id, "sendResult": sent.status}))
}

/// Largest body that `-s` makes; no broker takes more.
const FILLING_LEN_MAX: usize = 16 << 20;

/// A body of the size that was asked for.
pub(in crate::admin) fn filling(given: &Arguments) -> Result<Vec<u8>, Failure> {
    let size: usize = given.number("size")?.unwrap_or(128);
    match size <= FILLING_LEN_MAX {
        true => Ok(vec![b'a'; size]),
        false => Err(Failure::Usage(format!("-s {size}: at most {FILLING_LEN_MAX} bytes fit into a message"))),
    }
}

/// What a row of sends came to.
pub(in crate::admin) struct Timed {
    /// How many were stored.
    pub sent: usize,
    /// Milliseconds per send, without the first, which makes the connection.
    pub average_ms: f64,
}

/// Sends to one broker, one message after the other.
pub(in crate::admin) fn time_sends(
    session: &Session,
    topic: &str,
    broker_name: &str,
    addr: &str,
    amount: usize,
    body: &[u8],
) -> Timed {
    let target = Target { broker_name: broker_name.to_owned(), addr: addr.to_owned(), queue_id: 0 };
    let (mut sent, mut spent) = (0, Vec::new());
    for _ in 0..amount {
        let (stored, took) = timed(session, &target, topic, body);
        sent += usize::from(stored);
        spent.push(took);
    }
    Timed { sent, average_ms: average(&spent) }
}

fn timed(session: &Session, target: &Target, topic: &str, body: &[u8]) -> (bool, u64) {
    let began = session.clock.now();
    let sent = send_to(session, target, &New { topic, flag: 0, properties: Vec::new(), body });
    (sent.is_ok(), session.clock.now().saturating_sub(began))
}

fn average(spent: &[u64]) -> f64 {
    let counted = spent.get(1..).filter(|rest| !rest.is_empty()).unwrap_or(spent);
    counted.iter().sum::<u64>() as f64 / counted.len().max(1) as f64
}

pub(in crate::admin) fn check_send_time(
    session: &Session,
    given: &Arguments,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let topic = given.need("topic")?;
    let amount: usize = given.number("amount")?.unwrap_or(100);
    let body = filling(given)?;
    let targets = targets(&session.route(topic)?);
    if amount == 0 {
        return Err(Failure::Usage("-a 0: 1 or more is needed".to_owned()));
    }
    if targets.is_empty() {
        return Err(Failure::Other(format!("topic {topic} cannot be written")));
    }
    const FORMAT: &str = "%-32s  %-4s  %-20s    %s";
    out.head(FORMAT, &["#Broker Name", "#QID", "#Send Result", "#RT"])?;
    let mut spent = Vec::new();
    for target in targets.iter().cycle().take(amount) {
        let (stored, took) = timed(session, target, topic, &body);
        spent.push(took);
        out.row(
            FORMAT,
            &[
                ("brokerName", target.broker_name.as_str().into()),
                ("queueId", target.queue_id.into()),
                ("sendResult", stored.to_string().into()),
                ("rt", took.into()),
            ],
        )?;
    }
    out.line(format_args!("Avg RT: {:.2}", average(&spent)))
}
