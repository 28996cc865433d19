//! `mqbroker -p` and `-m`, `mqnamesrv -p`: the configuration items of Java 4.9.7, their order and the form of the line, for
//! the scripts that look through them. An item that does something here has the value in force; another has what the file
//! says, or Java's default, because that is what a script compares.

use std::io::{self, Write};
use std::path::Path;

use super::broker_conf::Settings;
use super::properties::{self, Entry};
use super::{cli, file, plan};
use crate::base::clock::Clock;
use crate::base::disk::RealDisk;
use crate::base::local_time::{Civil, Zone};
use crate::broker;

/// What an item is where neither a file nor this program says.
enum Value {
    Text(&'static str),
    /// A number that Java takes from the number of processors.
    Counted(fn(usize) -> usize),
}

/// An item of Java's.
struct Item {
    name: &'static str,
    default: Value,
    /// Whether `-m` prints it.
    important: bool,
}

const fn item(name: &'static str, default: &'static str) -> Item {
    Item { name, default: Value::Text(default), important: false }
}

const fn important(name: &'static str, default: &'static str) -> Item {
    Item { name, default: Value::Text(default), important: true }
}

const fn counted(name: &'static str, count: fn(usize) -> usize) -> Item {
    Item { name, default: Value::Counted(count), important: false }
}

/// Prints a broker's items.
pub fn print_broker(args: &cli::Broker) -> Result<(), Vec<String>> {
    let plan = plan::broker(args)?;
    let Some(plan) = plan.broker else { return Ok(()) };
    let settings =
        Settings { broker: plan.config.clone(), store: plan.store.clone(), ..Settings::new(&plan.store.root) };
    let mut known = broker::admin::config::shown(&settings);
    // Java leaves empty what it derives from another item.
    if plan.store.commit_log_dir.is_none() {
        known.retain(|(name, _)| *name != "storePathCommitLog");
    }
    known.push(("brokerIP2", plan.config.broker_ip1.to_string()));
    known.push(("haListenPort", plan.config.listen_port.saturating_add(1).to_string()));
    known.push(("rocketmqHome", std::env::var("ROCKETMQ_HOME").unwrap_or_default()));
    let entries = entries(args.config.as_deref())?;
    let items = BROKER.into_iter().flatten().filter(|item| args.print_config_items || item.important);
    let at = Zone::load(&RealDisk, std::env::var("TZ").ok().as_deref()).civil(Clock::System.now());
    let Civil { year, month, day, hour, minute, second, .. } = at;
    let before = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} INFO main - ");
    print(items, &before, &known, &entries)
}

/// Prints a name server's items.
pub fn print_namesrv(args: &cli::Namesrv) -> Result<(), Vec<String>> {
    let plan = plan::namesrv(args)?;
    let Some(plan) = plan.namesrv else { return Ok(()) };
    let text = plan.config.properties();
    let own = properties::parse(text.as_bytes()).map_err(|bad| vec![bad.to_string()])?;
    let mut known: Vec<_> = own.into_iter().map(|entry| (entry.key, entry.value)).collect();
    if let Some((_, home)) = known.iter_mut().find(|(name, value)| name == "rocketmqHome" && value.is_empty()) {
        *home = std::env::var("ROCKETMQ_HOME").unwrap_or_default();
    }
    let entries = entries(args.config.as_deref())?;
    let at = Zone::load(&RealDisk, std::env::var("TZ").ok().as_deref()).civil(Clock::System.now());
    let Civil { hour, minute, second, millis, .. } = at;
    let before = format!("{hour:02}:{minute:02}:{second:02}.{millis:03} [main] INFO RocketmqNamesrvConsole - ");
    print(NAMESRV.into_iter().flatten(), &before, &known, &entries)
}

