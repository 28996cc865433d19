//! Warns before messages go that a consumer group has not consumed or that still wait for their delivery time, and counts
//! those that went. Looks at offsets only when files are about to go; costs a send or a pull nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::clock::Millis;
use crate::base::position::{PhyOffset, QueueId, QueueOffset};
use crate::store::{Entry, Queue, ReadError, Removing, Retention, ScanLimits};
use crate::wire::message::RecordView;
use crate::wire::message::properties::{self, REAL_TOPIC};

use super::handles::Handles;
use super::topics::SCHEDULE_TOPIC;

/// A warning comes at least so long before a file expires, milliseconds, if messages are kept that long: time enough to
/// start a consumer or to change `fileReservedTime`.
const LEAD_MS: Millis = 6 * 3_600_000;
/// Pause between two warnings of one group and topic, milliseconds.
const WARNING_INTERVAL_MS: Millis = 3_600_000;
/// Pause between two looks, milliseconds.
const LOOK_INTERVAL_MS: Millis = 60_000;
/// Groups and topics of which one warning names each; of the others it tells the number.
const NAMED_MAX: usize = 20;
/// Groups and topics whose last warning is remembered.
const REMEMBERED_MAX: usize = 100_000;

/// So many bytes of delayed messages one look reads to learn their topics; the others are told of as one.
const DELAYED_READ_LEN_MAX: u64 = 64 << 20;
/// What reading one of them counts at least.
const DELAYED_READ_LEN_MIN: u64 = 4096;

/// What a group has not consumed of a topic, or what of it is delayed and not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The group; `None`: delayed messages, which no group could consume.
    pub group: Option<String>,
    /// The topic.
    pub topic: String,
    /// Messages, over all queues.
    pub messages: u64,
    /// When the oldest of them was stored, milliseconds; `None` when it cannot be read.
    pub oldest: Option<i64>,
}

/// The warnings, and what they counted.
#[derive(Debug, Default)]
pub struct Losses {
    /// Messages that go within hours and that groups have not consumed, or that are not delivered yet; as of the last look.
    pub expiring: AtomicU64,
    /// Messages that went although a group had not consumed them, since the start; one counts for each such group, and
    /// one that was not delivered yet counts once.
    pub removed: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    next_look: Millis,
    /// When each group and topic was warned of last.
    warned: HashMap<(Option<String>, String), Millis>,
}

impl Losses {
    /// Looks whether messages that a group has not consumed go soon, warns of them, and publishes how many. Reads the disk.
    pub fn look(&self, handles: &Handles, now: Millis) {
        let mut told = self.told.lock();
        if now < told.next_look {
            return;
        }
        told.next_look = now + LOOK_INTERVAL_MS;
        let settings = handles.store.retention();
        let lead = LEAD_MS.min(settings.reserved_ms / 4);
        let leaving = match handles.store.leaving(lead) {
            Ok(leaving) => leaving,
            Err(error) => {
                tracing::debug!("which files go soon is not known: {error}");
                return;
            }
        };
        let unread = leaving.map(|leaving| unread_of(handles, leaving)).unwrap_or_default();
        self.expiring.store(unread.iter().map(|unread| unread.messages).sum(), Ordering::Relaxed);
        told.warned.retain(|_, at| *at + WARNING_INTERVAL_MS > now);
        let new: Vec<Unread> = unread
            .into_iter()
            .filter(|unread| !told.warned.contains_key(&(unread.group.clone(), unread.topic.clone())))
            .collect();
        let Some(leaving) = leaving.filter(|_| !new.is_empty()) else { return };
        let when = if leaving.forced {
            let limit = settings.force_percent;
            format!("are the next to go when the disk is more than {limit} % full (diskSpaceCleanForciblyRatio)")
        } else {
            format!("go when they are older than {} (fileReservedTime)", kept(&settings))
        };
        let told_of = name(&new, &when, now);
        let todo = "start the group's consumers, keep messages longer (fileReservedTime can be changed while the broker runs), \
                    add disk space, or delete a group that nobody uses any more";
        tracing::warn!("messages that were not consumed are about to be removed: {told_of}; {todo}");
        for unread in new.into_iter().take(REMEMBERED_MAX.saturating_sub(told.warned.len())) {
            told.warned.insert((unread.group, unread.topic), now);
        }
    }

