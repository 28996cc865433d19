//! The server driven by plain blocking sockets, with one and with four loops.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use super::control::ControlRuntime;
use super::limits::Limits;
use super::mailbox::Mailboxes;
use super::server::{LoopContext, Running, Server};
use super::service::{Conn, ConnId, Outbox, Outcome, RequestCx, Service};
use crate::base::clock::{Clock, Millis};
use crate::wire::command::{Command, FLAG_ONEWAY, ReplyTo, write_request, write_response};
use crate::wire::frame::{self, Serialization};

const NOW: i32 = 1;
const STAGED: i32 = 2;
const SLOW: i32 = 3;
const BY_MAIL: i32 = 4;
const HANG_UP: i32 = 5;
const HELD: i32 = 6;
const SLOW_PANIC: i32 = 7;
const MANY: i32 = 8;

enum Mail {
    Answer(ConnId, ReplyTo, Vec<u8>),
}

struct Echo {
    index: usize,
    mailboxes: Mailboxes<Mail>,
    staged: Vec<(ConnId, ReplyTo, Vec<u8>)>,
    held: Vec<(ConnId, ReplyTo, Millis)>,
    open: usize,
}

impl Echo {
    fn new(cx: LoopContext<Mail>) -> Self {
        Echo { index: cx.loop_index, mailboxes: cx.mailboxes, staged: Vec::new(), held: Vec::new(), open: 0 }
    }
}

fn answer(outbox: &mut dyn Outbox, conn: ConnId, to: ReplyTo, body: &[u8]) {
    if let Some(out) = outbox.buffer(conn) {
        write_response(out, to, 0, None, &[], body);
    }
}

impl Service for Echo {
    type Mail = Mail;

    fn request(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        let (id, to, body) = (cx.conn.id, request.reply_to(), request.body.to_vec());
        match request.code {
            NOW => {
                write_response(cx.out, to, 0, None, &[], &body);
                Outcome::Done
            }
            STAGED => {
                self.staged.push((id, to, body));
                Outcome::Staged
            }
            SLOW => Outcome::Slow(Box::pin(async move {
                let mut out = BytesMut::new();
                write_response(&mut out, to, 0, None, &[], &body);
                out
            })),
            SLOW_PANIC => Outcome::Slow(Box::pin(async { panic!("a slow request fails on purpose") })),
            BY_MAIL => {
                self.mailboxes.post(self.index, Mail::Answer(id, to, body));
                Outcome::Held
            }
            HELD => {
                self.held.push((id, to, cx.now + 50));
                Outcome::Held
            }
            MANY => {
                write_response(cx.out, to, 0, None, &[], &vec![7; 256 * 1024]);
                Outcome::Done
            }
            HANG_UP => Outcome::Close("it asked for it".into()),
            other => Outcome::Close(format!("code {other}")),
        }
    }

    fn commit(&mut self, outbox: &mut dyn Outbox) {
        for (conn, to, body) in self.staged.drain(..) {
            answer(outbox, conn, to, &body);
        }
    }

    fn mail(&mut self, mail: Mail, outbox: &mut dyn Outbox) {
        match mail {
            Mail::Answer(conn, to, body) => answer(outbox, conn, to, &body),
        }
    }

    fn opened(&mut self, conn: Conn) {
        assert_eq!(usize::from(conn.id.loop_index), self.index);
        self.open += 1;
    }

    fn closed(&mut self, conn: Conn) {
        self.open -= 1;
        self.held.retain(|(id, ..)| *id != conn.id);
    }

    fn owed(&self) -> usize {
        self.held.len()
    }

    fn timer(&mut self, now: Millis, outbox: &mut dyn Outbox) {
        self.held.retain(|(conn, to, due)| {
            if *due <= now {
                answer(outbox, *conn, *to, b"held");
            }
            *due > now
        });
    }
}

struct Started {
    running: Running<Mail>,
    control: ControlRuntime,
}

impl Started {
    fn addr(&self) -> SocketAddr {
        self.running.addrs()[0]
    }

    fn stop(self) {
        self.running.shutdown(Duration::from_secs(5));
        self.control.shutdown(Duration::from_secs(1));
    }
}

fn start(loops: usize, limits: Limits) -> Started {
    start_with(loops, limits, Clock::System)
}

fn start_with(loops: usize, limits: Limits, clock: Clock) -> Started {
    let control = ControlRuntime::start().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(&[any, any], limits).unwrap();
    let running = server.run(loops, clock, control.control(), Echo::new).unwrap();
    Started { running, control }
}

