//! The stored message record: the same bytes in the commit log, in a pull answer and on the way to a slave
//! (INTEROP 03 §1, STORE 4.1). Knows nothing of files, topics' settings or connections.
//!
//! ```text
//!  0 i32 totalSize        20 i64 queueOffset     48    bornHost 8|20        … i32 reconsumeTimes
//!  4 u32 magic            28 i64 phyOffset        …  i64 storeTimestamp     … i64 preparedTransactionOffset
//!  8 u32 bodyCRC          36 i32 sysFlag          …     storeHost 8|20      … i32 bodyLen | body
//! 12 i32 queueId          40 i64 bornTimestamp                              … u8|u16 topicLen | topic (V1|V2)
//! 16 i32 flag                                                               … i16 propertiesLen | properties
//! ```
//!
//! A host is 4 or 16 address bytes and an i32 port; which of them, say two bits of sysFlag.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

pub mod batch;
pub mod id;
pub mod properties;
pub mod sys_flag;

pub use properties::{java_hash, tags_code};

/// Magic of a record whose topic length is one byte; every release reads it.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record whose topic length is two bytes; read by 5.1.0 and later.
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Magic of the filler at the end of a commit log file (STORE 4.2); never sent to a client.
pub const MAGIC_BLANK: u32 = 0xCBD4_3194;

/// Longest topic of a V1 record, in bytes: Java reads the length as a signed byte.
pub const TOPIC_LEN_V1_MAX: usize = i8::MAX as usize;
/// Longest topic that any record can carry, in bytes (signed i16); what a broker admits is smaller.
pub const TOPIC_LEN_MAX: usize = i16::MAX as usize;
/// Longest properties, in bytes: the length is a signed i16 (STORE 4.1, the batch trap).
pub const PROPERTIES_LEN_MAX: usize = i16::MAX as usize;
/// Bytes of a V1 record beside body, topic and properties when both hosts are IPv4.
pub const OVERHEAD_V1_IPV4: usize = 91;

const AT_MAGIC: usize = 4;
const AT_BODY_CRC: usize = 8;
const AT_QUEUE_ID: usize = 12;
const AT_FLAG: usize = 16;
const AT_QUEUE_OFFSET: usize = 20;
const AT_PHY_OFFSET: usize = 28;
const AT_SYS_FLAG: usize = 36;
const AT_BORN_TIMESTAMP: usize = 40;
const AT_BORN_HOST: usize = 48;
const HOST_V4_LEN: usize = 8;
const HOST_V6_LEN: usize = 20;

/// A message on its way into the log; what the log assigns (offsets, store timestamp) comes with [`patch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// Topic, UTF-8; more than 127 bytes make a V2 record.
    pub topic: &'a str,
    /// Queue within the topic.
    pub queue_id: i32,
    /// The user's own number.
    pub flag: i32,
    /// Bits of [`sys_flag`]; the two host bits are set from the addresses, whatever is given here.
    pub sys_flag: i32,
    /// The producer's clock, milliseconds since the epoch.
    pub born_timestamp: i64,
    /// The producer's address as the broker sees it.
    pub born_host: SocketAddr,
    /// The advertised address of the broker that stores it.
    pub store_host: SocketAddr,
    /// How often consumers gave it back.
    pub reconsume_times: i32,
    /// Position of the half message in the record that commits it, else 0.
    pub prepared_transaction_offset: i64,
    /// The body as the producer sent it, compressed or not.
    pub body: &'a [u8],
    /// Properties text (`name \u{1} value \u{2}` repeated), written as it is.
    pub properties: &'a [u8],
}

