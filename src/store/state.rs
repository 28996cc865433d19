//! The small files beside the log: Java's `checkpoint` and `abort` (STORE 4.9, 8.6), and our recovery hint. It must
//! never decide what they mean: that is recovery's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StepError;
use super::index::{HEADER_LEN, Header};
use super::log::LastRecord;
use crate::base::disk::{self, Disk, DiskFile, Open};
use crate::wire::message::body_crc;

pub(super) const CHECKPOINT_LEN: u64 = 4096;
/// What Java subtracts from the checkpoint before it believes it, milliseconds.
pub(super) const CHECKPOINT_MARGIN_MS: i64 = 3000;

/// The first three numbers of `checkpoint`; the others are left as they are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub physic: i64,
    pub logics: i64,
    pub index: i64,
}

impl Checkpoint {
    /// Java's word for how far queues are complete: 0 when it claims nothing.
    pub fn minimum(&self) -> i64 {
        self.physic.min(self.logics).saturating_sub(CHECKPOINT_MARGIN_MS).max(0)
    }
}

/// The file `checkpoint`.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl CheckpointFile {
    /// What is there; zeros when there is nothing of use.
    pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Checkpoint> {
        let file = match disk.open(path, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::default()),
            other => other?,
        };
        let mut bytes = [0; 24];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Checkpoint::default()),
            other => other?,
        }
        let number = |at: usize| i64::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        Ok(Checkpoint { physic: number(0), logics: number(8), index: number(16) })
    }

    /// Opens it for writing, with its full length.
    pub fn open(disk: &dyn Disk, path: PathBuf) -> Result<Self, StepError> {
        let file = disk.open(&path, Open::Create).map_err(|error| StepError::new("make", &path, error))?;
        if file.len().map_err(|error| StepError::new("look at", &path, error))? != CHECKPOINT_LEN {
            file.set_len(CHECKPOINT_LEN)
                .and_then(|()| file.sync_all())
                .map_err(|error| StepError::new("make", &path, error))?;
        }
        Ok(CheckpointFile { path, file })
    }

    pub fn write(&self, checkpoint: &Checkpoint) -> Result<(), StepError> {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&checkpoint.physic.to_be_bytes());
        bytes[8..16].copy_from_slice(&checkpoint.logics.to_be_bytes());
        bytes[16..].copy_from_slice(&checkpoint.index.to_be_bytes());
        self.file
            .write_all_at(&bytes, 0)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| StepError::new("write to", &self.path, error))
    }
}

const HINT_MAGIC: u64 = u64::from_be_bytes(*b"RMQHINT1");
const HINT_LEN: usize = 256;
/// The two copies lie a page apart, so that no torn write hits both.
const HINT_SLOT: u64 = 4096;

/// From where recovery has to look at the log. Written in turns to two places; the newest whole one counts.
///
/// ```text
///   0 magic   8 sequence  16 token  24 log file size  32 queue file size  40 clean
///  48 flushed 56 queues   64 indexed  72 units  80 queue count
///  88 last phy  96 last size  104 last store time  112 checkpoint 24  136 index name  144 index header 40  252 crc
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    pub sequence: u64,
    /// The same number is in `abort`, as long as nobody else has run on this directory.
    pub token: u64,
    pub log_file_size: u64,
    pub queue_file_size: u64,
    /// The store was closed in order.
    pub clean: bool,
    /// The log is durable up to here.
    pub flushed: u64,
    /// Queue files hold every record below, and nothing else, durably.
    pub queues: u64,
    /// The index holds every record below, durably.
    pub indexed: u64,
    /// Sum of the indexes behind the last unit in the files of all queues.
    pub units: u64,
    /// Newest record below `queues`; size 0: none.
    pub last: LastRecord,
    pub checkpoint: Checkpoint,
    /// Newest index file; 0: none.
    pub index_name: u64,
    pub index_header: Header,
}

impl Hint {
    fn encode(&self) -> [u8; HINT_LEN] {
        let mut bytes = [0; HINT_LEN];
        let mut put = |at: usize, value: u64| bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
        put(0, HINT_MAGIC);
        put(8, self.sequence);
        put(16, self.token);
        put(24, self.log_file_size);
        put(32, self.queue_file_size);
        put(40, u64::from(self.clean));
        put(48, self.flushed);
        put(56, self.queues);
        put(64, self.indexed);
        put(72, self.units);
        put(88, self.last.phy);
        put(96, u64::from(self.last.size));
        put(104, self.last.store_timestamp as u64);
        put(112, self.checkpoint.physic as u64);
        put(120, self.checkpoint.logics as u64);
        put(128, self.checkpoint.index as u64);
        put(136, self.index_name);
        bytes[144..144 + HEADER_LEN as usize].copy_from_slice(&self.index_header.encode());
        let crc = body_crc(&bytes[..HINT_LEN - 4]);
        bytes[HINT_LEN - 4..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HINT_LEN]) -> Option<Hint> {
        let get = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let crc = u32::from_be_bytes(std::array::from_fn(|byte| bytes[HINT_LEN - 4 + byte]));
        if get(0) != HINT_MAGIC || crc != body_crc(&bytes[..HINT_LEN - 4]) {
            return None;
        }
        Some(Hint {
            sequence: get(8),
            token: get(16),
            log_file_size: get(24),
            queue_file_size: get(32),
            clean: get(40) != 0,
            flushed: get(48),
            queues: get(56),
            indexed: get(64),
            units: get(72),
            last: LastRecord { phy: get(88), size: get(96) as u32, store_timestamp: get(104) as i64 },
            checkpoint: Checkpoint { physic: get(112) as i64, logics: get(120) as i64, index: get(128) as i64 },
            index_name: get(136),
            index_header: Header::decode(&std::array::from_fn(|byte| bytes[144 + byte])),
        })
    }
}

