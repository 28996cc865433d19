//! Typed calls on top of `Client::call`: each writes its request's header and reads its answer (INTEROP 02, 04, 05).

use std::time::Duration;

use super::{Client, ClientError, Response};
use crate::base::position::{QueueId, QueueOffset};
use crate::wire::body::{BodyError, ClusterInfo, DataVersion, KVTable, TopicRouteData};
use crate::wire::codes::request;
use crate::wire::command::Value;
use crate::wire::message::body_crc;

/// How a broker names itself at a name server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerName {
    /// Cluster.
    pub cluster: String,
    /// Broker name, shared by a master and its slaves.
    pub broker: String,
    /// 0 for a master.
    pub id: i64,
    /// Advertised `host:port`.
    pub addr: String,
}

/// What a name server answers to a registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// For slaves: the HA address of their master.
    pub ha_server_addr: Option<String>,
    /// For slaves: the master's address.
    pub master_addr: Option<String>,
    /// Orders of topics, if the name server has any.
    pub order_topics: Option<KVTable>,
}

/// What CREATE_TOPIC takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Queues to read.
    pub read_queues: u32,
    /// Queues to write.
    pub write_queues: u32,
    /// Permission bits; 6 is read and write.
    pub perm: i32,
}

impl Client {
    /// GET_ROUTEINFO_BY_TOPIC at a name server.
    pub async fn route(&self, namesrv: &str, topic: &str, timeout: Duration) -> Result<TopicRouteData, ClientError> {
        let code = request::GET_ROUTEINFO_BY_TOPIC;
        let answer = self.call(namesrv, code, &[("topic", Value::Str(topic))], b"", timeout).await?;
        read(TopicRouteData::parse(&answer.body), namesrv, code)
    }

    /// GET_BROKER_CLUSTER_INFO at a name server.
    pub async fn cluster_info(&self, namesrv: &str, timeout: Duration) -> Result<ClusterInfo, ClientError> {
        let code = request::GET_BROKER_CLUSTER_INFO;
        let answer = self.call(namesrv, code, &[], b"", timeout).await?;
        read(ClusterInfo::parse(&answer.body), namesrv, code)
    }

    /// REGISTER_BROKER at a name server; `body` is a `RegisterBrokerBody` in plain JSON.
    pub async fn register_broker(
        &self,
        namesrv: &str,
        name: &BrokerName,
        ha_server_addr: &str,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Registered, ClientError> {
        let code = request::REGISTER_BROKER;
        let ext = [
            ("brokerName", Value::Str(&name.broker)),
            ("brokerAddr", Value::Str(&name.addr)),
            ("clusterName", Value::Str(&name.cluster)),
            ("haServerAddr", Value::Str(ha_server_addr)),
            ("brokerId", Value::I64(name.id)),
            // INTEROP 05 §1: absent means a 4.x broker; present, a 5.x name server takes topics one by one.
            ("enableActingMaster", Value::Bool(false)),
            ("compressed", Value::Bool(false)),
            ("bodyCrc32", Value::I64(i64::from(body_crc(body) & 0x7fff_ffff))),
        ];
        let answer = self.call(namesrv, code, &ext, body, timeout).await?;
        let order_topics = match answer.body.is_empty() {
            true => None,
            false => Some(read(KVTable::parse(&answer.body), namesrv, code)?),
        };
        let text = |name: &str| answer.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Registered { ha_server_addr: text("haServerAddr"), master_addr: text("masterAddr"), order_topics })
    }

    /// UNREGISTER_BROKER at a name server.
    pub async fn unregister_broker(
        &self,
        namesrv: &str,
        name: &BrokerName,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        self.call(namesrv, request::UNREGISTER_BROKER, &named(name), b"", timeout).await.map(drop)
    }

    /// QUERY_DATA_VERSION at a name server: whether it has to be told again.
    pub async fn query_data_version(
        &self,
        namesrv: &str,
        name: &BrokerName,
        version: &DataVersion,
        timeout: Duration,
    ) -> Result<bool, ClientError> {
        let code = request::QUERY_DATA_VERSION;
        let answer = self.call(namesrv, code, &named(name), &version.to_json(), timeout).await?;
        // Absent means that it does not know.
        Ok(answer.get("changed").is_none_or(|changed| changed.eq_ignore_ascii_case("true")))
    }

    /// UPDATE_AND_CREATE_TOPIC at a broker.
    pub async fn create_topic(&self, broker: &str, topic: &NewTopic<'_>, timeout: Duration) -> Result<(), ClientError> {
        let ext = [
            ("topic", Value::Str(topic.name)),
            ("defaultTopic", Value::Str("TBW102")),
            ("readQueueNums", Value::I64(topic.read_queues.into())),
            ("writeQueueNums", Value::I64(topic.write_queues.into())),
            ("perm", Value::I64(topic.perm.into())),
            ("topicFilterType", Value::Str("SINGLE_TAG")),
            ("topicSysFlag", Value::I64(0)),
            ("order", Value::Bool(false)),
        ];
        self.call(broker, request::UPDATE_AND_CREATE_TOPIC, &ext, b"", timeout).await.map(drop)
    }

    /// GET_MAX_OFFSET at a broker: the offset that the next message gets.
    pub async fn max_offset(
        &self,
        broker: &str,
        topic: &str,
        queue: QueueId,
        timeout: Duration,
    ) -> Result<QueueOffset, ClientError> {
        self.queue_end(broker, request::GET_MAX_OFFSET, topic, queue, timeout).await
    }

    /// GET_MIN_OFFSET at a broker.
    pub async fn min_offset(
        &self,
        broker: &str,
        topic: &str,
        queue: QueueId,
        timeout: Duration,
    ) -> Result<QueueOffset, ClientError> {
        self.queue_end(broker, request::GET_MIN_OFFSET, topic, queue, timeout).await
    }

    async fn queue_end(
        &self,
        broker: &str,
        code: i32,
        topic: &str,
        queue: QueueId,
        timeout: Duration,
    ) -> Result<QueueOffset, ClientError> {
        let ext = [("topic", Value::Str(topic)), ("queueId", Value::I64(queue.0.into()))];
        let answer = self.call(broker, code, &ext, b"", timeout).await?;
        offset(&answer).ok_or_else(|| ClientError::Malformed {
            addr: broker.into(),
            code,
            found: "its header has no offset".into(),
        })
    }
}

fn named(name: &BrokerName) -> [(&'static str, Value<'_>); 4] {
    [
        ("brokerName", Value::Str(&name.broker)),
        ("brokerAddr", Value::Str(&name.addr)),
        ("clusterName", Value::Str(&name.cluster)),
        ("brokerId", Value::I64(name.id)),
    ]
}

fn offset(answer: &Response) -> Option<QueueOffset> {
    u64::try_from(answer.i64("offset")?).ok().map(QueueOffset)
}

/// An answer's body, or who sent what cannot be read.
pub fn read<T>(body: Result<T, BodyError>, addr: &str, code: i32) -> Result<T, ClientError> {
    body.map_err(|error| ClientError::Malformed { addr: addr.to_owned(), code, found: error.to_string() })
}
