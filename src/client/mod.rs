//! Calls to a name server or a broker, ours or Java's: one lazy connection per address, requests matched by opaque.
//! For control traffic and tools; the path of a message is `net::server`. Knows no role of this process.

mod calls;
pub mod consumer;
mod link;
mod name_servers;
pub mod shown;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::wire::codes::{RequestName, response, response_name};
use crate::wire::command::{FLAG_ONEWAY, Value, write_request_as};
use crate::wire::frame::{FRAME_LEN_MAX, Serialization};
use link::Link;

pub use calls::{BrokerName, NewTopic, Registered, read};
pub use link::Asked;
pub use name_servers::NameServers;

/// Addresses that one client keeps connections to; one more makes it forget those that are closed.
const ADDRESSES_MAX: usize = 1024;
/// Requests of servers that may wait for whoever listens; one more is answered SYSTEM_BUSY.
const ASKED_MAX: usize = 64;

/// How a call failed: what was being done, to whom, what was found, what to do.
#[derive(Clone, Debug, Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {addr} for {}: {found}; check that it runs and that the address is right", RequestName(*.code))]
    Connect {
        /// Whom.
        addr: String,
        /// Request code.
        code: i32,
        /// What the system said.
        found: String,
    },
    /// No answer in time; the connection is kept, unless nothing has come through it for long.
    #[error("{addr} did not answer {} within {timeout_ms} ms; it is overloaded, stopped, or does not know the request", RequestName(*.code))]
    Timeout {
        /// Whom.
        addr: String,
        /// Request code.
        code: i32,
        /// How long it was waited.
        timeout_ms: u64,
    },
    /// The connection ended before the answer; whether the request was carried out is not known.
    #[error("the connection to {addr} ended before {} was answered: {found}; try again", RequestName(*.code))]
    Lost {
        /// Whom.
        addr: String,
        /// Request code.
        code: i32,
        /// Why it ended.
        found: String,
    },
    /// The request does not fit into a frame.
    #[error("{} to {addr} needs {len} bytes, more than the limit of {max} bytes", RequestName(*.code))]
    TooLong {
        /// Whom.
        addr: String,
        /// Request code.
        code: i32,
        /// Bytes of the frame.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// An answer with another code than SUCCESS.
    #[error("{addr} refused {}: {response} {}: {remark}", RequestName(*.code), response_name(*.response).unwrap_or("(unknown code)"))]
    Refused {
        /// Whom.
        addr: String,
        /// Request code.
        code: i32,
        /// Response code.
        response: i32,
        /// Its text.
        remark: String,
    },
    /// An answer that cannot be read.
    #[error("the answer of {addr} to {} cannot be read: {found}", RequestName(*.code))]
    Malformed {
        /// Whom.
        addr: String,
        /// Request code.
        code: i32,
        /// What was found.
        found: String,
    },
}

impl ClientError {
    /// The response code of a refusal.
    pub fn response(&self) -> Option<i32> {
        match self {
            ClientError::Refused { response, .. } => Some(*response),
            _ => None,
        }
    }
}

/// An answer, whatever its code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Response code; 0 is success.
    pub code: i32,
    /// MQVersion ordinal of the answering side.
    pub version: i32,
    /// Error text.
    pub remark: Option<String>,
    /// Header fields in the order in which they came.
    pub ext: Vec<(String, String)>,
    /// Body, empty if there is none.
    pub body: Bytes,
}

impl Response {
    /// A header field; the last of equal names.
    pub fn get(&self, name: &str) -> Option<&str> {
        link::last(&self.ext, name)
    }

    /// An integer header field; absent and unparsable are the same.
    pub fn i64(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok()
    }
}

/// The client; clones share their connections. Its calls need a tokio runtime around them.
#[derive(Clone, Debug, Default)]
pub struct Client {
    shared: Arc<Shared>,
    /// In whose name it speaks: by default Java's.
    language: u8,
}

/// The connection of one address: locked while it is made, so that callers make it once.
type LinkSlot = Arc<AsyncMutex<Option<Arc<Link>>>>;

#[derive(Debug, Default)]
struct Shared {
    opaque: AtomicI32,
    listens: Option<mpsc::Sender<Asked>>,
    links: Mutex<HashMap<String, LinkSlot>>,
}

