//! One connection's task: reads what is there, cuts it into frames, asks the service. Never writes by itself while the
//! socket takes bytes (the end of the tick does that); knows nothing of what a request means.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::event_loop::{Core, EventLoop};
use super::limits::UNSENT_SHARE_MIN;
use super::mailbox::Envelope;
use super::service::{Conn, Outcome, RequestCx, Service};
use crate::base::clock::Millis;
use crate::wire::codes::response;
use crate::wire::command::{self, Command};
use crate::wire::frame;

/// Unfinished frames up to here are finished in the loop's shared buffer; longer ones are read straight into their own.
const SMALL_REST_MAX: usize = 16 * 1024;

/// Least growth of a long frame's buffer. It doubles with the bytes that came, so announcing much costs nothing.
const GROWTH_MIN: usize = 32 * 1024;

/// Capacity that an idle connection may keep.
const REST_KEPT_MAX: usize = 2 * 1024;

/// Why a connection ended; `None` is the ordinary way.
type Ended = Option<String>;

/// How a connection ends whose socket failed with `error`. A peer that vanished is ordinary: clients are killed, and an
/// operator's log is not the place for it.
pub(super) fn ended_by(error: &std::io::Error, what: &str) -> Ended {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
    match error.kind() {
        ConnectionReset | BrokenPipe | TimedOut => None,
        _ => Some(format!("cannot {what}: {error}")),
    }
}

pub(super) struct ConnectionTask<S: Service> {
    shared: Arc<EventLoop<S>>,
    conn: Conn,
    read: OwnedReadHalf,
    /// Bytes of an unfinished frame; after a pause also whole ones.
    rest: BytesMut,
    /// `rest` may hold whole frames.
    resume: bool,
    /// Bytes of `rest` that the server's receive memory counts.
    charged: usize,
}

/// How a run over received bytes ended.
enum Stop {
    /// The rest is no whole frame.
    Incomplete,
    /// The connection's output has reached its bound.
    OutputFull,
    /// The peer cannot be talked to.
    Close(String),
}

