// What a published Java client does, told in JSON lines. Written to the API of 4.2.0 and compiled again for every version.
//   Peer send  namesrv=… group=… topic=… [sync=N async=N oneway=N batch=N selector=N big=N] [tags=A,B] [level=L] [pause_ms=P] [fault=true]
//              [trace=true: ends with its standard input, for the traces to be sent]
//   Peer stream namesrv=… group=… topic=… [pause_ms=P]: one message after the other until its standard input ends
//   Peer push  namesrv=… group=… topic=… [expression=*] [model=BROADCASTING] [from=CONSUME_FROM_LAST_OFFSET] [orderly=true]
//              [fail=N] [max_reconsume=N] [work_ms=N] [queues=0,1: takes these only] [persist_ms=N]
//   Peer pull  namesrv=… group=… topic=… [expression=*]
//   Peer create namesrv=… group=… topic=… queues=N
//   Peer query namesrv=… group=… topic=… id=… unique=… key=…
// An argument with a dot in its name is a system property: rocketmq.serialize.type=ROCKETMQ. All clients: vip=true goes by
// port - 2, namespace=NAME, unit=NAME, poll_ms=N asks for routes so often; without namesrv the client looks for its list
// by HTTP. push and stream run until their standard input ends; the others end by themselves. The body of the message with
// key K is known to the driver: `K 消息 ✓`, or, for the big ones, 400 lines of it.
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.MessageQueueSelector;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

