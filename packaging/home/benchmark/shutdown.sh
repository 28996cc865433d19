#!/bin/sh
# Ends the benchmarks of this machine that producer.sh or consumer.sh started: shutdown.sh producer | consumer.
. "$(dirname "$(readlink -f "$0")")/../bin/rocketmq.sh"
exec "$program" shutdown "bench-$1"
