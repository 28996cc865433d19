// What the published Go client does, told in JSON lines: the verbs and the bodies of java/Peer.java.
//
//	peer send namesrv=… group=… topic=… [sync=N async=N oneway=N batch=N selector=N big=N] [tags=A,B] [level=L]
//	peer push namesrv=… group=… topic=… [expression=*] [model=BROADCASTING] [orderly=true] [fail=N] [max_reconsume=N] [work_ms=N]
//	peer pull namesrv=… group=… topic=… [expression=*]
//	peer requestReply namesrv=… group=… topic=… [count=N]: asks after a line of standard input
//	peer admin namesrv=… broker=… topic=… queues=N
//
// All: namespace=NAME, unit=NAME; domain=URL instead of namesrv looks for the list of name servers there. send: trace=true,
// which ends with standard input, for the traces to be sent. push and pull run until standard input ends.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var options = map[string]string{}
var speaking sync.Mutex

func say(event string, fields map[string]any) {
	fields["event"] = event
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	speaking.Lock()
	defer speaking.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func option(name, absent string) string {
	if value, ok := options[name]; ok {
		return value
	}
	return absent
}

func number(name string) int {
	value, err := strconv.Atoi(option(name, "0"))
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		say("failed", map[string]any{"error": err.Error()})
		os.Exit(1)
	}
}

func message(key string, big bool, i int) *primitive.Message {
	body := key + " 消息 ✓"
	if big {
		body = strings.Repeat(body+"\n", 400)
	}
	m := primitive.NewMessage(option("topic", ""), []byte(body))
	m.WithKeys([]string{key})
	m.WithProperty("n", strconv.Itoa(i))
	m.WithProperty("unicode", "属性 ✓")
	if tags := option("tags", ""); tags != "" {
		list := strings.Split(tags, ",")
		m.WithTag(list[i%len(list)])
	}
	if level := number("level"); level > 0 {
		m.WithDelayTimeLevel(level)
	}
	return m
}

func sent(key string, result *primitive.SendResult, err error) {
	if err != nil {
		say("sent", map[string]any{"key": key, "status": err.Error()})
		return
	}
	status := map[primitive.SendStatus]string{primitive.SendOK: "SEND_OK", primitive.SendFlushDiskTimeout: "FLUSH_DISK_TIMEOUT"}[result.Status]
	say("sent", map[string]any{"key": key, "status": status, "msgId": result.MsgID, "offsetMsgId": result.OffsetMsgID,
		"queue": result.MessageQueue.QueueId, "broker": result.MessageQueue.BrokerName, "offset": result.QueueOffset, "now": time.Now().UnixMilli()})
}

// The i of the message decides its queue, where the message asks for that; else round robin.
type selector struct {
	round producer.QueueSelector
}

func (s selector) Select(m *primitive.Message, queues []*primitive.MessageQueue, lastBroker string) *primitive.MessageQueue {
	if strings.HasPrefix(m.GetKeys(), "selector-") {
		i, err := strconv.Atoi(m.GetProperty("n"))
		check(err)
		return queues[i%len(queues)]
	}
	return s.round.Select(m, queues, lastBroker)
}

func namesrv() []string {
	return strings.Split(option("namesrv", ""), ";")
}

