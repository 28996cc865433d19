// The lite pull consumer (4.6 and later): `Peer litePull namesrv=… group=… topic=… [expression=*] [assign=true]`.
// It polls until its standard input ends, then commits what it was given.
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

final class LitePull {
    static volatile boolean stopped;

    static void run() throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(Peer.option("group", null));
        consumer.setNamesrvAddr(Peer.option("namesrv", null));
        consumer.setInstanceName("interop-" + ProcessHandle.current().pid());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        String topic = Peer.option("topic", null);
        if (!Peer.options.containsKey("assign")) {
            consumer.subscribe(topic, Peer.option("expression", "*"));
        }
        consumer.start();
        if (Peer.options.containsKey("assign")) {
            consumer.setAutoCommit(false);
            consumer.assign(consumer.fetchMessageQueues(topic));
            for (MessageQueue queue : consumer.fetchMessageQueues(topic)) {
                // No seek: the client hands out what a pull under way brings, and then the same again from where it sought.
                long first = consumer.offsetForTimestamp(queue, 0L);
                if (first != 0) {
                    throw new IllegalStateException(queue + " begins at " + first);
                }
            }
        }
        Peer.say("event", "started");
        Thread watcher = new Thread() {
            @Override public void run() {
                try {
                    Peer.untilStopped();
                } catch (Exception failure) {
                    failure.printStackTrace();
                }
                stopped = true;
            }
        };
        watcher.start();
        while (!stopped) {
            List<MessageExt> messages = consumer.poll(200);
            for (MessageExt message : messages) {
                Peer.received("message", message);
            }
        }
        consumer.commitSync();
        for (MessageQueue queue : consumer.fetchMessageQueues(topic)) {
            Long committed = consumer.committed(queue);
            Peer.say("event", "committed", "queue", queue.getQueueId(), "offset", committed);
        }
        consumer.shutdown();
    }
}
