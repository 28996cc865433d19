//! From the properties text of a send header to the property bytes of a record (INTEROP 03 §4, §5). Never keeps
//! anything between two messages but the capacity of its buffers.
//!
//! Java parses the text into a map, changes the map and writes it again; so invalid items and all but the last of
//! equal names are lost. Here the order of the items stays, and what the broker adds comes last.

use std::collections::HashMap;
use std::ops::Range;

use super::config::Config;
use crate::wire::message::properties::{NAME_VALUE_SEPARATOR as NAME_END, PROPERTY_SEPARATOR as ITEM_END};

/// What the broker writes into every message.
#[derive(Clone, Debug)]
pub struct Additions {
    /// CLUSTER.
    pub cluster: String,
    /// MSG_REGION.
    pub region: String,
    /// TRACE_ON.
    pub trace_on: bool,
}

impl Additions {
    /// What these settings say.
    pub fn of(config: &Config) -> Self {
        Additions {
            cluster: config.broker_cluster_name.clone(),
            region: config.region_id.clone(),
            trace_on: config.trace_on,
        }
    }
}

/// What a send needs to know of a message's properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// TAGS, as a range of the written bytes.
    pub tags: Option<Range<usize>>,
    /// UNIQ_KEY, as a range of the written bytes.
    pub unique_key: Option<Range<usize>>,
    /// DELAY, as a range of the written bytes.
    pub delay: Option<Range<usize>>,
    /// TRAN_MSG says `true`.
    pub prepared: bool,
    /// The first of the TIMER properties that ask for a delivery time.
    pub timer: Option<&'static str>,
    /// WAIT says anything but `true`: nobody waits for the disk.
    pub no_wait: bool,
}

/// Of so many items each name is compared with all; of more, which no client sends, it is looked up.
const COMPARED_MAX: usize = 64;

/// Appends a UNIQ_KEY for a message that came without.
pub type MakeKey<'a> = dyn FnMut(&mut Vec<u8>) + 'a;

/// Buffers for encoding, reused from message to message.
#[derive(Debug, Default)]
pub struct PropertyWriter {
    items: Vec<Item>,
    bytes: Vec<u8>,
    facts: Facts,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    start: u32,
    name_end: u32,
    end: u32,
}

impl PropertyWriter {
    /// Reads `text`, adds what the broker adds, and keeps the bytes for `bytes`. `make_unique_key` is asked for 32
    /// or more characters when the message brought no UNIQ_KEY; `None` leaves it without (batch wrappers).
    pub fn write(&mut self, text: &str, additions: &Additions, make_unique_key: Option<&mut MakeKey<'_>>) -> &Facts {
        let text = text.as_bytes();
        self.collect(text);
        self.bytes.clear();
        self.facts = Facts::default();
        for item in &self.items {
            let name = &text[item.start as usize..item.name_end as usize];
            let value = &text[item.name_end as usize + 1..item.end as usize];
            let start = self.bytes.len();
            push_item(&mut self.bytes, name, value);
            let written = start + name.len() + 1..self.bytes.len() - 1;
            note(&mut self.facts, name, value, written);
        }
        push_item(&mut self.bytes, b"CLUSTER", additions.cluster.as_bytes());
        push_item(&mut self.bytes, b"MSG_REGION", additions.region.as_bytes());
        push_item(&mut self.bytes, b"TRACE_ON", if additions.trace_on { b"true" } else { b"false" });
        if let (None, Some(make)) = (&self.facts.unique_key, make_unique_key) {
            self.bytes.extend_from_slice(b"UNIQ_KEY\x01");
            let start = self.bytes.len();
            make(&mut self.bytes);
            self.facts.unique_key = Some(start..self.bytes.len());
            self.bytes.push(ITEM_END);
        }
        &self.facts
    }

