//! One connection of the client: a task that writes, a task that reads, and the table of who waits for which opaque.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::Response;
use crate::wire::command::Command;
use crate::wire::frame::{self, FRAME_LEN_MAX};

/// Frames that may wait for the socket; callers wait behind them.
const QUEUE_MAX: usize = 1024;

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

impl Link {
    pub async fn connect(addr: &str) -> io::Result<Link> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let (frames, queue) = mpsc::channel(QUEUE_MAX);
        let waiting = Arc::new(Waiting::default());
        let reader = tokio::spawn(read_all(read, waiting.clone())).abort_handle();
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
        }
        self.send(frame).await?;
        answer.await.map_err(|_| self.waiting.reason())
    }

    pub async fn send(&self, frame: BytesMut) -> Result<(), String> {
        self.frames.send(frame).await.map_err(|_| self.waiting.reason())
    }

    /// Nobody waits for this answer any more.
    pub fn forget(&self, opaque: i32) {
        self.waiting.0.lock().answers.remove(&opaque);
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

async fn read_all(mut read: OwnedReadHalf, waiting: Arc<Waiting>) {
    let mut buf = BytesMut::with_capacity(8 * 1024);
    let reason = loop {
        match take_frames(&mut buf, &waiting) {
            Ok(()) => {}
            Err(reason) => break reason,
        }
        match read.read_buf(&mut buf).await {
            Ok(0) => break "the other side closed it".into(),
            Ok(_) => {}
            Err(error) => break format!("cannot read: {error}"),
        }
    };
    waiting.end(reason);
}

fn take_frames(buf: &mut BytesMut, waiting: &Waiting) -> Result<(), String> {
    loop {
        let len = match frame::parse(buf, FRAME_LEN_MAX).map_err(|error| error.to_string())? {
            Some((frame, len)) => {
                let command = Command::parse(&frame).map_err(|error| error.to_string())?;
                if command.is_response() {
                    // A late or unknown answer has nobody waiting: dropped, as every client does.
                    if let Some(sender) = waiting.0.lock().answers.remove(&command.opaque) {
                        drop(sender.send(response_of(&command)));
                    }
                } else {
                    tracing::debug!("request {} from the server is not for this client", command.code);
                }
                len
            }
            None => return Ok(()),
        };
        buf.advance(len);
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