func send() {
	options := []producer.Option{
		producer.WithGroupName(option("group", "interop_producer")),
		producer.WithSendMsgTimeout(10 * time.Second),
		producer.WithQueueSelector(selector{producer.NewRoundRobinQueueSelector()}),
		producer.WithNamespace(option("namespace", "")),
		producer.WithRetry(2),
	}
	if unit := option("unit", ""); unit != "" {
		options = append(options, producer.WithUnitName(unit))
	}
	if url := option("domain", ""); url != "" {
		options = append(options, producer.WithNameServerDomain(url))
	} else {
		options = append(options, producer.WithNameServer(namesrv()))
	}
	if option("trace", "") == "true" {
		options = append(options, producer.WithTrace(&primitive.TraceConfig{
			GroupName: "interop_trace", Access: primitive.Local, NamesrvAddrs: namesrv(), Resolver: primitive.NewPassthroughResolver(namesrv())}))
	}
	p, err := rocketmq.NewProducer(options...)
	check(err)
	check(p.Start())
	ctx := context.Background()
	for _, kind := range []string{"sync", "big", "selector"} {
		for i := 0; i < number(kind); i++ {
			key := fmt.Sprintf("%s-%d", kind, i)
			result, err := p.SendSync(ctx, message(key, kind == "big", i))
			sent(key, result, err)
			time.Sleep(time.Duration(number("pause_ms")) * time.Millisecond)
		}
	}
	var answered sync.WaitGroup
	for i := 0; i < number("async"); i++ {
		key := fmt.Sprintf("async-%d", i)
		answered.Add(1)
		check(p.SendAsync(ctx, func(_ context.Context, result *primitive.SendResult, err error) {
			sent(key, result, err)
			answered.Done()
		}, message(key, false, i)))
	}
	answered.Wait()
	for i := 0; i < number("oneway"); i++ {
		key := fmt.Sprintf("oneway-%d", i)
		check(p.SendOneWay(ctx, message(key, false, i)))
		say("sent", map[string]any{"key": key, "status": "ONEWAY"})
	}
	if count := number("batch"); count > 0 {
		var batch []*primitive.Message
		for i := 0; i < count; i++ {
			batch = append(batch, message(fmt.Sprintf("batch-%d", i), false, i))
		}
		result, err := p.SendSync(ctx, batch...)
		check(err)
		// The client gives the messages of a batch no ids of their own.
		ids := strings.Split(result.OffsetMsgID, ",")
		for i := range batch {
			one := *result
			one.OffsetMsgID, one.QueueOffset = ids[i], result.QueueOffset+int64(i)
			sent(batch[i].GetKeys(), &one, nil)
		}
	}
	if option("trace", "") == "true" {
		untilStopped() // the dispatcher sends traces by itself, and drops what it has left at the end
	}
	check(p.Shutdown())
}

func received(event string, m *primitive.MessageExt) {
	say(event, map[string]any{"topic": m.Topic, "key": m.GetKeys(), "tags": m.GetTags(), "msgId": m.MsgId, "queue": m.Queue.QueueId,
		"offset": m.QueueOffset, "crc": crc32.ChecksumIEEE(m.Body), "len": len(m.Body), "reconsume": m.ReconsumeTimes,
		"born": m.BornTimestamp, "stored": m.StoreTimestamp, "now": time.Now().UnixMilli(), "properties": m.GetProperties()})
}

func consumerOptions() []consumer.Option {
	model := consumer.Clustering
	if option("model", "") == "BROADCASTING" {
		model = consumer.BroadCasting
	}
	options := []consumer.Option{
		consumer.WithGroupName(option("group", "")),
		consumer.WithInstance(fmt.Sprintf("interop-%d", os.Getpid())),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumerModel(model),
		consumer.WithConsumerOrder(option("orderly", "") == "true"),
		consumer.WithNamespace(option("namespace", "")),
	}
	if unit := option("unit", ""); unit != "" {
		options = append(options, consumer.WithUnitName(unit))
	}
	if url := option("domain", ""); url != "" {
		options = append(options, consumer.WithNameServerDomain(url))
	} else {
		options = append(options, consumer.WithNameServer(namesrv()))
	}
	if option("max_reconsume", "") != "" {
		options = append(options, consumer.WithMaxReconsumeTimes(int32(number("max_reconsume"))))
	}
	return options
}

func tagSelector() consumer.MessageSelector {
	return consumer.MessageSelector{Type: consumer.TAG, Expression: option("expression", "*")}
}

func push() {
	c, err := rocketmq.NewPushConsumer(consumerOptions()...)
	check(err)
	for _, topic := range strings.Split(option("topic", ""), ",") {
		check(c.Subscribe(topic, tagSelector(), func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			for _, m := range messages {
				received("message", m)
				if option("work_ms", "") != "" {
					time.Sleep(time.Duration(number("work_ms")) * time.Millisecond)
					received("worked", m)
				}
				if int(m.ReconsumeTimes) < number("fail") {
					return consumer.ConsumeRetryLater, nil
				}
			}
			return consumer.ConsumeSuccess, nil
		}))
	}
	check(c.Start())
	say("started", map[string]any{})
	go tellStalls()
	untilStopped()
	check(c.Shutdown())
}

func untilStopped() {
	_, err := io.Copy(io.Discard, os.Stdin)
	check(err)
}

// Tells when the machine let nothing here run: what came late then was not sent late.
func tellStalls() {
	for {
		due := time.Now().Add(20 * time.Millisecond)
		time.Sleep(20 * time.Millisecond)
		if now := time.Now(); now.Sub(due) >= 50*time.Millisecond {
			say("stall", map[string]any{"from": due.UnixMilli(), "now": now.UnixMilli()})
		}
	}
}

