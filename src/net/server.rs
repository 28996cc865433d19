//! A server: listeners, the acceptor that deals connections out to the loops, start and stop. Knows sockets and loops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::control::Control;
use super::event_loop::{EventLoop, PATIENCE, Totals, start_runtime};
use super::limits::Limits;
use super::mailbox::{Envelope, Mailboxes};
use super::service::Service;
use crate::base::clock::Clock;
use crate::base::pulse::Beat;
use crate::base::shutdown::{self, Shutdown};

/// Connections that the kernel may hold for us before they are accepted (Java's value).
pub const BACKLOG: u32 = 1024;

/// Pause after a failed accept, so that a full descriptor table does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; {}", remedy(.source))]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or its runtime could not be made.
    #[error("cannot start {what}: {source}; check the limits on threads and open files (ulimit -u, ulimit -n)")]
    Start {
        /// Which part.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process has the port: stop it or choose another port",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address: check the listen address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher port",
        _ => "check the listen address",
    }
}

/// What a loop's service is made from.
#[derive(Debug)]
pub struct LoopContext<M> {
    /// Which loop this is.
    pub loop_index: usize,
    /// The mailboxes of all loops, this one's too.
    pub mailboxes: Mailboxes<M>,
    /// For slow work.
    pub control: Control,
}

/// Bound listeners that do not accept yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<(std::net::TcpListener, SocketAddr)>,
    limits: Limits,
}

/// Counts of a running server since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open connections.
    pub connections: usize,
    /// Unsent bytes of all connections.
    pub unsent: usize,
    /// Bytes held for unfinished frames.
    pub receive_memory: usize,
    /// Frames received.
    pub frames: u64,
    /// Calls of `Service::commit`.
    pub commits: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Ends of ticks.
    pub ticks: u64,
    /// Connections refused because as many as allowed were open.
    pub connections_refused: u64,
    /// Requests refused because as many slow ones as allowed were in flight.
    pub slow_refused: u64,
    /// Connections closed because nothing was read or written for `idle_close_ms`.
    pub closed_idle: u64,
    /// Connections closed because their peer did not read what was pushed to it.
    pub closed_unread: u64,
    /// Connections closed because their unfinished frame held receive memory without getting on.
    pub closed_stalled: u64,
}

impl Counts {
    /// Connections that a bound closed, by its name.
    pub fn closed(&self) -> [(&'static str, u64); 3] {
        [("idle", self.closed_idle), ("unread", self.closed_unread), ("stalled_frame", self.closed_stalled)]
    }
}

/// A look at a running server from outside. A cheap clone.
#[derive(Clone, Debug)]
pub struct Watch {
    totals: Arc<Totals>,
    limits: Arc<Limits>,
}

impl Watch {
    /// The counts now; each is exact, together they are not of one instant.
    pub fn counts(&self) -> Counts {
        counts(&self.totals)
    }

    /// For tests of who looks: a server with the default bounds that nobody has ever connected to.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Watch {
        Watch { totals: Arc::new(Totals::new(1)), limits: Arc::default() }
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

fn counts(totals: &Totals) -> Counts {
    Counts {
        connections: totals.connections.load(Relaxed),
        unsent: totals.unsent.load(Relaxed),
        receive_memory: totals.receive_memory.load(Relaxed),
        frames: totals.frames.load(Relaxed),
        commits: totals.commits.load(Relaxed),
        writes: totals.writes.load(Relaxed),
        ticks: totals.ticks.load(Relaxed),
        connections_refused: totals.connections_refused.load(Relaxed),
        slow_refused: totals.slow_refused.load(Relaxed),
        closed_idle: totals.closed_idle.load(Relaxed),
        closed_unread: totals.closed_unread.load(Relaxed),
        closed_stalled: totals.closed_stalled.load(Relaxed),
    }
}

/// A running server. Dropping it stops it without a drain.
#[derive(Debug)]
pub struct Running<M> {
    addrs: Vec<SocketAddr>,
    mailboxes: Mailboxes<M>,
    totals: Arc<Totals>,
    limits: Arc<Limits>,
    stop_accepting: shutdown::Trigger,
    acceptor: Option<JoinHandle<()>>,
    loops: Vec<JoinHandle<()>>,
    failed: Shutdown,
    beats: Vec<Beat>,
}

impl Server {
    /// Listens on every address (port 0 takes a free one); nothing is accepted before `run`.
    pub fn bind(addrs: &[SocketAddr], limits: Limits) -> Result<Server, ServerError> {
        let runtime = start_runtime().map_err(|source| ServerError::Start { what: "the listeners".into(), source })?;
        let _entered = runtime.enter();
        let listeners = addrs
            .iter()
            .map(|&addr| listen(addr).map_err(|source| ServerError::Bind { addr, source }))
            .collect::<Result<_, _>>()?;
        Ok(Server { listeners, limits })
    }

    /// The addresses really listened on, in the order of `bind`.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, addr)| *addr).collect()
    }