fn print<'a>(
    items: impl Iterator<Item = &'a Item>,
    before: &str,
    known: &[(impl AsRef<str>, String)],
    entries: &[Entry],
) -> Result<(), Vec<String>> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = String::new();
    let mut idle = 0;
    for item in items {
        let in_force = known.iter().find(|(name, _)| name.as_ref() == item.name).map(|(_, value)| value.clone());
        idle += usize::from(in_force.is_none());
        let in_file = || entries.iter().rev().find(|entry| entry.key == item.name).map(|entry| entry.value.clone());
        let default = || match item.default {
            Value::Text(text) => text.to_owned(),
            Value::Counted(count) => count(cpus).to_string(),
        };
        let value = in_force.or_else(in_file).unwrap_or_else(default);
        text.push_str(&format!("{before}{}={value}\n", item.name));
    }
    let printed = io::stdout().lock().write_all(text.as_bytes());
    match printed {
        // Whoever reads us has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(vec![format!("cannot print: {error}")]),
        _ => {}
    }
    eprintln!("rocketmq: {idle} of these items change nothing here; `rocketmq config explain ITEM` says why");
    Ok(())
}

fn entries(file: Option<&Path>) -> Result<Vec<Entry>, Vec<String>> {
    file.map_or_else(|| Ok(Vec::new()), file::entries).map_err(|problem| vec![problem])
}

/// The items of a broker: those of Java's configurations of the broker, of its two ends of the network and of its store.
const BROKER: [&[Item]; 3] = [BROKER_FIRST, SERVER, BROKER_REST];

const BROKER_FIRST: &[Item] = &[
    item("rocketmqHome", ""),
    important("namesrvAddr", ""),
    important("brokerIP1", ""),
    item("brokerIP2", ""),
    important("brokerName", ""),
    important("brokerClusterName", "DefaultCluster"),
    important("brokerId", "0"),
    item("brokerPermission", "6"),
    item("defaultTopicQueueNums", "8"),
    important("autoCreateTopicEnable", "true"),
    item("clusterTopicEnable", "true"),
    item("brokerTopicEnable", "true"),
    important("autoCreateSubscriptionGroup", "true"),
    item("messageStorePlugIn", ""),
    important("msgTraceTopicName", "RMQ_SYS_TRACE_TOPIC"),
    important("traceTopicEnable", "false"),
    counted("sendMessageThreadPoolNums", |cpus| cpus.min(4)),
    counted("putMessageFutureThreadPoolNums", |cpus| cpus.min(4)),
    counted("pullMessageThreadPoolNums", |cpus| 16 + cpus * 2),
    counted("processReplyMessageThreadPoolNums", |cpus| 16 + cpus * 2),
    counted("queryMessageThreadPoolNums", |cpus| 8 + cpus),
    item("adminBrokerThreadPoolNums", "16"),
    item("clientManageThreadPoolNums", "32"),
    item("consumerManageThreadPoolNums", "32"),
    counted("heartbeatThreadPoolNums", |cpus| cpus.min(32)),
    counted("endTransactionThreadPoolNums", |cpus| (8 + cpus * 2).max(cpus.min(4) * 4)),
    item("flushConsumerOffsetInterval", "5000"),
    item("flushConsumerOffsetHistoryInterval", "60000"),
    important("rejectTransactionMessage", "false"),
    important("fetchNamesrvAddrByAddressServer", "false"),
    item("sendThreadPoolQueueCapacity", "10000"),
    item("putThreadPoolQueueCapacity", "10000"),
    item("pullThreadPoolQueueCapacity", "100000"),
    item("replyThreadPoolQueueCapacity", "10000"),
    item("queryThreadPoolQueueCapacity", "20000"),
    item("clientManagerThreadPoolQueueCapacity", "1000000"),
    item("consumerManagerThreadPoolQueueCapacity", "1000000"),
    item("heartbeatThreadPoolQueueCapacity", "50000"),
    item("endTransactionPoolQueueCapacity", "100000"),
    item("filterServerNums", "0"),
    item("longPollingEnable", "true"),
    item("shortPollingTimeMills", "1000"),
    item("notifyConsumerIdsChangedEnable", "true"),
    item("highSpeedMode", "false"),
    item("commercialEnable", "true"),
    item("commercialTimerCount", "1"),
    item("commercialTransCount", "1"),
    item("commercialBigCount", "1"),
    item("commercialBaseCount", "1"),
    item("transferMsgByHeap", "true"),
    item("maxDelayTime", "40"),
    item("regionId", "DefaultRegion"),
    item("registerBrokerTimeoutMills", "6000"),
    item("slaveReadEnable", "false"),
    item("disableConsumeIfConsumerReadSlowly", "false"),
    item("consumerFallbehindThreshold", "17179869184"),
    item("brokerFastFailureEnable", "true"),
    item("waitTimeMillsInSendQueue", "200"),
    item("waitTimeMillsInPullQueue", "5000"),
    item("waitTimeMillsInHeartbeatQueue", "31000"),
    item("waitTimeMillsInTransactionQueue", "3000"),
    item("startAcceptSendRequestTimeStamp", "0"),
    item("traceOn", "true"),
    item("enableCalcFilterBitMap", "false"),
    item("expectConsumerNumUseFilter", "32"),
    item("maxErrorRateOfBloomFilter", "20"),
    item("filterDataCleanTimeSpan", "86400000"),
    item("filterSupportRetry", "false"),
    item("enablePropertyFilter", "false"),
    item("compressedRegister", "false"),
    item("forceRegister", "true"),
    item("registerNameServerPeriod", "30000"),
    important("transactionTimeOut", "6000"),
    important("transactionCheckMax", "15"),
    important("transactionCheckInterval", "60000"),
    important("aclEnable", "false"),
    item("storeReplyMessageEnable", "true"),
    item("enableDetailStat", "true"),
    item("autoDeleteUnusedStats", "false"),
    item("isolateLogEnable", "false"),
    item("listenPort", "10911"),
];