impl<S: Service> ConnectionTask<S> {
    pub fn new(shared: Arc<EventLoop<S>>, conn: Conn, read: OwnedReadHalf) -> Self {
        ConnectionTask { shared, conn, read, rest: BytesMut::new(), resume: false, charged: 0 }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<std::convert::Infallible, Ended>> {
        let shared = self.shared.clone();
        let now = shared.clock.now();
        let mut core = shared.core.lock();
        if !self.may_read(&mut core, cx, now)? {
            return Poll::Pending;
        }
        if self.resume {
            self.resume = false;
            let mut rest = std::mem::take(&mut self.rest);
            let (taken, stop) = self.take_frames(&mut core, &rest, now);
            rest.advance(taken);
            self.keep_rest(&rest);
            self.settle(stop, &mut core, now)?;
            if self.resume {
                return Poll::Pending;
            }
        }
        let mut budget = shared.limits.receive_per_tick;
        loop {
            let read = if self.rest.len() < SMALL_REST_MAX {
                ready!(self.read_shared(&mut core, cx, now))?
            } else {
                ready!(self.read_long(&mut core, cx, now))?
            };
            if self.resume {
                return Poll::Pending;
            }
            budget = budget.saturating_sub(read);
            if budget == 0 {
                // There may be more, but the others of this loop come first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// What has to be looked at before reading: a blocked buffer, the end, the bounds.
    fn may_read(&mut self, core: &mut Core<S>, cx: &Context<'_>, now: Millis) -> Result<bool, Ended> {
        let limits = &self.shared.limits;
        let Some(entry) = core.table.entry(self.conn.id) else { return Err(None) };
        if !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            entry.waker = Some(cx.waker().clone());
        }
        if entry.blocked {
            core.table.flush(self.conn.id.slot, now, limits);
        }
        let Some(entry) = core.table.entry(self.conn.id) else { return Err(None) };
        if let Some(reason) = entry.broken.take() {
            return Err(reason);
        }
        if entry.closing {
            return if entry.out.is_empty() { Err(None) } else { Ok(false) };
        }
        let over = entry.out.len() >= limits.unsent_per_connection_max
            || (entry.out.len() >= UNSENT_SHARE_MIN
                && self.shared.totals.unsent.load(Relaxed) >= limits.unsent_total_max);
        entry.paused = over;
        Ok(!over && !core.stopping)
    }

    /// Reads into the loop's buffer behind the small rest of the last time.
    fn read_shared(&mut self, core: &mut Core<S>, cx: &mut Context<'_>, now: Millis) -> Poll<Result<usize, Ended>> {
        let mut scratch = std::mem::take(&mut core.scratch);
        if scratch.is_empty() {
            // The first time, or the service panicked in the middle of it.
            scratch = vec![0; self.shared.limits.receive_per_tick.max(4 * SMALL_REST_MAX)].into_boxed_slice();
        }
        let had = self.rest.len();
        scratch[..had].copy_from_slice(&self.rest);
        let mut room = scratch.len();
        if self.shared.totals.receive_memory.load(Relaxed) >= self.shared.limits.receive_memory_max {
            room = had + SMALL_REST_MAX;
        }
        let mut buf = ReadBuf::new(&mut scratch[had..room]);
        let polled = Pin::new(&mut self.read).poll_read(cx, &mut buf);
        let read = buf.filled().len();
        let result = match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(ended_by(&error, "read"))),
            Poll::Ready(Ok(())) if read == 0 => Poll::Ready(Err(None)),
            Poll::Ready(Ok(())) => {
                let (taken, stop) = self.take_frames(core, &scratch[..had + read], now);
                self.keep_rest(&scratch[taken..had + read]);
                Poll::Ready(self.settle(stop, core, now).map(|()| read))
            }
        };
        core.scratch = scratch;
        result
    }

    /// Reads more of a long frame into its own buffer, which grows only with the bytes that came.
    fn read_long(&mut self, core: &mut Core<S>, cx: &mut Context<'_>, now: Millis) -> Poll<Result<usize, Ended>> {
        if self.rest.capacity() == self.rest.len() {
            let announced = self.rest.first_chunk().map_or(0, |len| u32::from_be_bytes(*len) as usize + 4);
            let missing = announced.saturating_sub(self.rest.len()).max(1);
            let growth = missing.min(self.rest.len().max(GROWTH_MIN));
            if self.shared.totals.receive_memory.load(Relaxed) + growth > self.shared.limits.receive_memory_max {
                if let Some(entry) = core.table.entry(self.conn.id) {
                    entry.waiting_since.get_or_insert(now);
                }
                // Without a byte to read it is not memory that it waits for.
                let mut byte = [0];
                if self.read.poll_peek(cx, &mut ReadBuf::new(&mut byte)).is_ready() {
                    core.starved.push(self.conn.id);
                }
                return Poll::Pending;
            }
            self.rest.reserve(growth);
            self.charge();
        }
        let polled = {
            let read = std::pin::pin!(self.read.read_buf(&mut self.rest));
            read.poll(cx)
        };
        let read = match ready!(polled) {
            Err(error) => return Poll::Ready(Err(ended_by(&error, "read"))),
            Ok(0) => return Poll::Ready(Err(None)),
            Ok(read) => read,
        };
        let mut rest = std::mem::take(&mut self.rest);
        let (taken, stop) = self.take_frames(core, &rest, now);
        if taken == 0 {
            self.rest = rest;
        } else {
            rest.advance(taken);
            self.keep_rest(&rest);
        }
        self.charge();
        Poll::Ready(self.settle(stop, core, now).map(|()| read))
    }

    fn keep_rest(&mut self, rest: &[u8]) {
        self.rest.clear();
        if rest.is_empty() && self.rest.capacity() > REST_KEPT_MAX
            || rest.len() < SMALL_REST_MAX && self.rest.capacity() > SMALL_REST_MAX
        {
            self.rest = BytesMut::new();
        }
        self.rest.extend_from_slice(rest);
        self.charge();
    }

    fn charge(&mut self) {
        let held = self.rest.capacity();
        if held != self.charged {
            self.shared.totals.receive_memory.fetch_add(held, Relaxed);
            self.shared.totals.receive_memory.fetch_sub(self.charged, Relaxed);
            self.charged = held;
        }
    }

    fn settle(&mut self, stop: Stop, core: &mut Core<S>, now: Millis) -> Result<(), Ended> {
        if let Some(entry) = core.table.entry(self.conn.id) {
            entry.waiting_since = (self.rest.len() >= SMALL_REST_MAX).then_some(now);
        }
        match stop {
            Stop::Incomplete => Ok(()),
            Stop::OutputFull => {
                self.resume = true;
                if let Some(entry) = core.table.entry(self.conn.id) {
                    entry.paused = true;
                }
                Ok(())
            }
            Stop::Close(reason) => Err(Some(reason)),
        }
    }

    /// Gives every whole frame of `bytes` to the service; returns the bytes taken.
    fn take_frames(&self, core: &mut Core<S>, bytes: &[u8], now: Millis) -> (usize, Stop) {
        let limits = &self.shared.limits;
        let mut out = core.table.lend(self.conn.id);
        let mut taken = 0;
        let mut frames = 0;
        let stop = loop {
            if out.len() >= limits.unsent_per_connection_max {
                break Stop::OutputFull;
            }
            let (frame, len) = match frame::parse(&bytes[taken..], limits.frame_len_max) {
                Ok(Some(found)) => found,
                Ok(None) => break Stop::Incomplete,
                Err(error) => break Stop::Close(error.to_string()),
            };
            let command = match Command::parse(&frame) {
                Ok(command) => command,
                Err(error) => break Stop::Close(error.to_string()),
            };
            taken += len;
            frames += 1;
            if command.is_response() {
                core.service.response(self.conn, &command);
                continue;
            }
            let mut cx = RequestCx { conn: self.conn, out: &mut out, now };
            match core.service.request(&mut cx, &command) {
                Outcome::Done | Outcome::Held => {}
                Outcome::Staged => core.staged = true,
                Outcome::Slow(slow) => self.start_slow(core, slow, &command, &mut out),
                Outcome::Close(reason) => break Stop::Close(reason),
            }
        };
        core.table.give_back(self.conn.id, out);
        if let Some(entry) = core.table.entry(self.conn.id) {
            entry.active_at = now;
        }
        core.frames += frames;
        if core.staged || core.table.is_dirty() {
            core.wake_tick_end();
        }
        (taken, stop)
    }

    fn start_slow(
        &self,
        core: &mut Core<S>,
        slow: Pin<Box<dyn Future<Output = BytesMut> + Send>>,
        request: &Command<'_>,
        out: &mut BytesMut,
    ) {
        let mailboxes = self.shared.mailboxes.clone();
        let (id, to, code) = (self.conn.id, request.reply_to(), request.code);
        let started = self.shared.control.run(request.body.len(), slow, move |reply| {
            let reply = reply.unwrap_or_else(|| {
                let mut out = BytesMut::new();
                let remark = format!("request {code} failed inside the server; its log has the reason");
                command::write_response(&mut out, to, response::SYSTEM_ERROR, Some(&remark), &[], &[]);
                out
            });
            mailboxes.put(id.loop_index.into(), Envelope::SlowDone(id, reply));
        });
        if !started {
            self.shared.totals.slow_refused.fetch_add(1, Relaxed);
        }
        if started {
            core.slow_running += 1;
        } else {
            let remark = format!(
                "[OVERLOAD]system busy, start flow control for a while: {} slow requests are in flight",
                super::control::IN_FLIGHT_MAX
            );
            command::write_response(out, to, response::SYSTEM_BUSY, Some(&remark), &[], &[]);
        }
    }
}

impl<S: Service> Future for ConnectionTask<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Err(ended) = ready!(this.step(cx));
        if let Some(reason) = ended {
            tracing::warn!("connection from {} to {} closed: {reason}", this.conn.peer, this.conn.local);
        }
        Poll::Ready(())
    }
}

// In `drop`, so that it also happens when the service panicked or the loop ends.
impl<S: Service> Drop for ConnectionTask<S> {
    fn drop(&mut self) {
        self.shared.totals.receive_memory.fetch_sub(self.charged, Relaxed);
        let mut core = self.shared.core.lock();
        core.table.remove(self.conn.id);
        core.service.closed(self.conn);
        drop(core);
        self.shared.totals.left(self.conn.id.loop_index.into());
    }
}
