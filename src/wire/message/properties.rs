//! Message properties: `name \u{1} value \u{2}` repeated, read by Java's rules (INTEROP 03 §5), and the tag hash
//! that queues carry. Knows the names that have a meaning, not what a broker does about them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use smallvec::SmallVec;

/// Between a name and its value.
pub const NAME_VALUE_SEPARATOR: u8 = 1;
/// Behind each property.
pub const PROPERTY_SEPARATOR: u8 = 2;

/// Space-separated keys of the index.
pub const KEYS: &str = "KEYS";
/// The tag.
pub const TAGS: &str = "TAGS";
/// `false`: do not wait for flush or replication.
pub const WAIT: &str = "WAIT";
/// Delay level 1..18.
pub const DELAY: &str = "DELAY";
/// Topic of a message in a retry topic before it failed.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// Topic of a delayed or half message.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// Queue of a delayed or half message.
pub const REAL_QID: &str = "REAL_QID";
/// `true`: a half message.
pub const TRAN_MSG: &str = "TRAN_MSG";
/// Producer group.
pub const PGROUP: &str = "PGROUP";
/// Message id of the first of a row of redeliveries.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// How often it was redelivered, in the client's own retry path.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// Region of the broker.
pub const MSG_REGION: &str = "MSG_REGION";
/// Whether clients trace it.
pub const TRACE_ON: &str = "TRACE_ON";
/// The client's message id.
pub const UNIQ_KEY: &str = "UNIQ_KEY";
/// Most redeliveries of this message.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// Name of the cluster that stored it.
pub const CLUSTER: &str = "CLUSTER";
/// Transaction id.
pub const TRANSACTION_ID: &str = "__transactionId__";
/// `reply` in the answer of a request-reply pair.
pub const MSG_TYPE: &str = "MSG_TYPE";
/// Pairs a reply with its request.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// Client that waits for the reply.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// Comma-joined light queues.
pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
/// Comma-joined offsets in them.
pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
/// Queue selector's key (5.x).
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// Receipt of a popped message (5.x).
pub const POP_CK: &str = "POP_CK";
/// 5.x timer: relative delay in seconds.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// 5.x timer: absolute time in milliseconds.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// 5.x timer: relative delay in milliseconds.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// Topic of a message in a dead-letter topic (5.x).
pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// Message id of a message in a dead-letter topic (5.x).
pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// Checksum of the record (5.2.0+), always last.
pub const CRC32: &str = "__CRC32#";

/// Java's `String.hashCode`: over UTF-16 units.
pub fn java_hash(text: &str) -> i32 {
    let step = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    if text.is_ascii() {
        return text.bytes().fold(0, |hash, byte| step(hash, i32::from(byte)));
    }
    text.encode_utf16().fold(0, |hash, unit| step(hash, i32::from(unit)))
}

/// The tag hash of a consume queue unit: `java_hash` extended to 64 bits; 0 without a tag.
pub fn tags_code(tags: &str) -> i64 {
    i64::from(java_hash(tags))
}

/// The properties of a text in their order, duplicates included: Java lets the later one win.
///
/// Ignored as in Java: items without a separator, with an empty name or with an empty value; and items that are not
/// UTF-8, where Java would put replacement characters.
pub fn iter(text: &[u8]) -> Iter<'_> {
    Iter { rest: text }
}

/// See [`iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|byte| *byte == PROPERTY_SEPARATOR).unwrap_or(self.rest.len());
            let item = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or(&[]);
            let Some(at) = item.iter().position(|byte| *byte == NAME_VALUE_SEPARATOR) else { continue };
            let (name, value) = (&item[..at], &item[at + 1..]);
            if name.is_empty() || value.is_empty() {
                continue;
            }
            if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
                return Some((name, value));
            }
        }
        None
    }
}

/// The value of a property; the last of equal names wins.
pub fn get<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    iter(text).filter(|(found, _)| *found == name).last().map(|(_, value)| value)
}

/// Appends one property to a text that may lack the separator at its end. An empty name or value is left out, since
/// no reader would see it.
pub fn append(text: &mut Vec<u8>, name: &str, value: &str) {
    if name.is_empty() || value.is_empty() {
        return;
    }
    if text.last().is_some_and(|last| *last != PROPERTY_SEPARATOR) {
        text.push(PROPERTY_SEPARATOR);
    }
    text.extend_from_slice(name.as_bytes());
    text.push(NAME_VALUE_SEPARATOR);
    text.extend_from_slice(value.as_bytes());
    text.push(PROPERTY_SEPARATOR);
}

/// Up to so many properties, looking through them is the fastest search.
const SEARCHED_MAX: usize = 64;

/// Properties that can be changed: a small map that keeps the order in which names first came. Borrows what it was
/// parsed from, so that a message without changes costs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    items: SmallVec<[(Cow<'a, str>, Cow<'a, str>); 16]>,
}

