//! What a service manager is told and asks for: ready, reloading, stopping, how far the recovery is, and that the threads
//! that matter still move. The protocol is one datagram of `NAME=VALUE` lines to `$NOTIFY_SOCKET` (sd_notify(3));
//! without that variable nothing is told. Knows no role; whatever it cannot say is no reason to stop serving.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::time::ClockId;

use crate::base::progress::{Progress, Step};

/// Where to tell.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// Within how many microseconds a sign of life has to follow the one before.
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// Which process has to give it.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// How often it is told how far a recovery is …
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// … and how many times for each line in the log.
const PROGRESS_LOGGED_EVERY: u64 = 10;
/// A recovery that gets on may take so much longer than the unit's TimeoutStartSec, from each time it is told.
const EXTENSION: Duration = Duration::from_secs(300);

/// The way to the service manager, if there is one. Clones are the same way.
#[derive(Clone, Debug, Default)]
pub struct Manager(Option<Arc<UnixDatagram>>);

impl Manager {
    /// The one that started this process.
    pub fn from_environment() -> Manager {
        let Some(path) = std::env::var_os(NOTIFY_SOCKET).filter(|path| !path.is_empty()) else {
            return Manager::default();
        };
        match connect(path.as_bytes()) {
            Ok(socket) => Manager(Some(Arc::new(socket))),
            Err(error) => {
                tracing::warn!("the service manager hears nothing of us: {NOTIFY_SOCKET}={path:?}: {error}");
                Manager::default()
            }
        }
    }

    /// Everything is up.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// A reload has begun; `ready` ends it.
    pub fn reloading(&self) {
        // systemd 253 and later want to know which reload is meant.
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let now_us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reloading"));
    }

    /// The stop has begun.
    pub fn stopping(&self, why: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS=stopping: {why}"));
    }

    fn tell(&self, lines: &str) {
        let Some(socket) = &self.0 else { return };
        if let Err(error) = socket.send(lines.as_bytes()) {
            tracing::warn!("the service manager was not told `{}`: {error}", lines.lines().next().unwrap_or_default());
        }
    }

    /// Tells how far a recovery is, the manager and less often the log, until the answer is dropped. Nothing is told if
    /// it ends within the first second.
    pub fn watch_recovery(&self, progress: Progress) -> io::Result<Worker> {
        let (manager, mut before, mut times) = (self.clone(), None, 0);
        let told = move || {
            let Some(step) = progress.step() else { return };
            if times % PROGRESS_LOGGED_EVERY == 0 {
                tracing::info!("store: {}", describe(&step));
            }
            times += 1;
            let extension = match before.replace(step) {
                Some(before) if before != step => format!("\nEXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()),
                _ => String::new(),
            };
            manager.tell(&format!("STATUS={}{extension}", describe(&step)));
        };
        Worker::start("recovery-status", PROGRESS_INTERVAL, told)
    }

    /// Gives the signs of life that the manager asks for, as long as `stuck` names nothing. `None` if it asks for none.
    pub fn watchdog(&self, stuck: impl Fn() -> Option<String> + Send + 'static) -> io::Result<Option<Watchdog>> {
        let Some(limit) = self.0.as_ref().and_then(|_| watchdog_limit()) else { return Ok(None) };
        let (manager, stopping) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let ends = stopping.clone();
        let (mut complained, mut last) = (false, Instant::now());
        let sign = move || {
            // A machine that stood still (suspended, short of processor time) held the beats up as it held us up.
            let held_up = last.elapsed() > limit;
            last = Instant::now();
            match stuck() {
                Some(what) if !held_up && !ends.load(Relaxed) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::error!("{what}; the service manager gets no sign of life and will end this process");
                        manager.tell(&format!("STATUS=stuck: {what}"));
                    }
                }
                _ => {
                    complained = false;
                    manager.tell("WATCHDOG=1");
                }
            }
        };
        Worker::start("watchdog", limit / 4, sign).map(|worker| Some(Watchdog { stopping, _worker: worker }))
    }
}

/// Gives signs of life until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    stopping: Arc<AtomicBool>,
    _worker: Worker,
}

impl Watchdog {
    /// From here on threads end one by one, and the manager's own time limit for a stop is what counts.
    pub fn stopping(&self) {
        self.stopping.store(true, Relaxed);
    }
}

/// A thread that does something at an interval until it is dropped.
#[derive(Debug)]
pub struct Worker {
    thread: Option<std::thread::JoinHandle<()>>,
    ends: Arc<(Mutex<bool>, Condvar)>,
}

impl Worker {
    fn start(name: &str, interval: Duration, mut work: impl FnMut() + Send + 'static) -> io::Result<Worker> {
        let ends: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let waits = ends.clone();
        let run = move || {
            let mut end = waits.0.lock();
            loop {
                waits.1.wait_for(&mut end, interval);
                if *end {
                    return;
                }
                work();
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Worker { thread: Some(thread), ends })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        *self.ends.0.lock() = true;
        self.ends.1.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a thread that speaks to the service manager panicked; the panic is in the log above");
        }
    }
}

fn describe(step: &Step) -> String {
    const MIB: u64 = 1 << 20;
    format!("recovery: {}, {} % of {} MiB", step.what, step.per_cent(), step.total / MIB)
}

/// A path, or a name of the kernel's when it begins with `@`.
fn connect(path: &[u8]) -> io::Result<UnixDatagram> {
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::path::Path::new(std::ffi::OsStr::from_bytes(path)))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

fn watchdog_limit() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let meant = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
    number(WATCHDOG_USEC).filter(|limit| *limit > 0 && meant).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(socket: &UnixDatagram) -> String {
        let mut buf = [0; 1024];
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let len = socket.recv(&mut buf).expect("something was said");
        String::from_utf8_lossy(&buf[..len]).into_owned()
    }

    #[test]
    fn it_is_told_in_datagrams_to_a_path_or_an_abstract_name() {
        let path = std::env::temp_dir().join(format!("rocketmq-notify-{}", std::process::id()));
        let abstract_name = format!("rocketmq-notify-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).expect("the temporary folder is writable");
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("a short name");
        let by_name = UnixDatagram::bind_addr(&address).expect("nobody has it");
        for (socket, to) in [(by_path, path.as_os_str().as_bytes()), (by_name, format!("@{abstract_name}").as_bytes())]
        {
            let manager = Manager(Some(Arc::new(connect(to).expect("somebody listens"))));
            manager.ready("serving");
            assert_eq!(said(&socket), "READY=1\nSTATUS=serving");
            manager.reloading();
            assert!(said(&socket).starts_with("RELOADING=1\nMONOTONIC_USEC="));
            let progress = Progress::default();
            progress.begin("checking the commit log", 4 << 20);
            progress.reached(1 << 20);
            let worker = manager.watch_recovery(progress.clone()).expect("a thread");
            assert_eq!(said(&socket), "STATUS=recovery: checking the commit log, 25 % of 4 MiB");
            progress.reached(2 << 20);
            assert_eq!(
                said(&socket),
                "STATUS=recovery: checking the commit log, 50 % of 4 MiB\nEXTEND_TIMEOUT_USEC=300000000"
            );
            drop(worker);
        }
        std::fs::remove_file(&path).expect("ours");
        Manager::default().ready("nobody hears it");
    }
}
