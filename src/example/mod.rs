//! L4: the example programs of RocketMQ's distribution that tutorials and scripts start by class name, with what they
//! print: `org.apache.rocketmq.example.quickstart.Producer` and `Consumer`. Knows a cluster only through `client`.

use std::cell::RefCell;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use thiserror::Error;

use crate::base::clock::Clock;
use crate::base::shutdown::Shutdown;
use crate::client::consumer::{self, Arrived, Consumed, Subscription};
use crate::client::shown::Message;
use crate::client::{Client, ClientError};
use crate::wire::body::{ConsumeFromWhere, TopicRouteData};
use crate::wire::codes::{request, response};
use crate::wire::command::Value;
use crate::wire::message::properties;

/// The topic of the quickstart.
pub const TOPIC: &str = "TopicTest";
/// Its tag.
const TAG: &str = "TagA";
/// Messages that the producer sends.
const MESSAGES: u32 = 1000;
/// The groups of 4.9's quickstart.
const PRODUCER_GROUP: &str = "please_rename_unique_group_name";
const CONSUMER_GROUP: &str = "please_rename_unique_group_name_4";
/// A topic that is missing is made after this one, with so many queues at most.
const PATTERN: &str = "TBW102";
const QUEUES_MAX: i32 = 4;
/// How long a call may take, as Java's clients wait.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after a send that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Sends in a row that may fail; Java's example goes on for as many seconds as it has messages.
const FAILURES_MAX: u32 = 10;

