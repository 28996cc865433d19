//! Walks the records of the log in their order, with large reads and every check of STORE 4.1: recovery and the index
//! read the log through here and nowhere else. It decides nothing.

use std::io;
use std::sync::Arc;

use super::error::ReadError;
use crate::base::disk::DiskFile;
use crate::wire::message::{MAGIC_BLANK, MAGIC_V1, MAGIC_V2, OVERHEAD_V1_IPV4, RecordView, peek};

/// One read: large enough to run at the device's speed, small enough to stay in the processor's cache for the checksum.
const CHUNK_LEN: u64 = 1 << 20;

/// What stands at a position.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A whole record; its first byte.
    Record(u64, RecordView<'a>),
    /// The end-of-file record; the log goes on at the start of the next file.
    Blank,
    /// Neither. Where, what is wrong, and whether there is nothing at all (zeros).
    Bad { at: u64, why: String, nothing: bool },
    /// The limit, or the end of the last file.
    End,
}

/// Opens the file that starts at a position; `None` when there is none.
pub(super) type OpenFile<'a> = dyn Fn(u64) -> Result<Option<Arc<dyn DiskFile>>, ReadError> + 'a;

/// A walk over `[position, limit)`.
pub(super) struct Walker<'a> {
    open: &'a OpenFile<'a>,
    file_size: u64,
    /// Where the next record is looked for.
    pub position: u64,
    limit: u64,
    check_crc: bool,
    /// Looks for parts of records that never reached the disk although their bodies did: after a crash.
    pub check_torn: bool,
    file: Option<(u64, Arc<dyn DiskFile>)>,
    buf: Vec<u8>,
    /// Log position of the buffer's first byte.
    buf_at: u64,
    /// Bytes read from files so far.
    pub bytes_read: u64,
}

impl<'a> Walker<'a> {
    pub fn new(open: &'a OpenFile<'a>, file_size: u64, position: u64, limit: u64, check_crc: bool) -> Self {
        Walker {
            open,
            file_size,
            position,
            limit,
            check_crc,
            check_torn: false,
            file: None,
            buf: Vec::new(),
            buf_at: 0,
            bytes_read: 0,
        }
    }

    /// What stands at `position`; moves behind it if that is a record or an end-of-file record.
    pub fn step(&mut self) -> Result<Found<'_>, ReadError> {
        let at = self.position;
        let file_end = at - at % self.file_size + self.file_size;
        let left = file_end.min(self.limit).saturating_sub(at);
        let bad = |why: String, nothing| Ok(Found::Bad { at, why, nothing });
        if left == 0 || !self.fill(at, left.min(8))? {
            return Ok(Found::End);
        }
        let Some((size, magic)) = peek(self.bytes(at)) else {
            return bad(format!("{left} bytes are left in the file, an end-of-file record takes 8"), false);
        };
        if magic == MAGIC_BLANK {
            self.position = file_end;
            return Ok(Found::Blank);
        }
        if size == 0 && magic == 0 {
            return bad("zeros instead of a record".to_string(), true);
        }
        if !matches!(magic, MAGIC_V1 | MAGIC_V2) {
            return bad(format!("magic {magic:#010x} is no record's"), false);
        }
        if u64::from(size) > left || (size as usize) < OVERHEAD_V1_IPV4 {
            return bad(format!("a record of {size} bytes where {left} are left"), false);
        }
        if !self.fill(at, u64::from(size))? {
            return Ok(Found::End);
        }
        // Field by field: the record borrows the buffer, the position moves.
        let bytes = self.buf.get((at - self.buf_at) as usize..).unwrap_or(&[]);
        let bad = |why: String| Ok(Found::Bad { at, why, nothing: false });
        let record = match RecordView::parse(bytes) {
            Ok(record) => record,
            Err(error) => return bad(error.to_string()),
        };
        if record.phy_offset() != at as i64 {
            return bad(format!("a record that says it is at {}", record.phy_offset()));
        }
        if self.check_crc
            && let Err(error) = record.check_crc()
        {
            return bad(error.to_string());
        }
        if self.check_torn && is_torn(&record, at) {
            return bad("a record whose properties were only partly written".to_string());
        }
        self.position = at + u64::from(size);
        Ok(Found::Record(at, record))
    }

    fn bytes(&self, at: u64) -> &[u8] {
        self.buf.get((at - self.buf_at) as usize..).unwrap_or(&[])
    }

    /// Gets `[at, at + len)`, which lies in one file, into the buffer; false when there is no such file.
    fn fill(&mut self, at: u64, len: u64) -> Result<bool, ReadError> {
        if at >= self.buf_at && at + len <= self.buf_at + self.buf.len() as u64 {
            return Ok(true);
        }
        let start = at - at % self.file_size;
        if self.file.as_ref().is_none_or(|(of, _)| *of != start) {
            let Some(file) = (self.open)(start)? else { return Ok(false) };
            self.file = Some((start, file));
        }
        let Some((_, file)) = &self.file else { return Ok(false) };
        let left = (start + self.file_size).min(self.limit) - at;
        let want = len.max(CHUNK_LEN).min(left) as usize;
        self.buf.resize(want, 0);
        self.buf_at = at;
        match file.read_exact_at(&mut self.buf, at - start) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.buf.clear();
                return Ok(false);
            }
            Err(source) => {
                self.buf.clear();
                return Err(ReadError::Io { path: super::layout::file_name(start).into(), source });
            }
        }
        self.bytes_read += want as u64;
        Ok(true)
    }
}

/// Whether a whole sector of a record's topic and properties reads as zeros. No checksum covers them, and a power cut
/// keeps any of the sectors of an unsynced write; what was not written before is zero. Everything in front of them is
/// covered by the record's position, its lengths and its body's checksum.
fn is_torn(record: &RecordView<'_>, at: u64) -> bool {
    const SECTOR_LEN: u64 = 512;
    let bytes = record.bytes();
    let (begin, end) = (at + (bytes.len() - record.properties().len()) as u64, at + bytes.len() as u64);
    let mut sector = begin.next_multiple_of(SECTOR_LEN);
    while sector < end {
        let until = end.min(sector + SECTOR_LEN);
        if bytes[(sector - at) as usize..(until - at) as usize].iter().all(|byte| *byte == 0) {
            return true;
        }
        sector = until;
    }
    record.topic().as_bytes().contains(&0)
}
