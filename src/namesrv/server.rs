//! The running name server: its state, and one `Service` per event loop. Opens (`kvConfig.json`), binds, runs, stops.
//! What it answers is in `handlers`, its rules are in `routes`.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::config::{Config, UpdateError};
use super::error::Error;
use super::handlers::{self, Answer, Call, Place};
use super::kv::Kv;
use super::metrics::Figures;
use super::routes::{Action, Gone, Registration, Routes};
use crate::base::changes::{self, Changes, Surroundings, Told};
use crate::base::clock::{Clock, Millis};
use crate::base::disk::Disk;
use crate::base::properties;
use crate::net::control::Control;
use crate::net::limits::Limits;
use crate::net::mailbox::Mailboxes;
use crate::net::request::OwnedRequest;
use crate::net::server::{LoopContext, Running, Server};
use crate::net::service::{Conn, ConnId, Outbox, Outcome, RequestCx, Service};
use crate::wire::codes::{request, response};
use crate::wire::command::{Command, write_response};

/// Most answers that one loop keeps; when there are more topics than that, all are forgotten and asked for again.
pub const ROUTES_KEPT_MAX: usize = 20_000;
/// Longest body of a change that is read on the event loop; a registration of a hundred topics takes about 0.2 ms.
const READ_ON_LOOP_MAX: usize = 16 * 1024;
/// First byte of a compressed registration: how long that is shows only when it is unpacked.
const COMPRESSED: u8 = 0x78;
/// Most pairs of addresses that were already warned of.
const SUSPECTS_MAX: usize = 1_000;

/// A name server that does not listen yet.
#[derive(Debug)]
pub struct NameServer {
    shared: Arc<Shared>,
}

/// A name server that listens and answers nobody yet.
#[derive(Debug)]
pub struct Bound {
    shared: Arc<Shared>,
    server: Server,
}

impl NameServer {
    /// Reads the key-value file; nothing listens.
    pub fn open(config: Config, disk: Arc<dyn Disk>) -> Result<NameServer, Error> {
        let kv = Kv::open(disk.clone(), config.kv_config_path.clone())?;
        let changes = Changes::open(disk, config.overlay_path())?;
        let shared = Shared {
            routes: Mutex::default(),
            line: Line::default(),
            generation: AtomicU64::new(0),
            kv,
            changes,
            config: RwLock::new(Arc::new(config)),
            config_generation: AtomicU64::new(0),
            changing: Mutex::default(),
            suspects: Mutex::default(),
        };
        Ok(NameServer { shared: Arc::new(shared) })
    }

    /// Listens, with the usual bounds.
    pub fn bind(self) -> Result<Bound, Error> {
        self.bind_within(Limits::default())
    }

    /// Listens.
    pub fn bind_within(self, limits: Limits) -> Result<Bound, Error> {
        let config = self.shared.config();
        let limits = limits.with_settings(config.connections_max, config.idle_close_s);
        let server = Server::bind(&[config.listen], limits)?;
        Ok(Bound { shared: self.shared, server })
    }
}

impl Bound {
    /// Where it really listens.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.server.addrs()
    }

    /// What changes its settings while it runs.
    pub fn settings(&self) -> Settings {
        Settings(self.shared.clone())
    }

    /// What metrics are made from.
    pub fn figures(&self) -> Figures {
        Figures { shared: self.shared.clone() }
    }

    /// Starts the loops. `Running::shutdown` stops it.
    pub fn run(self, clock: Clock, control: Control) -> Result<Running<Infallible>, Error> {
        let shared = self.shared;
        let started = clock.now();
        let loops = shared.config().loops;
        Ok(self.server.run(loops, clock, control, move |cx| Loop::new(shared.clone(), cx, started))?)
    }
}

/// Changes the settings of a name server that runs.
#[derive(Clone, Debug)]
pub struct Settings(Arc<Shared>);