// One process is both sides: a consumer that answers every request, and a producer that asks and waits.
func requestReply() {
	ctx := context.Background()
	start := func(side string) rocketmq.Producer {
		p, err := rocketmq.NewProducer(
			producer.WithNameServer(namesrv()),
			producer.WithGroupName(option("group", "")+"_"+side),
			producer.WithInstanceName(side),
			producer.WithSendMsgTimeout(10*time.Second))
		check(err)
		check(p.Start())
		return p
	}
	answers, asks := start("answers"), start("asks")
	for _, p := range []rocketmq.Producer{answers, asks} {
		_, err := p.SendSync(ctx, primitive.NewMessage(option("topic", ""), []byte("first")))
		check(err)
	}
	// A producer's first heartbeat goes to the brokers that it knows one second after its start; without it no broker knows
	// where to push the answer. The driver looks for it there, and says when it came.
	say("started", map[string]any{})
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	c, err := rocketmq.NewPushConsumer(consumerOptions()...)
	check(err)
	check(c.Subscribe(option("topic", ""), tagSelector(), func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range messages {
			if m.GetProperty(primitive.PropertyMessageReplyToClient) == "" {
				continue
			}
			body := []byte("answer to " + string(m.Body))
			reply, err := consumer.CreateReplyMessage(m, body)
			check(err)
			reply.Body = body // which it takes for properties
			_, err = answers.SendSync(ctx, reply)
			check(err)
		}
		return consumer.ConsumeSuccess, nil
	}))
	check(c.Start())
	for i := 0; i < number("count"); i++ {
		answer, err := asks.Request(ctx, 20*time.Second, primitive.NewMessage(option("topic", ""), []byte(fmt.Sprintf("question %d", i))))
		check(err)
		say("answer", map[string]any{"body": string(answer.Body)})
	}
	check(c.Shutdown())
	check(asks.Shutdown())
	check(answers.Shutdown())
}

// Makes a topic, sees it and the broker's groups, and deletes the topic.
func adminCalls() {
	ctx := context.Background()
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver(namesrv())))
	check(err)
	topic, broker := option("topic", ""), option("broker", "")
	check(a.CreateTopic(ctx, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(broker),
		admin.WithReadQueueNums(number("queues")), admin.WithWriteQueueNums(number("queues"))))
	queues, err := a.FetchPublishMessageQueues(ctx, topic)
	check(err)
	say("created", map[string]any{"queues": len(queues)})
	listed := func() bool {
		list, err := a.FetchAllTopicList(ctx)
		check(err)
		for _, name := range list.TopicList {
			if name == topic {
				return true
			}
		}
		return false
	}
	say("listed", map[string]any{"is": listed()})
	groups, err := a.GetAllSubscriptionGroup(ctx, broker, 3*time.Second)
	check(err)
	names := []string{}
	for name := range groups.SubscriptionGroupTable {
		names = append(names, name)
	}
	say("groups", map[string]any{"names": names})
	check(a.DeleteTopic(ctx, admin.WithTopicDelete(topic), admin.WithBrokerAddrDelete(broker), admin.WithNameSrvAddr(namesrv())))
	say("deleted", map[string]any{"listed": listed()})
	check(a.Close())
}

func pull() {
	c, err := rocketmq.NewPullConsumer(consumerOptions()...)
	check(err)
	check(c.Subscribe(option("topic", ""), tagSelector()))
	check(c.Start())
	say("started", map[string]any{})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		check(err)
		stop()
	}()
	for ctx.Err() == nil {
		request, err := c.Poll(ctx, time.Second)
		if consumer.IsNoNewMsgError(err) || ctx.Err() != nil {
			continue
		}
		check(err)
		for _, m := range request.GetMsgList() {
			received("message", m)
		}
		c.ACK(context.Background(), request, consumer.ConsumeSuccess)
	}
	check(c.Shutdown())
}

func main() {
	for _, argument := range os.Args[2:] {
		name, value, _ := strings.Cut(argument, "=")
		options[name] = value
	}
	verbs := map[string]func(){"send": send, "push": push, "pull": pull, "requestReply": requestReply, "admin": adminCalls}
	verbs[os.Args[1]]()
	say("done", map[string]any{})
}
