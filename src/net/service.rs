//! What an event loop asks of the program behind it. `net` owns loops, buffers and connections and knows only this
//! trait; the name server and the broker implement it, one instance per loop.
//!
//! The tick (HOUSE, "the path of a message"): connection tasks read what is there and hand each frame to
//! `Service::request`. The first request that stages something wakes the loop's committer task, which the run queue
//! places behind the connections that were already ready; it calls `Service::commit` once for all of them. Whatever
//! was appended to connections' output buffers is then written, one write per connection.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::BytesMut;

use crate::base::clock::Millis;
use crate::wire::command::Command;

/// A connection of one of this process's loops. The generation makes a reused slot a different connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Index of the loop.
    pub loop_index: u16,
    /// Place in the loop's table of connections.
    pub slot: u32,
    /// How often the place was used before.
    pub generation: u32,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Conn {
    /// Its name.
    pub id: ConnId,
    /// The other end.
    pub peer: SocketAddr,
    /// Our end: tells which listener it came through.
    pub local: SocketAddr,
}

/// A whole frame (or nothing, for oneway requests) made off the loop.
pub type Reply = BytesMut;

/// What became of a request.
pub enum Outcome {
    /// Answered: the reply, if there is any, is in `cx.out`.
    Done,
    /// Staged for this tick's `commit`, which answers it or leaves it to a later mail.
    Staged,
    /// Kept by the service (a held pull, a relay): a later `mail`, `timer` or `commit` answers it.
    Held,
    /// Runs on the control runtime; its bytes are sent when it is done, if the connection still exists.
    Slow(Pin<Box<dyn Future<Output = Reply> + Send>>),
    /// The peer cannot be talked to any further; the reason goes to the log.
    Close(String),
}

/// A request's surroundings.
pub struct RequestCx<'a> {
    /// Where it came from.
    pub conn: Conn,
    /// Output buffer of that connection.
    pub out: &'a mut BytesMut,
    /// When the tick began, milliseconds since the epoch.
    pub now: Millis,
}

/// The output buffers of a loop's connections, for answers that come later than their request.
pub trait Outbox {
    /// The buffer of a connection of this loop, `None` when it is gone; asking marks it for writing.
    fn buffer(&mut self, conn: ConnId) -> Option<&mut BytesMut>;
    /// Closes a connection after what is in its buffer.
    fn close(&mut self, conn: ConnId);
    /// Has `Service::commit` called at the end of this tick: a mail or a timer staged something.
    fn commit_soon(&mut self);
}

/// One loop's share of a server. Never blocks, never awaits; every method is called on the loop's thread.
/// `Send` because the loop's tasks are (see `event_loop`); no two threads ever touch it at once.
pub trait Service: Send + 'static {
    /// What other threads may say to this loop.
    type Mail: Send + 'static;

    /// A request arrived.
    fn request(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome;

    /// The answer to a request of ours arrived.
    fn response(&mut self, conn: Conn, response: &Command<'_>) {
        let _ = (conn, response);
    }

    /// End of a tick in which something was staged.
    fn commit(&mut self, outbox: &mut dyn Outbox) {
        let _ = outbox;
    }

    /// A mail from another thread. Mails that are waiting together are handed over together, then written once.
    fn mail(&mut self, mail: Self::Mail, outbox: &mut dyn Outbox);

    /// A connection was accepted.
    fn opened(&mut self, conn: Conn) {
        let _ = conn;
    }

    /// A connection is gone; what it held has to be forgotten.
    fn closed(&mut self, conn: Conn) {
        let _ = conn;
    }

    /// Answers that a drain at shutdown has to wait for (flush waits, relays soon due; not held pulls).
    fn owed(&self) -> usize {
        0
    }

    /// Called about every 100 ms: deadlines of held requests and the like.
    fn timer(&mut self, now: Millis, outbox: &mut dyn Outbox) {
        let _ = (now, outbox);
    }
}
