//! How other threads talk to an event loop: a locked list and one wake per burst. Knows nothing of what the mails mean.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::service::{ConnId, Reply};

/// What a loop is told.
pub(super) enum Envelope<M> {
    /// Something for the service.
    Mail(M),
    /// Bytes for a connection, from anywhere.
    Frame(ConnId, BytesMut),
    /// The end of a slow request of this loop.
    SlowDone(ConnId, Reply),
    /// End a connection after what is in its buffer.
    Close(ConnId),
    /// A new connection, already counted.
    Adopt(std::net::TcpStream, SocketAddr, SocketAddr),
    /// Answer what is owed, until then at most, and end.
    Stop(Instant),
}

#[derive(Debug)]
struct Mailbox<M> {
    // No bound of its own: whoever posts has one (held requests, slow requests in flight, connections), and a peer that
    // does not read the frames posted to it loses its connection.
    waiting: Mutex<Vec<Envelope<M>>>,
    wake: Notify,
}

impl<M> std::fmt::Debug for Envelope<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Envelope")
    }
}

/// The mailboxes of all loops of a server; clone freely.
#[derive(Debug)]
pub struct Mailboxes<M> {
    boxes: Arc<[Mailbox<M>]>,
}

impl<M> Clone for Mailboxes<M> {
    fn clone(&self) -> Self {
        Mailboxes { boxes: self.boxes.clone() }
    }
}

impl<M> Mailboxes<M> {
    /// Mailboxes for `loops` loops. A server makes its own; for tests of a service on its own.
    pub fn new(loops: usize) -> Self {
        let boxes = (0..loops).map(|_| Mailbox { waiting: Mutex::new(Vec::new()), wake: Notify::new() }).collect();
        Mailboxes { boxes }
    }

    /// Number of loops.
    pub fn loops(&self) -> usize {
        self.boxes.len()
    }

    /// Gives `mail` to the service of loop `loop_index`; mails that wait together are handed over together.
    /// A loop that does not exist (any more) swallows it.
    pub fn post(&self, loop_index: usize, mail: M) {
        self.put(loop_index, Envelope::Mail(mail));
    }

    /// Sends a whole frame (or several) to a connection; nothing happens if it is gone.
    pub fn post_frame(&self, conn: ConnId, frame: BytesMut) {
        self.put(conn.loop_index.into(), Envelope::Frame(conn, frame));
    }

    /// Closes a connection after what is in its buffer; nothing happens if it is gone.
    pub fn close(&self, conn: ConnId) {
        self.put(conn.loop_index.into(), Envelope::Close(conn));
    }

    pub(super) fn put(&self, loop_index: usize, envelope: Envelope<M>) {
        let Some(mailbox) = self.boxes.get(loop_index) else { return };
        let mut waiting = mailbox.waiting.lock();
        waiting.push(envelope);
        let first = waiting.len() == 1;
        drop(waiting);
        if first {
            mailbox.wake.notify_one();
        }
    }

    /// Waits for mail and takes all of it; `into` has to be empty.
    pub(super) async fn receive(&self, loop_index: usize, into: &mut Vec<Envelope<M>>) {
        let Some(mailbox) = self.boxes.get(loop_index) else { return std::future::pending().await };
        loop {
            std::mem::swap(&mut *mailbox.waiting.lock(), into);
            if !into.is_empty() {
                return;
            }
            mailbox.wake.notified().await;
        }
    }
}
