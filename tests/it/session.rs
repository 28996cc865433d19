//! A client of single requests: sends and pulls as published clients word them, one after the other. It must never know
//! what a test proves.

use std::time::Duration;

use rocketmq::client::{Client, Response};
use rocketmq::wire::codes::request;
use rocketmq::wire::command::Value;

/// How long an answer may take before a test fails.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One who asks one server at `address`.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client,
    address: String,
}

impl Session {
    pub fn new(port: u16) -> Session {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Session { runtime, client: Client::new(), address: format!("127.0.0.1:{port}") }
    }

    pub fn ask(&self, code: i32, ext: &[(&str, Value<'_>)], body: &[u8]) -> Response {
        let call = self.client.request(&self.address, code, ext, body, TIMEOUT);
        self.runtime.block_on(call).expect("an answer")
    }

    /// Sends to queue 0 of a topic, which is made by the first.
    pub fn send(&self, topic: &str, body: &[u8]) -> Response {
        let ext = [
            ("producerGroup", Value::Str("P")),
            ("topic", Value::Str(topic)),
            ("defaultTopic", Value::Str("TBW102")),
            ("defaultTopicQueueNums", Value::I64(4)),
            ("queueId", Value::I64(0)),
            ("sysFlag", Value::I64(0)),
            ("bornTimestamp", Value::I64(1_700_000_000_000)),
            ("flag", Value::I64(0)),
            ("properties", Value::Str("TAGS\u{1}TagA\u{2}KEYS\u{1}k\u{2}")),
            ("reconsumeTimes", Value::I64(0)),
            ("unitMode", Value::Str("false")),
            ("batch", Value::Str("false")),
        ];
        self.ask(request::SEND_MESSAGE, &ext, body)
    }

    /// Pulls from queue 0 of a topic; `hold_ms` is how long the broker may wait for a message, 0 for not at all.
    pub fn pull(&self, topic: &str, offset: i64, count: i64, hold_ms: i64) -> Response {
        self.ask(request::PULL_MESSAGE, &pull("C", topic, 0, offset, count, hold_ms), b"")
    }
}

/// The fields of a pull of all tags.
pub fn pull<'a>(
    group: &'a str,
    topic: &'a str,
    queue: i64,
    offset: i64,
    count: i64,
    hold_ms: i64,
) -> [(&'static str, Value<'a>); 11] {
    // The subscription is among the fields; and it may be held.
    let sys_flag = if hold_ms > 0 { 4 | 2 } else { 4 };
    [
        ("consumerGroup", Value::Str(group)),
        ("topic", Value::Str(topic)),
        ("queueId", Value::I64(queue)),
        ("queueOffset", Value::I64(offset)),
        ("maxMsgNums", Value::I64(count)),
        ("sysFlag", Value::I64(sys_flag)),
        ("commitOffset", Value::I64(0)),
        ("suspendTimeoutMillis", Value::I64(hold_ms)),
        ("subscription", Value::Str("*")),
        ("subVersion", Value::I64(0)),
        ("expressionType", Value::Str("TAG")),
    ]
}