    /// A log file goes now: says what goes with it unconsumed, and counts it. Reads the disk.
    pub fn removing(&self, handles: &Handles, removing: Removing) {
        let unread = unread_of(handles, removing);
        let messages: u64 = unread.iter().map(|unread| unread.messages).sum();
        if messages == 0 {
            return;
        }
        self.removed.fetch_add(messages, Ordering::Relaxed);
        let why = if removing.forced {
            "for lack of room, although they are not expired (cleanFileForciblyEnable=false refuses new messages instead)".to_owned()
        } else {
            format!("because they are older than {} (fileReservedTime)", kept(&handles.store.retention()))
        };
        let told_of = name(&unread, "are removed", handles.clock.now());
        tracing::warn!("messages that were not consumed are removed {why}: {told_of}");
    }
}

fn kept(settings: &Retention) -> String {
    format!("{} h", settings.reserved_ms / 3_600_000)
}

fn name(unread: &[Unread], what: &str, now: Millis) -> String {
    let mut parts: Vec<String> = unread
        .iter()
        .take(NAMED_MAX)
        .map(|unread| {
            let age = unread.oldest.and_then(|oldest| now.checked_sub(u64::try_from(oldest).ok()?));
            let age = age.map_or(String::new(), |age| format!(", the oldest {} old", age_text(age)));
            let (messages, topic) = (unread.messages, &unread.topic);
            match &unread.group {
                Some(group) => format!("{messages} of topic {topic} for group {group}{age}"),
                None => format!("{messages} of topic {topic} that are delayed and not delivered yet{age}"),
            }
        })
        .collect();
    if unread.len() > NAMED_MAX {
        parts.push(format!("and of {} more topics and groups", unread.len() - NAMED_MAX));
    }
    format!("{} {what}", parts.join("; "))
}

fn age_text(age_ms: Millis) -> String {
    const MINUTE_MS: Millis = 60_000;
    match age_ms / MINUTE_MS {
        0 => format!("{} s", age_ms / 1000),
        minutes @ 1..120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

/// What groups have not consumed of a part of the log, and what is not delivered yet; most messages first.
pub fn unread_of(handles: &Handles, part: Removing) -> Vec<Unread> {
    let store = &handles.store;
    // By queue: the first message in the part and the first behind it.
    let mut parts: HashMap<(String, u32), (u64, u64)> = HashMap::new();
    let mut all = Vec::new();
    for group in handles.offsets.groups() {
        for topic in handles.offsets.topics_of(&group) {
            let (mut messages, mut oldest) = (0, None);
            for (id, offset) in handles.offsets.of_topic(&group, &topic) {
                let Some(queue) = store.find_queue(&topic, QueueId(id)) else { continue };
                let from = u64::try_from(offset).unwrap_or(0);
                if from >= queue.max().0 {
                    continue;
                }
                // A queue's own oldest message follows the log's a little later.
                let find = || (first_at(handles, &queue, part.from), first_at(handles, &queue, part.to));
                let (first, stays) = *parts.entry((topic.clone(), id)).or_insert_with(find);
                let from = from.max(first);
                if from < stays {
                    messages += stays - from;
                    let time = store.store_time(&queue, QueueOffset(from)).ok().flatten();
                    oldest = [oldest, time].into_iter().flatten().min();
                }
            }
            if messages > 0 {
                all.push(Unread { group: Some(group.clone()), topic, messages, oldest });
            }
        }
    }
    all.append(&mut undelivered_of(handles, part));
    all.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| (&a.group, &a.topic).cmp(&(&b.group, &b.topic))));
    all
}

