//! The broker's share of an event loop: hands each request to the part that knows it, owns the tick's batch, the answers
//! that wait for the disk and the pulls that wait for messages. Knows no file, and nothing that takes long runs here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use smallvec::SmallVec;
use tokio::runtime;

use crate::base::clock::Millis;
use crate::base::machine;
use crate::base::metrics::LocalHistogram;
use crate::base::position::PhyOffset;
use crate::net::mailbox::Mailboxes;
use crate::net::server::LoopContext;
use crate::net::service::{Conn, Outbox, Outcome, RequestCx, Service};
use crate::store::{AppendError, Batch, Event, FlushMode, Grown};
use crate::wire::body::DataVersion;
use crate::wire::codes::{self, RequestName, Server, Speed, Status, request, response};
use crate::wire::command::{self, Command, ReplyTo};
use crate::wire::request::{Pull, Send};

use super::admin;
use super::answer::Refusal;
use super::appender::{growth, timed_append};
use super::cold_read::ColdReader;
use super::flush_wait::{FlushWait, FlushWaits};
use super::handles::{Handles, HeldCounts};
use super::hold::{HeldPull, Holds, Slot};
use super::live::View;
use super::pull::{self, OwnedPull, PullCx, Pulled, Puller, Run};
use super::send::{MissingTopic, NotStaged, SendCx, Sender, Stored};
use super::send_back;
use super::topics::{self, SCHEDULE_TOPIC, TopicError, TopicsView};
use crate::net::request::OwnedRequest;

/// Topics that one loop may be making at once; each has a task that waits for a file and for name servers.
pub const TOPICS_IN_MAKING_MAX: usize = 64;
/// Sends of one loop that may wait for a topic to be made.
pub const SENDS_WAITING_FOR_TOPICS_MAX: usize = 4096;

/// How long the first send to a new topic waits for the name servers. A consumer that starts on the sender's word should
/// find the topic in a route; but clients give up after 3 s, and a name server that is down must not cost the send. The
/// topic is in its file by then, and the periodic registration tells whoever was missed.
pub const REGISTER_WAIT: Duration = Duration::from_millis(500);

/// How long a pull waits for the heartbeat that it goes with before it is refused. They are milliseconds apart.
const HEARTBEAT_WAIT_MS: u64 = 1000;

/// How often a pull is tried again because its queue grew while it was being held.
const PULL_RACES_MAX: usize = 3;

/// What other threads say to a loop.
pub enum Mail {
    /// Queues grew: held pulls may have something now.
    Grown(Arc<[Grown]>),
    /// The log is durable up to here.
    Flushed(PhyOffset),
    /// Writing has ended, for this reason.
    Poisoned(String),
    /// A topic that sends wait for is there, or is not to be.
    TopicMade {
        /// Its name.
        topic: String,
        /// Why it is not.
        made: Result<(), Refusal>,
    },
    /// Something that held pulls depend on changed (a topic or a group is gone, an offset was reset): run them all.
    RunHeld,
}

/// Tells the loops what the store says. Never blocks.
pub fn post_event(mailboxes: &Mailboxes<Mail>, held: &HeldCounts, event: &Event) {
    match event {
        Event::Flushed(end) => (0..mailboxes.loops()).for_each(|index| mailboxes.post(index, Mail::Flushed(*end))),
        Event::Grown(grown) => {
            let grown: Arc<[Grown]> = grown.as_slice().into();
            held.holding().for_each(|index| mailboxes.post(index, Mail::Grown(grown.clone())));
        }
        Event::Removing(_) => {}
        Event::Poisoned(reason) => {
            (0..mailboxes.loops()).for_each(|index| mailboxes.post(index, Mail::Poisoned(reason.clone())));
        }
    }
}

/// One loop's share of the broker.
pub struct BrokerService {
    handles: Arc<Handles>,
    loop_index: usize,
    mailboxes: Mailboxes<Mail>,
    control: runtime::Handle,
    cold_reader: ColdReader,
    topics: TopicsView,
    /// The topics that the held pulls were last compared with: a pull of a topic that is gone has to be told.
    topics_seen: DataVersion,
    batch: Batch,
    sender: Sender,
    sync_flush: bool,
    flush_waits: FlushWaits,
    puller: Puller,
    settings: View,
    /// Within so many bytes of the log's end a pull counts as reading from memory.
    near_bytes: u64,
    holds: Holds,
    woken: Vec<Slot>,
    in_making: HashMap<String, Vec<OwnedRequest>>,
    waiting_sends: usize,
    waiting_bytes: usize,
    /// How long appends took; the loop's own until the timer adds it to those of the others.
    append_seconds: LocalHistogram,
}