/// Why an example ended early.
#[derive(Debug, Error)]
pub enum ExampleError {
    /// No name server was given.
    #[error("no name server: give -n HOST:PORT, or set NAMESRV_ADDR")]
    NoServer,
    /// Neither the topic nor the pattern for new topics has a route.
    #[error("No route info of this topic: {TOPIC}; `rocketmq doctor -n {name_server} -t {TOPIC}` says why")]
    NoRoute {
        /// Name server that was asked.
        name_server: String,
    },
    /// A server could not be asked, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The runtime, or what was to be printed.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// A queue that can be written.
struct Target {
    broker_name: String,
    addr: String,
    queue_id: i32,
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Sends 1000 messages and prints where each went, as Java's.
pub fn produce(name_servers: &[String], out: &mut dyn Write) -> Result<(), ExampleError> {
    runtime()?.block_on(async {
        let client = Client::new();
        let targets = targets(&client, name_servers).await?;
        let mut failures = 0;
        for number in 0..MESSAGES {
            let target = &targets[number as usize % targets.len()];
            match send(&client, target, number).await {
                Ok(line) => {
                    failures = 0;
                    writeln!(out, "{line}")?;
                }
                Err(error) if failures == FAILURES_MAX => return Err(error.into()),
                Err(error) => {
                    failures += 1;
                    tracing::error!("message {number}: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        Ok(out.flush()?)
    })
}

async fn targets(client: &Client, name_servers: &[String]) -> Result<Vec<Target>, ExampleError> {
    let mut failed = ExampleError::NoServer;
    for name_server in name_servers {
        for (topic, queues_max) in [(TOPIC, i32::MAX), (PATTERN, QUEUES_MAX)] {
            match client.route(name_server, topic, TIMEOUT).await {
                Ok(route) => {
                    let found = queues(&route, queues_max);
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
                Err(error) if error.response() == Some(response::TOPIC_NOT_EXIST) => {}
                Err(error) => {
                    failed = error.into();
                    break;
                }
            }
            failed = ExampleError::NoRoute { name_server: name_server.clone() };
        }
    }
    Err(failed)
}

fn queues(route: &TopicRouteData, queues_max: i32) -> Vec<Target> {
    let mut targets = Vec::new();
    for data in route.queue_datas.iter().filter(|data| data.perm & 2 != 0) {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == data.broker_name);
        let Some(addr) = broker.and_then(|broker| broker.broker_addrs.get(&0)) else { continue };
        targets.extend((0..data.write_queue_nums.min(queues_max)).map(|queue_id| Target {
            broker_name: data.broker_name.clone(),
            addr: addr.clone(),
            queue_id,
        }));
    }
    targets
}

/// Sends one message; the line that Java prints for it.
async fn send(client: &Client, target: &Target, number: u32) -> Result<String, ClientError> {
    let now = Clock::System.now();
    let id = format!("7F000001{:04X}{:012X}{number:08X}", std::process::id() as u16, now & 0xffff_ffff_ffff);
    let mut text = Vec::new();
    for (name, value) in [("UNIQ_KEY", id.as_str()), ("WAIT", "true"), ("TAGS", TAG)] {
        properties::append(&mut text, name, value);
    }
    let text = String::from_utf8_lossy(&text);
    let ext = [
        ("a", Value::Str(PRODUCER_GROUP)),
        ("b", Value::Str(TOPIC)),
        ("c", Value::Str(PATTERN)),
        ("d", Value::I64(QUEUES_MAX.into())),
        ("e", Value::I64(target.queue_id.into())),
        ("f", Value::I64(0)),
        ("g", Value::I64(now as i64)),
        ("h", Value::I64(0)),
        ("i", Value::Str(&text)),
        ("j", Value::I64(0)),
        ("k", Value::Bool(false)),
        ("m", Value::Bool(false)),
    ];
    let (code, body) = (request::SEND_MESSAGE_V2, format!("Hello RocketMQ {number}"));
    let answer = client.request(&target.addr, code, &ext, body.as_bytes(), TIMEOUT).await?;
    let status = match answer.code {
        response::SUCCESS => "SEND_OK",
        response::FLUSH_DISK_TIMEOUT => "FLUSH_DISK_TIMEOUT",
        response::FLUSH_SLAVE_TIMEOUT => "FLUSH_SLAVE_TIMEOUT",
        response::SLAVE_NOT_AVAILABLE => "SLAVE_NOT_AVAILABLE",
        other => {
            let remark = answer.remark.unwrap_or_default();
            return Err(ClientError::Refused { addr: target.addr.clone(), code, response: other, remark });
        }
    };
    Ok(format!(
        "SendResult [sendStatus={status}, msgId={id}, offsetMsgId={}, messageQueue=MessageQueue [topic={TOPIC}, \
         brokerName={}, queueId={}], queueOffset={}]",
        answer.get("msgId").unwrap_or("null"),
        target.broker_name,
        answer.i64("queueId").unwrap_or(target.queue_id.into()),
        answer.i64("queueOffset").unwrap_or(0),
    ))
}

/// Consumes the topic from its beginning and prints each message, as Java's, until `stop` says so.
pub fn consume(name_servers: &[String], stop: Shutdown, out: &mut dyn Write) -> Result<(), ExampleError> {
    if name_servers.is_empty() {
        return Err(ExampleError::NoServer);
    }
    let what = Subscription {
        name_servers: name_servers.to_vec(),
        group: CONSUMER_GROUP.to_owned(),
        topic: TOPIC.to_owned(),
        expression: "*".to_owned(),
        from: ConsumeFromWhere::FirstOffset,
        retries: false,
    };
    let out = RefCell::new(out);
    let failed = RefCell::new(None);
    let print = |line: std::fmt::Arguments<'_>| {
        let mut out = out.borrow_mut();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed.borrow_mut().get_or_insert(error);
                ControlFlow::Break(())
            }
        }
    };
    let on_message = |arrived: Arrived<'_>| {
        let message = Message::new(&arrived.record, arrived.broker_name, Some(arrived.ends));
        print(format_args!("ConsumeMessageThread_{CONSUMER_GROUP}_1 Receive New Messages: [{}] ", message.text()))?;
        ControlFlow::Continue(Consumed::Done)
    };
    let started = || {
        // What cannot be printed now, the first message cannot either.
        let _told = print(format_args!("Consumer Started."));
    };
    runtime()?.block_on(consumer::consume(what, stop, started, on_message))?;
    match failed.into_inner() {
        // Whoever reads us has seen enough.
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
