//! A loop's connections as the loop sees them: output buffers, what is dirty, what is blocked. Writes to sockets; never reads.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

use super::connection::ended_by;
use super::limits::Limits;
use super::service::{Conn, ConnId, Outbox};
use crate::base::clock::Millis;

/// Output buffers kept for reuse by one loop, so that a connection without traffic owns none.
const SPARE_BUFFERS_MAX: usize = 64;
/// Largest buffer that is kept for reuse.
const SPARE_BUFFER_LEN_MAX: usize = 1024 * 1024;
/// First size of an output buffer.
const BUFFER_LEN: usize = 4096;

/// One connection.
pub(super) struct Entry {
    pub conn: Conn,
    write: OwnedWriteHalf,
    pub out: BytesMut,
    /// The connection's task; set when it runs for the first time.
    pub waker: Option<Waker>,
    dirty: bool,
    /// The socket took no more; the task is woken when it does.
    pub blocked: bool,
    /// Its task stopped reading because of a bound and wants to be woken when there is room.
    pub paused: bool,
    /// Ends when its buffer is sent.
    pub closing: bool,
    /// It has to end at once; the reason, if it is worth a line in the log.
    pub broken: Option<Option<String>>,
    /// Last byte read or written.
    pub active_at: Millis,
    /// Since when an unfinished frame above the small size waits for its next byte.
    pub waiting_since: Option<Millis>,
    /// Unsent bytes that `Table::unsent` counts for it.
    counted: usize,
}