public final class Peer {
    static final PrintStream OUT = System.out;
    static Map<String, String> options = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        System.setOut(System.err); // the client's own words stay out of the protocol
        for (int i = 1; i < arguments.length; i++) {
            int at = arguments[i].indexOf('=');
            String name = arguments[i].substring(0, at);
            options.put(name, arguments[i].substring(at + 1));
            if (name.contains(".")) { // rocketmq.serialize.type=ROCKETMQ and the like, before the client's classes look
                System.setProperty(name, options.get(name));
            }
        }
        try {
            switch (arguments[0]) {
                case "send": send(); break;
                case "stream": stream(); break;
                case "push": push(); break;
                case "pull": pull(); break;
                case "query": query(); break;
                case "create": create(); break;
                default: other(arguments[0]);
            }
            say("event", "done");
            System.exit(0);
        } catch (Throwable failure) {
            failure.printStackTrace();
            say("event", "failed", "error", String.valueOf(failure));
            System.exit(1);
        }
    }

    // Verbs of classes that old clients cannot compile.
    static void other(String verb) throws Exception {
        String name = verb.substring(0, 1).toUpperCase() + verb.substring(1);
        Class.forName(name).getDeclaredMethod("run").invoke(null);
    }

    static String option(String name, String absent) {
        return options.getOrDefault(name, absent);
    }

    static int number(String name, int absent) {
        return Integer.parseInt(option(name, String.valueOf(absent)));
    }

    static Message message(String key, boolean big, int i) throws Exception {
        StringBuilder body = new StringBuilder();
        String line = key + " 消息 ✓";
        if (big) {
            for (int n = 0; n < 400; n++) {
                body.append(line).append('\n');
            }
        } else {
            body.append(line);
        }
        Message message = new Message(option("topic", null), body.toString().getBytes(StandardCharsets.UTF_8));
        message.setKeys(key);
        message.putUserProperty("n", String.valueOf(i));
        message.putUserProperty("unicode", "属性 ✓");
        String[] tags = option("tags", "").split(",");
        if (!tags[0].isEmpty()) {
            message.setTags(tags[i % tags.length]);
        }
        if (options.containsKey("level")) {
            message.setDelayTimeLevel(number("level", 0));
        }
        return message;
    }

    static void sent(String key, SendResult result) {
        say("event", "sent", "key", key, "status", result.getSendStatus().name(), "msgId", result.getMsgId(),
            "offsetMsgId", result.getOffsetMsgId(), "queue", result.getMessageQueue().getQueueId(),
            "broker", result.getMessageQueue().getBrokerName(), "offset", result.getQueueOffset(), "now", System.currentTimeMillis());
    }

    static void send() throws Exception {
        DefaultMQProducer producer = options.containsKey("trace")
            ? DefaultMQProducer.class.getConstructor(String.class, boolean.class, String.class).newInstance("interop_producer", true, null)
            : new DefaultMQProducer(option("group", "interop_producer"));
        configure(producer);
        producer.setSendMsgTimeout(10000);
        producer.setSendLatencyFaultEnable(options.containsKey("fault"));
        producer.start();
        int prefix = number("from", 0);
        for (int i = prefix; i < prefix + number("sync", 0); i++) {
            sent("sync-" + i, producer.send(message("sync-" + i, false, i)));
            Thread.sleep(number("pause_ms", 0));
        }
        for (int i = prefix; i < prefix + number("big", 0); i++) {
            sent("big-" + i, producer.send(message("big-" + i, true, i)));
        }
        int asynchronous = number("async", 0);
        final CountDownLatch answered = new CountDownLatch(asynchronous);
        for (int i = prefix; i < prefix + asynchronous; i++) {
            final String key = "async-" + i;
            producer.send(message(key, false, i), new SendCallback() {
                @Override public void onSuccess(SendResult result) {
                    sent(key, result);
                    answered.countDown();
                }
                @Override public void onException(Throwable failure) {
                    say("event", "sent", "key", key, "status", String.valueOf(failure));
                    answered.countDown();
                }
            });
        }
        if (!answered.await(20, TimeUnit.SECONDS)) {
            throw new IllegalStateException(answered.getCount() + " asynchronous sends were not answered");
        }
        for (int i = prefix; i < prefix + number("oneway", 0); i++) {
            producer.sendOneway(message("oneway-" + i, false, i));
            say("event", "sent", "key", "oneway-" + i, "status", "ONEWAY");
        }
        if (number("batch", 0) > 0) {
            List<Message> batch = new ArrayList<>();
            for (int i = prefix; i < prefix + number("batch", 0); i++) {
                batch.add(message("batch-" + i, false, i));
            }
            SendResult result = producer.send(batch);
            for (int i = 0; i < batch.size(); i++) {
                say("event", "sent", "key", batch.get(i).getKeys(), "status", result.getSendStatus().name(),
                    "msgId", result.getMsgId().split(",")[i], "offsetMsgId", result.getOffsetMsgId().split(",")[i],
                    "queue", result.getMessageQueue().getQueueId(), "broker", result.getMessageQueue().getBrokerName(),
                    "offset", result.getQueueOffset() + i);
            }
        }
        for (int i = prefix; i < prefix + number("selector", 0); i++) {
            sent("selector-" + i, producer.send(message("selector-" + i, false, i), new MessageQueueSelector() {
                @Override public MessageQueue select(List<MessageQueue> queues, Message message, Object argument) {
                    return queues.get((Integer) argument % queues.size());
                }
            }, i));
        }
        if (options.containsKey("trace")) {
            untilStopped(); // the dispatcher sends traces by itself, and drops what it has left at the end
        }
        producer.shutdown();
    }

    // What every client has. Setters that came after 4.2.0 are named by text.
    static void configure(ClientConfig client) throws Exception {
        if (options.containsKey("namesrv")) {
            client.setNamesrvAddr(option("namesrv", null));
        }
        if (options.containsKey("vip")) {
            client.setVipChannelEnabled(option("vip", "").equals("true"));
        }
        if (options.containsKey("unit")) {
            client.setUnitName(option("unit", null));
            client.setUnitMode(true);
        }
        if (options.containsKey("namespace")) {
            ClientConfig.class.getMethod("setNamespace", String.class).invoke(client, option("namespace", null));
        }
        if (options.containsKey("poll_ms")) {
            for (Method method : ClientConfig.class.getMethods()) { // it lost a spelling mistake
                if (method.getName().startsWith("setPollNameServerInt")) {
                    method.invoke(client, number("poll_ms", 30000));
                }
            }
        }
    }

    // Every send is told, also one that failed: then it is not sent again by this program.
    static void stream() throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(option("group", "interop_producer"));
        configure(producer);
        producer.setInstanceName("stream-" + ProcessHandle.current().pid());
        producer.setSendMsgTimeout(number("timeout_ms", 3000));
        producer.start();
        say("event", "started", "client", producer.buildMQClientId());
        Stopped stopped = new Stopped();
        stopped.start();
        for (int i = 0; !stopped.is; i++) {
            String key = "stream-" + i;
            long began = System.currentTimeMillis();
            try {
                sent(key, options.containsKey("selector")
                    ? producer.send(message(key, false, i), new MessageQueueSelector() {
                        @Override public MessageQueue select(List<MessageQueue> queues, Message message, Object argument) {
                            return queues.get((Integer) argument % queues.size());
                        }
                    }, i)
                    : producer.send(message(key, false, i)));
            } catch (Exception failure) {
                say("event", "refused", "key", key, "error", String.valueOf(failure), "took", System.currentTimeMillis() - began);
            }
            Thread.sleep(number("pause_ms", 10));
        }
        producer.shutdown();
    }

    // Tells when the machine let nothing here run: what came late then was not sent late.
    static final class Stalls extends Thread {
        Stalls() {
            setDaemon(true);
            setPriority(MAX_PRIORITY);
        }

        @Override public void run() {
            try {
                for (long due = System.currentTimeMillis() + 20; ; due = System.currentTimeMillis() + 20) {
                    Thread.sleep(20);
                    long now = System.currentTimeMillis();
                    if (now - due >= 50) {
                        say("event", "stall", "from", due, "now", now);
                    }
                }
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
            }
        }
    }

    static final class Stopped extends Thread {
        volatile boolean is;

        Stopped() {
            setDaemon(true);
        }

        @Override public void run() {
            try {
                untilStopped();
            } catch (Exception failure) {
                failure.printStackTrace();
            }
            is = true;
        }
    }

    // Takes the queues with these numbers and leaves all others alone.
    static final class TheseQueues implements AllocateMessageQueueStrategy {
        final List<String> wanted = Arrays.asList(option("queues", "").split(","));

        @Override public List<MessageQueue> allocate(String group, String client, List<MessageQueue> queues, List<String> clients) {
            List<MessageQueue> taken = new ArrayList<>();
            for (MessageQueue queue : queues) {
                if (queue.getTopic().startsWith("%RETRY%") || wanted.contains(String.valueOf(queue.getQueueId()))) {
                    taken.add(queue);
                }
            }
            return taken;
        }

        @Override public String getName() {
            return "THESE";
        }
    }

    // Enums that moved between packages with 5.0 are named by text.
    @SuppressWarnings({"unchecked", "rawtypes"})
    static void set(Object target, String setter, String value) throws Exception {
        for (Method method : target.getClass().getMethods()) {
            if (method.getName().equals(setter)) {
                method.invoke(target, Enum.valueOf((Class<Enum>) method.getParameterTypes()[0], value));
            }
        }
    }

    static boolean refuse(MessageExt message) {
        return message.getReconsumeTimes() < number("fail", 0);
    }

    static void work() {
        try {
            Thread.sleep(number("work_ms", 0));
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    static void push() throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(option("group", null));
        configure(consumer);
        if (options.containsKey("queues")) {
            consumer.setAllocateMessageQueueStrategy(new TheseQueues());
        }
        if (options.containsKey("persist_ms")) {
            consumer.setPersistConsumerOffsetInterval(number("persist_ms", 5000));
        }
        consumer.setInstanceName(option("instance", "interop-" + ProcessHandle.current().pid()));
        consumer.setConsumeFromWhere(ConsumeFromWhere.valueOf(option("from", "CONSUME_FROM_FIRST_OFFSET")));
        if (options.containsKey("timestamp")) {
            consumer.setConsumeTimestamp(option("timestamp", null));
        }
        set(consumer, "setMessageModel", option("model", "CLUSTERING"));
        if (options.containsKey("max_reconsume")) {
            consumer.setMaxReconsumeTimes(number("max_reconsume", 16));
        }
        for (String topic : option("topic", null).split(",")) {
            consumer.subscribe(topic, option("expression", "*"));
        }
        if (options.containsKey("orderly")) {
            consumer.registerMessageListener(new MessageListenerOrderly() {
                @Override public ConsumeOrderlyStatus consumeMessage(List<MessageExt> messages, ConsumeOrderlyContext context) {
                    for (MessageExt message : messages) {
                        received("message", message);
                        work();
                        if (options.containsKey("work_ms")) {
                            received("worked", message);
                        }
                        if (refuse(message)) {
                            return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                        }
                    }
                    return ConsumeOrderlyStatus.SUCCESS;
                }
            });
        } else {
            consumer.registerMessageListener(new MessageListenerConcurrently() {
                @Override public ConsumeConcurrentlyStatus consumeMessage(List<MessageExt> messages, ConsumeConcurrentlyContext context) {
                    for (MessageExt message : messages) {
                        received("message", message);
                        work();
                        if (refuse(message)) {
                            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                        }
                    }
                    return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
                }
            });
        }
        consumer.start();
        say("event", "started", "client", consumer.buildMQClientId());
        new Stalls().start();
        untilStopped();
        consumer.shutdown();
    }

    static void untilStopped() throws Exception {
        while (System.in.read() >= 0) {
            continue;
        }
    }

    static void received(String event, MessageExt message) {
        CRC32 crc = new CRC32();
        crc.update(message.getBody());
        say("event", event, "topic", message.getTopic(), "key", message.getKeys(), "tags", message.getTags(),
            "msgId", message.getMsgId(), "queue", message.getQueueId(), "offset", message.getQueueOffset(),
            "crc", crc.getValue(), "len", message.getBody().length, "reconsume", message.getReconsumeTimes(),
            "born", message.getBornTimestamp(), "stored", message.getStoreTimestamp(), "now", System.currentTimeMillis(),
            "properties", new TreeMap<>(message.getProperties()));
    }

    static void pull() throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(option("group", null));
        consumer.setNamesrvAddr(option("namesrv", null));
        consumer.start();
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(option("topic", null))) {
            long min = consumer.minOffset(queue);
            long max = consumer.maxOffset(queue);
            say("event", "queue", "queue", queue.getQueueId(), "broker", queue.getBrokerName(), "min", min, "max", max,
                "search_first", consumer.searchOffset(queue, 0), "search_last", consumer.searchOffset(queue, System.currentTimeMillis() + 60000),
                "earliest", consumer.earliestMsgStoreTime(queue));
            long offset = min;
            while (offset < max) {
                PullResult result = consumer.pull(queue, option("expression", "*"), offset, 32);
                if (result.getMsgFoundList() != null) {
                    for (MessageExt message : result.getMsgFoundList()) {
                        received("message", message);
                    }
                }
                if (result.getNextBeginOffset() <= offset) {
                    throw new IllegalStateException("pull of " + queue + " at " + offset + " leads to " + result);
                }
                offset = result.getNextBeginOffset();
            }
            PullResult end = consumer.pull(queue, option("expression", "*"), max, 32);
            say("event", "end", "queue", queue.getQueueId(), "status", end.getPullStatus().name(), "next", end.getNextBeginOffset());
            consumer.updateConsumeOffset(queue, max);
            say("event", "committed", "queue", queue.getQueueId(), "offset", consumer.fetchConsumeOffset(queue, false));
        }
        consumer.shutdown();
    }

    static void create() throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(option("group", "interop_producer"));
        producer.setNamesrvAddr(option("namesrv", null));
        producer.start();
        for (Method method : producer.getClass().getMethods()) { // 5.0 appended a map of attributes
            if (method.getName().equals("createTopic") && method.getParameterCount() == (hasAttributes() ? 4 : 3)) {
                Object[] arguments = {"TBW102", option("topic", null), number("queues", 8), new HashMap<String, String>()};
                method.invoke(producer, Arrays.copyOf(arguments, method.getParameterCount()));
            }
        }
        List<MessageQueue> queues = new ArrayList<>();
        for (int i = 0; i < 100 && queues.isEmpty(); i++) {
            try {
                queues = producer.fetchPublishMessageQueues(option("topic", null));
            } catch (MQClientException notYetRegistered) {
                Thread.sleep(100);
            }
        }
        say("event", "created", "queues", queues.size());
        producer.shutdown();
    }

    static boolean hasAttributes() {
        for (Method method : DefaultMQProducer.class.getMethods()) {
            if (method.getName().equals("createTopic") && method.getParameterCount() == 4 && method.getParameterTypes()[3] == Map.class) {
                return true;
            }
        }
        return false;
    }

    static void query() throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(option("group", null));
        consumer.setNamesrvAddr(option("namesrv", null));
        consumer.start();
        String topic = option("topic", null);
        if (options.containsKey("id")) {
            received("by_id", consumer.viewMessage(topic, option("id", null)));
        }
        if (options.containsKey("unique")) {
            received("by_unique", consumer.viewMessage(topic, option("unique", null)));
        }
        if (options.containsKey("key")) {
            QueryResult result = consumer.queryMessage(topic, option("key", null), 32, 0, System.currentTimeMillis() + 60000);
            for (MessageExt message : result.getMessageList()) {
                received("by_key", message);
            }
        }
        consumer.shutdown();
    }

    static void say(Object... pairs) {
        StringBuilder line = new StringBuilder("{");
        for (int i = 0; i < pairs.length; i += 2) {
            line.append(i == 0 ? "" : ",").append(text(pairs[i])).append(':').append(value(pairs[i + 1]));
        }
        byte[] bytes = line.append("}\n").toString().getBytes(StandardCharsets.UTF_8);
        synchronized (OUT) {
            OUT.write(bytes, 0, bytes.length);
            OUT.flush();
        }
    }

    static String value(Object value) {
        if (value == null || value instanceof Number || value instanceof Boolean) {
            return String.valueOf(value);
        }
        if (value instanceof Map) {
            StringBuilder map = new StringBuilder("{");
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                map.append(map.length() == 1 ? "" : ",").append(text(entry.getKey())).append(':').append(value(entry.getValue()));
            }
            return map.append('}').toString();
        }
        return text(value);
    }

    static String text(Object value) {
        StringBuilder text = new StringBuilder("\"");
        for (char c : String.valueOf(value).toCharArray()) {
            if (c == '"' || c == '\\') {
                text.append('\\').append(c);
            } else if (c < ' ') {
                text.append(String.format("\\u%04x", (int) c));
            } else {
                text.append(c);
            }
        }
        return text.append('"').toString();
    }
}
