//! What an administrator wants removed because it is too old, now and not at its hour.

use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::handles::Handles;
use crate::store::Cleaned;

/// CLEAN_EXPIRED_CONSUMEQUEUE: files of queues that lead only to messages which have left the log, and whole queues of topics
/// that are not there any more. Unlike Java's, a queue of a topic that is there keeps its numbers when it is empty: its next
/// message would else get number 0, and groups whose offsets lie behind it would never see it.
pub(super) fn queues(handles: &Handles) -> Answered {
    let store = &handles.store;
    let cleaned = store.trim_queues().map_err(Refusal::system)?;
    let mut gone = 0;
    for topic in store.topics() {
        let is_kept = handles.topics.get(&topic).is_some() || handles.topics.settings().is_system(&topic);
        let queues = store.queues_of(&topic);
        let is_empty = queues.iter().all(|queue| queue.max().0 > 0 && queue.min() == queue.max());
        if !is_kept && is_empty && !queues.is_empty() {
            store.delete_topic(&topic).map_err(Refusal::system)?;
            handles.offsets.delete_topic(&topic);
            gone += queues.len();
        }
    }
    Ok(told(&cleaned, gone))
}

/// DELETE_EXPIRED_COMMITLOG: files of the log whose messages are all older than `fileReservedTime`, but never the newest, and
/// what leads only to them.
pub(super) fn log(handles: &Handles) -> Answered {
    let cleaned = handles.store.delete_expired().map_err(Refusal::system)?;
    Ok(told(&cleaned, 0))
}

fn told(cleaned: &Cleaned, queues: usize) -> Answer {
    let Cleaned { log_files, queue_files, index_files, .. } = cleaned;
    let remark = format!(
        "removed: {log_files} files of the log, {queue_files} of queues, {index_files} of the index, {queues} queues of gone topics"
    );
    Answer { remark: Some(remark.into()), ..Answer::empty() }
}

#[cfg(test)]
mod tests {
    use crate::base::position::QueueId;
    use crate::broker::fixture::Broker;
    use crate::wire::codes::request::{CLEAN_EXPIRED_CONSUMEQUEUE, DELETE_EXPIRED_COMMITLOG, GET_ALL_DELAY_OFFSET};

    #[test]
    fn files_whose_messages_are_all_too_old_go_at_once_and_queues_follow() {
        let broker = Broker::new("expired");
        let removed = |code| {
            let got = broker.call(1, code, &[], &[]);
            assert_eq!(got.code, 0, "{}", got.remark);
            got.remark
        };
        assert!(removed(CLEAN_EXPIRED_CONSUMEQUEUE).starts_with("removed: 0 files of the log, 0 of queues"));
        assert!(removed(DELETE_EXPIRED_COMMITLOG).starts_with("removed: 0 files of the log"));
        let body = "x".repeat(100_000);
        broker.handles.topics.create_in_send("T", "TBW102", 4, false).unwrap();
        broker.put("Gone", 0, &body, &[]);
        for _ in 0..25 {
            broker.put("T", 0, &body, &[]);
        }
        broker.handles.store.derive_step().unwrap();
        assert!(removed(DELETE_EXPIRED_COMMITLOG).starts_with("removed: 0 files of the log"), "all of it is new");
        broker.handles.clock.advance(73 * 3_600_000);
        assert!(removed(DELETE_EXPIRED_COMMITLOG).starts_with("removed: 2 files of the log"));
        let store = &broker.handles.store;
        let queue = store.find_queue("T", QueueId(0)).unwrap();
        assert!(queue.min().0 > 0 && queue.max().0 == 25, "{queue:?}");
        assert_eq!(store.log_min().0, 2 << 20);
        assert!(removed(CLEAN_EXPIRED_CONSUMEQUEUE).ends_with("1 queues of gone topics"));
        assert!(store.find_queue("Gone", QueueId(0)).is_none());
        assert!(store.find_queue("T", QueueId(0)).is_some());
    }

    #[test]
    fn the_place_of_each_delay_level_is_told() {
        let broker = Broker::new("delay-offsets");
        let got = broker.call(1, GET_ALL_DELAY_OFFSET, &[], &[]);
        assert_eq!(got.code, 0);
        assert!(got.json()["offsetTable"].is_object(), "{:?}", got.json());
    }
}
