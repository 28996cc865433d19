//! The newest bytes of the log in memory. Consumers mostly read what was just written, and a queue's records lie apart
//! in the log, so that each would cost a read of its own: with eight queues a pull of 32 messages made 32 system calls,
//! which were more than half of its CPU. Measured, copying from here takes a fifth of that.
//!
//! A ring of chunks, each with its own lock and each holding one unbroken range. It is only ever a copy: what is not
//! here (any more) is read from the files. It must never know what a record is.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use parking_lot::RwLock;

/// Bytes of a chunk: large enough that a batch touches one or two, small enough that memory grows with use.
const CHUNK_LEN: u64 = 1 << 20;

/// The ring.
#[derive(Debug)]
pub(super) struct LogTail {
    chunks: Box<[RwLock<Chunk>]>,
    /// Counts the calls of `release_idle`.
    round: AtomicU64,
}

/// Log positions `from..to` lie at `bytes[position % CHUNK_LEN]`.
#[derive(Debug, Default)]
struct Chunk {
    from: u64,
    to: u64,
    bytes: Vec<u8>,
    /// The round in which it was written last.
    round: u64,
}

impl LogTail {
    /// Keeps about the newest `len` bytes; 0 keeps nothing.
    pub fn new(len: u64) -> Self {
        let chunks = (0..len.div_ceil(CHUNK_LEN)).map(|_| RwLock::default()).collect();
        LogTail { chunks, round: AtomicU64::new(0) }
    }

    /// Gives back the memory of chunks that were not written to since the call before this one.
    pub fn release_idle(&self) {
        let round = self.round.fetch_add(1, Ordering::Relaxed);
        for chunk in &self.chunks {
            if chunk.read().bytes.is_empty() {
                continue;
            }
            let mut chunk = chunk.write();
            if chunk.round < round {
                *chunk = Chunk::default();
            }
        }
    }

    /// The chunk of `position`, its place there, and how much of `len` bytes lies in it.
    fn place(&self, position: u64, len: usize) -> (&RwLock<Chunk>, usize, usize) {
        let at = position % CHUNK_LEN;
        let chunk = &self.chunks[(position / CHUNK_LEN % self.chunks.len() as u64) as usize];
        (chunk, at as usize, len.min((CHUNK_LEN - at) as usize))
    }

    /// Keeps bytes that were just written at `position`. Readers see them once the log is published up to there.
    pub fn put(&self, mut position: u64, mut bytes: &[u8]) {
        if self.chunks.is_empty() {
            return;
        }
        let round = self.round.load(Ordering::Relaxed);
        // More than the ring would write over itself.
        let skip = bytes.len().saturating_sub(self.chunks.len() * CHUNK_LEN as usize);
        bytes = &bytes[skip..];
        position += skip as u64;
        while !bytes.is_empty() {
            let (chunk, at, len) = self.place(position, bytes.len());
            let (now, later) = bytes.split_at(len);
            let mut chunk = chunk.write();
            if chunk.bytes.is_empty() {
                chunk.bytes = vec![0; CHUNK_LEN as usize];
            }
            // Other positions, a gap, or (after a failed write) the same positions again: the range begins anew or is
            // cut, never joined over something else.
            let same = chunk.from / CHUNK_LEN == position / CHUNK_LEN;
            if !same || !(chunk.from..=chunk.to).contains(&position) {
                chunk.from = position;
            }
            chunk.bytes[at..at + len].copy_from_slice(now);
            chunk.to = position + len as u64;
            chunk.round = round;
            drop(chunk);
            position += len as u64;
            bytes = later;
        }
    }

    /// Appends `len` bytes from `position` on to `out`; false, and nothing is appended, when not all of them are here.
    pub fn read(&self, mut position: u64, mut len: usize, out: &mut BytesMut) -> bool {
        if self.chunks.is_empty() {
            return false;
        }
        let before = out.len();
        while len > 0 {
            let (chunk, at, here) = self.place(position, len);
            let chunk = chunk.read();
            if position < chunk.from || position + here as u64 > chunk.to {
                out.truncate(before);
                return false;
            }
            out.extend_from_slice(&chunk.bytes[at..at + here]);
            position += here as u64;
            len -= here;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(position: u64, len: usize) -> Vec<u8> {
        (position..position + len as u64).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn the_newest_bytes_are_read_and_older_ones_are_not_there() {
        let tail = LogTail::new(3 * CHUNK_LEN);
        let (mut position, step) = (CHUNK_LEN / 2, 300_007);
        while position < 10 * CHUNK_LEN {
            tail.put(position, &bytes(position, step));
            position += step as u64;
        }
        for (from, len) in [(position - 10, 10), (position - 2 * CHUNK_LEN, 1_500_000), (position - 1, 1)] {
            let mut out = BytesMut::from(&b"x"[..]);
            assert!(tail.read(from, len, &mut out));
            assert_eq!(out[1..], bytes(from, len));
        }
        let mut out = BytesMut::from(&b"x"[..]);
        for (from, len) in [(position - 4 * CHUNK_LEN, 10), (position - 5, 6), (position, 1), (0, 1)] {
            assert!(!tail.read(from, len, &mut out));
        }
        assert_eq!(out, &b"x"[..]);
    }

    #[test]
    fn memory_that_nobody_writes_to_is_given_back() {
        let tail = LogTail::new(2 * CHUNK_LEN);
        let held = || tail.chunks.iter().map(|chunk| chunk.read().bytes.capacity()).sum::<usize>();
        tail.put(0, &bytes(0, CHUNK_LEN as usize + 10));
        assert_eq!(held(), 2 << 20);
        tail.release_idle();
        tail.put(CHUNK_LEN + 10, &bytes(CHUNK_LEN + 10, 5));
        assert_eq!(held(), 2 << 20, "all of it was written a moment ago");
        tail.release_idle();
        assert_eq!(held(), 1 << 20, "what was written since then stays");
        let mut out = BytesMut::new();
        assert!(!tail.read(0, 5, &mut out) && tail.read(CHUNK_LEN, 15, &mut out));
        assert_eq!(out, bytes(CHUNK_LEN, 15));
        tail.release_idle();
        tail.release_idle();
        assert_eq!(held(), 0);
        tail.put(7, &bytes(7, 3));
        assert!(tail.read(7, 3, &mut out) && !tail.read(CHUNK_LEN, 1, &mut out));
    }

    #[test]
    fn positions_written_again_after_a_failure_and_gaps_never_show_old_bytes() {
        let tail = LogTail::new(2 * CHUNK_LEN);
        tail.put(100, &[1; 50]);
        tail.put(120, &[2; 10]);
        let mut out = BytesMut::new();
        assert!(tail.read(100, 30, &mut out));
        assert_eq!((&out[..20], &out[20..]), (&[1; 20][..], &[2; 10][..]));
        assert!(!tail.read(125, 10, &mut out));
        tail.put(200, &[3; 5]);
        assert!(!tail.read(100, 30, &mut out) && tail.read(200, 5, &mut out));
        // The same chunk, one round later.
        tail.put(2 * CHUNK_LEN + 205, &[4; 5]);
        assert!(!tail.read(200, 5, &mut out) && !tail.read(205, 5, &mut out));
        assert!(tail.read(2 * CHUNK_LEN + 205, 5, &mut out));
        assert!(!LogTail::new(0).read(0, 1, &mut out));
    }
}
