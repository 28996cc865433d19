//! Between the route table and the bodies of requests and answers: the one place where both are known.

use std::collections::{BTreeMap, BTreeSet};

use super::kv::Namespace;
use super::routes::{Broker, Identity, Queues, Registration, Route};
use crate::wire::body::{
    BodyError, BrokerData, BrokerMemberGroup, ClusterInfo, DataVersion, GetBrokerMemberGroupResponseBody, KVTable,
    QueueData, RegisterBrokerBody, TopicConfigSerializeWrapper, TopicList, TopicRouteData,
};
use crate::wire::command::Command;

/// First version whose registration carries filter servers around the topics (V3_0_11); before, it is the topics only.
const FILTER_SERVERS_VERSION: i32 = 37;

/// The body of a registration.
#[derive(Debug)]
pub(super) struct Registered {
    topics: TopicConfigSerializeWrapper,
    filter_servers: Option<Vec<String>>,
}

impl Registered {
    /// Checks and reads the body of a registration; without one there are no topics. The error is a remark.
    pub fn parse(request: &Command<'_>) -> Result<Registered, String> {
        // 0 means that the sender made none.
        let announced = request.ext.i64("bodyCrc32").unwrap_or(0);
        if announced != 0 && announced != i64::from(RegisterBrokerBody::crc32(request.body)) {
            return Err("crc32 not match".to_owned());
        }
        let read = if request.version >= FILTER_SERVERS_VERSION {
            RegisterBrokerBody::decode(request.body, request.version)
                .map(|body| (body.topic_config_serialize_wrapper, Some(body.filter_server_list)))
        } else {
            TopicConfigSerializeWrapper::parse(request.body).map(|topics| (topics, None))
        };
        match read {
            Ok((topics, filter_servers)) => Ok(Registered { topics, filter_servers }),
            Err(BodyError::Missing { .. }) => Ok(Registered { topics: Default::default(), filter_servers: None }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// With the request's header.
    pub fn registration<'a>(&'a self, from: Identity<'a>, request: &'a Command<'_>) -> Registration<'a> {
        let topics = self.topics.topic_config_table.iter().map(|(name, topic)| {
            let queues = Queues {
                read: topic.read_queue_nums,
                write: topic.write_queue_nums,
                perm: topic.perm,
                topic_sys_flag: topic.topic_sys_flag,
            };
            (name.as_str(), queues)
        });
        let mappings = self.topics.topic_queue_mapping_info_map.iter().flatten();
        Registration {
            cluster: from.cluster,
            broker: from.broker,
            addr: from.addr,
            id: from.id,
            ha_addr: request.ext.get("haServerAddr").unwrap_or_default(),
            zone: request.ext.get("__ZONE_NAME"),
            timeout_ms: request.ext.i64("heartbeatTimeoutMillis").and_then(|ms| u64::try_from(ms).ok()),
            acting_master: request.ext.bool("enableActingMaster"),
            version: self.topics.data_version,
            topics: topics.collect(),
            // The map's key is the topic, whatever the mapping itself says.
            mappings: mappings
                .map(|(topic, mapping)| {
                    let mut mapping = mapping.clone();
                    mapping.topic.clone_from(topic);
                    mapping
                })
                .collect(),
            filter_servers: self.filter_servers.clone(),
        }
    }
}

/// Body of code 322, if there is one.
pub(super) fn data_version(body: &[u8]) -> Result<Option<DataVersion>, BodyError> {
    match DataVersion::parse(body) {
        Err(BodyError::Missing { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Body of code 217: only the queues count.
pub(super) fn queues(body: &[u8]) -> Result<Vec<(String, Queues)>, BodyError> {
    let queues = |data: QueueData| {
        let queues = Queues {
            read: data.read_queue_nums,
            write: data.write_queue_nums,
            perm: data.perm,
            topic_sys_flag: data.topic_sys_flag,
        };
        (data.broker_name, queues)
    };
    Ok(TopicRouteData::parse(body)?.queue_datas.into_iter().map(queues).collect())
}

/// Answer to code 105.
pub(super) fn route(route: Route, order_topic_conf: Option<String>, standard_json: bool) -> Vec<u8> {
    let queues = route.queues.into_iter().map(|(broker_name, queues)| QueueData {
        broker_name,
        perm: queues.perm,
        read_queue_nums: queues.read,
        topic_sys_flag: queues.topic_sys_flag,
        write_queue_nums: queues.write,
    });
    let body = TopicRouteData {
        broker_datas: route.brokers.into_iter().map(|(name, broker)| broker_data(name, broker)).collect(),
        filter_server_table: route.filter_servers,
        order_topic_conf,
        queue_datas: queues.collect(),
        topic_queue_mapping_by_broker: route.mappings,
    };
    if standard_json { body.to_standard_json() } else { body.to_json() }
}

/// Answer to code 106.
pub(super) fn cluster_info(
    brokers: &BTreeMap<String, Broker>,
    clusters: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<u8> {
    let data = |(name, broker): (&String, &Broker)| (name.clone(), broker_data(name.clone(), broker.clone()));
    ClusterInfo { broker_addr_table: brokers.iter().map(data).collect(), cluster_addr_table: clusters.clone() }
        .to_json()
}

/// Answer to code 901.
pub(super) fn member_group(cluster: &str, broker: &str, addrs: BTreeMap<i64, String>) -> Vec<u8> {
    let group = BrokerMemberGroup { broker_addrs: addrs, broker_name: broker.to_owned(), cluster: cluster.to_owned() };
    GetBrokerMemberGroupResponseBody { broker_member_group: Some(group) }.to_json()
}

/// Answer to the topic lists.
pub(super) fn topics(topics: &[&str], broker_addr: Option<&str>) -> Vec<u8> {
    TopicList {
        broker_addr: broker_addr.map(str::to_owned),
        topic_list: topics.iter().map(|topic| (*topic).to_owned()).collect(),
    }
    .to_json()
}

/// Answer to codes 103 and 219.
pub(super) fn kv_table(table: Namespace) -> Vec<u8> {
    KVTable { table }.to_json()
}

fn broker_data(broker_name: String, broker: Broker) -> BrokerData {
    BrokerData {
        broker_addrs: broker.addrs,
        broker_name,
        cluster: broker.cluster,
        enable_acting_master: broker.acting_master,
        zone_name: broker.zone,
    }
}
