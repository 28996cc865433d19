//! Notices queues that wait for a consumer group although members of it are there: each member believes that another one
//! owns the queue, or its owner is stuck. Looks at offsets every ten seconds; costs a pull nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use crate::base::clock::Millis;
use crate::base::position::QueueId;
use crate::wire::body::ConsumeType;

use super::handles::Handles;

/// How long a group may leave messages of a queue alone, milliseconds: three rebalances of a client.
const PATIENCE_MS: Millis = 60_000;
/// Pause between two warnings about the same queues of a group's topic, milliseconds.
const WARNING_INTERVAL_MS: Millis = 600_000;
/// Waiting queues that are watched; more are not.
const WATCHED_MAX: usize = 100_000;
/// Queues and members that a warning names; of more it tells how many.
const NAMED_MAX: usize = 16;

/// A queue of a group.
type Place = (String, String, u32);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Where the group is.
    at: i64,
    since: Millis,
}

/// The queues in which groups have not moved.
#[derive(Debug, Default)]
pub struct Unconsumed {
    waiting: HashMap<Place, Waiting>,
    /// What was last said of a group and a topic.
    warned: HashMap<(String, String), Said>,
}

#[derive(Debug)]
struct Said {
    at: Millis,
    queues: BTreeSet<u32>,
}

/// The queues of a topic from which an online group takes nothing.
#[derive(Debug, Default)]
struct Idle {
    queues: Vec<u32>,
    messages: i64,
    longest_ms: Millis,
}

impl Unconsumed {
    /// Looks at every group that is online and consumes by itself; counts what waits too long and answers the warnings
    /// that are due.
    pub fn look(&mut self, handles: &Handles, now: Millis) -> Vec<String> {
        let before = std::mem::take(&mut self.waiting);
        self.warned.retain(|_, said| said.at + WARNING_INTERVAL_MS > now);
        let (mut idle_queues, mut warnings) = (0, Vec::new());
        for (group, members) in handles.clients.consumer_groups() {
            if members.broadcasting || members.consume_type != ConsumeType::Passively {
                continue;
            }
            for topic in members.subscriptions.keys() {
                let Some(config) = handles.topics.get(topic) else { continue };
                let offsets = handles.offsets.of_topic(&group, topic);
                let mut idle = Idle::default();
                for id in 0..config.read_queue_nums {
                    let Some(queue) = handles.store.find_queue(topic, QueueId(id)) else { continue };
                    let at = offsets.get(&id).copied().unwrap_or(queue.min().0 as i64);
                    let lag = queue.max().0 as i64 - at;
                    if lag <= 0 || self.waiting.len() >= WATCHED_MAX {
                        continue;
                    }
                    let place = (group.clone(), topic.clone(), id);
                    let stayed = before.get(&place).filter(|waiting| waiting.at == at);
                    let waiting = stayed.copied().unwrap_or(Waiting { at, since: now });
                    let age_ms = now.saturating_sub(waiting.since);
                    if age_ms >= PATIENCE_MS {
                        idle.queues.push(id);
                        idle.messages += lag;
                        idle.longest_ms = idle.longest_ms.max(age_ms);
                    }
                    self.waiting.insert(place, waiting);
                }
                idle_queues += idle.queues.len() as u64;
                let place = (group.clone(), topic.clone());
                let is_said = |queue: &u32| self.warned.get(&place).is_some_and(|said| said.queues.contains(queue));
                if !idle.queues.iter().all(is_said) {
                    warnings.push(warning(handles, &group, topic, &idle));
                    let said = self.warned.entry(place).or_insert_with(|| Said { at: now, queues: BTreeSet::new() });
                    said.at = now;
                    said.queues.extend(&idle.queues);
                }
            }
        }
        handles.stats.unconsumed_queues.store(idle_queues, Ordering::Relaxed);
        warnings
    }
}

fn warning(handles: &Handles, group: &str, topic: &str, idle: &Idle) -> String {
    let members: Vec<String> = handles
        .clients
        .consumers(group)
        .into_iter()
        .map(|member| format!("{} at {}", member.client_id, member.sender.peer))
        .collect();
    let queues: Vec<String> = idle.queues.iter().map(u32::to_string).collect();
    format!(
        "consumer group {group} is online and takes nothing from queues {} of topic {topic}: {} messages wait, for {} s. \
         Its members: {}. Either no member owns the queues (do all subscribe {topic}, with client ids of their own?) or \
         the owner is stuck: `rocketmq admin consumerStatus -g {group}` tells who owns what; restart that member",
        list(&queues),
        idle.messages,
        idle.longest_ms / 1000,
        list(&members),
    )
}

fn list(all: &[String]) -> String {
    match all.get(..NAMED_MAX) {
        Some(first) if all.len() > NAMED_MAX => format!("{} and {} more", first.join(", "), all.len() - NAMED_MAX),
        _ => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{Broker, START};
    use crate::wire::codes::request;

    #[test]
    fn a_queue_that_nobody_of_an_online_group_takes_from_is_counted_until_somebody_does() {
        let broker = Broker::new("unconsumed");
        let handles = &broker.handles;
        handles.topics.create_in_send("T", "TBW102", 4, false).unwrap();
        broker.put("T", 1, "a", &[]);
        broker.put("T", 2, "b", &[]);
        let beat = r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"G","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*","subVersion":1,"tagsSet":[],"topic":"T"}],"unitMode":false}],"producerDataSet":[]}"#;
        assert_eq!(broker.call(1, request::HEART_BEAT, &[], beat.as_bytes()).code, 0);
        let mut unconsumed = Unconsumed::default();
        let mut look = |seconds: u64| {
            let warnings = unconsumed.look(handles, START + seconds * 1000);
            (handles.stats.unconsumed_queues.load(Ordering::Relaxed), warnings)
        };
        assert_eq!(look(0).0, 0);
        assert_eq!(look(59), (0, Vec::new()), "not yet");
        let (count, warnings) = look(60);
        assert_eq!((count, warnings.len()), (2, 1), "one warning for the topic: {warnings:?}");
        for part in [
            "group G ",
            "queues 1, 2 of topic T: 2 messages wait, for 60 s",
            "members: c at 127.0.0.1:40001",
            "consumerStatus -g G",
        ] {
            assert!(warnings[0].contains(part), "{part}: {warnings:?}");
        }
        handles.offsets.commit("G", "T", QueueId(1), 1);
        assert_eq!(look(70), (1, Vec::new()), "one is consumed, and it was said");
        broker.put("T", 1, "c", &[]);
        assert_eq!(look(80).0, 1, "its next message has waited a moment only");
        broker.put("T", 3, "d", &[]);
        assert_eq!(look(90).0, 1);
        assert_eq!(look(140), (2, Vec::new()), "both were named before");
        let (count, warnings) = look(150);
        assert_eq!((count, warnings.len()), (3, 1), "a queue more is said at once: {warnings:?}");
        assert!(warnings[0].contains("queues 1, 2, 3 of topic T"), "{warnings:?}");
        assert_eq!(look(740).1.len(), 0);
        assert_eq!(look(750).1.len(), 1, "the same is said again after ten minutes");
        handles.clients.closed(Broker::conn(1).id);
        assert_eq!(look(800).0, 0, "a group that is away is nobody's fault");
    }
}
