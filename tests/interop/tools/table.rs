//! What is asked of the admin commands, in order: ONE table, every command of `rocketmq admin` in it (a test walks both).
//! It must never know how a command is run or how what it prints is compared.

/// Whether Java's 4.9.7 prints what 5.3.3 prints, whose form ours is.
#[derive(Clone, Copy, Debug)]
pub enum Old {
    /// The same lines.
    Same,
    /// Others; why.
    Differs(&'static str),
    /// It cannot be asked: it has no such command or flag.
    Lacks(&'static str),
}

/// Whether our servers lead to the lines to which Java's lead.
#[derive(Clone, Copy, Debug)]
pub enum Servers {
    /// They do.
    Same,
    /// Every key (what stands before the first colon) that Java's tell is among those that ours tell, but for these.
    Keys(&'static [&'static str]),
    /// They need not; why.
    Differ(&'static str),
}

/// A row of [`ROWS`].
pub struct Row {
    /// The command and its words. `{X}` is a letter of each tool's own, so that changes do not meet; `{B}` the broker's
    /// address, `{T}` and `{G}` a topic and the group that consumes it, `{ID}` and `{UNIQUE}` a message's ids in it,
    /// `{RESENT}` that of one in a topic Resent, `{CLIENT}` the group's member, `{BEFORE}` a time before all of it; `~` stands for a blank.
    pub line: &'static str,
    /// Java's 4.9.7.
    pub old: Old,
    /// How it is asked, if not by the same words.
    pub old_line: Option<&'static str>,
    /// Our servers beside Java's.
    pub servers: Servers,
    /// Why ours does not print what 5.3.3 prints.
    pub own: Option<&'static str>,
    /// Its numbers are those of a moment: they are not compared.
    pub moving: bool,
    /// Ends the command once it has printed so many lines; 0: it ends by itself.
    pub lines: usize,
}

/// A row on which all agree.
pub const fn row(line: &'static str) -> Row {
    Row { line, old: Old::Same, old_line: None, servers: Servers::Same, own: None, moving: false, lines: 0 }
}

impl Row {
    const fn old(self, why: &'static str) -> Row {
        Row { old: Old::Differs(why), ..self }
    }

    const fn old_asks(self, line: &'static str) -> Row {
        Row { old_line: Some(line), ..self }
    }

    const fn new_only(self, why: &'static str) -> Row {
        Row { old: Old::Lacks(why), ..self }
    }

    const fn servers(self, servers: Servers) -> Row {
        Row { servers, ..self }
    }

    const fn own(self, why: &'static str) -> Row {
        Row { own: Some(why), ..self }
    }

    const fn moving(self) -> Row {
        Row { moving: true, ..self }
    }

    const fn until(self, lines: usize) -> Row {
        Row { lines, ..self }
    }
}

/// Why 4.9.7 shows a topic in another way.
const TOPIC_TEXT: &str = "topics have no attributes, and the order configuration no line of its own";
/// Why it shows a group in another way.
const GROUP_TEXT: &str = "groups have neither retry policies nor attributes";
/// Why it shows messages in another way.
const PROPERTIES: &str = "properties come in the order of a smaller hash map";

/// Every command of `rocketmq admin`, as Java's tools are asked.
pub const ROWS: &[Row] = &[
    // === Changes, first those that others need ===
    row("updateTopic -c DefaultCluster -t Table{X} -r 4 -w 4").old(TOPIC_TEXT),
    row("updateTopic -b {B} -t Ordered{X} -r 2 -w 2 -p 6 -o true").old(TOPIC_TEXT),
    row("updateTopic -c DefaultCluster -t Ordered{X} -r 2 -w 2 -o true").old(TOPIC_TEXT),
    row("updateTopicPerm -c DefaultCluster -t Table{X} -p 4"),
    row("updateTopicPerm -b {B} -t Table{X} -p 6").old(TOPIC_TEXT),
    row("updateTopicPerm -b {B} -t Table{X} -p 6"),
    row("updateSubGroup -c DefaultCluster -g Group{X} -r 3 -q 2").old(GROUP_TEXT),
    row("updateSubGroup -b {B} -g Group{X} -s true -d false -m true").old(GROUP_TEXT),
    row("sendMessage -t Table{X} -p body -k key-{X} -c TagA -b broker-a -i 0"),
    row("sendMessage -t Table{X} -p körper -k key-{X}~other -c TagB -b broker-a -i 0"),
    row("sendMessage -t Table{X} -p third -b broker-a -i 1"),
    row("checkMsgSendRT -t Table{X} -a 4 -s 16").moving(),
    row("clusterRT -a 2 -s 16 -i 1").moving().until(2),
    row("clusterRT -a 2 -s 16 -i 1 -c DefaultCluster -p true -m room")
        .new_only("lines on standard output: it writes them into a log of its own")
        .moving()
        .until(1),
    // === Topics ===
    row("topicList").servers(Servers::Differ("POP and its topic are not built")),
    row("topicList -c").servers(Servers::Differ("POP and its topic are not built")),
    row("topicClusterList -t {T}"),
    row("topicRoute -t Table{X}").old("no enableActingMaster"),
    row("topicRoute -l -t {T}"),
    row("topicStatus -t Table{X}").old("no line with the rate"),
    row("topicStatus -t {T}").old("no line with the rate"),
    row("allocateMQ -t {T} -i 10.0.0.1,10.0.0.2,10.0.0.3")
        .own("ours shares the queues in their order, as consumers do; Java's in that of a hash set")
        .old("as 5.3.3"),
    // === Messages ===
    row("printMsg -t Table{X}").old(PROPERTIES),
    row("printMsg -t {T} -s TagA~||~TagC -d false").old(PROPERTIES),
    row("printMsg -t {T} -b {BEFORE} -e 2020-01-01#00:00:00:000"),
    row("printMsg -t {T} -l {T}").new_only("-l"),
    row("printMsgByQueue -t Table{X} -a broker-a -i 0 -p true -d true -f true").old(PROPERTIES),
    row("printMsgByQueue -t Table{X} -a broker-a -i 0 -p true -s TagB -c UTF-8").old(PROPERTIES),
    row("queryMsgByOffset -t {T} -b broker-a -i 0 -o 0").old(PROPERTIES),
    row("queryMsgByOffset -t {T} -b broker-a -i 1 -o 0 -f UTF-8").new_only("-f"),
    row("queryMsgById -t {T} -i {ID}").old_asks("queryMsgById -i {ID}").old(PROPERTIES),
    row("queryMsgById -t {T} -i {ID},{ID} -f UTF-8").new_only("-f"),
    row("queryMsgById -t {T} -i {ID} -g {G} -d {CLIENT}").old_asks("queryMsgById -i {ID} -g {G} -d {CLIENT}"),
    row("queryMsgByUniqueKey -t {T} -i {UNIQUE}").old(PROPERTIES),
    row("queryMsgByUniqueKey -t {T} -i {UNIQUE} -a").old(PROPERTIES),
    row("queryMsgByUniqueKey -t {T} -i {UNIQUE} -g {G} -d {CLIENT}"),
    row("queryMsgByKey -t Table{X} -k key-{X}"),
    row("queryMsgByKey -t Table{X} -k other"),
    row("queryMsgByKey -t {T} -k selector-3 -b 0 -e {AFTER} -m 8").new_only("-b, -e and -m"),
    row("queryMsgByKey -t {T} -k selector-3 -b 0 -e 1500000000000").new_only("-b and -e"),
    // The hashes of Aa and BB are the same, and so are the index's slots.
    row("sendMessage -t Table{X} -p same -k Aa -b broker-a -i 2"),
    row("queryMsgByKey -t Table{X} -k Aa"),
    row("queryMsgByKey -t Table{X} -k BB"),
    row("queryMsgByUniqueKey -t {T} -i nothing"),
    row("queryMsgById -t Resent -i {RESENT} -s true")
        .old_asks("queryMsgById -i {RESENT} -s true")
        .old("no recall handle")
        .moving(),
    row("consumeMessage -t {T} -b broker-a -i 0 -o 0 -c 1").old(PROPERTIES),
    row("consumeMessage -t Table{X} -b broker-a -i 0 -c 1").old(PROPERTIES),
    row("consumeMessage -t {T} -s {BEFORE}").old(PROPERTIES),
    // === Groups ===
    row("consumerProgress").moving(),
    row("consumerProgress -g {G}")
        .servers(Servers::Differ("when the retry queue is listed is a matter of time"))
        .old("no columns and no sum of what is in flight"),
    row("consumerProgress -g {G} -t {T} -s true").new_only("-t"),
    row("consumerProgress -g Group{X}"),
    row("consumerProgress -g nobody"),
    row("consumerConnection -g nobody"),
    row("producerConnection -g nobody -t {T}"),
    row("consumerConnection -g {G}"),
    row("consumerConnection -g {G} -b {B}"),
    row("producerConnection -g CLIENT_INNER_PRODUCER -t {T}")
        .moving()
        .servers(Servers::Differ("a client that is gone stays for a while at Java's")),
    row("consumerStatus -g {G}"),
    row("consumerStatus -g {G} -i {CLIENT}").servers(Servers::Differ("it names objects of the member")).old("no POP"),
    row("statsAll -t {T}").moving(),
    row("statsAll -a")
        .moving()
        .servers(Servers::Differ("Java counts every ten seconds, so that its topics are active later")),
    row("cloneGroupOffset -s {G} -d Group{X} -t {T}"),
    row("resetOffsetByTime -g Group{X} -t Table{X} -s {BEFORE}").old("another first line"),
    row("resetOffsetByTime -g Group{X} -t Table{X} -s -1").old("another first line"),
    row("resetOffsetByTime -g Group{X} -t Table{X} -s now -b {B} -q 0 -o 1").new_only("-b, -q and -o"),
    // === Brokers ===
    row("clusterList").old("fewer columns"),
    row("clusterList -m -c DefaultCluster").old_asks("clusterList -m"),
    row("brokerStatus -b {B}").servers(Servers::Keys(&["commitLogDiskRatio_"])),
    row("brokerStatus -c DefaultCluster").servers(Servers::Keys(&["commitLogDiskRatio_"])),
    row("getBrokerConfig -b {B}").servers(Servers::Differ("ours tells the keys that do something")),
    row("getBrokerConfig -c DefaultCluster").servers(Servers::Differ("ours tells the keys that do something")),
    row("updateBrokerConfig -b {B} -k maxMessageSize -v 4194303"),
    row("updateBrokerConfig -c DefaultCluster -k maxMessageSize -v 4194304"),
    row("brokerConsumeStats -b {B}"),
    row("cleanExpiredCQ"),
    row("cleanExpiredCQ -b {B}"),
    row("deleteExpiredCommitLog -b {B}"),
    row("deleteExpiredCommitLog -c DefaultCluster"),
    row("cleanUnusedTopic -b {B}"),
    row("cleanUnusedTopic -c DefaultCluster"),
    // === Name servers ===
    row("getNamesrvConfig").servers(Servers::Differ("ours tells the keys that do something")),
    row("updateNamesrvConfig -k orderMessageEnable -v true"),
    row("updateKvConfig -s namespace{X} -k key -v value"),
    row("deleteKvConfig -s namespace{X} -k key"),
    row("updateOrderConf -t Table{X} -m put -v broker-a:4"),
    row("updateOrderConf -t Table{X} -m get"),
    row("updateOrderConf -t Table{X} -m delete"),
    row("wipeWritePerm -b broker-a").servers(Servers::Differ("POP and its topic are not built")),
    row("addWritePerm -b broker-a").servers(Servers::Differ("POP and its topic are not built")),
    // Members stop for ten seconds when they are told.
    row("resetOffsetByTime -g {G} -t {T} -s {AFTER}").old("another first line"),
    // === What was made goes ===
    row("updateSubGroup -b {B} -g Clone{X}").old(GROUP_TEXT),
    row("deleteSubGroup -b {B} -g Clone{X} -r true"),
    row("deleteSubGroup -c DefaultCluster -g Group{X}").old("it tells of the topics as well"),
    row("deleteTopic -c DefaultCluster -t Table{X}")
        .servers(Servers::Differ("5.3.3's broker cannot delete topics while its timer wheel is off")),
    row("deleteTopic -c DefaultCluster -t Ordered{X}")
        .servers(Servers::Differ("5.3.3's broker cannot delete topics while its timer wheel is off")),
];

/// What consoles ask through Java's API, of our servers and of Java's: a method of `DefaultMQAdminExt` and its words.
pub const METHODS: &[Row] = &[
    row("ask queryTopicConsumeByWho {T}").servers(Servers::Differ("5.3.3's broker makes a group of the topic's name")),
    row("ask queryTopicConsumeByWho nothere").servers(Servers::Differ("ours says what to do")),
    row("ask queryTopicsByConsumer {G}").servers(Servers::Differ("when the retry queue is listed is a matter of time")),
    row("ask querySubscription {G} {T}"),
    row("ask queryConsumeTimeSpan {T} {G}"),
    row("ask getConsumeStatus {T} {G} {CLIENT}"),
    row("ask getAllProducerInfo {B}"),
    row("ask queryConsumeQueue {B} {T} 1 0 2 {G}")
        .servers(Servers::Differ("Java's says that nothing passes the filter")),
    row("ask queryConsumeQueue {B} nothere 1 0 2 {G}"),
    row("ask examineSubscriptionGroupConfig {B} {G}"),
    row("ask examineTopicConfig {B} {T}"),
    row("ask examineTopicStats {T}"),
    row("ask examineTopicStats nothere").servers(Servers::Differ("ours says what to do")),
    row("ask examineConsumeStats {G} {T}"),
    row("ask examineConsumerConnectionInfo {G}"),
    row("ask examineConsumerConnectionInfo nobody").servers(Servers::Differ("ours says what to do")),
    row("ask fetchConsumeStatsInBroker {B} false 5000")
        .servers(Servers::Differ("Java's leaves the place of pulls out")),
    row("ask fetchConsumeStatsInBroker {B} true 5000"),
    row("ask searchOffset {B} {T} 1 {BEFORE} 5000"),
    row("ask searchOffset {B} {T} 1 {AFTER} 5000"),
    row("ask consumeMessageDirectly {G} {CLIENT} {T} {ID}").moving(),
    row("ask consumeMessageDirectly {G} nobody {T} {ID}"),
    row("ask viewBrokerStatsData {B} TOPIC_PUT_NUMS nothere"),
    row("ask viewBrokerStatsData {B} NONSENSE {T}"),
    row("ask getTopicClusterList {T}"),
    row("ask getClusterList {T}"),
    row("ask getKVConfig ORDER_TOPIC_CONFIG nothere"),
    row("ask getKVListByNamespace ORDER_TOPIC_CONFIG"),
];
