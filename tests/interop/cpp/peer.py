"""What the published C++ client does (librocketmq.so, driven through its Python binding), told in JSON lines: the verbs
and the bodies of java/Peer.java.

  peer.py send namesrv=… group=… topic=… [sync=N async=N oneway=N batch=N selector=N big=N] [tags=A,B] [level=L]
  peer.py push namesrv=… group=… topic=… [expression=*] [model=BROADCASTING] [orderly=true] [fail=N] [work_ms=N]
  peer.py pull namesrv=… group=… topic=… [expression=*]

domain=URL instead of namesrv looks for the list of name servers there. push runs until its standard input ends. The binding tells no queue of a sent message.
"""

import json
import os
import sys
import threading
import time
import zlib

from rocketmq.client import Message, Producer, PullConsumer, PushConsumer, RecvMessage
from rocketmq.exceptions import ffi_check
from rocketmq.ffi import MessageModel, dll

OPTIONS = dict(argument.split("=", 1) for argument in sys.argv[2:])
SPEAKING = threading.Lock()
# The native library prints to standard output; the protocol keeps a copy of the descriptor for itself.
PROTOCOL = os.fdopen(os.dup(1), "wb", buffering=0)
os.dup2(2, 1)


def say(event, **fields):
    line = json.dumps({"event": event, **fields}, ensure_ascii=False).encode() + b"\n"
    with SPEAKING:
        PROTOCOL.write(line)


def now():
    return int(time.time() * 1000)


def tell_stalls():
    """Tells when the machine let nothing here run: what came late then was not sent late."""
    while True:
        due = now() + 20
        time.sleep(0.02)
        if now() - due >= 50:
            say("stall", **{"from": due, "now": now()})


def number(name):
    return int(OPTIONS.get(name, 0))


def message(key, big, i):
    one = Message(OPTIONS["topic"])
    line = key + " 消息 ✓"
    one.set_body((line + "\n") * 400 if big else line)
    one.set_keys(key)
    one.set_property("n", str(i))
    one.set_property("unicode", "属性 ✓")
    if "tags" in OPTIONS:
        tags = OPTIONS["tags"].split(",")
        one.set_tags(tags[i % len(tags)])
    if number("level"):
        one.set_delay_time_level(number("level"))
    return one


def sent(key, result, **more):
    status = {0: "SEND_OK", 1: "FLUSH_DISK_TIMEOUT", 2: "FLUSH_SLAVE_TIMEOUT", 3: "SLAVE_NOT_AVAILABLE"}[int(result.status)]
    say("sent", key=key, status=status, msgId=result.msg_id, offset=result.offset, now=now(), **more)


def find_servers(client):
    if "domain" in OPTIONS:
        client.set_namesrv_domain(OPTIONS["domain"])
    else:
        client.set_namesrv_addr(OPTIONS["namesrv"])


def send():
    producer = Producer(OPTIONS.get("group", "interop_producer"), timeout=10000)
    find_servers(producer)
    producer.start()
    for kind in ("sync", "big"):
        for i in range(number(kind)):
            key = f"{kind}-{i}"
            sent(key, producer.send_sync(message(key, kind == "big", i)))
            time.sleep(number("pause_ms") / 1000)
    left = threading.Semaphore(0)
    kept = []
    for i in range(number("async")):
        key = f"async-{i}"

        def success(result, key=key):
            sent(key, result)
            left.release()

        def failure(error, key=key):
            say("sent", key=key, status=str(error))
            left.release()

        kept.append(message(key, False, i))
        producer.send_async(kept[-1], success, failure)
    for _ in range(number("async")):
        if not left.acquire(timeout=20):
            raise RuntimeError("an asynchronous send was not answered")
    for i in range(number("oneway")):
        producer.send_oneway(message(f"oneway-{i}", False, i))
        say("sent", key=f"oneway-{i}", status="ONEWAY")
    if number("batch"):
        batch = [message(f"batch-{i}", False, i) for i in range(number("batch"))]
        result = producer.send_batch(batch)
        for i in range(len(batch)):
            say("sent", key=f"batch-{i}", status="SEND_OK" if result.status == 0 else str(result.status))
    for i in range(number("selector")):
        sizes = []

        def select(size, _message, argument, sizes=sizes, i=i):
            sizes.append(size)
            return i % size

        result = producer.send_orderly(message(f"selector-{i}", False, i), i, queue_selector=select)
        sent(f"selector-{i}", result, queue=i % sizes[0])
    producer.shutdown()


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def received(event, one):
    body = one.body
    say(event, topic=one.topic, key=text(one.keys), tags=text(one.tags), msgId=one.id, queue=one.queue_id,
        offset=one.queue_offset, crc=zlib.crc32(body), len=len(body), reconsume=one.reconsume_times,
        born=one.born_timestamp, stored=one.store_timestamp, now=now(),
        properties={name: text(one.get_property(name)) for name in ("n", "unicode", "UNIQ_KEY", "KEYS", "TAGS", "DELAY", "RETRY_TOPIC", "ORIGIN_MESSAGE_ID", "RECONSUME_TIME") if one.get_property(name)})


def push():
    model = MessageModel.BROADCASTING if OPTIONS.get("model") == "BROADCASTING" else MessageModel.CLUSTERING
    consumer = PushConsumer(OPTIONS["group"], orderly=OPTIONS.get("orderly") == "true", message_model=model)
    find_servers(consumer)
    consumer.set_instance_name(f"interop-{os.getpid()}")

    # Not the binding's `subscribe`: what its callback raises becomes a success.
    def consume(_consumer, handle):
        one = RecvMessage(handle)
        received("message", one)
        if "work_ms" in OPTIONS:
            time.sleep(number("work_ms") / 1000)
            received("worked", one)
        return 1 if one.reconsume_times < number("fail") else 0

    for topic in OPTIONS["topic"].split(","):
        ffi_check(dll.Subscribe(consumer._handle, topic.encode(), OPTIONS.get("expression", "*").encode()))
    consumer._register_callback(consume)
    consumer.start()
    say("started")
    threading.Thread(target=tell_stalls, daemon=True).start()
    sys.stdin.buffer.read()
    consumer.shutdown()


def pull():
    consumer = PullConsumer(OPTIONS["group"])
    consumer.set_namesrv_addr(OPTIONS["namesrv"])
    consumer.start()
    for one in consumer.pull(OPTIONS["topic"], OPTIONS.get("expression", "*")):
        received("message", one)
    consumer.shutdown()


try:
    {"send": send, "push": push, "pull": pull}[sys.argv[1]]()
    say("done")
    code = 0
except BaseException as failure:  # the driver is told, whatever it was
    import traceback

    traceback.print_exc()
    say("failed", error=repr(failure))
    code = 1
sys.stderr.flush()
os._exit(code)  # the native library's threads outlive its consumers