impl Client {
    /// A client without connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same client, speaking in the name of a language.
    pub fn speaking(&self, language: u8) -> Client {
        Client { shared: self.shared.clone(), language }
    }

    /// A client without connections, and what servers ask of it.
    pub fn listening() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, asked) = mpsc::channel(ASKED_MAX);
        let shared = Arc::new(Shared { listens: Some(sender), ..Shared::default() });
        (Client { shared, ..Client::default() }, asked)
    }

    /// Sends a request to `addr` (`host:port`) and waits for its answer, connecting first if need be. `timeout` covers it
    /// all. Any response code is an `Ok` here; the typed calls look at it.
    pub async fn request(
        &self,
        addr: &str,
        code: i32,
        ext: &[(&str, Value<'_>)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<Response, ClientError> {
        let until = Instant::now() + timeout;
        let late = || ClientError::Timeout { addr: addr.into(), code, timeout_ms: timeout.as_millis() as u64 };
        let link = timeout_at(until, self.link(addr, code)).await.map_err(|_| late())??;
        let opaque = self.shared.opaque.fetch_add(1, Relaxed);
        let frame = self.frame(addr, code, opaque, 0, ext, body)?;
        match timeout_at(until, link.request(opaque, frame)).await {
            Ok(answer) => answer.map_err(|found| ClientError::Lost { addr: addr.into(), code, found }),
            Err(_) => {
                link.unanswered(Instant::now());
                Err(late())
            }
        }
    }

    /// As `request`, but any answer other than SUCCESS is an error that carries code and remark.
    pub async fn call(
        &self,
        addr: &str,
        code: i32,
        ext: &[(&str, Value<'_>)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<Response, ClientError> {
        let answer = self.request(addr, code, ext, body, timeout).await?;
        if answer.code == response::SUCCESS {
            return Ok(answer);
        }
        let remark = answer.remark.unwrap_or_default();
        Err(ClientError::Refused { addr: addr.into(), code, response: answer.code, remark })
    }

    /// Sends a request that nobody answers; `Ok` says only that it was handed to the connection.
    pub async fn oneway(
        &self,
        addr: &str,
        code: i32,
        ext: &[(&str, Value<'_>)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let opaque = self.shared.opaque.fetch_add(1, Relaxed);
        let frame = self.frame(addr, code, opaque, FLAG_ONEWAY, ext, body)?;
        let send = async {
            let link = self.link(addr, code).await?;
            link.send(frame).await.map_err(|found| ClientError::Lost { addr: addr.into(), code, found })
        };
        let late = |_| ClientError::Timeout { addr: addr.into(), code, timeout_ms: timeout.as_millis() as u64 };
        tokio::time::timeout(timeout, send).await.map_err(late)?
    }

    /// Closes every connection; later calls connect again.
    pub fn close(&self) {
        self.shared.links.lock().clear();
    }

    fn frame(
        &self,
        addr: &str,
        code: i32,
        opaque: i32,
        flag: i32,
        ext: &[(&str, Value<'_>)],
        body: &[u8],
    ) -> Result<BytesMut, ClientError> {
        let mut out = BytesMut::with_capacity(512 + body.len());
        write_request_as(&mut out, self.language, Serialization::Json, code, opaque, flag, ext, body);
        if out.len() > FRAME_LEN_MAX {
            return Err(ClientError::TooLong { addr: addr.into(), code, len: out.len(), max: FRAME_LEN_MAX });
        }
        Ok(out)
    }

    async fn link(&self, addr: &str, code: i32) -> Result<Arc<Link>, ClientError> {
        let place = {
            let mut links = self.shared.links.lock();
            if links.len() >= ADDRESSES_MAX && !links.contains_key(addr) {
                links.retain(|_, place| {
                    place.try_lock().map_or(true, |link| link.as_ref().is_some_and(|link| link.is_open()))
                });
            }
            links.entry(addr.to_owned()).or_default().clone()
        };
        // One connects, the others wait for it.
        let mut place = place.lock().await;
        if let Some(link) = place.as_ref().filter(|link| link.is_open()) {
            return Ok(link.clone());
        }
        let fail = |error: std::io::Error| ClientError::Connect { addr: addr.into(), code, found: error.to_string() };
        let link = Arc::new(Link::connect(addr, self.shared.listens.clone()).await.map_err(fail)?);
        *place = Some(link.clone());
        Ok(link)
    }
}

#[cfg(test)]
mod tests;
