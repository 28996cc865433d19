//! What one tick of an event loop stages: encoded records and where they go. Knows the record's bytes and the queue it
//! belongs to; it must never touch a file or a lock.

use std::ops::Range;
use std::sync::Arc;

use super::error::StageError;
use super::queue::Queue;
use crate::base::position::{PhyOffset, QueueOffset};
use crate::wire::message::{self, NewRecord};

/// A batch takes no further record beyond this many bytes; it bounds the memory of a loop and one positioned write.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// One staged record.
#[derive(Debug)]
pub(super) struct Item {
    pub queue: Arc<Queue>,
    pub at: u32,
    pub len: u32,
    /// The tag hash, or with `is_delay` the delay in milliseconds.
    pub tags_code: i64,
    /// The queue unit holds the time of delivery: store time plus delay (STORE 4, SCHEDULE_TOPIC_XXXX).
    pub is_delay: bool,
    /// Has to lie in the same file as the one before it.
    pub joined: bool,
    pub phy: u64,
    pub queue_offset: u64,
    pub store_timestamp: i64,
}

impl Item {
    /// What the queue unit holds beside position and length; known once the record has its store time.
    pub fn unit_tags(&self) -> i64 {
        if self.is_delay { self.store_timestamp.saturating_add(self.tags_code) } else { self.tags_code }
    }
}

/// What the log gave a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Its first byte in the commit log.
    pub phy_offset: PhyOffset,
    /// Its index in its queue.
    pub queue_offset: QueueOffset,
    /// When it was stored, milliseconds since the epoch; never goes back along the log.
    pub store_timestamp: i64,
    /// Its length in bytes.
    pub len: u32,
}

/// Records waiting to be stored together. Keep one per loop and `clear` it: its buffers are used again.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
    end: u64,
    record_max: u64,
    len_max: usize,
}

impl Batch {
    /// An empty batch for `store`'s log files: a record that would never fit into one is refused when it is staged.
    pub fn new(store: &super::Store) -> Self {
        Batch::bounded(store, BATCH_BYTES_MAX)
    }

    /// The same, full at `len_max` bytes.
    pub fn bounded(store: &super::Store, len_max: usize) -> Self {
        Batch { record_max: store.record_max(), len_max, ..Batch::default() }
    }

    /// Number of staged records.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Staged bytes.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Stages one record; returns its index for `assigned`. The record's queue id has to be the queue's.
    pub fn stage(&mut self, queue: &Arc<Queue>, record: &NewRecord<'_>, tags_code: i64) -> Result<usize, StageError> {
        self.stage_one(queue, record, tags_code, false)?;
        let len = u64::from(self.items[self.items.len() - 1].len);
        if len > self.record_max {
            self.truncate(self.items.len() - 1);
            return Err(StageError::TooLarge { len, max: self.record_max });
        }
        Ok(self.items.len() - 1)
    }

    /// Stages a record that is to be delivered `delay_ms` after it was stored: its queue unit holds that time.
    pub fn stage_delayed(
        &mut self,
        queue: &Arc<Queue>,
        record: &NewRecord<'_>,
        delay_ms: u64,
    ) -> Result<usize, StageError> {
        let index = self.stage(queue, record, i64::try_from(delay_ms).unwrap_or(i64::MAX))?;
        self.items[index].is_delay = true;
        Ok(index)
    }

    /// Stages the records of one batch message, which stay together in one file. All or none.
    pub fn stage_group<'a>(
        &mut self,
        queue: &Arc<Queue>,
        records: impl IntoIterator<Item = (NewRecord<'a>, i64)>,
    ) -> Result<Range<usize>, StageError> {
        let begin = self.items.len();
        let bytes_begin = self.bytes.len();
        for (record, tags_code) in records {
            let joined = self.items.len() > begin;
            if let Err(error) = self.stage_one(queue, &record, tags_code, joined) {
                self.truncate(begin);
                return Err(error);
            }
            let len = (self.bytes.len() - bytes_begin) as u64;
            if len > self.record_max {
                self.truncate(begin);
                return Err(StageError::TooLarge { len, max: self.record_max });
            }
        }
        if self.items.len() == begin { Err(StageError::Empty) } else { Ok(begin..self.items.len()) }
    }

    fn stage_one(
        &mut self,
        queue: &Arc<Queue>,
        record: &NewRecord<'_>,
        tags_code: i64,
        joined: bool,
    ) -> Result<(), StageError> {
        debug_assert_eq!(u32::try_from(record.queue_id), Ok(queue.id().0));
        let at = self.bytes.len();
        if at > self.len_max {
            return Err(StageError::BatchFull { len: at, max: self.len_max });
        }
        let len = match message::encode(&mut self.bytes, record) {
            Ok(len) => len as u32,
            Err(error) => {
                self.bytes.truncate(at);
                return Err(error.into());
            }
        };
        self.items.push(Item {
            queue: queue.clone(),
            at: at as u32,
            len,
            tags_code,
            is_delay: false,
            joined,
            phy: 0,
            queue_offset: 0,
            store_timestamp: 0,
        });
        Ok(())
    }

    fn truncate(&mut self, items: usize) {
        if let Some(first) = self.items.get(items) {
            self.bytes.truncate(first.at as usize);
            self.items.truncate(items);
        }
    }

    /// What record `index` was given; meaningful after a successful `Store::append`.
    ///
    /// # Panics
    /// When `index` was not returned by this batch since it was cleared.
    pub fn assigned(&self, index: usize) -> Assigned {
        let item = &self.items[index];
        Assigned {
            phy_offset: PhyOffset(item.phy),
            queue_offset: QueueOffset(item.queue_offset),
            store_timestamp: item.store_timestamp,
            len: item.len,
        }
    }

    /// The queue and the tag hash (or time of delivery) of record `index`: what a held pull wants to know of a new
    /// message.
    ///
    /// # Panics
    /// As `assigned`.
    pub fn staged(&self, index: usize) -> (&Arc<Queue>, i64) {
        let item = &self.items[index];
        (&item.queue, item.unit_tags())
    }

    /// The log's end behind this batch, after a successful `Store::append`: flushed up to here, all of it is durable.
    pub fn end(&self) -> PhyOffset {
        PhyOffset(self.end)
    }

    /// Empties it and keeps the buffers, unless they have grown out of proportion.
    pub fn clear(&mut self) {
        const KEEP_BYTES: usize = 4 << 20;
        self.items.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_BYTES);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn parts(&mut self) -> (&mut [u8], &mut [Item]) {
        (&mut self.bytes, &mut self.items)
    }

    pub(super) fn set_end(&mut self, end: u64) {
        self.end = end;
    }
}
