//! The JSON bodies of requests and answers (INTEROP 04 §3, §4), field for field as Java's beans. Each has `parse`, which
//! takes what any release or client writes, and `to_json`, which writes what all of them read. Says nothing about who
//! sends a body when.
//!
//! What a field means is told where the broker or the name server uses it; here only what its name does not say.

mod admin;
mod client;
mod group;
mod offset;
mod register;
mod route;
mod stats;
mod topic;

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::fastjson::{self, Form, JsonError};

pub use admin::*;
pub use client::*;
pub use group::*;
pub use offset::*;
pub use register::*;
pub use route::*;
pub use stats::*;
pub use topic::*;

/// A body that cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// There is none; Java reads a null object.
    #[error("the {body} body is missing")]
    Missing {
        /// What it should have been.
        body: &'static str,
    },
    /// It is not that JSON.
    #[error("cannot read the {body} body: {found}")]
    Json {
        /// What it should have been.
        body: &'static str,
        /// What is wrong with it.
        found: JsonError,
    },
    /// The compressed form of a registration is broken.
    #[error("cannot read the compressed {body} body: {found}")]
    Compressed {
        /// What it should have been.
        body: &'static str,
        /// What is wrong with it.
        found: String,
    },
}

/// Most values in a body that any client may send: a heartbeat of 1,000 subscriptions with ten tags each has 30,000. A
/// bean takes some hundred bytes for two characters of JSON, so the frame's limit alone bounds too little.
pub const CLIENT_NODES_MAX: usize = 1 << 17;

fn read<T: DeserializeOwned>(body: &'static str, json: &[u8], nodes_max: usize) -> Result<T, BodyError> {
    if json.iter().all(u8::is_ascii_whitespace) {
        return Err(BodyError::Missing { body });
    }
    let read = fastjson::parse_bounded(json, nodes_max).and_then(|tree| fastjson::from_json(&tree));
    read.map_err(|found| BodyError::Json { body, found })
}

macro_rules! bodies {
    ($($name:ident $((at most $nodes_max:ident))?)*) => {
        $(impl $name {
            /// Reads the body with fastjson's tolerance; an empty one is [`BodyError::Missing`].
            pub fn parse(json: &[u8]) -> Result<Self, BodyError> {
                read(stringify!($name), json, bodies!(@bound $($nodes_max)?))
            }

            /// Writes the body as fastjson does: compact, keys sorted, numeric keys bare, beans as keys.
            pub fn to_json(&self) -> Vec<u8> {
                fastjson::to_vec(self, Form::Fastjson)
            }
        })*

        /// Every body with a function that reads and writes it again, for the tests that walk them.
        pub const BODIES: &[(&str, fn(&[u8]) -> Result<Vec<u8>, BodyError>)] = &[
            $((stringify!($name), |json| $name::parse(json).map(|body| body.to_json())),)*
        ];
    };
    (@bound) => { fastjson::NODES_MAX };
    (@bound $nodes_max:ident) => { $nodes_max };
}

bodies! {
    BrokerStatsData
    CheckClientRequestBody (at most CLIENT_NODES_MAX)
    ClusterInfo
    ConsumeMessageDirectlyResult
    ConsumeStats
    ConsumeStatsList
    ConsumerConnection
    ConsumerOffsetSerializeWrapper
    ConsumerRunningInfo
    CreateTopicListRequestBody
    DataVersion
    DelayOffsetSerializeWrapper
    GetBrokerMemberGroupResponseBody
    GetConsumerListByGroupResponseBody
    GetConsumerStatusBody
    GroupList
    HeartbeatData (at most CLIENT_NODES_MAX)
    KVTable
    LockBatchRequestBody (at most CLIENT_NODES_MAX)
    LockBatchResponseBody
    ProducerConnection
    ProducerTableInfo
    QueryConsumeQueueResponseBody
    QueryConsumeTimeSpanBody
    QueryCorrectionOffsetBody
    QuerySubscriptionResponseBody
    RegisterBrokerBody
    ResetOffsetBody
    ResetOffsetBodyForC
    SubscriptionData
    SubscriptionGroupConfig
    SubscriptionGroupList
    SubscriptionGroupWrapper
    TopicConfig
    TopicConfigSerializeWrapper
    TopicList
    TopicQueueMappingDetail
    TopicRouteData
    TopicStatsTable
    UnlockBatchRequestBody (at most CLIENT_NODES_MAX)
}

