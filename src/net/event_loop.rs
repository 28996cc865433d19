//! One event loop: a thread, a current-thread runtime, one task per connection, and the tasks that end a tick, take the
//! mail and tell the time. Knows how a tick goes; knows nothing of what is in a message.
//!
//! A tick: the driver reports the sockets that are ready and so puts their tasks into the run queue; they read, and the
//! first that has something to commit or to write wakes the tick's end, which the queue, being first in first out, runs
//! behind all of them. It commits once and writes each connection once.
//!
//! The tasks are plain (`Send`) tasks of the runtime around one lock that nobody contends for. Tasks of a `LocalSet` would
//! need no lock, but each wake by the driver then costs a write to the runtime's eventfd and a second `epoll_wait`.

use std::collections::HashSet;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::connection::ConnectionTask;
use super::control::Control;
use super::limits::Limits;
use super::mailbox::{Envelope, Mailboxes};
use super::service::{ConnId, Outbox, Service};
use super::table::{Entry, Table};
use crate::base::clock::{Clock, Millis};
use crate::base::pulse::Beat;

/// How often `Service::timer` is called.
pub const TIMER_INTERVAL_MS: u64 = 100;

/// How long a loop may not get on before it counts as stuck. A tick takes milliseconds; a write to a disk that stalls can
/// hold it up for seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How often idle connections are looked for, in timer intervals.
const IDLE_CHECK_EVERY: u64 = 10;

/// Ready sockets taken from the driver at once. A tick commits what the driver reported together.
const IO_EVENTS_PER_TICK: usize = 1024;

/// Tasks run before the driver is asked again although others are waiting.
const TASKS_PER_DRIVER_POLL: u32 = 256;

/// What all loops of a server count together.
#[derive(Debug)]
pub(super) struct Totals {
    pub connections: AtomicUsize,
    pub connections_of_loop: Box<[AtomicUsize]>,
    pub unsent: AtomicUsize,
    pub receive_memory: AtomicUsize,
    pub frames: AtomicU64,
    pub commits: AtomicU64,
    pub writes: AtomicU64,
    pub ticks: AtomicU64,
    pub connections_refused: AtomicU64,
    pub slow_refused: AtomicU64,
    pub closed_idle: AtomicU64,
    pub closed_unread: AtomicU64,
    pub closed_stalled: AtomicU64,
}

impl Totals {
    pub fn new(loops: usize) -> Self {
        Totals {
            connections: AtomicUsize::new(0),
            connections_of_loop: (0..loops).map(|_| AtomicUsize::new(0)).collect(),
            unsent: AtomicUsize::new(0),
            receive_memory: AtomicUsize::new(0),
            frames: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            slow_refused: AtomicU64::new(0),
            closed_idle: AtomicU64::new(0),
            closed_unread: AtomicU64::new(0),
            closed_stalled: AtomicU64::new(0),
        }
    }

    pub fn joined(&self, loop_index: usize) {
        self.connections.fetch_add(1, Relaxed);
        self.connections_of_loop[loop_index].fetch_add(1, Relaxed);
    }

    pub fn left(&self, loop_index: usize) {
        self.connections.fetch_sub(1, Relaxed);
        self.connections_of_loop[loop_index].fetch_sub(1, Relaxed);
    }
}

/// What the tasks of one loop share.
pub(super) struct EventLoop<S: Service> {
    pub index: usize,
    pub core: Mutex<Core<S>>,
    pub limits: Arc<Limits>,
    pub totals: Arc<Totals>,
    pub clock: Clock,
    pub control: Control,
    pub mailboxes: Mailboxes<S::Mail>,
    beat: Beat,
    tick_ended: Notify,
}

/// The loop's state, behind the loop's lock.
pub(super) struct Core<S: Service> {
    pub service: S,
    pub table: Table,
    /// The buffer into which every connection of this loop reads.
    pub scratch: Box<[u8]>,
    /// The service has something to commit.
    pub staged: bool,
    pub stopping: bool,
    /// Connections that wait for receive memory.
    pub starved: Vec<ConnId>,
    /// Slow requests of this loop in flight.
    pub slow_running: usize,
    pub frames: u64,
    tick_end_due: bool,
    tick_end: Option<Waker>,
    unsent_published: usize,
    writes_published: u64,
}

impl<S: Service> Core<S> {
    /// Has the tick's end run behind everything that is in the run queue now.
    pub fn wake_tick_end(&mut self) {
        if !self.tick_end_due {
            self.tick_end_due = true;
            if let Some(waker) = &self.tick_end {
                waker.wake_by_ref();
            }
        }
    }
}

/// The runtime of a loop or of the acceptor.
pub(super) fn start_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_io_events_per_tick(IO_EVENTS_PER_TICK)
        .event_interval(TASKS_PER_DRIVER_POLL)
        .build()
}