impl<'a> Properties<'a> {
    /// Reads a properties text, see [`iter`].
    pub fn parse(text: &'a [u8]) -> Self {
        let mut properties = Properties::default();
        // Thousands fit into a text; a search for each among all the others would hold up whoever reads them.
        let mut places: HashMap<&'a str, usize> = HashMap::new();
        for (name, value) in iter(text) {
            let items = &mut properties.items;
            if items.len() < SEARCHED_MAX {
                properties.set(name, value);
                continue;
            }
            if places.is_empty() {
                places.extend(items.iter().enumerate().filter_map(|(at, (name, _))| match name {
                    Cow::Borrowed(name) => Some((*name, at)),
                    Cow::Owned(_) => None,
                }));
            }
            match places.entry(name) {
                Entry::Occupied(place) => items[*place.get()].1 = value.into(),
                Entry::Vacant(place) => {
                    place.insert(items.len());
                    items.push((name.into(), value.into()));
                }
            }
        }
        properties
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.items.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_ref())
    }

    /// Whether `name` is `true` in any case, as Java's `Boolean.parseBoolean` has it.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Puts a value, in the place of an earlier one of that name.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let (name, value) = (name.into(), value.into());
        match self.items.iter_mut().find(|(found, _)| *found == name) {
            Some(item) => item.1 = value,
            None => self.items.push((name, value)),
        }
    }

    /// Takes a property out.
    pub fn remove(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.items.iter().position(|(found, _)| found == name)?;
        Some(self.items.remove(at).1)
    }

    /// All properties in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends the text form: each property with its trailing separator, as 5.2.0 and later write it. Empty names and
    /// values are left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter().filter(|(name, value)| !name.is_empty() && !value.is_empty()) {
            out.extend_from_slice(name.as_bytes());
            out.push(NAME_VALUE_SEPARATOR);
            out.extend_from_slice(value.as_bytes());
            out.push(PROPERTY_SEPARATOR);
        }
    }

    /// The text form, see [`Properties::write`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.items.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
        self.write(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_properties_the_later_ones_win_in_the_place_of_the_first() {
        let mut text = Vec::new();
        for round in 0..2 {
            for number in 0..3 * SEARCHED_MAX {
                append(&mut text, &format!("n{number}"), &format!("{round}"));
            }
        }
        append(&mut text, "last", "x");
        let map = Properties::parse(&text);
        assert_eq!(map.len(), 3 * SEARCHED_MAX + 1);
        for (at, (name, value)) in map.iter().take(3 * SEARCHED_MAX).enumerate() {
            assert_eq!((name, value), (format!("n{at}").as_str(), "1"));
        }
    }

    #[test]
    fn items_without_separator_name_or_value_are_ignored_and_later_ones_win() {
        let text = b"a\x01b\x02c\x01\x02d\x01e\x01f\x02x\x02\x01v\x02a\x01z";
        assert_eq!(iter(text).collect::<Vec<_>>(), [("a", "b"), ("d", "e\u{1}f"), ("a", "z")]);
        assert_eq!(get(text, "a"), Some("z"));
        assert_eq!(get(text, "c"), None);
        let map = Properties::parse(text);
        assert_eq!(map.iter().collect::<Vec<_>>(), [("a", "z"), ("d", "e\u{1}f")]);
    }

    #[test]
    fn a_changed_map_writes_what_it_reads() {
        let mut map = Properties::parse(b"KEYS\x01k1 k2\x02TAGS\x01t");
        map.set("CLUSTER", "c");
        map.set("TAGS", String::from("u"));
        assert_eq!(map.remove("KEYS").as_deref(), Some("k1 k2"));
        assert_eq!(map.remove("KEYS"), None);
        map.set("empty", "");
        assert_eq!(map.to_bytes(), b"TAGS\x01u\x02CLUSTER\x01c\x02");
        map.remove("empty");
        let text = map.to_bytes();
        assert_eq!(iter(&text).collect::<Vec<_>>(), map.iter().collect::<Vec<_>>());
    }

    #[test]
    fn append_separates_from_what_is_there() {
        let mut text = b"a\x01b".to_vec();
        append(&mut text, "c", "d");
        append(&mut text, "e", "f");
        append(&mut text, "g", "");
        assert_eq!(text, b"a\x01b\x02c\x01d\x02e\x01f\x02");
    }

    #[test]
    fn hashes_are_over_utf16_units() {
        assert_eq!(tags_code("TagA"), 2598919);
        assert_eq!(tags_code("中文标签xx"), 781728145);
        assert_eq!(tags_code(""), 0);
        assert_eq!(java_hash("T#k0"), 2539444);
        // Surrogates count as two units: d83d de00 by hand.
        assert_eq!(java_hash("😀"), 0xd83d * 31 + 0xde00);
        assert!(tags_code("a very long tag that overflows") != 0);
    }
}