    /// The bytes of the last `write`.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The facts of the last `write`.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The text behind a range of `Facts`; ranges come from UTF-8 text and are cut at separators, so it is text.
    pub fn text(&self, range: &Range<usize>) -> &str {
        self.bytes.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The valid items of `text`, the last of equal names at the place of the first.
    fn collect(&mut self, text: &[u8]) {
        self.items.clear();
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        let mut start = 0;
        while start < text.len() {
            let end = find(ITEM_END, text, start).unwrap_or(text.len());
            if let Some(name_end) = find(NAME_END, &text[..end], start)
                && name_end > start
                && name_end + 1 < end
                && !is_dropped(&text[start..name_end])
            {
                let item = Item { start: start as u32, name_end: name_end as u32, end: end as u32 };
                let name_of = |item: &Item| &text[item.start as usize..item.name_end as usize];
                if self.items.len() == COMPARED_MAX && places.is_empty() {
                    places.extend(self.items.iter().enumerate().map(|(place, item)| (name_of(item), place)));
                }
                let name = name_of(&item);
                let place = match places.is_empty() {
                    true => self.items.iter().position(|old| name_of(old) == name),
                    false => places.get(name).copied(),
                };
                match place.and_then(|place| self.items.get_mut(place)) {
                    Some(old) => *old = item,
                    None => {
                        if !places.is_empty() {
                            places.insert(name, self.items.len());
                        }
                        self.items.push(item);
                    }
                }
            }
            start = end + 1;
        }
    }
}

/// Names that never reach the record: the broker's own, and POP's check point, which a client cannot set.
fn is_dropped(name: &[u8]) -> bool {
    matches!(name, b"CLUSTER" | b"MSG_REGION" | b"TRACE_ON" | b"POP_CK")
}

fn note(facts: &mut Facts, name: &[u8], value: &[u8], written: Range<usize>) {
    match name {
        b"TAGS" => facts.tags = Some(written),
        b"UNIQ_KEY" => facts.unique_key = Some(written),
        b"DELAY" => facts.delay = Some(written),
        b"TRAN_MSG" => facts.prepared = value.eq_ignore_ascii_case(b"true"),
        b"WAIT" => facts.no_wait = !value.eq_ignore_ascii_case(b"true"),
        b"TIMER_DELIVER_MS" => facts.timer = Some("TIMER_DELIVER_MS"),
        b"TIMER_DELAY_SEC" => facts.timer = Some("TIMER_DELAY_SEC"),
        b"TIMER_DELAY_MS" => facts.timer = Some("TIMER_DELAY_MS"),
        _ => {}
    }
}

fn push_item(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.push(NAME_END);
    out.extend_from_slice(value);
    out.push(ITEM_END);
}

fn find(byte: u8, text: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.iter().position(|found| *found == byte).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn additions() -> Additions {
        Additions { cluster: "C".into(), region: "R".into(), trace_on: true }
    }

    fn write(text: &str) -> (String, Facts) {
        let mut writer = PropertyWriter::default();
        let mut unique = |out: &mut Vec<u8>| out.extend_from_slice(b"made");
        let facts = writer.write(text, &additions(), Some(&mut unique)).clone();
        (String::from_utf8(writer.bytes().to_vec()).unwrap(), facts)
    }

    const ADDED: &str = "CLUSTER\u{1}C\u{2}MSG_REGION\u{1}R\u{2}TRACE_ON\u{1}true\u{2}";

    #[test]
    fn the_order_stays_and_the_brokers_own_come_last() {
        let (bytes, facts) = write("KEYS\u{1}k\u{2}TAGS\u{1}t\u{2}UNIQ_KEY\u{1}u\u{2}WAIT\u{1}true\u{2}");
        assert_eq!(bytes, format!("KEYS\u{1}k\u{2}TAGS\u{1}t\u{2}UNIQ_KEY\u{1}u\u{2}WAIT\u{1}true\u{2}{ADDED}"));
        assert_eq!(&bytes[facts.tags.unwrap()], "t");
        assert_eq!(&bytes[facts.unique_key.unwrap()], "u");
        assert!(!facts.no_wait);
    }

    #[test]
    fn a_missing_unique_key_is_made() {
        let (bytes, facts) = write("");
        assert_eq!(bytes, format!("{ADDED}UNIQ_KEY\u{1}made\u{2}"));
        assert_eq!(&bytes[facts.unique_key.unwrap()], "made");
        let mut writer = PropertyWriter::default();
        assert_eq!(writer.write("", &additions(), None).unique_key, None);
    }

    #[test]
    fn invalid_items_and_earlier_duplicates_are_lost() {
        let (bytes, _) =
            write("a\u{1}1\u{2}\u{2}b\u{2}\u{1}x\u{2}c\u{1}\u{2}CLUSTER\u{1}evil\u{2}d\u{1}x\u{1}y\u{2}a\u{1}2");
        assert_eq!(bytes, format!("a\u{1}2\u{2}d\u{1}x\u{1}y\u{2}{ADDED}UNIQ_KEY\u{1}made\u{2}"));
    }

    #[test]
    fn of_many_items_the_last_of_equal_names_counts_too() {
        let items = |value: usize| (0..200).map(|name| format!("n{name}\u{1}{value}\u{2}")).collect::<String>();
        let (bytes, _) = write(&(items(1) + &items(2)));
        assert_eq!(bytes, items(2) + ADDED + "UNIQ_KEY\u{1}made\u{2}");
    }

    #[test]
    fn what_asks_for_more_than_a_plain_message_is_noticed() {
        let (bytes, facts) = write("DELAY\u{1}3\u{2}TRAN_MSG\u{1}TRUE\u{2}TIMER_DELAY_SEC\u{1}9\u{2}WAIT\u{1}false");
        assert_eq!(&bytes[facts.delay.unwrap()], "3");
        assert!(facts.prepared && facts.no_wait);
        assert_eq!(facts.timer, Some("TIMER_DELAY_SEC"));
    }
}