    /// Starts `loops` loops (at least one), each with a service made by `make` on the loop's own thread, and the acceptor.
    pub fn run<S: Service>(
        self,
        loops: usize,
        clock: Clock,
        control: Control,
        make: impl Fn(LoopContext<S::Mail>) -> S + Send + Sync + 'static,
    ) -> Result<Running<S::Mail>, ServerError> {
        let loops = loops.max(1);
        let addrs = self.addrs();
        let mailboxes = Mailboxes::new(loops);
        let totals = Arc::new(Totals::new(loops));
        let limits = Arc::new(self.limits);
        let make = Arc::new(make);
        let (stop_accepting, stopped) = shutdown::channel();
        let (fail, failed) = shutdown::channel();
        let fail = Arc::new(fail);
        let mut running = Running {
            addrs,
            mailboxes: mailboxes.clone(),
            totals: totals.clone(),
            limits: limits.clone(),
            stop_accepting,
            acceptor: None,
            loops: Vec::new(),
            failed,
            beats: Vec::new(),
        };
        for loop_index in 0..loops {
            let (mailboxes, control, limits) = (mailboxes.clone(), control.clone(), limits.clone());
            let (totals, clock, make, fail) = (totals.clone(), clock.clone(), make.clone(), fail.clone());
            let serves = running.addrs.first().map_or_else(String::new, |addr| format!(" of port {}", addr.port()));
            let beat = Beat::new(format!("event loop {loop_index}{serves}"), PATIENCE);
            running.beats.push(beat.clone());
            let thread = spawn(&format!("loop-{loop_index}"), move |runtime| {
                let cx = LoopContext { loop_index, mailboxes: mailboxes.clone(), control: control.clone() };
                let event_loop =
                    EventLoop::new(loop_index, make(cx), limits, totals, clock, control, mailboxes, beat.clone());
                let sound = event_loop.run(&runtime);
                beat.end();
                drop(runtime);
                if !sound {
                    fail.stop();
                }
            })?;
            running.loops.push(thread);
        }
        let listeners = self.listeners;
        running.acceptor = Some(spawn("acceptor", move |runtime| {
            runtime.block_on(accept_all(listeners, mailboxes, totals, limits.connections_max, stopped));
        })?);
        Ok(running)
    }
}

impl<M> Running<M> {
    /// The addresses listened on.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The loops' mailboxes.
    pub fn mailboxes(&self) -> &Mailboxes<M> {
        &self.mailboxes
    }

    /// What can be looked at while it runs, and after.
    pub fn watch(&self) -> Watch {
        Watch { totals: self.totals.clone(), limits: self.limits.clone() }
    }

    /// Signs of life of the loops.
    pub fn beats(&self) -> &[Beat] {
        &self.beats
    }

    /// Completes when a loop died of a panic: the process can only end then.
    pub fn failed(&self) -> Shutdown {
        self.failed.clone()
    }

    /// The counts now; each is exact, together they are not of one instant.
    pub fn counts(&self) -> Counts {
        counts(&self.totals)
    }

    /// Closes the listeners, stops reading, sends what is owed for at most `drain`, then closes every connection.
    /// Blocks until the threads have ended.
    pub fn shutdown(mut self, drain: Duration) {
        self.end(drain);
    }

    fn end(&mut self, drain: Duration) {
        self.stop_accepting.stop();
        let threads = self.acceptor.take().into_iter().chain(self.loops.drain(..));
        for loop_index in 0..self.mailboxes.loops() {
            self.mailboxes.put(loop_index, Envelope::Stop(Instant::now() + drain));
        }
        for thread in threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!("thread {name} panicked; the panic is in the log above");
            }
        }
    }
}

impl<M> Drop for Running<M> {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// Starts a thread with a runtime of its own; an error of either is returned here.
fn spawn(
    name: &str,
    run: impl FnOnce(tokio::runtime::Runtime) + Send + 'static,
) -> Result<JoinHandle<()>, ServerError> {
    let fail = |source| ServerError::Start { what: format!("thread {name}"), source };
    let runtime = start_runtime().map_err(fail)?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || run(runtime)).map_err(fail)
}

pub(super) fn listen(addr: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = if addr.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

async fn accept_all<M: Send + 'static>(
    listeners: Vec<(std::net::TcpListener, SocketAddr)>,
    mailboxes: Mailboxes<M>,
    totals: Arc<Totals>,
    connections_max: usize,
    mut stopped: Shutdown,
) {
    // One task per listener would do; a set keeps them in this future, so that they end with it.
    let mut accepting = tokio::task::JoinSet::new();
    for (listener, addr) in listeners {
        let (mailboxes, totals) = (mailboxes.clone(), totals.clone());
        accepting.spawn(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => accept(listener, mailboxes, totals, connections_max).await,
                Err(error) => tracing::error!("nothing is accepted on {addr}: cannot watch its socket: {error}"),
            }
        });
    }
    let (_keep, never) = oneshot::channel::<()>();
    tokio::select! {
        () = stopped.stopped() => {}
        _ = never => {}
    }
    accepting.shutdown().await;
}

async fn accept<M>(listener: TcpListener, mailboxes: Mailboxes<M>, totals: Arc<Totals>, connections_max: usize) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}; trying again in {} ms", ACCEPT_PAUSE.as_millis());
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if totals.connections.load(Relaxed) >= connections_max {
            totals.connections_refused.fetch_add(1, Relaxed);
            tracing::warn!("connection from {peer} refused: {connections_max} are open, which is the limit");
            continue;
        }
        let ready = stream.set_nodelay(true).and_then(|()| stream.local_addr());
        match ready.and_then(|local| Ok((stream.into_std()?, local))) {
            Ok((stream, local)) => {
                let least = (0..mailboxes.loops())
                    .min_by_key(|&index| totals.connections_of_loop[index].load(Relaxed))
                    .unwrap_or(0);
                totals.joined(least);
                mailboxes.put(least, Envelope::Adopt(stream, peer, local));
            }
            // It hung up while it was accepted.
            Err(error) => tracing::debug!("connection from {peer} lost while it was accepted: {error}"),
        }
    }
}