impl<S: Service> EventLoop<S> {
    #[expect(clippy::too_many_arguments, reason = "each is one thing the loop owns")]
    pub fn new(
        index: usize,
        service: S,
        limits: Arc<Limits>,
        totals: Arc<Totals>,
        clock: Clock,
        control: Control,
        mailboxes: Mailboxes<S::Mail>,
        beat: Beat,
    ) -> Arc<Self> {
        let core = Core {
            service,
            table: Table::new(index as u16, limits.spare_buffers_len_max / mailboxes.loops().max(1)),
            scratch: Box::default(),
            staged: false,
            stopping: false,
            starved: Vec::new(),
            slow_running: 0,
            frames: 0,
            tick_end_due: false,
            tick_end: None,
            unsent_published: 0,
            writes_published: 0,
        };
        Arc::new(EventLoop {
            index,
            core: Mutex::new(core),
            limits,
            totals,
            clock,
            control,
            mailboxes,
            beat,
            tick_ended: Notify::new(),
        })
    }

    /// Runs until a `Stop` was mailed and what is owed is sent. False when a task of the loop panicked.
    pub fn run(self: Arc<Self>, runtime: &Runtime) -> bool {
        let stop_at = Arc::new((Mutex::new(None), Notify::new(), AtomicBool::new(true)));
        let sound = runtime.block_on(async {
            let tick_end = tokio::spawn(tokio::task::unconstrained(self.clone().end_ticks()));
            let timer = tokio::spawn(self.clone().tell_time());
            let mail = tokio::spawn(self.clone().take_mail(stop_at.clone()));
            let drained = self.clone().drained(stop_at.clone());
            tokio::select! {
                () = drained => true,
                () = panicked(tick_end) => false,
                () = panicked(timer) => false,
                () = panicked(mail) => false,
            }
        });
        if !sound {
            tracing::error!(
                "event loop {} ended because a task of it panicked; the panic is in the log above",
                self.index
            );
        }
        sound
    }