impl BrokerService {
    /// The service of one loop.
    pub fn new(handles: Arc<Handles>, context: LoopContext<Mail>, cold_reader: ColdReader) -> Self {
        BrokerService {
            topics: handles.topics.view(),
            topics_seen: DataVersion::default(),
            sender: Sender::new(handles.config.get(), context.loop_index as u16, handles.clock.now()),
            sync_flush: handles.store.flush_mode() == FlushMode::Sync,
            loop_index: context.loop_index,
            mailboxes: context.mailboxes,
            control: context.control.handle().clone(),
            cold_reader,
            batch: Batch::bounded(&handles.store, handles.config.get().memory.batch_len_max),
            flush_waits: FlushWaits::default(),
            puller: Puller::default(),
            near_bytes: near_bytes(handles.config.get().access_message_in_memory_max_ratio),
            settings: View::new(&handles.config),
            holds: Holds::default(),
            woken: Vec::new(),
            in_making: HashMap::new(),
            waiting_sends: 0,
            waiting_bytes: 0,
            append_seconds: handles.figures.append.local(),
            handles,
        }
    }

    /// Takes over settings that an administrator changed.
    fn refresh_settings(&mut self) {
        if self.settings.refresh(&self.handles.config) {
            let config = self.settings.get();
            self.near_bytes = near_bytes(config.access_message_in_memory_max_ratio);
            self.sender.set_config(config.clone());
        }
    }

    fn send(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        match self.try_send(cx, request) {
            Ok(outcome) => outcome,
            Err(refusal) => {
                self.refuse_send(cx.out, request.reply_to(), &refusal);
                Outcome::Done
            }
        }
    }

    fn refuse_send(&self, out: &mut BytesMut, reply: ReplyTo, refusal: &Refusal) {
        self.handles.figures.answered(refusal.code);
        self.sender.write_refused(out, reply, refusal);
    }

