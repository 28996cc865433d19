//! One connection of the client: a task that writes, a task that reads, and the table of who waits for which opaque. What
//! the server asks by itself goes to whoever listens for it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Response;
use crate::wire::codes::response;
use crate::wire::command::{Command, ReplyTo, write_response};
use crate::wire::frame::{self, FRAME_LEN_MAX};

/// Frames that may wait for the socket; callers wait behind them.
const QUEUE_MAX: usize = 1024;

/// After so long without a byte although something was asked, a connection counts as dead: a peer that vanished without a
/// word would otherwise keep it for the quarter of an hour that the system goes on sending.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What a server asks of this client.
#[derive(Debug)]
pub struct Asked {
    /// Request code.
    pub code: i32,
    /// Header fields.
    pub ext: Vec<(String, String)>,
    /// Body, empty if there is none.
    pub body: Bytes,
    to: ReplyTo,
    frames: mpsc::Sender<BytesMut>,
}

impl Asked {
    /// A header field; the last of equal names.
    pub fn get(&self, name: &str) -> Option<&str> {
        last(&self.ext, name)
    }

    /// Answers it; nothing is sent if nobody waits. An answer to a connection that is gone, or whose peer reads nothing, is
    /// lost, as any answer may be.
    pub fn answer(&self, code: i32, remark: Option<&str>, body: &[u8]) {
        answer(&self.frames, self.to, code, remark, body);
    }
}

fn answer(frames: &mpsc::Sender<BytesMut>, to: ReplyTo, code: i32, remark: Option<&str>, body: &[u8]) {
    let mut out = BytesMut::new();
    write_response(&mut out, to, code, remark, &[], body);
    if !out.is_empty() && frames.try_send(out).is_err() {
        tracing::debug!("an answer to a server was lost: its connection ended or takes nothing more");
    }
}

/// The last of the fields of this name.
pub(super) fn last<'a>(ext: &'a [(String, String)], name: &str) -> Option<&'a str> {
    ext.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[derive(Debug)]
pub(super) struct Link {
    frames: mpsc::Sender<BytesMut>,
    waiting: Arc<Waiting>,
    tasks: [AbortHandle; 2],
}

#[derive(Debug, Default)]
struct Waiting(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    answers: HashMap<i32, oneshot::Sender<Response>>,
    /// Since when something is asked and not a byte has come.
    silent_since: Option<Instant>,
    /// Why the connection ended.
    ended: Option<String>,
}

impl Waiting {
    fn end(&self, reason: String) {
        let mut state = self.0.lock();
        state.ended.get_or_insert(reason);
        state.answers.clear();
    }

    fn reason(&self) -> String {
        self.0.lock().ended.clone().unwrap_or_else(|| "it was closed".into())
    }
}

/// A caller that waits; however it stops waiting, its place is free again.
struct Place<'a> {
    waiting: &'a Waiting,
    opaque: i32,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.0.lock().answers.remove(&self.opaque);
    }
}

impl Link {
    /// `listens` gets what the server asks; without it the server is told that nothing is served here.
    pub async fn connect(addr: &str, listens: Option<mpsc::Sender<Asked>>) -> io::Result<Link> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let (frames, queue) = mpsc::channel(QUEUE_MAX);
        let waiting = Arc::new(Waiting::default());
        let to = Receiver { waiting: waiting.clone(), frames: frames.clone(), listens };
        let reader = tokio::spawn(read_all(read, to)).abort_handle();
        let writer = tokio::spawn(write_all(write, queue, waiting.clone())).abort_handle();
        Ok(Link { frames, waiting, tasks: [reader, writer] })
    }

    pub fn is_open(&self) -> bool {
        self.waiting.0.lock().ended.is_none()
    }

    /// The answer, or why there will be none.
    pub async fn request(&self, opaque: i32, frame: BytesMut) -> Result<Response, String> {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.waiting.0.lock();
            if let Some(reason) = &state.ended {
                return Err(reason.clone());
            }
            state.answers.insert(opaque, sender);
            state.silent_since.get_or_insert_with(Instant::now);
        }
        let _place = Place { waiting: &self.waiting, opaque };
        self.send(frame).await?;
        answer.await.map_err(|_| self.waiting.reason())
    }

    pub async fn send(&self, frame: BytesMut) -> Result<(), String> {
        self.frames.send(frame).await.map_err(|_| self.waiting.reason())
    }

    /// Calls that wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.0.lock().answers.len()
    }

    /// A call was not answered in time: ends the connection if nothing has come through it for too long.
    pub fn unanswered(&self, now: Instant) {
        let since = self.waiting.0.lock().silent_since;
        let silent = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if silent >= SILENCE_MAX {
            self.waiting.end(format!("nothing came through it for {} s", silent.as_secs()));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn write_all(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<BytesMut>, waiting: Arc<Waiting>) {
    while let Some(frame) = queue.recv().await {
        if let Err(error) = write.write_all(&frame).await {
            waiting.end(format!("cannot write: {error}"));
            return;
        }
    }
}

/// Where what comes goes.
struct Receiver {
    waiting: Arc<Waiting>,
    frames: mpsc::Sender<BytesMut>,
    listens: Option<mpsc::Sender<Asked>>,
}

async fn read_all(mut read: OwnedReadHalf, to: Receiver) {
    let mut buf = BytesMut::with_capacity(8 * 1024);
    let reason = loop {
        match read.read_buf(&mut buf).await {
            Ok(0) => break "the other side closed it".into(),
            Ok(_) => to.waiting.0.lock().silent_since = None,
            Err(error) => break format!("cannot read: {error}"),
        }
        match to.take_frames(&mut buf) {
            Ok(()) => {}
            Err(reason) => break reason,
        }
    };
    to.waiting.end(reason);
}

impl Receiver {
    fn take_frames(&self, buf: &mut BytesMut) -> Result<(), String> {
        while let Some((frame, len)) = frame::parse(buf, FRAME_LEN_MAX).map_err(|error| error.to_string())? {
            self.take(&Command::parse(&frame).map_err(|error| error.to_string())?);
            buf.advance(len);
        }
        Ok(())
    }

    fn take(&self, command: &Command<'_>) {
        if command.is_response() {
            // A late or unknown answer has nobody waiting: dropped, as every client does.
            if let Some(sender) = self.waiting.0.lock().answers.remove(&command.opaque) {
                drop(sender.send(response_of(command)));
            }
            return;
        }
        let to = command.reply_to();
        let Some(listens) = &self.listens else {
            let remark = format!(" request type {} not supported", command.code);
            return answer(&self.frames, to, response::REQUEST_CODE_NOT_SUPPORTED, Some(&remark), b"");
        };
        let Response { code, ext, body, .. } = response_of(command);
        if listens.try_send(Asked { code, ext, body, to, frames: self.frames.clone() }).is_err() {
            let remark = Some("[OVERLOAD]system busy: requests of servers are waiting");
            answer(&self.frames, to, response::SYSTEM_BUSY, remark, b"");
        }
    }
}

fn response_of(command: &Command<'_>) -> Response {
    Response {
        code: command.code,
        version: command.version,
        remark: command.remark.as_deref().map(str::to_owned),
        ext: command.ext.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: Bytes::copy_from_slice(command.body),
    }
}