    async fn end_ticks(self: Arc<Self>) {
        poll_fn::<(), _>(|cx| {
            let mut core = self.core.lock();
            let core = &mut *core;
            if !core.tick_end.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                core.tick_end = Some(cx.waker().clone());
            }
            if std::mem::take(&mut core.tick_end_due) {
                self.end_tick(core);
            }
            Poll::Pending
        })
        .await;
    }

    fn end_tick(&self, core: &mut Core<S>) {
        if std::mem::take(&mut core.staged) | std::mem::take(&mut core.table.commit_asked) {
            core.service.commit(&mut core.table);
            self.totals.commits.fetch_add(1, Relaxed);
        }
        core.table.flush_dirty(self.clock.now(), &self.limits);
        self.totals.ticks.fetch_add(1, Relaxed);
        self.publish(core);
        if core.table.commit_asked {
            core.wake_tick_end();
        }
        if core.stopping {
            self.tick_ended.notify_one();
        }
    }

    fn publish(&self, core: &mut Core<S>) {
        let unsent = core.table.unsent();
        if unsent != core.unsent_published {
            self.totals.unsent.fetch_add(unsent, Relaxed);
            self.totals.unsent.fetch_sub(core.unsent_published, Relaxed);
            core.unsent_published = unsent;
        }
        self.totals.frames.fetch_add(std::mem::take(&mut core.frames), Relaxed);
        self.totals.writes.fetch_add(core.table.writes - core.writes_published, Relaxed);
        core.writes_published = core.table.writes;
    }

    async fn take_mail(self: Arc<Self>, stop: Arc<(Mutex<Option<Instant>>, Notify, AtomicBool)>) {
        let mut mails = Vec::new();
        loop {
            self.mailboxes.receive(self.index, &mut mails).await;
            let mut core = self.core.lock();
            let core = &mut *core;
            for envelope in mails.drain(..) {
                match envelope {
                    Envelope::Mail(mail) => core.service.mail(mail, &mut core.table),
                    Envelope::Frame(conn, frame) => self.deliver(core, conn, &frame),
                    Envelope::SlowDone(conn, frame) => {
                        core.slow_running -= 1;
                        self.deliver(core, conn, &frame);
                    }
                    Envelope::Close(conn) => core.table.close(conn),
                    Envelope::Adopt(stream, peer, local) => self.adopt(core, stream, peer, local),
                    Envelope::Stop(until) => {
                        core.stopping = true;
                        *stop.0.lock() = Some(until);
                        stop.1.notify_one();
                    }
                }
            }
            core.wake_tick_end();
        }
    }

    fn deliver(&self, core: &mut Core<S>, conn: ConnId, frame: &[u8]) {
        let Some(out) = core.table.buffer(conn) else { return };
        if out.len() > 2 * self.limits.unsent_per_connection_max {
            // Reading from it has stopped long ago; only what others push to it still grows.
            let found = format!("{} bytes pushed to it are unsent; the peer does not read", out.len());
            if let Some(entry) = core.table.entry(conn) {
                entry.fail(found);
                self.totals.closed_unread.fetch_add(1, Relaxed);
            }
            return;
        }
        out.extend_from_slice(frame);
    }

    fn adopt(
        self: &Arc<Self>,
        core: &mut Core<S>,
        stream: std::net::TcpStream,
        peer: std::net::SocketAddr,
        local: std::net::SocketAddr,
    ) {
        let stream = match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!("connection from {peer} to {local} closed: cannot watch its socket: {error}");
                self.totals.left(self.index);
                return;
            }
        };
        let (read, write) = stream.into_split();
        let conn = core.table.insert(peer, local, write, self.clock.now());
        core.service.opened(conn);
        tokio::spawn(ConnectionTask::new(self.clone(), conn, read));
    }

    async fn tell_time(self: Arc<Self>) {
        let mut interval = tokio::time::interval(Duration::from_millis(TIMER_INTERVAL_MS));
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for turn in 1_u64.. {
            interval.tick().await;
            self.beat.beat();
            let now = self.clock.now();
            let mut core = self.core.lock();
            let core = &mut *core;
            core.service.timer(now, &mut core.table);
            self.feed_starved(core, now);
            if turn.is_multiple_of(IDLE_CHECK_EVERY) {
                self.close_idle(core, now);
            }
            if core.table.is_dirty() || core.table.commit_asked || core.stopping {
                core.wake_tick_end();
            }
        }
    }

    /// Lets connections that wait for receive memory try again, and ends those that hold it without getting on: first
    /// those whose peer sends nothing, and if all of them only wait for memory, the one that has waited longest.
    fn feed_starved(&self, core: &mut Core<S>, now: Millis) {
        let starved: HashSet<ConnId> = std::mem::take(&mut core.starved).into_iter().collect();
        if starved.is_empty() {
            return;
        }
        let overdue = |entry: &Entry| {
            entry.waiting_since.is_some_and(|since| now.saturating_sub(since) > self.limits.stalled_frame_ms)
        };
        let (mut stalled, mut others_hold, mut longest) = (Vec::new(), false, None::<(Millis, ConnId)>);
        for entry in core.table.entries() {
            let Some(since) = entry.waiting_since else { continue };
            let id = entry.conn.id;
            if !starved.contains(&id) {
                others_hold = true;
                if overdue(entry) {
                    stalled.push(id);
                }
            } else if overdue(entry) && longest.is_none_or(|(first, _)| since < first) {
                longest = Some((since, id));
            }
        }
        if !others_hold {
            stalled.extend(longest.map(|(_, id)| id));
        }
        for id in stalled {
            let Some(entry) = core.table.entry(id) else { continue };
            self.totals.closed_stalled.fetch_add(1, Relaxed);
            entry.fail(format!(
                "its unfinished frame did not grow for {} ms while receive memory ({} bytes for all) is used up",
                self.limits.stalled_frame_ms, self.limits.receive_memory_max
            ));
        }
        for id in starved {
            if let Some(waker) = core.table.entry(id).and_then(|entry| entry.waker.as_ref()) {
                waker.wake_by_ref();
            }
        }
    }

    fn close_idle(&self, core: &mut Core<S>, now: Millis) {
        for entry in core.table.entries() {
            if now.saturating_sub(entry.active_at) > self.limits.idle_close_ms && !entry.closing {
                let idle = self.limits.idle_close_ms;
                tracing::info!("connection from {} closed: nothing read or written for {idle} ms", entry.conn.peer);
                self.totals.closed_idle.fetch_add(1, Relaxed);
                entry.out.clear();
                entry.closing = true;
                if let Some(waker) = &entry.waker {
                    waker.wake_by_ref();
                }
            }
        }
    }

    /// Completes when a stop was asked for and nothing is owed any more, or its time is over.
    async fn drained(self: Arc<Self>, stop: Arc<(Mutex<Option<Instant>>, Notify, AtomicBool)>) {
        stop.1.notified().await;
        let Some(until) = *stop.0.lock() else { return };
        loop {
            {
                let core = self.core.lock();
                let quiet = !core.tick_end_due && core.table.unsent() == 0 && core.slow_running == 0;
                if quiet && core.service.owed() == 0 {
                    return;
                }
            }
            if tokio::time::timeout_at(until, self.tick_ended.notified()).await.is_err() {
                let core = self.core.lock();
                tracing::warn!(
                    "event loop {} stops with {} answers owed, {} slow requests running and {} bytes unsent",
                    self.index,
                    core.service.owed(),
                    core.slow_running,
                    core.table.unsent()
                );
                return;
            }
        }
    }
}

/// Completes when a task that never ends ended after all.
async fn panicked(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!("{error}");
    }
}