    fn try_send(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Result<Outcome, Refusal> {
        let header = Send::from_ext(request.code, &request.ext).map_err(Refusal::system)?;
        if self.in_making.contains_key(header.topic) {
            return self.wait_for_topic(cx, request, header.topic);
        }
        if self.flush_waits.len() >= self.settings.get().memory.flush_waits_max {
            let remark = "[REJECTREQUEST]system busy, start flow control for a while: too many sends wait for the disk";
            return Err(Refusal::new(response::SYSTEM_BUSY, remark));
        }
        let staged = match self.stage(cx, request, &header) {
            // More than one batch takes came within one tick: write what there is, answer it at the tick's end.
            Err(NotStaged::BatchFull) => {
                self.append();
                self.stage(cx, request, &header)
            }
            staged => staged,
        };
        match staged {
            Ok(()) => Ok(Outcome::Staged),
            Err(NotStaged::Refused(refusal)) => Err(refusal),
            Err(NotStaged::TopicMissing(missing)) => self.make_topic(cx, request, &header, &missing),
            Err(NotStaged::BatchFull) => {
                Err(Refusal::new(response::MESSAGE_ILLEGAL, "the message is larger than one write to the log takes"))
            }
        }
    }

    fn stage(&mut self, cx: &RequestCx<'_>, request: &Command<'_>, header: &Send<'_>) -> Result<(), NotStaged> {
        let mut send = SendCx {
            conn: cx.conn,
            now: cx.now,
            topics: self.topics.table(),
            groups: &self.handles.groups,
            locks: &self.handles.locks,
            delays: &self.handles.delays,
            stats: &self.handles.stats,
            store: &self.handles.store,
            batch: &mut self.batch,
        };
        self.sender.stage(&mut send, request, header)
    }

    /// Starts making a topic; the send runs again when it is there.
    fn make_topic(
        &mut self,
        cx: &RequestCx<'_>,
        request: &Command<'_>,
        header: &Send<'_>,
        missing: &MissingTopic,
    ) -> Result<Outcome, Refusal> {
        let topic = match missing {
            MissingTopic::Asked => header.topic.to_owned(),
            MissingTopic::DeadLettersOf(group) => topics::dlq_topic(group),
        };
        if self.in_making.contains_key(&topic) {
            return self.wait_for_topic(cx, request, &topic);
        }
        if self.in_making.len() >= TOPICS_IN_MAKING_MAX {
            return Err(busy_making_topics());
        }
        let dead_letters = *missing != MissingTopic::Asked;
        let default_topic = header.default_topic.to_owned();
        let (queue_nums, unit_mode) = (header.default_topic_queue_nums, header.unit_mode);
        self.in_making.insert(topic.clone(), Vec::new());
        let kept = self.wait_for_topic(cx, request, &topic);
        if kept.is_err() {
            self.in_making.remove(&topic);
            return kept;
        }
        let (handles, control) = (self.handles.clone(), self.control.clone());
        let (mailboxes, loop_index) = (self.mailboxes.clone(), self.loop_index);
        self.control.spawn(async move {
            let (topics, name) = (handles.topics.clone(), topic.clone());
            let create = move || match dead_letters {
                true => topics.create_if_missing(send_back::dlq_topic_named(&name)),
                false => topics.create_in_send(&name, &default_topic, queue_nums, unit_mode),
            };
            let made = match control.spawn_blocking(create).await {
                Ok(Ok(created)) => {
                    if created.is_new {
                        // The registration runs by itself; only the wait for it ends with the time-out.
                        let registered = handles.registration.topic_changed(&topic);
                        if tokio::time::timeout(REGISTER_WAIT, registered).await.is_err() {
                            tracing::warn!(
                                "topic {topic}: the name servers were not all told within {} ms; going on, they will be told",
                                REGISTER_WAIT.as_millis()
                            );
                        }
                    }
                    Ok(())
                }
                Ok(Err(error)) => Err(refused_topic(&error)),
                Err(error) => Err(Refusal::new(response::SYSTEM_ERROR, format!("cannot make the topic: {error}"))),
            };
            mailboxes.post(loop_index, Mail::TopicMade { topic, made });
        });
        Ok(Outcome::Held)
    }

    fn wait_for_topic(&mut self, cx: &RequestCx<'_>, request: &Command<'_>, topic: &str) -> Result<Outcome, Refusal> {
        let Some(waiting) = self.in_making.get_mut(topic) else { return Err(busy_making_topics()) };
        if self.waiting_sends >= SENDS_WAITING_FOR_TOPICS_MAX
            || self.waiting_bytes + request.body.len() > self.settings.get().memory.waiting_sends_len_max
        {
            return Err(busy_making_topics());
        }
        self.waiting_sends += 1;
        self.waiting_bytes += request.body.len();
        waiting.push(OwnedRequest::new(cx, request));
        Ok(Outcome::Held)
    }

    fn topic_made(&mut self, topic: &str, made: Result<(), Refusal>, outbox: &mut dyn Outbox) {
        let waiting = self.in_making.remove(topic).unwrap_or_default();
        self.waiting_sends -= waiting.len();
        self.waiting_bytes -= waiting.iter().map(|request| request.body.len()).sum::<usize>();
        let now = self.handles.clock.now();
        for request in waiting {
            // Who sends oneway and hangs up has sent all the same.
            let mut nobody = BytesMut::new();
            let out = outbox.buffer(request.conn.id).unwrap_or(&mut nobody);
            match &made {
                Ok(()) => {
                    let mut cx = RequestCx { conn: request.conn, out, now };
                    // Whatever it is, done, staged or held again, is seen to at the end of the mails.
                    let _outcome = self.send(&mut cx, &request.command());
                }
                Err(refusal) => self.refuse_send(out, request.reply, refusal),
            }
        }
    }

    /// Writes the batch to the log and notes what became of its sends; they are answered in `answer_sends`.
    fn append(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let Handles { store, stats, clock, .. } = &*self.handles;
        match timed_append(store, stats, clock, self.loop_index, &mut self.batch) {
            Ok(took) => {
                self.append_seconds.observe(took.as_secs_f64());
                self.sender.stored(&self.batch);
                self.post_growth();
            }
            Err(error) => self.sender.not_stored(&refusal_of(&error)),
        }
        self.batch.clear();
    }

    /// Tells the loops that hold pulls which queues grew. Under sync flush the store does, once it is durable.
    fn post_growth(&mut self) {
        if self.sync_flush {
            return;
        }
        for record in 0..self.batch.len() {
            let (queue, due) = self.batch.staged(record);
            if queue.topic() == SCHEDULE_TOPIC {
                self.handles.delays.grew(due);
            }
        }
        let mut others: Option<Arc<[Grown]>> = None;
        for index in self.handles.held.holding() {
            if index == self.loop_index {
                for record in 0..self.batch.len() {
                    let (queue, tags_code) = self.batch.staged(record);
                    self.holds.grown(queue, &[tags_code], &mut self.woken);
                }
            } else {
                let grown = others.get_or_insert_with(|| growth(&self.batch).into());
                self.mailboxes.post(index, Mail::Grown(grown.clone()));
            }
        }
    }

    fn answer_sends(&mut self, outbox: &mut dyn Outbox) {
        let flushed = PhyOffset(self.handles.store.flushed().get());
        let deadline = self.handles.clock.now() + self.settings.get().sync_flush_timeout_ms;
        for staged in &self.sender.staged {
            if staged.reply.oneway {
                continue;
            }
            let refused = self.sender.refusal(staged);
            if refused.is_none() && self.sync_flush && staged.waits_for_flush && staged.end > flushed {
                self.flush_waits.push(FlushWait {
                    end: staged.end,
                    deadline,
                    conn: staged.conn,
                    reply: staged.reply,
                    queue_id: staged.queue_id,
                    records: self.sender.records(staged).iter().copied().collect(),
                    unique_key: SmallVec::from_slice(self.sender.unique_key(staged).as_bytes()),
                });
                continue;
            }
            let Some(out) = outbox.buffer(staged.conn) else { continue };
            match refused {
                Some(refusal) => self.refuse_send(out, staged.reply, refusal),
                None => {
                    let stored = Stored {
                        reply: staged.reply,
                        queue_id: staged.queue_id,
                        records: self.sender.records(staged),
                        unique_key: self.sender.unique_key(staged),
                    };
                    let code = self.stored_code(staged.waits_for_flush);
                    self.sender.write_stored(out, &stored, code);
                }
            }
        }
        self.sender.clear();
    }

    /// The code of a stored send: a synchronous master has no slave that could confirm it (INTEROP 08 §2, as Java 4.9).
    fn stored_code(&self, waits: bool) -> i32 {
        if waits && self.settings.get().sync_master { response::SLAVE_NOT_AVAILABLE } else { response::SUCCESS }
    }

    fn answer_flush_wait(&self, wait: &FlushWait, code: i32, outbox: &mut dyn Outbox) {
        let Some(out) = outbox.buffer(wait.conn) else { return };
        let stored = Stored {
            reply: wait.reply,
            queue_id: wait.queue_id,
            records: &wait.records,
            unique_key: std::str::from_utf8(&wait.unique_key).unwrap_or_default(),
        };
        self.sender.write_stored(out, &stored, code);
    }

    fn pull(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        let (reply, lite) = (request.reply_to(), request.code == request::LITE_PULL_MESSAGE);
        match Pull::from_ext(&request.ext) {
            Ok(asked) => self.first_pull(cx, reply, &asked, lite),
            Err(error) => {
                self.handles.figures.answered(response::SYSTEM_ERROR);
                let remark = error.to_string();
                command::write_response(cx.out, reply, response::SYSTEM_ERROR, Some(&remark), &[], &[]);
                Outcome::Done
            }
        }
    }

    fn first_pull(&mut self, cx: &mut RequestCx<'_>, reply: ReplyTo, asked: &Pull<'_>, lite: bool) -> Outcome {
        for _ in 0..PULL_RACES_MAX {
            let (queue, filter, hold_ms) = match self.run_pull(cx, reply, asked, Run::First { lite }) {
                Pulled::Answered => return Outcome::Done,
                Pulled::Cold(read) => return self.read_cold(cx, read),
                Pulled::Empty(empty) => (empty.queue, Some(empty.filter), self.hold_time(asked)),
                Pulled::Early(queue) => (queue, None, HEARTBEAT_WAIT_MS.min(self.hold_time(asked))),
            };
            if self.holds.len() >= self.settings.get().memory.held_pulls_max {
                if filter.is_none() {
                    return self.finish_pull(cx, reply, asked);
                }
                pull::write_not_held(cx.out, reply, asked, &queue);
                return Outcome::Done;
            }
            let early = filter.is_none();
            let slot = self.holds.insert(HeldPull {
                conn: cx.conn,
                reply,
                pull: OwnedPull::new(asked),
                queue: queue.clone(),
                filter,
                deadline: cx.now.saturating_add(hold_ms),
            });
            self.publish_held();
            // Held first, looked at again afterwards: what was stored in between is seen by one side or the other.
            std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
            if early || queue.max().0 as i64 <= asked.queue_offset {
                return Outcome::Held;
            }
            self.holds.remove(slot);
            self.publish_held();
        }
        // The queue grows faster than it can be held: the answer without waiting is right.
        self.finish_pull(cx, reply, asked)
    }

    /// Runs a pull without holding it any further.
    fn finish_pull(&mut self, cx: &mut RequestCx<'_>, reply: ReplyTo, asked: &Pull<'_>) -> Outcome {
        match self.run_pull(cx, reply, asked, Run::Again) {
            Pulled::Cold(read) => self.read_cold(cx, read),
            Pulled::Answered | Pulled::Empty(_) | Pulled::Early(_) => Outcome::Done,
        }
    }

    fn run_pull(&mut self, cx: &mut RequestCx<'_>, reply: ReplyTo, asked: &Pull<'_>, run: Run) -> Pulled {
        let handles = &*self.handles;
        let pull = PullCx {
            config: self.settings.get(),
            topics: self.topics.table(),
            groups: &handles.groups,
            offsets: &handles.offsets,
            clients: &handles.clients,
            store: &handles.store,
            near_bytes: self.near_bytes,
            stats: &handles.stats,
            figures: &handles.figures,
            clock: &handles.clock,
            now: cx.now,
        };
        self.puller.pull(&pull, reply, asked, run, cx.out)
    }

    fn read_cold(&mut self, cx: &mut RequestCx<'_>, read: pull::ColdRead) -> Outcome {
        match self.cold_reader.read(cx.conn.id, read) {
            Ok(()) => Outcome::Held,
            Err(read) => {
                self.handles.figures.answered(response::SYSTEM_BUSY);
                cx.out.extend_from_slice(&read.busy());
                Outcome::Done
            }
        }
    }

    fn hold_time(&self, asked: &Pull<'_>) -> Millis {
        let config = self.settings.get();
        match config.long_polling_enable {
            true => u64::try_from(asked.suspend_timeout_millis).unwrap_or_default(),
            false => config.short_polling_time_mills,
        }
    }

    fn publish_held(&self) {
        self.handles.held.set(self.loop_index, self.holds.len());
    }

    /// Runs the held pulls in `woken` and forgets them.
    fn run_woken(&mut self, outbox: &mut dyn Outbox) {
        if self.woken.is_empty() {
            return;
        }
        let now = self.handles.clock.now();
        let mut woken = std::mem::take(&mut self.woken);
        for slot in woken.drain(..) {
            // A slot may be named twice, by two messages of one tick.
            let Some(held) = self.holds.remove(slot) else { continue };
            let Some(out) = outbox.buffer(held.conn.id) else { continue };
            let mut cx = RequestCx { conn: held.conn, out, now };
            let _outcome = self.finish_pull(&mut cx, held.reply, &held.pull.pull());
        }
        self.woken = woken;
        self.publish_held();
    }

    /// A heartbeat, and then the pulls of its connection that came before it.
    fn heartbeat(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        let outcome = self.answer_now(cx, request);
        let mut early = Vec::new();
        self.holds.heard_from(cx.conn.id, &mut early);
        for slot in early {
            let Some(held) = self.holds.remove(slot) else { continue };
            // Whether code 361 is served was looked at before it was held.
            let _outcome = self.first_pull(cx, held.reply, &held.pull.pull(), false);
            self.publish_held();
        }
        outcome
    }

    fn answer_now(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        let reply = request.reply_to();
        match codes::request(request.code).map(|row| (row.server, row.status)) {
            Some((Server::Broker, Status::Served(Speed::Fast))) => admin::answer_now(&self.handles, cx, request),
            Some((Server::Broker, Status::Served(Speed::Slow))) => {
                let request = OwnedRequest::new(cx, request);
                Outcome::Slow(Box::pin(admin::answer_later(self.handles.clone(), request)))
            }
            row => {
                self.handles.figures.answered(response::REQUEST_CODE_NOT_SUPPORTED);
                let mut remark = format!(" request type {} not supported", request.code);
                if let Some((Server::Broker, Status::Later(theme))) = row {
                    let name = RequestName(request.code);
                    remark.push_str(&format!(": {name} belongs to {theme}, which this broker does not have yet"));
                }
                command::write_response(cx.out, reply, response::REQUEST_CODE_NOT_SUPPORTED, Some(&remark), &[], &[]);
                Outcome::Done
            }
        }
    }
}

impl Service for BrokerService {
    type Mail = Mail;