/// A record that cannot be written, or bytes that are not a record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// The topic is empty or too long.
    #[error("topic of {len} bytes; a record takes 1 to {TOPIC_LEN_MAX}")]
    TopicLength {
        /// Bytes of the topic.
        len: usize,
    },
    /// The properties do not fit into their signed 16-bit length.
    #[error("properties of {len} bytes are longer than the {PROPERTIES_LEN_MAX} that a record takes")]
    PropertiesLength {
        /// Bytes of the properties.
        len: usize,
    },
    /// The whole record does not fit into its signed 32-bit length.
    #[error("a body of {len} bytes does not fit into one record")]
    BodyLength {
        /// Bytes of the body.
        len: usize,
    },
    /// Fewer bytes than the record announces, or than its fixed fields need.
    #[error("a record of {needed} bytes is cut off after {have}")]
    Truncated {
        /// Bytes that are needed.
        needed: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The magic is of no known record.
    #[error("magic {0:#010x} is no record's (V1 is 0xdaa320a7, V2 0xdaa320ab)")]
    Magic(u32),
    /// The filler at the end of a commit log file.
    #[error("the end-of-file filler, not a record")]
    Blank,
    /// The lengths inside do not add up to the announced size: what Java calls a half message.
    #[error("a record announces {announced} bytes but its fields take {computed}")]
    Length {
        /// `totalSize` as announced.
        announced: usize,
        /// Bytes that the fields need.
        computed: usize,
    },
    /// A length inside is negative or larger than the record.
    #[error("a record of {announced} bytes announces a {field} of {len} bytes")]
    FieldLength {
        /// `totalSize` as announced.
        announced: usize,
        /// Name of the field.
        field: &'static str,
        /// Its announced length.
        len: i64,
    },
    /// The topic is not UTF-8.
    #[error("the topic of a record is not UTF-8")]
    TopicText,
    /// The body does not match its checksum.
    #[error("body checksum {computed:#010x}, the record says {stored:#010x}")]
    BodyCrc {
        /// As stored.
        stored: u32,
        /// As computed over the stored body.
        computed: u32,
    },
}

impl<'a> From<&RecordView<'a>> for NewRecord<'a> {
    /// All that a log does not assign itself.
    fn from(record: &RecordView<'a>) -> Self {
        NewRecord {
            topic: record.topic(),
            queue_id: record.queue_id(),
            flag: record.flag(),
            sys_flag: record.sys_flag(),
            born_timestamp: record.born_timestamp(),
            born_host: record.born_host(),
            store_host: record.store_host(),
            reconsume_times: record.reconsume_times(),
            prepared_transaction_offset: record.prepared_transaction_offset(),
            body: record.body(),
            properties: record.properties(),
        }
    }
}

/// CRC-32 of a body as records and `RegisterBrokerBody` store it: the top bit is cut off, so that Java's int is positive.
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7fff_ffff
}

/// Appends a record to `out` with offsets and store timestamp zero, and returns its length in bytes.
pub fn encode(out: &mut Vec<u8>, record: &NewRecord<'_>) -> Result<usize, RecordError> {
    let topic = record.topic.as_bytes();
    if topic.is_empty() || topic.len() > TOPIC_LEN_MAX {
        return Err(RecordError::TopicLength { len: topic.len() });
    }
    if record.properties.len() > PROPERTIES_LEN_MAX {
        return Err(RecordError::PropertiesLength { len: record.properties.len() });
    }
    let v2 = topic.len() > TOPIC_LEN_V1_MAX;
    let born = Host::of(record.born_host);
    let store = Host::of(record.store_host);
    let len = OVERHEAD_V1_IPV4 - 2 * HOST_V4_LEN
        + born.len()
        + store.len()
        + usize::from(v2)
        + record.body.len()
        + topic.len()
        + record.properties.len();
    let total = i32::try_from(len).map_err(|_| RecordError::BodyLength { len: record.body.len() })?;

    let mut flags = record.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
    if matches!(born, Host::V6(..)) {
        flags |= sys_flag::BORN_HOST_V6;
    }
    if matches!(store, Host::V6(..)) {
        flags |= sys_flag::STORE_HOST_V6;
    }

    out.reserve(len);
    let start = out.len();
    put(out, &total.to_be_bytes());
    put(out, &(if v2 { MAGIC_V2 } else { MAGIC_V1 }).to_be_bytes());
    put(out, &body_crc(record.body).to_be_bytes());
    put(out, &record.queue_id.to_be_bytes());
    put(out, &record.flag.to_be_bytes());
    put(out, &[0; 16]); // queueOffset, phyOffset: see patch
    put(out, &flags.to_be_bytes());
    put(out, &record.born_timestamp.to_be_bytes());
    born.put(out);
    put(out, &[0; 8]); // storeTimestamp: see patch
    store.put(out);
    put(out, &record.reconsume_times.to_be_bytes());
    put(out, &record.prepared_transaction_offset.to_be_bytes());
    put(out, &(record.body.len() as i32).to_be_bytes());
    put(out, record.body);
    if v2 {
        put(out, &(topic.len() as u16).to_be_bytes());
    } else {
        put(out, &[topic.len() as u8]);
    }
    put(out, topic);
    put(out, &(record.properties.len() as u16).to_be_bytes());
    put(out, record.properties);
    debug_assert_eq!(out.len() - start, len);
    Ok(len)
}