/// And behind those of the end that listens.
const BROKER_REST: &[Item] = &[
    item("clientWorkerThreads", "4"),
    counted("clientCallbackExecutorThreads", |cpus| cpus),
    item("clientOnewaySemaphoreValue", "65535"),
    item("clientAsyncSemaphoreValue", "65535"),
    item("connectTimeoutMillis", "3000"),
    item("channelNotActiveInterval", "60000"),
    item("clientChannelMaxIdleTimeSeconds", "120"),
    item("clientSocketSndBufSize", "0"),
    item("clientSocketRcvBufSize", "0"),
    item("clientPooledByteBufAllocatorEnable", "false"),
    item("clientCloseSocketIfTimeout", "true"),
    item("useTLS", "false"),
    item("writeBufferHighWaterMark", "0"),
    item("writeBufferLowWaterMark", "0"),
    important("storePathRootDir", ""),
    important("storePathCommitLog", ""),
    important("storePathDLedgerCommitLog", ""),
    item("readOnlyCommitLogStorePaths", ""),
    item("mappedFileSizeCommitLog", "1073741824"),
    item("mappedFileSizeConsumeQueue", "6000000"),
    item("enableConsumeQueueExt", "false"),
    item("mappedFileSizeConsumeQueueExt", "50331648"),
    item("bitMapLengthConsumeQueueExt", "64"),
    important("flushIntervalCommitLog", "500"),
    important("commitIntervalCommitLog", "200"),
    item("useReentrantLockWhenPutMessage", "true"),
    important("flushCommitLogTimed", "true"),
    item("flushIntervalConsumeQueue", "1000"),
    item("cleanResourceInterval", "10000"),
    item("deleteCommitLogFilesInterval", "100"),
    item("deleteConsumeQueueFilesInterval", "100"),
    item("destroyMapedFileIntervalForcibly", "120000"),
    item("redeleteHangedFileInterval", "120000"),
    important("deleteWhen", "04"),
    item("diskMaxUsedSpaceRatio", "75"),
    important("fileReservedTime", "72"),
    item("putMsgIndexHightWater", "600000"),
    item("maxMessageSize", "4194304"),
    item("checkCRCOnRecover", "true"),
    item("flushCommitLogLeastPages", "4"),
    item("commitCommitLogLeastPages", "4"),
    item("flushLeastPagesWhenWarmMapedFile", "4096"),
    item("flushConsumeQueueLeastPages", "2"),
    item("flushCommitLogThoroughInterval", "10000"),
    item("commitCommitLogThoroughInterval", "200"),
    item("flushConsumeQueueThoroughInterval", "60000"),
    important("maxTransferBytesOnMessageInMemory", "262144"),
    important("maxTransferCountOnMessageInMemory", "32"),
    important("maxTransferBytesOnMessageInDisk", "65536"),
    important("maxTransferCountOnMessageInDisk", "8"),
    important("accessMessageInMemoryMaxRatio", "40"),
    important("messageIndexEnable", "true"),
    item("maxHashSlotNum", "5000000"),
    item("maxIndexNum", "20000000"),
    item("maxMsgsNumBatch", "64"),
    important("messageIndexSafe", "false"),
    item("haListenPort", "10912"),
    item("haSendHeartbeatInterval", "5000"),
    item("haHousekeepingInterval", "20000"),
    item("haTransferBatchSize", "32768"),
    important("haMasterAddress", ""),
    item("haSlaveFallbehindMax", "268435456"),
    important("brokerRole", "ASYNC_MASTER"),
    important("flushDiskType", "ASYNC_FLUSH"),
    item("syncFlushTimeout", "5000"),
    item("slaveTimeout", "3000"),
    item("messageDelayLevel", "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"),
    item("flushDelayOffsetInterval", "10000"),
    important("cleanFileForciblyEnable", "true"),
    item("warmMapedFileEnable", "false"),
    item("offsetCheckInSlave", "false"),
    item("debugLockEnable", "false"),
    item("duplicationEnable", "false"),
    item("diskFallRecorded", "true"),
    item("osPageCacheBusyTimeOutMills", "1000"),
    item("defaultQueryMaxNum", "32"),
    important("transientStorePoolEnable", "false"),
    item("transientStorePoolSize", "5"),
    item("fastFailIfNoBufferInStorePool", "false"),
    item("enableDLegerCommitLog", "false"),
    item("dLegerGroup", ""),
    item("dLegerPeers", ""),
    item("dLegerSelfId", ""),
    item("preferredLeaderId", ""),
    item("isEnableBatchPush", "false"),
    item("enableScheduleMessageStats", "true"),
    item("enableLmq", "false"),
    item("enableMultiDispatch", "false"),
    item("maxLmqConsumeQueueNum", "20000"),
    item("enableScheduleAsyncDeliver", "false"),
    item("scheduleAsyncDeliverMaxPendingLimit", "2000"),
    item("scheduleAsyncDeliverMaxResendNum2Blocked", "3"),
];

