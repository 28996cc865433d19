//! hyper's view of tokio's sockets and timers. Safe code only, so bytes are copied once more than they could be: requests
//! of a few hundred bytes. Knows no HTTP.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Sleep, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes read at once.
const READ_LEN: usize = 4096;
/// Bytes written at once: the kernel would copy megabytes before it lets others have the processor.
const WRITE_LEN: usize = 64 * 1024;

/// A socket whose peer has to take what is sent to it.
pub(super) struct Stream {
    socket: TcpStream,
    send_timeout: Duration,
    /// Runs from when the peer did not take all at once until it has.
    late: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Stream {
    pub fn new(socket: TcpStream, send_timeout: Duration) -> Stream {
        Stream { socket, send_timeout, late: None }
    }

    /// What a write came to; fails it when the peer has not taken everything in time.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let send_timeout = self.send_timeout;
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(send_timeout)));
        ready!(late.as_mut().poll(cx));
        let told = format!("the peer did not take an answer within {} s", send_timeout.as_secs_f64());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, told)))
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; READ_LEN];
        let len = buf.remaining().min(READ_LEN);
        let mut read = ReadBuf::new(&mut bytes[..len]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, &buf[..buf.len().min(WRITE_LEN)]);
        if buf.len() > WRITE_LEN {
            std::thread::yield_now();
        }
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, bufs.iter().find(|buf| !buf.is_empty()).map_or(&[], |buf| buf))
    }

    /// So that hyper writes a page from where it is: else it puts a copy behind the headers.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper asks when it has written everything that it has.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.late = None;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// tokio's timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer;

struct Sleeping(Pin<Box<tokio::time::Sleep>>);

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Sleep for Sleeping {}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(Box::pin(tokio::time::sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(Box::pin(tokio::time::sleep_until(deadline.into()))))
    }
}