/// The file of the hint.
#[derive(Debug)]
pub(super) struct HintFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// What was written last.
    pub hint: Hint,
}

impl HintFile {
    /// The newest whole hint, if there is any.
    pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Hint>> {
        let file = match disk.open(path, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut newest: Option<Hint> = None;
        for slot in 0..2 {
            let mut bytes = [0; HINT_LEN];
            match file.read_exact_at(&mut bytes, slot * HINT_SLOT) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                other => other?,
            }
            let hint = Hint::decode(&bytes);
            newest = match (newest, hint) {
                (Some(old), Some(hint)) if old.sequence > hint.sequence => Some(old),
                (old, None) => old,
                (_, hint) => hint,
            };
        }
        Ok(newest)
    }

    pub fn open(disk: &dyn Disk, path: PathBuf, hint: Hint) -> Result<Self, StepError> {
        let file = disk.open(&path, Open::Create).map_err(|error| StepError::new("make", &path, error))?;
        if file.len().map_err(|error| StepError::new("look at", &path, error))? != 2 * HINT_SLOT {
            // With its blocks: on a disk without a free one it can still be written.
            file.set_len(2 * HINT_SLOT)
                .and_then(|()| file.write_all_at(&[0; 2 * HINT_SLOT as usize], 0))
                .and_then(|()| file.sync_all())
                .map_err(|error| StepError::new("make", &path, error))?;
        }
        Ok(HintFile { path, file, hint })
    }

    /// Writes `next` over the older of the two copies, durably. After a failure the same copy is written again: the other
    /// one is the last that is known to be whole.
    pub fn write(&mut self, next: Hint) -> Result<(), StepError> {
        let next = Hint { sequence: self.hint.sequence + 1, ..next };
        self.file
            .write_all_at(&next.encode(), next.sequence % 2 * HINT_SLOT)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| StepError::new("write to", &self.path, error))?;
        self.hint = next;
        Ok(())
    }
}

/// Makes `abort`, durably: its presence tells Java and us that the store is in use; its content only us by whom. It is
/// there with its whole content or not at all: without it our own hint would not be believed.
pub(super) fn write_abort(disk: &dyn Disk, root: &Path, token: u64) -> Result<(), StepError> {
    // After a crash it is there as it has to be: a disk without a free block need not keep a broker from starting.
    let there = read_abort(disk, root).map_err(|error| StepError::new("read", root.join("abort"), error))?;
    if there == (true, Some(token)) {
        return Ok(());
    }
    let path = root.join("abort");
    let prepared = root.join("abort.tmp");
    let text = format!("{} {token:016x}\n", std::process::id());
    let write = || {
        let file = disk.open(&prepared, Open::Create)?;
        file.set_len(0)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        disk.rename(&prepared, &path)?;
        disk.sync_dir(root)
    };
    write().map_err(|error| StepError::new("make", &path, error))
}

/// Whether `abort` is there, and the token in it.
pub(super) fn read_abort(disk: &dyn Disk, root: &Path) -> io::Result<(bool, Option<u64>)> {
    /// A process number and a token are shorter.
    const ABORT_LEN_MAX: u64 = 256;
    let path = root.join("abort");
    let file = match disk.open(&path, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((false, None)),
        other => other?,
    };
    if file.len()? > ABORT_LEN_MAX {
        return Ok((true, None));
    }
    let bytes = disk::read(disk, &path)?;
    let text = String::from_utf8_lossy(&bytes);
    let token = text.split_whitespace().nth(1).and_then(|token| u64::from_str_radix(token, 16).ok());
    Ok((true, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_survives_its_encoding_and_a_flipped_bit_does_not() {
        let hint = Hint {
            sequence: 7,
            token: 9,
            clean: true,
            units: 3,
            index_name: 20_230_101_000_000_000,
            ..Hint::default()
        };
        let hint = Hint { index_header: Header { next: 5, ..Header::default() }, ..hint };
        let mut bytes = hint.encode();
        assert_eq!(Hint::decode(&bytes), Some(hint));
        bytes[50] ^= 1;
        assert_eq!(Hint::decode(&bytes), None);
    }

    #[test]
    fn the_checkpoints_minimum_is_never_negative() {
        assert_eq!(Checkpoint::default().minimum(), 0);
        assert_eq!(Checkpoint { physic: 10_000, logics: 9_000, index: 0 }.minimum(), 6_000);
        assert_eq!(Checkpoint { physic: i64::MIN, logics: 9_000, index: 0 }.minimum(), 0);
    }
}
