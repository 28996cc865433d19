//! One broker as a running part: it listens before anything on disk is touched, opens store and state files, starts loops,
//! readers and registration, and stops in the order that loses nothing. Knows no command line.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use thiserror::Error;
use tokio::runtime;

use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::progress::Progress;
use crate::base::pulse::Pulse;
use crate::base::shutdown::{self, Shutdown};
use crate::net::control::{Control, kept_up};
use crate::net::limits::Limits;
use crate::net::mailbox::Mailboxes;
use crate::net::server::{self, Counts, ServerError};
use crate::net::service::ConnId;
use crate::store::{self, Background, CloseError, Event, RecoveryReport, Store};

use super::appender::Notice;
use super::clients::EXPIRY_SCAN_INTERVAL_MS;
use super::cold_read::ColdReader;
use super::config::Config;
use super::delay::Deliverer;
use super::handles::{Handles, HeldCounts};
use super::metrics::Collector;
use super::open;
use super::registration::Identity;
use super::saver::Saver;
use super::service::{BrokerService, Mail, post_event};
use super::state_file::StateFileError;
use super::topics::PERM_WRITE;
use super::unconsumed::Unconsumed;

/// How long a stop waits for answers that are owed.
pub const ANSWERS_DRAIN: Duration = Duration::from_secs(3);

/// Nobody sends any more when nothing was appended for so long.
const QUIET: Duration = Duration::from_millis(200);

/// Why a broker does not start, or did not stop cleanly.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// The configuration contradicts itself or asks for what is not built; all problems at once.
    #[error("the broker's configuration cannot be used: {}", .0.join("; "))]
    Config(Vec<String>),
    /// A listener or a loop.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// A state file cannot be used.
    #[error(transparent)]
    State(#[from] open::OpenError),
    /// A thread could not be made.
    #[error("cannot start {what}: {source}; check the limit on threads (ulimit -u)")]
    Thread {
        /// Which part.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The last save of a state file failed.
    #[error("the broker's state was not saved at the stop: {0}")]
    Save(#[from] StateFileError),
    /// The store was not closed cleanly; the next start recovers.
    #[error(transparent)]
    Close(#[from] CloseError),
}

/// A broker that listens and has touched no disk.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    server: server::Server,
    progress: Progress,
}

/// A broker whose store and state files are open; it answers nobody yet.
pub struct Opened {
    handles: Arc<Handles>,
    server: server::Server,
    post: Arc<OnceLock<Mailboxes<Mail>>>,
    /// What recovery found and did.
    pub report: RecoveryReport,
}

/// A broker at work. Dropping it stops it without a clean close, like a crash: call `stop`.
pub struct Running {
    handles: Arc<Handles>,
    control: runtime::Handle,
    slow: Control,
    loops: server::Running<Mail>,
    readers: Vec<JoinHandle<()>>,
    background: Background,
    saver: Saver,
    deliverer: Deliverer,
    stop: shutdown::Trigger,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    identity: Identity,
}

impl Bound {
    /// Checks the configuration and listens on `listenPort` and, for the VIP channel of old clients, two below.
    pub fn bind(mut config: Config, limits: Limits) -> Result<Bound, BrokerError> {
        let problems = config.check();
        if !problems.is_empty() {
            return Err(BrokerError::Config(problems));
        }
        let mut addrs = vec![SocketAddr::new(config.bind_ip, config.listen_port)];
        if config.vip_channel && config.listen_port > 2 {
            addrs.push(SocketAddr::new(config.bind_ip, config.listen_port - 2));
        }
        let limits = limits.with_settings(config.connections_max, config.idle_close_s);
        let server = server::Server::bind(&addrs, limits)?;
        if let Some(addr) = server.addrs().first() {
            config.listen_port = addr.port();
        }
        Ok(Bound { config, server, progress: Progress::default() })
    }

    /// The addresses listened on.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.server.addrs()
    }

    /// How far the recovery is that `open` may need.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Opens the store and the state files below the configuration's `storePathRootDir`.
    pub fn open(self, store: store::Config, disk: Arc<dyn Disk>, clock: Clock) -> Result<Opened, BrokerError> {
        let config = Arc::new(self.config);
        let (store, report) = Store::open_telling(store, disk.clone(), clock.clone(), self.progress)?;
        let mailboxes: Arc<OnceLock<Mailboxes<Mail>>> = Arc::default();
        let post = mailboxes.clone();
        let post = Arc::new(move |conn: ConnId, frame: BytesMut| {
            // There is no connection before there are loops.
            if let Some(mailboxes) = post.get() {
                mailboxes.post_frame(conn, frame);
            }
        });
        let told = mailboxes.clone();
        let tell = move |held: &HeldCounts, notice: Notice<'_>| match (told.get(), notice) {
            (Some(mailboxes), Notice::Stored(event)) => post_event(mailboxes, held, event),
            (Some(mailboxes), Notice::RulesChanged) => {
                held.holding().for_each(|index| mailboxes.post(index, Mail::RunHeld));
            }
            // There are no held pulls before there are loops.
            (None, _) => {}
        };
        let handles = Handles::open(config, disk, clock, store, post, tell)?;
        Ok(Opened { handles: Arc::new(handles), server: self.server, post: mailboxes, report })
    }
}