/// Writes what the log assigned into a record that [`encode`] made: queue offset (messages), commit log position
/// (bytes) and store time (milliseconds). `record` starts at the record's first byte and may be longer.
///
/// # Panics
/// When `record` is shorter than a record's fixed fields; bytes from disk or network never come here.
pub fn patch(record: &mut [u8], queue_offset: u64, phy_offset: u64, store_timestamp: i64) {
    record[AT_QUEUE_OFFSET..AT_QUEUE_OFFSET + 8].copy_from_slice(&queue_offset.to_be_bytes());
    record[AT_PHY_OFFSET..AT_PHY_OFFSET + 8].copy_from_slice(&phy_offset.to_be_bytes());
    // The lowest byte of sysFlag holds the host bits.
    let flags = i32::from(record[AT_SYS_FLAG + 3]);
    let at = AT_BORN_HOST + host_len(flags & sys_flag::BORN_HOST_V6 != 0);
    record[at..at + 8].copy_from_slice(&store_timestamp.to_be_bytes());
}

/// `totalSize` and magic of whatever starts at the front of `bytes`, `None` when there are fewer than 8.
pub fn peek(bytes: &[u8]) -> Option<(u32, u32)> {
    Some((be_u32(bytes, 0)?, be_u32(bytes, AT_MAGIC)?))
}

/// A record in somebody's buffer, all lengths checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    topic: &'a str,
    store_timestamp_at: u32,
    body_at: u32,
    body_len: u32,
    properties_at: u32,
}