impl Settings {
    /// Says what surrounds the name server in its process.
    pub fn surround(&self, surroundings: Arc<dyn Surroundings>) {
        self.0.changes.surround(surroundings);
    }

    /// Takes over what a file that was read again asks for, as far as it can count while it runs.
    pub fn reload(&self, wanted: &Config) -> Vec<Told> {
        let _changing = self.0.changing.lock();
        let (changed, told) = self.0.config().reloaded(wanted);
        *self.0.config.write() = Arc::new(changed);
        self.0.config_generation.fetch_add(1, Ordering::AcqRel);
        told
    }
}

/// What all loops share.
#[derive(Debug)]
pub(super) struct Shared {
    pub routes: Mutex<Routes>,
    line: Line,
    /// `Routes::generation`, to be read without the lock.
    generation: AtomicU64,
    pub kv: Kv,
    changes: Changes,
    config: RwLock<Arc<Config>>,
    config_generation: AtomicU64,
    changing: Mutex<()>,
    suspects: Mutex<HashSet<(String, IpAddr)>>,
}

/// What a kept answer depends on.
type Epoch = [u64; 3];

impl Shared {
    pub fn config(&self) -> Arc<Config> {
        self.config.read().clone()
    }

    /// An event of the route table.
    pub fn change<T>(&self, event: impl FnOnce(&mut Routes) -> T) -> T {
        let mut routes = self.routes.lock();
        let result = event(&mut routes);
        self.generation.store(routes.generation(), Ordering::Release);
        result
    }

    /// Code 318: what becomes of each key. What was changed is on the disk when it counts. Writes a file.
    pub fn update_config(&self, text: &[u8], asked_by: SocketAddr, now: Millis) -> Result<Vec<Told>, UpdateError> {
        // One change at a time, but nobody waits for the disk to read the settings.
        let _changing = self.changing.lock();
        let asked = self.changes.sort(properties::parse(text)?);
        let overlay = &self.changes.overlay;
        let (updated, told) = self.config().updated(asked, |key| overlay.get(key))?;
        let keep = changes::to_keep(&told, &asked_by.to_string(), now);
        if keep.is_empty() {
            return Ok(told);
        }
        let kept = overlay.keep(&keep).map_err(|error| UpdateError::Keep(error.to_string()))?;
        if let Err(problem) = self.changes.apply(&told) {
            let restored = overlay.restore(kept).map_or_else(|error| format!("; {error}"), |()| String::new());
            return Err(UpdateError::Keep(format!("{problem}{restored}")));
        }
        tracing::info!(
            "{asked_by} changed settings, kept in {}: {}",
            overlay.path().display(),
            self.changes.say(&told)
        );
        *self.config.write() = Arc::new(updated);
        self.config_generation.fetch_add(1, Ordering::AcqRel);
        Ok(told)
    }

    /// What became of the keys of an update, in the words of who asked.
    pub fn say(&self, told: &[Told]) -> String {
        self.changes.say(told)
    }

