//! The generator's own event loop: one thread, raw epoll, no task and no allocation per request. Knows frames; what is
//! asked and what an answer means is the `Load`'s.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::BenchError;
use crate::wire::frame::{self, FRAME_LEN_MAX};

/// Bytes read at once.
const READ_LEN: usize = 512 * 1024;
/// The epoll data of the timer.
const TIMER: u64 = u64::MAX;
/// Longest wait without a look at the load's own time.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// What a load does with the loop's events. Times are nanoseconds since the engine's start.
pub trait Load {
    /// A connection is ready for its first requests.
    fn open(&mut self, conn: usize, now: u64, out: &mut Vec<u8>);
    /// An answer came; the next request may be appended to `out`, which belongs to the same connection.
    fn answer(&mut self, conn: usize, header: &[u8], body: &[u8], now: u64, out: &mut Vec<u8>);
    /// Called after every wake-up: requests that are due may be appended to any connection's output.
    fn due(&mut self, now: u64, outputs: &mut Outputs<'_>);
    /// Whether everything is done.
    fn finished(&self, now: u64) -> bool;
}

/// The outputs of all connections.
pub struct Outputs<'a> {
    conns: &'a mut [Conn],
    touched: &'a mut Vec<usize>,
}

impl Outputs<'_> {
    /// The output of a connection.
    pub fn of(&mut self, conn: usize) -> &mut Vec<u8> {
        if !self.conns[conn].touched {
            self.conns[conn].touched = true;
            self.touched.push(conn);
        }
        &mut self.conns[conn].out
    }
}

struct Conn {
    stream: TcpStream,
    rest: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    waits_to_write: bool,
    touched: bool,
}

/// Connections and their epoll.
pub struct Engine {
    epoll: OwnedFd,
    timer: Option<OwnedFd>,
    conns: Vec<Conn>,
    addrs: Vec<String>,
    start: Instant,
}

impl Engine {
    /// Connects to every address (one connection each, repeated names repeat). `wake_every_ns` above 0 sets a timer.
    pub fn connect(addrs: &[String], wake_every_ns: u64) -> Result<Engine, BenchError> {
        let system = |source: io::Error| BenchError::System { what: "make an epoll", source };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| system(error.into()))?;
        let mut conns = Vec::new();
        for (index, addr) in addrs.iter().enumerate() {
            let stream = TcpStream::connect(addr)
                .and_then(|stream| {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    epoll::add(&epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
                    Ok(stream)
                })
                .map_err(|source| BenchError::Connect { addr: addr.clone(), source })?;
            conns.push(Conn {
                stream,
                rest: Vec::new(),
                out: Vec::new(),
                sent: 0,
                waits_to_write: false,
                touched: false,
            });
        }
        let timer = if wake_every_ns > 0 { Some(timer(&epoll, wake_every_ns).map_err(system)?) } else { None };
        Ok(Engine { epoll, timer, conns, addrs: addrs.to_vec(), start: Instant::now() })
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Runs until the load has finished.
    pub fn run(&mut self, load: &mut impl Load) -> Result<(), BenchError> {
        let mut buf = vec![0; READ_LEN];
        let mut events = Vec::with_capacity(1024);
        let mut touched = Vec::new();
        self.start = Instant::now();
        for index in 0..self.conns.len() {
            let now = self.now();
            load.open(index, now, &mut self.conns[index].out);
            self.flush(index)?;
        }
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&WAIT)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return Err(BenchError::System { what: "wait for the connections", source: error.into() });
                }
            }
            for event in &events {
                let data = event.data;
                match data.u64() {
                    TIMER => self.rearm()?,
                    index => {
                        let index = index as usize;
                        let flags = event.flags;
                        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                            self.read(index, &mut buf, load)?;
                        }
                        self.flush(index)?;
                    }
                }
            }
            let now = self.now();
            load.due(now, &mut Outputs { conns: &mut self.conns, touched: &mut touched });
            for index in touched.drain(..) {
                self.conns[index].touched = false;
                self.flush(index)?;
            }
            if load.finished(now) {
                return Ok(());
            }
        }
    }

    fn rearm(&mut self) -> Result<(), BenchError> {
        let Some(timer) = &self.timer else { return Ok(()) };
        match rustix::io::read(timer, &mut [0; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(BenchError::System { what: "read the timer", source: error.into() }),
        }
    }

    fn read(&mut self, index: usize, buf: &mut [u8], load: &mut impl Load) -> Result<(), BenchError> {
        let now = self.start.elapsed().as_nanos() as u64;
        let conn = &mut self.conns[index];
        let lost = |source| BenchError::Lost { addr: self.addrs[index].clone(), source };
        let had = conn.rest.len();
        if had + READ_LEN / 2 > buf.len() {
            // A frame of more than half the buffer: read behind what is there.
            conn.rest.resize(had + READ_LEN, 0);
            let read = match conn.stream.read(&mut conn.rest[had..]) {
                Ok(0) => return Err(lost(ErrorKind::UnexpectedEof.into())),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(lost(error)),
            };
            conn.rest.truncate(had + read);
            let bytes = std::mem::take(&mut conn.rest);
            let taken = take(&bytes, index, now, load, &mut conn.out).map_err(lost)?;
            conn.rest = bytes;
            conn.rest.drain(..taken);
            return Ok(());
        }
        buf[..had].copy_from_slice(&conn.rest);
        let read = match conn.stream.read(&mut buf[had..]) {
            Ok(0) => return Err(lost(ErrorKind::UnexpectedEof.into())),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(lost(error)),
        };
        let bytes = &buf[..had + read];
        let taken = take(bytes, index, now, load, &mut conn.out).map_err(lost)?;
        conn.rest.clear();
        conn.rest.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    fn flush(&mut self, index: usize) -> Result<(), BenchError> {
        let conn = &mut self.conns[index];
        let lost = |source| BenchError::Lost { addr: self.addrs[index].clone(), source };
        while conn.sent < conn.out.len() {
            match conn.stream.write(&conn.out[conn.sent..]) {
                Ok(written) => conn.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(lost(error)),
            }
        }
        let waits = conn.sent < conn.out.len();
        if !waits {
            conn.out.clear();
            conn.sent = 0;
        }
        if waits != conn.waits_to_write {
            conn.waits_to_write = waits;
            let flags = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &conn.stream, EventData::new_u64(index as u64), flags)
                .map_err(|error| lost(error.into()))?;
        }
        Ok(())
    }
}

fn timer(epoll: &OwnedFd, every_ns: u64) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let every = Timespec { tv_sec: (every_ns / 1_000_000_000) as i64, tv_nsec: (every_ns % 1_000_000_000) as i64 };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: every, it_value: every })?;
    epoll::add(epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
    Ok(timer)
}

fn take(bytes: &[u8], conn: usize, now: u64, load: &mut impl Load, out: &mut Vec<u8>) -> io::Result<usize> {
    let mut taken = 0;
    let invalid = |error: frame::FrameError| io::Error::new(ErrorKind::InvalidData, error);
    while let Some((frame, len)) = frame::parse(&bytes[taken..], FRAME_LEN_MAX).map_err(invalid)? {
        load.answer(conn, frame.header, frame.body, now, out);
        taken += len;
    }
    Ok(taken)
}