impl<'a> RecordView<'a> {
    /// Reads the record at the front of `bytes`, which may go on behind it. Every length is checked against the
    /// announced size and their sum has to match it, as Java's recovery does; the body's checksum is not looked at.
    pub fn parse(bytes: &'a [u8]) -> Result<RecordView<'a>, RecordError> {
        let (announced, magic) =
            peek(bytes).ok_or(RecordError::Truncated { needed: OVERHEAD_V1_IPV4, have: bytes.len() })?;
        let topic_len_len = match magic {
            MAGIC_V1 => 1,
            MAGIC_V2 => 2,
            MAGIC_BLANK => return Err(RecordError::Blank),
            other => return Err(RecordError::Magic(other)),
        };
        let announced = announced as usize;
        if announced < OVERHEAD_V1_IPV4 {
            return Err(RecordError::Length { announced, computed: OVERHEAD_V1_IPV4 });
        }
        let bytes = bytes.get(..announced).ok_or(RecordError::Truncated { needed: announced, have: bytes.len() })?;
        let short = RecordError::Length { announced, computed: announced + 1 };

        let flags = be_u32(bytes, AT_SYS_FLAG).ok_or(short)? as i32;
        let store_timestamp_at = AT_BORN_HOST + host_len(flags & sys_flag::BORN_HOST_V6 != 0);
        let store_host_at = store_timestamp_at + 8;
        let body_len_at = store_host_at + host_len(flags & sys_flag::STORE_HOST_V6 != 0) + 4 + 8;
        let body_at = body_len_at + 4;
        let body_len = i64::from(be_u32(bytes, body_len_at).ok_or(short)? as i32);
        let body_end = end_of(bytes, body_at, body_len, "body")?;

        let topic_at = body_end + topic_len_len;
        let topic_len = match topic_len_len {
            1 => i64::from(*bytes.get(body_end).ok_or(short)? as i8),
            _ => i64::from(be_u16(bytes, body_end).ok_or(short)? as i16),
        };
        let topic_end = end_of(bytes, topic_at, topic_len, "topic")?;

        let properties_at = topic_end + 2;
        let properties_len = i64::from(be_u16(bytes, topic_end).ok_or(short)? as i16);
        let computed = end_of(bytes, properties_at, properties_len, "properties")?;
        if computed != announced {
            return Err(RecordError::Length { announced, computed });
        }
        let topic = std::str::from_utf8(&bytes[topic_at..topic_end]).map_err(|_| RecordError::TopicText)?;
        Ok(RecordView {
            bytes,
            topic,
            store_timestamp_at: store_timestamp_at as u32,
            body_at: body_at as u32,
            body_len: body_len as u32,
            properties_at: properties_at as u32,
        })
    }

    /// The record's bytes, exactly.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Length of the whole record in bytes.
    pub fn total_size(&self) -> usize {
        self.bytes.len()
    }

    /// [`MAGIC_V1`] or [`MAGIC_V2`].
    pub fn magic(&self) -> u32 {
        self.u32(AT_MAGIC)
    }

    /// The stored checksum, see [`body_crc`].
    pub fn body_crc(&self) -> u32 {
        self.u32(AT_BODY_CRC)
    }

    /// Queue within the topic.
    pub fn queue_id(&self) -> i32 {
        self.u32(AT_QUEUE_ID) as i32
    }

    /// The user's own number.
    pub fn flag(&self) -> i32 {
        self.u32(AT_FLAG) as i32
    }

    /// Index in the queue, in messages.
    pub fn queue_offset(&self) -> i64 {
        self.i64(AT_QUEUE_OFFSET)
    }

    /// Position in the commit log, in bytes.
    pub fn phy_offset(&self) -> i64 {
        self.i64(AT_PHY_OFFSET)
    }

    /// Bits of [`sys_flag`].
    pub fn sys_flag(&self) -> i32 {
        self.u32(AT_SYS_FLAG) as i32
    }

    /// The producer's clock, milliseconds since the epoch.
    pub fn born_timestamp(&self) -> i64 {
        self.i64(AT_BORN_TIMESTAMP)
    }

    /// The producer's address; a port outside 16 bits is cut to them.
    pub fn born_host(&self) -> SocketAddr {
        self.host(AT_BORN_HOST, self.store_timestamp_at as usize)
    }

    /// When the broker stored it, milliseconds since the epoch.
    pub fn store_timestamp(&self) -> i64 {
        self.i64(self.store_timestamp_at as usize)
    }

    /// The address of the broker that stored it; a port outside 16 bits is cut to them.
    pub fn store_host(&self) -> SocketAddr {
        self.host(self.store_timestamp_at as usize + 8, self.body_at as usize - 16)
    }

    /// How often consumers gave it back.
    pub fn reconsume_times(&self) -> i32 {
        self.u32(self.body_at as usize - 16) as i32
    }

    /// Position of the half message in the record that commits it, else 0.
    pub fn prepared_transaction_offset(&self) -> i64 {
        self.i64(self.body_at as usize - 12)
    }

    /// The body as stored, compressed or not.
    pub fn body(&self) -> &'a [u8] {
        let at = self.body_at as usize;
        &self.bytes[at..at + self.body_len as usize]
    }