    /// Tells the log what happened to the brokers. Closing connections is left to the loops.
    pub fn tell(&self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Appeared { broker, id, addr } => tracing::info!("broker {broker} id {id} at {addr} registered"),
                Action::Gone { broker, addr, why: Gone::Unregistered } => {
                    tracing::info!("broker {broker} at {addr} unregistered");
                }
                Action::Gone { broker, addr, why: Gone::ConnectionLost } => {
                    tracing::info!("broker {broker} at {addr} removed: the connection of its registration closed");
                }
                Action::Gone { broker, addr, why: Gone::Silent(silent_ms) } => {
                    tracing::warn!("broker {broker} at {addr} removed: it was silent for {silent_ms} ms");
                }
                Action::Moved { broker, id, from, to } => tracing::warn!(
                    "broker {broker} id {id} is now at {to}; it was at {from}, which is still alive: if both run, \
                     give one another brokerName or brokerId"
                ),
                Action::Superseded { broker, id, addr, holder } => tracing::warn!(
                    "registration of broker {broker} id {id} at {addr} ignored: {holder} holds that id with a newer state"
                ),
                Action::Close(_) | Action::LowestIdChanged { .. } => {}
            }
        }
    }

    /// The most frequent first-day problem: a broker advertises an address that clients cannot reach. Warns once per
    /// broker and source.
    pub fn compare_address(&self, new: &Registration<'_>, source: IpAddr) {
        let Some(doubt) = doubtful_address(new.addr, source) else { return };
        let mut suspects = self.suspects.lock();
        if suspects.len() < SUSPECTS_MAX && suspects.insert((new.addr.to_owned(), source)) {
            tracing::warn!("broker {} advertises {} but registers from {source}: {doubt}", new.broker, new.addr);
        }
    }

    /// A connection closed.
    fn lost(&self, conn: ConnId) {
        let rules = self.config().rules();
        let mut actions = Vec::new();
        self.change(|routes| routes.connection_lost(conn, rules, &mut actions));
        self.tell(&actions);
    }

    fn epoch(&self) -> Epoch {
        [self.generation.load(Ordering::Acquire), self.kv.generation(), self.config_generation.load(Ordering::Acquire)]
    }
}

/// Lets those who change the routes through one after the other, in the order in which they came, wherever they run: a
/// broker that unregisters, or whose connection closes, behind a long registration must not be overtaken by it.
#[derive(Debug, Default)]
struct Line(Arc<AsyncMutex<()>>);

impl Line {
    /// The turn, if nobody waits or has it.
    fn free(&self) -> Option<OwnedMutexGuard<()>> {
        self.0.clone().try_lock_owned().ok()
    }

    /// Joins the end of the line now; the turn comes later.
    fn join(&self) -> impl Future<Output = OwnedMutexGuard<()>> + Send + use<> {
        // The first poll takes the place; without a bound of the runtime's on it, which could put it off.
        let mut turn = Box::pin(tokio::task::unconstrained(self.0.clone().lock_owned()));
        let first = turn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        async move {
            match first {
                Poll::Ready(guard) => guard,
                Poll::Pending => turn.await,
            }
        }
    }
}

/// What is doubtful about an advertised `IP:PORT` that was registered from `source`. A broker on this machine comes
/// from the loopback address whatever it advertises.
fn doubtful_address(advertised: &str, source: IpAddr) -> Option<&'static str> {
    let ip = advertised.parse::<SocketAddr>().ok()?.ip();
    let source = source.to_canonical();
    if ip == source || source.is_loopback() {
        None
    } else if ip.is_loopback() {
        Some("only clients on the broker's own machine reach that address; set brokerIP1 to the machine's address")
    } else {
        Some("if clients cannot connect, set brokerIP1 to an address that they reach")
    }
}

/// One event loop's share.
struct Loop {
    shared: Arc<Shared>,
    index: usize,
    mailboxes: Mailboxes<Infallible>,
    control: Control,
    started: Millis,
    next_scan: Millis,
    kept: Kept,
}

impl Loop {
    fn new(shared: Arc<Shared>, cx: LoopContext<Infallible>, started: Millis) -> Self {
        let kept = Kept { len_max: shared.config().routes_kept_len_max, ..Kept::default() };
        Loop { shared, index: cx.loop_index, mailboxes: cx.mailboxes, control: cx.control, started, next_scan: 0, kept }
    }

    /// Clients ask for the same routes over and over: the frame's body is kept as long as it stands.
    fn route(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        let config = self.shared.config();
        if config.need_wait_for_service && cx.now < self.started + config.wait_seconds_for_service * 1_000 {
            let remark = Some("name server not ready");
            write_response(cx.out, request.reply_to(), response::SYSTEM_ERROR, remark, &[], &[]);
            return Outcome::Done;
        }
        let topic = request.ext.get("topic").filter(|_| handlers::zone_of(request).is_none());
        let Some(topic) = topic else { return self.answer(cx, request) };
        let standard = handlers::wants_standard_json(request);
        let shared = &self.shared;
        let kept = self.kept.get(shared.epoch(), topic, standard, || handlers::route_answer(shared, topic, standard));
        kept.write(cx.out, request.reply_to());
        Outcome::Done
    }

