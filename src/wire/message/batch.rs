//! The body of a batch send: messages that share the wrapper's topic, queue and hosts (INTEROP 03 §4).
//!
//! ```text
//! { i32 totalSize | i32 magic 0 | i32 bodyCRC 0 | i32 flag | i32 bodyLen | body | i16 propLen | properties } ...
//! ```

use thiserror::Error;

use super::{PROPERTIES_LEN_MAX, be_u16, be_u32};

/// Bytes of an item beside body and properties.
pub const ITEM_OVERHEAD: usize = 22;

/// One message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The user's own number.
    pub flag: i32,
    /// Its body.
    pub body: &'a [u8],
    /// Its properties text, to be stored as it is in front of the wrapper's.
    pub properties: &'a [u8],
}

/// A batch body that cannot be taken apart, or an item that does not fit into one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    /// A length that is negative or larger than what is left.
    #[error("item {index} of the batch announces a {field} of {len} bytes, {left} are left")]
    Length {
        /// Which item, from 0.
        index: usize,
        /// Name of the field.
        field: &'static str,
        /// Its announced length.
        len: i64,
        /// Bytes left for it.
        left: usize,
    },
    /// Properties do not fit into their signed 16-bit length.
    #[error("properties of {0} bytes are longer than the {PROPERTIES_LEN_MAX} that a batch item takes")]
    PropertiesLength(usize),
    /// The body does not fit into its signed 32-bit length.
    #[error("a body of {0} bytes does not fit into a batch item")]
    BodyLength(usize),
}

/// The items of a batch body; the first bad one ends the iteration with its error. An item's `totalSize` is not looked
/// at, as in Java: its fields say where it ends.
pub fn items(body: &[u8]) -> Items<'_> {
    Items { rest: body, index: 0 }
}

/// See [`items`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
    index: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.rest = &[];
        }
        self.index += 1;
        Some(item)
    }
}

impl<'a> Items<'a> {
    fn read(&mut self) -> Result<Item<'a>, BatchError> {
        let head = self.take(20, "header")?;
        let flag = be_u32(head, 12).unwrap_or_default() as i32;
        let body_len = be_u32(head, 16).unwrap_or_default() as i32;
        let body = self.take(i64::from(body_len), "body")?;
        let len = self.take(2, "properties length")?;
        let properties_len = be_u16(len, 0).unwrap_or_default() as i16;
        let properties = self.take(i64::from(properties_len), "properties")?;
        Ok(Item { flag, body, properties })
    }

    fn take(&mut self, len: i64, field: &'static str) -> Result<&'a [u8], BatchError> {
        let parts = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (head, tail) = parts.ok_or(BatchError::Length { index: self.index, field, len, left: self.rest.len() })?;
        self.rest = tail;
        Ok(head)
    }
}

/// Appends one item, as clients write it.
pub fn encode_item(out: &mut Vec<u8>, item: &Item<'_>) -> Result<(), BatchError> {
    if item.properties.len() > PROPERTIES_LEN_MAX {
        return Err(BatchError::PropertiesLength(item.properties.len()));
    }
    let total = i32::try_from(ITEM_OVERHEAD + item.body.len() + item.properties.len())
        .map_err(|_| BatchError::BodyLength(item.body.len()))?;
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&item.flag.to_be_bytes());
    out.extend_from_slice(&(item.body.len() as i32).to_be_bytes());
    out.extend_from_slice(item.body);
    out.extend_from_slice(&(item.properties.len() as u16).to_be_bytes());
    out.extend_from_slice(item.properties);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_as_they_were_written() {
        let wanted = [
            Item { flag: 3, body: b"body", properties: b"WAIT\x01true\x02" },
            Item { flag: -1, body: b"", properties: b"" },
        ];
        let mut bytes = Vec::new();
        for item in &wanted {
            encode_item(&mut bytes, item).unwrap();
        }
        assert_eq!(items(&bytes).collect::<Result<Vec<_>, _>>().unwrap(), wanted);
        assert!(items(&[]).next().is_none());
    }

    #[test]
    fn every_cut_is_an_error_that_names_the_item() {
        let mut bytes = Vec::new();
        encode_item(&mut bytes, &Item { flag: 0, body: b"one", properties: b"a\x01b" }).unwrap();
        let one = bytes.len();
        encode_item(&mut bytes, &Item { flag: 0, body: b"two", properties: b"a\x01b" }).unwrap();
        for cut in one + 1..bytes.len() {
            let all: Vec<_> = items(&bytes[..cut]).collect();
            assert!(all[0].is_ok());
            assert!(matches!(all[1], Err(BatchError::Length { index: 1, .. })), "{cut}");
            assert_eq!(all.len(), 2);
        }
        bytes[16] = 0x80;
        assert!(items(&bytes).next().unwrap().is_err());
    }

    #[test]
    fn properties_beyond_sixteen_bits_are_refused() {
        let long = vec![b'p'; PROPERTIES_LEN_MAX + 1];
        let item = Item { flag: 0, body: b"", properties: &long };
        assert_eq!(encode_item(&mut Vec::new(), &item), Err(BatchError::PropertiesLength(32768)));
    }
}
