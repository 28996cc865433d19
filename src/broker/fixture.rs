//! A broker without loops for unit tests: a real store and real state files in a scratch folder, and a recorder in
//! place of the connections.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;

use crate::base::clock::Clock;
use crate::base::disk::RealDisk;
use crate::base::position::QueueId;
use crate::net::service::{Conn, ConnId, Outcome, RequestCx};
use crate::store::{self, Batch, Store};
use crate::wire::command::{self, Command, Value};
use crate::wire::frame::{self, FRAME_LEN_MAX, Serialization};
use crate::wire::message::{NewRecord, properties};

use super::admin;
use super::config::Config;
use super::handles::Handles;
use super::state_file::scratch::{self, Scratch};
use crate::net::request::OwnedRequest;

/// When fixtures begin.
pub(crate) const START: u64 = 1_700_000_000_000;

/// A response on its own.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub code: i32,
    pub remark: String,
    pub ext: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Got {
    pub fn get(&self, name: &str) -> &str {
        self.ext.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) struct Broker {
    pub handles: Arc<Handles>,
    posted: Arc<Mutex<Vec<(ConnId, BytesMut)>>>,
    runtime: tokio::runtime::Runtime,
    /// Last, so that it outlives what writes into it.
    pub dir: Scratch,
}

impl Broker {
    /// An empty broker.
    pub fn new(name: &str) -> Broker {
        Broker::open(scratch::dir(name), |_| {})
    }

    /// A broker over what is in `dir`.
    pub fn open(dir: Scratch, configure: impl FnOnce(&mut Config)) -> Broker {
        let mut config = Config { store_path_root_dir: dir.to_path_buf(), ..Config::default() };
        configure(&mut config);
        let clock = Clock::manual(START);
        let mut store_config = store::Config::new(&*dir);
        store_config.log_file_size = 1 << 20;
        let (store, _) = Store::open(store_config, Arc::new(RealDisk), clock.clone()).unwrap();
        let posted: Arc<Mutex<Vec<(ConnId, BytesMut)>>> = Arc::default();
        let recorder = posted.clone();
        let post = Arc::new(move |conn, frame| recorder.lock().push((conn, frame)));
        let handles = Handles::open(Arc::new(config), Arc::new(RealDisk), clock, store, post, |_, _| {}).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Broker { handles: Arc::new(handles), dir, posted, runtime }
    }

    /// A connection by number.
    pub fn conn(slot: u32) -> Conn {
        Conn {
            id: ConnId { loop_index: 0, slot, generation: 0 },
            peer: SocketAddr::from(([127, 0, 0, 1], 40_000 + slot as u16)),
            local: SocketAddr::from(([127, 0, 0, 1], 10_911)),
        }
    }

    /// What was posted to connections since the last call: slot, request code.
    pub fn posted(&self) -> Vec<(u32, i32)> {
        let frames = std::mem::take(&mut *self.posted.lock());
        frames.iter().map(|(conn, bytes)| (conn.slot, parse(bytes, |command| command.code))).collect()
    }

    /// Frames that were posted, whole.
    pub fn posted_frames(&self) -> Vec<(u32, BytesMut)> {
        std::mem::take(&mut *self.posted.lock()).into_iter().map(|(conn, bytes)| (conn.slot, bytes)).collect()
    }

    /// One request from connection `slot`, served wherever the table says.
    pub fn call(&self, slot: u32, code: i32, ext: &[(&str, &str)], body: &[u8]) -> Got {
        self.call_as(0, slot, code, ext, body)
    }

    /// As `call`, in the name of a language.
    pub fn call_as(&self, language: u8, slot: u32, code: i32, ext: &[(&str, &str)], body: &[u8]) -> Got {
        let frame = request(code, ext, body);
        let mut out = BytesMut::new();
        let mut cx = RequestCx { conn: Broker::conn(slot), out: &mut out, now: self.handles.clock.now() };
        let slow = crate::wire::codes::request(code)
            .is_some_and(|row| row.status == crate::wire::codes::Status::Served(crate::wire::codes::Speed::Slow));
        let outcome = parse(&frame, |command| {
            let command = &Command { language, ..command.clone() };
            if slow {
                let owned = OwnedRequest::new(&cx, command);
                Outcome::Slow(Box::pin(admin::answer_later(self.handles.clone(), owned)))
            } else {
                admin::answer_now(&self.handles, &mut cx, command)
            }
        });
        if let Outcome::Slow(future) = outcome {
            out = self.runtime.block_on(future);
        }
        parse(&out, |command| Got {
            code: command.code,
            remark: command.remark.as_deref().unwrap_or_default().to_owned(),
            ext: command.ext.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: command.body.to_vec(),
        })
    }

    /// Stores one message at the clock's time; returns its position in the log.
    pub fn put(&self, topic: &str, queue: u32, body: &str, properties: &[(&str, &str)]) -> u64 {
        let mut text = Vec::new();
        for (name, value) in properties {
            properties::append(&mut text, name, value);
        }
        let tags = properties::get(&text, "TAGS").map_or(0, properties::tags_code);
        let record = NewRecord {
            topic,
            queue_id: queue as i32,
            flag: 0,
            sys_flag: 0,
            born_timestamp: self.handles.clock.now() as i64,
            born_host: Broker::conn(9).peer,
            store_host: Broker::conn(9).local,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties: &text,
        };

        let store = &self.handles.store;
        let mut batch = Batch::new(store);
        let index = batch.stage(&store.queue(topic, QueueId(queue)), &record, tags).unwrap();
        store.append(&mut batch).unwrap();
        batch.assigned(index).phy_offset.0
    }
}

/// A request frame in Java's JSON form.
pub(crate) fn request(code: i32, ext: &[(&str, &str)], body: &[u8]) -> BytesMut {
    let ext: Vec<_> = ext.iter().map(|(name, value)| (*name, Value::Str(value))).collect();
    let mut frame = BytesMut::new();
    command::write_request(&mut frame, Serialization::Json, code, 1, 0, &ext, body);
    frame
}

/// Reads one frame.
pub(crate) fn parse<T>(bytes: &[u8], read: impl FnOnce(&Command<'_>) -> T) -> T {
    let (frame, len) = frame::parse(bytes, FRAME_LEN_MAX).unwrap().expect("a whole frame");
    assert_eq!(len, bytes.len(), "one frame");
    read(&Command::parse(&frame).unwrap())
}
