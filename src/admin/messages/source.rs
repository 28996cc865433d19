//! Reading queues: which there are, where they begin and end, what is in them.

use super::Failure;
use super::Message;
use super::arguments::Arguments;
use super::session::{Session, TIMEOUT, addr_of};
use crate::wire::body::MessageQueue;
use crate::wire::codes::{request, response};
use crate::wire::command::Value;
use crate::wire::message::{self, RecordError, RecordView};

/// Group that Java's tools read and send as.
const TOOLS_GROUP: &str = "TOOLS_CONSUMER";

/// What a pull found.
pub(super) struct Pulled {
    /// Response code.
    pub code: i32,
    /// Where to go on.
    pub next: i64,
    /// What fits the tags.
    pub messages: Vec<Message>,
}

impl Pulled {
    /// Java's name of the result.
    pub fn status(&self) -> &'static str {
        match self.code {
            response::SUCCESS => "FOUND",
            response::PULL_NOT_FOUND => "NO_NEW_MSG",
            response::PULL_RETRY_IMMEDIATELY => "NO_MATCHED_MSG",
            _ => "OFFSET_ILLEGAL",
        }
    }

    /// Whether there is nothing behind it.
    pub fn ends(&self) -> bool {
        !matches!(self.code, response::SUCCESS | response::PULL_RETRY_IMMEDIATELY)
    }
}

/// A queue with the address of the broker that is asked about it.
pub(super) struct Source {
    /// The queue.
    pub queue: MessageQueue,
    /// The broker.
    pub addr: String,
}

impl Source {
    /// The queues of a topic that can be read, in order; `route_of` is the topic whose route leads there.
    pub fn all(session: &Session, topic: &str, route_of: &str) -> Result<Vec<Source>, Failure> {
        let route = session.route(route_of)?;
        let mut sources = Vec::new();
        for data in route.queue_datas.iter().filter(|data| data.perm & 4 != 0) {
            let broker = route.broker_datas.iter().find(|broker| broker.broker_name == data.broker_name);
            let Some(addr) = broker.and_then(addr_of) else { continue };
            sources.extend((0..data.read_queue_nums).map(|queue_id| Source {
                queue: MessageQueue { topic: topic.to_owned(), broker_name: data.broker_name.clone(), queue_id },
                addr: addr.to_owned(),
            }));
        }
        sources.sort_by(|a, b| a.queue.cmp(&b.queue));
        Ok(sources)
    }

    /// One queue.
    pub fn one(session: &Session, topic: &str, broker: &str, queue_id: i32) -> Result<Source, Failure> {
        let route = session.route(topic)?;
        let found = route.broker_datas.iter().find(|data| data.broker_name == broker).and_then(addr_of);
        let names = || route.broker_datas.iter().map(|data| data.broker_name.clone()).collect::<Vec<_>>().join(", ");
        let addr =
            found.ok_or_else(|| Failure::Other(format!("topic {topic} is not on {broker}; it is on: {}", names())))?;
        let queue = MessageQueue { topic: topic.to_owned(), broker_name: broker.to_owned(), queue_id };
        Ok(Source { queue, addr: addr.to_owned() })
    }

    fn offset(&self, session: &Session, code: i32, timestamp: Option<i64>) -> Result<i64, Failure> {
        let mut ext = self.header();
        ext.extend(timestamp.map(|timestamp| ("timestamp", Value::I64(timestamp))));
        let answer = session.call(&self.addr, code, &ext, b"")?;
        answer.i64("offset").ok_or_else(|| Failure::Other(format!("{} answered no offset", self.addr)))
    }

    /// The first offset, or the first at or after a time.
    pub fn begin(&self, session: &Session, time: Option<i64>) -> Result<i64, Failure> {
        match time {
            None => self.offset(session, request::GET_MIN_OFFSET, None),
            time => self.offset(session, request::SEARCH_OFFSET_BY_TIMESTAMP, time),
        }
    }

    /// Behind the last offset, or the first at or after a time.
    pub fn end(&self, session: &Session, time: Option<i64>) -> Result<i64, Failure> {
        match time {
            None => self.offset(session, request::GET_MAX_OFFSET, None),
            time => self.offset(session, request::SEARCH_OFFSET_BY_TIMESTAMP, time),
        }
    }

    fn header(&self) -> Vec<(&str, Value<'_>)> {
        vec![("topic", Value::Str(&self.queue.topic)), ("queueId", Value::I64(self.queue.queue_id.into()))]
    }

    /// Up to `most` messages from an offset on, those with the tags of an expression.
    pub fn pull(&self, session: &Session, offset: i64, most: i64, expression: &str) -> Result<Pulled, Failure> {
        const WITH_SUBSCRIPTION: i64 = 4;
        let mut ext = self.header();
        ext.extend([
            ("consumerGroup", Value::Str(TOOLS_GROUP)),
            ("queueOffset", Value::I64(offset)),
            ("maxMsgNums", Value::I64(most)),
            ("sysFlag", Value::I64(WITH_SUBSCRIPTION)),
            ("commitOffset", Value::I64(0)),
            ("suspendTimeoutMillis", Value::I64(0)),
            ("subscription", Value::Str(expression)),
            ("subVersion", Value::I64(0)),
            ("expressionType", Value::Str("TAG")),
        ]);
        let code = request::PULL_MESSAGE;
        let answer = session.wait(session.client().request(&self.addr, code, &ext, b"", TIMEOUT))?;
        let known = [
            response::SUCCESS,
            response::PULL_NOT_FOUND,
            response::PULL_RETRY_IMMEDIATELY,
            response::PULL_OFFSET_MOVED,
        ];
        if !known.contains(&answer.code) {
            return Err(session.refused(&self.addr, code, &answer));
        }
        let ends = Some((answer.i64("minOffset").unwrap_or(0), answer.i64("maxOffset").unwrap_or(0)));
        let mut messages = Vec::new();
        for record in message::records(&answer.body) {
            messages.push(self.message(&record, ends)?);
        }
        // The broker compares hashes of tags; clients compare the tags.
        let tags: Vec<&str> =
            expression.split("||").map(str::trim).filter(|tag| !tag.is_empty() && *tag != "*").collect();
        messages.retain(|message| tags.is_empty() || message.property("TAGS").is_some_and(|tag| tags.contains(&tag)));
        let next = answer.i64("nextBeginOffset").unwrap_or(offset);
        Ok(Pulled { code: answer.code, next, messages })
    }

    fn message(
        &self,
        record: &Result<RecordView<'_>, RecordError>,
        ends: Option<(i64, i64)>,
    ) -> Result<Message, Failure> {
        match record {
            Ok(record) => Ok(Message::new(record, &self.queue.broker_name, ends)),
            Err(error) => Err(Failure::Other(format!("a message of {} cannot be read: {error}", self.text()))),
        }
    }

    /// Java's `toString`.
    pub fn text(&self) -> String {
        let MessageQueue { topic, broker_name, queue_id } = &self.queue;
        format!("MessageQueue [topic={topic}, brokerName={broker_name}, queueId={queue_id}]")
    }
}

/// A time as Java's tools take it: milliseconds, or `yyyy-MM-dd#HH:mm:ss:SSS`.
pub(super) fn time(session: &Session, given: &Arguments, long: &str) -> Result<Option<i64>, Failure> {
    let Some(text) = given.get(long) else { return Ok(None) };
    session.parse_time(text).map(Some).ok_or_else(|| {
        Failure::Usage(format!("--{long} {text}: milliseconds since 1970 or yyyy-MM-dd#HH:mm:ss:SSS is needed"))
    })
}
