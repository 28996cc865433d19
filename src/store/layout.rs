//! Names and fixed layouts of the store's files: 20-digit names, consume queue units (STORE 2, 3, 4.5). Pure.

use std::path::{Path, PathBuf};

/// Bytes of a consume queue unit.
pub(crate) const UNIT_LEN: u64 = 20;
/// `recordLen + BLANK_LEN` have to fit, or the record goes to the next file (STORE 4.2).
pub(crate) const BLANK_LEN: u64 = 8;
/// Size field of a pre-blank unit, which stands for "no message" in front of a queue that starts late (STORE 4.5).
const PRE_BLANK_SIZE: u32 = 0x7fff_ffff;

/// Name of the file that starts at byte `start`: 20 decimal digits.
pub(crate) fn file_name(start: u64) -> String {
    format!("{start:020}")
}

/// Start of the file with this name, `None` when it is no such name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|digit| digit.is_ascii_digit())).then(|| name.parse().ok()).flatten()
}

/// Directory of all queues.
pub(crate) fn queues_dir(root: &Path) -> PathBuf {
    root.join("consumequeue")
}

/// Directory of a queue.
pub(crate) fn queue_dir(root: &Path, topic: &str, id: u32) -> PathBuf {
    queues_dir(root).join(topic).join(id.to_string())
}

/// A consume queue unit.
///
/// ```text
/// 0 i64 position in the commit log | 8 i32 record size | 12 i64 tagsCode
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub phy: u64,
    pub size: u32,
    pub tags_code: i64,
}

impl Unit {
    /// Stands for "no message here".
    pub const PRE_BLANK: Unit = Unit { phy: 0, size: PRE_BLANK_SIZE, tags_code: 0 };

    pub fn encode(self) -> [u8; UNIT_LEN as usize] {
        let mut bytes = [0; UNIT_LEN as usize];
        bytes[..8].copy_from_slice(&self.phy.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tags_code.to_be_bytes());
        bytes
    }

    /// The unit at the front of `bytes`; `None` when there is none: an offset below 0 or a size of 0 or less ends a
    /// queue.
    pub fn decode(bytes: &[u8]) -> Option<Unit> {
        let phy = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
        let size = u32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
        let tags_code = i64::from_be_bytes(bytes.get(12..20)?.try_into().ok()?);
        (phy <= i64::MAX as u64 && size != 0 && size <= PRE_BLANK_SIZE).then_some(Unit { phy, size, tags_code })
    }

    pub fn is_pre_blank(&self) -> bool {
        self.phy == 0 && self.size == PRE_BLANK_SIZE
    }

    /// First byte behind the record; pre-blank units lie before everything.
    pub fn end(&self) -> u64 {
        if self.is_pre_blank() { 0 } else { self.phy + u64::from(self.size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_the_bytes_of_the_lab() {
        // STORE 16: physical 0, size 0x72, tagsCode "TagA".
        let unit = Unit { phy: 0, size: 0x72, tags_code: 0x0027_a807 };
        let hex: String = unit.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0000000000000000000000720000000000 27a807".replace(' ', ""));
        assert_eq!(Unit::decode(&unit.encode()), Some(unit));
    }

    #[test]
    fn zeros_and_negative_numbers_are_no_units() {
        assert_eq!(Unit::decode(&[0; 20]), None);
        assert_eq!(Unit::decode(&[0xff; 20]), None);
        assert_eq!(Unit::decode(&[1; 19]), None);
        assert!(Unit::decode(&Unit::PRE_BLANK.encode()).is_some_and(|unit| unit.is_pre_blank() && unit.end() == 0));
    }

    #[test]
    fn only_twenty_digits_are_a_file_name() {
        assert_eq!(file_name(1_073_741_824), "00000000001073741824");
        assert_eq!(parse_file_name("00000000001073741824"), Some(1_073_741_824));
        for other in ["0", "a.tmp", "0000000000107374182x", "+0000000001073741824", "99999999999999999999"] {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }
}