    /// The topic.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// The properties text, see [`properties`].
    pub fn properties(&self) -> &'a [u8] {
        &self.bytes[self.properties_at as usize..]
    }

    /// One property, read by Java's rules.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::get(self.properties(), name)
    }

    /// Compares the body with its checksum; an empty body always matches, as in Java.
    pub fn check_crc(&self) -> Result<(), RecordError> {
        let stored = self.body_crc();
        let computed = body_crc(self.body());
        match self.body_len == 0 || stored == computed {
            true => Ok(()),
            false => Err(RecordError::BodyCrc { stored, computed }),
        }
    }

    // All positions were checked by parse.
    fn u32(&self, at: usize) -> u32 {
        be_u32(self.bytes, at).unwrap_or_default()
    }

    fn i64(&self, at: usize) -> i64 {
        self.bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, i64::from_be_bytes)
    }

    fn host(&self, at: usize, end: usize) -> SocketAddr {
        let port = self.u32(end - 4) as u16;
        let address = &self.bytes[at..end - 4];
        let ip = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
            (Ok(v4), _) => IpAddr::V4(Ipv4Addr::from(v4)),
            (_, Ok(v6)) => IpAddr::V6(Ipv6Addr::from(v6)),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        SocketAddr::new(ip, port)
    }
}

/// The records of a pull answer, one after the other; the first bad one ends the iteration with its error.
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { rest: bytes }
}

/// See [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = RecordView::parse(self.rest);
        self.rest = record.as_ref().map_or(&[], |record| &self.rest[record.total_size()..]);
        Some(record)
    }
}

/// An address as records write it; IPv4 in IPv6's clothes is IPv4 (INTEROP 03 §1).
enum Host {
    V4(Ipv4Addr, u16),
    V6(Ipv6Addr, u16),
}

impl Host {
    fn of(address: SocketAddr) -> Host {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Host::V4(ip, address.port()),
            IpAddr::V6(ip) => Host::V6(ip, address.port()),
        }
    }

    fn len(&self) -> usize {
        host_len(matches!(self, Host::V6(..)))
    }

    fn put(&self, out: &mut Vec<u8>) {
        let port = match self {
            Host::V4(ip, port) => {
                put(out, &ip.octets());
                port
            }
            Host::V6(ip, port) => {
                put(out, &ip.octets());
                port
            }
        };
        put(out, &i32::from(*port).to_be_bytes());
    }
}

fn host_len(v6: bool) -> usize {
    if v6 { HOST_V6_LEN } else { HOST_V4_LEN }
}