    fn answer(&self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        let call = Call { conn: cx.conn, now: cx.now, request };
        handlers::answer(&self.shared, &call).write(cx.out, request.reply_to());
        Outcome::Done
    }

    /// Answers beside the loop, when `turn` has come.
    fn answer_beside<T: Send>(
        &self,
        cx: &RequestCx<'_>,
        request: &Command<'_>,
        turn: impl Future<Output = T> + Send + 'static,
    ) -> Outcome {
        let (shared, request) = (self.shared.clone(), OwnedRequest::new(cx, request));
        Outcome::Slow(Box::pin(async move {
            let _turn = turn.await;
            let call = Call { conn: request.conn, now: request.now, request: &request.command() };
            let mut out = BytesMut::new();
            handlers::answer(&shared, &call).write(&mut out, request.reply);
            out
        }))
    }

    fn act(&self, actions: &[Action]) {
        self.shared.tell(actions);
        for action in actions {
            if let Action::Close(conn) = action {
                self.mailboxes.close(*conn);
            }
        }
    }
}

impl Service for Loop {
    type Mail = Infallible;

    fn request(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        if request.code == request::GET_ROUTEINFO_BY_TOPIC {
            return self.route(cx, request);
        }
        match handlers::place(request.code) {
            Place::Loop => self.answer(cx, request),
            Place::Beside => self.answer_beside(cx, request, std::future::ready(())),
            Place::Line => {
                let short = request.body.len() <= READ_ON_LOOP_MAX && request.body.first() != Some(&COMPRESSED);
                match self.shared.line.free().filter(|_| short) {
                    Some(_turn) => self.answer(cx, request),
                    None => self.answer_beside(cx, request, self.shared.line.join()),
                }
            }
        }
    }

    fn mail(&mut self, mail: Infallible, _: &mut dyn Outbox) {
        match mail {}
    }

    fn closed(&mut self, conn: Conn) {
        let shared = self.shared.clone();
        if let Some(_turn) = shared.line.free() {
            return shared.lost(conn.id);
        }
        // At most one for each connection.
        let turn = shared.line.join();
        self.control.handle().spawn(async move {
            let _turn = turn.await;
            shared.lost(conn.id);
        });
    }

    fn timer(&mut self, now: Millis, _: &mut dyn Outbox) {
        // A clock that was set back must not stop the scan for as long.
        let interval_ms = self.shared.config().scan_not_active_broker_interval_ms;
        self.next_scan = self.next_scan.min(now + interval_ms);
        if self.index != 0 || now < self.next_scan {
            return;
        }
        self.next_scan = now + interval_ms;
        let rules = self.shared.config().rules();
        let mut actions = Vec::new();
        self.shared.change(|routes| routes.expire(now, rules, &mut actions));
        self.act(&actions);
    }
}

/// Answers to route requests that still stand.
#[derive(Default)]
struct Kept {
    epoch: Epoch,
    len: usize,
    len_max: usize,
    /// Unquoted and standard JSON, by topic.
    answers: [HashMap<String, Answer>; 2],
}

impl Kept {
    fn get(&mut self, epoch: Epoch, topic: &str, standard: bool, ask: impl FnOnce() -> Answer) -> &Answer {
        let full = self.answers[0].len() + self.answers[1].len() >= ROUTES_KEPT_MAX || self.len > self.len_max;
        if self.epoch != epoch || full {
            *self = Kept { epoch, len_max: self.len_max, ..Kept::default() };
        }
        let answers = &mut self.answers[usize::from(standard)];
        if !answers.contains_key(topic) {
            let answer = ask();
            self.len += topic.len() + answer.len();
            answers.insert(topic.to_owned(), answer);
        }
        &answers[topic]
    }
}

#[cfg(test)]
mod tests;
