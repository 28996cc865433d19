//! Java's broker keys that change nothing here, each group with the reason. Reported at the start, never an error.

/// Reasons, and the keys that each of them holds for, separated by blanks.
pub const BROKER: &[(&str, &str)] = &[
    (
        "tiered storage (messageStorePlugIn) is not built",
        "commitLogRollingInterval commitLogRollingMinimumSize maxCommitJitter objectStoreAccessKey \
         objectStoreBucket objectStoreEndpoint objectStoreSecretKey ossAccessKey ossBucket ossEndpoint \
         ossSecretKey readAheadBatchSizeFactorThreshold readAheadCacheEnable readAheadCacheExpireDuration \
         readAheadCacheSizeThresholdRate readAheadMaxFactor readAheadMessageCountThreshold \
         readAheadMessageSizeThreshold readAheadMinFactor recordGetMessageResult tieredBackendServiceProvider \
         tieredMetadataServiceProvider tieredStorageLevel tieredStoreCommitLogMaxSize \
         tieredStoreConsumeQueueMaxSize tieredStoreCrcCheckEnable tieredStoreDeleteFileEnable \
         tieredStoreDeleteFileInterval tieredStoreFilePath tieredStoreFileReservedTime tieredStoreFilepath \
         tieredStoreGroupCommit tieredStoreGroupCommitCount tieredStoreGroupCommitSize \
         tieredStoreGroupCommitTimeout tieredStoreIndexFileMaxHashSlotNum tieredStoreIndexFileMaxIndexNum \
         tieredStoreIndexFileRollingIdleInterval tieredStoreMaxGroupCommitCount tieredStoreMaxPendingLimit",
    ),
    ("several brokers in one process are not built", "brokerConfigPaths brokerContainerIP updateNamesrvAddrInterval"),
    (
        "the log is read and written at positions, not through mapped or pooled memory",
        "accessMessageInMemoryHotRatio cgColdReadThreshold cleanSwapedMapInterval coldDataScanEnable \
         commitCommitLogLeastPages commitCommitLogThoroughInterval commitIntervalCommitLog \
         commitLogForceSwapMapInterval commitLogSwapMapInterval commitLogSwapMapReserveFileNum \
         consumerFallbehindThreshold correctLogicMinOffsetForceInterval correctLogicMinOffsetSleepInterval \
         dataReadAheadEnable debugLockEnable destroyMapedFileIntervalForcibly fastFailIfNoBufferInStorePool \
         flushCommitLogTimed flushLeastPagesWhenWarmMapedFile globalColdReadThreshold \
         logicQueueForceSwapMapInterval logicQueueSwapMapInterval logicQueueSwapMapReserveFileNum \
         mappedFileSwapEnable maxRecoveryCommitlogFiles messageIndexSafe osPageCacheBusyTimeOutMills \
         putConsumeQueueDataByFileChannel putMsgIndexHightWater readUnCommitted recheckReputOffsetFromCq \
         redeleteHangedFileInterval spinLockCollisionRetreatOptimalDegree transferMsgByHeap \
         transientStorePoolEnable transientStorePoolSize useABSLock usePIDColdCtrStrategy \
         useReentrantLockWhenPutMessage wakeCommitWhenPutMessage wakeFlushWhenPutMessage warmMapedFileEnable",
    ),
    (
        "statistics are counted in one way only, and always",
        "accountStatsEnable accountStatsPrintZeroValues autoDeleteUnusedStats commercialBaseCount \
         commercialBigCount commercialEnable commercialSizePerMsg commercialTransCount diskFallRecorded enableDetailStat \
         estimateAccumulation maxConsumeQueueScan maxStatsIdleTimeInMinutes printChannelGroups \
         printChannelGroupsMinNum sampleCountThreshold sampleSteps",
    ),
    (
        "event loops take the place of Java's thread pools and their queues",
        "ackMessageThreadPoolNums ackThreadPoolQueueCapacity adminBrokerThreadPoolNums \
         adminBrokerThreadPoolQueueCapacity asyncSendEnable batchDispatchRequestThreadPoolNums \
         clientAsyncSemaphoreValue clientCallbackExecutorThreads clientManageThreadPoolNums \
         clientManagerThreadPoolQueueCapacity clientOnewaySemaphoreValue clientPooledByteBufAllocatorEnable \
         clientWorkerThreads com.rocketmq.remoting.client.worker.size \
         com.rocketmq.remoting.clientAsyncSemaphoreValue com.rocketmq.remoting.clientOnewaySemaphoreValue \
         com.rocketmq.remoting.nettyPooledByteBufAllocatorEnable consumerManageThreadPoolNums \
         consumerManagerThreadPoolQueueCapacity disableCallbackExecutor disableNettyWorkerGroup \
         dispatchCqCacheNum dispatchCqThreads dispatchFromSenderThread enableAsyncReput \
         enableBuildConsumeQueueConcurrently enableFastChannelEventProcess endTransactionPoolQueueCapacity \
         endTransactionThreadPoolNums heartbeatThreadPoolNums heartbeatThreadPoolQueueCapacity \
         litePullMessageThreadPoolNums litePullThreadPoolQueueCapacity loadBalanceProcessorThreadPoolNums \
         loadBalanceThreadPoolQueueCapacity maxAsyncPutMessageRequests processReplyMessageThreadPoolNums \
         pullMessageThreadPoolNums pullThreadPoolQueueCapacity putMessageFutureThreadPoolNums \
         putThreadPoolQueueCapacity queryMessageThreadPoolNums queryThreadPoolQueueCapacity recoverConcurrently \
         recoverThreadPoolNums replyThreadPoolQueueCapacity sendMessageThreadPoolNums sendThreadPoolQueueCapacity \
         serverAsyncSemaphoreValue serverCallbackExecutorThreads serverNettyWorkerGroupEnable \
         serverOnewaySemaphoreValue serverPooledByteBufAllocatorEnable serverSelectorThreads serverWorkerThreads \
         topicQueueLockNum useEpollNativeSelector",
    ),
    (
        "access control is not built yet",
        "aclCacheExpiredSecond aclCacheMaxNum aclCacheRefreshSecond authConfigPath authenticationMetadataProvider \
         authenticationProvider authenticationStrategy authenticationWhitelist authorizationMetadataProvider \
         authorizationProvider authorizationStrategy authorizationWhitelist clusterName configName \
         initAuthenticationUser innerClientAuthenticationCredentials statefulAuthenticationCacheExpiredSecond \
         statefulAuthenticationCacheMaxNum statefulAuthorizationCacheExpiredSecond \
         statefulAuthorizationCacheMaxNum userCacheExpiredSecond userCacheMaxNum userCacheRefreshSecond",
    ),
    (
        "delay levels are delivered in one way only, and their progress is saved by itself",
        "delayOffsetUpdateVersionStep enableScheduleAsyncDeliver enableScheduleMessageStats flushDelayOffsetInterval \
         maxDelayTime scheduleAsyncDeliverMaxPendingLimit scheduleAsyncDeliverMaxResendNum2Blocked",
    ),
    (
        "timer messages are not built yet: such sends are refused",
        "allowRecallWhenBrokerNotWriteable commercialTimerCount disappearTimeAfterStart mappedFileSizeTimerLog \
         recallMessageEnable timerCheckMetricsWhen \
         timerColdDataCheckIntervalMs timerCongestNumEachSlot timerEnableCheckMetrics timerEnableDisruptor \
         timerEnableRetryUntilSuccess timerFlushIntervalMs timerGetMessageThreadNum timerInterceptDelayLevel \
         timerMaxDelaySec timerMetricSmallThreshold timerPrecisionMs timerProgressLogIntervalMs \
         timerPutMessageThreadNum timerRollWindowSlot timerSkipUnknownError timerStopDequeue timerStopEnqueue \
         timerWarmEnable timerWheelEnable",
    ),
    (
        "POP is not built yet: such requests are refused",
        "appendAckAsync appendCkAsync cleanOfflineBrokerInterval defaultMessageRequestMode \
         defaultPopShareQueueNum enableNotifyAfterPopOrderLockRelease enableNotifyBeforePopCalculateLag \
         enablePopBatchAck enablePopBufferMerge enablePopLog enablePopMessageThreshold enableRetryTopicV2 \
         enableSkipLongAwaitingAck initPopOffsetByCheckMsgInMem loadBalancePollNameServerInterval \
         maxPopPollingSize popCkMaxBufferSize popCkOffsetMaxQueueSize popCkStayBufferTime popCkStayBufferTimeOut \
         popConsumerFSServiceInit popConsumerKVServiceEnable popConsumerKVServiceInit popConsumerKVServiceLog \
         popFromRetryProbability popInflightMessageThreshold popLongPollingForceNotifyInterval popPollingMapSize \
         popPollingSize popResponseReturnActualRetryTopic popReviveMaxAttemptTimes popReviveMaxReturnSizePerRead \
         retrieveMessageFromPopRetryTopicV1 reviveAckWaitMs reviveInterval reviveMaxSlow reviveQueueNum \
         reviveScanTime serverLoadBalancerEnable skipWhenCKRePutReachMaxTimes",
    ),
    (
        "only Java's file store is built",
        "bitMapLengthConsumeQueueExt bottomMostCompressionTypeForConsumeQueueStore cleanRocksDBDirtyCQIntervalMin \
         compactionCqMappedFileSize compactionMappedFileSize compactionScheduleInternal compactionThreadNum \
         configManagerVersion enableCompaction enableLmqStats enableRocksDBLog \
         logicalDiskSpaceCleanForciblyThreshold mappedFileSizeConsumeQueueExt mapperFileSizeBatchConsumeQueue \
         maxLmqConsumeQueueNum maxOffsetMapSize memTableFlushIntervalMs realTimePersistRocksDBConfig \
         rocksdbCompressionType rocksdbFlushWalFrequency rocksdbWalFileRollingThreshold searchBcqByCacheEnable \
         statRocksDBCQIntervalSec travelCqFileNumWhenGetMessage",
    ),
    (
        "broadcast offsets are kept by clients",
        "broadcastOffsetExpireMaxSecond broadcastOffsetExpireSecond enableBroadcastOffsetStore",
    ),
    (
        "replication is not built yet",
        "brokerElectionPriority brokerHeartbeatInterval brokerIP2 brokerNotActiveTimeoutMillis \
         checkSyncStateSetPeriod controllerAddr controllerHeartBeatTimeoutMills enableAutoInSyncReplicas \
         fetchControllerAddrByDnsLookup forwardTimeout haFlowControlEnable haHousekeepingInterval haListenPort \
         haMasterAddress haMaxGapNotInSync haMaxTimeSlaveNotCatchup haSendHeartbeatInterval haSlaveFallbehindMax \
         haTransferBatchSize maxChecksumRange maxHaTransferByteInSecond maxSlaveResendLength offsetCheckInSlave \
         putMessageTimeout replicasPerDiskPartition sendHeartbeatTimeoutMillis skipPreOnline slaveTimeout \
         storePathBrokerIdentity storePathEpochFile syncBrokerMemberGroupPeriod syncBrokerMetadataPeriod \
         syncControllerMetadataPeriod syncFromLastFile syncMasterFlushOffsetWhenStartup",
    ),
    (
        "requests do not wait in queues here, so they do not expire there",
        "brokerFastFailureEnable enableNetWorkFlowControl waitTimeMillsInAckQueue waitTimeMillsInAdminBrokerQueue \
         waitTimeMillsInHeartbeatQueue waitTimeMillsInLitePullQueue waitTimeMillsInPullQueue \
         waitTimeMillsInSendQueue waitTimeMillsInTransactionQueue",
    ),
    (
        "buffers and bounds of connections are fixed",
        "channelExpiredTimeout channelNotActiveInterval clientChannelMaxIdleTimeSeconds \
         clientCloseSocketIfTimeout clientSocketRcvBufSize clientSocketSndBufSize \
         com.rocketmq.remoting.client.channel.maxIdleTimeSeconds \
         com.rocketmq.remoting.client.closeSocketIfTimeout com.rocketmq.remoting.client.connect.timeout \
         com.rocketmq.remoting.socket.backlog com.rocketmq.remoting.socket.rcvbuf.size \
         com.rocketmq.remoting.socket.sndbuf.size com.rocketmq.remoting.write.buffer.high.water.mark \
         com.rocketmq.remoting.write.buffer.low.water.mark connectTimeoutMillis enableReconnectForGoAway \
         enableShutdownGracefully isScanAvailableNameSrv maxReconnectIntervalTimeSeconds scanAvailableNameSrv \
         serverSocketBacklog serverSocketRcvBufSize serverSocketSndBufSize \
         shutdownWaitTimeSeconds subscriptionExpiredTimeout writeBufferHighWaterMark writeBufferLowWaterMark",
    ),
    (
        "offsets of queues that are gone are lowered at the start and go with their topic or group",
        "enableCleanExpiredOffset",
    ),
    ("deleteFileBatchMax alone bounds how many files go at once", "maxBatchDeleteFilesNum"),
    (
        "name servers are always told at once and in full",
        "compatibleWithOldNameSrv compressedRegister enableSingleTopicRegister enableSplitRegistration \
         fetchNamesrvAddrInterval registerBrokerTimeoutMills splitRegistrationSize \
         updateNameServerAddrPeriod",
    ),
    (
        "DLedger is not built",
        "dLegerGroup dLegerPeers dLegerSelfId enableBatchPush isEnableBatchPush preferredLeaderId \
         storePathDLedgerCommitLog",
    ),
    (
        "filters in SQL are not built yet",
        "expectConsumerNumUseFilter filterDataCleanTimeSpan filterServerNums maxErrorRateOfBloomFilter \
         maxFilterMessageSize",
    ),
    (
        "metrics are not built yet",
        "metricGrpcExporterIntervalInMills metricGrpcExporterTimeOutInMills metricLoggingExporterIntervalInMills \
         metricsGrpcExporterHeader metricsGrpcExporterTarget metricsInDelta metricsLabel \
         metricsOtelCardinalityLimit metricsPromExporterHost metricsPromExporterPort",
    ),
    (
        "transactions are not built yet: such sends are refused",
        "rejectTransactionMessage transactionCheckInterval transactionCheckMax transactionMetricFlushInterval \
         transactionOpBatchInterval transactionOpMsgMaxSize transactionTimeOut",
    ),
    ("replies are always stored, as they are by default", "storeReplyMessageEnable"),
    ("the file is the one that -c names, the program its own installation", "brokerConfigPath rocketmqHome"),
    (
        "clients need no such setting of this broker",
        "clearRetryTopicWhenDeleteTopic defaultQueryMaxNum enableCreateSysGroup enableMixedMessageType \
         enableRegisterProducer highSpeedMode maxMsgsNumBatch pullBatchMaxMessageCount \
         realTimeNotifyConsumerChange useServerSideResetOffset validateSystemTopicWhenUpdateTopic",
    ),
    (
        "fixed as in Java's defaults",
        "autoMessageVersionOnTopicLen consumerOffsetUpdateVersionStep \
         flushConsumerOffsetHistoryInterval maxTopicLength",
    ),
    ("logs go to stderr", "isolateLogEnable"),
    (
        "the log is flushed whenever the interval is over, whatever has come",
        "flushCommitLogLeastPages flushCommitLogThoroughInterval flushConsumeQueueLeastPages \
         flushConsumeQueueThoroughInterval",
    ),
    ("TLS is not built yet", "tls.test.mode.enable"),
];
