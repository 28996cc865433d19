//! What the path of a message costs, counted: allocations per message through one loop's service, and writes to the
//! log per message over sockets. Counts, not times: they are the same on every machine.

#![expect(unsafe_code, reason = "a global allocator that counts; nothing else here")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;

use rocketmq::base::clock::Clock;
use rocketmq::base::disk::{DirEntry, Disk, DiskFile, DiskLock, DiskSpace, LockError, Open, RealDisk};
use rocketmq::broker::Config;
use rocketmq::broker::cold_read::ColdReader;
use rocketmq::broker::handles::Handles;
use rocketmq::broker::server::Bound;
use rocketmq::broker::service::BrokerService;
use rocketmq::net::control::ControlRuntime;
use rocketmq::net::limits::Limits;
use rocketmq::net::mailbox::Mailboxes;
use rocketmq::net::server::LoopContext;
use rocketmq::net::service::{Conn, ConnId, Outbox, Outcome, RequestCx, Service};
use rocketmq::store::{self, Store};
use rocketmq::wire::codes::request;
use rocketmq::wire::command::{self, Command, Value};
use rocketmq::wire::frame::{self, FRAME_LEN_MAX, Serialization};

use watched::{Step, WatchedDisk};

#[path = "../../src/base/disk/watched.rs"]
mod watched;

struct Counting;

thread_local! {
    /// Allocations of this thread: flusher and deriver allocate at their own pace.
    static ALLOCATIONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    /// Bytes that this thread holds, more or less: what it frees for others counts too.
    static BYTES: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let _counted = BYTES.try_with(|bytes| bytes.set(bytes.get() - layout.size() as i64));
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - layout.size() as i64);
        unsafe { System.realloc(block, layout, new_size) }
    }
}

fn count(grown: i64) {
    // A thread that ends has no counter any more, and nobody asks for it.
    let _counted = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    let _counted = BYTES.try_with(|bytes| bytes.set(bytes.get() + grown));
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("rocketmq-hot-path-{}-{name}", std::process::id()));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).expect("the scratch folder of an earlier run can be removed");
    }
    std::fs::create_dir_all(&dir).expect("a scratch folder");
    dir
}

fn store_config(dir: &Path) -> store::Config {
    let mut config = store::Config::new(dir);
    config.log_file_size = 64 << 20;
    config.queue_file_size = 2_000_000;
    config.index_slots = 1000;
    config.index_entries = 4000;
    config
}

fn send_frame(serialization: Serialization, opaque: i32, queue: i64) -> BytesMut {
    let fields = [
        ("a", Value::Str("please_rename_unique_group_name")),
        ("b", Value::Str("TopicTest")),
        ("c", Value::Str("TBW102")),
        ("d", Value::I64(4)),
        ("e", Value::I64(queue)),
        ("f", Value::I64(0)),
        ("g", Value::I64(1_700_000_000_000)),
        ("h", Value::I64(0)),
        (
            "i",
            Value::Str(
                "KEYS\u{1}key\u{2}UNIQ_KEY\u{1}7F00000100002A9F0000000000000000\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}",
            ),
        ),
        ("j", Value::I64(0)),
        ("k", Value::Bool(false)),
        ("m", Value::Bool(false)),
    ];
    let mut frame = BytesMut::new();
    command::write_request(&mut frame, serialization, request::SEND_MESSAGE_V2, opaque, 0, &fields, &[7; 1024]);
    frame
}

/// A pull of everything from `offset` on; with `tag`, of that tag alone and willing to wait.
fn pull_frame(serialization: Serialization, offset: i64, tag: Option<&str>) -> BytesMut {
    let fields = [
        ("consumerGroup", Value::Str("please_rename_unique_group_name")),
        ("topic", Value::Str("TopicTest")),
        ("queueId", Value::I64(0)),
        ("queueOffset", Value::I64(offset)),
        ("maxMsgNums", Value::I64(32)),
        ("sysFlag", Value::I64(if tag.is_some() { 6 } else { 4 })),
        ("commitOffset", Value::I64(0)),
        ("suspendTimeoutMillis", Value::I64(15_000)),
        ("subscription", Value::Str(tag.unwrap_or("*"))),
        ("subVersion", Value::I64(0)),
    ];
    let mut frame = BytesMut::new();
    command::write_request(&mut frame, serialization, request::PULL_MESSAGE, 1, 0, &fields, &[]);
    frame
}

const CONN: ConnId = ConnId { loop_index: 0, slot: 0, generation: 0 };