fn end_of(bytes: &[u8], at: usize, len: i64, field: &'static str) -> Result<usize, RecordError> {
    let end = usize::try_from(len).ok().and_then(|len| at.checked_add(len)).filter(|end| *end <= bytes.len());
    end.ok_or(RecordError::FieldLength { announced: bytes.len(), field, len })
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn be_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(topic: &'a str, born: &str, store: &str) -> NewRecord<'a> {
        NewRecord {
            topic,
            queue_id: 2,
            flag: 1,
            sys_flag: sys_flag::STORE_HOST_V6 | sys_flag::COMPRESSED,
            born_timestamp: 1_700_000_000_000,
            born_host: born.parse().unwrap(),
            store_host: store.parse().unwrap(),
            reconsume_times: 3,
            prepared_transaction_offset: 77,
            body: b"hi",
            properties: b"a\x01b\x02",
        }
    }

    #[test]
    fn what_is_encoded_and_patched_is_read_back_in_both_versions_and_address_families() {
        let long = "t".repeat(TOPIC_LEN_V1_MAX + 1);
        for topic in ["T", "%RETRY%组", long.as_str()] {
            for (born, store) in [
                ("127.0.0.1:5555", "10.4.5.6:10911"),
                ("[2001:db8::1]:1", "10.4.5.6:10911"),
                ("10.4.5.6:1", "[::1]:65535"),
                ("[2001:db8::1]:1", "[2001:db8::2]:2"),
            ] {
                let new = record(topic, born, store);
                let mut bytes = vec![9; 5];
                let len = encode(&mut bytes, &new).unwrap();
                assert_eq!(len, bytes.len() - 5);
                patch(&mut bytes[5..], 5, 1000, 1_700_000_000_100);
                bytes.extend_from_slice(&[7; 3]);
                let view = RecordView::parse(&bytes[5..]).unwrap();
                assert_eq!((view.total_size(), view.bytes().len()), (len, len));
                assert_eq!(view.magic(), if topic.len() > 127 { MAGIC_V2 } else { MAGIC_V1 });
                assert_eq!((view.queue_id(), view.flag(), view.reconsume_times()), (2, 1, 3));
                assert_eq!((view.queue_offset(), view.phy_offset()), (5, 1000));
                assert_eq!((view.born_timestamp(), view.store_timestamp()), (1_700_000_000_000, 1_700_000_000_100));
                assert_eq!((view.born_host(), view.store_host()), (new.born_host, new.store_host));
                assert_eq!(view.prepared_transaction_offset(), 77);
                assert_eq!((view.body(), view.topic(), view.properties()), (new.body, topic, new.properties));
                assert_eq!(view.property("a"), Some("b"));
                let hosts = (i32::from(born.starts_with('[')) << 4) | (i32::from(store.starts_with('[')) << 5);
                assert_eq!(view.sys_flag(), hosts | sys_flag::COMPRESSED);
                view.check_crc().unwrap();
            }
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_form_is_written_as_ipv4() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &record("T", "[::ffff:10.0.0.1]:9", "10.4.5.6:1")).unwrap();
        let view = RecordView::parse(&bytes).unwrap();
        assert_eq!(view.born_host(), "10.0.0.1:9".parse().unwrap());
        assert_eq!(view.sys_flag() & sys_flag::BORN_HOST_V6, 0);
    }

    #[test]
    fn every_cut_and_every_changed_length_is_an_error() {
        let mut bytes = Vec::new();
        let len = encode(&mut bytes, &record("Topic", "127.0.0.1:5555", "10.4.5.6:10911")).unwrap();
        for cut in 0..len {
            assert!(matches!(RecordView::parse(&bytes[..cut]), Err(RecordError::Truncated { .. })), "{cut}");
        }
        let body_len_at = 84;
        let topic_len_at = body_len_at + 4 + 2;
        for (at, value) in [(3, len as u8 - 1), (3, len as u8 + 1), (body_len_at, 0x80), (body_len_at + 3, 1)]
            .into_iter()
            .chain([(topic_len_at, 0x80), (topic_len_at, 4), (topic_len_at + 6, 0x80), (topic_len_at + 7, 3)])
        {
            let mut changed = bytes.clone();
            changed[at] = value;
            changed.push(0);
            assert!(RecordView::parse(&changed).is_err(), "byte {at} = {value}");
        }
        bytes[88] ^= 1;
        assert!(matches!(RecordView::parse(&bytes).unwrap().check_crc(), Err(RecordError::BodyCrc { .. })));
    }

    #[test]
    fn limits_of_the_format_are_refused_before_anything_is_written() {
        let long_topic = "t".repeat(TOPIC_LEN_MAX + 1);
        let long_properties = vec![b'p'; PROPERTIES_LEN_MAX + 1];
        let mut out = Vec::new();
        let fits = record("T", "127.0.0.1:1", "127.0.0.1:2");
        for bad in [
            NewRecord { topic: "", ..fits },
            NewRecord { topic: &long_topic, ..fits },
            NewRecord { properties: &long_properties, ..fits },
        ] {
            encode(&mut out, &bad).unwrap_err();
            assert!(out.is_empty());
        }
        let fits = NewRecord { properties: &long_properties[1..], topic: &long_topic[1..], ..fits };
        encode(&mut out, &fits).unwrap();
        RecordView::parse(&out).unwrap();
    }

    #[test]
    fn records_are_walked_until_the_first_bad_one() {
        let mut bytes = Vec::new();
        for topic in ["A", "B"] {
            encode(&mut bytes, &record(topic, "127.0.0.1:1", "127.0.0.1:2")).unwrap();
        }
        bytes.extend_from_slice(&[0, 0, 0, 8]);
        bytes.extend_from_slice(&MAGIC_BLANK.to_be_bytes());
        let found: Vec<_> = records(&bytes).map(|record| record.map(|record| record.topic())).collect();
        assert_eq!(found, [Ok("A"), Ok("B"), Err(RecordError::Blank)]);
    }
}