/// The items of the end of the network that listens, of either role.
const SERVER: &[Item] = &[
    item("serverWorkerThreads", "8"),
    item("serverCallbackExecutorThreads", "0"),
    item("serverSelectorThreads", "3"),
    item("serverOnewaySemaphoreValue", "256"),
    item("serverAsyncSemaphoreValue", "64"),
    item("serverChannelMaxIdleTimeSeconds", "120"),
    item("serverSocketSndBufSize", "0"),
    item("serverSocketRcvBufSize", "0"),
    item("writeBufferHighWaterMark", "0"),
    item("writeBufferLowWaterMark", "0"),
    item("serverSocketBacklog", "1024"),
    item("serverPooledByteBufAllocatorEnable", "true"),
    item("useEpollNativeSelector", "false"),
];

/// The items of a name server.
const NAMESRV: [&[Item]; 2] = [NAMESRV_FIRST, SERVER];

const NAMESRV_FIRST: &[Item] = &[
    item("rocketmqHome", ""),
    item("kvConfigPath", ""),
    item("configStorePath", ""),
    item("productEnvName", "center"),
    item("clusterTest", "false"),
    item("orderMessageEnable", "false"),
    item("listenPort", "9876"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_a_key_that_is_known_and_the_important_ones_are_javas() {
        let unknown: Vec<_> = BROKER
            .into_iter()
            .flatten()
            .map(|item| item.name)
            .filter(|name| !super::super::broker_conf::TABLE.names().any(|known| known == *name))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let unknown: Vec<_> = NAMESRV
            .into_iter()
            .flatten()
            .map(|item| item.name)
            .filter(|name| !crate::namesrv::config::TABLE.names().any(|known| known == *name))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let important = BROKER.into_iter().flatten().filter(|item| item.important).count();
        assert_eq!((BROKER.into_iter().flatten().count(), important), (186, 35));
        assert_eq!(NAMESRV.into_iter().flatten().count(), 20);
    }
}
