//! The loads: send, pull, send to receive. Knows requests and answers of a broker; the engine moves the bytes.

use std::collections::BTreeMap;

use super::engine::{Load, Outputs};
use super::frames::{self, OPAQUE_BASE, Template};
use super::histogram::Histogram;
use crate::wire::codes::response;
use crate::wire::message::RecordView;

/// After the end, so long is waited for answers.
const DRAIN_NS: u64 = 3_000_000_000;

/// Requests in flight of an open loop; when a server falls behind further, requests wait (and their latency grows).
pub const IN_FLIGHT_MAX: u32 = 100_000;

/// In front of a body that carries its time.
const STAMP: &[u8; 8] = b"rmqbench";

/// Times of a run, nanoseconds since the engine's start.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Measuring begins.
    pub begin: u64,
    /// Measuring ends, and no request is made any more.
    pub end: u64,
}

/// What a load counted inside its window.
#[derive(Debug, Default)]
pub struct Counted {
    /// Messages acknowledged or received.
    pub messages: u64,
    /// Their bytes: bodies sent, records received.
    pub bytes: u64,
    /// Answers.
    pub answers: u64,
    /// Latency of requests; of an open loop from the time that was intended.
    pub latency: Histogram,
    /// Latency from the intended send to the receipt; of delayed messages from when they were due.
    pub end_to_end: Histogram,
    /// Delayed messages that came before they were due.
    pub early: u64,
    /// Response code → count, for every code that is no success.
    pub refused: BTreeMap<i32, u64>,
    /// The first refusal's header.
    pub first_refusal: Option<String>,
    /// Requests that were due and could not be made because too many were in flight.
    pub late: u64,
}

impl Counted {
    fn refuse(&mut self, code: i32, header: &[u8]) {
        *self.refused.entry(code).or_default() += 1;
        if self.first_refusal.is_none() {
            self.first_refusal = Some(String::from_utf8_lossy(header).chars().take(400).collect());
        }
    }
}

/// Prints when measuring begins and ends, so that a script can sample the server's process then.
#[derive(Debug)]
pub struct Marks {
    wanted: bool,
    passed: u8,
}

impl Marks {
    /// `wanted`: print them at all.
    pub fn new(wanted: bool) -> Self {
        Marks { wanted, passed: 0 }
    }

    fn look(&mut self, now: u64, window: &Window) {
        let passed = u8::from(now >= window.begin) + u8::from(now >= window.end);
        while self.passed < passed {
            if self.wanted {
                println!("{}", ["BEGIN", "END"][self.passed as usize]);
            }
            self.passed += 1;
        }
    }
}

/// Requests in flight: slot number → when it was (to be) sent and a number of the load's.
#[derive(Debug, Default)]
pub(super) struct Slots {
    places: Vec<(u64, u32)>,
    free: Vec<u32>,
    first: u32,
}

impl Slots {
    /// Slots are numbered from `first`.
    fn from(first: u32) -> Self {
        Slots { first, ..Default::default() }
    }

    /// A slot for a request that is sent at `at`.
    pub(super) fn take(&mut self, at: u64, tag: u32) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.places[slot as usize] = (at, tag);
                slot + self.first
            }
            None => {
                self.places.push((at, tag));
                self.places.len() as u32 - 1 + self.first
            }
        }
    }

    /// Frees a slot: when its request was sent, and its number of the load's.
    pub(super) fn give_back(&mut self, slot: u32) -> Option<(u64, u32)> {
        let slot = slot.checked_sub(self.first)?;
        let place = *self.places.get(slot as usize)?;
        self.free.push(slot);
        Some(place)
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> u32 {
        (self.places.len() - self.free.len()) as u32
    }
}

/// Sends, closed loop (`depth` per connection) or open loop at a rate.
#[derive(Debug)]
pub struct Send {
    templates: Vec<Template>,
    connections: usize,
    depth: u32,
    /// Nanoseconds between two requests; 0 is the closed loop.
    interval_ns: f64,
    window: Window,
    size: u64,
    stamped: bool,
    slots: Slots,
    made: u64,
    started: u64,
    epoch_ms: u64,
    marks: Marks,
    /// What came of it.
    pub counted: Counted,
}

/// How requests are made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Connections.
    pub connections: usize,
    /// In flight on each, closed loop.
    pub depth: u32,
    /// Per second in all; 0 is the closed loop.
    pub rate: f64,
    /// When to measure.
    pub window: Window,
}

