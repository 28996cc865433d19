//! The broker's own figures for tools (INTEROP 06 §12, `broker_runtime_info.tsv`).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::broker::answer::{Answer, Answered};
use crate::broker::cold_read::{READERS, READS_WAITING_MAX};
use crate::broker::handles::Handles;
use crate::broker::stats::Name;
use crate::store::{PathSpace, StorePart};
use crate::wire::body::KVTable;
use crate::wire::command::VERSION;

/// GET_BROKER_RUNTIME_INFO: every key that Java's tools and the exporter parse, in their formats.
pub(super) fn runtime_info(handles: &Handles) -> Answered {
    let now = handles.refresh_stats();
    let stats = &handles.stats;
    let (put, get) = stats.totals(now);
    let (put_mornings, get_mornings) = stats.mornings();
    let put_all = stats.of_broker(Name::BrokerPutNums, now);
    let get_all = stats.of_broker(Name::BrokerGetNums, now);
    let (log_min, log_max) = (handles.store.log_min().0, handles.store.log_max().0);
    let flushed = handles.store.flushed().get();
    let size: u64 = handles
        .store
        .topics()
        .iter()
        .flat_map(|topic| handles.store.queues_of(topic))
        .map(|queue| queue.bytes_put())
        .sum();
    let put_count = put_all.total().max(1);
    let disk = handles.store.disk_state();
    let ratio = |part| disk.part(part).and_then(PathSpace::used_ratio).unwrap_or(-1.0);
    let log_space = disk.part(StorePart::Log).and_then(|path| path.space);
    let pulls = stats.pull_rates(now);
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    let mut tell = |name: &str, value: String| drop(table.insert(name.to_owned(), value));
    tell("bootTimestamp", stats.started.to_string());
    tell("brokerActive", "true".into());
    tell("brokerVersion", VERSION.to_string());
    tell("brokerVersionDesc", "V5_3_3".into());
    tell("commitLogDirCapacity", log_space.map_or_else(|| capacity(0, 0), |disk| capacity(disk.total, disk.free)));
    tell("commitLogDiskRatio", format!("{:?}", ratio(StorePart::Log)));
    let log_path = handles.store.config().commit_log_dir();
    tell(&format!("commitLogDiskRatio_{}", log_path.display()), format!("{:?}", ratio(StorePart::Log)));
    tell("consumeQueueDiskRatio", format!("{:?}", ratio(StorePart::Queues)));
    tell("commitLogMaxOffset", log_max.to_string());
    tell("commitLogMinOffset", log_min.to_string());
    // What consumers may not see yet, which is what sync flush holds back; no buffer is in between.
    tell("dispatchBehindBytes", log_max.saturating_sub(handles.store.visible().get()).to_string());
    tell("dispatchMaxBuffer", "0".into());
    tell("earliestMessageTimeStamp", handles.store.earliest_time().ok().flatten().unwrap_or(-1).to_string());
    tell("getFoundTps", pulls.found);
    tell("getMissTps", pulls.missed);
    tell("getTotalTps", pulls.total);
    tell("getTransferedTps", get_all.rates(now));
    tell("getTransferredTps", get_all.rates(now));
    tell("getMessageEntireTimeMax", stats.get_max_ms().to_string());
    tell("msgGetTotalTodayMorning", get_mornings.today.to_string());
    tell("msgGetTotalTodayNow", get.to_string());
    tell("msgGetTotalYesterdayMorning", get_mornings.yesterday.to_string());
    tell("msgPutTotalTodayMorning", put_mornings.today.to_string());
    tell("msgPutTotalTodayNow", put.to_string());
    tell("msgPutTotalYesterdayMorning", put_mornings.yesterday.to_string());
    tell("pageCacheLockTimeMills", stats.put_times.under_way_ms(now).to_string());
    // There are no pools and no queues before them: what arrives is served in its event loop. Only reads that have to
    // wait for the disk stand in line.
    for pool in ["send", "pull", "query", "litePull", "ack"] {
        for figure in ["QueueCapacity", "QueueHeadWaitTimeMills", "QueueSize"] {
            tell(&format!("{pool}ThreadPool{figure}"), "0".into());
        }
    }
    tell("pullThreadPoolQueueCapacity", READS_WAITING_MAX.to_string());
    tell(
        "pullThreadPoolQueueSize",
        handles.figures.cold_reads.load(Ordering::Relaxed).saturating_sub(READERS).to_string(),
    );
    tell("EndTransactionQueueSize", "0".into());
    tell("EndTransactionThreadPoolQueueCapacity", "0".into());
    tell("putMessageAverageSize", format!("{:?}", size as f64 / put_count as f64));
    tell("putMessageDistributeTime", stats.put_times.distribution());
    tell("putMessageEntireTimeMax", stats.put_times.max_ms().to_string());
    tell("putMessageFailedTimes", stats.put_times.failed().to_string());
    tell("putLatency99", format!("{:.2}", stats.put_times.percentile_ms(0.99)));
    tell("putLatency999", format!("{:.2}", stats.put_times.percentile_ms(0.999)));
    tell("putMessageSizeTotal", size.to_string());
    tell("putMessageTimesTotal", put_count.to_string());
    tell("putTps", put_all.rates(now));
    tell("remainHowManyDataToFlush", format!("{} B", log_max.saturating_sub(flushed)));
    tell("remainTransientStoreBufferNumbs", i32::MAX.to_string());
    tell("runtime", uptime(now.saturating_sub(stats.started)));
    tell("startAcceptSendRequestTimeStamp", handles.config.get().start_accept_send_request_time_stamp.to_string());
    for (level, (next, max)) in (1..).zip(handles.delays.standing(&handles.store)) {
        if max > 0 {
            tell(&format!("scheduleMessageOffset_{level}"), format!("{next},{max}"));
        }
    }
    // Not Java's: what makes messages wait or go missing without an error anywhere.
    tell("consumerSubscriptionMismatches", handles.clients.mismatches().to_string());
    tell("consumerSameClientIds", handles.clients.twins().to_string());
    tell("diskLevel", disk.level.name().into());
    if let Some(refusal) = &disk.refusal {
        tell("diskRefusal", refusal.clone());
    }
    if let Some(failure) = &*stats.save_failure.lock() {
        tell("stateFileFailure", failure.clone());
    }
    tell("expiringUnconsumedMessages", handles.losses.expiring.load(Ordering::Relaxed).to_string());
    tell("removedUnconsumedMessages", handles.losses.removed.load(Ordering::Relaxed).to_string());
    tell("unconsumedQueues", stats.unconsumed_queues.load(Ordering::Relaxed).to_string());
    for (name, none) in [
        ("timerCongestNum", "0"),
        ("timerDequeueTps", "0.0"),
        ("timerEnqueueTps", "0.0"),
        ("timerOffsetBehind", "0"),
        ("timerReadBehind", "0"),
    ] {
        tell(name, none.into());
    }
    Ok(Answer::body(KVTable { table }.to_json()))
}

/// `Total : 1.0 TiB, Free : 500.0 GiB.`: tools cut it at its blanks.
fn capacity(total: u64, free: u64) -> String {
    format!("Total : {}, Free : {}.", bytes_text(total), bytes_text(free))
}

fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

fn uptime(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {} seconds ]", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_written_as_tools_cut_them() {
        assert_eq!(capacity(1 << 40, 500 << 30), "Total : 1.0 TiB, Free : 500.0 GiB.");
        assert_eq!(capacity(1 << 40, 5).split(' ').count(), 8);
        assert_eq!(uptime(90_061_000), "[ 1 days, 1 hours, 1 minutes, 1 seconds ]");
    }
}