/// An enum as Java's: written by name, read by name in any case or by ordinal; an unknown name is the default, where
/// Java has null.
macro_rules! java_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            const NAMES: &'static [(&'static str, $name)] = &[$(($text, $name::$variant),)*];

            /// Java's name.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            /// The value of Java's name, in any case.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::NAMES.iter().find(|(text, _)| text.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct NameOrOrdinal;
                impl serde::de::Visitor<'_> for NameOrOrdinal {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a name or ordinal of ", stringify!($name)))
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$name, E> {
                        match name.parse::<i64>() {
                            Ok(ordinal) => self.visit_i64(ordinal),
                            Err(_) => Ok($name::from_name(name).unwrap_or_default()),
                        }
                    }

                    fn visit_i64<E: serde::de::Error>(self, ordinal: i64) -> Result<$name, E> {
                        let at = usize::try_from(ordinal).ok();
                        let value = at.and_then(|at| $name::NAMES.get(at)).map(|(_, value)| *value);
                        value.ok_or_else(|| E::custom(format!("{ordinal} is no ordinal of {}", stringify!($name))))
                    }
                }
                deserializer.deserialize_any(NameOrOrdinal)
            }
        }
    };
}
use java_enum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_is_written_as_java_writes_it() {
        let golden = include_str!("../../tests/golden/bodies.txt");
        let mut seen = std::collections::BTreeSet::new();
        for line in golden.lines() {
            let (name, json) = line.split_once('\t').unwrap();
            let (name, again) = BODIES.iter().find(|(body, _)| *body == name).unwrap_or_else(|| panic!("{name}?"));
            let written = again(json.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(String::from_utf8(written).unwrap(), json, "{name}");
            seen.insert(*name);
        }
        for (name, again) in BODIES {
            assert!(seen.contains(name), "{name} has no golden line");
            again(b"{}").unwrap();
            assert_eq!(again(b" \n"), Err(BodyError::Missing { body: name }));
            assert!(again(b"[]").is_err() && again(b"{\"a\":").is_err());
        }
    }

    #[test]
    fn routes_have_a_standard_form_that_escapes_as_browsers_want_it() {
        let route = TopicRouteData::parse(
            r#"{"brokerDatas":[{"brokerAddrs":{0:"a/中"},"brokerName":"b","cluster":"c"}],"orderTopicConf":"b:4"}"#
                .as_bytes(),
        )
        .unwrap();
        let standard = r#"{"brokerDatas":[{"brokerAddrs":{"0":"a\/\u4E2D"},"brokerName":"b","cluster":"c","enableActingMaster":false}],"filterServerTable":{},"orderTopicConf":"b:4","queueDatas":[]}"#;
        assert_eq!(String::from_utf8(route.to_standard_json()).unwrap(), standard);
        assert_eq!(TopicRouteData::parse(standard.as_bytes()), Ok(route));
    }

    #[test]
    fn what_other_clients_write_is_read() {
        // C++: ordinals, subVersion as text, members missing, a line feed at the end.
        let cpp = br#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,"groupName":"G",
            "messageModel":0,"subscriptionDataSet":[{"subString":"*","subVersion":"1700000000000","topic":"T"}]}],
            "producerDataSet":null}
"#;
        let heartbeat = HeartbeatData::parse(cpp).unwrap();
        let consumer = &heartbeat.consumer_data_set[0];
        assert_eq!(consumer.consume_from_where, ConsumeFromWhere::FirstOffset);
        assert_eq!(consumer.message_model, MessageModel::Broadcasting);
        let subscription = consumer.subscription_data_set.first().unwrap();
        assert_eq!((subscription.sub_version, &*subscription.expression_type), (1_700_000_000_000, "TAG"));
        // Go: hashes as text. Names in any case, unknown ones are null in Java.
        let go = br#"{'clientID':"c",consumerDataSet:[{"messageModel":"Clustering","consumeType":"NEW",
            "subscriptionDataSet":[{"codeSet":["97"],"tagsSet":["a"]}]}],}"#;
        let heartbeat = HeartbeatData::parse(go).unwrap();
        let subscription = heartbeat.consumer_data_set[0].subscription_data_set.first().unwrap();
        assert!(subscription.code_set.contains(&97));
        assert!(HeartbeatData::parse(br#"{"consumerDataSet":[{"messageModel":2}]}"#).is_err());
        // Bean keys in text, as fastjson 1.x takes them.
        let text = br#"{"offsetTable":{"{\"topic\":\"T\",\"brokerName\":\"b\",\"queueId\":\"3\"}":"7"}}"#;
        let body = ResetOffsetBody::parse(text).unwrap();
        assert_eq!(
            String::from_utf8(body.to_json()).unwrap(),
            r#"{"offsetTable":{{"brokerName":"b","queueId":3,"topic":"T"}:7}}"#
        );
        assert!(ResetOffsetBody::parse(br#"{"offsetTable":[]}"#).is_err());
        assert!(DataVersion::parse(br#"{"counter":{}}"#).is_err());
        assert_eq!(QueueData::default(), fastjson::from_slice(br#"{"topicSynFlag":0,"perm":null}"#).unwrap());
    }

    #[test]
    fn what_any_client_may_send_is_bounded_more_tightly() {
        let many = format!("{{\"consumerDataSet\":[{}]}}", "{},".repeat(CLIENT_NODES_MAX));
        let error = HeartbeatData::parse(many.as_bytes()).unwrap_err();
        assert_eq!(error, BodyError::Json { body: "HeartbeatData", found: JsonError::Size });
        assert!(ConsumerRunningInfo::parse(many.as_bytes()).is_ok());
    }

    #[test]
    fn unknown_members_of_settings_survive() {
        let json = r#"{"attributes":{},"order":false,"perm":6,"readQueueNums":16,"someday":{"a":[1,"x"]},"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":"4","zzz":1.5}"#;
        let topic = TopicConfig::parse(json.as_bytes()).unwrap();
        assert_eq!((topic.write_queue_nums, topic.other.len()), (4, 2));
        assert_eq!(String::from_utf8(topic.to_json()).unwrap(), json.replace("\"4\"", "4"));
        let group = SubscriptionGroupConfig::parse(br#"{"groupName":"G","retryMaxTimes":"3","new":true}"#).unwrap();
        assert_eq!((group.retry_max_times, group.other.len()), (3, 1));
        assert!(String::from_utf8(group.to_json()).unwrap().contains("\"new\":true"));
    }
}