/// Delayed messages of a part of the log that are not delivered yet, by the topics that they are for.
fn undelivered_of(handles: &Handles, part: Removing) -> Vec<Unread> {
    let mut by_topic: HashMap<String, Unread> = HashMap::new();
    let mut count = |topic: &str, messages, stored: Option<i64>| {
        let none = || Unread { group: None, topic: topic.to_owned(), messages: 0, oldest: None };
        let unread = by_topic.entry(topic.to_owned()).or_insert_with(none);
        unread.messages += messages;
        unread.oldest = [unread.oldest, stored].into_iter().flatten().min();
    };
    let mut read_len = 0;
    for (index, (next, _)) in handles.delays.delivered_to().into_iter().enumerate() {
        let Some(queue) = handles.store.find_queue(SCHEDULE_TOPIC, QueueId(index as u32)) else { continue };
        let (mut at, stays) = (next.max(first_at(handles, &queue, part.from)), first_at(handles, &queue, part.to));
        while at < stays && read_len < DELAYED_READ_LEN_MAX {
            let mut entries = Vec::new();
            let scanned =
                handles.store.scan(&queue, QueueOffset(at), &ScanLimits::default(), &mut |_| true, &mut entries);
            let Some(scan) = scanned.ok().filter(|scan| scan.next_begin.0 > at) else { break };
            for entry in entries.iter().filter(|entry| entry.queue_offset.0 < stays) {
                read_len += u64::from(entry.size).max(DELAYED_READ_LEN_MIN);
                let told = real_topic(handles, entry).unwrap_or_else(|_| (SCHEDULE_TOPIC.to_owned(), None));
                count(&told.0, 1, told.1);
            }
            at = scan.next_begin.0;
        }
        if at < stays {
            count(SCHEDULE_TOPIC, stays - at, handles.store.store_time(&queue, QueueOffset(at)).ok().flatten());
        }
    }
    by_topic.into_values().collect()
}

/// The topic that a delayed message is for, and when it was stored.
fn real_topic(handles: &Handles, entry: &Entry) -> Result<(String, Option<i64>), ReadError> {
    let bytes = handles.store.record_at(entry.phy)?.ok_or(ReadError::Gone)?;
    let record = RecordView::parse(&bytes).map_err(|_| ReadError::Gone)?;
    let topic = properties::get(record.properties(), REAL_TOPIC).unwrap_or(SCHEDULE_TOPIC);
    Ok((topic.to_owned(), Some(record.store_timestamp())))
}