struct OneBuffer(BytesMut);

impl Outbox for OneBuffer {
    fn buffer(&mut self, _: ConnId) -> Option<&mut BytesMut> {
        Some(&mut self.0)
    }

    fn close(&mut self, _: ConnId) {}

    fn commit_soon(&mut self) {}
}

struct OneLoop {
    service: BrokerService,
    out: OneBuffer,
    _control: ControlRuntime,
}

impl OneLoop {
    fn new(name: &str) -> OneLoop {
        let dir = scratch(name);
        let config = Config { store_path_root_dir: dir.clone(), ..Config::default() };
        let (disk, clock) = (Arc::new(RealDisk), Clock::System);
        let (store, _) = Store::open(store_config(&dir), disk.clone(), clock.clone()).expect("a fresh store opens");
        let post = Arc::new(|_: ConnId, _: BytesMut| {});
        let handles =
            Handles::open(Arc::new(config), disk, clock, store, post.clone(), |_, _| {}).expect("fresh state opens");
        handles.topics.create_in_send("TopicTest", "TBW102", 4, false).expect("the topic can be made");
        let control = ControlRuntime::start().expect("a control runtime");
        let (cold_reader, _) = ColdReader::start(
            handles.store.clone(),
            handles.figures.clone(),
            handles.stats.clone(),
            handles.clock.clone(),
            post,
        )
        .expect("reader threads");
        let context = LoopContext { loop_index: 0, mailboxes: Mailboxes::new(1), control: control.control() };
        let service = BrokerService::new(Arc::new(handles), context, cold_reader);
        OneLoop { service, out: OneBuffer(BytesMut::new()), _control: control }
    }

    fn request(&mut self, bytes: &[u8]) -> Outcome {
        let (frame, _) = frame::parse(bytes, FRAME_LEN_MAX).expect("our own frame").expect("a whole frame");
        let command = Command::parse(&frame).expect("our own header");
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let conn = Conn { id: CONN, peer: addr, local: addr };
        let mut cx = RequestCx { conn, out: &mut self.out.0, now: 1_700_000_000_000 };
        self.service.request(&mut cx, &command)
    }

    /// One tick: all frames, one commit, the answers thrown away.
    fn tick(&mut self, frames: &[BytesMut]) {
        for frame in frames {
            assert!(matches!(self.request(frame), Outcome::Staged));
        }
        self.service.commit(&mut self.out);
        assert!(self.out.0.len() > 100 * frames.len(), "every send is answered");
        self.out.0.clear();
    }
}

#[test]
fn a_send_allocates_nothing_of_its_own() {
    // A JSON header's properties text is unescaped into a string of its own; nothing else is allowed.
    for (serialization, per_message) in [(Serialization::Binary, 0), (Serialization::Json, 1)] {
        let mut one = OneLoop::new(&format!("send-{serialization:?}"));
        let frames: Vec<_> = (0..64).map(|index| send_frame(serialization, index, i64::from(index) % 4)).collect();
        for _ in 0..20 {
            one.tick(&frames);
        }
        let ticks = 50;
        let counted = allocations(|| (0..ticks).for_each(|_| one.tick(&frames)));
        let messages = ticks * frames.len() as u64;
        println!("{serialization:?}: {counted} allocations for {messages} sends in {ticks} ticks");
        // Queue tails grow by doubling, and each tick may cost a few.
        let allowed = messages * per_message + ticks * 4;
        assert!(counted <= allowed, "{counted} allocations for {messages} sends, {allowed} are allowed");
    }
}

#[test]
fn a_pull_of_many_messages_allocates_a_bounded_number_of_times() {
    let mut one = OneLoop::new("pull");
    let frames: Vec<_> = (0..64).map(|index| send_frame(Serialization::Binary, index, 0)).collect();
    (0..10).for_each(|_| one.tick(&frames));
    let frame = pull_frame(Serialization::Binary, 0, None);
    let pull = |one: &mut OneLoop| {
        assert!(matches!(one.request(&frame), Outcome::Done));
        assert!(one.out.0.len() > 32 * 1024, "a whole batch: {}", one.out.0.len());
        one.out.0.clear();
    };
    (0..10).for_each(|_| pull(&mut one));
    let pulls = 100;
    let counted = allocations(|| (0..pulls).for_each(|_| pull(&mut one)));
    println!("{counted} allocations for {pulls} pulls of 32 messages");
    assert!(counted <= pulls * 8, "{counted} allocations for {pulls} pulls");
}