    fn request(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        self.refresh_settings();
        match request.code {
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => self.send(cx, request),
            request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => self.pull(cx, request),
            request::HEART_BEAT => self.heartbeat(cx, request),
            _ => self.answer_now(cx, request),
        }
    }

    fn commit(&mut self, outbox: &mut dyn Outbox) {
        self.append();
        self.answer_sends(outbox);
        self.run_woken(outbox);
    }

    fn mail(&mut self, mail: Mail, outbox: &mut dyn Outbox) {
        self.refresh_settings();
        match mail {
            Mail::Grown(grown) => {
                grown.iter().for_each(|grown| self.holds.grown(&grown.queue, &grown.tags_codes, &mut self.woken));
                self.run_woken(outbox);
            }
            Mail::Flushed(end) => {
                while let Some(wait) = self.flush_waits.pop_flushed(end) {
                    self.answer_flush_wait(&wait, self.stored_code(true), outbox);
                }
            }
            Mail::Poisoned(reason) => {
                let refusal = refusal_of(&AppendError::Poisoned(reason));
                while let Some(wait) = self.flush_waits.pop() {
                    if let Some(out) = outbox.buffer(wait.conn) {
                        self.refuse_send(out, wait.reply, &refusal);
                    }
                }
            }
            Mail::TopicMade { topic, made } => {
                self.topic_made(&topic, made, outbox);
                outbox.commit_soon();
            }
            Mail::RunHeld => {
                self.holds.all(&mut self.woken);
                self.run_woken(outbox);
            }
        }
    }

