//! Offset message ids: the broker's address and the commit log position as upper-case hex (INTEROP 03 §2).
//!
//! ```text
//! address 4|16 bytes | i32 port | i64 phyOffset   →   32 or 56 characters
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;

use crate::base::position::PhyOffset;

/// Longest id, in characters: an IPv6 broker's.
pub const ID_LEN_MAX: usize = 56;

/// What an offset message id says. The client's own id (`UNIQ_KEY`) looks alike and is opaque to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetMessageId {
    /// Advertised address of the broker that stored the message.
    pub store_host: SocketAddr,
    /// Where in its commit log.
    pub phy_offset: PhyOffset,
}

/// The text of an id, without an allocation.
#[derive(Clone, Copy)]
pub struct IdText {
    text: [u8; ID_LEN_MAX],
    len: u8,
}

impl OffsetMessageId {
    /// The text form; an IPv4 address in IPv6's clothes is written as IPv4.
    pub fn text(&self) -> IdText {
        let mut id = IdText { text: [0; ID_LEN_MAX], len: 0 };
        match self.store_host.ip().to_canonical() {
            IpAddr::V4(ip) => id.push(&ip.octets()),
            IpAddr::V6(ip) => id.push(&ip.octets()),
        }
        id.push(&u32::from(self.store_host.port()).to_be_bytes());
        id.push(&self.phy_offset.0.to_be_bytes());
        id
    }

    /// Reads an id in either case; `None` when it is none: wrong length, other characters, a port beyond 16 bits.
    pub fn parse(text: &str) -> Option<OffsetMessageId> {
        let mut bytes = [0u8; ID_LEN_MAX / 2];
        let len = text.len() / 2;
        if !matches!(text.len(), 32 | 56) {
            return None;
        }
        for (at, pair) in text.as_bytes().chunks_exact(2).enumerate() {
            *bytes.get_mut(at)? = hex(pair[0])? << 4 | hex(pair[1])?;
        }
        let (address, rest) = bytes[..len].split_at(len - 12);
        let ip = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
            (Ok(v4), _) => IpAddr::V4(Ipv4Addr::from(v4)),
            (_, Ok(v6)) => IpAddr::V6(Ipv6Addr::from(v6)),
            _ => return None,
        };
        let port = u32::from_be_bytes(rest[..4].try_into().ok()?);
        let phy_offset = u64::from_be_bytes(rest[4..].try_into().ok()?);
        let store_host = SocketAddr::new(ip, u16::try_from(port).ok()?);
        Some(OffsetMessageId { store_host, phy_offset: PhyOffset(phy_offset) })
    }
}

impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl IdText {
    fn push(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for byte in bytes {
            let at = usize::from(self.len);
            self.text[at] = DIGITS[usize::from(byte >> 4)];
            self.text[at + 1] = DIGITS[usize::from(byte & 15)];
            self.len += 2;
        }
    }
}

impl Deref for IdText {
    type Target = str;

    fn deref(&self) -> &str {
        // Only hex digits were pushed, so this is always text.
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_other_text_is_none() {
        for (host, text) in [
            ("127.0.0.1:10911", "7F00000100002A9F000000000001E240"),
            ("[::1]:10911", "0000000000000000000000000000000100002A9F000000000001E240"),
        ] {
            let id = OffsetMessageId { store_host: host.parse().unwrap(), phy_offset: PhyOffset(123456) };
            assert_eq!(&*id.text(), text);
            assert_eq!(id.to_string(), text);
            assert_eq!(OffsetMessageId::parse(text), Some(id));
            assert_eq!(OffsetMessageId::parse(&text.to_lowercase()), Some(id));
            assert_eq!(OffsetMessageId::parse(&text[1..]), None);
        }
        for bad in ["", "7G00000100002A9F000000000001E240", "7F00000101002A9F000000000001E240"] {
            assert_eq!(OffsetMessageId::parse(bad), None, "{bad}");
        }
        assert_eq!(OffsetMessageId::parse(&"é".repeat(16)), None);
    }
}