impl Send {
    /// One template per queue; `stamped` writes the intended time into the body.
    pub fn new(templates: Vec<Template>, shape: Shape, size: usize, stamped: bool, marks: Marks) -> Self {
        let epoch_ms = crate::base::clock::Clock::System.now();
        Send {
            templates,
            connections: shape.connections,
            depth: shape.depth,
            interval_ns: if shape.rate > 0.0 { 1e9 / shape.rate } else { 0.0 },
            window: shape.window,
            size: size as u64,
            stamped,
            slots: Slots::default(),
            made: 0,
            // Keys differ from run to run.
            started: epoch_ms.wrapping_mul(100_000) % 1_000_000_000_000_000,
            epoch_ms,
            marks,
            counted: Counted::default(),
        }
    }

    fn make(&mut self, intended: u64, now: u64, out: &mut Vec<u8>) {
        let template = &self.templates[self.made as usize % self.templates.len()];
        self.made += 1;
        let slot = self.slots.take(intended, 0);
        let start = template.append(out, slot);
        template.set_message(out, start, self.epoch_ms + now / 1_000_000, self.started + self.made);
        if self.stamped {
            let body = template.body(out, start);
            body[..8].copy_from_slice(STAMP);
            body[8..16].copy_from_slice(&intended.to_be_bytes());
        }
    }
}

impl Load for Send {
    fn open(&mut self, _: usize, now: u64, out: &mut Vec<u8>) {
        if self.interval_ns == 0.0 {
            for _ in 0..self.depth {
                self.make(now, now, out);
            }
        }
    }

    fn answer(&mut self, _: usize, header: &[u8], _: &[u8], now: u64, out: &mut Vec<u8>) {
        let Some(answer) = frames::answer(header) else { return };
        let Some((at, _)) = self.slots.give_back((answer.opaque - OPAQUE_BASE) as u32) else { return };
        let closed = self.interval_ns == 0.0;
        let counts = if closed { now } else { at };
        if (self.window.begin..self.window.end).contains(&counts) {
            self.counted.answers += 1;
            // 10, 11, 12: stored, but not (yet) flushed or replicated.
            if matches!(answer.code, response::SUCCESS | 10..=12) {
                self.counted.messages += 1;
                self.counted.bytes += self.size;
                self.counted.latency.add(now - at);
            }
            if answer.code != response::SUCCESS {
                self.counted.refuse(answer.code, header);
            }
        }
        if closed && now < self.window.end {
            self.make(now, now, out);
        }
    }

    fn due(&mut self, now: u64, outputs: &mut Outputs<'_>) {
        self.marks.look(now, &self.window);
        if self.interval_ns == 0.0 {
            return;
        }
        loop {
            let intended = (self.made as f64 * self.interval_ns) as u64;
            if intended > now.min(self.window.end) {
                return;
            }
            if self.slots.in_flight() >= IN_FLIGHT_MAX {
                self.counted.late += 1;
                return;
            }
            let conn = self.made as usize % self.connections;
            self.make(intended, now, outputs.of(conn));
        }
    }

    fn finished(&self, now: u64) -> bool {
        now >= self.window.end && (self.slots.in_flight() == 0 || now >= self.window.end + DRAIN_NS)
    }
}

/// A reader of one queue: pulls from `next`, and at `end` starts again at `start`.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// The pull request.
    pub template: Template,
    /// The connection it uses.
    pub conn: usize,
    /// First offset.
    pub start: u64,
    /// Offset behind the last message of the span; `u64::MAX` follows the queue.
    pub end: u64,
    /// Where the next pull begins.
    pub next: u64,
}

/// Pulls of queues that are there already.
#[derive(Debug)]
pub struct Pull {
    cursors: Vec<Cursor>,
    window: Window,
    asked_at: Vec<u64>,
    in_flight: usize,
    marks: Marks,
    stamped: bool,
    delay_ns: u64,
    /// What came of it.
    pub counted: Counted,
}

impl Pull {
    /// One pull is in flight per cursor. `stamped`: bodies carry their time.
    pub fn new(cursors: Vec<Cursor>, window: Window, stamped: bool, marks: Marks) -> Self {
        let asked_at = vec![0; cursors.len()];
        Pull { cursors, window, asked_at, in_flight: 0, marks, stamped, delay_ns: 0, counted: Counted::default() }
    }

    /// Messages are due `delay_ns` after they were sent.
    pub fn delayed(self, delay_ns: u64) -> Self {
        Pull { delay_ns, ..self }
    }

    fn ask(&mut self, index: usize, now: u64, out: &mut Vec<u8>) {
        let cursor = &self.cursors[index];
        let start = cursor.template.append(out, index as u32);
        cursor.template.set_offset(out, start, cursor.next);
        self.asked_at[index] = now;
        self.in_flight += 1;
    }