    fn response(&mut self, conn: Conn, response: &Command<'_>) {
        admin::response(&self.handles, &conn, response);
    }

    fn closed(&mut self, conn: Conn) {
        self.handles.relays.closed(conn.id);
        self.holds.closed(conn.id);
        self.publish_held();
        self.handles.clients.closed(conn.id);
    }

    fn owed(&self) -> usize {
        self.flush_waits.len() + self.waiting_sends
    }

    fn timer(&mut self, now: Millis, outbox: &mut dyn Outbox) {
        self.refresh_settings();
        self.append_seconds.flush();
        let figures = self.handles.figures.of_loop(self.loop_index);
        figures.flush_waits.store(self.flush_waits.len(), Relaxed);
        figures.topics_in_making.store(self.in_making.len(), Relaxed);
        figures.sends_waiting.store(self.waiting_sends, Relaxed);
        figures.sends_waiting_bytes.store(self.waiting_bytes, Relaxed);
        self.holds.expired(now, &mut self.woken);
        let topics = self.topics.table();
        if self.topics_seen != topics.version {
            self.topics_seen = topics.version;
            self.holds.of_topics(|topic| topics.get(topic).is_none(), &mut self.woken);
        }
        self.run_woken(outbox);
        while let Some(wait) = self.flush_waits.pop_expired(now) {
            // As in Java, what is wrong with the slaves comes before what is wrong with the disk.
            let code = match self.stored_code(true) {
                response::SUCCESS => response::FLUSH_DISK_TIMEOUT,
                other => other,
            };
            self.answer_flush_wait(&wait, code, outbox);
        }
    }
}

/// How near the log's end a record counts as being in memory.
fn near_bytes(ratio: u64) -> u64 {
    machine::memory_bytes() / 100 * ratio
}

/// Java's code for a topic that a send cannot have.
fn refused_topic(error: &TopicError) -> Refusal {
    let code = match error {
        TopicError::Name(_) => response::INVALID_PARAMETER,
        TopicError::NotExist(_) => response::TOPIC_NOT_EXIST,
        _ => response::SYSTEM_ERROR,
    };
    Refusal::new(code, error.to_string())
}

fn busy_making_topics() -> Refusal {
    let remark = "[OVERLOAD]system busy, start flow control for a while: too many topics are being made";
    Refusal::new(response::SYSTEM_BUSY, remark)
}

/// Java's code for a batch that was not stored; the reason names the disk and what to do.
fn refusal_of(error: &AppendError) -> Refusal {
    let remark = format!("service not available now. It may be caused by one of the following reasons: {error}");
    Refusal::new(response::SERVICE_NOT_AVAILABLE, remark)
}