impl Opened {
    /// Starts everything; from now on clients are answered.
    pub fn start(self, control: Control) -> Result<Running, BrokerError> {
        let Opened { handles, server, post, report: _ } = self;
        let thread = |what| move |source| BrokerError::Thread { what, source };
        let background = handles.store.start().map_err(thread("the store's background threads"))?;
        let (readers_post, config) = (post.clone(), handles.config.get());
        let send_read = Arc::new(move |conn: ConnId, frame: BytesMut| {
            if let Some(mailboxes) = readers_post.get() {
                mailboxes.post_frame(conn, frame);
            }
        });
        let (figures, stats, clock) = (handles.figures.clone(), handles.stats.clone(), handles.clock.clone());
        let (cold_reader, readers) = ColdReader::start(handles.store.clone(), figures, stats, clock, send_read)
            .map_err(thread("the readers of cold messages"))?;
        let (shared, service_post) = (handles.clone(), post.clone());
        let loops = server.run(config.loops, handles.clock.clone(), control.clone(), move |context| {
            // The first loop to come here publishes the mailboxes; they are the same for all.
            let _first = service_post.set(context.mailboxes.clone());
            BrokerService::new(shared.clone(), context, cold_reader.clone())
        })?;
        let mailboxes = loops.mailboxes().clone();
        let (listening, delays) = ((mailboxes.clone(), handles.held.clone()), handles.delays.clone());
        handles.store.listen(Arc::new(move |event| {
            post_event(&listening.0, &listening.1, event);
            delays.told(event);
        }));
        // Weak: the store's own listeners must not keep it open.
        let losing = Arc::downgrade(&handles);
        handles.store.listen(Arc::new(move |event| {
            if let (Event::Removing(removing), Some(handles)) = (event, losing.upgrade()) {
                handles.losses.removing(&handles, *removing);
            }
        }));
        // What was flushed before somebody listened.
        let flushed = crate::base::position::PhyOffset(handles.store.flushed().get());
        (0..mailboxes.loops()).for_each(|index| mailboxes.post(index, Mail::Flushed(flushed)));

        let saver = Saver::start(handles.clone()).map_err(thread("the thread that saves offsets"))?;
        let deliverer = Deliverer::start(handles.delays.clone(), handles.appender.clone())
            .map_err(thread("the thread that delivers delayed messages"))?;
        let (stop, stopped) = shutdown::channel();
        let identity = identity(&config);
        let handle = control.handle().clone();
        let registering = handles.registration.start(identity.clone(), handles.topics.clone(), &handle, &stopped);
        let looking = handles.clone();
        let every_ten_seconds = move || every_ten_seconds(looking.clone(), mailboxes.clone(), stopped.clone());
        let tasks =
            vec![registering, handle.spawn(kept_up("what the broker does every ten seconds", every_ten_seconds))];
        Ok(Running {
            handles,
            control: handle,
            slow: control,
            loops,
            readers,
            background,
            saver,
            deliverer,
            stop,
            tasks,
            identity,
        })
    }
}

impl Running {
    /// The addresses listened on.
    pub fn addrs(&self) -> &[SocketAddr] {
        self.loops.addrs()
    }

    /// What this broker is made of, for tests and tools in this process.
    pub fn handles(&self) -> &Arc<Handles> {
        &self.handles
    }

    /// What metrics are made from.
    pub fn metrics(&self) -> Collector {
        Collector::new(self.handles.clone(), self.loops.watch(), self.slow.clone())
    }

    /// Counts of the loops.
    pub fn counts(&self) -> Counts {
        self.loops.counts()
    }

