// Request and reply (4.6 and later): `Peer requestReply namesrv=… group=… topic=… [count=N] [callback=true]`. One process is
// both sides: a consumer that answers every request, and a producer that asks and waits. callback=true is for 5.x, where the
// requests that wait by themselves end with nothing as soon as the send is acknowledged, before the answer is there.
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.MessageQueueSelector;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

final class RequestReply {
    static void run() throws Exception {
        String topic = Peer.option("topic", null);
        final DefaultMQProducer answers = new DefaultMQProducer(Peer.option("group", null) + "_answers");
        answers.setNamesrvAddr(Peer.option("namesrv", null));
        answers.setInstanceName("answers");
        answers.setSendMsgTimeout(10000);
        answers.start();
        DefaultMQProducer asks = new DefaultMQProducer(Peer.option("group", null) + "_asks");
        asks.setNamesrvAddr(Peer.option("namesrv", null));
        asks.setInstanceName("asks");
        asks.setSendMsgTimeout(10000);
        asks.start();
        // The topic exists before the consumer looks. Not by the one who asks: a producer that has no route yet sends its
        // heartbeat before its first request, and without one no broker knows where to push the answer.
        answers.send(new Message(topic, "first".getBytes(StandardCharsets.UTF_8)));
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(Peer.option("group", null));
        consumer.setNamesrvAddr(Peer.option("namesrv", null));
        consumer.setInstanceName("consumer");
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(new MessageListenerConcurrently() {
            @Override public ConsumeConcurrentlyStatus consumeMessage(List<MessageExt> messages, ConsumeConcurrentlyContext context) {
                for (MessageExt message : messages) {
                    if (message.getProperty("REPLY_TO_CLIENT") == null) {
                        continue;
                    }
                    try {
                        String body = "answer to " + new String(message.getBody(), StandardCharsets.UTF_8);
                        answers.send(MessageUtil.createReplyMessage(message, body.getBytes(StandardCharsets.UTF_8)));
                    } catch (Exception failure) {
                        failure.printStackTrace();
                        Peer.say("event", "reply_failed", "error", String.valueOf(failure));
                    }
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
        });
        consumer.start();
        for (int i = 0; i < Peer.number("count", 3); i++) {
            Message question = new Message(topic, ("question " + i).getBytes(StandardCharsets.UTF_8));
            Message answer = Peer.options.containsKey("callback") ? called(asks, question, i) : asks.request(question, 20000);
            Peer.say("event", "answer", "body", new String(answer.getBody(), StandardCharsets.UTF_8));
        }
        consumer.shutdown();
        asks.shutdown();
        answers.shutdown();
    }

    static Message called(DefaultMQProducer asks, Message question, int i) throws Exception {
        final SynchronousQueue<Object> answered = new SynchronousQueue<>();
        asks.request(question, new MessageQueueSelector() {
            @Override public MessageQueue select(List<MessageQueue> queues, Message message, Object argument) {
                return queues.get((Integer) argument % queues.size());
            }
        }, i, new RequestCallback() {
            @Override public void onSuccess(Message answer) {
                tell(answer);
            }
            @Override public void onException(Throwable failure) {
                tell(failure);
            }
            void tell(Object what) {
                try {
                    answered.put(what);
                } catch (InterruptedException stopped) {
                    Thread.currentThread().interrupt();
                }
            }
        }, 20000);
        Object answer = answered.poll(30, TimeUnit.SECONDS);
        if (!(answer instanceof Message)) {
            throw new IllegalStateException("no answer but " + answer);
        }
        return (Message) answer;
    }
}
