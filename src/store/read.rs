//! Reading: queue units with the statuses of a pull (INTEROP 06 §4), records, and the search by time (STORE 14 row 26).
//! Nothing here writes; with `wait` false nothing here blocks.

use bytes::BytesMut;

use super::Store;
use super::error::ReadError;
use super::layout::{UNIT_LEN, Unit};
use super::queue::Queue;
use crate::base::position::{PhyOffset, QueueOffset};
use crate::wire::message::{MAGIC_V1, MAGIC_V2, RecordView, peek};

/// Units are read from a queue in pieces of so many.
const UNITS_AT_ONCE: usize = 64;
/// Bytes from a record's start within which its store timestamp lies, whatever its hosts are.
pub(super) const TIMESTAMP_WITHIN: usize = 76;
/// Adjacent records are read together up to this many bytes.
const READ_AT_ONCE: usize = 1 << 20;

/// How much one scan may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Messages, while the reader is near the log's end.
    pub max_messages: usize,
    /// Bytes of records, while the reader is near the log's end; the first message is returned whatever its size.
    pub max_bytes: usize,
    /// Messages for a reader that is far behind.
    pub max_messages_on_disk: usize,
    /// Bytes for a reader that is far behind.
    pub max_bytes_on_disk: usize,
    /// Far behind means: more than so many bytes below the log's end.
    pub near_bytes: u64,
    /// Queue units looked at.
    pub max_units: usize,
    /// Whether the scan may wait for the device.
    pub wait: bool,
}

impl Default for ScanLimits {
    /// Java's defaults (STORE 15), for a machine with 4 GiB for the page cache.
    fn default() -> Self {
        ScanLimits {
            max_messages: 32,
            max_bytes: 256 << 10,
            max_messages_on_disk: 8,
            max_bytes_on_disk: 64 << 10,
            near_bytes: 4 << 30,
            max_units: 800,
            wait: true,
        }
    }
}

/// What a scan found; Java's store statuses, without the two that only a broker can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanStatus {
    /// At least one message.
    Found,
    /// Messages, but none that matched.
    NoMatchedMessage,
    /// The units point below the log's oldest byte.
    MessageWasRemoving,
    /// The queue never held a message.
    NoMessageInQueue,
    /// Asked for exactly the end.
    OffsetOverflowOne,
    /// Asked for more than the end.
    OffsetOverflowBadly,
    /// Asked for less than the oldest.
    OffsetTooSmall,
    /// The unit should be there, but its file is not.
    OffsetFoundNull,
}

/// A message found by a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position in the log.
    pub phy: PhyOffset,
    /// Its record's length, bytes.
    pub size: u32,
    /// Its index in the queue.
    pub queue_offset: QueueOffset,
    /// Its tag hash (or delivery time).
    pub tags_code: i64,
}

/// The outcome of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// What was found.
    pub status: ScanStatus,
    /// Where to go on.
    pub next_begin: QueueOffset,
    /// The queue's oldest.
    pub min: QueueOffset,
    /// The queue's end.
    pub max: QueueOffset,
    /// Bytes between the last scanned record and the log's end.
    pub behind_bytes: u64,
}

/// Which neighbour of a time is meant (5.1.1 on; earlier clients mean `Lower`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// The first message stored at or after the time; the queue's end when there is none.
    #[default]
    Lower,
    /// The last message stored at or before the time; the queue's oldest when there is none.
    Upper,
}