impl Entry {
    /// Has its task end it for `reason`.
    pub fn fail(&mut self, reason: String) {
        self.broken = Some(Some(reason));
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

#[derive(Default)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

pub(super) struct Table {
    loop_index: u16,
    slots: Vec<Slot>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    spare: Vec<BytesMut>,
    /// Bytes of `spare`.
    spare_len: usize,
    spare_len_max: usize,
    unsent: usize,
    /// A mail or timer staged something.
    pub commit_asked: bool,
    /// Socket writes so far.
    pub writes: u64,
}

impl Table {
    pub fn new(loop_index: u16, spare_len_max: usize) -> Self {
        Table {
            loop_index,
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            spare: Vec::new(),
            spare_len: 0,
            spare_len_max,
            unsent: 0,
            commit_asked: false,
            writes: 0,
        }
    }

    pub fn insert(
        &mut self,
        peer: std::net::SocketAddr,
        local: std::net::SocketAddr,
        write: OwnedWriteHalf,
        now: Millis,
    ) -> Conn {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        let conn = Conn { id: ConnId { loop_index: self.loop_index, slot, generation: place.generation }, peer, local };
        place.entry = Some(Entry {
            conn,
            write,
            out: BytesMut::new(),
            waker: None,
            dirty: false,
            blocked: false,
            paused: false,
            closing: false,
            broken: None,
            active_at: now,
            waiting_since: None,
            counted: 0,
        });
        conn
    }

    pub fn remove(&mut self, id: ConnId) {
        let Some(place) = self.slots.get_mut(id.slot as usize) else { return };
        if place.generation != id.generation {
            return;
        }
        if let Some(entry) = place.entry.take() {
            self.unsent -= entry.counted;
            place.generation = place.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    pub fn entry(&mut self, id: ConnId) -> Option<&mut Entry> {
        let place = self.slots.get_mut(id.slot as usize)?;
        if place.generation == id.generation { place.entry.as_mut() } else { None }
    }

    pub fn entries(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.slots.iter_mut().filter_map(|place| place.entry.as_mut())
    }

    /// Unsent bytes of this loop's connections.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Lends a connection's buffer to its task; `give_back` returns it.
    pub fn lend(&mut self, id: ConnId) -> BytesMut {
        let out = self.entry(id).map(|entry| std::mem::take(&mut entry.out)).unwrap_or_default();
        if out.capacity() > 0 { out } else { self.fresh() }
    }

    /// Takes a lent buffer back and, if there is something in it, marks it for writing.
    pub fn give_back(&mut self, id: ConnId, out: BytesMut) {
        let Some(entry) = self.entry(id) else { return };
        entry.out = out;
        if entry.out.is_empty() {
            let out = std::mem::take(&mut entry.out);
            self.keep(out);
        } else {
            self.mark(id.slot);
        }
    }

    fn fresh(&mut self) -> BytesMut {
        let Some(buffer) = self.spare.pop() else { return BytesMut::with_capacity(BUFFER_LEN) };
        self.spare_len -= buffer.capacity();
        buffer
    }

    fn keep(&mut self, out: BytesMut) {
        let len = out.capacity();
        let room = self.spare.len() < SPARE_BUFFERS_MAX && self.spare_len + len <= self.spare_len_max;
        if room && (BUFFER_LEN..=SPARE_BUFFER_LEN_MAX).contains(&len) {
            self.spare_len += len;
            self.spare.push(out);
        }
    }

    fn mark(&mut self, slot: u32) {
        let Some(entry) = self.slots.get_mut(slot as usize).and_then(|place| place.entry.as_mut()) else { return };
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Whether something waits to be written.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// One write for each connection that has something new; those that are blocked are left to their tasks.
    pub fn flush_dirty(&mut self, now: Millis, limits: &Limits) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            if let Some(entry) = self.slots[slot as usize].entry.as_mut() {
                entry.dirty = false;
                if !entry.blocked {
                    self.flush(slot, now, limits);
                } else {
                    self.count(slot);
                }
            }
        }
        self.dirty = dirty;
    }

    fn count(&mut self, slot: u32) {
        if let Some(entry) = self.slots[slot as usize].entry.as_mut() {
            self.unsent = self.unsent - entry.counted + entry.out.len();
            entry.counted = entry.out.len();
        }
    }

    /// Writes a connection's buffer as far as the socket takes it.
    pub fn flush(&mut self, slot: u32, now: Millis, limits: &Limits) {
        let Some(entry) = self.slots.get_mut(slot as usize).and_then(|place| place.entry.as_mut()) else { return };
        // Without a waker its task did not run yet and will do this itself.
        let Some(waker) = entry.waker.clone() else {
            entry.blocked = true;
            return;
        };
        let mut cx = Context::from_waker(&waker);
        let mut whole = false;
        entry.blocked = false;
        while !entry.out.is_empty() {
            self.writes += 1;
            match Pin::new(&mut entry.write).poll_write(&mut cx, &entry.out) {
                Poll::Pending => {
                    entry.blocked = true;
                    break;
                }
                Poll::Ready(Ok(len)) if len == entry.out.len() => {
                    entry.active_at = now;
                    entry.out.clear();
                    whole = true;
                }
                Poll::Ready(Ok(len)) if len > 0 => {
                    entry.active_at = now;
                    entry.out.advance(len);
                }
                Poll::Ready(result) => {
                    let error = result.err().unwrap_or_else(|| std::io::ErrorKind::WriteZero.into());
                    entry.broken = Some(ended_by(&error, "write"));
                    entry.out.clear();
                    waker.wake_by_ref();
                }
            }
        }
        let room = entry.out.len() < limits.unsent_per_connection_max / 2;
        if (entry.paused && room) || (entry.closing && entry.out.is_empty()) {
            waker.wake_by_ref();
        }
        self.count(slot);
        if whole && let Some(entry) = self.slots[slot as usize].entry.as_mut() {
            let out = std::mem::take(&mut entry.out);
            self.keep(out);
        }
    }
}

impl Outbox for Table {
    fn buffer(&mut self, conn: ConnId) -> Option<&mut BytesMut> {
        let entry = self.entry(conn)?;
        if entry.closing || entry.broken.is_some() {
            return None;
        }
        if entry.out.capacity() == 0 {
            let fresh = self.fresh();
            self.entry(conn)?.out = fresh;
        }
        self.mark(conn.slot);
        Some(&mut self.entry(conn)?.out)
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(entry) = self.entry(conn) {
            entry.closing = true;
            if let Some(waker) = entry.waker.as_ref().filter(|_| !entry.dirty && entry.out.is_empty()) {
                waker.wake_by_ref();
            }
        }
    }

    fn commit_soon(&mut self) {
        self.commit_asked = true;
    }
}
