//! Requests of ours to clients, on behalf of somebody who waits: the answer is matched by connection and number, and
//! passed on as it came (INTEROP 06 §12). Never reads what a client says.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::net::service::ConnId;
use crate::wire::command::{self, Command, Value};
use crate::wire::frame::Serialization;

use super::clients::Clients;

/// Requests that may wait for clients at once.
pub const PENDING_MAX: usize = 1024;

/// What a client answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAnswer {
    /// Its response code.
    pub code: i32,
    /// Its remark.
    pub remark: Option<String>,
    /// Its header fields.
    pub ext: Vec<(String, String)>,
    /// Its body, whatever it is.
    pub body: Bytes,
}

/// Why a client did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The time is over.
    #[error("it did not answer in time")]
    Timeout,
    /// The connection ended.
    #[error("its connection ended")]
    Closed,
    /// Too many wait already.
    #[error("{PENDING_MAX} requests to clients wait for their answer already")]
    Busy,
}

/// Who waits for which answer.
#[derive(Debug, Default)]
pub struct Relays {
    pending: Mutex<HashMap<(ConnId, i32), oneshot::Sender<ClientAnswer>>>,
}

impl Relays {
    /// Sends a request to a client and waits for its answer.
    pub async fn call(
        &self,
        clients: &Clients,
        conn: ConnId,
        code: i32,
        ext: &[(&str, Value<'_>)],
        body: &[u8],
        wait: Duration,
    ) -> Result<ClientAnswer, RelayError> {
        let opaque = clients.next_opaque();
        let (sender, answer) = oneshot::channel();
        {
            let mut pending = self.pending.lock();
            if pending.len() >= PENDING_MAX {
                return Err(RelayError::Busy);
            }
            pending.insert((conn, opaque), sender);
        }
        // Whatever ends the wait (also a caller that goes away), the place is given back.
        let _place = Place { relays: self, key: (conn, opaque) };
        let mut frame = BytesMut::new();
        command::write_request(&mut frame, Serialization::Json, code, opaque, 0, ext, body);
        clients.post(conn, frame);
        match timeout(wait, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_closed)) => Err(RelayError::Closed),
            Err(_elapsed) => Err(RelayError::Timeout),
        }
    }

    /// Requests that wait for a client, of `PENDING_MAX`.
    pub fn pending(&self) -> usize {
        self.pending.lock().len()
    }

    /// A client answered; one that nobody waits for any more is dropped.
    pub fn answered(&self, conn: ConnId, response: &Command<'_>) {
        let Some(sender) = self.pending.lock().remove(&(conn, response.opaque)) else { return };
        let answer = ClientAnswer {
            code: response.code,
            remark: response.remark.as_deref().map(str::to_owned),
            ext: response.ext.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: Bytes::copy_from_slice(response.body),
        };
        // The only failure is that the caller has just given up.
        drop(sender.send(answer));
    }

    /// A connection ended: whoever waits for it is told.
    pub fn closed(&self, conn: ConnId) {
        let mut pending = self.pending.lock();
        if !pending.is_empty() {
            pending.retain(|(waiting, _), _| *waiting != conn);
        }
    }
}

struct Place<'a> {
    relays: &'a Relays,
    key: (ConnId, i32),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.relays.pending.lock().remove(&self.key);
    }
}