    fn receive(&mut self, body: &[u8], now: u64, counts: bool) {
        let mut rest = body;
        while let Some(len) = rest.first_chunk().map(|len| u32::from_be_bytes(*len) as usize) {
            if len < 8 || len > rest.len() {
                *self.counted.refused.entry(-1).or_default() += 1;
                return;
            }
            if self.stamped
                && let Ok(record) = RecordView::parse(&rest[..len])
                && let Some(sent) = stamp(record.body())
                && (self.window.begin..self.window.end).contains(&sent)
            {
                let due = sent + self.delay_ns;
                // A broker counts in whole milliseconds, from when it stored the message.
                self.counted.early += u64::from(now + 1_000_000 < due);
                self.counted.end_to_end.add(now.saturating_sub(due));
            }
            rest = &rest[len..];
            self.counted.messages += u64::from(counts);
        }
        if counts {
            self.counted.bytes += body.len() as u64;
        }
    }
}

fn stamp(body: &[u8]) -> Option<u64> {
    let rest = body.strip_prefix(STAMP)?;
    Some(u64::from_be_bytes(*rest.first_chunk()?))
}

impl Load for Pull {
    fn open(&mut self, conn: usize, now: u64, out: &mut Vec<u8>) {
        for index in 0..self.cursors.len() {
            if self.cursors[index].conn == conn {
                self.ask(index, now, out);
            }
        }
    }

    fn answer(&mut self, _: usize, header: &[u8], body: &[u8], now: u64, out: &mut Vec<u8>) {
        let Some(answer) = frames::answer(header) else { return };
        let index = (answer.opaque - OPAQUE_BASE) as usize;
        if index >= self.cursors.len() {
            return;
        }
        self.in_flight -= 1;
        let counts = (self.window.begin..self.window.end).contains(&now);
        let next = frames::field(header, "nextBeginOffset");
        if counts {
            self.counted.answers += 1;
        }
        if answer.code == response::SUCCESS {
            self.receive(body, now, counts);
            if counts {
                self.counted.latency.add(now - self.asked_at[index]);
            }
        } else if !(self.cursors[index].end == u64::MAX && matches!(answer.code, 19..=21)) {
            // Following a queue, "nothing new" is no failure; reading what is there, it is.
            self.counted.refuse(answer.code, header);
        }
        let cursor = &mut self.cursors[index];
        cursor.next = next.unwrap_or(cursor.start);
        if cursor.next >= cursor.end {
            cursor.next = cursor.start;
        }
        let failed = !matches!(answer.code, response::SUCCESS | 19..=21);
        // A follower reads on while the senders' last messages are on their way.
        if !failed && (now < self.window.end || cursor.end == u64::MAX) {
            self.ask(index, now, out);
        }
    }

    fn due(&mut self, now: u64, _: &mut Outputs<'_>) {
        self.marks.look(now, &self.window);
    }

    fn finished(&self, now: u64) -> bool {
        self.in_flight == 0 || now >= self.window.end + DRAIN_NS
    }
}

/// Sends at a rate and follows the queues in the same loop: connections below `send_connections` send, the others pull.
#[derive(Debug)]
pub struct EndToEnd {
    /// The sending half.
    pub send: Send,
    /// The receiving half.
    pub pull: Pull,
    send_connections: usize,
}

impl EndToEnd {
    /// The cursors' slots come first, so that an opaque tells its half.
    pub fn new(mut send: Send, pull: Pull) -> Self {
        send.slots = Slots::from(pull.cursors.len() as u32);
        EndToEnd { send_connections: send.connections, send, pull }
    }
}

impl Load for EndToEnd {
    fn open(&mut self, conn: usize, now: u64, out: &mut Vec<u8>) {
        if conn < self.send_connections { self.send.open(conn, now, out) } else { self.pull.open(conn, now, out) }
    }

    fn answer(&mut self, conn: usize, header: &[u8], body: &[u8], now: u64, out: &mut Vec<u8>) {
        if conn < self.send_connections {
            self.send.answer(conn, header, body, now, out);
        } else {
            self.pull.answer(conn, header, body, now, out);
        }
    }

    fn due(&mut self, now: u64, outputs: &mut Outputs<'_>) {
        self.send.due(now, outputs);
    }

    fn finished(&self, now: u64) -> bool {
        let received = self.pull.counted.end_to_end.count() >= self.send.counted.messages;
        self.send.finished(now) && (received || now >= self.send.window.end + self.pull.delay_ns + DRAIN_NS)
    }
}
