//! A received message as Java's tools and example programs print it, which people's scripts cut to pieces. Knows the
//! record and Java's `toString`, not where the message came from.

use std::net::SocketAddr;

use crate::base::position::PhyOffset;
use crate::wire::compress::Compression;
use crate::wire::message::RecordView;
use crate::wire::message::id::OffsetMessageId;
use crate::wire::message::properties::{self, java_hash};

/// Most bytes of a body that is unpacked.
const BODY_LEN_MAX: usize = 64 << 20;

/// A message as Java's tools show it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Name of the broker; empty where nobody asked for it.
    pub broker_name: String,
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue_id: i32,
    /// Offset in the queue.
    pub queue_offset: i64,
    /// Bytes of the record.
    pub size: usize,
    /// The sender's flag.
    pub flag: i32,
    /// System flag.
    pub sys_flag: i32,
    /// When it was made, milliseconds since the epoch.
    pub born_timestamp: i64,
    /// Who sent it.
    pub born_host: SocketAddr,
    /// When it was stored, milliseconds since the epoch.
    pub store_timestamp: i64,
    /// Who stored it.
    pub store_host: SocketAddr,
    /// Position in the commit log.
    pub log_offset: i64,
    /// Checksum of the stored body.
    pub body_crc: u32,
    /// How often it was redelivered.
    pub reconsume_times: i32,
    /// Position of the half message, in a transaction.
    pub prepared_offset: i64,
    /// The body, unpacked.
    pub body: Vec<u8>,
    /// In Java's order.
    pub properties: Vec<(String, String)>,
}

impl Message {
    /// From a record. `ends` are those of its queue, which Java's client adds to what it pulls.
    pub fn new(record: &RecordView<'_>, broker_name: &str, ends: Option<(i64, i64)>) -> Message {
        let mut properties: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: &str| match properties.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => properties.push((name.to_owned(), value.to_owned())),
        };
        properties::iter(record.properties()).for_each(|(name, value)| set(name, value));
        if let Some((min, max)) = ends {
            set("MIN_OFFSET", &min.to_string());
            set("MAX_OFFSET", &max.to_string());
        }
        java_map_order(&mut properties);
        let unpacked = Compression::of(record.sys_flag()).map(|kind| kind.unpack(record.body(), BODY_LEN_MAX));
        Message {
            broker_name: broker_name.to_owned(),
            topic: record.topic().to_owned(),
            queue_id: record.queue_id(),
            queue_offset: record.queue_offset(),
            size: record.total_size(),
            flag: record.flag(),
            sys_flag: record.sys_flag(),
            born_timestamp: record.born_timestamp(),
            born_host: record.born_host(),
            store_timestamp: record.store_timestamp(),
            store_host: record.store_host(),
            log_offset: record.phy_offset(),
            body_crc: record.body_crc(),
            reconsume_times: record.reconsume_times(),
            prepared_offset: record.prepared_transaction_offset(),
            // A body that cannot be unpacked is shown as it is.
            body: unpacked.and_then(Result::ok).unwrap_or_else(|| record.body().to_vec()),
            properties,
        }
    }

    /// A property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The broker's id: where it is stored.
    pub fn offset_id(&self) -> String {
        let phy_offset = PhyOffset(self.log_offset.unsigned_abs());
        OffsetMessageId { store_host: self.store_host, phy_offset }.text().to_string()
    }

    /// The client's id, or the broker's if there is none.
    pub fn id(&self) -> String {
        self.property("UNIQ_KEY").map_or_else(|| self.offset_id(), str::to_owned)
    }

    /// The properties as Java prints a map.
    pub fn properties_text(&self) -> String {
        let pairs: Vec<String> = self.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{{{}}}", pairs.join(", "))
    }

    /// The body as text.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Java's `toString`.
    pub fn text(&self) -> String {
        let bytes: Vec<String> = self.body.iter().map(|byte| byte.cast_signed().to_string()).collect();
        let in_transaction = self.property("TRAN_MSG").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let transaction_id = if in_transaction { self.property("UNIQ_KEY") } else { None };
        format!(
            "MessageExt [brokerName={}, queueId={}, storeSize={}, queueOffset={}, sysFlag={}, bornTimestamp={}, \
             bornHost=/{}, storeTimestamp={}, storeHost=/{}, msgId={}, commitLogOffset={}, bodyCRC={}, \
             reconsumeTimes={}, preparedTransactionOffset={}, toString()=Message{{topic='{}', flag={}, \
             properties={}, body=[{}], transactionId='{}'}}]",
            self.broker_name,
            self.queue_id,
            self.size,
            self.queue_offset,
            self.sys_flag,
            self.born_timestamp,
            self.born_host,
            self.store_timestamp,
            self.store_host,
            self.offset_id(),
            self.log_offset,
            self.body_crc,
            self.reconsume_times,
            self.prepared_offset,
            self.topic,
            self.flag,
            self.properties_text(),
            bytes.join(", "),
            transaction_id.unwrap_or("null"),
        )
    }
}

/// Puts properties into the order in which Java's `HashMap` of 128 places holds them: scripts expect `RETRY_TOPIC` to
/// have a comma behind it.
fn java_map_order(properties: &mut [(String, String)]) {
    const PLACES: usize = 128;
    let mut places = PLACES;
    while properties.len() * 4 > places * 3 {
        places *= 2;
    }
    properties.sort_by_key(|(name, _)| {
        let hash = java_hash(name).cast_unsigned();
        (hash ^ hash >> 16) as usize & (places - 1)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_come_in_the_order_of_javas_map() {
        let names =
            ["UNIQ_KEY", "TAGS", "MAX_OFFSET", "WAIT", "MIN_OFFSET", "TRACE_ON", "KEYS", "MSG_REGION", "CLUSTER"];
        let mut properties = names.map(|name| (name.to_owned(), String::new()));
        java_map_order(&mut properties);
        // As a Java 5.3.3 tool printed them.
        let order =
            ["MSG_REGION", "UNIQ_KEY", "CLUSTER", "MIN_OFFSET", "TAGS", "KEYS", "WAIT", "TRACE_ON", "MAX_OFFSET"];
        assert_eq!(properties.map(|(name, _)| name), order);
    }
}