struct Peer {
    stream: TcpStream,
    received: BytesMut,
}

impl Peer {
    fn connect(addr: SocketAddr) -> Peer {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Peer { stream, received: BytesMut::new() }
    }

    fn send(&mut self, code: i32, opaque: i32, flag: i32, body: &[u8]) {
        let mut out = BytesMut::new();
        write_request(&mut out, Serialization::Json, code, opaque, flag, &[], body);
        self.stream.write_all(&out).unwrap();
    }

    /// Code, opaque and body of the next frame; `None` at the end of the stream.
    fn receive(&mut self) -> Option<(i32, i32, Vec<u8>)> {
        loop {
            let found = frame::parse(&self.received, usize::MAX).unwrap().map(|(frame, len)| {
                let command = Command::parse(&frame).unwrap();
                (len, (command.code, command.opaque, command.body.to_vec()))
            });
            if let Some((len, found)) = found {
                self.received.advance(len);
                return Some(found);
            }
            let mut bytes = [0; 65536];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(len) => self.received.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Waits until `what` holds; the condition itself is the event that is waited for.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn everything_is_answered(loops: usize) {
    let started = start(loops, Limits::default());
    let threads: Vec<_> = (0..16)
        .map(|thread| {
            let addr = started.running.addrs()[thread % 2];
            std::thread::spawn(move || {
                let mut peer = Peer::connect(addr);
                let codes = [NOW, STAGED, SLOW, BY_MAIL, HELD];
                for round in 0..20 {
                    for depth in 0..10 {
                        let code = codes[(depth + round + thread) % codes.len()];
                        let body = vec![depth as u8; (depth * depth * 500) + 1];
                        peer.send(code, (round * 10 + depth) as i32, 0, &body);
                    }
                    let mut answered: Vec<_> = (0..10).map(|_| peer.receive().unwrap()).collect();
                    answered.sort();
                    for (depth, (code, opaque, body)) in answered.into_iter().enumerate() {
                        assert_eq!((code, opaque), (0, (round * 10 + depth) as i32));
                        assert!(body == b"held" || body == vec![depth as u8; (depth * depth * 500) + 1]);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    until("the connections are forgotten", || started.running.counts().connections == 0);
    let counts = started.running.counts();
    assert_eq!((counts.frames, counts.unsent, counts.receive_memory), (16 * 200, 0, 0));
    started.stop();
}

#[test]
fn one_loop_answers_every_kind_of_request() {
    everything_is_answered(1);
}

#[test]
fn four_loops_answer_every_kind_of_request() {
    everything_is_answered(4);
}

#[test]
fn connections_are_dealt_out_to_the_least_loaded_loop() {
    let started = start(4, Limits::default());
    let mut peers: Vec<_> = (0..8).map(|_| Peer::connect(started.addr())).collect();
    for peer in &mut peers {
        peer.send(NOW, 1, 0, b"");
        assert!(peer.receive().is_some());
    }
    until("eight are open", || started.running.counts().connections == 8);
    started.stop();
    for peer in &mut peers {
        assert!(peer.receive().is_none());
    }
}

#[test]
fn what_arrived_together_is_committed_together() {
    let started = start(1, Limits::default());
    let mut peers: Vec<_> = (0..16).map(|_| Peer::connect(started.addr())).collect();
    for round in 0..50 {
        for peer in &mut peers {
            let mut out = BytesMut::new();
            for depth in 0..16 {
                write_request(&mut out, Serialization::Json, STAGED, round * 16 + depth, 0, &[], &[1; 1024]);
            }
            peer.stream.write_all(&out).unwrap();
        }
        for peer in &mut peers {
            for depth in 0..16 {
                assert_eq!(peer.receive().unwrap().1, round * 16 + depth);
            }
        }
    }
    // A tick counts what it did after it has written the answers.
    until("all frames are counted", || started.running.counts().frames == 50 * 256);
    let counts = started.running.counts();
    assert!(counts.commits * 8 <= counts.frames, "{counts:?}");
    assert!(counts.writes * 8 <= counts.frames, "{counts:?}");
    started.stop();
}

#[test]
fn a_oneway_request_gets_no_answer_and_order_is_kept() {
    let started = start(1, Limits::default());
    let mut peer = Peer::connect(started.addr());
    peer.send(NOW, 1, FLAG_ONEWAY, b"");
    peer.send(NOW, 2, 0, b"");
    assert_eq!(peer.receive().unwrap().1, 2);
    started.stop();
}

#[test]
fn frames_cut_anywhere_are_put_together() {
    let started = start(1, Limits::default());
    let mut peer = Peer::connect(started.addr());
    let mut out = BytesMut::new();
    for (opaque, len) in [0, 10, 20_000, 70_000, 1_000_000, 5].into_iter().enumerate() {
        write_request(&mut out, Serialization::Binary, NOW, opaque as i32, 0, &[], &vec![opaque as u8; len]);
    }
    let mut cut = 1;
    let mut stream = peer.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let mut rest = &out[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            stream.write_all(now).unwrap();
            rest = later;
            cut = cut * 3 / 2 + 1;
        }
    });
    for (opaque, len) in [0, 10, 20_000, 70_000, 1_000_000, 5].into_iter().enumerate() {
        let (code, found, body) = peer.receive().unwrap();
        assert_eq!((code, found, body.len()), (0, opaque as i32, len));
    }
    writer.join().unwrap();
    assert_eq!(started.running.counts().receive_memory, 0);
    started.stop();
}

#[test]
fn broken_framing_closes_the_connection_and_leaves_the_others_alone() {
    let started = start(1, Limits::default());
    let mut healthy = Peer::connect(started.addr());
    for bytes in [
        &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0][..],
        &[0, 0, 0, 8, 0, 0, 0, 200],
        &[0, 0, 0, 1, 0, 0, 0, 0],
        &[0, 0, 0, 6, 9, 0, 0, 2, b'{', b'}'],
        &[0, 0, 0, 6, 0, 0, 0, 2, b'[', b'['],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut peer = Peer::connect(started.addr());
        peer.stream.write_all(bytes).unwrap();
        assert!(peer.receive().is_none(), "{bytes:?}");
    }
    let mut asked = Peer::connect(started.addr());
    asked.send(HANG_UP, 1, 0, b"");
    assert!(asked.receive().is_none());
    healthy.send(NOW, 5, 0, b"");
    assert_eq!(healthy.receive().unwrap().1, 5);
    started.stop();
}

#[test]
fn announcing_a_large_frame_costs_only_the_bytes_that_came() {
    let started = start(1, Limits::default());
    let stalled: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(started.addr()).unwrap();
            stream.write_all(&[0, 0xff, 0xff, 0xf0, 0, 0, 0, 100]).unwrap();
            stream.write_all(&[b' '; 20_000]).unwrap();
            stream
        })
        .collect();
    let mut peer = Peer::connect(started.addr());
    until("all bytes are in", || started.running.counts().receive_memory >= 200 * 20_000);
    assert!(started.running.counts().receive_memory <= 200 * 128 * 1024);
    peer.send(STAGED, 1, 0, &[1; 100_000]);
    assert_eq!(peer.receive().unwrap().2.len(), 100_000);
    drop(stalled);
    until("the memory is free", || started.running.counts().receive_memory == 0);
    started.stop();
}

#[test]
fn used_up_receive_memory_ends_the_stalled_frames_and_not_the_others() {
    let limits = Limits { receive_memory_max: 1024 * 1024, stalled_frame_ms: 300, ..Limits::default() };
    let started = start(1, limits);
    let mut stalled: Vec<_> = (0..20)
        .map(|_| {
            let mut peer = Peer::connect(started.addr());
            peer.stream.write_all(&[0, 0xff, 0xff, 0xf0, 0, 0, 0, 100]).unwrap();
            peer.stream.write_all(&[b' '; 90_000]).unwrap();
            peer
        })
        .collect();
    let mut small = Peer::connect(started.addr());
    small.send(NOW, 1, 0, &[1; 1000]);
    assert_eq!(small.receive().unwrap().1, 1);
    let mut large = Peer::connect(started.addr());
    large.send(NOW, 2, 0, &vec![1; 500_000]);
    assert_eq!(large.receive().unwrap().2.len(), 500_000);
    assert!(stalled.iter_mut().any(|peer| peer.receive().is_none()));
    assert!(started.running.counts().closed_stalled > 0);
    started.stop();
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from_and_loses_nothing() {
    let limits = Limits { unsent_per_connection_max: 512 * 1024, ..Limits::default() };
    let started = start(1, limits);
    let mut peer = Peer::connect(started.addr());
    let mut out = BytesMut::new();
    for opaque in 0..100 {
        write_request(&mut out, Serialization::Json, MANY, opaque, 0, &[], b"");
    }
    peer.stream.write_all(&out).unwrap();
    until("it is blocked", || started.running.counts().unsent > 0);
    let mut other = Peer::connect(started.addr());
    other.send(NOW, 1, 0, b"");
    assert_eq!(other.receive().unwrap().1, 1);
    let counts = started.running.counts();
    assert!(counts.unsent < 1024 * 1024 && counts.frames < 90, "{counts:?}");
    for opaque in 0..100 {
        let (_, found, body) = peer.receive().unwrap();
        assert_eq!((found, body.len()), (opaque, 256 * 1024));
    }
    started.stop();
}

#[test]
fn a_slow_request_that_panics_is_answered_with_an_error() {
    let started = start(1, Limits::default());
    let mut peer = Peer::connect(started.addr());
    peer.send(SLOW_PANIC, 9, 0, b"");
    let (code, opaque, _) = peer.receive().unwrap();
    assert_eq!((code, opaque), (1, 9));
    started.stop();
}

#[test]
fn frames_posted_from_elsewhere_reach_their_connection_only() {
    let started = start(2, Limits::default());
    let mut peer = Peer::connect(started.addr());
    peer.send(NOW, 1, 0, b"");
    peer.receive().unwrap();
    let mut frame = BytesMut::new();
    write_request(&mut frame, Serialization::Json, 40, 77, FLAG_ONEWAY, &[], b"");
    let conn = |loop_index, generation| ConnId { loop_index, slot: 0, generation };
    started.running.mailboxes().post_frame(conn(0, 5), frame.clone());
    started.running.mailboxes().post_frame(conn(9, 0), frame.clone());
    started.running.mailboxes().post_frame(conn(0, 0), frame);
    assert_eq!(peer.receive().map(|(code, opaque, _)| (code, opaque)), Some((40, 77)));
    started.running.mailboxes().close(conn(0, 0));
    assert!(peer.receive().is_none());
    started.stop();
}

#[test]
fn idle_connections_are_closed_and_busy_ones_are_not() {
    let clock = Clock::manual(1_000_000);
    let started = start_with(1, Limits::default(), clock.clone());
    let mut idle = Peer::connect(started.addr());
    let mut busy = Peer::connect(started.addr());
    for peer in [&mut idle, &mut busy] {
        peer.send(NOW, 1, 0, b"");
        peer.receive().unwrap();
    }
    clock.advance(119_000);
    busy.send(NOW, 2, 0, b"");
    busy.receive().unwrap();
    clock.advance(2_000);
    assert!(idle.receive().is_none());
    assert_eq!(started.running.counts().closed(), [("idle", 1), ("unread", 0), ("stalled_frame", 0)]);
    busy.send(NOW, 3, 0, b"");
    assert_eq!(busy.receive().unwrap().1, 3);
    started.stop();
}

#[test]
fn one_connection_more_than_allowed_is_refused() {
    let started = start(1, Limits { connections_max: 2, ..Limits::default() });
    let mut peers: Vec<_> = (0..2).map(|_| Peer::connect(started.addr())).collect();
    for peer in &mut peers {
        peer.send(NOW, 1, 0, b"");
        peer.receive().unwrap();
    }
    assert!(Peer::connect(started.addr()).receive().is_none());
    peers.pop();
    until("there is room", || started.running.counts().connections == 1);
    let mut again = Peer::connect(started.addr());
    again.send(NOW, 1, 0, b"");
    assert!(again.receive().is_some());
    started.stop();
}

#[test]
fn a_shutdown_sends_what_is_owed() {
    let started = start(1, Limits::default());
    let mut peer = Peer::connect(started.addr());
    peer.send(HELD, 1, 0, b"");
    until("it is in", || started.running.counts().frames == 1);
    started.running.shutdown(Duration::from_secs(10));
    assert_eq!(peer.receive().unwrap(), (0, 1, b"held".to_vec()));
    assert!(peer.receive().is_none());
}

#[test]
fn a_taken_port_is_named_with_its_remedy() {
    let started = start(1, Limits::default());
    let error = Server::bind(&[started.addr()], Limits::default()).unwrap_err().to_string();
    assert!(error.contains(&started.addr().to_string()) && error.contains("choose another port"), "{error}");
    started.stop();
}