impl Store {
    /// Looks for messages of `queue` from index `from` on whose tag hash satisfies `matcher`, and appends them to
    /// `into`. Errors only when the units cannot be read (or not without waiting).
    pub fn scan(
        &self,
        queue: &Queue,
        from: QueueOffset,
        limits: &ScanLimits,
        matcher: &mut dyn FnMut(i64) -> bool,
        into: &mut Vec<Entry>,
    ) -> Result<Scan, ReadError> {
        let (min, max) = (queue.min(), queue.max());
        let log_end = self.appended().get();
        let answer =
            |status, next_begin| Ok(Scan { status, next_begin: QueueOffset(next_begin), min, max, behind_bytes: 0 });
        if max.0 == 0 {
            return answer(ScanStatus::NoMessageInQueue, 0);
        } else if from < min {
            return answer(ScanStatus::OffsetTooSmall, min.0);
        } else if from == max {
            return answer(ScanStatus::OffsetOverflowOne, from.0);
        } else if from > max {
            return answer(ScanStatus::OffsetOverflowBadly, max.0);
        }

        let log_min = self.log_min().0;
        let (mut found, mut bytes) = (0, 0);
        let mut status = ScanStatus::NoMatchedMessage;
        let mut index = from.0;
        let mut last_end = 0;
        let until = max.0.min(from.0 + limits.max_units.max(limits.max_messages).max(1) as u64);
        let mut buf = [0; UNITS_AT_ONCE * UNIT_LEN as usize];
        'scan: while index < until {
            let want = ((until - index) as usize).min(UNITS_AT_ONCE).min(limits.max_messages.max(8));
            let got = match queue.units(index, &mut buf[..want * UNIT_LEN as usize], limits.wait) {
                // What was found so far is an answer; the rest comes with the next pull.
                Err(_) if found > 0 => break,
                Err(ReadError::Gone) => {
                    // A missing file: the next one may be there.
                    let file_size = self.config().queue_file_size;
                    let next = (index * UNIT_LEN / file_size + 1) * file_size / UNIT_LEN;
                    return answer(ScanStatus::OffsetFoundNull, next.min(max.0));
                }
                other => other?,
            };
            if got == 0 {
                break;
            }
            for unit in buf[..got * UNIT_LEN as usize].chunks_exact(UNIT_LEN as usize) {
                let unit = Unit::decode(unit).filter(|unit| !unit.is_pre_blank());
                let Some(unit) = unit else {
                    index += 1;
                    continue;
                };
                if unit.phy < log_min {
                    index += 1;
                    if found == 0 {
                        status = ScanStatus::MessageWasRemoving;
                    }
                    continue;
                }
                let near = log_end.saturating_sub(unit.phy) <= limits.near_bytes;
                let (max_messages, max_bytes) = if near {
                    (limits.max_messages, limits.max_bytes)
                } else {
                    (
                        limits.max_messages.min(limits.max_messages_on_disk),
                        limits.max_bytes.min(limits.max_bytes_on_disk),
                    )
                };
                if found > 0 && (found >= max_messages || bytes + unit.size as usize > max_bytes) {
                    break 'scan;
                }
                if matcher(unit.tags_code) {
                    into.push(Entry {
                        phy: PhyOffset(unit.phy),
                        size: unit.size,
                        queue_offset: QueueOffset(index),
                        tags_code: unit.tags_code,
                    });
                    found += 1;
                    bytes += unit.size as usize;
                    status = ScanStatus::Found;
                }
                last_end = unit.end();
                index += 1;
            }
        }
        let behind_bytes = if last_end == 0 { 0 } else { log_end.saturating_sub(last_end) };
        Ok(Scan { status, next_begin: QueueOffset(index), min, max, behind_bytes })
    }

    /// Appends the records of `entries` to `out`, in their order, and returns how many: an entry whose record is gone or
    /// is not what the queue says is left out and reported, and never hides the ones behind it. With `wait` false an
    /// error `WouldBlock` leaves `out` as it was.
    pub fn read_into(&self, entries: &[Entry], out: &mut BytesMut, wait: bool) -> Result<usize, ReadError> {
        let before = out.len();
        let mut taken = 0;
        let mut rest = entries;
        while let Some(first) = rest.first() {
            // Records that follow each other in the log are read together.
            let mut len = first.size as usize;
            let mut count = 1;
            while let Some(next) = rest.get(count) {
                let joined = next.phy.0 == first.phy.0 + len as u64 && len + next.size as usize <= READ_AT_ONCE;
                if !joined || !self.in_one_file(first.phy.0, len + next.size as usize) {
                    break;
                }
                len += next.size as usize;
                count += 1;
            }
            let at = out.len();
            match self.log().read_to(first.phy.0, len, out, wait) {
                Ok(()) => taken += self.keep_real(&rest[..count], out, at),
                Err(ReadError::Gone) => {}
                Err(error) => {
                    out.truncate(before);
                    return Err(error);
                }
            }
            rest = &rest[count..];
        }
        Ok(taken)
    }

    fn in_one_file(&self, position: u64, len: usize) -> bool {
        let file_size = self.config().log_file_size;
        position / file_size == (position + len as u64 - 1) / file_size
    }

    /// Of the records just read to `out[at..]`, drops those that are not what their entries say.
    fn keep_real(&self, entries: &[Entry], out: &mut BytesMut, at: usize) -> usize {
        let mut read = at;
        let mut kept = at;
        let mut taken = 0;
        for entry in entries {
            let len = entry.size as usize;
            if is_record(&out[read..read + len], entry.phy.0) {
                if kept != read {
                    out.copy_within(read..read + len, kept);
                }
                kept += len;
                taken += 1;
            } else {
                tracing::warn!("a queue says that a record of {len} bytes is at {}, but there is none", entry.phy);
            }
            read += len;
        }
        out.truncate(kept);
        taken
    }

    /// The record that starts at `phy`, or `None` when no record starts there. Waits for the device.
    pub fn record_at(&self, phy: PhyOffset) -> Result<Option<Vec<u8>>, ReadError> {
        let mut front = [0; 8];
        match self.log().read(phy.0, &mut front, true) {
            Err(ReadError::Gone) => return Ok(None),
            other => other?,
        }
        let Some((size, magic)) = peek(&front) else { return Ok(None) };
        if !matches!(magic, MAGIC_V1 | MAGIC_V2) || u64::from(size) > self.record_max() {
            return Ok(None);
        }
        let mut bytes = vec![0; size as usize];
        match self.log().read(phy.0, &mut bytes, true) {
            Err(ReadError::Gone) => return Ok(None),
            other => other?,
        }
        let real = RecordView::parse(&bytes).is_ok_and(|record| {
            record.total_size() == bytes.len() && record.phy_offset() == phy.0 as i64 && record.check_crc().is_ok()
        });
        Ok(real.then_some(bytes))
    }

    /// When the record at `phy` was stored; `None` when no record starts there.
    fn store_time_at(&self, phy: u64, size: u32) -> Result<Option<i64>, ReadError> {
        let mut front = [0; TIMESTAMP_WITHIN];
        let len = TIMESTAMP_WITHIN.min(size as usize);
        match self.log().read(phy, &mut front[..len], true) {
            Err(ReadError::Gone) => return Ok(None),
            other => other?,
        }
        Ok(if is_record_front(&front[..len], phy, size) { Some(store_timestamp_of(&front)) } else { None })
    }

    /// When message `index` of a queue was stored, milliseconds; `None` when there is none.
    pub fn store_time(&self, queue: &Queue, index: QueueOffset) -> Result<Option<i64>, ReadError> {
        if index < queue.min() || index >= queue.max() {
            return Ok(None);
        }
        match queue.unit(index.0) {
            Ok(Some(unit)) if !unit.is_pre_blank() => self.store_time_at(unit.phy, unit.size),
            Ok(_) | Err(ReadError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The message of a queue next to a store time in milliseconds: see `Boundary`. Waits for the device.
    pub fn offset_by_time(&self, queue: &Queue, time: i64, boundary: Boundary) -> Result<QueueOffset, ReadError> {
        let (min, max) = (queue.min().0, queue.max().0);
        // First message in [min, max) for which `after` holds; store times do not go back along a queue.
        let first = |after: &dyn Fn(i64) -> bool| -> Result<u64, ReadError> {
            let (mut low, mut high) = (min, max);
            while low < high {
                let middle = low + (high - low) / 2;
                match self.store_time(queue, QueueOffset(middle))? {
                    Some(stored) if after(stored) => high = middle,
                    // An unreadable message counts as old.
                    _ => low = middle + 1,
                }
            }
            Ok(low)
        };
        Ok(QueueOffset(match boundary {
            Boundary::Lower => first(&|stored| stored >= time)?,
            Boundary::Upper => first(&|stored| stored > time)?.saturating_sub(1).max(min),
        }))
    }

    /// When the oldest message of the log was stored, milliseconds; `None` in an empty store.
    pub fn earliest_time(&self) -> Result<Option<i64>, ReadError> {
        let min = self.log_min().0;
        let mut front = [0; TIMESTAMP_WITHIN];
        match self.log().read(min, &mut front, true) {
            Err(ReadError::Gone) => return Ok(None),
            other => other?,
        }
        Ok(front_time(&front, min))
    }
}

/// When the record was stored whose first bytes these are, at `phy`; `None` when they are no record's.
pub(super) fn front_time(front: &[u8; TIMESTAMP_WITHIN], phy: u64) -> Option<i64> {
    let (size, _) = peek(front)?;
    is_record_front(front, phy, size).then(|| store_timestamp_of(front))
}

/// Whether `bytes` are a record of just that length at that position. The lengths inside are the writer's business.
fn is_record(bytes: &[u8], phy: u64) -> bool {
    is_record_front(bytes, phy, bytes.len() as u32)
}

fn is_record_front(front: &[u8], phy: u64, size: u32) -> bool {
    let known = peek(front).is_some_and(|(len, magic)| len == size && matches!(magic, MAGIC_V1 | MAGIC_V2));
    known && front.len() >= TIMESTAMP_WITHIN && be_u64(front, 28) == phy
}

/// The store timestamp of a record's first 76 bytes; it stands behind the producer's address, which has two lengths.
fn store_timestamp_of(front: &[u8; TIMESTAMP_WITHIN]) -> i64 {
    let v6 = front[39] & crate::wire::message::sys_flag::BORN_HOST_V6 as u8 != 0;
    be_u64(front, if v6 { 68 } else { 56 }) as i64
}

fn be_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}
