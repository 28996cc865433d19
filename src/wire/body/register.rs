//! The body of REGISTER_BROKER, plain or as the hand-packed zlib stream (INTEROP 04 §6).
//!
//! ```text
//! zlib( i32 len | DataVersion JSON
//!       i32 topics | { i32 len | "T 4 4 6 SINGLE_TAG {}" } ...
//!       i32 len | filter servers JSON
//!       version ≥ 413:  i32 mappings | { i32 len | TopicQueueMappingInfo JSON } ... )
//! ```

use serde::{Deserialize, Serialize};

use super::topic::{DataVersion, TopicConfig, TopicConfigSerializeWrapper, TopicFilterType, TopicQueueMappingInfo};
use super::{BodyError, fastjson};
use crate::wire::compress::Compression;

/// First version whose compressed form has the mapping section and attributes (V5_0_0).
pub const MAPPING_SECTION_VERSION: i32 = 413;

/// Most bytes that a compressed registration may unpack to; 400,000 topics.
pub const UNPACKED_LEN_MAX: usize = 32 << 20;

/// What a broker tells a name server of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Legacy filter servers.
    pub filter_server_list: Vec<String>,
    /// The topics.
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
}

impl RegisterBrokerBody {
    /// The header's `bodyCrc32` of a body in either form: 31 bits of its CRC-32, as Java writes and checks it.
    pub fn crc32(body: &[u8]) -> u32 {
        crc32fast::hash(body) & 0x7fff_ffff
    }

    /// Reads a registration in either form. The first byte tells them apart, not the header's `compressed`, which 5.x
    /// brokers send wrong. `version` is the sender's MQVersion ordinal.
    pub fn decode(body: &[u8], version: i32) -> Result<RegisterBrokerBody, BodyError> {
        match body.first() {
            Some(0x78) => unpack(body, version),
            _ => RegisterBrokerBody::parse(body),
        }
    }

    /// Writes the compressed form for a name server that reads `version`. A 4.x name server takes no attributes.
    pub fn to_compressed(&self, version: i32) -> Result<Vec<u8>, BodyError> {
        let wrapper = &self.topic_config_serialize_wrapper;
        let mut out = Vec::new();
        block(&mut out, &wrapper.data_version.to_json());
        count(&mut out, wrapper.topic_config_table.len());
        for topic in wrapper.topic_config_table.values() {
            let mut line = format!(
                "{} {} {} {} {}",
                topic.topic_name,
                topic.read_queue_nums,
                topic.write_queue_nums,
                topic.perm,
                topic.topic_filter_type.name()
            );
            if version >= MAPPING_SECTION_VERSION {
                let attributes = fastjson::to_vec(&topic.attributes, fastjson::Form::Fastjson);
                line.push(' ');
                line.push_str(&String::from_utf8_lossy(&attributes));
            }
            block(&mut out, line.as_bytes());
        }
        block(&mut out, &fastjson::to_vec(&self.filter_server_list, fastjson::Form::Fastjson));
        if version >= MAPPING_SECTION_VERSION {
            let none = Default::default();
            let mappings = wrapper.topic_queue_mapping_info_map.as_ref().unwrap_or(&none);
            count(&mut out, mappings.len());
            for mapping in mappings.values() {
                block(&mut out, &fastjson::to_vec(mapping, fastjson::Form::Fastjson));
            }
        }
        Compression::Zlib.pack(&out, 9).map_err(|error| broken(error.to_string()))
    }
}

fn unpack(body: &[u8], version: i32) -> Result<RegisterBrokerBody, BodyError> {
    let plain = Compression::Zlib.unpack(body, UNPACKED_LEN_MAX).map_err(|error| broken(error.to_string()))?;
    let mut rest = Rest(&plain);
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version = DataVersion::parse(rest.block("data version")?)?;
    for _ in 0..rest.count("topics")? {
        let topic = topic(rest.block("topic")?)?;
        wrapper.topic_config_table.insert(topic.topic_name.clone(), topic);
    }
    body.filter_server_list = json(rest.block("filter servers")?)?;
    if version >= MAPPING_SECTION_VERSION && !rest.0.is_empty() {
        let mappings = wrapper.topic_queue_mapping_info_map.get_or_insert_default();
        for _ in 0..rest.count("mappings")? {
            let mapping: TopicQueueMappingInfo = json(rest.block("mapping")?)?;
            mappings.insert(mapping.topic.clone(), mapping);
        }
    }
    Ok(body)
}

/// One line: name, read queues, write queues, permission, filter type, attributes. Attributes may be missing (4.x) or be
/// anything (their JSON may hold blanks, at which Java cuts it too): then there are none.
fn topic(line: &[u8]) -> Result<TopicConfig, BodyError> {
    let text = String::from_utf8_lossy(line);
    let fields: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| -> Option<i32> { fields.get(at)?.parse().ok() };
    let read = || {
        Some(TopicConfig {
            topic_name: fields.first().filter(|name| !name.is_empty())?.to_string(),
            read_queue_nums: number(1)?,
            write_queue_nums: number(2)?,
            perm: number(3)?,
            topic_filter_type: TopicFilterType::from_name(fields.get(4)?)?,
            attributes: fields.get(5).and_then(|json| fastjson::from_slice(json.as_bytes()).ok()).unwrap_or_default(),
            ..TopicConfig::default()
        })
    };
    read().ok_or_else(|| broken(format!("{text:?} is no topic")))
}

fn json<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, BodyError> {
    fastjson::from_slice(json).map_err(|found| BodyError::Json { body: "RegisterBrokerBody", found })
}

fn broken(found: String) -> BodyError {
    BodyError::Compressed { body: "RegisterBrokerBody", found }
}

fn count(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&(number as i32).to_be_bytes());
}

fn block(out: &mut Vec<u8>, bytes: &[u8]) {
    count(out, bytes.len());
    out.extend_from_slice(bytes);
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8], BodyError> {
        let parts = self.0.split_at_checked(len);
        let (head, tail) =
            parts.ok_or_else(|| broken(format!("{what}: {len} bytes announced, {} left", self.0.len())))?;
        self.0 = tail;
        Ok(head)
    }

    /// A count of blocks, or the length of one; a count beyond what is left ends at the first missing block.
    fn count(&mut self, what: &str) -> Result<usize, BodyError> {
        let bytes = self.take(4, what)?;
        let number = bytes.try_into().map_or(0, i32::from_be_bytes);
        usize::try_from(number).map_err(|_| broken(format!("{what}: negative length {number}")))
    }

    fn block(&mut self, what: &str) -> Result<&'a [u8], BodyError> {
        let len = self.count(what)?;
        self.take(len, what)
    }
}