#[test]
fn thirty_thousand_held_pulls_cost_little_and_a_message_wakes_only_those_that_want_it() {
    const PULLS: i64 = 30_000;
    let mut one = OneLoop::new("held");
    let frames: Vec<_> = (0..64).map(|index| send_frame(Serialization::Binary, index, 0)).collect();
    one.tick(&frames);
    let before = BYTES.get();
    for index in 0..PULLS {
        // Every hundredth wants what is sent below.
        let tag = if index % 100 == 0 { "TagA".to_owned() } else { format!("Tag{index}") };
        let frame = pull_frame(Serialization::Binary, 64, Some(&tag));
        assert!(matches!(one.request(&frame), Outcome::Held));
    }
    let each = (BYTES.get() - before) / PULLS;
    println!("{each} bytes per held pull");
    assert!(each <= 1024, "{each} bytes per held pull");
    assert!(matches!(one.request(&frames[0]), Outcome::Staged));
    one.service.commit(&mut one.out);
    let mut answers = 0;
    let mut rest = &one.out.0[..];
    while let Some((_, len)) = frame::parse(rest, FRAME_LEN_MAX).expect("sound frames") {
        (answers, rest) = (answers + 1, &rest[len..]);
    }
    assert_eq!(answers, 1 + PULLS / 100, "the send's answer, and those who wanted it");
}

/// The real disk; writes to log files are counted.
fn counting_disk(log_writes: Arc<AtomicU64>) -> WatchedDisk {
    WatchedDisk::new(move |step, path| {
        if step == Step::Write && path.parent().is_some_and(|dir| dir.ends_with("commitlog")) {
            log_writes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

#[test]
fn sixteen_connections_with_sixteen_sends_each_cost_at_most_an_eighth_of_a_log_write_per_message() {
    const CONNECTIONS: usize = 16;
    const DEPTH: usize = 16;
    const ROUNDS: usize = 100;
    for loops in [1, 4] {
        let dir = scratch(&format!("writes-{loops}"));
        let log_writes = Arc::new(AtomicU64::new(0));
        let config = Config {
            store_path_root_dir: dir.clone(),
            bind_ip: "127.0.0.1".parse().expect("an address"),
            listen_port: 0,
            loops,
            ..Config::default()
        };
        let control = ControlRuntime::start().expect("a control runtime");
        let disk = Arc::new(counting_disk(log_writes.clone()));
        let broker = Bound::bind(config, Limits::default())
            .and_then(|bound| bound.open(store_config(&dir), disk, Clock::System))
            .and_then(|opened| opened.start(control.control()))
            .expect("a broker starts");
        let topics = &broker.handles().topics;
        topics.create_in_send("TopicTest", "TBW102", 4, false).expect("the topic can be made");
        let addr = broker.addrs()[0];
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|index| {
                std::thread::Builder::new()
                    .name(format!("client-{index}"))
                    .spawn(move || {
                        let mut stream = TcpStream::connect(addr).expect("the broker listens");
                        stream.set_nodelay(true).expect("no delay");
                        let mut burst = BytesMut::new();
                        for opaque in 0..DEPTH {
                            burst.extend_from_slice(&send_frame(Serialization::Json, opaque as i32, opaque as i64 % 4));
                        }
                        for _ in 0..ROUNDS {
                            stream.write_all(&burst).expect("the broker reads");
                            read_answers(&mut stream, DEPTH);
                        }
                    })
                    .expect("a thread")
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("a client finishes"));
        let (messages, writes) = ((CONNECTIONS * DEPTH * ROUNDS) as u64, log_writes.load(Ordering::Relaxed));
        println!(
            "{loops} loops: {writes} log writes for {messages} messages, one per {:.1}",
            messages as f64 / writes as f64
        );
        assert!(writes * 8 <= messages, "{writes} log writes for {messages} messages with {loops} loops");
        broker.stop().expect("a clean stop");
        control.shutdown(Duration::from_secs(5));
    }
}

fn read_answers(stream: &mut TcpStream, count: usize) {
    let mut received = Vec::new();
    let (mut answers, mut at) = (0, 0);
    let mut buf = [0; 16384];
    while answers < count {
        let len = stream.read(&mut buf).expect("answers come");
        assert!(len > 0, "the broker closed the connection");
        received.extend_from_slice(&buf[..len]);
        while let Some((frame, len)) = frame::parse(&received[at..], FRAME_LEN_MAX).expect("a frame") {
            assert_eq!(Command::parse(&frame).expect("a header").code, 0);
            at += len;
            answers += 1;
        }
    }
}