/// The first message of a queue that stays when the log begins at `limit`; what cannot be read stays.
fn first_at(handles: &Handles, queue: &Queue, limit: PhyOffset) -> u64 {
    handles.store.first_from(queue, limit).map_or_else(|_| queue.min().0, |first| first.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::Broker;

    const HOUR_MS: u64 = 3_600_000;

    /// Twenty messages in each of two queues, ten every ten hours, each with 100 kB, so that a log file holds ten.
    fn filled(name: &str) -> Broker {
        let broker = Broker::new(name);
        broker.handles.topics.create_in_send("T", "TBW102", 4, false).unwrap();
        let body = "x".repeat(100_000);
        for at in 0..40 {
            broker.put("T", at % 2, &body, &[]);
            if at % 10 == 9 {
                broker.handles.clock.advance(10 * HOUR_MS);
            }
        }
        broker.handles.store.derive_step().unwrap();
        broker
    }

    #[test]
    fn a_group_that_lags_is_warned_of_before_its_messages_go_and_they_are_counted_when_they_go() {
        let broker = filled("losses");
        let (handles, losses) = (&broker.handles, Losses::default());
        handles.offsets.commit("behind", "T", QueueId(0), 2);
        handles.offsets.commit("behind", "T", QueueId(1), 20);
        handles.offsets.commit("upToDate", "T", QueueId(0), 20);
        let look = |hours: u64| {
            handles.clock.advance(hours * HOUR_MS);
            losses.look(handles, handles.clock.now());
            losses.expiring.load(Ordering::Relaxed)
        };
        assert_eq!(look(0), 0);
        assert_eq!(look(30), 0, "the oldest file is complete for 60 hours");
        let soon = look(7);
        assert_eq!(soon, 3, "messages 4, 6 and 8 of the first file");
        let leaving = handles.store.leaving(6 * HOUR_MS).unwrap().unwrap();
        let unread = unread_of(handles, leaving);
        assert_eq!(unread.len(), 1);
        assert_eq!(
            (unread[0].group.as_deref(), unread[0].topic.as_str(), unread[0].messages),
            (Some("behind"), "T", soon)
        );
        assert!(unread[0].oldest.is_some());
        let text = name(&unread, "go", handles.clock.now());
        assert!(text.contains("of topic T for group behind, the oldest 77 h old go"), "{text}");

        let removing = Removing { from: PhyOffset(0), to: leaving.to, forced: false };
        losses.removing(handles, removing);
        assert_eq!(losses.removed.load(Ordering::Relaxed), soon);
        let next = Removing { from: leaving.to, to: PhyOffset(2 << 20), forced: true };
        losses.removing(handles, next);
        assert_eq!(losses.removed.load(Ordering::Relaxed), soon + 5, "what went before is not counted again");
        handles.offsets.commit("behind", "T", QueueId(0), 20);
        losses.removing(handles, removing);
        assert_eq!(losses.removed.load(Ordering::Relaxed), soon + 5, "nothing is lost on those who consume");
        assert_eq!(look(1), 0);
    }

    #[test]
    fn delayed_messages_that_go_before_they_are_delivered_are_told_by_the_topics_they_are_for_and_counted() {
        let broker = Broker::new("losses-delayed");
        let (handles, losses) = (&broker.handles, Losses::default());
        let body = "x".repeat(100_000);
        for at in 0..20 {
            let topic = if at % 4 == 0 { "Rare" } else { "Often" };
            // Two levels; a message whose real topic is not known is told of all the same.
            let properties: &[_] = if at == 5 { &[] } else { &[(REAL_TOPIC, topic)] };
            broker.put(SCHEDULE_TOPIC, 14 + at % 2, &body, properties);
        }
        handles.store.derive_step().unwrap();
        handles.clock.advance(71 * HOUR_MS);
        losses.look(handles, handles.clock.now());
        assert_eq!(losses.expiring.load(Ordering::Relaxed), 10, "a log file holds ten");
        let leaving = handles.store.leaving(6 * HOUR_MS).unwrap().unwrap();
        let unread = unread_of(handles, leaving);
        let told: Vec<_> = unread.iter().map(|unread| (unread.topic.as_str(), unread.messages)).collect();
        assert_eq!(told, [("Often", 6), ("Rare", 3), (SCHEDULE_TOPIC, 1)]);
        let text = name(&unread, "go", handles.clock.now());
        let often = "6 of topic Often that are delayed and not delivered yet, the oldest 71 h old; 3 of topic Rare";
        assert!(text.starts_with(often), "{text}");
        losses.removing(handles, leaving);
        assert_eq!(losses.removed.load(Ordering::Relaxed), 10);

        // What was delivered is not lost.
        let tell: crate::broker::appender::Tell = std::sync::Arc::new(|_| {});
        let appender = crate::broker::appender::Appender::new(
            handles.store.clone(),
            tell,
            handles.stats.clone(),
            handles.clock.clone(),
        );
        handles.delays.step(&appender, &mut crate::store::Batch::new(&handles.store));
        losses.removing(handles, leaving);
        assert_eq!(losses.removed.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn many_groups_are_told_of_in_one_line_with_the_largest_first() {
        let unread = |group: usize| Unread {
            group: Some(format!("g{group}")),
            topic: "T".into(),
            messages: 100 - group as u64,
            oldest: Some(1_000_000),
        };
        let many: Vec<Unread> = (0..NAMED_MAX + 5).map(unread).collect();
        let text = name(&many, "go", 1_000_000 + 90_000);
        assert!(text.starts_with("100 of topic T for group g0, the oldest 1 min old; 99 of"), "{text}");
        assert!(text.ends_with("and of 5 more topics and groups go"), "{text}");
        assert_eq!([30_000, 7_200_000].map(age_text), ["30 s", "2 h"]);
    }
}