    /// Whether every loop and the flusher get on.
    pub fn pulse(&self) -> Pulse {
        self.loops.beats().iter().chain([self.background.flusher()]).cloned().collect()
    }

    /// Completes when a loop died: the process can only end then.
    pub fn failed(&self) -> Shutdown {
        self.loops.failed()
    }

    /// Stops cleanly: sends producers elsewhere, leaves the name servers, answers what is held and owed, saves the state
    /// files, closes the store. Goes through the whole list whatever fails, and returns the first failure. Blocks; not for
    /// a thread of the control runtime.
    pub fn stop(self) -> Result<(), BrokerError> {
        self.send_producers_elsewhere();
        let Running { handles, control, slow: _, loops, readers, background, saver, deliverer, stop, tasks, identity } =
            self;
        stop.stop();
        control.block_on(async {
            for task in tasks {
                if let Err(error) = task.await {
                    tracing::error!("a background task of the broker ended badly: {error}");
                }
            }
            handles.registration.unregister(&identity).await;
        });
        // A pull that is held is answered that nothing is there, instead of losing its connection.
        (0..loops.mailboxes().loops()).for_each(|index| loops.mailboxes().post(index, Mail::RunHeld));
        loops.shutdown(ANSWERS_DRAIN);
        for reader in readers {
            if reader.join().is_err() {
                tracing::error!("a reader thread panicked; the panic is in the log above");
            }
        }
        deliverer.stop();
        saver.stop();
        let closed = handles.store.close();
        let saved = handles.close();
        background.stop();
        saved?;
        closed?;
        Ok(())
    }
}

impl Running {
    /// Tells the name servers that nothing may be written here any more, as `wipeWritePerm` does, and goes on serving until
    /// nobody sends, or until `drainTime` is over: producers look for new routes every 30 s, and go elsewhere at once when
    /// their connection ends.
    fn send_producers_elsewhere(&self) {
        let (config, handles) = (self.handles.config.get(), &self.handles);
        let drain = Duration::from_millis(config.drain_time_ms);
        if config.namesrv_addrs.is_empty() || drain.is_zero() {
            return;
        }
        // Name servers look at the version of the topics only.
        if let Err(error) = handles.topics.touch() {
            tracing::warn!("producers are not sent elsewhere before the stop: {error}");
        }
        self.control.block_on(async {
            let until = tokio::time::Instant::now() + drain;
            handles.registration.change_identity(|identity| identity.broker_permission &= !PERM_WRITE);
            handles.registration.settings_changed().await;
            let mut appended = handles.store.appended().get();
            loop {
                let look = tokio::time::Instant::now() + QUIET;
                tokio::time::sleep_until(look.min(until)).await;
                let now = handles.store.appended().get();
                if now == appended || look >= until {
                    return;
                }
                appended = now;
            }
        });
    }
}

fn identity(config: &Config) -> Identity {
    let broker_addr = config.store_host();
    Identity {
        broker_name: config.broker_name.clone(),
        cluster_name: config.broker_cluster_name.clone(),
        broker_id: config.broker_id,
        broker_addr,
        ha_server_addr: SocketAddr::new(config.broker_ip1, config.listen_port.saturating_add(1)),
        broker_permission: config.broker_permission,
        period_ms: config.register_name_server_period_ms,
        force: config.force_register,
    }
}

/// Every ten seconds: a sample of the figures, and the end of memberships without heartbeats and of locks.
async fn every_ten_seconds(handles: Arc<Handles>, mailboxes: Mailboxes<Mail>, mut stopped: Shutdown) {
    let mut unconsumed = Unconsumed::default();
    while !wait(Duration::from_millis(EXPIRY_SCAN_INTERVAL_MS), &mut stopped).await {
        let now = handles.refresh_stats();
        handles.stats.sample(now);
        for warning in unconsumed.look(&handles, now) {
            tracing::warn!("{warning}");
        }
        let looking = handles.clone();
        // It reads the disk.
        if let Err(error) = tokio::task::spawn_blocking(move || looking.losses.look(&looking, now)).await {
            tracing::error!("the look for messages that go unconsumed failed: {error}");
        }
        handles.locks.expire(now);
        for conn in handles.clients.expire(now) {
            mailboxes.close(conn);
        }
    }
}

/// Waits; true when the broker stops.
async fn wait(interval: Duration, stopped: &mut Shutdown) -> bool {
    tokio::select! {
        () = tokio::time::sleep(interval) => false,
        () = stopped.stopped() => true,
    }
}
